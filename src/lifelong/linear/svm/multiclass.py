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
SPREAD = 100
"""Rows lie far from 0 where their middle does by more than this many times their spread."""
LOST = 1e4
"""Products leave an exponent of ``rbf`` no more than 12 digits where gamma |x|^2 is above it."""


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
        ids_: ``[n]`` the ids of the examples held. With a precomputed kernel, the columns of X follow
            this order.
        X_, codes_: the examples (with room to grow), and their places in ``classes_``.
        centre_: what is subtracted from all rows before products are taken, where only differences count
            (``linear``, ``rbf``): the middle of the rows held, where they lie far from 0 and would lose
            their digits, or else 0.
        drift_: how many rows came or went since it was chosen.
        machines_, sides_: the machines, and what each tells apart: the class of label 1, that of -1 (-1:
            all others).
    """

    multiclass: str = "ovr"

    former = ("origin_",)

    # ---- contract
    def _start(self) -> None:
        super()._start()
        one_of("multiclass", self.multiclass, ("ovr", "ovo"))
        self.X_ = np.empty((0, 0 if self.kernel == "precomputed" else self.n_features_in_))
        self.centre_ = np.zeros(self.X_.shape[1])
        self.drift_ = 0
        self.squares_ = np.empty(0)
        self.machines_: list[ExactSVM] = []
        self.sides_: list[list[int]] = []

    def _learn(self, X: Any, y: Any, classes: Any, ids: Any = None) -> np.ndarray | None:
        before = dict(vars(self))
        held = len(getattr(self, "ids_", ()))
        if self.kernel == "precomputed":
            coming = np.shape(X)
            if len(coming) == 2 and coming[1] != coming[0] + held:
                raise LifelongError(
                    f"a precomputed kernel of {coming[0]} new rows needs {held + coming[0]} columns, "
                    f"the {held} examples held and then the new ones: X has {coming[1]}"
                )
            self.n_features_in_ = held + coming[0]
        machines = list(getattr(self, "machines_", ()))
        sides = list(getattr(self, "sides_", ()))
        states = [machine.state() for machine in machines]
        try:
            return super()._learn(X, y, classes, ids)
        except ValueError:
            begun = held and self.ids_ is not before["ids_"]
            self.__dict__ = before
            if begun:
                self.machines_, self.sides_ = machines, sides
                self._trim()
                self.squares_ = squares(self._centred(self.X_))
                for machine, state in zip(machines, states, strict=True):
                    machine.back(self._gram, state)
            raise

    def _checked(self, X: Any, reset: bool) -> Any:
        if self.kernel == "precomputed" and np.shape(X)[1:] == (0,) and not self.n_features_in_:
            return np.zeros(np.shape(X))
        return super()._checked(X, reset)

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        assert ids is not None
        old, new = len(self.ids_), len(self.ids_) + len(codes)
        self._store(X, old, new)
        self.codes_, self.ids_ = np.append(self.codes_, codes), np.append(self.ids_, ids)
        self._count(ids)
        self.drift_ += len(codes)
        if 8 * self.drift_ >= new:
            self._centre()
        for sides in self._wanted():
            if sides not in self.sides_:
                self.sides_.append(sides)
                self.machines_.append(ExactSVM())
                self._teach(len(self.sides_) - 1, np.arange(new))
            else:
                self._teach(self.sides_.index(sides), np.arange(old, new))
        return None

    def _centre(self) -> None:
        """Choose the centre by the rows held, and go on from it."""
        self.drift_ = 0
        held = self.X_[: len(self.ids_)]
        differences = self.kernel in ("linear", "rbf")
        centre = middle(held) if differences and len(held) else np.zeros(len(self.centre_))
        if np.array_equal(centre, self.centre_):
            return
        self.centre_ = centre
        self.squares_[: len(held)] = squares(self._centred(held))
        if self.kernel == "linear":
            for machine in self.machines_:
                machine.rekernel(self._gram)

    def _centred(self, X: np.ndarray) -> np.ndarray:
        return X - self.centre_ if self.centre_.any() else X

    def _kernel(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return self._between(A, B, squares(self._centred(A)), squares(self._centred(B)))

    def _between(self, A: np.ndarray, B: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """``K [a, b]`` of rows whose squared lengths, less the centre, are ``a`` and ``b``.

        Distances of ``rbf`` that products would leave too few digits are taken from differences.
        """
        K = self._of(self._centred(A) @ self._centred(B).T, a, b)
        gamma = 1 / self.n_features_in_ if self.gamma is None else self.gamma
        if self.kernel != "rbf" or gamma * (a.max(initial=0) + b.max(initial=0)) <= LOST:
            return K
        size = gamma * np.add.outer(a, b)
        i, j = np.nonzero((size > LOST) & ((K > 0) | (size > LOST**3)))
        for part in np.array_split(np.arange(len(i)), 1 + len(i) * A.shape[1] // 2**20):
            apart = A[i[part]] - B[j[part]]
            K[i[part], j[part]] = np.exp(-gamma * squares(apart))
        return K

    def _store(self, X: np.ndarray, old: int, new: int) -> None:
        gram = self.kernel == "precomputed"
        if new > len(self.X_):
            room = max(new, 3 * len(self.X_) // 2)
            self.X_ = enlarged(self.X_, (room, room if gram else self.X_.shape[1]))
            self.squares_ = enlarged(self.squares_, (room,))
        self.X_[old:new, : X.shape[1]] = X
        self.squares_[old:new] = squares(X if gram else self._centred(X))
        if gram:
            self.X_[:old, old:new] = X[:, :old].T

    def _trim(self) -> None:
        """Give up the room to grow, and with it what was left there."""
        held = len(self.ids_)
        columns = held if self.kernel == "precomputed" else self.X_.shape[1]
        self.X_, self.squares_ = self.X_[:held, :columns].copy(), self.squares_[:held].copy()

    def _rehearse_rows(self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None) -> None:
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
        return self._between(self.X_[i], self.X_[right], self.squares_[i], self.squares_[right])

    # ---- what SVMs can do
    def remove(self, ids: Any) -> Self:
        """Unlearn examples by their ids (``ids_``), exactly, and delete them. Their classes stay.

        Nothing of them is left, neither here nor in a file. :meth:`forget` does the same, and takes ids
        that are not held.

        Raises:
            LifelongError: where an id is not held.
        """
        check_is_fitted(self)
        wanted = np.unique(np.atleast_1d(ids))
        if wanted.dtype == bool:
            raise LifelongError("ids are true or false: give numbers, as in remove(svm.ids_[mask])")
        if not np.isin(wanted, self.ids_).all():
            lacking = wanted[~np.isin(wanted, self.ids_)][0]
            raise LifelongError(f"example {lacking} is not held: ids_ lists those that are")
        self._drop_rows(wanted)
        return self

    def _drop_rows(self, ids: np.ndarray) -> None:
        for id_ in ids:
            self._remove(int(np.flatnonzero(self.ids_ == id_)[0]))

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
        self.drift_ += 1
        if 8 * self.drift_ >= last or (self.centre_.any() and last < SPREAD):
            self._centre()

    def leave_one_out(self) -> np.ndarray:
        """The scores ``[n, classes]`` of each example held, in the order of ``ids_``, without it."""
        check_is_fitted(self)
        every = np.arange(len(self.ids_))
        f = self._values(self._gram(every, every))
        for at, machine in enumerate(self.machines_):
            f[machine.rows_, at] = [machine.without(self._gram, row) for row in machine.rows_.tolist()]
        others = np.tile(np.bincount(self.codes_, minlength=len(self.classes_)), (len(f), 1))
        others[every, self.codes_] -= 1
        return self._combined(f, others > 0)

    def change(self, **parameters: Any) -> Self:
        """Change ``C`` or the kernel's parameters, and go on from what is known to the new optimum."""
        check_is_fitted(self)
        if self.kernel == "precomputed" and set(parameters) - {"C"}:
            raise LifelongError("the values of a precomputed kernel are given: only C can change")
        if parameters.get("kernel") == "precomputed" or "multiclass" in parameters:
            raise LifelongError("only C, kernel, gamma, degree and coef0 can change: fit anew instead")
        clone(self).set_params(**parameters).checked()
        self.set_params(**parameters)
        if "kernel" in parameters:
            self._centre()
        for machine in self.machines_:
            if set(parameters) - {"C"}:
                machine.rekernel(self._gram)
            if "C" in parameters:
                machine.limit(self._gram, self.C)
        return self

    # ---- scores
    def _scores(self, X: Any) -> np.ndarray:
        if self.kernel == "precomputed":
            return self._combined(self._values(X), self._present)
        held = len(self.ids_)
        used = np.unique(np.concatenate([m.rows_[m.support] for m in self.machines_] or [[]])).astype(
            int
        )
        K = np.zeros((len(X), held))
        K[:, used] = self._between(X, self.X_[used], squares(self._centred(X)), self.squares_[used])
        return self._combined(self._values(K), self._present)

    @property
    def _present(self) -> np.ndarray:
        """Which classes ``[classes]`` have rows."""
        return np.isin(np.arange(len(self.classes_)), self.codes_)

    def _values(self, K: np.ndarray) -> np.ndarray:
        """f of every machine ``[n, machines]``, from the kernel with all that is held ``[n, held]``."""
        f = np.empty((len(K), len(self.machines_)))
        for at, m in enumerate(self.machines_):
            s = m.support
            f[:, at] = K[:, m.rows_[s]] @ (m.alpha_ * m.y_)[s] + m.b_
        return f

    def _combined(self, f: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The scores of the classes from f ``[n, machines]``; those without a row come last."""
        classes = len(self.classes_)
        if classes > 2 and self.multiclass == "ovr":
            scores = np.empty((len(f), classes))
            scores[:, [k for k, _ in self.sides_]] = f
            lowest = scores.min(1, keepdims=True, initial=-1)
            return np.where(present, scores, lowest - 1)
        return vote(f, self.sides_, classes)

    def _complete(self) -> None:
        """Rows of such a file lie less their ``origin_``, the first of them."""
        held: dict[str, Any] = self.__dict__
        if "seen_" in held:
            self.next_id_, self.drift_ = held.pop("seen_"), len(self.ids_)
            self.centre_ = held.pop("origin_")
            if self.kernel != "precomputed":
                self.X_ = self.X_ + self.centre_

    @property
    def origin_(self) -> np.ndarray:
        """What ``X_`` lacks of the rows as they came, ``[features]``: nothing."""
        return np.zeros(self.X_.shape[1])

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
        packed.ids(self.ids_, self.next_id_)
        ensure(len(self.codes_) == n, "codes_ is not as long as ids_")
        packed.places(self.codes_, classes, "codes_")
        precomputed = self.kernel == "precomputed"
        columns = n if precomputed else self.n_features_in_
        packed.matrix(self.X_, "float64", (n, columns), "X_")
        packed.vector(self.squares_, "float64", n, "squares_")
        packed.vector(self.centre_, "float64", 0 if precomputed else columns, "centre_")
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


def middle(X: np.ndarray) -> np.ndarray:
    """The middle ``[features]`` of rows far from 0, to no more digits than they spread; else 0."""
    centre = np.median(X, 0)
    spread = np.median(np.abs(X - centre), 0)
    if np.linalg.norm(centre) <= SPREAD * np.linalg.norm(spread):
        return np.zeros(len(centre))
    smallest = np.finfo(float).tiny
    unit = np.exp2(np.ceil(np.log2(np.maximum(spread, np.abs(centre) * 2.0**-30) + smallest)))
    return np.round(centre / unit) * unit
