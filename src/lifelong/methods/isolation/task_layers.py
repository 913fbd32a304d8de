"""Shared layers, and above them layers of each task's own."""

from __future__ import annotations

from dataclasses import dataclass

from ...models import Columns, Recipe, mlp
from .columns import ColumnOfItsOwn


@dataclass(eq=False)
class TaskLayers(ColumnOfItsOwn):
    """A trunk that all tasks share, above it layers and a head of each task's own.

    The model is the trunk. Those of earlier tasks stand still, and the trunk moves on: what they
    lose is lost there, and what holds a network holds the trunk, as in ``task-layers+ewc``.

    Args:
        hidden: widths of each task's own layers.
    """

    hidden: tuple[int, ...] = (100,)

    name = "task-layers"
    paper = "Caruana, Multitask learning (1997): shared and task-specific layers"

    def columns(self, model: Recipe, tasks: int) -> Columns:
        return Columns(mlp(*self.hidden), tasks, trunk=model)
