"""Separate networks."""

from __future__ import annotations

from dataclasses import dataclass

from .columns import ColumnOfItsOwn


@dataclass(eq=False)
class Separate(ColumnOfItsOwn):
    """A network of its own for each task: nothing is shared, so nothing is forgotten or transferred.

    The task-specific bound. To compare at an equal number of parameters, give each network fewer
    units (100 a layer in van de Ven et al., 2022, where the others have 400).
    """

    name = "separate"
    paper = "van de Ven, Tuytelaars & Tolias, Three types of incremental learning (2022)"
