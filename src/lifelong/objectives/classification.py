"""Single-label classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import Objective

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner


class Classification(Objective):
    """Cross-entropy over the class scores that the output space admits: -log softmax(z)_y."""

    name = "classification"
    head = True

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        return learner.ops.cross_entropy(learner.admitted(batch, out), batch.y)
