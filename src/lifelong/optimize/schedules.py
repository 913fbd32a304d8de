"""Learning-rate schedules: a factor on the learning rate, a pure function of the step.

``per="task"`` starts over with every phase of every task; ``per="stream"`` runs once over all
tasks (whose number the learner then has to know).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import LifelongError, unknown


@dataclass(frozen=True)
class Schedule:
    """A shape over [0, 1] of the span, behind a linear warm-up.

    Args:
        kind: ``constant``, ``step`` or ``cosine``.
        warmup: share of the span in which the factor rises linearly from 0 to 1.
        per: ``task`` or ``stream``.
        at: for ``step``, the shares of the span at which the factor is multiplied by ``gamma``.
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

    def factor(self, step: int, span: int) -> float:
        """The factor for the ``step``-th (from 0) of ``span`` steps."""
        rise = round(self.warmup * span)
        if step < rise:
            return (step + 1) / rise
        return SCHEDULES[self.kind](self, (step - rise) / max(1, span - rise))


def _constant(schedule: Schedule, share: float) -> float:
    return 1.0


def _step(schedule: Schedule, share: float) -> float:
    return schedule.gamma ** sum(share >= at for at in schedule.at)


def _cosine(schedule: Schedule, share: float) -> float:
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[[Schedule, float], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
}


def constant(*, warmup: float = 0.0, per: str = "task") -> Schedule:
    """The learning rate itself, after the warm-up."""
    return Schedule("constant", warmup, per)


def step(
    *,
    at: tuple[float, ...] = (0.5, 0.75),
    gamma: float = 0.1,
    warmup: float = 0.0,
    per: str = "task",
) -> Schedule:
    """Multiplied by ``gamma`` at each share ``at`` of the span."""
    return Schedule("step", warmup, per, at=tuple(at), gamma=gamma)


def cosine(*, floor: float = 0.0, warmup: float = 0.0, per: str = "task") -> Schedule:
    """Half a cosine down to ``floor`` (Loshchilov & Hutter, "SGDR", 2017, eq. 5)."""
    return Schedule("cosine", warmup, per, floor=floor)


def schedule(spec: str | Schedule) -> Schedule:
    """The schedule of this name; a schedule stays itself."""
    return spec if isinstance(spec, Schedule) else Schedule(spec)
