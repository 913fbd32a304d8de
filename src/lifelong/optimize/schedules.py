"""Learning-rate schedules: a factor on the learning rate, a pure function of the share that is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import LifelongError, unknown

EXACT = 1e-9
"""Sums of shares are exact up to this."""


@dataclass(frozen=True)
class Schedule:
    """A shape over a span, behind a linear warm-up: ``ll.Schedule("cosine", warmup=0.1)``.

    Args:
        kind: ``constant``, ``step``, or ``cosine`` (half a cosine; Loshchilov & Hutter, "SGDR",
            2017, eq. 5).
        warmup: share of the span in which the factor rises linearly from 0 to 1.
        per: the span: ``task`` starts over with every phase of every task; ``stream`` runs once over
            all tasks, whose number the learner then has to know, each an equal share of it.
        at: for ``step``, the shares of the span behind the warm-up at which the factor is
            multiplied by ``gamma``.
        floor: for ``cosine``, the factor at the end.
    """

    kind: str = "constant"
    warmup: float = 0.0
    per: str = "task"
    at: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise unknown("schedule", self.kind, SCHEDULES)
        if self.per not in ("task", "stream"):
            raise unknown("schedule span", self.per, ("task", "stream"))
        if not 0 <= self.warmup < 1:
            raise LifelongError(f"warmup={self.warmup}: give a share of the span in [0, 1)")
        if not all(isinstance(share, float | int) for share in self.at):
            raise LifelongError(f"at={self.at}: give shares of the span, as in [0.5, 0.75]")

    def factor(self, done: float, step: float) -> float:
        """The factor for a step that is ``step`` of the span, before which ``done`` of it is over."""
        if done < self.warmup - EXACT:
            return min(1.0, (done + step) / self.warmup)
        return SCHEDULES[self.kind](self, max(0.0, done - self.warmup) / (1 - self.warmup))


def _constant(schedule: Schedule, share: float) -> float:
    return 1.0


def _step(schedule: Schedule, share: float) -> float:
    return schedule.gamma ** sum(share >= at - EXACT for at in schedule.at)


def _cosine(schedule: Schedule, share: float) -> float:
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[[Schedule, float], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
}
