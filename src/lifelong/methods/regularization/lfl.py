"""Less-forgetting learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import LifelongError
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class LFL(Part):
    """Keep the decision boundaries, and the features of new inputs where the old network has them.

    loss += strength/2 ||f(x; theta) - f(x; theta*)||^2, a mean over rows (Jung et al., eq. 3), f being
    the features below the head; the head's rows of classes that were learned before stay as they are.
    """

    strength: float = 1.0

    name = "lfl"
    family = "regularization"
    paper = "Jung et al., Less-forgetting learning in deep neural networks (2016)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    order = "mask"

    def start(self, learner: Learner) -> None:
        if learner.backend.outputs is not None:
            raise LifelongError("lfl needs the features below the scores: give it a recipe as model")
        self.teacher = self.snapshot()
        self.moving = self.derived(lambda: self._moving(learner), facts=lambda: [*learner.old])

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        if not learner.position.task:
            return 0.0
        apart = out.features - learner.outputs(batch, at=self.teacher).features
        return self.strength / 2 * learner.ops.mean(learner.ops.sum(apart**2, 1))

    def step(self, learner: Learner, d: Any) -> Any:
        return d * self.moving

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            self.teacher = learner.snapshot()

    def _moving(self, learner: Learner) -> Any:
        """1 for every parameter but the head's rows of classes learned before: there 0."""
        moving = np.ones(learner.backend.size, "float32")
        for name in ("head.weight", "head.bias"):
            segment = learner.layout[name]
            rows = moving[segment.start : segment.stop].reshape(segment.shape[0], -1)
            rows[learner.old] = 0
        return learner.ops.tensor(moving)
