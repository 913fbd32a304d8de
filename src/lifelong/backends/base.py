"""What a backend offers: a network on one parameter vector, its gradient, and the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import LifelongError, unknown

if TYPE_CHECKING:
    from ..batch import Batch, Outputs

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
    in PyTorch's form); one-dimensional weights (normalization) are 1 and their biases 0.
    """
    values = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        weight = shapes.get(f"{layer}.weight", shape)
        if len(weight) < 2:
            values[name] = np.full(shape, float(kind == "weight"))
        else:
            bound = 1 / np.sqrt(np.prod(weight[1:]))
            values[name] = rng.uniform(-bound, bound, shape)
    return values


class Backend(Protocol):
    """One learner's parameters, network and optimizer, in one framework.

    ``theta`` holds all parameters as one vector, in the order of ``segments``, and with them the
    statistics that training moves (batch norm's), so that a copy of theta is a copy of the network;
    hooks see it as a plain tensor. Every method below is pure unless it says otherwise.
    """

    name: str
    ops: Any
    random: bool
    """Whether a training step draws random numbers inside the network."""
    outputs: int | None
    """The number of scores of a user's own model; None where the learner owns the head."""
    theta: Tensor
    segments: dict[str, Segment]
    statistics: set[str]
    """The segments that are no parameters: running means and variances."""

    def build(self, model: Any, head: bool, inputs: np.ndarray, rng: np.random.Generator) -> None:
        """Make the network for inputs like these and draw its weights (writes)."""

    def grow(self, classes: int, rng: np.random.Generator) -> Callable[[Tensor, Any], Tensor]:
        """Give the head rows for ``classes`` classes (writes); the map of old vectors to new."""

    def activate(self, rows: np.ndarray | None) -> None:
        """Let only these rows of the head move from now on; None: all (writes)."""

    def vector(self, fill: float | str, dtype: str | None = None) -> Tensor:
        """A new vector over theta."""

    def batch(self, batch: Batch) -> None:
        """Turn the batch's columns into tensors (writes into the batch)."""

    def forward(self, batch: Batch, args: dict[str, Any], at: Tensor | None = None) -> Outputs:
        """The network's outputs in evaluation mode, with parameters ``at`` (default: theta)."""

    def gradient(
        self, batch: Batch, args: dict[str, Any], loss: Callable[[Outputs], Tensor]
    ) -> tuple[Outputs, Tensor]:
        """Outputs in training mode, and the gradient of ``loss(outputs)`` over theta."""

    def propose(self, g: Tensor, rate: float) -> tuple[Tensor, float]:
        """The optimizer's change of theta for gradient ``g``, as (direction, scale): their product.

        Advances the optimizer. The product is not formed, so that a plain step reads theta once.
        """

    def move(self, direction: Tensor, scale: float) -> None:
        """theta += scale * direction (writes)."""

    def assign(self, theta: Tensor) -> None:
        """theta = these values (writes)."""

    def moment(
        self,
        batches: Iterable[Batch],
        args: Callable[[Batch], dict[str, Any]],
        f: Callable[[Outputs, Batch], list[tuple[Tensor, Tensor]]],
        power: int,
    ) -> Tensor:
        """Sum over samples and over ``f``'s terms (w, v), each [rows], of w |dv/dtheta|^power."""

    def threads(self) -> int:
        """How many processor threads the framework uses."""

    def set_threads(self, count: int) -> None:
        """Use so many (the process's setting)."""

    def reset_optimizer(self) -> None:
        """Forget momentum and step counts (writes)."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, JSON): parameters, buffers, optimizer."""

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Load what :meth:`state` returned (writes)."""


def make(name: str, **options: Any) -> Backend:
    """The backend of this name; a missing framework is one clear error."""
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    if name == "tensorflow":
        raise LifelongError("the tensorflow backend is not part of this version: use --backend torch")
    try:
        from .torch import TorchBackend
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise LifelongError("PyTorch is not installed: pip install 'lifelong[torch]'") from None
    return TorchBackend(**options)
