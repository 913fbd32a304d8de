"""The kinds of state that a part declares; each knows how to be allocated, grown, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .backends import base as backends
from .errors import LifelongError
from .memory import Memory

if TYPE_CHECKING:
    from .learner import Learner

Arrays = dict[str, np.ndarray]


class State:
    """A declared piece of state. ``value`` is what the part's attribute reads and writes."""

    value: Any = None

    def allocate(self, learner: Learner) -> None:
        """Make the initial value."""
        self.owner = learner

    def grow(self, remap: Any) -> None:
        """Theta has grown: ``remap(vector, fill)`` carries a vector over to the new layout."""

    def save(self) -> tuple[Arrays, Any]:
        """(arrays, JSON)."""
        return {}, None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        """Restore what :meth:`save` returned."""


class Vector(State):
    """A vector over theta."""

    def __init__(self, fill: float | str, dtype: str | None) -> None:
        self.fill, self.dtype = fill, dtype

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        self.value = learner.backend.vector(self.fill, self.dtype)

    def grow(self, remap: Any) -> None:
        self.value = remap(self.value, self.fill)

    def save(self) -> tuple[Arrays, Any]:
        return {"": self.owner.ops.numpy(self.value).copy()}, None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value = self.owner.ops.tensor(arrays[""].copy())


class Snapshot(Vector):
    """A frozen copy of a learner's parameters."""

    def __init__(self, of: Learner | None) -> None:
        super().__init__("theta", None)
        self.of = of

    def allocate(self, learner: Learner) -> None:
        super().allocate(self.of or learner)

    def grow(self, remap: Any) -> None:
        if self.of is None:  # a nested learner does not grow with its host
            super().grow(remap)


class Weight(State):
    """A trainable array, which lies in theta: saved, grown and moved with it."""

    name: str

    def __init__(self, axes: tuple[int | str, ...], fill: float, sd: float) -> None:
        self.weight = backends.Weight(axes, fill, sd)

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        learner.declare(self.name, self.weight)

    @property
    def value(self) -> Any:
        return self.owner.backend.weight(self.name)

    @value.setter
    def value(self, value: Any) -> None:
        raise LifelongError(f"{self.name} is moved by the optimizer: use learner.assign to set theta")


class Array(State):
    """An array whose "class" and "task" axes follow the numbers of classes and of tasks."""

    def __init__(self, axes: tuple[int | str, ...], fill: float, dtype: str | None) -> None:
        self.axes, self.fill, self.dtype = axes, fill, dtype

    def _shape(self) -> tuple[int, ...]:
        counts = {"class": len(self.owner.classes), "task": len(self.owner.heads)}
        return tuple(counts[a] if isinstance(a, str) else a for a in self.axes)

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        self.value = learner.ops.full(self._shape(), self.fill, self.dtype)

    def grow(self, remap: Any) -> None:
        old = self.owner.ops.numpy(self.value)
        new = np.full(self._shape(), self.fill, old.dtype)
        new[tuple(slice(n) for n in old.shape)] = old
        self.value = self.owner.ops.tensor(new)

    def save(self) -> tuple[Arrays, Any]:
        return {"": self.owner.ops.numpy(self.value).copy()}, None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value = self.owner.ops.tensor(arrays[""].copy())


class Scalar(State):
    """A number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def save(self) -> tuple[Arrays, Any]:
        return {}, self.value

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value = manifest


class MemoryState(State):
    """Stored samples."""

    value: Memory

    def __init__(self, memory: Memory, wide: tuple[str, ...]) -> None:
        self.value, self.wide = memory, wide

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        if learner.objective.labels:
            return
        if self.value.group == "y" and (self.value.admission != "reservoir" or self.value.each):
            raise LifelongError(
                f"a memory kept by class needs one label a sample, {learner.objective.name} has none: "
                "use reservoir and a number of samples or bytes"
            )
        self.wide = (*self.wide, "y")

    def grow(self, remap: Any) -> None:
        self.value.widen(self.wide, self.owner.width)

    def save(self) -> tuple[Arrays, Any]:
        return self.value.save()

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value.load(arrays, manifest)


class Nested(State):
    """A learner inside the learner."""

    def __init__(self, recipe: Any, objective: str) -> None:
        self.recipe, self.objective = recipe, objective

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        self.value = learner.nested(self.recipe, self.objective)

    def save(self) -> tuple[Arrays, Any]:
        return self.value.state()

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value.restore(arrays, manifest)


class Derived(State):
    """Computed when it is read and not there; never saved."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute
        self._value: Any = None

    @property
    def value(self) -> Any:
        if self._value is None:
            self._value = self.compute()
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    def grow(self, remap: Any) -> None:
        self._value = None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self._value = None
