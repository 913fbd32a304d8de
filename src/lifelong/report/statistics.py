"""Means, paired differences by seed, and their 95 % intervals.

The same seed gives every method the same task order, initial weights and batches. So methods are
compared seed by seed: with differences d_1, …, d_n the interval is mean(d) ± t · sd(d) / √n, where
t is the 97.5 % quantile of Student's distribution with n − 1 degrees of freedom. One seed gives no
interval, nor do seeds that change nothing. Intervals are not corrected for the number of methods
compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .groups import Entry, Group, groups


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds and the half-width of its 95 % interval.

    None for one seed, and where all seeds gave the same: that is no evidence of how much they vary.
    """

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half

    @property
    def distinguishable(self) -> bool | None:
        """Whether the interval excludes zero; None where nothing can be said."""
        if self.half is None:
            return False if self.n > 1 and self.mean == 0 else None
        return abs(self.mean) > self.half


def interval(values: Iterable[float]) -> Interval:
    """The mean with its 95 % t interval."""
    from scipy.special import stdtrit

    x = np.array(list(values), float)
    mean = float(x.mean())
    if len(x) < 2 or np.ptp(x) < 1e-12:
        return Interval(mean, None, len(x))
    half = stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / np.sqrt(len(x))
    return Interval(mean, float(half), len(x))


def paired(a: dict[int, float], b: dict[int, float]) -> Interval | None:
    """a − b over the seeds both have; None where they share none."""
    seeds = sorted(a.keys() & b.keys())
    return interval(a[s] - b[s] for s in seeds) if seeds else None


def difference(a: Entry | None, b: Entry | None) -> Interval | None:
    """The paired difference in average accuracy; None of a method to itself."""
    if a is None or b is None or a is b:
        return None
    return paired(a.values("average_accuracy"), b.values("average_accuracy"))


def gap_closed(group: Group, entry: Entry) -> float | None:
    """(A − A_naive) / (A_joint − A_naive), over the seeds that all three have.

    None of linear learners, which naive and joint are no bounds of; where joint is not known to be
    above naive (one seed, or an interval that holds zero); and of what is not between the two.
    """
    naive, joint = group.bound("naive", entry), group.bound("joint", entry)
    if entry.role or entry.linear or naive is None or joint is None:
        return None
    a, low, high = (e.values("average_accuracy") for e in (entry, naive, joint))
    seeds = a.keys() & low.keys() & high.keys()
    gap = paired({s: high[s] for s in seeds}, low)
    if gap is None or gap.n == 1 or gap.mean <= 0 or gap.distinguishable is False:
        return None
    share = sum(a[s] - low[s] for s in seeds) / (gap.mean * gap.n)
    return share if 0 <= share <= 1 else None


@dataclass(frozen=True)
class Row:
    """One line of the comparison. Accuracies and differences are shares, not percent."""

    group: str
    method: str
    label: str
    """The method, with the hyper-parameters that tell it from others of its name."""
    role: str
    """"lower bound", "upper bound", "reference", or "" for a method that competes."""
    seeds: int
    average_accuracy: float | None
    sd: float | None
    row_by_row: float | None
    """Under ``free``: accuracy on every row before it was learned."""
    forgetting: float | None
    bwt: float | None
    seconds: float | None
    memory_bytes: float | None
    to_best: Interval | None
    """Minus the best method that competes, paired by seed."""
    to_naive: Interval | None
    to_joint: Interval | None
    gap_closed: float | None
    """Share of the gap from naive to joint; None where there is no such gap, or it is not within it."""


def rows(group: Group) -> list[Row]:
    """The comparison within one group, in the group's order."""
    best = next(iter(group.contenders), None)
    return [
        Row(
            group=group.title,
            method=entry.method,
            label=entry.label,
            role=entry.role,
            seeds=len(entry.runs),
            average_accuracy=entry.mean("average_accuracy"),
            sd=entry.sd("average_accuracy"),
            row_by_row=entry.mean("prequential_accuracy") if group.scenario == "free" else None,
            forgetting=entry.mean("forgetting"),
            bwt=entry.mean("bwt"),
            seconds=entry.mean("seconds", "cost"),
            memory_bytes=entry.mean("memory_bytes", "cost"),
            to_best=difference(entry, best),
            to_naive=difference(entry, group.bound("naive", entry)),
            to_joint=difference(entry, group.bound("joint", entry)),
            gap_closed=gap_closed(group, entry),
        )
        for entry in group.entries
    ]


def comparison(results: dict[str, Any]) -> list[Row]:
    """The rows of the comparison table: joint first, then from best to worst, then naive."""
    return [row for group in groups(results) for row in rows(group)]
