"""Memories: stored samples = storage x admission policy x retrieval (uniform, without repeats)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import LifelongError, require, unknown
from .samples import Samples

ADMISSIONS = ("reservoir", "balanced", "ring")


class Memory:
    """At most ``capacity`` samples, chosen by ``admission``.

    Every offered sample is given a key, and of every group the samples with the smallest keys stay.
    A full memory is shared equally by the groups, what a small group leaves going to the others;
    with a capacity for each class, every class is a group.

    ========== =========== ======== ==================================================================
    admission  group       key      what stays
    ========== =========== ======== ==================================================================
    reservoir  all         random   a uniform sample of the stream so far (Vitter, 1985)
    balanced   the class   random   a uniform sample of each class (CBRS: Chrysakis & Moens, ICML 2020)
    ring       the class   arrival  the latest of each class (Chaudhry et al., "Tiny memories", 2019)
    ========== =========== ======== ==================================================================

    Where the memory is kept by ``task``, the task (column ``place``) takes the class's part in that.

    Args:
        capacity: samples (``500``), samples of each class or task (``"100/class"``), bytes
            (``"2MB"``, counting every stored column), or None for no bound.
        admission: one of the above.
        group: ``class`` or ``task``.

    Raises:
        LifelongError: for a capacity below one sample or an unknown admission policy.
    """

    def __init__(
        self, capacity: int | str | None, admission: str = "reservoir", group: str = "class"
    ) -> None:
        if admission not in ADMISSIONS:
            raise unknown("admission policy", admission, ADMISSIONS)
        self.admission, self.group = admission, {"class": "y", "task": "place"}[group]
        self.limit = parse_capacity(capacity)
        unit = self.limit[1] if self.limit else "samples"
        if unit not in ("samples", "bytes", f"a {group}"):
            raise LifelongError(f"memory {capacity!r}: this one is kept by {group}, give it 100/{group}")
        self.each = unit == f"a {group}"
        """Whether the bound is that of every group."""
        self.samples: Samples | None = None
        self.keys = np.empty(0)
        """The key of every stored sample."""
        self.offered = 0
        """How many samples were offered so far."""
        self.edits = 0
        """How often what is stored was changed by anything but an offer."""

    def __len__(self) -> int:
        return 0 if self.samples is None else len(self.samples)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored samples."""
        return 0 if self.samples is None else self.samples.nbytes

    def capacity(self, samples: Samples) -> int | None:
        """The bound in samples, for samples such as these (in samples of a class, if so given)."""
        if self.limit is None:
            return None
        count, unit = self.limit
        if unit != "bytes":
            return count
        size = samples.nbytes // max(1, len(samples))
        if size > count:
            raise LifelongError(f"a memory of {count} bytes holds no sample of {size} bytes")
        return count // size

    def offer(self, samples: Samples, rng: np.random.Generator) -> None:
        """Offer samples of the stream, each once; the policy decides which stay."""
        capacity = self.capacity(samples)
        arrival = np.arange(self.offered, self.offered + len(samples))
        keys = -arrival.astype(float) if self.admission == "ring" else rng.random(len(samples))
        self.offered += len(samples)
        whole = capacity is not None and not self.each
        if self.admission == "reservoir" and whole and len(self) == capacity:
            small = keys < self.keys.max()  # no other can come in
            if not small.any():
                return
            samples, keys = samples.take(small), keys[small]
        held = [] if self.samples is None else [self.samples]
        keys = np.concatenate([self.keys, keys])
        self._write(samples, keys, self._staying(keys, [*held, samples], capacity))

    def _staying(self, keys: np.ndarray, parts: list[Samples], capacity: int | None) -> np.ndarray:
        """A mask of those samples, of all parts in order, that stay."""
        if capacity is None or (not self.each and len(keys) <= capacity):
            return np.ones(len(keys), bool)
        if self.admission == "reservoir" and not self.each:
            stay = np.zeros(len(keys), bool)
            stay[np.argpartition(keys, capacity - 1)[:capacity]] = True
            return stay
        labels = np.concatenate([part.columns[self.group] for part in parts])
        return _smallest(keys, labels, capacity, each=self.each)

    def _write(self, samples: Samples, keys: np.ndarray, stay: np.ndarray) -> None:
        """Keep what stays; what comes in takes the place of what goes, the rest is appended."""
        held = len(self)
        free = np.flatnonzero(~stay[:held])
        new = np.flatnonzero(stay[held:])
        if self.samples is None or len(new) < len(free):
            kept = [] if self.samples is None else [self.samples.take(stay[:held])]
            self.samples = Samples.concat([*kept, samples.take(new)])
            self.keys = np.concatenate([self.keys[stay[:held]], keys[held:][new]])
            return
        replacing, more = new[: len(free)], new[len(free) :]
        for name, array in self.samples.columns.items():
            array[free] = samples.columns[name][replacing]
        self.keys[free] = keys[held:][replacing]
        if len(more):
            self.samples = Samples.concat([self.samples, samples.take(more)])
            self.keys = np.concatenate([self.keys, keys[held:][more]])

    def share(self, samples: Samples, classes: int) -> int:
        """How many samples of each of so many classes fit; at least one must."""
        capacity = self.capacity(samples)
        if capacity is None or self.each:
            return len(samples) if capacity is None else capacity
        if capacity < classes:
            raise LifelongError(f"a memory of {capacity} samples for {classes} classes: give it more")
        return capacity // classes

    def fill(self, samples: Samples | None) -> None:
        """Replace what is stored: herding chooses for itself, within :meth:`share`."""
        if samples is not None and not self.each:
            capacity = self.capacity(samples)
            if capacity is not None and len(samples) > capacity:
                raise LifelongError(f"{len(samples)} samples for a memory of {capacity}")
        self.samples = samples
        self.keys = np.zeros(len(self))
        self.edits += 1

    def widen(self, columns: Iterable[str], width: int) -> None:
        """Give these columns ``[n, classes]`` entries for so many classes, NaN where none was stored."""
        for name in columns:
            if self.samples is None:
                return
            held = self.samples.columns[name]
            new = np.full((len(held), width), np.nan, held.dtype)
            new[:, : held.shape[1]] = held
            self._cut(self.samples.replace(**{name: new}))  # in bytes it holds fewer of what has grown

    def _cut(self, samples: Samples) -> None:
        """Store these instead, which follow from those held; what is beyond the bound goes."""
        stay = self._staying(self.keys, [samples], self.capacity(samples))
        self.samples, self.keys = samples.take(stay), self.keys[stay]
        self.edits += 1

    def renew(self, samples: Samples) -> None:
        """Let the stored samples among these be as they are here; nothing comes in or goes."""
        if self.samples is None:
            return
        order = np.argsort(samples.id)
        at = np.minimum(np.searchsorted(samples.id, self.samples.id, sorter=order), len(samples) - 1)
        rows = np.flatnonzero(samples.id[order[at]] == self.samples.id)
        for name, array in self.samples.columns.items():
            array[rows] = samples.columns[name][order[at[rows]]]
        self.edits += 1

    def relabel(self, old: list[int], new: int) -> None:
        """Let the stored samples of these classes be of another, of which no more stay than may."""
        if self.samples is not None:
            y = self.samples.y
            self._cut(self.samples.replace(y=np.where(np.isin(y, old), new, y)))

    def remove(self, ids: Iterable[int]) -> int:
        """Forget the samples with these ids (a request to delete, an audit); how many were held.

        What the network learned from them stays: train anew, or further, to undo that.

        Raises:
            LifelongError: for ids that are no whole numbers.
        """
        asked = whole_ids(ids)
        if self.samples is None:
            return 0
        stay = ~np.isin(self.samples.id, asked)
        self.samples, self.keys = self.samples.take(stay), self.keys[stay]
        self.edits += 1
        return int((~stay).sum())

    def draw(self, count: int, rng: np.random.Generator) -> Samples | None:
        """``count`` different stored samples (all, if fewer are held); None from an empty memory."""
        if self.samples is None or not len(self.samples):
            return None
        size = len(self.samples)
        return self.samples.take(rng.choice(size, min(count, size), replace=False))

    # ---- state
    def save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, JSON) from which :meth:`load` restores this memory exactly."""
        columns = {} if self.samples is None else self.samples.copy().columns
        return {**columns, "keys": self.keys.copy()}, {"offered": self.offered}

    def load(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Restore what :meth:`save` returned.

        Raises:
            ValueError: where the content is not what :meth:`save` returns of such a memory.
        """
        columns = {name: array.copy() for name, array in arrays.items()}
        keys, offered = columns.pop("keys"), manifest["offered"]
        require(type(offered) is int and 0 <= offered < 2**62, "a memory was offered no such number")
        require(keys.dtype == np.float64 and keys.ndim == 1, "the keys of a memory are no numbers")
        samples = Samples(**columns) if columns else None
        require(len(keys) == (0 if samples is None else len(samples)), "a memory lacks keys, or samples")
        if samples is not None:
            self._check(samples, keys, offered)
        self.samples, self.keys, self.offered = samples, keys, offered
        self.edits += 1

    def _check(self, samples: Samples, keys: np.ndarray, offered: int) -> None:
        """Refuse samples and keys that this memory cannot hold."""
        require(
            "id" in samples and samples.id.dtype == np.int64, "a memory lacks the ids of its samples"
        )
        for name in ("id", "task", "place"):
            if name in samples:
                column = samples.columns[name]
                require(
                    column.dtype == np.int64 and column.ndim == 1,
                    f"{name} of a memory are no whole numbers",
                )
        if keys.any():  # herding gives none
            ring = self.admission == "ring"
            fine = ((keys > -offered) & (keys <= 0) & (keys == np.rint(keys))) if ring else (keys < 1)
            require(fine.all() and (ring or (keys >= 0).all()), "the keys of a memory are out of range")
            require(len(keys) <= offered, "a memory holds more samples than it was offered")
        capacity = self.capacity(samples)
        if capacity is not None and not self.each:
            require(len(samples) <= capacity, "a memory holds more samples than its capacity")


def whole_ids(ids: Iterable[int]) -> np.ndarray:
    """Ids as ``int64``; those beyond it name no sample."""
    found = ids if isinstance(ids, np.ndarray) else np.array(list(ids))
    if found.size and found.dtype.kind not in "iu":
        raise LifelongError(f"ids of samples are whole numbers of 64 bits, not {found.dtype}")
    return found[found <= np.iinfo(np.int64).max].astype(np.int64)


def _smallest(keys: np.ndarray, labels: np.ndarray, capacity: int, each: bool) -> np.ndarray:
    """A mask of the samples that stay: of every class, its share of those with the smallest keys.

    The share is ``capacity`` for ``each`` class, or an equal share of ``capacity``.
    """
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((keys, group))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(keys), int)
    rank[order] = np.arange(len(keys)) - np.repeat(starts, sizes)
    share = capacity if each else _equal_shares(sizes, capacity, keys[order[starts]])[group]
    return rank < share


def _equal_shares(sizes: np.ndarray, capacity: int, ties: np.ndarray) -> np.ndarray:
    """How many of each group fit: the level that fills ``capacity``; ``ties`` break the remainder."""
    level = 0
    quotas = np.minimum(sizes, level)
    while (left := capacity - quotas.sum()) and len(rising := np.flatnonzero(sizes > quotas)):
        if left < len(rising):
            quotas[rising[np.argsort(ties[rising], kind="stable")[:left]]] += 1
            break
        level += left // len(rising)
        quotas = np.minimum(sizes, level)
    return quotas


def parse_capacity(capacity: int | str | None) -> tuple[int, str] | None:
    """``(500, "samples")`` of 500 or "500", ``(2_000_000, "bytes")`` of "2MB", ``(100, "a class")``."""
    if capacity is None:
        return None
    match = re.fullmatch(
        r"(\d+|\d+\.\d+(?=\s*.B))\s*(B|kB|KB|MB|GB|/class|/task)?", str(capacity).strip()
    )
    if not match:
        raise LifelongError(f"memory {capacity!r}: give samples (500, 100/class) or bytes (2MB)")
    scale = {
        None: 1,
        "/class": 1,
        "/task": 1,
        "B": 1,
        "kB": 10**3,
        "KB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
    }[match[2]]
    unit = {None: "samples", "/class": "a class", "/task": "a task"}.get(match[2], "bytes")
    size = int(float(match[1]) * scale)
    if size < 1:
        raise LifelongError(f"memory {capacity!r} holds nothing: give at least 1, or use naive")
    return size, unit
