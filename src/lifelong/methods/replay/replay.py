"""What the methods share that keep samples of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...errors import at_least, one_of
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch, Step
    from ...learner import Learner, Phase
    from ...samples import Samples
    from ...stream import Task

TOLD = ("task", "domain", "class")
"""The scenarios that tell where a task ends."""


@dataclass(eq=False)
class Replay(Part):
    """A memory that is offered every sample of the stream once.

    Args:
        capacity: of the memory: samples (500), of each class ("100/class") or bytes ("2MB").
        admission: ``reservoir``, ``balanced`` or ``ring``; see :class:`lifelong.memory.Memory`.
        rows: stored rows a step; None: as many as the stream's.
        admit: offer every sample when it is first met (``step``) or when its task ends (``task``).
    """

    capacity: int | str = 500
    admission: str = "reservoir"
    rows: int | None = None
    admit: str = "step"

    family = "replay"
    revisits = True
    wide: ClassVar[tuple[str, ...]] = ()
    """The stored columns that have an entry for each class."""

    def __post_init__(self) -> None:
        at_least(1, rows=self.rows)
        one_of("admit", self.admit, ("step", "task"))
        if self.admit == "task":
            self.scenarios = TOLD  # type: ignore[misc]

    def start(self, learner: Learner) -> None:
        self.stored = self.memory(self.capacity, self.admission, wide=self.wide)

    def draw(self, learner: Learner, batch: Batch) -> Samples | None:
        """Different stored samples; None from an empty memory."""
        return self.stored.draw(self.rows or len(batch.samples), learner.rng)

    def observe(self, learner: Learner, step: Step) -> None:
        if self.admit == "step" and step.batch.fresh is not None:
            self.stored.offer(self.kept(learner, step.batch.fresh, step), learner.rng)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if self.admit == "task" and phase.last:
            self.stored.offer(self.kept(learner, task.train), learner.rng)

    def kept(self, learner: Learner, samples: Samples, step: Step | None = None) -> Samples:
        """What is kept of samples: of rows of the stream's in ``step``, or when their task has ended."""
        return samples
