"""Experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import one_of
from .replay import TOLD, Replay

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner


@dataclass(eq=False)
class ER(Replay):
    """Keep some samples of the past and train on them beside the new ones.

    loss = mean over the step's rows, stored rows beside the stream's. With ``weights="tasks"``,
    in task c:  loss = 1/c mean(stream's rows) + (1 - 1/c) mean(stored rows).

    Args:
        capacity, admission, rows, admit: of the memory; see :class:`Replay`.
        weights: ``rows`` or ``tasks``.
    """

    weights: str = "rows"

    name = "er"
    paper = "Chaudhry et al., On tiny episodic memories in continual learning (2019)"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("weights", self.weights, ("rows", "tasks"))
        if self.weights == "tasks":
            self.scenarios = TOLD  # type: ignore[misc]

    def batch(self, learner: Learner, batch: Batch) -> None:
        weight = learner.position.task if self.weights == "tasks" else None
        rows = self.draw(learner, batch) if weight != 0 else None
        if rows is not None:
            batch.add(rows, by=self, weight=weight)
