"""Averaged gradient episodic memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .replay import Replay

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner


@dataclass(eq=False)
class AGEM(Replay):
    """Never step against the gradient of what is stored.

    Where g . r < 0, r being the gradient of the mean loss of stored rows:
    g <- g - (g . r) / (r . r) r   (Chaudhry et al., eq. 11).

    Args:
        capacity, admission, rows, admit: of the memory; see :class:`Replay`.
    """

    name = "a-gem"
    paper = "Chaudhry et al., Efficient lifelong learning with A-GEM (ICLR 2019)"
    order = "project"

    def batch(self, learner: Learner, batch: Batch) -> None:
        rows = self.draw(learner, batch)
        if rows is not None:
            batch.set_aside(rows, by=self)

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        rows = batch.aside(self)
        if rows is None:
            return g
        r = learner.grad(rows)
        along = learner.ops.dot(g, r)
        return g - learner.ops.where(along < 0, along / (learner.ops.dot(r, r) + 1e-7), 0.0) * r
