"""Keep the support vectors: the simple baseline among the incremental SVMs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.svm import SVC

from ...errors import LifelongError
from .. import packed
from ..packed import ensure
from .kernels import Kernelled, squares, vote


@dataclass(eq=False, repr=False, kw_only=True)
class KeepSupport(Kernelled):
    """Trains on each batch and the support vectors of all before (Syed, Liu & Sung, 1999).

    The rest of a batch is forgotten. It is approximate, and good: support vectors stand for the past.

    Args:
        weighted: whether the loss on the support vectors counts (examples before) / (support vectors)
            times, as in SV-L-incremental (Rueping, ICDM 2001).
        tol: of scikit-learn's ``SVC``, one machine for each pair of classes.

    Attributes:
        ids_: ``[n]`` the ids of the support vectors.
        X_, codes_: the support vectors, and their places in ``classes_``.
        weights_, intercepts_: ``[n, machines]`` alpha y of each machine, ``[machines]``.
        sides_: what each machine tells apart: the class of f > 0, that of f < 0.
        examples_: how many examples were learned.
    """

    weighted: bool = False
    tol: float = 1e-3

    def _start(self) -> None:
        super()._start()
        if self.kernel == "precomputed":
            raise LifelongError(
                "KeepSupport forgets examples, so it takes no precomputed kernel: use IncrementalSVC"
            )
        self.X_ = np.empty((0, self.n_features_in_))
        self.weights_, self.intercepts_ = np.empty((0, 0)), np.empty(0)
        self.sides_: list[list[int]] = []
        self.examples_ = 0

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        assert ids is not None
        weight = np.append(self._past(), np.ones(len(codes)))
        X = np.concatenate([self.X_, X])
        self._train(X, np.append(self.codes_, codes), np.append(self.ids_, ids), weight)
        self.examples_ += len(codes)
        self._count(ids)
        return None

    def _drop_rows(self, ids: np.ndarray) -> None:
        """What is held without them is trained on again."""
        left = ~np.isin(self.ids_, ids)
        self.examples_ -= len(ids)
        self._train(self.X_[left], self.codes_[left], self.ids_[left], self._past()[left])

    def _past(self) -> np.ndarray:
        """The weights ``[n]`` of what is held."""
        held = len(self.codes_)
        return np.full(held, self.examples_ / held if self.weighted and held else 1.0)

    def _train(self, X: np.ndarray, codes: np.ndarray, ids: np.ndarray, weight: np.ndarray) -> None:
        """Train on these examples, and hold the support vectors among them."""
        present = np.unique(codes)
        if len(present) < 2:  # nothing to be told apart: all are kept
            self.X_, self.codes_, self.ids_ = X, codes, ids
            self.weights_, self.intercepts_ = np.empty((0, 0)), np.empty(0)
            self.sides_ = []
            return
        gamma = 1 / self.n_features_in_ if self.gamma is None else self.gamma
        machine = SVC(
            C=self.C, kernel=self.kernel, gamma=gamma, degree=self.degree, coef0=self.coef0, tol=self.tol
        )
        try:
            machine.fit(X, codes, sample_weight=weight)
        except ValueError as error:
            raise LifelongError(f"the SVM cannot be trained: {error}") from None
        kept = machine.support_
        self.X_, self.codes_, self.ids_ = X[kept], codes[kept], ids[kept]
        self.sides_ = [[int(a), int(b)] for i, a in enumerate(present) for b in present[i + 1 :]]
        self.weights_ = np.zeros((len(kept), len(self.sides_)))
        # Of classes a < b of those present, row b - 1 of dual_coef_ is a's against b, row a is b's.
        place = np.searchsorted(present, self.codes_)
        for at, (a, b) in enumerate(np.searchsorted(present, self.sides_)):
            for mine, row in ((a, b - 1), (b, a)):
                self.weights_[place == mine, at] = machine.dual_coef_[row, place == mine]
        sign = -1 if len(present) == 2 else 1  # of two classes scikit-learn turns the sign
        self.weights_ *= sign
        self.intercepts_ = sign * machine.intercept_

    def _scores(self, X: Any) -> np.ndarray:
        if not self.sides_:
            scores = np.zeros((len(X), len(self.classes_)))
            scores[:, np.unique(self.codes_)] = 1
            return scores
        f = self._of(X @ self.X_.T, squares(X), squares(self.X_)) @ self.weights_ + self.intercepts_
        return vote(f, self.sides_, len(self.classes_))

    @property
    def memory_bytes(self) -> int:
        """Bytes of the support vectors."""
        return self.X_.nbytes

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        n, classes, machines = len(self.codes_), len(self.classes_), len(self.sides_)
        packed.ids(self.ids_, self.next_id_)
        ensure(len(self.ids_) == n, "ids_ is not as long as codes_")
        packed.places(self.codes_, classes, "codes_")
        packed.matrix(self.X_, "float64", (n, self.n_features_in_), "X_")
        held = np.unique(self.codes_).tolist()
        pairs = [[a, b] for i, a in enumerate(held) for b in held[i + 1 :]]
        ensure(self.sides_ == pairs, "sides_ do not fit codes_")
        packed.matrix(self.weights_, "float64", (n, machines) if machines else (0, 0), "weights_")
        packed.vector(self.intercepts_, "float64", machines, "intercepts_")
        ensure(self.examples_ >= n, "examples_ are fewer than are held")
