"""Every summary of R, by its formula. R[i, j] is the accuracy on task j after learning task i.

T tasks, counted from 1 in the formulas; NaN where R was not measured. A summary that needs an entry
which was not measured is None.

Others define some of these differently: Avalanche's BWT is the negative of its forgetting, which is
the first value minus the last; GEM's code divides BWT by T, not T - 1; Continuum's BWT is a mean
over all pairs i > j. The formulas below are those of the papers named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Number = float | None
PLAIN = ("nll", "r2", "rmse", "mae")
"""What is no share, and not told in percent."""

CONFUSED = 1000
"""Up to so many classes pairs of them are counted: a matrix of 8 MB while evaluating, and some ten
more as text in the result, which nobody reads cell by cell."""


def matrix(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    """R as an array, NaN for None."""
    return np.array([[np.nan if v is None else v for v in row] for row in rows], float)


def _mean(values: Any) -> Number:
    values = np.asarray(values, float)
    return float(values.mean()) if values.size and not np.isnan(values).any() else None


def _measured(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def average_accuracy(R: np.ndarray) -> Number:
    """A_T = 1/T sum_j R[T, j] (Lopez-Paz & Ranzato, "Gradient episodic memory", 2017)."""
    return _mean(R[-1])


def average_incremental_accuracy(R: np.ndarray) -> Number:
    """1/T sum_i A_i, with A_i = 1/i sum_{j<=i} R[i, j] (Rebuffi et al., "iCaRL", 2017)."""
    return _mean([np.mean(R[i, : i + 1]) for i in range(len(R))])


def forgetting(R: np.ndarray) -> Number:
    """1/(T-1) sum_{j<T} (max_{l<T} R[l, j] - R[T, j]) (Chaudhry et al., "RWalk", 2018).

    Entries l < j count where they were measured; those from j on must be.
    """
    last = len(R) - 1
    return _mean([np.max([np.max(R[j:last, j]), *_measured(R[:j, j])]) - R[-1, j] for j in range(last)])


def bwt(R: np.ndarray) -> Number:
    """1/(T-1) sum_{j<T} (R[T, j] - R[j, j]) (Lopez-Paz & Ranzato, 2017)."""
    return _mean([R[-1, j] - R[j, j] for j in range(len(R) - 1)])


def fwt(R: np.ndarray, baseline: np.ndarray) -> Number:
    """1/(T-1) sum_{j>1} (R[j-1, j] - b_j), b before any learning (Lopez-Paz & Ranzato, 2017)."""
    return _mean([R[j - 1, j] - baseline[j] for j in range(1, len(R))])


def learning_accuracy(R: np.ndarray) -> Number:
    """1/T sum_j R[j, j] (Riemer et al., "Learning to learn without forgetting", 2019)."""
    return _mean(np.diag(R))


def min_acc(R: np.ndarray, trace: list[dict[str, Any]]) -> Number:
    """1/(T-1) sum_{j<T} of the lowest accuracy on task j at any evaluation after it was learned.

    De Lange et al., "Continual evaluation for lifelong learning" (2023), min-ACC. Needs evaluations
    inside tasks; those at task ends count too.
    """
    if not trace or len(R) < 2:
        return None
    inside = matrix([point["accuracy"] for point in trace])
    tasks = np.array([point["task"] for point in trace])
    lows = [np.min(np.concatenate([inside[tasks > j, j], R[j + 1 :, j]])) for j in range(len(R) - 1)]
    return _mean(lows)


def wc_acc(R: np.ndarray, trace: list[dict[str, Any]]) -> Number:
    """1/T R[T, T] + (1 - 1/T) min-ACC: the worst case (De Lange et al., 2023)."""
    low = min_acc(R, trace)
    if low is None or np.isnan(R[-1, -1]):
        return None
    return float(R[-1, -1] / len(R) + (1 - 1 / len(R)) * low)


def area_under_anytime_accuracy(trace: list[dict[str, Any]]) -> Number:
    """Mean, over evaluations evenly spaced in samples, of the accuracy on the tasks met so far.

    Koh et al., "Online continual learning on class incremental blurry task configuration" (2022).
    """
    met = [matrix([point["accuracy"][: point["task"] + 1]]).mean() for point in trace]
    return _mean(met)


def per_class(confusion: np.ndarray) -> tuple[list[Number], Number]:
    """(recall of every class, balanced accuracy = their mean), of a confusion matrix."""
    return recalls(np.diag(confusion), confusion.sum(1))


def recalls(hits: np.ndarray, totals: np.ndarray) -> tuple[list[Number], Number]:
    """The same, of how many samples of every class were given right, and how many there are."""
    recall = [float(hit / n) if n else None for hit, n in zip(hits, totals, strict=True)]
    return recall, _mean([r for r in recall if r is not None])


def summarize(
    R: np.ndarray, baseline: np.ndarray | None, trace: list[dict[str, Any]]
) -> dict[str, Number]:
    """All of the above that follow from R, the baseline and the evaluations inside tasks."""
    return {
        "average_accuracy": average_accuracy(R),
        "average_incremental_accuracy": average_incremental_accuracy(R),
        "forgetting": forgetting(R),
        "bwt": bwt(R),
        "fwt": None if baseline is None else fwt(R, baseline),
        "learning_accuracy": learning_accuracy(R),
        "min_acc": min_acc(R, trace),
        "wc_acc": wc_acc(R, trace),
    }
