"""Experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import one_of
from .replay import Replay

if TYPE_CHECKING:
    from ...batch import Batch, Step
    from ...learner import Learner, Phase
    from ...stream import Task


TOLD = ("task", "domain", "class")
"""The scenarios that tell where a task ends."""


@dataclass(eq=False)
class ER(Replay):
    """Keep some samples of the past and train on them beside the new ones.

    loss = mean over the step's rows, stored rows beside the stream's. With ``weights="tasks"``,
    in task c:  loss = 1/c mean(stream's rows) + (1 - 1/c) mean(stored rows).

    Args:
        capacity, admission, rows: of the memory; see :class:`Replay`.
        weights: ``rows`` or ``tasks``.
        admit: offer every sample when it is first met (``step``) or when its task ends (``task``).
    """

    weights: str = "rows"
    admit: str = "step"

    name = "er"
    paper = "Chaudhry et al., On tiny episodic memories in continual learning (2019)"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("weights", self.weights, ("rows", "tasks"))
        one_of("admit", self.admit, ("step", "task"))
        if self.admit == "task" or self.weights == "tasks":
            self.scenarios = TOLD  # type: ignore[misc]

    def batch(self, learner: Learner, batch: Batch) -> None:
        weight = learner.position.task if self.weights == "tasks" else None
        rows = self.draw(learner, batch) if weight != 0 else None
        if rows is not None:
            batch.add(rows, by=self, weight=weight)

    def observe(self, learner: Learner, step: Step) -> None:
        if self.admit == "step":
            super().observe(learner, step)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if self.admit == "task" and phase.last:
            self.stored.offer(task.train, learner.rng)
