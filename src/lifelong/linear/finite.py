"""Numbers stay finite: rows that cannot be computed with are refused, and so is what they would leave.

A copy of all that is known before each batch would make streams slow. None is needed where the numbers
of the rows and of what is known are *ordinary*, so far from the limits that a batch cannot reach them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from ..errors import LifelongError
from ..memory import Memory

ORDINARY = 1e-9, 1e9
"""The magnitudes of a row's numbers that need no copy (or 0)."""
BLOCK = 1 << 13
"""Numbers that are looked at together: what is made of them stays in the cache."""
MOST = {"float32": 1e15, "float64": 1e50}
"""The largest magnitude of learned numbers that needs none, by their dtype.

A step squares a margin times its variance, w.x x'Sigma x, in float64: with rows of 1e9 that is 1e254.
"""


def values(X: Any) -> np.ndarray:
    """The numbers of rows, in any order."""
    return X.data if sp.issparse(X) else X.ravel("K")


def ordinary(X: Any) -> bool:
    """Whether all numbers of the rows are 0 or of an ordinary magnitude; texts are."""
    held = values(X)
    if held.dtype.kind != "f":
        return True
    return all(_ordinary(held[i : i + BLOCK]) for i in range(0, len(held), BLOCK))


def _ordinary(held: np.ndarray) -> bool:
    sizes = np.abs(held)
    least = sizes.view(f"u{sizes.itemsize}") - 1  # as bits, magnitudes are in order; of 0 it is the most
    smallest = (least.min(keepdims=True) + 1).view(sizes.dtype)[0] or np.inf
    return bool(ORDINARY[0] <= smallest and sizes.max() <= ORDINARY[1])


def refuse_large(X: Any, most: float, beyond: str) -> None:
    """Raise :class:`LifelongError`, with the row's number, where a row's x.x is above ``most``."""
    held = values(X)
    with np.errstate(over="ignore"):
        if held.dot(held) <= most:  # of all rows together: mostly that is enough
            return
        rows = sp.csr_array(X) if sp.issparse(X) else X
        squares = rows.astype(np.float64) ** 2
        large = np.flatnonzero(~(squares.sum(1) <= most))
    if len(large):
        row = rows[[large[0]]]
        raise LifelongError(
            f"row {large[0]} of X reaches {np.abs(values(row)).max():.3g}, whose square is beyond "
            f"{beyond}: scale it, or drop it"
        )


def refuse_broken(X: Any) -> None:
    """Raise :class:`LifelongError` where sparse rows point outside of themselves."""
    if not sp.issparse(X) or X.format not in ("csr", "csc"):
        return
    minor, ends = X.shape[X.format == "csr"], X.indptr
    fine = len(X.indices) == len(X.data) == ends[-1] and ends[0] == 0 and (ends[1:] >= ends[:-1]).all()
    if fine and len(X.indices):
        fine = X.indices.min() >= 0 and X.indices.max() < minor
    if not fine:
        raise LifelongError("X holds sparse rows that point outside of its columns: make them anew")


def largest(held: Any) -> float:
    """The largest magnitude of the numbers learned, in ``held`` and within; inf where one is NaN."""
    if isinstance(held, np.ndarray) and held.dtype.kind == "f":
        most = max(-held.min(initial=0.0), held.max(initial=0.0))
        return float(most) if most == most else np.inf
    if sp.issparse(held):
        return largest(held.data)
    if isinstance(held, float):
        return abs(held) if held == held else np.inf
    if isinstance(held, Memory):  # only what is not ordinary counts
        return 0.0 if held.samples is None or ordinary(held.samples.x) else largest(held.samples.x)
    if isinstance(held, BaseEstimator):
        roomy = getattr(held, "roomy", ())
        held = {k: v for k, v in vars(held).items() if k.endswith("_") and k not in roomy}
    if isinstance(held, dict):
        held = [*held.values()]
    return max(map(largest, held), default=0.0) if isinstance(held, list) else 0.0
