"""Continual and incremental learning: keep a model learning, lose nothing it knew, prove it."""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import data, models
from .errors import LifelongError
from .optimize import SGD, Adam, AdamW, Schedule
from .samples import Dataset, Samples
from .stream import Stream, Task

__all__ = [
    "SGD", "Adam", "AdamW", "Dataset", "LifelongError", "Samples", "Schedule", "Stream", "Task",
    "data", "models",
]  # fmt: skip
__version__ = "0.1.0"

_LAZY = {"Learner": "learner", "LifelongClassifier": "classifier", "LifelongRegressor": "classifier",
         "Phase": "learner", "Memory": "memory", "Part": "method",
         "Comparison": "comparison", "Method": "method", "Result": "result", "architecture": "drawing",
         "attach": "attached", "compare": "comparison",
         "load": "store", "run": "runner"}  # fmt: skip


def __getattr__(name: str) -> _Any:
    """The learner, ``run`` and every method (``ll.ER``) are imported when first used."""
    if name in _LAZY:
        return getattr(_import_module(f".{_LAZY[name]}", __name__), name)
    from .methods import registry

    for part in registry().values():
        if part.__name__ == name:
            return part
    raise AttributeError(f"module 'lifelong' has no attribute {name!r}")


def __dir__() -> list[str]:
    from .methods import registry

    return sorted({*__all__, *_LAZY, *(part.__name__ for part in registry().values())})
