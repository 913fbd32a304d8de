"""What the methods share that give each task a column of layers of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...errors import LifelongError
from ...method import Part
from ...models import Columns, Recipe

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner


@dataclass(eq=False)
class ColumnOfItsOwn(Part):
    """A task that begins brings a column of layers and a head; all earlier ones stand still."""

    family = "isolation"
    scenarios = ("task",)
    needs = ("boundaries", "task ids")
    slots = ("parameters",)
    order = "mask"
    lateral: ClassVar[bool] = False
    """Whether a column sees the layers of those before it."""

    def recipe(self, learner: Learner, model: Any, tasks: int) -> Columns:
        if not isinstance(model, Recipe):
            raise LifelongError(f"{self.name} builds layers for each task: give it a recipe as model")
        return self.columns(model, tasks)

    def columns(self, model: Recipe, tasks: int) -> Columns:
        """The network for so many tasks."""
        return Columns(model, tasks, self.lateral)

    def start(self, learner: Learner) -> None:
        self.moving = self.derived(lambda: self._moving(learner), facts=lambda: [*learner.heads.items()])

    def batch(self, learner: Learner, batch: Batch) -> None:
        """Which column answers each row; where it is the new one everywhere, one entry says so."""
        tasks = np.concatenate([samples.task for _, samples, _ in batch.blocks])
        column = learner.places[tasks]
        batch.extra["column"] = column if (column < len(learner.heads) - 1).any() else column[:1]

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        if "column" in batch:
            return {} if batch.column.shape[0] == 1 else {"column": batch.column}
        return {"column": learner.task_index(batch)} if "task" in batch else {}

    def step(self, learner: Learner, d: Any) -> Any:
        return d * self.moving

    def predict(self, learner: Learner, batch: Batch) -> Any:
        return learner.own_head(batch)

    def _moving(self, learner: Learner) -> Any:
        """1 for the parameters of the newest column and head, and of a shared trunk; else 0."""
        moving, last = np.zeros(learner.backend.size, "float32"), len(learner.heads) - 1
        for name, segment in learner.layout.items():
            own = moving[segment.start : segment.stop]
            if name.startswith("head."):
                own.reshape(segment.shape[0], -1)[list(learner.heads.values())[-1]] = 1
            elif name.startswith((f"body.columns.{last}.", f"body.laterals.{last - 1}.", "body.trunk.")):
                own[:] = 1
        return learner.ops.tensor(moving)
