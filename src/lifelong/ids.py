"""The ids of the rows that a model has met: the file's own, or counted on from the largest so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import LifelongError
from .schema import fault

LARGEST = np.iinfo(np.int64).max
COUNT = {"type": "integer", "minimum": 0}
ABOUT = dict.fromkeys(("first", "last", "rows"), COUNT) | {
    "data": {"type": "string"},
    "own": {"type": "boolean"},
}
TOLD = {
    "type": "array",
    "items": {"type": "object", "required": [*ABOUT], "properties": ABOUT},
}
"""The schema of :attr:`Ids.told`."""


@dataclass
class Ids:
    """Which ids a model has met in training and test sets, and how they were made.

    A file's column ``id`` names its rows. Rows of a file without it are numbered: from 0 in the
    first run, and in an update from one above the largest id so far, in the order of the files. So the
    number of the i-th row (from 1) is ``first + i - 1``; :attr:`told` has ``first``.
    """

    ranges: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """``int64 [ranges, 2]``: the first and the last of each run of ids, ascending."""
    next: int = 0
    """Above every id so far, those that were forgotten included."""
    told: list[dict[str, Any]] = field(default_factory=list)
    """Of every data set: its name, whether the ids are its own, the smallest and the largest."""

    def take(self, name: str, ids: np.ndarray, own: bool) -> np.ndarray:
        """The ids of a data set's rows, ``int64 [rows]``, in the model's numbering; they are met now.

        Raises :class:`LifelongError` where an id was met before, or no larger number is left.
        """
        if not own:
            if self.next > LARGEST - int(ids.max(initial=0)):
                raise LifelongError(f"there are no ids above {self.next - 1} to number {name} with")
            ids = ids + self.next
        held = self.among(ids)
        if held.any():
            raise LifelongError(
                f"id {ids[held.argmax()]} of {name} was learned before: an id names one row, so give "
                "new rows ids of their own (or leave the column id out, and rows are numbered)"
            )
        self.add(ids)
        first, last = (int(end) for end in (ids.min(), ids.max()))
        self.told.append({"data": name, "own": own, "first": first, "last": last, "rows": len(ids)})
        return ids

    def among(self, ids: np.ndarray) -> np.ndarray:
        """Which of these were met, ``bool [n]``."""
        if not len(self.ranges):
            return np.zeros(len(ids), bool)
        at = np.searchsorted(self.ranges[:, 0], ids, "right") - 1
        return (at >= 0) & (ids <= self.ranges[np.maximum(at, 0), 1])

    def add(self, ids: np.ndarray) -> None:
        """These have been met."""
        if len(ids):
            self.next = max(self.next, int(ids.max()) + 1)
            self.ranges = joined(np.concatenate([self.ranges, np.stack([ids, ids], 1)]))

    def forget(self, ids: np.ndarray) -> None:
        """Keep no trace of these, but that larger numbers were given out."""
        cuts = (
            np.unique(ids[self.among(ids)]).astype(np.uint64) + 1
        )  # from 1: what is below 0 has no sign
        first, last = self.ranges.astype(np.uint64).T + 1
        first, last = np.sort(np.append(first, cuts + 1)), np.sort(np.append(last, cuts - 1))
        self.ranges = (np.stack([first, last], 1)[first <= last] - 1).astype(np.int64)

    def rule(self) -> list[str]:
        """How each data set's ids were made, a line each."""
        lines = []
        for t in self.told:
            how = "of its column id" if t["own"] else f"row i, from 1, has id {t['first'] - 1:+d} + i"
            lines.append(f"{t['data']}: {t['first']} to {t['last']}, {how}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """All but the ranges, which are an array."""
        return {"next": self.next, "told": self.told}

    @staticmethod
    def of(manifest: Any, ranges: np.ndarray | None) -> Ids:
        """What a file holds; of one that holds nothing, no ids. Raises :class:`LifelongError`."""
        if manifest is None or ranges is None:
            return Ids()
        fine = ranges.dtype == np.int64 and ranges.ndim == 2 and ranges.shape[1] == 2
        above = manifest.get("next") if isinstance(manifest, dict) else None
        fine = fine and type(above) is int and 0 <= above <= LARGEST + 1
        fine = fine and fault(manifest.get("told"), TOLD) is None
        if not fine or (ranges < 0).any() or not np.array_equal(joined(ranges), ranges):
            raise LifelongError("the ids in this file are damaged: restore a copy of it")
        return Ids(ranges.copy(), manifest["next"], manifest["told"])


def joined(ranges: np.ndarray) -> np.ndarray:
    """Ranges ``[n, 2]`` in order, those that touch or overlap as one."""
    if not len(ranges):
        return ranges
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    ends = np.maximum.accumulate(ranges[:, 1])
    first = np.flatnonzero(np.append(True, ranges[1:, 0] - 1 > ends[:-1]))
    return np.stack([ranges[first, 0], ends[np.append(first[1:] - 1, len(ranges) - 1)]], 1)
