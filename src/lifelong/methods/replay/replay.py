"""What the methods share that keep samples of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...errors import at_least
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch, Step
    from ...learner import Learner
    from ...samples import Samples


@dataclass(eq=False)
class Replay(Part):
    """A memory that is offered every sample of the stream once, when it is first met.

    Args:
        capacity: of the memory: samples (500), of each class ("100/class") or bytes ("2MB").
        admission: ``reservoir``, ``balanced`` or ``ring``; see :class:`lifelong.memory.Memory`.
        rows: stored rows a step; None: as many as the stream's.
    """

    capacity: int | str = 500
    admission: str = "reservoir"
    rows: int | None = None

    family = "replay"
    revisits = True
    wide: ClassVar[tuple[str, ...]] = ()
    """The stored columns that have an entry for each class."""

    def __post_init__(self) -> None:
        at_least(1, rows=self.rows)

    def start(self, learner: Learner) -> None:
        self.stored = self.memory(self.capacity, self.admission, self.wide)

    def draw(self, learner: Learner, batch: Batch) -> Samples | None:
        """Different stored samples; None from an empty memory."""
        return self.stored.draw(self.rows or len(batch.samples), learner.rng)

    def observe(self, learner: Learner, step: Step) -> None:
        if step.batch.fresh is not None:
            self.stored.offer(self.kept(learner, step, step.batch.fresh), learner.rng)

    def kept(self, learner: Learner, step: Step, fresh: Samples) -> Samples:
        """What is kept of samples just met."""
        return fresh
