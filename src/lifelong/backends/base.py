"""What a backend offers: a network on one parameter vector, its gradient, and the optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LifelongError, unknown
from ..optimize import Adam, Optimizer

if TYPE_CHECKING:
    from ..batch import Batch, Outputs, Step
    from ..state import State

Tensor = Any
BACKENDS = ("torch", "tensorflow")


@dataclass(frozen=True)
class Segment:
    """Where one named parameter lies in theta."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def stop(self) -> int:
        return self.start + self.size


def layout(shapes: dict[str, tuple[int, ...]]) -> dict[str, Segment]:
    """The parameters, one after another."""
    segments, start = {}, 0
    for name, shape in shapes.items():
        segments[name] = Segment(name, start, tuple(shape))
        start = segments[name].stop
    return segments


@dataclass(frozen=True)
class Run:
    """A stretch of theta that moves now, and its entries in ``ages``.

    Ages count updates: one entry for each parameter, and for the head one for each of its rows.
    """

    start: int
    stop: int
    ages: slice


HEAD = ("head.weight", "head.bias")
"""The parameters that have a row for every class."""


def age_slots(segments: dict[str, Segment]) -> dict[str, slice]:
    """Where each parameter's ages lie."""
    slots, start = {}, 0
    for name, segment in segments.items():
        count = segment.shape[0] if name in HEAD else 1
        slots[name] = slice(start, start + count)
        start += count
    return slots


def moving(
    segments: dict[str, Segment],
    ages: np.ndarray,
    rows: np.ndarray | None,
    frozen: Collection[str] = (),
) -> list[Run]:
    """The runs of theta that move when only these rows of the head do (None: all rows).

    Neighbouring parameters of the same age are one run, so their update is one operation.
    """
    runs: list[Run] = []
    slots = age_slots(segments)
    for name, segment in segments.items():
        if name in frozen:
            continue
        count = slots[name].stop - slots[name].start
        chosen = np.arange(count) if rows is None or name not in HEAD else np.unique(rows)
        width = segment.size // max(1, count)
        for block in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1):
            if not len(block):
                continue
            first, stop = int(block[0]), int(block[-1]) + 1
            at = slice(slots[name].start + first, slots[name].start + stop)
            run = Run(segment.start + first * width, segment.start + stop * width, at)
            if runs and runs[-1].stop == run.start:
                both = slice(runs[-1].ages.start, run.ages.stop)
                if (ages[both] == ages[both.start]).all():
                    runs[-1] = Run(runs[-1].start, run.stop, both)
                    continue
            runs.append(run)
    return runs


def initial_values(
    shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Initial weights, drawn by NumPy so that they are alike on every backend.

    Weights and biases are uniform in +-1/sqrt(fan_in) (LeCun et al., "Efficient backprop", 1998,
    in PyTorch's form); of a normalization, weights and running variances are 1, the rest is 0.
    """
    values = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        weight = shapes.get(f"{layer}.weight", shape)
        if len(weight) < 2:
            values[name] = np.full(shape, float(kind in ("weight", "running_var")))
        else:
            bound = 1 / np.sqrt(np.prod(weight[1:]))
            values[name] = rng.uniform(-bound, bound, shape)
    return values


class Backend(ABC):
    """One learner's parameters, network and optimizer, in one framework.

    ``theta`` holds all parameters as one vector, in the order of ``segments``, and with them the
    statistics that training moves (batch norm's), so that a copy of theta is a copy of the network;
    hooks see it as a plain tensor. Every method below is pure unless it says otherwise.
    """

    name: str
    ops: Any
    optimizer: Optimizer
    random: bool
    """Whether a training step draws random numbers inside the network."""
    outputs: int | None
    """The number of scores of a user's own model; None where the learner owns the head."""
    theta: Tensor
    moments: list[Tensor]
    """The optimizer's vectors over theta."""
    segments: dict[str, Segment]
    statistics: set[str]
    """The segments that are no parameters: running means and variances."""
    frozen: set[str]
    """The segments that no gradient moves: statistics, and what the user's own model holds fixed."""
    ages: np.ndarray
    """How often each parameter, and each row of the head, was updated."""
    runs: list[Run]
    """What may move now."""

    # ---- the network
    @abstractmethod
    def build(self, model: Any, head: bool, inputs: np.ndarray, rng: np.random.Generator) -> None:
        """Make the network for inputs like these and draw its weights (writes)."""

    @abstractmethod
    def batch(self, batch: Batch) -> None:
        """Turn the batch's columns into tensors (writes into the batch)."""

    @abstractmethod
    def forward(self, batch: Batch, args: dict[str, Any], at: Tensor | None = None) -> Outputs:
        """The network's outputs in evaluation mode, with parameters ``at`` (default: theta)."""

    @abstractmethod
    def gradient(
        self, batch: Batch, args: dict[str, Any], loss: Callable[[Batch, Outputs], Tensor]
    ) -> tuple[Outputs, Tensor]:
        """Outputs in training mode, and the gradient of ``loss`` over theta (see ``flat``)."""

    def flat(self, vector: Any) -> Tensor:
        """A gradient or a direction as one tensor; a backend may keep it in pieces until then."""
        return vector

    @abstractmethod
    def moment(
        self,
        batches: Iterable[Batch],
        args: Callable[[Batch], dict[str, Any]],
        f: Callable[[Outputs, Batch], list[tuple[Tensor, Tensor]]],
        power: int,
    ) -> Tensor:
        """Sum over samples and over ``f``'s terms (w, v), each [rows], of w |dv/dtheta|^power."""

    # ---- a step
    def run(self, update: Callable[[Batch, Any], Step], batch: Batch, rate: float, whole: bool) -> Step:
        """``update(batch, rate)``, compiled where the framework compiles (writes).

        As a ``whole``, or only the gradient and what follows, because a part needs numbers between.
        """
        return update(batch, rate)

    def read(self, state: State) -> Any:
        """The value of a part's state; in a step that is being compiled, an input of it."""
        return state.value

    def forget(self) -> None:  # noqa: B027
        """What was compiled is stale: a task, a phase or more classes have begun (writes)."""

    @abstractmethod
    def propose(self, g: Tensor, rate: Any) -> tuple[Tensor, Any]:
        """The optimizer's change of theta for gradient ``g``, as (direction, scale): their product.

        Advances the optimizer. The product is not formed, so that a plain step reads theta once.
        """

    @abstractmethod
    def move(self, direction: Tensor, scale: Any) -> None:
        """theta += scale * direction (writes)."""

    @abstractmethod
    def assign(self, theta: Tensor) -> None:
        """theta = these values (writes)."""

    # ---- vectors over theta
    @abstractmethod
    def vector(self, fill: float | str, dtype: str | None = None) -> Tensor:
        """A new vector over theta; ``THETA``: a copy of it."""

    @abstractmethod
    def _hold(self, theta: Tensor, moments: list[Tensor]) -> None:
        """Make these the parameters and the optimizer's vectors (writes)."""

    @property
    def size(self) -> int:
        """How long theta is."""
        return max((segment.stop for segment in self.segments.values()), default=0)

    def activate(self, rows: np.ndarray | None) -> None:
        """Let only these rows of the head move from now on; None: all (writes)."""
        told_apart = isinstance(self.optimizer, Adam)  # only its steps depend on an age
        ages = self.ages if told_apart else np.zeros_like(self.ages)
        self.runs = moving(self.segments, ages, rows, self.frozen)
        self.forget()

    @property
    def whole(self) -> bool:
        """Whether all of theta moves as one run."""
        return len(self.runs) == 1 and self.runs[0].stop - self.runs[0].start == self.size

    def reset_optimizer(self) -> None:
        """Forget momentum and step counts (writes)."""
        self.ages[:] = 0
        self._hold(self.theta, [self.vector(0.0) for _ in self.moments])

    def grow(self, classes: int, rng: np.random.Generator) -> Callable[[Tensor, Any], Tensor]:
        """Give the head rows for ``classes`` classes (writes); the map of old vectors to new."""
        old, ages, numpy = self.segments, self.ages, self.ops.numpy
        shapes = {name: segment.shape for name, segment in old.items()}
        for name in HEAD:
            shapes[name] = (classes, *shapes[name][1:])
        fresh = initial_values({name: shapes[name] for name in HEAD}, rng)
        self.segments = layout(shapes)

        def remap(vector: Tensor, fill: float | str) -> Tensor:
            held = numpy(vector)
            new = np.full(self.size, 0.0 if isinstance(fill, str) else fill, held.dtype)
            if isinstance(fill, str):  # THETA
                new[:] = numpy(self.theta)
            for name, segment in old.items():
                start = self.segments[name].start
                new[start : start + segment.size] = held[segment.start : segment.stop]
            return self.ops.tensor(new)

        theta = numpy(remap(self.theta, 0.0)).copy()
        for name in HEAD:
            segment, rows = self.segments[name], old[name].shape[0]
            theta[segment.start : segment.stop].reshape(segment.shape)[rows:] = fresh[name][rows:]
        moments = [remap(moment, 0.0) for moment in self.moments]
        old_slots, slots = age_slots(old), age_slots(self.segments)
        self.ages = np.zeros(sum(s.stop - s.start for s in slots.values()), int)
        for name, slot in old_slots.items():
            start = slots[name].start
            self.ages[start : start + slot.stop - slot.start] = ages[slot]
        self._hold(self.ops.tensor(theta), moments)
        return remap

    # ---- threads
    @abstractmethod
    def threads(self) -> int:
        """How many processor threads the framework uses."""

    @abstractmethod
    def set_threads(self, count: int) -> None:
        """Use so many (the process's setting); the same number gives the same bits."""

    # ---- state
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, JSON): parameters, optimizer, and what else the network holds."""
        arrays = {"theta": self.ops.numpy(self.theta), "ages": self.ages}
        arrays |= {f"moment.{i}": self.ops.numpy(m) for i, m in enumerate(self.moments)}
        arrays |= {f"buffer.{name}": array for name, array in self._counters().items()}
        arrays = {name: array.copy() for name, array in arrays.items()}
        return arrays, {"shapes": {name: list(s.shape) for name, s in self.segments.items()}}

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Load what :meth:`state` returned (writes)."""
        shapes = {name: tuple(shape) for name, shape in manifest["shapes"].items()}
        own = {name: segment.shape for name, segment in self.segments.items()}
        if any(shapes.get(n) != own.get(n) for n in {*shapes, *own} - {*HEAD}):
            raise LifelongError("the saved model has other layers than this one: use its own recipe")
        self.segments = layout(shapes)
        self.ages = arrays["ages"].copy()
        moments = [self.ops.tensor(arrays[f"moment.{i}"].copy()) for i in range(len(self.moments))]
        self._hold(self.ops.tensor(arrays["theta"].copy()), moments)
        self._set_counters(arrays)
        self.activate(None)

    def _counters(self) -> dict[str, np.ndarray]:
        """What the network holds beside theta, being no floats."""
        return {}

    def _set_counters(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: B027
        """Load them, each under ``buffer.NAME`` (writes)."""


def count_moments(optimizer: Optimizer) -> int:
    """How many vectors the optimizer keeps."""
    return 2 if isinstance(optimizer, Adam) else int(bool(getattr(optimizer, "momentum", 0)))


def make(name: str, **options: Any) -> Backend:
    """The backend of this name; a missing framework is one clear error."""
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    package = {"torch": "PyTorch", "tensorflow": "TensorFlow"}[name]
    try:
        if name == "torch":
            from .torch import TorchBackend

            return TorchBackend(**options)
        from .tensorflow import TensorflowBackend

        return TensorflowBackend(**options)
    except ModuleNotFoundError as missing:
        if str(missing.name).partition(".")[0] not in (name, "keras"):
            raise
        raise LifelongError(f"{package} is not installed: pip install 'lifelong[{name}]'") from None
