"""Every file operation of the commands that change models interrupted, and failing with a full disk.

A part in every run of the tests; all of them with ``make slow``. The table is in docs/durability.md.
"""

import pytest

NAMES = (
    "run (network)", "run (linear)", "run into a folder with updates", "update (network)",
    "update (linear)", "update --max-drop", "rollback", "promote", "label", "forget (network)",
    "forget (svm)",
)  # fmt: skip


def case_of(script, name):
    (case,) = [case for case in script.cases() if case.name == name]
    return case


def test_the_cases_are_all(attack):
    assert tuple(case.name for case in attack.cases()) == NAMES


@pytest.mark.parametrize("mode", ["killed", "full disk"])
@pytest.mark.parametrize("name", ["update (network)", "forget (svm)"])
def test_some_operations(attack, name, mode):
    case = case_of(attack, name)
    attack.attack(case, mode, every=9)
    assert case.tried[mode] >= 2
    assert not case.wrong


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["killed", "full disk"])
@pytest.mark.parametrize("name", NAMES)
def test_every_operation(attack, name, mode):
    case = case_of(attack, name)
    attack.attack(case, mode)
    assert case.tried[mode] >= 5  # at the least a file: opened, written, synced, renamed, its folder too
    assert not case.wrong
