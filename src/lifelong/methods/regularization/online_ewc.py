"""Online elastic weight consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...errors import one_of
from .fisher import LABELS, fisher
from .quadratic import Quadratic

if TYPE_CHECKING:
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class OnlineEWC(Quadratic):
    """One penalty for all earlier tasks, around where the last of them ended.

    penalty = strength/2 sum_i F~_i (theta_i - theta*_i)^2,  F~ <- gamma F~ + F_t
    (Schwarz et al., eq. 9), F_t being the diagonal Fisher information as in EWC.

    Args:
        strength: lambda.
        gamma: how much of the earlier tasks' information is kept at each new one; 1: all.
        labels: whose log-likelihood: ``all``, ``sample`` or ``true``; see EWC.
    """

    strength: float = 1e5
    gamma: float = 1.0
    labels: str = "all"

    name = "online-ewc"
    paper = "Schwarz et al., Progress & compress (ICML 2018)"
    fails: ClassVar = {"class": "19.96 % on Split MNIST (van de Ven & Tolias, 2019)"}

    def __post_init__(self) -> None:
        one_of("label mode", self.labels, LABELS)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            new = fisher(learner, task.train, self.labels)
            self.consolidate(learner, self.gamma * self.importance + new)
