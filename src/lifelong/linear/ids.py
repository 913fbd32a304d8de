"""The ids of rows: the names by which those that are held are found again, and forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import LifelongError

LARGEST = int(np.iinfo(np.int64).max)


def named(ids: Any, rows: int, held: np.ndarray, following: int) -> np.ndarray:
    """The ids ``int64 [rows]`` of new rows: those given, or else counted on from ``following``.

    Raises:
        LifelongError: where they are no whole numbers from 0 to 2^63 - 1, not one a row, not unique, or
            among those that are ``held`` already.
    """
    if ids is None:
        if following + rows - 1 > LARGEST:
            raise LifelongError(f"no {rows} ids are left from {following} on: give ids")
        return following + np.arange(rows)
    given = np.asarray(ids)
    if given.shape != (rows,):
        raise LifelongError(f"ids are of shape {list(given.shape)}, X has {rows} rows: give one a row")
    if given.dtype.kind not in "iu":
        bad = next((i for i in given.tolist() if isinstance(i, bool) or not isinstance(i, int)), None)
        if bad is not None or given.dtype != object:
            raise LifelongError(f"ids are {given.dtype}: give whole numbers from 0 to {LARGEST}")
    beyond = next((i for i in given.tolist() if not 0 <= i <= LARGEST), None)
    if beyond is not None:
        raise LifelongError(f"id {beyond}: give whole numbers from 0 to {LARGEST}")
    found = given.astype(np.int64)
    unique, counts = np.unique(found, return_counts=True)
    if len(unique) < rows:
        raise LifelongError(f"id {unique[counts > 1][0]} is given twice: every row needs its own")
    if (again := np.isin(found, held)).any():
        raise LifelongError(f"id {found[again][0]} is held already: forget it first, or give another")
    return found


def wanted(ids: Any) -> np.ndarray:
    """Ids to look for, ``int64``, ascending, each once; numbers that no row can have are left out.

    Raises:
        LifelongError: where they are no whole numbers.
    """
    one = isinstance(ids, int | np.integer | np.ndarray)
    listed: list[Any] = np.ravel(ids).tolist() if one else list(ids)
    if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in listed):
        raise LifelongError("ids are no whole numbers: give them as in forget([3, 17])")
    return np.unique(np.array([int(i) for i in listed if 0 <= i <= LARGEST], np.int64))
