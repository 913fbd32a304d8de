"""Dark experience replay with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .der import DER

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner


@dataclass(eq=False)
class DERpp(DER):
    """DER, and beside it the labels of other stored rows.

    loss += alpha mean (z - z~)^2 + beta mean loss(z', y'), the rows of the second term being drawn
    anew (Buzzega et al., eq. 7, algorithm 2).

    Args:
        capacity, admission, rows, admit: of the memory; see :class:`Replay`.
        alpha: the weight of the stored scores.
        beta: the weight of the stored labels.
    """

    beta: float = 0.5

    name = "der++"

    def batch(self, learner: Learner, batch: Batch) -> None:
        super().batch(learner, batch)
        rows = self.draw(learner, batch)
        if rows is not None:
            batch.add(rows, by=self, weight=0)

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        own = batch.rows(self)
        if own.stop == own.start:
            return 0.0
        labelled = slice((own.start + own.stop) // 2, own.stop)
        second = learner.ops.mean(learner.losses(batch, out)[labelled])
        return super().loss(learner, batch, out) + self.beta * second
