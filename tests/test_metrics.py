"""Every summary of R against numbers worked out by hand."""

import numpy as np
import pytest

from lifelong import metrics
from lifelong.metrics import matrix

R = matrix([[0.9, 0.2, 0.1], [0.5, 0.8, 0.3], [0.6, 0.4, 1.0]])
LOWER = matrix([[0.9, None, None], [0.5, 0.8, None], [0.6, 0.4, 1.0]])
JOINT = matrix([[None] * 3, [None] * 3, [0.6, 0.4, 1.0]])
GAP = matrix([[0.9, None, None], [None, 0.8, None], [0.6, 0.4, 1.0]])
TRACE = [
    {"task": 0, "step": 1, "accuracy": [0.4, None, None]},
    {"task": 0, "step": 2, "accuracy": [0.9, None, None]},
    {"task": 1, "step": 3, "accuracy": [0.3, 0.5, None]},
    {"task": 1, "step": 4, "accuracy": [0.5, 0.8, None]},
    {"task": 2, "step": 5, "accuracy": [0.7, 0.1, 0.2]},
    {"task": 2, "step": 6, "accuracy": [0.6, 0.4, 1.0]},
]


def about(value):
    return None if value is None else pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "full", "lower", "joint", "gap"),
    [
        ("average_accuracy", 2 / 3, 2 / 3, 2 / 3, 2 / 3),
        ("average_incremental_accuracy", (0.9 + 0.65 + 2 / 3) / 3, (0.9 + 0.65 + 2 / 3) / 3, None, None),
        ("forgetting", (0.3 + 0.4) / 2, (0.3 + 0.4) / 2, None, None),
        ("bwt", (-0.3 - 0.4) / 2, (-0.3 - 0.4) / 2, None, -0.35),
        ("learning_accuracy", 0.9, 0.9, None, 0.9),
    ],
)
def test_summaries(name, full, lower, joint, gap):
    formula = getattr(metrics, name)
    assert formula(R) == about(full)
    assert formula(LOWER) == about(lower)
    assert formula(JOINT) == about(joint)
    assert formula(GAP) == about(gap)


def test_forgetting_is_from_the_best_not_from_the_first():
    rises = matrix([[0.5, 0.9], [0.5, 0.9]])
    assert metrics.forgetting(rises) == pytest.approx(0.0)
    later = matrix([[0.5, 0, 0], [0.9, 0, 0], [0.7, 0, 0]])
    assert metrics.forgetting(later) == pytest.approx((0.2 + 0.0) / 2)
    assert metrics.bwt(later) == pytest.approx((0.2 + 0.0) / 2)


def test_forgetting_counts_what_was_known_before_the_task_came():
    """RWalk's maximum runs over all l < T: 0.9 on task 2 before it was learned, 0.5 at the end."""
    early = matrix([[1.0, 0.9, 0.0], [1.0, 0.8, 0.0], [1.0, 0.5, 1.0]])
    assert metrics.forgetting(early) == pytest.approx((0.0 + 0.4) / 2)


def test_forgetting_can_be_negative():
    better = matrix([[0.5, 0.0], [0.8, 1.0]])
    assert metrics.forgetting(better) == pytest.approx(-0.3)
    assert metrics.bwt(better) == pytest.approx(0.3)


def test_fwt():
    baseline = np.array([0.1, 0.15, 0.2])
    assert metrics.fwt(R, baseline) == pytest.approx(((0.2 - 0.15) + (0.3 - 0.2)) / 2)
    assert metrics.fwt(LOWER, baseline) is None
    assert metrics.fwt(R, np.array([np.nan, 0.15, 0.2])) is not None
    assert metrics.fwt(R, np.array([0.1, np.nan, 0.2])) is None


def test_min_acc_and_wc_acc():
    """Task 1's lowest after it was learned: 0.3 (inside task 2). Task 2's: 0.1 (inside task 3)."""
    assert metrics.min_acc(R, TRACE) == pytest.approx((0.3 + 0.1) / 2)
    assert metrics.wc_acc(R, TRACE) == pytest.approx(1.0 / 3 + (2 / 3) * 0.2)


def test_min_acc_counts_task_ends_too():
    """Without the two lows inside, R's own rows hold the lowest: 0.5 and 0.4."""
    high = [p for p in TRACE if p["step"] not in (3, 5)]
    assert metrics.min_acc(R, high) == pytest.approx((0.5 + 0.4) / 2)


def test_min_acc_needs_evaluations_inside_tasks():
    assert metrics.min_acc(R, []) is None
    assert metrics.wc_acc(R, []) is None
    assert metrics.min_acc(R[:1, :1], TRACE) is None
    hole = [*TRACE, {"task": 2, "step": 7, "accuracy": [None, 0.4, 1.0]}]
    assert metrics.min_acc(R, hole) is None
    assert metrics.wc_acc(matrix([[0.5, 0.5], [0.5, None]]), TRACE[:4]) is None


def test_area_under_anytime_accuracy():
    """The mean over evaluations of the mean over the tasks met so far."""
    means = [0.4, 0.9, (0.3 + 0.5) / 2, (0.5 + 0.8) / 2, (0.7 + 0.1 + 0.2) / 3, 2 / 3]
    assert metrics.area_under_anytime_accuracy(TRACE) == pytest.approx(sum(means) / 6)
    assert metrics.area_under_anytime_accuracy([]) is None


def test_per_class_recall():
    """Rows are the true classes; the third has no samples, and has no recall."""
    recall, balanced = metrics.per_class(np.array([[3, 1, 0], [2, 8, 0], [0, 0, 0]]))
    assert recall == [0.75, 0.8, None]
    assert balanced == pytest.approx((0.75 + 0.8) / 2)
    assert metrics.per_class(np.zeros((2, 2), int)) == ([None, None], None)


def test_one_task_alone():
    one = matrix([[0.7]])
    assert metrics.average_accuracy(one) == pytest.approx(0.7)
    assert metrics.learning_accuracy(one) == pytest.approx(0.7)
    assert metrics.forgetting(one) is None
    assert metrics.bwt(one) is None
    assert metrics.fwt(one, np.array([0.5])) is None


def test_all_of_them_together():
    summary = metrics.summarize(R, np.array([0.1, 0.15, 0.2]), TRACE)
    assert all(isinstance(value, float) for value in summary.values())
    assert summary["forgetting"] == metrics.forgetting(R)
    assert summary["wc_acc"] == metrics.wc_acc(R, TRACE)
    without = metrics.summarize(JOINT, None, [])
    assert {n for n, v in without.items() if v is not None} == {"average_accuracy"}
