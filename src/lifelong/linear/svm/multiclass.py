"""The exact incremental SVM as a classifier: one machine for each class or each pair of classes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ...errors import LifelongError, one_of
from .. import packed
from ..packed import ensure
from .exact import ExactSVM, enlarged
from .kernels import Kernelled, squares, vote

REST = -1


@dataclass(eq=False, repr=False, kw_only=True)
class IncrementalSVC(Kernelled):
    """An SVM that examples can join and leave, always at the optimum (Cauwenberghs & Poggio, 2000).

    What it knows depends on the examples it holds, not on the order in which they came and went: after
    :meth:`remove` it is what it would be had it never seen them. It keeps all its examples, and of every
    support vector its kernel with all of them: it is for thousands, :class:`LASVM` for more.

    Args:
        multiclass: ``ovr``, a machine for each class against the rest, or ``ovo``, one for each pair,
            which vote. Two classes share one.

    Attributes:
        ids_: ``[n]`` the numbers of the examples held, counted from 0 as they came. With a precomputed
            kernel, the columns of X follow this order.
        X_, codes_: the examples (with room to grow), less ``origin_``, and their places in ``classes_``.
        origin_: the first example, where only differences count (``linear``, ``rbf``), or else 0: data
            far from 0 would lose their digits in products.
        machines_, sides_: the machines, and what each tells apart: the class of label 1, that of -1 (-1:
            all others).
    """

    multiclass: str = "ovr"

    # ---- contract
    def _start(self) -> None:
        super()._start()
        one_of("multiclass", self.multiclass, ("ovr", "ovo"))
        self.X_ = np.empty((0, 0 if self.kernel == "precomputed" else self.n_features_in_))
        self.origin_ = np.zeros(self.X_.shape[1])
        self.squares_ = np.empty(0)
        self.codes_ = self.ids_ = np.empty(0, np.int64)
        self.seen_ = 0
        self.machines_: list[ExactSVM] = []
        self.sides_: list[list[int]] = []

    def _learn(self, X: Any, y: Any, classes: Any) -> np.ndarray | None:
        if self.kernel == "precomputed":
            coming, held = np.shape(X), len(getattr(self, "ids_", ()))
            if len(coming) == 2 and coming[1] != coming[0] + held:
                raise LifelongError(
                    f"a precomputed kernel of {coming[0]} new rows needs {held + coming[0]} columns, "
                    f"the {held} examples held and then the new ones: X has {coming[1]}"
                )
            self.n_features_in_ = held + coming[0]
        return super()._learn(X, y, classes)

    def _update(self, X: Any, codes: np.ndarray, known: int) -> None:
        old, new = len(self.ids_), len(self.ids_) + len(codes)
        if not self.seen_:
            self.origin_ = self._origin(X)
        self._store(self._centred(X), old, new)
        self.codes_ = np.append(self.codes_, codes)
        self.ids_ = np.append(self.ids_, np.arange(self.seen_, self.seen_ + len(codes)))
        self.seen_ += len(codes)
        for sides in self._wanted():
            if sides not in self.sides_:
                self.sides_.append(sides)
                self.machines_.append(ExactSVM())
                self._teach(len(self.sides_) - 1, np.arange(new))
            else:
                self._teach(self.sides_.index(sides), np.arange(old, new))

    def _origin(self, X: np.ndarray) -> np.ndarray:
        """What is subtracted from all rows, the first of which are ``X``; b alone depends on it."""
        if self.kernel in ("linear", "rbf"):
            return X[0].copy()
        return np.zeros(0 if self.kernel == "precomputed" else X.shape[1])

    def _centred(self, X: np.ndarray) -> np.ndarray:
        return X if self.kernel == "precomputed" else X - self.origin_

    def _kernel(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return super()._kernel(self._centred(A), self._centred(B))

    def _store(self, X: np.ndarray, old: int, new: int) -> None:
        gram = self.kernel == "precomputed"
        if new > len(self.X_):
            room = max(new, 3 * len(self.X_) // 2)
            self.X_ = enlarged(self.X_, (room, room if gram else self.X_.shape[1]))
            self.squares_ = enlarged(self.squares_, (room,))
        self.X_[old:new, : X.shape[1]] = X
        self.squares_[old:new] = squares(X)
        if gram:
            self.X_[:old, old:new] = X[:, :old].T

    def _trim(self) -> None:
        """Give up the room to grow, and with it what was left there."""
        held = len(self.ids_)
        columns = held if self.kernel == "precomputed" else self.X_.shape[1]
        self.X_, self.squares_ = self.X_[:held, :columns].copy(), self.squares_[:held].copy()

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        """Nothing: every row learned is held."""

    def _wanted(self) -> list[list[int]]:
        """What the machines of so many classes tell apart."""
        classes = len(self.classes_)
        if classes == 2:
            return [[1, 0]]
        if self.multiclass == "ovr":
            # The machine of two classes goes on as class 1 against the rest.
            self.sides_ = [[1, REST] if sides == [1, 0] else sides for sides in self.sides_]
            return [[k, REST] for k in range(classes)] if classes > 2 else []
        return [[j, i] for j in range(classes) for i in range(j)]

    def _teach(self, machine: int, rows: np.ndarray) -> None:
        """Add to the machine those of the rows that are its."""
        positive, negative = self.sides_[machine]
        codes = self.codes_[rows]
        mine = (codes == positive) | (codes == negative) | (negative == REST)
        if mine.any():
            y = np.where(codes[mine] == positive, 1.0, -1.0)
            self.machines_[machine].add(self._gram, rows[mine], y, self.C)

    def _gram(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """K of two arrays of rows held."""
        if self.kernel == "precomputed":
            return self.X_[np.ix_(i, j)]
        all_rows = len(j) == len(self.ids_) and np.array_equal(j, np.arange(len(j)))
        right: Any = slice(len(j)) if all_rows else j
        return self._of(self.X_[i] @ self.X_[right].T, self.squares_[i], self.squares_[right])

    # ---- what SVMs can do
    def remove(self, ids: Any) -> Self:
        """Unlearn examples by their numbers (``ids_``), exactly, and delete them. Their classes stay.

        Raises:
            LifelongError: where a number is not held.
        """
        check_is_fitted(self)
        wanted = np.unique(np.atleast_1d(ids))
        if wanted.dtype == bool:
            raise LifelongError("ids are true or false: give numbers, as in remove(svm.ids_[mask])")
        if not np.isin(wanted, self.ids_).all():
            lacking = wanted[~np.isin(wanted, self.ids_)][0]
            raise LifelongError(f"example {lacking} is not held: ids_ lists those that are")
        for number in wanted:
            self._remove(int(np.flatnonzero(self.ids_ == number)[0]))
        return self

    def _remove(self, row: int) -> None:
        last = len(self.ids_) - 1
        for machine in self.machines_:
            if row in machine.rows_:
                machine.remove(self._gram, row)
        for machine in self.machines_:
            machine.rows_[machine.rows_ == last] = row
        for name in ("ids_", "codes_"):
            values = getattr(self, name).copy()
            values[row] = values[last]
            setattr(self, name, values[:last])
        self.X_[row], self.squares_[row] = self.X_[last], self.squares_[last]
        self.X_[last] = self.squares_[last] = 0
        if self.kernel == "precomputed":
            self.X_[:, row] = self.X_[:, last]
            self.X_[:, last] = 0
            self.n_features_in_ = last

    def leave_one_out(self) -> np.ndarray:
        """The scores ``[n, classes]`` of each example held, in the order of ``ids_``, without it."""
        check_is_fitted(self)
        every = np.arange(len(self.ids_))
        f = self._values(self._gram(every, every))
        for at, machine in enumerate(self.machines_):
            f[machine.rows_, at] = [machine.without(self._gram, row) for row in machine.rows_.tolist()]
        return self._combined(f)

    def change(self, **parameters: Any) -> Self:
        """Change ``C`` or the kernel's parameters, and go on from what is known to the new optimum."""
        check_is_fitted(self)
        if self.kernel == "precomputed" and set(parameters) - {"C"}:
            raise LifelongError("the values of a precomputed kernel are given: only C can change")
        if parameters.get("kernel") == "precomputed" or "multiclass" in parameters:
            raise LifelongError("only C, kernel, gamma, degree and coef0 can change: fit anew instead")
        clone(self).set_params(**parameters).checked()
        self.set_params(**parameters)
        if len(self.ids_) and "kernel" in parameters:
            held = self.X_[: len(self.ids_)] + self.origin_
            self.origin_ = self._origin(held)
            self._store(self._centred(held), 0, len(held))
        for machine in self.machines_:
            if set(parameters) - {"C"}:
                machine.rekernel(self._gram)
            if "C" in parameters:
                machine.limit(self._gram, self.C)
        return self

    # ---- scores
    def _scores(self, X: Any) -> np.ndarray:
        if self.kernel == "precomputed":
            return self._combined(self._values(X))
        held = len(self.ids_)
        used = np.unique(np.concatenate([m.rows_[m.support] for m in self.machines_] or [[]])).astype(
            int
        )
        K = np.zeros((len(X), held))
        X = self._centred(X)
        K[:, used] = self._of(X @ self.X_[used].T, squares(X), self.squares_[used])
        return self._combined(self._values(K))

    def _values(self, K: np.ndarray) -> np.ndarray:
        """f of every machine ``[n, machines]``, from the kernel with all that is held ``[n, held]``."""
        f = np.empty((len(K), len(self.machines_)))
        for at, m in enumerate(self.machines_):
            s = m.support
            f[:, at] = K[:, m.rows_[s]] @ (m.alpha_ * m.y_)[s] + m.b_
        return f

    def _combined(self, f: np.ndarray) -> np.ndarray:
        """The scores of the classes from f ``[n, machines]``."""
        classes = len(self.classes_)
        if classes > 2 and self.multiclass == "ovr":
            scores = np.empty((len(f), classes))
            scores[:, [k for k, _ in self.sides_]] = f
            return scores
        return vote(f, self.sides_, classes)

    @property
    def parameters(self) -> int:
        """The support vectors' weights, and an intercept a machine."""
        return sum(len(m.support) + 1 for m in self.machines_)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the examples held."""
        return len(self.ids_) * self.X_.itemsize * self.n_features_in_

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        n, classes = len(self.ids_), len(self.classes_)
        packed.places(self.ids_, self.seen_, "ids_", unique=True)
        ensure(len(self.codes_) == n, "codes_ is not as long as ids_")
        packed.places(self.codes_, classes, "codes_")
        precomputed = self.kernel == "precomputed"
        columns = n if precomputed else self.n_features_in_
        packed.matrix(self.X_, "float64", (n, columns), "X_")
        packed.vector(self.squares_, "float64", n, "squares_")
        packed.vector(self.origin_, "float64", 0 if precomputed else columns, "origin_")
        ensure(not precomputed or self.n_features_in_ == n, "n_features_in_ is not what is held")
        wanted = copy.copy(self)._wanted() if classes > 1 else []
        ensure(sorted(self.sides_) == sorted(wanted), f"the machines tell apart {self.sides_}")
        ensure(len(self.machines_) == len(self.sides_), "machines_ is not as long as sides_")
        for machine, (positive, negative) in zip(self.machines_, self.sides_, strict=True):
            ensure(isinstance(machine, ExactSVM), "a machine is none")
            mine = (self.codes_ == positive) | (self.codes_ == negative) | (negative == REST)
            ensure(np.array_equal(np.sort(machine.rows_), np.flatnonzero(mine)), "rows_ are not its own")
            y = np.where(self.codes_[machine.rows_] == positive, 1.0, -1.0)
            ensure(np.array_equal(machine.y_, y), "y_ does not fit codes_")
