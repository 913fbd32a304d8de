"""Result files: what is written is read, and nothing that was altered is."""

from __future__ import annotations

import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_report import fake_run

from lifelong import report
from lifelong.errors import LifelongError
from lifelong.result import Result, bundle, digest, read
from lifelong.schema import load


def whole_run() -> dict[str, Any]:
    """A run with every field that a result may have."""
    run = fake_run("er", 1, tasks=2)
    windowed = {"row": [0, 9], "cw": [0.0, 0.5], "no-change": [0.1, 0.2], "majority": [0.1, 0.3]}
    scores = {"accuracy": 0.5, "kappa": -0.2, "kappa_temporal": None}
    return run | {
        "stream": {"kind": "split", "classes_per_task": 2, "seed": 1},
        "fingerprint": "0123",
        "score": "accuracy",
        "beside": {"nll": [[2.5, None], [0.3, 1.0]]},
        "boundaries": [3],
        "progressive": {
            "name": "cw", "rows": 10, "delay": 0, "chunk": 1, "window": 5,
            "scores": {name: dict(scores) for name in ("cw", "no-change", "majority")},
            "windowed": windowed, "drifts": [4], "below": None, "verdict": "cw is above all",
        },
    }  # fmt: skip


def refused(path: Path, content: Any) -> str:
    """The one line with which a file of this content is refused."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(LifelongError) as told:
        read(path)
    assert len(str(told.value).splitlines()) == 1
    assert str(path) in str(told.value)
    return str(told.value)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where every part of a value is."""
    found = [path]
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for key, child in children:
        found += places(child, (*path, key))
    return found


def altered(run: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    """A copy in which this value stands there."""
    run = copy.deepcopy(run)
    at = run
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return run


def test_what_is_read_is_what_was_written(tmp_path):
    run = whole_run()
    run["tasks"][0] = 'Größe \n "体育" \U0001f600'
    Result(run).save(tmp_path / "run.json")
    (back,) = read(tmp_path / "run.json")
    assert back.data == run
    back.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run.json").read_bytes()


def test_the_schema_describes_what_is_written():
    jsonschema.validate(bundle([Result(whole_run())]), load("results.schema.json"))


def test_the_digest_is_of_the_canonical_json():
    assert digest({"b": 1, "a": ["é", 0.5]}) == digest({"a": ["é", 0.5], "b": 1})
    assert digest({"a": 1}) == "2c6b113b8dd15ffbded9860b43eb0c6c"  # of b2sum -l 128


def test_runs_that_were_taken_out_or_changed_places_are_missed(tmp_path):
    runs = [whole_run() | {"key": f"er-{n}-0a"} for n in range(3)]
    content = bundle([Result(run) for run in runs])
    for some in (content["runs"][:2], content["runs"][::-1], []):
        told = refused(tmp_path / "results.json", content | {"runs": some})
        assert "its runs are not those that were written" in told


def test_a_file_without_digests_is_read(tmp_path):
    run = whole_run()
    (tmp_path / "results.json").write_text(json.dumps({"schema": 1, "runs": [run]}))
    assert read(tmp_path / "results.json")[0].data == run


def test_any_alteration_is_refused_where_there_is_a_digest(tmp_path):
    written = bundle([Result(whole_run())])
    for path in places(written["runs"][0])[1:]:
        before = written["runs"][0]
        for key in path:
            before = before[key]
        value = 0.123 if isinstance(before, float) else "x" if isinstance(before, str) else None
        if value != before:
            changed = altered(written["runs"][0], path, value)
            assert "runs[0]" in refused(tmp_path / "results.json", {"schema": 1, "runs": [changed]})


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_bytes_are_refused_or_change_nothing(tmp_path, count):
    path, rng = tmp_path / "results.json", random.Random(count)
    run = whole_run()
    Result(run).save(path)
    sound, refusals = path.read_bytes(), 0
    for _ in range(count):
        damaged, at = bytearray(sound), rng.randrange(len(sound))
        match rng.randrange(4):
            case 0:
                damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[at : at + rng.randrange(1, 50)]
            case 2:
                damaged[at:at] = rng.choice([b"0", b"9", b" ", b"[[", b"null", b'"', b"\x00", b"e9"])
            case 3:
                del damaged[at:]
        path.write_bytes(damaged)
        try:
            assert read(path)[0].data == run
        except LifelongError:
            refusals += 1
    assert refusals > 0.8 * count


def test_without_a_digest_an_altered_result_is_refused_or_can_be_reported(tmp_path):
    run, path, fine = whole_run(), tmp_path / "results.json", 0
    kinds = {
        tuple("*" if isinstance(key, int) else key for key in place): place for place in places(run)
    }
    for place in list(kinds.values())[1:]:
        for value in (None, "abc", -1, 1.5, True, [], {}, [[]], "1e9999", 10**30):
            path.write_text(json.dumps({"schema": 1, "runs": [altered(run, place, value)]}))
            try:
                content = bundle(read(path))
            except LifelongError:
                continue
            fine += 1
            assert report.verdict(content)
            assert report.comparison(content)
            if fine % 150 == 0:
                report.html.page(content)
    assert fine > 100


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("metrics", "forgetting"), "abc", 'runs[1].metrics.forgetting is "abc", not a number or null'),
        (("metrics", "forgetting"), -7, "runs[1].metrics.forgetting is -7, out of range (-1 to 1)"),
        (("seed",), True, "runs[1].seed is true, not a whole number"),
        (("seed",), 10**400, "runs[1].seed is a huge number, out of range"),
        (("scenario",), "open", 'runs[1].scenario is "open", not task or domain or class or free'),
        (("data",), 5, "runs[1].data is 5, not a string"),
        (("tasks",), [], "runs[1].tasks is a list, too short"),
        (("R", 1, 0), [0.5], "runs[1].R[1][0] is a list, not a number or null"),
        (("R", 1), [0.5], "runs[1].R is no matrix of 2 x 2, for 2 tasks"),
        (("baseline",), [0.5], "runs[1].baseline holds 1 numbers, for 2 tasks"),
        (("trace", 3, "task"), 9, "runs[1].trace[3] does not fit 2 tasks"),
        (("confusion", 3), [1], "runs[1].confusion is not square"),
        (("cost", "seconds"), None, "runs[1].cost.seconds is null, not a number"),
        (("versions", "numpy"), 2, "runs[1].versions.numpy is 2, not a string"),
        (("progressive", "below"), "luck", "runs[1].progressive has no scores of luck"),
        (("progressive", "windowed", "cw"), [], "is not one list for the rows and each of the scores"),
        (("hyperparameters", "x"), [10**19], "runs[1].hyperparameters.x[0] is a huge number"),
        (("tasks", 0), "\x1b[31m" * 99, None),
    ],
)
def test_the_line_says_what_is_wrong_where(tmp_path, place, value, told):
    content = {"schema": 1, "runs": [whole_run(), altered(whole_run(), place, value)]}
    path = tmp_path / "results.json"
    if told is None:
        path.write_text(json.dumps(content))
        assert len(read(path)) == 2
        return
    line = refused(path, content)
    assert line.startswith(f"{path} is damaged or is no result file: ")
    assert told in line
    assert line.endswith(
        f"; delete it and run lifelong report {tmp_path}: it is collected from runs/*/run.json"
    )


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "5", '"x"', "{}", "[" * 100_000, '{"a":' * 100_000, "\x00",
        '{"schema": 2, "runs": []}', '{"schema": true, "runs": []}', '{"schema": 1}',
        '{"schema": 1, "runs": {}}', '{"schema": 1, "runs": [1]}', '{"schema": 1, "runs": [{}]}',
        '{"schema": 1, "schema": 1, "runs": []}', '{"schema": 1, "runs": [], "x": NaN}',
        '{"schema": 1, "runs": [], "x": -Infinity}', '{"schema": ' + "9" * 10_000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_result_file_is_one_line(tmp_path, content):
    assert "delete it" in refused(tmp_path / "run.json", content)


def test_a_result_nested_too_deep_is_one_line(tmp_path):
    deep: Any = 1
    for _ in range(400):
        deep = {"x": [deep]}
    run = whole_run() | {"hyperparameters": {"x": deep}}
    line = refused(tmp_path / "results.json", {"schema": 1, "runs": [run]})
    assert "is nested too deep" in line
    assert len(line) < 400


def test_what_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(LifelongError, match="no file"):
            read(path)
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(LifelongError, match="UTF-8"):
        read(tmp_path / "x.json")


@pytest.mark.parametrize(
    "key", ["er+ewc-1-0123456789ab+3", "cw-stdev-2-0a", "a-gem-1-x+2+3", "中文 1", "x."]
)
def test_keys_of_runs_are_file_names(tmp_path, key):
    Result(whole_run() | {"key": key}).save(tmp_path / "run.json")
    assert read(tmp_path / "run.json")[0].data["key"] == key


@pytest.mark.parametrize(
    "key", ["", ".", "..", "../../x", "a/b", "a\\b", "/etc/x", ".hidden", "a\x00", "a\nb", "a/..", "x\n"]
)
def test_no_key_leads_elsewhere(tmp_path, key):
    line = refused(tmp_path / "run.json", {"schema": 1, "runs": [whole_run() | {"key": key}]})
    assert "runs[0].key is" in line
    assert line.endswith("delete it and run the command that made it again")


def test_large_results_are_read_at_once(tmp_path):
    run = whole_run()
    half = [[0.5] * 50] * 50
    run |= {"tasks": [f"task {i}" for i in range(50)], "trace": [], "plasticity": [], "baseline": None}
    run |= {"R": half, "R_task_aware": half, "R_task_agnostic": half, "beside": {"nll": half}}
    run |= {"classes": [str(i) for i in range(1000)], "confusion": [[1] * 1000] * 1000}
    Result(run).save(tmp_path / "run.json")
    began = time.process_time()
    assert read(tmp_path / "run.json")[0].data == run
    assert time.process_time() - began < 2
    run["confusion"] = [[1] * 1000] * 998 + [[1] * 998 + [-1, 1]] + [[1] * 1000]
    assert "confusion[998][998] is -1" in refused(tmp_path / "run.json", {"schema": 1, "runs": [run]})


def test_summary_and_table_show_what_a_terminal_would_act_on():
    run = whole_run() | {"method": "er\x1b[2J", "data": "a\r\nb\u202e", "score": "x\x07"}
    run["progressive"]["verdict"] = "fine\x1b]0;title\x07"
    shown = str(Result(run))
    assert r"er\x1b[2J on a\r\nb\u202e" in shown
    assert not any(c in shown for c in "\x1b\r\x07\u202e")


def test_the_table_names_its_tasks_and_is_continued_where_there_is_no_room():
    def table(names: list[str], width: int | None = None) -> list[str]:
        R = [[0.1 * (i + j) if j <= i else None for j in range(len(names))] for i in range(len(names))]
        return Result({"R": R, "tasks": names}).table(width).splitlines()

    assert table(["january", "一月"]) == [
        "after \\ on  january   一月",
        "   january      0.0      -",
        "      一月     10.0   20.0",
    ]
    assert [line.split() for line in table(["the first of all", "b"])] == [
        ["after", "\\", "on", "1", "2"],
        ["1", "the", "first", "of", "all", "0.0", "-"],
        ["2", "b", "10.0", "20.0"],
    ]
    narrow = table(["january", "february", "march"], 30)
    assert all(len(line) <= 30 for line in narrow)
    assert [line.split()[0] for line in narrow if line[:5] != "after"] == [
        "january",
        "february",
        "march",
    ] * 2
    assert "march" in narrow[4]
