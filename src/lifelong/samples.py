"""Samples: columns of equal length, and the data sets made of them."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import LifelongError

if TYPE_CHECKING:
    from .data.encoder import Encoder


class Samples:
    """Columns of equal length, held as contiguous NumPy arrays, or memory maps where they came as such.

    The columns everything relies on are ``x`` (inputs, ``[n, ...]``; ``uint8`` means pixels, which
    a backend divides by 255), ``y`` (labels, ``int64 [n]``, or numbers, ``float32 [n, classes]``, NaN
    where one is not told) and ``id`` (a stable ``int64`` name of the sample, so that it can be found
    in a memory and removed). ``weight`` (``float32 [n]``, from 0), where it is there, multiplies each
    row's loss. Where the scenario tells the learner the task, ``task`` (``int64 [n]``) is there too;
    parts add what they need.

        >>> s = Samples(x=np.zeros((3, 2), np.float32), y=np.array([0, 1, 0]), id=np.arange(3))
        >>> len(s), s.take([2, 0]).id.tolist()
        (3, [2, 0])
    """

    __slots__ = ("columns",)
    columns: dict[str, np.ndarray]

    def __init__(self, **columns: Any) -> None:
        self.columns = {name: _contiguous(array) for name, array in columns.items()}
        lengths = {name: len(array) for name, array in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise LifelongError(f"columns differ in length: {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getattr__(self, name: str) -> np.ndarray:
        if name == "columns" or name.startswith("__"):  # while being copied
            raise AttributeError(name)
        try:
            return self.columns[name]
        except KeyError:
            have = ", ".join(self.columns)
            raise AttributeError(f"these samples have no column {name!r}, only {have}") from None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in self.columns.items())
        return f"Samples({shapes})"

    def __getstate__(self) -> dict[str, np.ndarray]:
        return self.columns

    def __setstate__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = columns

    def take(self, indices: Any) -> Samples:
        """The samples at ``indices`` (integers, a slice or a boolean mask), read into memory.

        Views of arrays for a slice; the same arrays and memory maps where a mask keeps all.
        """
        if isinstance(indices, np.ndarray) and indices.dtype == bool and indices.all():
            return self.drop()
        taken = Samples()
        taken.columns = {name: _read(array[indices]) for name, array in self.columns.items()}
        return taken

    def replace(self, **columns: Any) -> Samples:
        """A copy with these columns added or replaced."""
        return Samples(**(self.columns | columns))

    def drop(self, *names: str) -> Samples:
        """A copy without these columns."""
        return Samples(**{k: v for k, v in self.columns.items() if k not in names})

    def copy(self) -> Samples:
        """The same, in arrays of its own."""
        return Samples(**{name: array.copy() for name, array in self.columns.items()})

    @property
    def nbytes(self) -> int:
        """Bytes held by all columns."""
        return sum(array.nbytes for array in self.columns.values())

    @staticmethod
    def concat(parts: Sequence[Samples]) -> Samples:
        """One after another; all must have the same columns."""
        if not parts:
            raise LifelongError("no samples to join")
        if len(parts) == 1:
            return parts[0]
        names = set(parts[0])
        for part in parts[1:]:
            if set(part) != names:
                raise LifelongError(f"cannot join samples with columns {names} and {set(part)}")
        return Samples(**{k: np.concatenate([p.columns[k] for p in parts]) for k in parts[0]})

    def fingerprint(self) -> str:
        """A short hash of the contents: part of a run's identity."""
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self.columns):
            array = self.columns[name]
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            for block in blocks(array):
                texts = block.dtype == object
                digest.update(json.dumps(block.tolist()).encode() if texts else block.data)
        return digest.hexdigest()


def _contiguous(array: Any) -> np.ndarray:
    """A contiguous array; a memory map stays one."""
    if isinstance(array, np.memmap) and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array)


def _read(array: np.ndarray) -> np.ndarray:
    """A contiguous array; a copy of a part of a memory map, since the backends want to own theirs."""
    return np.array(array) if isinstance(array, np.memmap) else np.ascontiguousarray(array)


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Its rows, some 16 MB at a time; the pages of a memory map are given back behind each."""
    rows = max(1, 2**24 // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
            array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Dataset:
    """A training set, a test set and the names of the classes.

    ``train.y`` and ``test.y`` index ``classes``, or are numbers with a column for each. A column other
    than ``x``, ``y``, ``id`` and ``weight`` may say which task a sample belongs to (see :meth:`by`).
    """

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    encoder: Encoder | None = None
    """What made the inputs of a table."""
    refit: Callable[[np.ndarray], Dataset] | None = field(default=None, repr=False, compare=False)
    """The same data, its encoder fitted to the training samples with these ids (the first task's)."""
    own_ids: bool = False
    """Whether ``id`` is a column of the file; else the rows were numbered, in their order."""
    how: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """How its files were read (the target's column, the separator): a model reads later ones so too."""
    unseen: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Of a table for a model: by column, how many rows hold a category that the model does not know."""

    def __post_init__(self) -> None:
        for name, part in (("train", "training"), ("test", "test")):
            samples = getattr(self, name)
            if samples.y.dtype.kind == "f":
                y = samples.y.astype(np.float32)
                samples = samples.replace(y=y[:, None] if y.ndim == 1 else y)
                object.__setattr__(self, name, samples)
            check(samples, len(self.classes), f"the {part} set of {self.name!r}")
        a, b = self.train.x, self.test.x
        if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
            raise LifelongError(
                f"{self.name!r}: training inputs are {a.dtype}{a.shape[1:]}, "
                f"test inputs {b.dtype}{b.shape[1:]}: they must be alike"
            )

    def split(self, classes_per_task: int = 2, scenario: str = "class", **options: Any):
        """Disjoint groups of classes, one a task. See :func:`lifelong.stream.split`."""
        from .stream import split

        return split(self, classes_per_task, scenario, **options)

    def permuted(self, tasks: int = 10, scenario: str = "domain", **options: Any):
        """One fixed random permutation of the inputs a task. See :func:`lifelong.stream.permuted`."""
        from .stream import permuted

        return permuted(self, tasks, scenario, **options)

    def rotated(self, tasks: int | None = None, scenario: str = "domain", **options: Any):
        """One rotation of the images a task. See :func:`lifelong.stream.rotated`."""
        from .stream import rotated

        return rotated(self, tasks, scenario, **options)

    def i_blurry(self, tasks: int = 5, scenario: str = "free", **options: Any):
        """Classes of one task, and classes of all. See :func:`lifelong.stream.i_blurry`."""
        from .stream import i_blurry

        return i_blurry(self, tasks, scenario, **options)

    def mnist_360(self, scenario: str = "free", **options: Any):
        """Pairs of digits that turn. See :func:`lifelong.stream.mnist_360`."""
        from .stream import mnist_360

        return mnist_360(self, scenario, **options)

    def whole(self, scenario: str = "class", **options: Any):
        """All of it as one task, to be updated later. See :func:`lifelong.stream.whole`."""
        from .stream import whole

        return whole(self, scenario, **options)

    def by(self, column: str, scenario: str = "domain", **options: Any):
        """One task a value of ``column``. See :func:`lifelong.stream.by`."""
        from .stream import by

        return by(self, column, scenario, **options)


def check(samples: Samples, classes: int, where: str) -> None:
    """Refuse what would only fail later: no samples, NaN, targets or weights that cannot be."""
    if not len(samples):
        raise LifelongError(f"{where} is empty: give it at least one sample")
    x, y = samples.x, samples.y
    if np.issubdtype(x.dtype, np.floating):
        row = 0
        for block in blocks(x):
            fine = np.isfinite(block.reshape(len(block), -1)).all(1)
            if not fine.all():
                row += int(fine.argmin())
                raise LifelongError(
                    f"{where} holds NaN or infinity (first in row {row}): fill or drop it"
                )
            row += len(block)
    if "weight" in samples:
        w = samples.weight
        if w.dtype.kind not in "fiu" or w.ndim != 1 or not ((w >= 0) & np.isfinite(w)).all():
            raise LifelongError(f"{where} has a weight that is no number from 0: give one a sample")
    if y.ndim > 1:
        if y.shape[1:] != (classes,) or np.isinf(y).any():
            raise LifelongError(f"{where} has targets {y.shape}: give finite ones [n, {classes}]")
        return
    if y.min() < 0 or y.max() >= classes:
        bad = int(y.min() if y.min() < 0 else y.max())
        raise LifelongError(f"{where} holds label {bad}, outside its {classes} classes")
