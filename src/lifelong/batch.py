"""One step's rows, and what a step leaves behind for the books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .samples import Samples

if TYPE_CHECKING:
    from .method import Part


class Batch:
    """Rows of samples: the stream's own first, then those that parts add.

    While rows are added everything is NumPy; the backend then turns the columns into tensors,
    which are read as attributes (``batch.x``, ``batch.y``, ``batch.task``).
    """

    def __init__(self, samples: Samples, fresh: Samples | None = None) -> None:
        self.samples = samples
        """The stream's own rows, as NumPy columns."""
        self.fresh = fresh
        """Those of them that are met for the first time, so that a memory is offered each once."""
        self.blocks: list[tuple[Part | None, Samples, float]] = [(None, samples, 1.0)]
        self.extra: dict[str, np.ndarray] = {}
        """What an objective or a part drew or counted for this step: noise for all rows, a number."""
        self.asides: dict[Part, Batch] = {}
        """Rows that parts drew for gradients of their own, beside this batch."""
        self.tensors: dict[str, Any] = {}
        self.seed = 0
        """For layers that draw random numbers."""
        self.weight: Any = None
        """The rows' weights in the loss, which sum to 1; None: all alike."""

    def add(self, samples: Samples, by: Part, weight: float | None = None) -> None:
        """Add rows of ``by``.

        The loss is the weighted mean over blocks of each block's mean loss. The stream's own block
        weighs 1; this one weighs ``weight``, by default ``len(samples) / len(stream's rows)``, so
        that every row counts the same. Weight 0: rows that only ``by``'s own loss looks at.
        """
        if len(samples):
            share = len(samples) / len(self.samples) if weight is None else weight
            self.blocks.append((by, samples, share))

    def set_aside(self, samples: Samples, by: Part) -> None:
        """Keep rows of ``by`` beside the batch: not for its loss, but for ``learner.grad``."""
        self.asides[by] = Batch(samples)

    def aside(self, by: Part) -> Batch | None:
        """The rows that ``by`` set aside, if any."""
        return self.asides.get(by)

    def rows(self, by: Part | None) -> slice:
        """The rows of ``by`` (of the stream itself: None); empty if it added none."""
        at, found = 0, slice(0, 0)
        for part, samples, _ in self.blocks:
            if part is by:  # what a part adds in one hook lies together
                found = slice(at if found.stop == 0 else found.start, at + len(samples))
            at += len(samples)
        return found

    def added(self, by: Part) -> Samples | None:
        """The samples that ``by`` added, if any."""
        own = [samples for part, samples, _ in self.blocks if part is by]
        return Samples.concat(own) if own else None

    def columns(self) -> dict[str, np.ndarray]:
        """The columns that all blocks share, joined; their common dtype is the stream's."""
        if len(self.blocks) == 1:
            return self.samples.columns | self.extra
        blocks = [samples for _, samples, _ in self.blocks]
        if any("weight" in s for s in blocks):  # what has none weighs 1
            ones = [np.ones(len(s), np.float32) for s in blocks]
            blocks = [
                s.replace(weight=s.columns.get("weight", w)) for s, w in zip(blocks, ones, strict=True)
            ]
        shared = [c for c in blocks[0] if all(c in s for s in blocks)]
        return {c: np.concatenate([s.columns[c] for s in blocks]) for c in shared} | self.extra

    def weights(self) -> np.ndarray | None:
        """The rows' weights, ``float64 [rows]`` with sum 1, or None where all are equal."""
        shares = [share / len(samples) for _, samples, share in self.blocks]
        if max(shares) - min(shares) < 1e-12:
            return None
        total = sum(share for _, _, share in self.blocks)
        return np.concatenate(
            [
                np.full(len(s), w / total, np.float64)
                for (_, s, _), w in zip(self.blocks, shares, strict=True)
            ]
        )

    def __len__(self) -> int:
        return sum(len(samples) for _, samples, _ in self.blocks)

    def __contains__(self, column: str) -> bool:
        return column in self.tensors

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["tensors"][name]
        except KeyError:
            raise AttributeError(f"this batch has no column {name!r}") from None


class Outputs:
    """What a model returns: named tensors whose first axis is rows; ``out[rows]`` slices them all."""

    scores: Any
    """``[rows, classes]``, or what else the model ends in."""
    features: Any
    """``[rows, features]``, what the head sees; absent in a user's own model."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getitem__(self, rows: slice) -> Outputs:
        return Outputs(**{name: field[rows] for name, field in self.__dict__.items()})


@dataclass(slots=True)
class Step:
    """What one step did, for ``observe``. Its vectors are made for whom asks, and the next step may
    overwrite them: copy what is kept."""

    batch: Batch
    out: Outputs
    vectors: tuple[Any, Any, Any]
    scale: float
    flat: Callable[[Any], Any]

    @property
    def g(self) -> Any:
        """The gradient of the loss, before any part edited it."""
        return self.flat(self.vectors[0])

    @property
    def applied(self) -> Any:
        """The gradient handed to the optimizer."""
        return self.flat(self.vectors[1])

    @property
    def direction(self) -> Any:
        """The change of theta is ``scale`` times this."""
        return self.flat(self.vectors[2])

    @property
    def d(self) -> Any:
        """The change of theta."""
        return self.direction * self.scale
