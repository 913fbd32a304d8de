"""Objectives: what the outputs mean. One file an objective."""

from ..errors import unknown
from .base import Objective
from .classification import Classification
from .reconstruction import Reconstruction

OBJECTIVES: dict[str, type[Objective]] = {o.name: o for o in (Classification, Reconstruction)}


def make(objective: "str | Objective") -> Objective:
    """The objective of this name; an objective stays itself."""
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    return OBJECTIVES[objective]()


__all__ = ["OBJECTIVES", "Classification", "Objective", "Reconstruction", "make"]
