"""What the methods share that pull every parameter back to where the last task left it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ...method import THETA, Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner


@dataclass(eq=False)
class Quadratic(Part):
    """penalty = strength factor/2 sum importance (theta - anchor)^2.

    A method says what the importance is and hands it to :meth:`consolidate` when a task ends.
    """

    strength: float = 1.0

    family = "regularization"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    factor: ClassVar[float] = 1.0
    """2 where the paper's penalty has no 1/2."""

    def start(self, learner: Learner) -> None:
        self.importance = self.vector(0.0, "float64")
        self.anchor = self.vector(THETA)
        scale = self.factor * self.strength
        self.pull = self.derived(lambda: learner.ops.cast(scale * self.importance), "importance")

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        if not learner.position.task:
            return g
        return learner.ops.add_product(g, self.pull, learner.theta - self.anchor)

    def consolidate(self, learner: Learner, importance: Any) -> None:
        """From now on, hold every parameter where it is."""
        self.importance, self.anchor = importance, learner.snapshot()
