"""Plain L2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .quadratic import Quadratic

if TYPE_CHECKING:
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class L2(Quadratic):
    """penalty = strength/2 ||theta - theta*||^2, theta* being where the last task left it.

    All parameters are held alike: the baseline of Kirkpatrick et al. (2017), figure 2.
    """

    name = "l2"
    paper = "Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks (PNAS 2017)"

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            self.consolidate(learner, self.importance * 0 + 1)
