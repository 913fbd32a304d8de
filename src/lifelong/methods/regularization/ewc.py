"""Elastic weight consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import one_of
from ...method import THETA, Part
from .fisher import LABELS, fisher

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class EWC(Part):
    """Hold each parameter near its old value, as firmly as the old tasks depended on it.

    penalty = strength/2 sum_t F_t (theta - theta*_t)^2, with F_t the diagonal Fisher information,
    a mean over task t's samples of (d log p(y|x) / d theta)^2 (Kirkpatrick et al., eq. 3).

    The sum over tasks is one quadratic, kept in anchored form: its gradient is
    strength (F (theta - theta*_T) + r), where consolidating task T first adds
    F (theta*_T - theta*_{T-1}) to r and then F_T to F, both in float64.

    Args:
        strength: lambda. The default is van de Ven et al.'s for Split MNIST with task ids; they use
            1e10 under ``domain`` and 1e9 under ``class``.
        labels: whose log-likelihood: of ``all`` labels, weighted by p(y|x) (exact); of one
            ``sample`` drawn from p(y|x); the ``true`` one (the empirical Fisher).
    """

    strength: float = 1e5
    labels: str = "all"

    name = "ewc"
    family = "regularization"
    paper = "Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks (PNAS 2017)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    fails: ClassVar = {"class": "20.64 % on Split MNIST (van de Ven et al., 2022)"}

    def __post_init__(self) -> None:
        one_of("label mode", self.labels, LABELS)

    def start(self, learner: Learner) -> None:
        self.F = self.vector(0.0, "float64")
        self.r = self.vector(0.0, "float64")
        self.anchor = self.vector(THETA)
        cast = learner.ops.cast
        self.pull = self.derived(
            lambda: (cast(self.strength * self.F), cast(self.strength * self.r)), "F", "r"
        )

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        F, r = self.pull
        edited = learner.theta - self.anchor  # F (theta - anchor) + r + g, on one vector
        edited *= F
        edited += r
        edited += g
        return edited

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            moved = learner.ops.cast(learner.theta - self.anchor, "float64")
            self.r = self.r + self.F * moved
            self.F = self.F + fisher(learner, task.train, self.labels)
            self.anchor = learner.snapshot()
