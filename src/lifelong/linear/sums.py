"""Learners whose whole knowledge is sums over the examples: no order and no batching can matter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax, softmax
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError
from . import packed
from .estimator import Incremental, as_csr
from .packed import ensure

ROWS = 2048
"""Rows that are computed with at once."""


class Additive(Incremental):
    """A learner that adds up sums over the examples, and solves for predictions when they are asked for.

    A subclass says what it adds up (:meth:`_of`), what it makes of the sums (:meth:`_solve`) and how
    that scores rows (:meth:`_score`). Growing, merging and exactness whatever the order follow. A
    hyper-parameter that only :meth:`_solve` reads may be changed after learning.

    Attributes:
        sums_: arrays, or lists of CSR parts (:func:`heaped`), which :meth:`sums` adds up.
    """

    solves = True
    shared: ClassVar[tuple[str, ...]] = ()
    """The sums over all classes together. The first axis of every other runs over the classes."""
    dense: ClassVar[bool] = False
    """Whether it computes with plain arrays, so that features must be few."""

    # ---- what a subclass defines
    def _of(self, X: Any, Y: sp.csr_array) -> dict[str, Any]:
        """The sums, by name, over rows ``X [n, features]`` with indicators ``Y [n, classes]``."""
        raise NotImplementedError

    def _solve(self, *_: Any, **sums: Any) -> Any:
        """What predictions need, made of ``examples [classes]`` and of all that :meth:`_of` names."""
        raise NotImplementedError

    def _score(self, X: Any, solved: Any) -> np.ndarray:
        """``[n, classes]``, of what :meth:`_solve` gave."""
        raise NotImplementedError

    def _rows(self, X: Any) -> Any:
        """The rows as :meth:`_of` and :meth:`_score` get them: float64, CSR unless ``dense``."""
        if not self.dense:
            return as_csr(X, "float64")
        return (X.toarray() if sp.issparse(X) else X).astype(np.float64, copy=False)

    def _shapes(self) -> dict[str, tuple[int, int]]:
        """The shapes of all that :meth:`_of` names, of ``classes_`` and ``n_features_in_``."""
        raise NotImplementedError

    # ---- what follows
    def sums(self) -> dict[str, Any]:
        """All that was learned, by name; ``examples [classes]`` are counts. Copy what is to stay."""
        check_is_fitted(self)
        return {k: reduce(add, v[::-1]) if isinstance(v, list) else v for k, v in self.sums_.items()}

    @property
    def parameters(self) -> int:
        """How many numbers it has learned."""
        return sum(int(v.nnz if sp.issparse(v) else v.size) for v in self.sums().values())

    def _start(self) -> None:
        self.sums_: dict[str, Any] = {}

    def _widen(self, classes: int) -> None:
        _solved.pop(self, None)
        for name in self.sums_.keys() - set(self.shared):
            held = self.sums_[name]
            if isinstance(held, list):
                for part in held:
                    part.resize(classes, part.shape[1])
            else:
                empty = np.zeros((classes - len(held), *held.shape[1:]))
                self.sums_[name] = np.concatenate([held, empty])

    def _update(self, X: Any, codes: np.ndarray, known: int) -> None:
        for some in chunks(len(codes)):
            Y = indicators(codes[some], len(self.classes_))
            self._add(self._of(self._rows(X[some]), Y) | {"examples": Y.sum(0)})

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        """Nothing: sums forget no row."""

    def _add(self, sums: dict[str, Any]) -> None:
        _solved.pop(self, None)
        for name, part in sums.items():
            if sp.issparse(part):
                self.sums_[name] = heaped(self.sums_.get(name, []), part)
            elif name in self.sums_:
                self.sums_[name] += part
            else:
                self.sums_[name] = part

    def _scores(self, X: Any) -> np.ndarray:
        options = self.get_params(deep=False)
        if self not in _solved or _solved[self][0] != options:
            try:
                _solved[self] = options, self._solve(**self.sums())
            except np.linalg.LinAlgError as error:
                raise LifelongError(f"{error}: scale the features, or penalise them more") from None
        solved = _solved[self][1]
        scores = np.concatenate(
            [self._score(self._rows(X[some]), solved) for some in chunks(X.shape[0])]
        )
        scores[:, self.sums_["examples"] == 0] = -np.inf  # a class announced and not seen yet
        return scores

    def _checked(self, X: Any, reset: bool) -> Any:
        """Negative counts are refused here too, where nothing has changed yet."""
        X = super()._checked(X, reset)
        if self.__sklearn_tags__().input_tags.positive_only:
            refuse_negative(X, type(self).__name__)
        return X

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        shapes = self._shapes()
        ensure(self.sums_.keys() == {"examples", *shapes}, f"the sums are {[*self.sums_]}")
        examples = self.sums_["examples"]
        packed.vector(examples, "float64", len(self.classes_), "examples")
        ensure((examples >= 0).all() and examples.any(), "examples are no counts")
        for name, shape in shapes.items():
            held = self.sums_[name]
            if self.dense:
                packed.matrix(held, "float64", shape, name)
                continue
            ensure(isinstance(held, list) and len(held) > 0, f"{name} is no list of parts")
            for part in held:
                ensure(sp.issparse(part) and part.shape == shape, f"{name} has no parts {list(shape)}")
                ensure(part.dtype == np.float64 and packed.finite(part.data), f"{name} is not finite")

    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Exact: all sums are added, and those of ``base`` subtracted once for each learner but one."""
        parts = [(*other, 1) for other in others]
        if base is not None:
            least, classes = base[0].sums()["examples"], len(self.classes_)
            for learner, places in [(self, np.arange(classes)), *others]:
                examples = indicators(places, classes).T @ learner.sums()["examples"]
                if (examples[base[1]] < least).any():
                    raise LifelongError("base knows what was not merged: give what all went on from")
            parts.append((*base, -len(others)))
        for other, places, factor in parts:
            spread = indicators(places, len(self.classes_)).T.tocsr()
            sums = other.sums().items()
            self._add({k: factor * (v if k in self.shared else spread @ v) for k, v in sums})


class Probable(Additive):
    """One whose scores are log probabilities, up to a constant in each row."""

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """``log P(class | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        return log_softmax(self.scores(X), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """``P(class | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        return softmax(self.scores(X), axis=1)


_solved: WeakKeyDictionary[Additive, tuple[dict[str, Any], Any]] = WeakKeyDictionary()
"""(hyper-parameters, what they and the sums give): outside the learner, so never copied or saved."""


def heaped(parts: list[sp.csr_array], new: sp.csr_array) -> list[sp.csr_array]:
    """The parts of a sum with a new one, each less than half as large as the one before it.

    So a small batch costs about its own size, not a pass over a table of 2^20 columns.
    """
    parts = list(parts)
    while parts and parts[-1].nnz < 2 * new.nnz:
        new = parts.pop() + new
    return [*parts, new]


def added(X: sp.csr_array, codes: np.ndarray, classes: int) -> sp.csr_array:
    """``[classes, features]``: the sums of the rows of each class, at the cost of their entries alone.

    A product of sparse matrices would also pass over all 2^20 columns.
    """
    rows = np.repeat(codes, np.diff(X.indptr))
    return sp.csr_array((X.data, (rows, X.indices)), (classes, X.shape[1]))


def indicators(codes: np.ndarray, classes: int) -> sp.csr_array:
    """``[n, classes]``: a one in each row, at its code."""
    n = len(codes)
    return sp.csr_array((np.ones(n), codes, np.arange(n + 1)), (n, classes))


def chunks(n: int) -> Iterator[slice]:
    """The rows in pieces, at least one, so that what is computed of them stays small."""
    return (slice(i, i + ROWS) for i in range(0, max(n, 1), ROWS))


def log_priors(examples: np.ndarray, fit_prior: bool) -> np.ndarray:
    """``[classes]``: log frequencies, or alike for all classes."""
    return np.log(np.maximum(examples, 1) / examples.sum()) if fit_prior else np.zeros(len(examples))


def refuse_negative(X: Any, of: str) -> None:
    """Raise :class:`LifelongError` where a count is negative."""
    if (X.data if sp.issparse(X) else X).min(initial=0) < 0:
        raise LifelongError(
            f"Negative values in data passed to {of}: give counts, or columns from 0 (--scale none)"
        )


def few_features(given: int, most: int, of: str) -> None:
    """Raise :class:`LifelongError` where a matrix of features by features would be too large."""
    if given > most:
        raise LifelongError(
            f"{of} takes at most {most} features, not {given}: "
            "hash texts into 2^12 (bits=12, --set text.bits=12)"
        )
