"""Learners whose whole knowledge is sums over the examples, so that no order and no batching can matter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError
from .estimator import Incremental

ROWS = 2048

_tables: WeakKeyDictionary[Additive, tuple[dict[str, Any], Any]] = WeakKeyDictionary()
"""What predictions need of each learner, kept outside it: made again when missing, never saved or copied."""


class Additive(Incremental):
    """A learner that adds up sums over the examples and solves for its predictions when they are asked for.

    A subclass says what it adds up (:meth:`_of`), what it makes of the sums (:meth:`_solve`) and how
    that scores rows (:meth:`_score`). The rest follows: growing, merging, exactness whatever the order.
    A hyper-parameter that only :meth:`_solve` reads may be changed after learning.

    The sums lie in ``sums_``: arrays, or lists of CSR parts that shrink at least by half from one to
    the next, so that a small batch costs its own size and not that of the whole table.
    """

    shared: tuple[str, ...] = ()
    """The sums over all classes together. The first axis of every other runs over the classes."""

    # ---- what a subclass defines
    def _of(self, X: Any, Y: sp.csr_array) -> dict[str, Any]:
        """The sums over rows ``X [n, features]`` with indicators ``Y [n, classes]``, arrays or CSR by name."""
        raise NotImplementedError

    def _solve(self, examples: np.ndarray, **sums: Any) -> Any:
        """What predictions need, of the number of ``examples [classes]`` and all that :meth:`_of` names."""
        raise NotImplementedError

    def _score(self, X: Any, table: Any) -> np.ndarray:
        """``[n, classes]``, of what :meth:`_solve` gave."""
        raise NotImplementedError

    # ---- what follows
    def sums(self) -> dict[str, Any]:
        """All that was learned, by name; ``examples [classes]`` are counts. Copy what you want to keep."""
        check_is_fitted(self)
        return {k: reduce(add, v[::-1]) if isinstance(v, list) else v for k, v in self.sums_.items()}

    def _start(self) -> None:
        self.sums_: dict[str, Any] = {}

    def _widen(self, classes: int) -> None:
        for name in self.sums_.keys() - set(self.shared):
            held = self.sums_[name]
            if isinstance(held, list):
                for part in held:
                    part.resize(classes, part.shape[1])
            else:
                empty = np.zeros((classes - len(held), *held.shape[1:]))
                self.sums_[name] = np.concatenate([held, empty])

    def _update(self, X: Any, codes: np.ndarray) -> None:
        for rows in chunks(len(codes)):
            Y = indicators(codes[rows], len(self.classes_))
            self._add(self._of(X[rows], Y) | {"examples": Y.sum(0)})

    def _add(self, sums: dict[str, Any]) -> None:
        _tables.pop(self, None)
        for name, part in sums.items():
            if sp.issparse(part):
                self.sums_[name] = heaped(self.sums_.get(name, []), part)
            elif name in self.sums_:
                self.sums_[name] += part
            else:
                self.sums_[name] = part

    def _scores(self, X: Any) -> np.ndarray:
        now = self.get_params(deep=False)
        if self not in _tables or _tables[self][0] != now:
            _tables[self] = now, self._solve(**self.sums())
        scores = self._score(X, _tables[self][1])
        scores[:, self.sums_["examples"] == 0] = -np.inf  # a class announced and not seen yet
        return scores

    def _checked(self, X: Any, reset: bool) -> Any:
        X = super()._checked(X, reset)
        if not sp.issparse(X):
            return X.astype(np.float64, copy=False)
        X = sp.csr_array(X, dtype=np.float64)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return X

    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Exact: all sums are added, and those of ``base`` subtracted once for each learner but one."""
        classes = len(self.classes_)
        parts = [(*other, 1) for other in others]
        if base is not None:
            least = indicators(base[1], classes).T @ base[0].sums_["examples"]
            for other, places in [(self, np.arange(classes)), *others]:
                if (indicators(places, classes).T @ other.sums_["examples"] < least).any():
                    raise LifelongError(
                        "base knows what was not merged: give what all learners went on from"
                    )
            parts.append((*base, -len(others)))
        for other, places, factor in parts:
            spread = indicators(places, classes).T
            sums = other.sums().items()
            self._add({k: factor * (v if k in self.shared else spread @ v) for k, v in sums})


def indicators(codes: np.ndarray, classes: int) -> sp.csr_array:
    """``[n, classes]``: a one in each row, at its code."""
    n = len(codes)
    return sp.csr_array((np.ones(n), codes, np.arange(n + 1)), (n, classes))


def heaped(parts: list[sp.csr_array], new: sp.csr_array) -> list[sp.csr_array]:
    """The parts with a new one, each less than half as large as the one before it."""
    parts = list(parts)
    while parts and parts[-1].nnz < 2 * new.nnz:
        new = parts.pop() + new
    return [*parts, new]


def chunks(n: int) -> Iterator[slice]:
    """The rows in pieces, so that what is computed of them stays small."""
    return (slice(i, i + ROWS) for i in range(0, n, ROWS))


def log_priors(examples: np.ndarray, fit_prior: bool) -> np.ndarray:
    """``[classes]``: log frequencies, or alike for all classes seen."""
    seen = np.maximum(examples, 1) if fit_prior else np.ones(len(examples))
    return np.log(seen / (seen[examples > 0]).sum())


def refuse_negative(X: Any, of: str) -> None:
    """Raise where one of the counts is negative."""
    if (X.data if sp.issparse(X) else X).min(initial=0) < 0:
        raise LifelongError(
            f"Negative values in data passed to {of}: give counts, or scale columns from 0"
        )
