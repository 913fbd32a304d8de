"""Riemannian walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import at_least
from ...method import THETA
from .fisher import fisher
from .quadratic import Quadratic

if TYPE_CHECKING:
    from ...batch import Step
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class RWalk(Quadratic):
    """EWC's importance, kept while training, and beside it SI's, measured in that metric.

    penalty = strength sum (F + s) (theta - theta*)^2 (Chaudhry et al., eq. 9), each of the two
    divided by its largest entry. Every ``interval`` steps
    F <- alpha F_batch + (1 - alpha) F (eq. 6), with F_batch per sample at the true labels, and
    s += max(0, -sum g dtheta) / (F/2 dtheta^2 + eps), dtheta over the interval (eq. 8);
    the score that counts is the mean of the earlier one and the task's own.
    """

    strength: float = 100.0
    alpha: float = 0.9
    interval: int = 10
    eps: float = 1e-3

    name = "rwalk"
    paper = "Chaudhry et al., Riemannian walk for incremental learning (ECCV 2018)"
    factor = 2.0

    def __post_init__(self) -> None:
        at_least(1, interval=self.interval)

    def start(self, learner: Learner) -> None:
        super().start(learner)
        self.F, self.score = self.vector(0.0, "float64"), self.vector(0.0, "float64")
        self.earlier = self.vector(0.0, "float64")
        self.gained, self.since = self.vector(0.0), self.vector(THETA)

    def observe(self, learner: Learner, step: Step) -> None:
        self.gained = learner.ops.add_product(self.gained, step.g, step.direction, -step.scale)
        if (learner.position.step + 1) % self.interval == 0:
            self._measure(learner, step)

    def _measure(self, learner: Learner, step: Step) -> None:
        cast, new = learner.ops.cast, fisher(learner, step.batch.samples, "true")
        self.F = self.alpha * new + (1 - self.alpha) * self.F
        moved = cast(learner.theta - self.since, "float64")
        share = cast(self.gained, "float64") / (self.F / 2 * moved**2 + self.eps)
        self.score = self.score + learner.ops.maximum(share, 0 * share)
        self.gained, self.since = self.gained * 0, learner.snapshot()

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            first = learner.position.task == 0
            self.earlier = self.score if first else (self.earlier + self.score) / 2
            self.consolidate(learner, _scaled(learner, self.F) + _scaled(learner, self.earlier))
            self.score, self.gained, self.since = self.score * 0, self.gained * 0, learner.snapshot()


def _scaled(learner: Learner, vector: Any) -> Any:
    return vector / (learner.ops.max(vector) + 1e-300)
