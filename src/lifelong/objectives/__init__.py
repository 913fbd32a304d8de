"""Objectives: what the outputs mean. One file an objective."""

from ..errors import unknown
from .base import Objective
from .classification import Classification
from .multi_label import MultiLabel
from .reconstruction import Reconstruction
from .regression import Regression

OBJECTIVES: dict[str, type[Objective]] = {
    o.name: o for o in (Classification, MultiLabel, Reconstruction, Regression)
}


def make(objective: "str | Objective") -> Objective:
    """The objective of this name; an objective stays itself."""
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    return OBJECTIVES[objective]()


__all__ = [
    "OBJECTIVES", "Classification", "MultiLabel", "Objective", "Reconstruction", "Regression", "make",
]  # fmt: skip
