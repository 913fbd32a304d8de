"""Help and reports in the reader's language."""

import re

import pytest
import typer
import typer.rich_utils
from test_report import fake_results, updates

from lifelong import cli
from lifelong.chinese import CHINESE, HELP, REPORT
from lifelong.language import language
from lifelong.report import html

HAN = re.compile(r"[\u4e00-\u9fff]")
NAMES = {"BWT", "FWT", "min-ACC", "WC-ACC", "kappa", "kappa-temporal", "er", "naive", "joint"}
"""Heads of tables that are the same in Chinese."""


def helps() -> set[str]:
    """Every help text of the command line."""
    root = typer.main.get_command(cli.app)
    found = {root.epilog}
    for command in (root, *root.commands.values()):
        found |= {command.help, *(parameter.help for parameter in command.params)}
    return found - {None, ""}


def test_every_help_text_has_its_chinese(monkeypatch):
    monkeypatch.setenv("LIFELONG_LANG", "en")
    assert helps() - set(HELP) == set()
    assert set(HELP) - helps() <= {"Show this message and exit."}


def test_options_and_figures_in_help_are_the_same_in_chinese():
    for english, chinese in CHINESE.items():
        assert set(re.findall(r"\d+", english)) == set(re.findall(r"\d+", chinese)), english


@pytest.mark.parametrize(
    "results", [fake_results(["er", "naive", "joint"], 2), {"schema": 1, "runs": updates(1, 3)}]
)
def test_every_title_and_head_of_the_report_is_chinese(monkeypatch, results):
    monkeypatch.setenv("LIFELONG_LANG", "zh")
    monkeypatch.setattr(html.figures, "draw", lambda name, alt, make: None)
    page, _ = html.page(results)
    assert '<html lang="zh">' in page
    heads = re.findall(r'<h2 id="[^"]*">(.*?)</h2>', page)
    plain = re.sub(r'<table class="text">.*?</table>', "", page, flags=re.S)
    heads += re.findall(r'<th scope="col">([^<]*)</th>', plain)
    assert [head for head in heads if head and not HAN.search(head) and head not in NAMES] == []
    assert set(REPORT.values()) & set(heads)


def test_help_is_chinese_where_it_is_asked_for(lifelong, monkeypatch):
    monkeypatch.setenv("LIFELONG_LANG", "zh")
    for name in ("OPTIONS_PANEL_TITLE", "ARGUMENTS_PANEL_TITLE", "COMMANDS_PANEL_TITLE",
                 "DEFAULT_STRING", "REQUIRED_LONG_STRING"):  # fmt: skip
        monkeypatch.setattr(typer.rich_utils, name, getattr(typer.rich_utils, name))  # put back
    for words in (["--help"], ["update", "--help"]):
        code, out, _ = lifelong(*words)
        assert code == 0
        assert "选项" in out or "参数" in out
    assert "检验集" in out


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"LIFELONG_LANG": "zh"}, "zh"), ({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LANG": "C"}, "en"), ({}, "en"),
     ({"LIFELONG_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"), ({"LC_ALL": "zh_TW", "LANG": "C"}, "zh")],
)  # fmt: skip
def test_the_language_is_that_of_the_variable_or_the_locale(monkeypatch, environment, expected):
    for name in ("LIFELONG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == expected
