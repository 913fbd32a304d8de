"""The kinds of state that a part declares; each knows how to be allocated, grown, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .backends import base as backends
from .backends.base import finite
from .budget import afford
from .errors import LifelongError, require
from .memory import Memory

if TYPE_CHECKING:
    from .learner import Learner
    from .samples import Samples

Arrays = dict[str, np.ndarray]


class State:
    """A declared piece of state. ``value`` is what the part's attribute reads and writes."""

    value: Any = None
    writes = 0

    @property
    def changes(self) -> Any:
        """Differs from what it was if the value does."""
        return self.writes

    def write(self, value: Any) -> None:
        """Let the value be another one."""
        self.value = value
        self.writes += 1

    def allocate(self, learner: Learner) -> None:
        """Make the initial value."""
        self.owner = learner

    def grow(self, remap: Any) -> None:
        """Theta has grown: ``remap(vector, fill)`` carries a vector over to the new layout."""

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite that must be."""
        return True

    def save(self) -> tuple[Arrays, Any]:
        """(arrays, JSON)."""
        return {}, None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        """Restore what :meth:`save` returned.

        Raises:
            ValueError, KeyError: where it is not what :meth:`save` returns of such a state.
        """
        require(not arrays and manifest is None, "there is state that nothing declares")


class Tensor(State):
    """A tensor, whose shape follows from its owner."""

    def shape(self) -> tuple[int, ...]:
        """What the shape must be now."""
        raise NotImplementedError

    @property
    def finite(self) -> bool:
        return finite(self.owner.ops.numpy(self.value))

    def save(self) -> tuple[Arrays, Any]:
        return {"": self.owner.ops.numpy(self.value).copy()}, None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        require(set(arrays) == {""} and manifest is None, "it is no array")
        array, ops = arrays[""], self.owner.ops
        kind = ops.numpy(self.value).dtype
        require(array.shape == self.shape(), f"its shape is {array.shape}, not {self.shape()}")
        require(array.dtype == kind, f"it is of {array.dtype}, not {kind}")
        self.write(ops.tensor(array.copy()))


class Vector(Tensor):
    """A vector over theta."""

    def __init__(self, fill: float | str, dtype: str | None) -> None:
        self.fill, self.dtype = fill, dtype

    def shape(self) -> tuple[int, ...]:
        return (self.owner.backend.size,)

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        number = np.dtype(self.dtype).itemsize if self.dtype else learner.backend.itemsize
        afford(number * learner.backend.size, "what the method keeps of each parameter")
        self.value = learner.backend.vector(self.fill, self.dtype)

    @property
    def finite(self) -> bool:
        return self.owner.backend.finite(self.value)

    def grow(self, remap: Any) -> None:
        self.write(remap(self.value, self.fill))


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


class Array(Tensor):
    """An array whose "class" and "task" axes follow the numbers of classes and of tasks."""

    def __init__(self, axes: tuple[int | str, ...], fill: float, dtype: str | None) -> None:
        self.axes, self.fill, self.dtype = axes, fill, dtype

    def shape(self) -> tuple[int, ...]:
        counts = {"class": len(self.owner.classes), "task": len(self.owner.heads)}
        return tuple(counts[a] if isinstance(a, str) else a for a in self.axes)

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        self.value = learner.ops.full(self.shape(), self.fill, self.dtype)

    def grow(self, remap: Any) -> None:
        old = self.owner.ops.numpy(self.value)
        new = np.full(self.shape(), self.fill, old.dtype)
        new[tuple(slice(n) for n in old.shape)] = old
        self.write(self.owner.ops.tensor(new))


class Scalar(State):
    """A number."""

    def __init__(self, value: float) -> None:
        self.value = value

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value))

    def save(self) -> tuple[Arrays, Any]:
        return {}, self.value

    def load(self, arrays: Arrays, manifest: Any) -> None:
        require(not arrays and type(manifest) in (int, float), f"it is {manifest!r}, no number")
        self.write(manifest)


class MemoryState(State):
    """Stored samples."""

    value: Memory

    def __init__(self, memory: Memory, wide: tuple[str, ...]) -> None:
        self.value, self.wide = memory, wide

    @property
    def changes(self) -> Any:
        return self.writes, self.value.edits, self.value.offered

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

    @property
    def finite(self) -> bool:
        """In wide columns NaN stands for what was not there."""
        columns = {} if self.value.samples is None else self.value.samples.columns
        floats = {name: array for name, array in columns.items() if array.dtype.kind == "f"}
        return all(
            not np.isinf(array).any() if name in self.wide else finite(array)
            for name, array in floats.items()
        )

    def save(self) -> tuple[Arrays, Any]:
        return self.value.save()

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value.load(arrays, manifest)
        if self.value.samples is not None:
            self._check(self.value.samples)

    def _check(self, samples: Samples) -> None:
        """Refuse samples that this learner cannot have met."""
        learner, like = self.owner, self.owner.inputs
        require("x" in samples and "y" in samples, "a memory lacks inputs, or labels")
        fine = samples.x.shape[1:] == like.shape[1:] and samples.x.dtype.kind == like.dtype.kind
        require(fine, f"a memory holds inputs {samples.x.dtype}{samples.x.shape[1:]}")
        for name in self.wide:
            require(name in samples, f"a memory lacks the column {name!r}")
            column = samples.columns[name]
            fine = column.dtype.kind == "f" and column.shape == (len(samples), learner.width)
            require(fine, f"the column {name!r} of a memory is {column.dtype}{column.shape}")
        if learner.objective.labels:
            fine = samples.y.dtype == np.int64 and samples.y.ndim == 1
            require(fine, "the labels of a memory are no whole numbers")
            require(within(samples.y, learner.width), "a memory holds labels of no class")
        require(("task" in samples) == bool(learner.heads), "a memory lacks task ids, or has some")
        if "task" in samples:
            known = np.isin(samples.columns["task"], list(learner.heads)).all()
            require(known, "a memory holds samples of a task that was not learned")
        groups = learner.width
        if self.value.group == "place":
            require("place" in samples, "a memory lacks the places of its tasks")
            groups = learner.position.task + 1
            require(within(samples.columns["place"], groups), "a memory holds samples of a later task")
        if self.value.each:
            bound = groups * (self.value.capacity(samples) or 0)
            require(len(samples) <= bound, "a memory holds more samples than its capacity")


class Nested(State):
    """A learner inside the learner."""

    def __init__(self, recipe: Any, objective: str) -> None:
        self.recipe, self.objective = recipe, objective

    def allocate(self, learner: Learner) -> None:
        super().allocate(learner)
        self.value = learner.nested(self.recipe, self.objective)

    @property
    def finite(self) -> bool:
        return self.value.finite

    def save(self) -> tuple[Arrays, Any]:
        return self.value.state()

    def load(self, arrays: Arrays, manifest: Any) -> None:
        self.value.restore(arrays, manifest)


class Derived(State):
    """Computed when it is read and not there, or made of what has changed since; never saved."""

    def __init__(self, compute: Callable[[], Any], sources: Callable[[], Any]) -> None:
        self.compute, self.sources = compute, sources
        self._value: Any = None
        self._made_of: Any = None

    @property
    def value(self) -> Any:
        sources = self.sources()
        if self._value is None or sources != self._made_of:
            self._value, self._made_of = self.compute(), sources
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    def grow(self, remap: Any) -> None:
        self._value = None

    def load(self, arrays: Arrays, manifest: Any) -> None:
        super().load(arrays, manifest)
        self._value = None


def within(columns: np.ndarray, count: int) -> bool:
    """Whether all are whole numbers from 0, below ``count``."""
    return not len(columns) or bool(0 <= columns.min() <= columns.max() < count)
