"""LASVM: an SVM trained online, by one look at each example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numba import njit
from sklearn.utils.validation import check_is_fitted

from ...errors import LifelongError
from .. import packed
from ..packed import ensure
from .exact import enlarged
from .kernels import Kernelled, squares


@dataclass(eq=False, repr=False, kw_only=True)
class LASVM(Kernelled):
    """Learns example by example and forgets those that will hardly matter (Bordes et al., JMLR 6, 2005).

    Each example is one PROCESS (a step on it and the example that violates most with it) and one
    REPROCESS (a step on the most violating pair held; then examples at alpha = 0 that lie beyond the
    margin are dropped): section 3.2. :meth:`finish` repeats the latter up to the optimum over what is
    held. With more than two classes there is one machine for each, against the rest, and an example is
    dropped where none needs it.

    Args:
        tau: violations below it are let be.
        budget: the most examples held. Beyond it, one without weight is forgotten, or of those at C the
            one furthest on the wrong side, or the one that weighs least. The most similar ones take its
            weight over, so that sum alpha stays 0.

    Attributes:
        ids_: ``[n]`` the ids of the examples held.
        X_, codes_: the examples held (with room to grow), and their places in ``classes_``.
        K_: ``[n, n]`` their kernel, with room to grow.
        alpha_, g_: ``[machines, n]`` signed weights (of the sign of the label), and gradients.
        b_: ``[machines]``.
    """

    tau: float = 1e-3
    budget: int | None = None

    # ---- contract
    def _start(self) -> None:
        super()._start()
        if self.kernel == "precomputed":
            raise LifelongError(
                "LASVM forgets examples, so it takes no precomputed kernel: use IncrementalSVC"
            )
        if not 0 < self.tau < np.inf:
            raise LifelongError(f"tau={self.tau}: give a number above 0")
        if self.budget is not None and (self.budget != int(self.budget) or self.budget < 2):
            raise LifelongError(f"budget={self.budget}: give a whole number from 2, or None")
        self.X_, self.squares_ = np.empty((0, self.n_features_in_)), np.empty(0)
        self.K_ = np.zeros((8, 8))
        self.alpha_ = self.g_ = np.empty((0, 0))
        self.b_ = np.empty(0)

    def _widen(self, classes: int) -> None:
        """Two classes share a machine, that of class 1; it goes on as class 1 against the rest."""
        old, new = len(self.b_), 0 if classes < 2 else 1 if classes == 2 else classes
        held = len(self.codes_)
        if old == 1 and new > 1:
            self.alpha_ = np.concatenate([-self.alpha_, self.alpha_])
            self.g_ = np.concatenate([-self.g_, self.g_])
            self.b_ = np.concatenate([-self.b_, self.b_])
            old = 2
        first = 1 if new == 1 else old
        more = np.arange(first, first + new - old)
        y = np.where(self.codes_ == more[:, None], 1.0, -1.0)
        self.alpha_ = np.concatenate([self.alpha_.reshape(old, held), np.zeros(y.shape)])
        self.g_ = np.concatenate([self.g_.reshape(old, held), y])
        self.b_ = np.append(self.b_, np.zeros(len(more)))

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        assert ids is not None
        for x, length, code, id_ in zip(X, squares(X), codes, ids, strict=True):
            self._learn_one(x, length, code, id_)
        self._count(ids)
        return None

    def _learn_one(self, x: np.ndarray, length: float, code: int, id_: int) -> None:
        k = len(self.codes_)
        if k == len(self.K_):
            self.K_ = enlarged(self.K_, (max(8, 2 * k), max(8, 2 * k)))
        if k >= len(self.squares_):
            self.squares_ = enlarged(self.squares_, (len(self.K_),))
            self.X_ = enlarged(self.X_, (len(self.K_), self.X_.shape[1]))
        self.X_[k], self.squares_[k] = x, length
        row = self._of(self.X_[: k + 1] @ x[:, None], self.squares_[: k + 1], np.array([length]))[:, 0]
        self.K_[k, : k + 1] = self.K_[: k + 1, k] = row
        self.codes_, self.ids_ = np.append(self.codes_, code), np.append(self.ids_, id_)
        y = self._signs(np.array([code]))
        self.g_ = np.hstack([self.g_, y - self.alpha_ @ row[:k, None]])
        self.alpha_ = np.hstack([self.alpha_, np.zeros_like(y)])
        signs, K = self._signs(self.codes_), self.K_
        for m in range(len(self.b_)):
            process(K, self.alpha_[m], self.g_[m], signs[m], self.C, self.tau, k)
            self.b_[m], _ = reprocess(K, self.alpha_[m], self.g_[m], signs[m], self.C, self.tau, 1)
        if len(self.b_):
            self._drop()
        if self.budget is not None and len(self.codes_) > self.budget:
            self._oust()

    def _trim(self) -> None:
        """Give up the room to grow, and with it what was left there."""
        held = len(self.codes_)
        self.K_ = self.K_[:held, :held].copy()
        self.X_, self.squares_ = self.X_[:held].copy(), self.squares_[:held].copy()

    def _signs(self, codes: np.ndarray) -> np.ndarray:
        """Labels ``[machines, n]`` of -1 and 1."""
        machines = len(self.b_)
        mine = np.ones((1, 1)) if machines == 1 else np.arange(machines)[:, None]
        return np.where(codes == mine, 1.0, -1.0)

    def _drop(self) -> None:
        """Forget what no machine needs: alpha = 0, and g beyond those of the most violating pair."""
        signs = self._signs(self.codes_)
        needed = np.zeros(len(self.codes_), bool)
        for m in range(len(self.b_)):
            high, low = ends(self.alpha_[m], self.g_[m], signs[m], self.C)
            beyond = np.where(signs[m] < 0, self.g_[m] >= high, self.g_[m] <= low)
            needed |= (self.alpha_[m] != 0) | ~beyond
        if needed.mean() < 0.9 or (len(needed) < 50 and not needed.all()):
            self._keep(np.flatnonzero(needed))

    def _keep(self, kept: np.ndarray) -> None:
        """Hold these places only; nothing of the others is left behind."""
        n, before = len(kept), len(self.codes_)
        self.K_[:n, :n] = self.K_[np.ix_(kept, kept)]
        self.X_[:n], self.squares_[:n] = self.X_[kept], self.squares_[kept]
        self.K_[n:before] = self.K_[:, n:before] = self.X_[n:before] = 0
        self.squares_[n:before] = 0
        self.codes_, self.ids_ = self.codes_[kept], self.ids_[kept]
        self.alpha_ = self.alpha_.take(kept, 1)
        self.g_ = self.g_.take(kept, 1)

    def _oust(self) -> None:
        """Forget the most wrong of those at C, else the one that weighs least; the like take over.

        What is at C is mostly noise: it would stay for ever if only the least weight went.
        """
        signs, n = self._signs(self.codes_), len(self.codes_)
        weight, wrong = np.abs(self.alpha_).sum(0), (signs * self.g_).sum(0)  # y g = 1 - y f
        full = (np.abs(self.alpha_) == self.C).any(0)
        noise = full.any() and weight.all()
        r = int(np.where(full, wrong, -np.inf).argmax() if noise else weight.argmin())
        self._hand_over(r)
        self._keep(np.delete(np.arange(n), r))

    def _hand_over(self, r: int) -> None:
        """Let those most similar to place ``r`` take over its weight: sum alpha stays 0."""
        signs, n = self._signs(self.codes_), len(self.codes_)
        near = np.argsort(-self.K_[r, :n], kind="stable")
        for m in range(len(self.b_)):
            for j in near[near != r]:
                if (left := self.alpha_[m, r]) == 0:
                    break
                low, high = min(0, signs[m, j] * self.C), max(0, signs[m, j] * self.C)
                step = np.clip(self.alpha_[m, j] + left, low, high) - self.alpha_[m, j]
                self.alpha_[m, j] += step
                self.alpha_[m, r] -= step
                self.g_[m] -= step * (self.K_[j, :n] - self.K_[r, :n])

    def _drop_rows(self, ids: np.ndarray) -> None:
        """The like take their weight over, then what is held is brought to its optimum."""
        for id_ in ids:
            r = int(np.flatnonzero(self.ids_ == id_)[0])
            self._hand_over(r)
            self._keep(np.delete(np.arange(len(self.ids_)), r))
        n = len(self.ids_)
        self.g_ = self._signs(self.codes_) - self.alpha_ @ self.K_[:n, :n]
        self.finish()

    def finish(self) -> Self:
        """Bring what is held to its optimum: REPROCESS until nothing violates by more than ``tau``."""
        check_is_fitted(self)
        if not len(self.codes_):
            self.b_ = np.zeros(len(self.b_))
            return self
        signs = self._signs(self.codes_)
        for m in range(len(self.b_)):
            steps = np.iinfo(np.int64).max
            self.b_[m], _ = reprocess(
                self.K_, self.alpha_[m], self.g_[m], signs[m], self.C, self.tau, steps
            )
        if len(self.b_):
            self._drop()
        return self

    # ---- what it says
    def _scores(self, X: Any) -> np.ndarray:
        n = len(self.codes_)
        if not len(self.b_):
            return np.zeros((len(X), len(self.classes_)))
        f = self._of(X @ self.X_[:n].T, squares(X), self.squares_[:n]) @ self.alpha_.T + self.b_
        return np.hstack([-f / 2, f / 2]) if f.shape[1] == 1 else f

    @property
    def objective(self) -> np.ndarray:
        """The dual's value of each machine: sum_i y_i alpha_i - alpha'K alpha / 2."""
        y = self._signs(self.codes_)
        return ((self.alpha_ * y).sum(1) + (self.alpha_ * self.g_).sum(1)) / 2

    @property
    def parameters(self) -> int:
        """The weights that are not 0, and an intercept a machine."""
        return int(np.count_nonzero(self.alpha_)) + len(self.b_)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the examples held."""
        return len(self.codes_) * self.X_.itemsize * self.n_features_in_

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        n, classes = len(self.codes_), len(self.classes_)
        machines = {1: 0, 2: 1}.get(classes, classes)
        packed.ids(self.ids_, self.next_id_)
        ensure(len(self.ids_) == n, "ids_ is not as long as codes_")
        packed.places(self.codes_, classes, "codes_")
        packed.matrix(self.X_, "float64", (n, self.n_features_in_), "X_")
        packed.vector(self.squares_, "float64", n, "squares_")
        packed.matrix(self.K_, "float64", (n, n), "K_")
        for name in ("alpha_", "g_"):
            packed.matrix(getattr(self, name), "float64", (machines, n), name)
        packed.vector(self.b_, "float64", machines, "b_")
        ensure((self.alpha_ * self._signs(self.codes_)[:machines] >= 0).all(), "alpha_ has a wrong sign")


@njit(cache=True)
def pair(alpha, g, y, C):
    """The most violating pair: the largest g that may rise, the smallest that may fall; -1: none."""
    i = j = -1
    for s in range(len(alpha)):
        if alpha[s] < max(0.0, C * y[s]) and (i < 0 or g[s] > g[i]):
            i = s
        if alpha[s] > min(0.0, C * y[s]) and (j < 0 or g[s] < g[j]):
            j = s
    return i, j


@njit(cache=True)
def ends(alpha, g, y, C):
    """g of the most violating pair."""
    i, j = pair(alpha, g, y, C)
    return (g[i] if i >= 0 else np.inf), (g[j] if j >= 0 else -np.inf)


@njit(cache=True)
def step(K, alpha, g, y, C, i, j):
    """Move weight from j to i as far as it helps, and g with it."""
    curvature = max(K[i, i] + K[j, j] - 2 * K[i, j], 1e-12)
    rise, fall = max(0.0, C * y[i]) - alpha[i], alpha[j] - min(0.0, C * y[j])
    t = min((g[i] - g[j]) / curvature, rise, fall)
    alpha[i] = max(0.0, C * y[i]) if t == rise else alpha[i] + t
    alpha[j] = min(0.0, C * y[j]) if t == fall else alpha[j] - t
    for s in range(len(alpha)):
        g[s] -= t * (K[i, s] - K[j, s])


@njit(cache=True)
def process(K, alpha, g, y, C, tau, k):
    """A step on example k and the one that violates most with it."""
    i, j = pair(alpha, g, y, C)
    if y[k] > 0:
        i = k
    else:
        j = k
    if i >= 0 and j >= 0 and g[i] - g[j] > tau:
        step(K, alpha, g, y, C, i, j)


@njit(cache=True)
def reprocess(K, alpha, g, y, C, tau, steps):
    """So many steps on the most violating pair, or until there is none; returns b and the violation."""
    i, j = pair(alpha, g, y, C)
    while steps > 0 and i >= 0 and j >= 0 and g[i] - g[j] > tau:
        step(K, alpha, g, y, C, i, j)
        steps -= 1
        i, j = pair(alpha, g, y, C)
    if i < 0 or j < 0:
        return (g[i] if i >= 0 else g[j]), 0.0
    return (g[i] + g[j]) / 2, g[i] - g[j]
