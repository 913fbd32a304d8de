"""Memory aware synapses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .quadratic import Quadratic

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class MAS(Quadratic):
    """A parameter matters as much as the network's outputs depend on it; no labels are looked at.

    penalty = strength sum Omega (theta - theta*)^2 (Aljundi et al., eq. 4), where each task adds to
    Omega the mean over its samples of |d ||f(x)||^2 / d theta| (eqs. 2, 3), f being the scores that
    the output space admits. In evaluation mode, sample by sample.
    """

    strength: float = 1.0

    name = "mas"
    paper = "Aljundi et al., Memory aware synapses: learning what (not) to forget (ECCV 2018)"
    factor = 2.0

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            ops, admitted = learner.ops, learner.ops.cast(learner.indicator(learner.columns))

            def length(out: Any, batch: Batch) -> list[tuple[Any, Any]]:
                squared = ops.sum((out.scores * admitted) ** 2, 1)
                return [(0 * squared + 1, squared)]

            self.consolidate(learner, self.importance + learner.moment(task.train, length, power=1))
