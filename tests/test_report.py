"""The report: statistics against hand computation, the verdict's words, and the page itself."""

from __future__ import annotations

import copy
import errno
import itertools
import json
import os
import re
import time
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from lifelong import report
from lifelong.errors import LifelongError
from lifelong.report import figures, html
from lifelong.report.groups import flatten, forgotten, groups
from lifelong.report.statistics import interval, paired
from lifelong.result import bundle, read

LEVEL = {"naive": 0.25, "ewc": 0.33, "lwf": 0.5, "er": 0.82, "der++": 0.86, "er+ewc": 0.83}
"""How much of an old task each fake method keeps."""


def fake_run(method: str, seed: int, tasks: int = 5, noise: float = 0.01) -> dict[str, Any]:
    """One run with everything in it; numbers follow from the method, seed and noise only."""
    rng = np.random.default_rng([seed, *method.encode()])
    keep = LEVEL.get(method, 0.4 + 0.5 * (sum(method.encode()) % 97) / 97)
    R = np.full((tasks, tasks), np.nan)
    for i in range(tasks):
        for j in range(i + 1):
            R[i, j] = 0.98 * (keep + (1 - keep) * 0.6 ** (i - j)) + noise * rng.normal()
            if j < i and i - j > 3 and method == "naive":
                R[i, j] = 0.02
    if method in ("joint", "separate"):
        R[:] = np.nan
        R[-1] = 0.96 + noise * rng.normal(size=tasks)
    R = R.clip(0, 1)
    only_last = method in ("joint", "separate")
    past, last = R[:-1], R[-1]
    best = np.where(np.isnan(past), -1, past).max(0) if tasks > 1 else last
    forgetting = None if only_last or tasks < 2 else float((best - last)[:-1].mean())
    so_far = [R[i, : i + 1].mean() for i in range(tasks)]
    confusion = np.round(100 * (0.8 * np.eye(10) + 0.02) + 3 * rng.random((10, 10))).astype(int)
    memory = {"er": 1_568_000, "der++": 1_608_000, "er+ewc": 1_568_000}.get(method, 0)
    return {
        "key": f"{method}-{seed}",
        "data": "mnist-5k",
        "scenario": "class",
        "output_space": "seen",
        "method": method,
        "hyperparameters": {
            "model": {"name": "mlp", "hidden": [400, 400]},
            "method": {"name": method, "memory": 500 if memory else 0},
            "optimizer": {"name": "adam", "rate": 0.001},
            "batch": 128,
            "epochs": 1,
            "seed": seed,
        },
        "seed": seed,
        "tasks": [f"{2 * t % 10} {(2 * t + 1) % 10}" for t in range(tasks)],
        "classes": [str(c) for c in range(10)],
        "R": _null(R),
        "R_task_aware": _null(np.clip(R + 0.1, 0, 1)),
        "R_task_agnostic": _null(R),
        "baseline": [0.1] * tasks,
        "metrics": {
            "average_accuracy": float(last.mean()),
            "average_incremental_accuracy": None if only_last else float(np.mean(so_far)),
            "forgetting": forgetting,
            "bwt": None if forgetting is None else -forgetting,
            "fwt": None,
            "learning_accuracy": None if only_last else float(np.diag(R).mean()),
            "min_acc": None if only_last else float(np.nanmin(R)),
            "wc_acc": None if only_last else float(np.nanmin(R)),
            "balanced_accuracy": float(last.mean()),
            "prequential_accuracy": None,
            "area_under_anytime_accuracy": None,
        },
        "recall": {str(c): float(confusion[c, c] / confusion[c].sum()) for c in range(10)},
        "confusion": confusion.tolist(),
        "trace": []
        if only_last
        else [
            {
                "task": i,
                "step": s,
                "accuracy": [
                    max(
                        0.0,
                        float(R[i, j]) - (0.25 * (s == 10) * (i > 0)) - 0.5 * (i == j) * (s < 30),
                    )
                    if j <= i
                    else None
                    for j in range(tasks)
                ],
            }
            for i in range(tasks)
            for s in (10, 20, 30, 40)
        ],
        "cost": {
            "seconds": 10.0 + 5 * len(method) + float(rng.random()),
            "samples_per_second": 12345.6,
            "peak_memory_bytes": 512_000_000,
            "memory_bytes": memory,
            "parameters": 478_410,
            "parameters_added": 0,
        },
        "plasticity": []
        if only_last
        else [
            {
                "task": i,
                "dead_units": 0.02 * i,
                "effective_rank": 60.0 - 3 * i,
                "weight_norm": 20.0 + i * keep,
            }
            for i in range(tasks)
        ],
        "versions": {"lifelong": "0.1.0", "python": "3.11.7", "numpy": "2.0", "torch": "2.5"},
        "hardware": {"machine": "x86_64", "cores": 2},
        "command": "lifelong compare mnist-5k --seeds 5",
    }


def _null(R: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(x) else float(x) for x in row] for row in R]


def fake_results(
    methods: list[str], seeds: int = 3, tasks: int = 5, noise: float = 0.01
) -> dict[str, Any]:
    """Results as ``results.json`` holds them."""
    runs = [fake_run(m, s, tasks, noise) for m in methods for s in range(1, seeds + 1)]
    return {"schema": 1, "runs": runs}


def with_accuracies(accuracies: dict[str, list[float]]) -> dict[str, Any]:
    """Results with these average accuracies, one a seed."""
    runs = []
    for method, values in accuracies.items():
        for seed, value in enumerate(values, 1):
            run = fake_run(method, seed)
            run["metrics"]["average_accuracy"] = value
            runs.append(run)
    return {"schema": 1, "runs": runs}


# Statistics


def test_the_interval_is_the_t_interval_by_hand_and_by_scipy():
    from scipy import stats

    x = interval([1.0, 2.0, 3.0])
    assert x.mean == 2.0
    assert x.half == pytest.approx(4.302652729911275 * 1.0 / 3**0.5)  # t of 2 degrees, from a table
    values = [0.91, 0.88, 0.93, 0.86, 0.9]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (interval(values).low, interval(values).high) == pytest.approx((low, high))


def test_differences_are_paired_by_seed():
    from scipy import stats

    a, b = {1: 0.9, 2: 0.8, 3: 0.7, 9: 0.1}, {3: 0.6, 2: 0.75, 1: 0.8, 4: 0.9}
    d = paired(a, b)
    assert d is not None
    assert d.n == 3
    test = stats.ttest_rel([0.9, 0.8, 0.7], [0.8, 0.75, 0.6]).confidence_interval(0.95)
    assert (d.low, d.high) == pytest.approx((test.low, test.high))
    assert d.distinguishable
    assert paired({1: 0.5}, {2: 0.5}) is None


def test_one_seed_has_no_interval():
    d = paired({1: 0.9}, {1: 0.8})
    assert d is not None
    assert (d.half, d.low, d.high, d.distinguishable) == (None, None, None, None)


def test_equal_runs_are_not_distinguishable():
    assert paired({1: 0.9, 2: 0.8}, {1: 0.9, 2: 0.8}).distinguishable is False


def test_letters_without_a_font_are_no_noise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares, names = np.eye(2), ["体育", "财经"]
        plot = figures.draw("x", "x", lambda: figures.heat_map(shares, names, "cw", "answered", "true"))
    assert "体育" in plot.svg


def test_seeds_that_change_nothing_are_no_evidence():
    d = paired({1: 0.9, 2: 0.8, 3: 0.9}, {1: 0.8, 2: 0.7, 3: 0.8})
    assert d is not None
    assert (round(d.mean, 9), d.half, d.distinguishable, d.n) == (0.1, None, None, 3)
    results = with_accuracies({"cnb": [0.84, 0.84, 0.84], "nb": [0.83, 0.83, 0.83]})
    text = report.verdict(results)
    assert "The second, nb, is 1.0 points behind on every seed: the seeds change nothing" in text
    assert "distinguishable" not in text
    page, _ = report.html.page(results)
    assert "<small>on every seed</small>" in page


def test_comparison_between_the_bounds():
    rows = report.comparison(
        with_accuracies({"er": [0.8, 0.82], "naive": [0.2, 0.2], "ewc": [0.3, 0.4], "joint": [1, 1]})
    )
    assert [row.label for row in rows] == ["joint", "er", "ewc", "naive"]
    joint, er, ewc, naive = rows
    assert (joint.role, er.role, naive.role) == ("upper bound", "", "lower bound")
    assert er.average_accuracy == pytest.approx(0.81)
    assert er.sd == pytest.approx(0.02 / 2**0.5)
    assert er.gap_closed == pytest.approx(0.61 / 0.8)
    assert er.to_best is None
    assert ewc.to_best.mean == pytest.approx(-0.46)
    assert er.to_joint.mean == pytest.approx(-0.19)
    assert er.to_naive.half == pytest.approx(12.706204736 * 0.01)  # t of 1 degree
    assert naive.gap_closed is None
    assert joint.forgetting is None
    assert (er.seeds, er.memory_bytes) == (2, 1_568_000)


def test_forgetting_per_task_agrees_with_the_metric():
    run = fake_run("er", 1)
    assert forgotten(run).mean() == pytest.approx(run["metrics"]["forgetting"])
    assert np.isnan(forgotten(fake_run("joint", 1))).all()


# Reading


def test_the_same_method_twice_is_told_apart_by_what_differs():
    results = fake_results(["er", "naive"], 1)
    for memory, rate in ((200, 0.001), (200, 0.01)):
        run = fake_run("er", 1)
        run["hyperparameters"]["method"]["memory"] = memory
        run["hyperparameters"]["optimizer"]["rate"] = rate
        results["runs"].append(run)
    labels = {row.label for row in report.comparison(results)}
    assert labels == {
        "naive",
        "er (memory=500, rate=0.001)",
        "er (memory=200, rate=0.001)",
        "er (memory=200, rate=0.01)",
    }


def test_each_method_is_held_against_the_naive_that_was_trained_alike():
    results = with_accuracies({"er": [0.8], "naive": [0.2]})
    for method, accuracy in (("er", 0.9), ("naive", 0.5)):
        run = fake_run(method, 1)
        run["hyperparameters"]["epochs"] = 9
        run["metrics"]["average_accuracy"] = accuracy
        results["runs"].append(run)
    gains = {row.label: row.to_naive.mean for row in report.comparison(results) if not row.role}
    assert gains == pytest.approx({"er (epochs=1)": 0.6, "er (epochs=9)": 0.4})


def test_a_run_done_again_replaces_the_earlier_one():
    results = with_accuracies({"er": [0.1]})
    again = with_accuracies({"er": [0.9]})
    results["runs"] += again["runs"]
    (row,) = report.comparison(results)
    assert (row.seeds, row.average_accuracy) == (1, 0.9)


def test_scenarios_and_output_spaces_are_kept_apart():
    results = fake_results(["er"], 1)
    changes = ({"scenario": "task"}, {"output_space": "all"}, {"stream": {"kind": "permuted"}})
    for change in changes:
        results["runs"].append(fake_run("er", 1) | change)
    titles = [group.title for group in groups(results)]
    assert titles == [
        "mnist-5k, class scenario, 5 tasks, output space seen",
        "mnist-5k, task scenario",
        "mnist-5k, class scenario, 5 tasks, output space all",
        "mnist-5k, class scenario, 5 tasks, permuted, output space seen",
    ]
    assert len(report.verdict(results).splitlines()) == 4


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without figures."""
    monkeypatch.setattr(figures, "draw", lambda name, alt, make: None)


def test_runs_over_other_data_of_the_same_name_are_never_mixed(undrawn):
    results = {"schema": 1, "runs": []}
    for method, seed, data in (("er", 1, "aa"), ("er", 2, "aa"), ("naive", 1, "aa"), ("er", 1, "bb")):
        run = fake_run(method, seed, tasks=2) | {"fingerprint": f"{data}11112222-33334444"}
        run["stream"] = {"kind": "by", "column": "month", "seed": seed}
        run["metrics"]["average_accuracy"] = {"aa": 0.8, "bb": 0.2}[data]
        results["runs"].append(run)
    first, second = groups(results)
    assert [len(entry.runs) for entry in first.entries] == [2, 1]
    assert first.title.endswith("2 tasks, by, output space seen, data aa1111-333344")
    assert second.title.endswith("2 tasks, by, output space seen, data bb1111-333344")
    mine, other = report.verdict(results).splitlines()
    assert "80.0 %" in mine
    assert "20.0 %" not in mine
    assert "data bb1111-333344), er ends with an average accuracy of 20.0 %" in other
    page, _ = html.page(results)
    assert Page(page).text.count("other rows, or the same rows read in another way") == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"fingerprint": "a-1"}, {"fingerprint": "a-2"}),  # another test set
        ({"stream": {"fingerprint": "a"}}, {"stream": {"fingerprint": "b"}}),  # rows that came by once
        ({"classes": ["x", "y"]}, {"classes": ["x", "z"]}),  # without a fingerprint
        ({"fingerprint": "a"}, {"fingerprint": "a", "stream": {"validation": 0.1}}),
        ({"fingerprint": "a", "tasks": ["1", "2"]}, {"fingerprint": "a", "tasks": ["3", "4"]}),
        ({"stream": {"seed": 1}}, {"stream": {"seed": 2}}),  # of one seed of the learner
        ({"stream": {"angles": [0, 45]}}, {"stream": {"angles": [0, 90]}}),
        ({"key": "er-1-0a"}, {"key": "ewc-1-0a+2"}),  # a model that was updated
        ({"score": "accuracy"}, {"score": "max(0, r2)"}),
        ({}, {"tasks": ["a", "b", "c"]}),
    ],
)
def test_what_cannot_be_compared_is_in_groups_of_their_own_with_titles_of_their_own(one, other):
    runs = [fake_run("er", 1, tasks=2) | one, fake_run("ewc", 1, tasks=2) | other]
    for run in runs:
        run["metrics"]["average_accuracy"] = 0.5
    found = groups({"schema": 1, "runs": runs})
    assert len({group.title for group in found}) == len(found) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"stream": {"kind": "split", "seed": 1}},
            {"stream": {"kind": "split", "seed": 2}, "tasks": ["b", "a"]},
        ),
        ({"stream": {"angles": [0, 45]}, "seed": 1}, {"stream": {"angles": [3, 50]}, "seed": 2}),
        ({"classes": ["x", "y"]}, {"classes": ["y", "x"]}),
        ({"fingerprint": "a"}, {"fingerprint": "a", "hyperparameters": {"learner": {}}, "seed": 1}),
        (
            {"stream": {"kind": "flow", "file": "/a/x", "rows": 9}},
            {"stream": {"kind": "flow", "file": "/b/x", "rows": 9}},
        ),
    ],
)
def test_seeds_and_methods_of_the_same_data_stay_together(one, other):
    runs = [fake_run("er", 1, tasks=2) | one, fake_run("cw", 2, tasks=2) | other]
    assert len(groups({"schema": 1, "runs": runs})) == 1


def updates(seed: int, count: int) -> list[dict[str, Any]]:
    """A run of one task, and the records of so many updates of its model."""
    keys = ["er-1-0a" + "".join(f"+{k}" for k in range(2, n + 2)) for n in range(count + 1)]
    return [fake_run("er", seed, tasks=n + 1) | {"key": f"{seed}-{k}"} for n, k in enumerate(keys)]


def test_of_updates_the_last_is_reported_beside_the_run(undrawn):
    found = groups({"schema": 1, "runs": updates(1, 3)})
    assert [(group.length, group.updated) for group in found] == [(4, True)]
    page, _ = html.page({"schema": 1, "runs": updates(1, 2)})
    assert Page(page).text.count("These models were updated") == 1


def test_a_run_beside_others_that_were_not_updated_stays():
    found = groups({"schema": 1, "runs": [*updates(1, 2), fake_run("naive", 1, tasks=1)]})
    assert [(group.length, len(group.runs), group.updated) for group in found] == [
        (1, 2, False),
        (3, 1, True),
    ]


def test_eighteen_updates_are_one_time_line_of_guard_sets_and_not_chapters(tmp_path):
    runs, names = updates(1, 18), [f"2025-{k:02d}" for k in range(1, 20)]
    for run in runs:
        count = len(run["tasks"])
        run |= {"tasks": names[:count], "data": " + ".join(names[:count])}
    results = {"schema": 1, "runs": runs}
    page, plots = html.page(results)
    text = Page(page).text
    assert "Report: 2025-01 to 2025-19, class scenario" in text
    assert page.count('id="timeline"') == 1
    assert "group" not in re.findall(r'<h2 class="(\w+)"', page)
    (drawn,) = [plot for plot in plots if plot.name.startswith("timeline")]
    R = np.array(runs[-1]["R"], float)
    shown = re.findall(r">(\d+)</text>", drawn.svg)
    assert sorted(map(int, shown)) == sorted(round(100 * v) for v in R[~np.isnan(R)])
    rows = dict(re.findall(r'<th scope="row">(2025-\d+)</th>(.*?)</tr>', page))
    assert list(rows) == names
    learned, best, now, change = re.findall(r"<td>(.*?)</td>", rows["2025-03"])
    assert (float(learned), float(best)) == pytest.approx((100 * R[2, 2], 100 * max(R[2:, 2])), abs=0.06)
    assert float(now) == pytest.approx(100 * R[-1, 2], abs=0.06)
    assert float(change.replace("−", "-")) == pytest.approx(100 * (R[-1, 2] - max(R[2:, 2])), abs=0.06)
    assert len(report.verdict(results).splitlines()) == 1


def test_wide_parts_scroll_inside_themselves_on_a_phone():
    page, _ = html.page(fake_results(["er", "naive", "joint"], 2))
    assert page.count("<table") == len(re.findall(r'<div class="scroll"[^>]*><table', page)) > 5
    assert page.count("<svg") == len(re.findall(r'<div class="scroll"[^>]*><svg', page)) > 5
    assert ".scroll { overflow-x: auto" in page


def test_updates_of_one_model_are_reported_as_far_as_another_has_them():
    found = groups({"schema": 1, "runs": updates(1, 3) + updates(2, 2)})
    assert [(group.length, len(group.runs)) for group in found] == [(3, 2), (4, 1)]


def test_confusion_and_recall_are_matched_by_class_name():
    a, b = fake_run("er", 1), fake_run("er", 2)
    a |= {"classes": ["2", "10"], "confusion": [[8, 2], [0, 10]], "recall": {"2": 0.8, "10": 1.0}}
    b |= {"classes": ["10", "2"], "confusion": [[6, 4], [4, 6]], "recall": {"10": 0.6, "2": None}}
    (group,) = groups({"schema": 1, "runs": [a, b]})
    (entry,) = group.entries
    assert group.classes() == ["2", "10"]
    assert entry.confusion(group.classes()).tolist() == [[0.7, 0.3], [0.2, 0.8]]
    assert entry.recall() == pytest.approx({"2": 0.8, "10": 0.8})


def test_flatten():
    assert flatten({"a": {"b": 1, "seed": 3}, "c": [1, 2]}) == {"a.b": "1", "c": "[1, 2]"}


@pytest.mark.parametrize("results", [{}, {"schema": 2, "runs": [1]}, {"schema": 1, "runs": []}])
def test_what_cannot_be_read_is_refused(results):
    with pytest.raises(LifelongError):
        report.verdict(results)


# The verdict


def test_verdict_on_a_clear_winner():
    text = report.verdict(
        with_accuracies(
            {
                "naive": [0.20, 0.21, 0.19],
                "er": [0.80, 0.81, 0.81],
                "der++": [0.90, 0.91, 0.90],
                "ewc": [0.10, 0.11, 0.09],
                "joint": [0.95, 0.96, 0.97],
            }
        )
    )
    assert "der++ has the highest average accuracy, 90.3 %, 70.3 points above naive" in text
    assert "70.3 points above naive (95 % interval 68.9 to 71.8)" in text
    assert "5.7 points below joint (95 % interval 2.8 to 8.5)" in text
    assert "closing 93 % of the gap between naive and joint" in text
    assert "forgets" in text
    assert "distinguishable from the second, er, which is 9.7 points behind" in text
    assert "not distinguishable" not in text
    assert text.endswith("Below naive: ewc (−10.0 points).")
    assert len(re.findall(r"\.(?: |$)", text)) == 4


def test_verdict_when_the_first_two_are_not_distinguishable():
    text = report.verdict(
        with_accuracies(
            {
                "naive": [0.2, 0.2, 0.2],
                "er": [0.80, 0.84, 0.79],
                "der++": [0.81, 0.80, 0.85],
                "lwf": [0.79, 0.78, 0.80],
                "ewc": [0.3, 0.3, 0.3],
            }
        )
    )
    assert "der++ and the second, er, are not distinguishable (1.0 points apart, 95 %" in text
    assert text.endswith("; nor is lwf.")
    assert "ewc" not in text
    assert "joint" not in text


def test_verdict_on_one_seed_gives_no_interval():
    text = report.verdict(
        with_accuracies({"naive": [0.2], "er": [0.8], "der++": [0.81], "joint": [0.9]})
    )
    assert "This is one seed, so no interval can be given" in text
    assert "whether der++ and er, 1.0 points apart, differ at all cannot be said" in text
    assert "95 %" not in text


def test_verdict_when_nothing_beats_naive():
    text = report.verdict(with_accuracies({"naive": [0.5, 0.52], "ewc": [0.5, 0.51]}))
    assert "0.5 points below naive (not distinguishable from it, 95 % interval" in text
    assert "Below naive: ewc (−0.5 points, not distinguishable)." in text


def test_verdict_on_one_run_says_what_was_forgotten_most():
    run = fake_run("er", 1, tasks=3)
    run["R"] = [[0.99, None, None], [0.7, 0.98, None], [0.8, 0.5, 0.97]]
    run["metrics"]["average_accuracy"] = 0.7567
    text = report.verdict({"schema": 1, "runs": [run]})
    assert "er ends with an average accuracy of 75.7 %." in text
    assert "It forgot task 2 (2 3) most, which fell from 98.0 % to 50.0 %." in text
    assert "one seed, so no interval can be given" in text
    assert "run naive (the lower bound) and joint (the upper bound)" in text
    run["R"] = [[0.9, None, None], [0.9, 0.9, None], [0.95, 0.9, 0.9]]
    assert "It forgot nothing" in report.verdict({"schema": 1, "runs": [run]})


def test_verdict_without_measurements():
    run = fake_run("er", 1, tasks=1)
    run["metrics"] = dict.fromkeys(run["metrics"])
    assert "has no average accuracy" in report.verdict({"schema": 1, "runs": [run]})
    assert "only joint 95.9 % and naive 51.9 %." in report.verdict(fake_results(["naive", "joint"], 2))


def alone(method: str = "er", tasks: int = 3, **changes: Any) -> str:
    """The verdict on one run with these changes."""
    run = fake_run(method, 1, tasks=tasks) | changes
    run["metrics"]["average_accuracy"] = 0.5
    return report.verdict({"schema": 1, "runs": [run]})


@pytest.mark.parametrize("scenario", ["task", "domain", "class", "free"])
def test_only_what_can_be_run_there_is_advised(scenario):
    naive, joint = "naive (the lower bound)", "joint (the upper bound)"
    told = scenario != "free"
    assert (naive in (er := alone("er", scenario=scenario)), joint in er) == (True, told)
    assert (joint in alone("naive", scenario=scenario)) is told
    assert "To judge it" in alone("joint", scenario=scenario)
    if not told:
        assert "To judge it" not in alone("naive", scenario=scenario)
    whole_stream = {"optimizer": {"schedule": {"per": "stream"}}}
    text = alone("er", scenario=scenario, hyperparameters=whole_stream)
    assert naive in text
    assert joint not in text


def test_advice_for_linear_learners_is_of_learners_that_take_their_data():
    table, texts = {"learner": {"C": 1.0}}, {"learner": {"C": 1.0}, "text": {"ngrams": [1]}}
    assert alone("cw", hyperparameters=table).endswith("that no order can change beside it: ncm.")
    assert alone("cw", hyperparameters=texts).endswith("beside it: cnb or ncm.")
    assert alone("cnb", hyperparameters=texts).endswith("beside it: ncm.")
    assert "To judge it" not in alone("ncm", hyperparameters=table)


def test_advice_for_an_updated_model_is_to_update_the_others_too():
    text = alone("er", key="er-1-0123456789ab+3", data="january + february")
    assert "On january + february (class scenario, 3 tasks), er ends" in text
    assert text.endswith("run naive (the lower bound) and joint (the upper bound) beside it"
                         " and update both in the same way.")  # fmt: skip
    assert "run and update a learner" in alone("cw", key="cw-1-0a+2", hyperparameters={"learner": {}})


def test_one_task_has_no_bounds_to_run():
    text = alone("er", tasks=1)
    assert "nothing can be forgotten yet" in text
    assert "To judge it" not in text


def test_what_is_scored_is_named_in_the_verdict():
    assert "er ends with an average max(0, r2) of 50.0 %" in alone("er", score="max(0, r2)")
    results = fake_results(["er", "lwf", "naive"], 2)
    for run in results["runs"]:
        run["score"] = "mean average precision"
    assert "er has the highest average mean average precision" in report.verdict(results)
    assert "accuracy" not in report.verdict(results)


@pytest.mark.parametrize(
    "accuracies",
    [
        {"naive": [0.50, 0.60], "er": [0.56, 0.66], "joint": [0.52, 0.57]},  # a gap that may be none
        {"naive": [0.50, 0.52], "er": [0.66, 0.67], "joint": [0.60, 0.62]},  # above joint
        {"naive": [0.50, 0.52], "er": [0.46, 0.47], "joint": [0.60, 0.62]},  # below naive
        {"naive": [0.70, 0.71], "er": [0.65, 0.67], "joint": [0.60, 0.62]},  # joint below naive
        {"naive": [0.5], "er": [0.56], "joint": [0.6]},  # one seed
    ],
)
def test_no_share_of_a_gap_that_is_none_or_that_a_method_is_not_within(accuracies):
    results = with_accuracies(accuracies)
    assert "gap" not in report.verdict(results)
    assert {row.gap_closed for row in report.comparison(results)} == {None}


def test_linear_learners_close_no_gap_between_networks():
    results = with_accuracies({"naive": [0.2, 0.21], "cw": [0.5, 0.52], "joint": [0.9, 0.91]})
    for run in results["runs"]:
        if run["method"] == "cw":
            run["hyperparameters"] = {"learner": {"C": 1.0}}
    assert "gap" not in report.verdict(results)


def test_methods_that_are_equal_share_the_first_place():
    text = report.verdict(with_accuracies({"er": [0.8, 0.8], "lwf": [0.8, 0.8], "ewc": [0.1, 0.2]}))
    assert "er and lwf have the highest average accuracy, 80.0 %" in text


def test_a_method_that_got_better_on_the_past_is_not_said_to_forget():
    results = with_accuracies({"er": [0.8, 0.81], "naive": [0.5, 0.5]})
    for run in results["runs"]:
        run["metrics"]["forgetting"] = -0.02
    assert "An earlier task ends 2.0 points above its best on average" in report.verdict(results)


def streamed(method: str, seed: int, right: float, prequential: float | None = None) -> dict[str, Any]:
    """A run of a linear learner in the order of time; no-change is right 40 % of the time."""
    run = fake_run(method, seed, tasks=1) | {"scenario": "free", "hyperparameters": {"learner": {}}}
    shares = {method: right, "no-change": 0.4, "majority": 0.3}
    run["progressive"] = {
        "name": method, "rows": 10, "delay": 0, "chunk": 1, "window": 5, "drifts": [4],
        "scores": {k: {"accuracy": v, "kappa": 0.0, "kappa_temporal": None} for k, v in shares.items()},
        "windowed": {"row": [4, 9], **{name: [share, share] for name, share in shares.items()}},
        "below": "no-change" if right <= 0.4 else None,
        "verdict": f"{method} is judged",
    }  # fmt: skip
    run["metrics"]["prequential_accuracy"] = right if prequential is None else prequential
    return run


def test_row_by_row_is_told_of_all_methods_and_all_seeds():
    runs = [
        streamed("cw", 1, 0.3),
        streamed("cw", 2, 0.6),
        streamed("pa", 1, 0.2),
        streamed("pa", 2, 0.3),
    ]
    text = report.verdict({"schema": 1, "runs": runs})
    assert "before it learns each, cw is right most often, 45.0 %." in text
    assert "cw is no better than no-change, which is right 40.0 % of the time on 1 of 2 seeds." in text
    assert "pa is no better than no-change, which is right 40.0 % of the time." in text
    naive = fake_run("naive", 1, tasks=1) | {"scenario": "free"}
    naive["metrics"]["prequential_accuracy"] = 0.9
    text = report.verdict({"schema": 1, "runs": [*runs, naive]})
    assert "naive is right most often, 90.0 %" in text


def test_what_was_never_asked_row_by_row_is_not_measured():
    run = fake_run("nb", 1) | {"hyperparameters": {"learner": {"estimator": "MultinomialNB"}}}
    run["metrics"]["prequential_accuracy"] = 0.0
    (group,) = groups({"schema": 1, "runs": [run]})
    assert group.entries[0].mean("prequential_accuracy") is None
    asked = streamed("cw", 1, 0.0)
    (group,) = groups({"schema": 1, "runs": [asked]})
    assert group.entries[0].mean("prequential_accuracy") == 0.0


# The page


class Page(HTMLParser):
    """Collects tags, text and attributes; checks that tags are closed in order."""

    VOID = ("meta", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report on hostile names, with nulls (joint) and two seeds."""
    results = fake_results(["naive", "er", "joint"], 2, tasks=3)
    for run in results["runs"]:
        run["tasks"][1] = '<img src=x onerror="alert(1)">'
        run["command"] = "lifelong run 'a&b' --note \"<script>alert(2)</script>\""
        if run["method"] == "er":
            run["method"] = 'er"><script>alert(3)</script>$x$'
    folder = tmp_path_factory.mktemp("report")
    return results, folder, report.write(results, folder)


@pytest.fixture(scope="module")
def parsed(written):
    return Page(written[2].read_text(encoding="utf-8"))


def test_the_page_is_self_contained(written, parsed):
    links = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(value.startswith(("#", "data:")) for value in links)
    html = written[2].read_text(encoding="utf-8")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not {"script", "link", "iframe", "img"} & set(parsed.tags)
    assert parsed.open == []


def test_every_string_of_the_results_is_escaped(written, parsed):
    html = written[2].read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert 'er"><script>alert(3)</script>$x$' in parsed.text
    assert "lifelong run 'a&b' --note \"<script>alert(2)</script>\"" in parsed.text
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]


def test_ids_are_unique_and_links_lead_somewhere(parsed):
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in parsed.attributes:
        if name in ("href", "xlink:href") and value.startswith("#"):
            assert value[1:] in ids


def test_the_verdict_comes_first_and_everything_is_there(written, parsed):
    text = parsed.text
    assert report.verdict(written[0]) in text
    page = written[2].read_text(encoding="utf-8")
    assert page.index('id="verdict"') < page.index("<h2")
    assert re.findall(r'<h2 id="(.*?)"', page) == [
        "comparison",
        "curves",
        "matrices",
        "forgetting",
        "cost",
        "awareness",
        "classes",
        "plasticity",
        "formulas",
        "reproduce",
    ]
    assert "Output space: seen" in text
    for name in ("naive", "joint", 'er"><script>', *html.METRICS.values(), *html.FORMULAS):
        assert name.lower() in text.lower(), name
    assert "max l<T R[l, j] − R[T, j]" in text
    for fact in ("torch 2.5", "x86_64", "optimizer.rate = 0.001", "1, 2"):
        assert fact in text


def test_accessible_tables_and_figures(written, parsed):
    page = written[2].read_text(encoding="utf-8")
    assert '<html lang="en">' in page
    assert page.count("<svg ") == page.count('role="img" aria-label="')
    assert not re.search(r"<th(?! scope=)[ >]", page)


def test_figures_are_written_as_png_and_svg(written):
    _, folder, path = written
    assert path == folder / "report.html"
    names = {file.name for file in (folder / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in names}
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    assert {"curves", "inside-tasks", "forgetting", "cost", "plasticity", "matrix-1-joint"} <= stems
    for stem in stems:
        png = (folder / "figures" / f"{stem}.png").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert png[-8:-4] == b"IEND"
        svg = ET.parse(folder / "figures" / f"{stem}.svg").getroot()
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert not list(folder.rglob("*.part"))


def test_the_same_results_give_the_same_page():
    import matplotlib

    before = dict(matplotlib.rcParams)
    results = fake_results(["er"], 1, tasks=2)
    results["runs"][0] |= {"classes": [], "recall": {}, "confusion": [], "plasticity": []}
    page, plots = html.page(results)
    again, replots = html.page(copy.deepcopy(results))
    assert page == again
    assert [plot.png for plot in plots] == [plot.png for plot in replots]
    assert dict(matplotlib.rcParams) == before
    assert "Plasticity" not in Page(page).text
    assert "Dashed" not in Page(page).text


def test_a_run_with_hardly_anything_measured_still_has_a_page(tmp_path):
    run = fake_run("er", 1, tasks=1)
    run |= {"R_task_aware": None, "R_task_agnostic": None, "baseline": None, "trace": []}
    run |= {"recall": {}, "confusion": [], "plasticity": [], "cost": {}, "R": [[None]]}
    run["metrics"] = dict.fromkeys(run["metrics"])
    page, plots = html.page({"schema": 1, "runs": [run]})
    assert plots == []
    path = report.write({"schema": 1, "runs": [run]}, tmp_path / "mine.html")
    assert path == tmp_path / "mine.html"
    assert path.read_text(encoding="utf-8") == page
    assert "er has no average accuracy" in Page(page).text


# The figures' small parts


def test_labels_are_pushed_apart_but_stay_in_order():
    places = figures.spread([0.0, 0.5, 0.51, 0.52, 1.0], 0.1, 0, 1)
    assert (np.diff(places) >= 0.1 - 1e-9).all()
    assert places[2] == pytest.approx(0.51)
    assert (places[0], places[-1]) == (0.0, 1.0)
    crowded = figures.spread([0.98, 0.99, 1.0], 0.1, 0, 1)
    assert crowded == pytest.approx([0.8, 0.9, 1.0])


def test_ticks_are_thinned_to_round_numbers():
    assert list(figures.ticks(5, 12)) == [0, 1, 2, 3, 4]
    assert [i + 1 for i in figures.ticks(50, 12)] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]


def test_steps_inside_tasks_may_count_on_or_start_anew():
    anew = [{"task": t, "step": s} for t in (0, 1) for s in (5, 10)]
    on = [{"task": 0, "step": 5}, {"task": 0, "step": 10}, {"task": 1, "step": 15}]
    assert figures.positions(anew) == [0.5, 1.0, 1.5, 2.0]
    assert figures.positions([*on, {"task": 1, "step": 20}]) == [0.5, 1.0, 1.5, 2.0]
    sparse = [
        {"task": 0, "step": 5},
        {"task": 1, "step": 15},
    ]  # every 5th of 10 steps, less the end
    assert figures.positions(sparse, total=20) == [0.5, 1.5]
    assert figures.positions([]) == []


def test_a_method_keeps_its_look_in_all_groups():
    results = fake_results(["naive", "er", "ewc"], 1)
    results["runs"] += [run | {"scenario": "task"} for run in fake_results(["ewc", "si"], 1)["runs"]]
    look = figures.looks(groups(results))
    assert set(look) == {"naive", "er", "ewc", "si"}
    assert len({(one.color, one.marker) for one in look.values()}) == 4


# Hostile strings, full disks, very many classes

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&amp; & &#0; ]]> <!-- -- -->",
    "\x1b[31mred\x1b[0m\x07",
    "NUL \x00 and \x08",
    "a\r\nb\nc\td",
    "txt\u202egnp\u2066",
    "half \ud83d of a pair \udc00",
    "$x^2$ $\\frac{1}{$ \\frac",
    "_hidden __init__ %s {0} {x}",
    "x" * 10_000,
    "../../x",
    "",
    "👩‍👩‍👧 😀",
    "体育 العربية",
    "\ufffe\uffff\u2028",
    "url(#a) id=\"b\" href=\"#c\" #1f2933",
]  # fmt: skip
FIXED = ("scenario", "output_space", "key")
"""Fields whose strings a schema does not leave free."""
KEYED = ("hyperparameters", "recall", "versions", "hardware", "beside")
"""Fields whose keys are strings of the data, too."""


def hostile(value: Any, strings: Iterator[str], keys: bool = False) -> Any:
    """The value with a hostile string in place of every string, and of every key where ``keys``."""
    if isinstance(value, dict):
        return {
            next(strings) if keys else key: child
            if key in FIXED
            else hostile(child, strings, keys or key in KEYED)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [hostile(child, strings, keys) for child in value]
    return next(strings) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def attacked():
    """Results in which every string is hostile, as a file of them is read."""
    runs = []
    for k in range(2):
        run = streamed("cw", 1, 0.3) if k % 2 else fake_run("er", 1, tasks=3)
        run |= {"fingerprint": "a-b", "classes": [str(c) for c in range(10)]}
        evil = itertools.cycle(f"{text} {k}" if text else "" for text in HOSTILE[k:] + HOSTILE[:k])
        bars = run.pop("progressive", None)
        run = hostile(run, evil)
        if bars is not None:
            name = next(evil)
            for table in (bars["scores"], bars["windowed"]):
                table[name] = table.pop("cw")
            run["progressive"] = bars | {"name": name, "verdict": next(evil), "below": name}
        runs.append(run)
    return {"schema": 1, "runs": runs}


def test_hostile_strings_can_be_read_and_stay_strings(attacked, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(attacked))
    content = bundle(read(tmp_path / "results.json"))
    assert [{k: v for k, v in run.items() if k != "digest"} for run in content["runs"]] == attacked[
        "runs"
    ]
    assert content["runs"][0]["tasks"] != fake_run("er", 1, tasks=3)["tasks"]
    for told in (report.verdict(content), *map(str, read(tmp_path / "results.json"))):
        assert not [c for c in told.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cs", "Zl")]
        told.encode()


def test_no_hostile_string_acts_on_the_page_or_a_figure(attacked, tmp_path):
    folder = tmp_path / "a" / "b"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = report.write(attacked, folder)
    content = path.read_text(encoding="utf-8")
    page = Page(content)
    assert page.open == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "<script>alert(1)</script>" in page.text
    assert "$x^2$" in page.text
    assert r"\x1b[31mred" in page.text
    assert r"txt\u202egnp" in page.text
    assert r"half \ud83d of" in page.text
    inside = [c for c in content if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    assert not inside
    figures_drawn = list((folder / "figures").iterdir())
    assert figures_drawn
    for file in figures_drawn:
        assert re.fullmatch(r"[a-z0-9-]+\.(svg|png)", file.name)
        if file.suffix == ".svg":
            assert ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    svg = "".join(file.read_text(encoding="utf-8") for file in figures_drawn if file.suffix == ".svg")
    assert "$x^2$" in svg
    everything = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert everything == {path, *figures_drawn}


@pytest.fixture
def drawn(monkeypatch):
    """The page of any results, drawn before: a small one."""
    plot = figures.draw("x", "x", lambda: figures.heat_map(np.eye(2), ["a", "b"], "t", "x", "y"))
    monkeypatch.setattr(html, "page", lambda results: (str(results), [plot]))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_page_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, drawn, code):
    report.write({"a": 1}, tmp_path)
    before = (tmp_path / "report.html").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LifelongError, match=r"cannot write .*figures") as told:
        report.write({"a": 2}, tmp_path)
    assert len(str(told.value).splitlines()) == 1
    assert (tmp_path / "report.html").read_bytes() == before
    assert not [file for file in tmp_path.rglob(".*") if file.is_file()]


@pytest.mark.parametrize("blocked", ["figures", "report.html/x", "."])
def test_a_path_that_is_taken_is_one_line(tmp_path, drawn, blocked):
    folder = tmp_path / "out"
    taken = folder if blocked == "." else folder / blocked
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_text("")
    with pytest.raises(LifelongError, match="cannot write"):
        report.write({}, folder)


def test_very_many_classes_make_a_quick_and_readable_page():
    names = [f"class {c}" for c in range(6200)]
    results = fake_results(["er", "naive", "joint"], 2, tasks=2)
    for run in results["runs"]:
        run |= {"classes": names, "confusion": None}
        run["recall"] = {name: (c % 1000) / 1000 for c, name in enumerate(names)}
    began = time.process_time()
    page, plots = html.page(results)
    assert time.process_time() - began < 10
    assert "of the 200 classes, of 6,200, where it is lowest" in Page(page).text
    assert page.count('<th scope="row">class ') == 200
    assert '<th scope="row">class 3001<' in page
    assert '<th scope="row">class 500<' not in page
    assert not [plot for plot in plots if "confusion" in plot.name]
    assert len(page) < 2_000_000


def test_a_large_confusion_matrix_is_not_drawn():
    results = fake_results(["er"], 1, tasks=2)
    run = results["runs"][0]
    run |= {"classes": [str(c) for c in range(900)], "confusion": [[1] * 900] * 900}
    _, plots = html.page(results)
    assert not [plot for plot in plots if "confusion" in plot.name]
