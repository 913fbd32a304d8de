"""What an objective is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner


class Objective:
    """The loss per row, and what a training step needs for it."""

    name: ClassVar[str]
    head: ClassVar[bool]
    """Whether the learner puts a head of class scores on the model's features."""

    def draw(self, learner: Learner, batch: Batch) -> None:
        """Random draws of a step (noise), added to the batch as columns."""

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        """PURE: extra arguments of the model's call."""
        return {}

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        """PURE: the loss per row, ``[rows]``, not reduced."""
        raise NotImplementedError
