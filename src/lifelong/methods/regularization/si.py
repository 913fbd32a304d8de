"""Synaptic intelligence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .quadratic import Quadratic

if TYPE_CHECKING:
    from ...batch import Step
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class SI(Quadratic):
    """A parameter matters as much as its path through the task lowered the loss.

    penalty = c sum Omega (theta - theta*)^2 (Zenke et al., eq. 4), where along the task
    omega -= g dtheta, g being the gradient of the loss without the penalty (eq. 3), and at its end
    Omega += omega / ((theta - theta*)^2 + xi), never below 0 (eq. 5).

    Args:
        strength: c. The default is van de Ven et al.'s for Split MNIST with task ids; they use 5e4
            under ``domain`` and 5e3 under ``class``.
        xi: damping; 0.1 as in both papers.
    """

    strength: float = 10.0
    xi: float = 0.1

    name = "si"
    paper = "Zenke, Poole & Ganguli, Continual learning through synaptic intelligence (ICML 2017)"
    fails: ClassVar = {"class": "21.20 % on Split MNIST (van de Ven et al., 2022)"}
    factor = 2.0

    def start(self, learner: Learner) -> None:
        super().start(learner)
        self.omega = self.vector(0.0)

    def observe(self, learner: Learner, step: Step) -> None:
        self.omega = learner.ops.add_product(self.omega, step.g, step.direction, -step.scale)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            moved = learner.ops.cast(learner.theta - self.anchor, "float64")
            gained = learner.ops.cast(self.omega, "float64") / (moved**2 + self.xi)
            total = self.importance + gained
            self.consolidate(learner, learner.ops.maximum(total, 0 * total))
            self.omega = self.omega * 0
