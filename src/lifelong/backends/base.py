"""What a backend offers: a network on one parameter vector, its gradient, and the optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..budget import afford
from ..errors import LifelongError, require, unknown
from ..models import Recipe
from ..optimize import Adam, Optimizer

if TYPE_CHECKING:
    from ..batch import Batch, Outputs, Step
    from ..state import State

Tensor = Any
Args = Callable[["Batch"], dict[str, Any]]
"""What gives the extra arguments of the network's call."""
Loss = Callable[["Batch", "Outputs"], Tensor]
"""What is differentiated: a scalar of a batch and the network's outputs for it."""
Remap = Callable[[Tensor, float | str], Tensor]
"""(a vector over theta as it was, what its new entries start at) -> the vector as it is now."""
BACKENDS = ("torch", "tensorflow")

ONE_VALUE = "batch norm cannot learn from one row alone: give two rows or more at a time"


@dataclass(frozen=True)
class Segment:
    """Where one named parameter lies in theta."""

    name: str
    start: int
    shape: tuple[int, ...]
    rows: bool = False
    """Whether rows are added as classes or tasks arrive: each then has an age of its own."""

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def stop(self) -> int:
        return self.start + self.size


def layout(shapes: dict[str, tuple[int, ...]], rows: Collection[str] = ()) -> dict[str, Segment]:
    """The parameters, one after another; those named in ``rows`` gain rows as the learner grows."""
    segments, start = {}, 0
    for name, shape in shapes.items():
        segments[name] = Segment(name, start, tuple(shape), name in rows)
        start = segments[name].stop
    return segments


@dataclass(frozen=True)
class Weight:
    """A trainable array of a part: its axes (a number, "class" or "task"), and how it begins."""

    axes: tuple[int | str, ...]
    fill: float
    sd: float


@dataclass(frozen=True)
class Run:
    """A stretch of theta that moves now, and its entries in ``ages``.

    Ages count updates: one entry for each parameter, and for one that gains rows one for each row.
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
        count = segment.shape[0] if segment.rows else 1
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
    itemsize: int
    """Bytes of a number in theta."""
    as_given: bool = False
    """Whether the network takes inputs as they are: no pixels are divided, no type is changed."""
    random: bool
    """Whether a training step draws random numbers inside the network."""
    outputs: int | None
    """The number of scores of a user's own model; None where the learner owns the head."""
    theta: Tensor
    moments: list[Tensor]
    """The optimizer's vectors over theta."""
    segments: dict[str, Segment]
    body: dict[str, tuple[int, ...]]
    """The shapes of the network below the head, statistics included."""
    width: int | None
    """How many features the learner's head sees; None: it has no head."""
    counts: dict[str, int]
    """How many classes the head has rows for, and how many tasks the parts' weights."""
    weights: dict[str, Weight]
    """The parts' own trainable arrays, which follow the network and its head in theta."""
    statistics: set[str]
    """The segments that are no parameters: running means and variances."""
    frozen: set[str]
    """The segments that no gradient moves: statistics, and what the user's own model holds fixed."""
    ages: np.ndarray
    """How often each parameter, and each row of the head, was updated."""
    runs: list[Run]
    """What may move now."""
    _at: Tensor | None = None

    # ---- the network
    def build(self, model: Any, head: bool, inputs: np.ndarray, rng: np.random.Generator) -> None:
        """Make the network for inputs like these and draw its weights (writes)."""
        self.segments, self.counts, self.weights = {}, {"class": 0, "task": 0}, {}
        self.ages = np.zeros(0, int)
        self._afford(model, inputs)
        given = self._make(model, head, inputs)
        nothing = self._weights(np.zeros(0))
        self._hold(nothing, [nothing for _ in range(count_moments(self.optimizer))])
        self._rearrange(rng, given)
        self.activate(None)

    @abstractmethod
    def _make(self, model: Any, head: bool, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Make the network, and note its shapes; the values that a user's own model has (writes)."""

    @abstractmethod
    def _planned(self, recipe: Recipe, shape: tuple[int, ...]) -> int | None:
        """How many parameters a recipe has for inputs of ``shape``, found without making them; None
        where there are too many to count."""

    def _afford(self, model: Any, inputs: np.ndarray) -> None:
        """Refuse a recipe for whose parameters there is no memory."""
        if isinstance(model, Recipe):
            count = self._planned(model, inputs.shape[1:])
            if count is None:
                raise LifelongError(
                    f"{model} has more parameters than can be counted: choose it smaller"
                )
            # as they are drawn; theta, the network's own, gradient and direction; the moments
            number = 8 + (4 + count_moments(self.optimizer)) * self.itemsize
            afford(number * count, f"a model of {count:,} parameters")

    @property
    def largest(self) -> float:
        """The largest number of the learner's precision."""
        return float(np.finfo(np.float64 if self.itemsize == 8 else np.float32).max)

    def exhausted(self, error: BaseException) -> bool:
        """Whether an error says that there is not enough memory."""
        return isinstance(error, MemoryError)

    def _weights(self, values: np.ndarray) -> Tensor:
        """Values as a tensor in the learner's precision."""
        return self.ops.cast(self.ops.tensor(values))

    def batch(self, batch: Batch) -> None:
        """Turn the batch's columns into tensors (writes into the batch)."""
        columns = batch.columns()
        batch.tensors = {k: self.ops.tensor(v) for k, v in columns.items() if k not in ("x", "id")}
        batch.tensors["x"] = self._inputs(columns["x"])
        weights = batch.weights()
        batch.weight = None if weights is None else self._weights(weights)
        for aside in batch.asides.values():
            self.batch(aside)

    @abstractmethod
    def _inputs(self, x: np.ndarray) -> Tensor:
        """Inputs as the network takes them: pixels divided by 255, floats in its precision."""

    @abstractmethod
    def forward(self, batch: Batch, args: Args, at: Tensor | None = None) -> Outputs:
        """The network's outputs in evaluation mode, with parameters ``at`` (default: theta)."""

    @abstractmethod
    def gradient(
        self, batch: Batch, args: Args, loss: Loss, training: bool = True
    ) -> tuple[Outputs, Tensor]:
        """Outputs, and the gradient of ``loss`` over theta (see ``flat``); not ``training``: in
        evaluation mode, so that no statistics move."""

    def flat(self, vector: Any) -> Tensor:
        """A gradient or a direction as one tensor; a backend may keep it in pieces until then."""
        return vector

    @abstractmethod
    def moment(
        self,
        batches: Iterable[Batch],
        args: Args,
        f: Callable[[Outputs, Batch], list[tuple[Tensor, Tensor]]],
        power: int,
    ) -> Tensor:
        """Sum over samples and over ``f``'s terms (w, v), each [rows], of w |dv/dtheta|^power."""

    @contextmanager
    def trying(self, at: Tensor | None) -> Iterator[None]:
        """Within, :meth:`weight` reads these parameters; None: theta (writes)."""
        outside, self._at = self._at, at
        try:
            yield
        finally:
            self._at = outside

    def weight(self, name: str) -> Tensor:
        """A part's trainable array: that of theta, or of the parameters that are being tried."""
        segment, theta = self.segments[name], self.theta if self._at is None else self._at
        return self.ops.reshape(theta[segment.start : segment.stop], segment.shape)

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

    def grow(self, rng: np.random.Generator, **counts: int) -> Remap:
        """Give what has a row a class, or a task, rows for so many (writes)."""
        self.counts |= counts
        return self._rearrange(rng)

    def declare(self, name: str, weight: Weight, rng: np.random.Generator) -> Remap:
        """Give a part a trainable array of its own (writes)."""
        self.weights[name] = weight
        return self._rearrange(rng)

    def remodel(self, model: Any, inputs: np.ndarray, rng: np.random.Generator) -> Remap:
        """Make another network; parameters of the same name stay as they are (writes)."""
        self._afford(model, inputs)
        self._make(model, self.width is not None, inputs)
        return self._rearrange(rng)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of everything in theta, in its order."""
        shapes = dict(self.body)
        if self.width is not None:
            shapes |= {HEAD[0]: (self.counts["class"], self.width), HEAD[1]: (self.counts["class"],)}
        for name, weight in self.weights.items():
            shapes[name] = tuple(self.counts[a] if isinstance(a, str) else a for a in weight.axes)
        return shapes

    def _layout(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, Segment]:
        growing = [name for name, weight in self.weights.items() if isinstance(weight.axes[0], str)]
        return layout(shapes, (*HEAD, *growing))

    def _initial(
        self, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        own = {name: shape for name, shape in shapes.items() if name in self.weights}
        network = {name: shape for name, shape in shapes.items() if name not in own}
        values = initial_values(network, rng)
        for name, shape in own.items():
            weight = self.weights[name]
            values[name] = weight.fill + weight.sd * rng.standard_normal(shape)
        return values

    def _rearrange(self, rng: np.random.Generator, given: dict[str, np.ndarray] | None = None) -> Remap:
        """Lay theta out anew for the shapes that now hold (writes); the map of old vectors to new.

        What was there stays; what comes is ``given``, or drawn.
        """
        old, ages, numpy, shapes = self.segments, self.ages, self.ops.numpy, self._shapes()
        coming = {k: v for k, v in shapes.items() if k not in old or old[k].shape != v}
        if not coming and len(shapes) == len(old):
            return lambda vector, fill: vector
        given = given or {}
        fresh = given | self._initial({k: v for k, v in coming.items() if k not in given}, rng)
        self.segments = self._layout(shapes)

        def carry(held: np.ndarray, new: np.ndarray) -> Tensor:
            for name, segment in old.items():
                if name in self.segments:
                    kept = _piece(held, segment)
                    _piece(new, self.segments[name])[tuple(slice(n) for n in segment.shape)] = kept
            return self.ops.tensor(new)

        def remap(vector: Tensor, fill: float | str) -> Tensor:
            held = numpy(vector)
            if isinstance(fill, str):  # THETA
                return carry(held, numpy(self.theta).astype(held.dtype))
            return carry(held, np.full(self.size, fill, held.dtype))

        theta = np.zeros(self.size, numpy(self.theta).dtype)
        for name in coming:
            _piece(theta, self.segments[name])[...] = fresh[name]
        theta = carry(numpy(self.theta), theta)
        moments = [remap(moment, 0.0) for moment in self.moments]
        old_slots, slots = age_slots(old), age_slots(self.segments)
        self.ages = np.zeros(sum(s.stop - s.start for s in slots.values()), int)
        for name, slot in old_slots.items():
            if name in slots:
                start = slots[name].start
                self.ages[start : start + slot.stop - slot.start] = ages[slot]
        self._hold(theta, moments)
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
        shapes = {name: list(s.shape) for name, s in self.segments.items()}
        return arrays, {"shapes": shapes, "counts": dict(self.counts)}

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Load what :meth:`state` returned (writes)."""
        self.counts = dict(manifest["counts"])
        shapes = self._shapes()
        if {name: list(shape) for name, shape in shapes.items()} != manifest["shapes"]:
            raise LifelongError("the saved model has other layers than this one: use its own recipe")
        vectors = ["theta", *(f"moment.{i}" for i in range(len(self.moments)))]
        buffers = {f"buffer.{name}": array for name, array in self._counters().items()}
        require(
            set(arrays) - set(buffers) == {"ages", *vectors}, "the optimizer's state is not all there"
        )
        self.segments, kind = self._layout(shapes), self.ops.numpy(self.theta).dtype
        for name in vectors:
            fine = arrays[name].shape == (self.size,) and arrays[name].dtype == kind
            require(
                fine, f"{name} is {arrays[name].dtype}{arrays[name].shape}, not {kind}({self.size},)"
            )
        slots = sum(slot.stop - slot.start for slot in age_slots(self.segments).values())
        ages = arrays["ages"]
        fine = ages.shape == (slots,) and ages.dtype == np.int64 and (ages >= 0).all()
        require(fine, "the numbers of updates do not fit the parameters")
        for name, held in buffers.items():
            fine = name not in arrays or (arrays[name].shape, arrays[name].dtype) == (
                held.shape,
                held.dtype,
            )
            require(fine, f"{name} does not fit the model")
        self.ages = ages.copy()
        theta, *moments = (self.ops.tensor(arrays[name].copy()) for name in vectors)
        self._hold(theta, moments)
        self._set_counters(arrays)
        self.activate(None)

    def finite(self, vector: Tensor) -> bool:
        """Whether all numbers of a vector over theta are, but for what no gradient moves."""
        held = self.ops.numpy(vector)
        pieces = [held[s.start : s.stop] for name, s in self.segments.items() if name not in self.frozen]
        return all(map(finite, pieces if self.frozen else [held]))

    @property
    def sound(self) -> bool:
        """Whether parameters and moments are finite. A model of the user's own may hold infinity as a
        constant (a mask), so of what it holds beside parameters only NaN is refused."""
        theta = self.ops.numpy(self.theta)
        beside = (theta[self.segments[n].start : self.segments[n].stop] for n in self.statistics)
        fine = (not np.isnan(held).any() if self.outputs else finite(held) for held in beside)
        return all(map(self.finite, (self.theta, *self.moments))) and all(fine)

    def _counters(self) -> dict[str, np.ndarray]:
        """What the network holds beside theta, being no floats."""
        return {}

    def _set_counters(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: B027
        """Load them, each under ``buffer.NAME`` (writes)."""


def finite(array: np.ndarray) -> bool:
    """Whether all numbers are: one sum, and a look at each only where that is not finite."""
    return bool(np.isfinite(array.sum(dtype=float)) or np.isfinite(array).all())


def _piece(vector: np.ndarray, segment: Segment) -> np.ndarray:
    return vector[segment.start : segment.stop].reshape(segment.shape)


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
