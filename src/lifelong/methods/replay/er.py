"""Experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import at_least, one_of
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch, Step
    from ...learner import Learner, Phase
    from ...stream import Task


TOLD = ("task", "domain", "class")
"""The scenarios that tell where a task ends."""


@dataclass(eq=False)
class ER(Part):
    """Keep some samples of the past and train on them beside the new ones.

    loss = mean over the step's rows, stored rows beside the stream's. With ``weights="tasks"``,
    in task c:  loss = 1/c mean(stream's rows) + (1 - 1/c) mean(stored rows).

    Args:
        capacity: of the memory: samples (500), of each class ("100/class") or bytes ("2MB").
        admission: ``reservoir``, ``balanced`` or ``ring``; see :class:`lifelong.memory.Memory`.
        rows: stored rows a step; None: as many as the stream's.
        weights: ``rows`` or ``tasks``.
        admit: offer every sample when it is first met (``step``) or when its task ends (``task``).
    """

    capacity: int | str = 500
    admission: str = "reservoir"
    rows: int | None = None
    weights: str = "rows"
    admit: str = "step"

    name = "er"
    family = "replay"
    paper = "Chaudhry et al., On tiny episodic memories in continual learning (2019)"
    revisits = True

    def __post_init__(self) -> None:
        one_of("weights", self.weights, ("rows", "tasks"))
        one_of("admit", self.admit, ("step", "task"))
        at_least(1, rows=self.rows)
        if self.admit == "task" or self.weights == "tasks":
            self.scenarios = TOLD  # type: ignore[misc]

    def start(self, learner: Learner) -> None:
        self.stored = self.memory(self.capacity, self.admission)

    def batch(self, learner: Learner, batch: Batch) -> None:
        weight = learner.position.task if self.weights == "tasks" else None
        rows = self.stored.draw(self.rows or len(batch.samples), learner.rng) if weight != 0 else None
        if rows is not None:
            batch.add(rows, by=self, weight=weight)

    def observe(self, learner: Learner, step: Step) -> None:
        if self.admit == "step" and step.batch.fresh is not None:
            self.stored.offer(step.batch.fresh, learner.rng)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if self.admit == "task" and phase.last:
            self.stored.offer(task.train, learner.rng)
