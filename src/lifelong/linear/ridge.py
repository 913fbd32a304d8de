"""Ridge regression on class indicators: the analytic learner of class-incremental learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve

from ..errors import LifelongError, at_least
from . import packed
from .sums import Additive, few_features

MOST = 16384
"""Features of which the Gram matrix is still kept: 2 GiB."""


@dataclass(eq=False, repr=False)
class RecursiveRidge(Additive):
    """Ridge regression that learns examples and classes one after another and equals the joint fit.

    Zhuang et al., ACIL: Analytic class-incremental learning with absolute memorization and privacy
    protection (NeurIPS 2022); McDonnell et al., RanPAC: Random projections and pre-trained
    models for continual learning (NeurIPS 2023). With ``h = x``, or ``h = ReLU(W x)`` for a
    fixed random W, the sums ``Σ h h^T`` and ``Σ y h^T`` are kept, y being 1 for the class and 0 for all
    others, also those to come: a new class has had the target 0 in every earlier example. Then
    ``argmin Σ_i |y_i - A h_i - b|² + α |A|²`` is solved when a prediction needs it; b is not penalised.

    Every example weighs alike, so that rare classes have lower scores beside frequent ones (the sums of
    all classes together cannot be weighted afterwards): balance the examples where that matters.

    Args:
        alpha: strength α of the penalty, above 0.
        features: number of random ReLU features; None for x itself.
        seed: of the entries of W, standard normal.

    Raises:
        LifelongError: where alpha is not positive, features are below 1, or they or those of x too many.
    """

    alpha: float = 1.0
    features: int | None = None
    seed: int = 0

    dense = True
    shared = ("gram",)

    def _start(self) -> None:
        super()._start()
        at_least(1, features=self.features)
        few_features(max(self.n_features_in_, self.features or 0), MOST, "RecursiveRidge")
        if not self.alpha > 0:
            raise LifelongError(f"alpha={self.alpha}: give a number above 0")
        if self.features is not None:
            shape = (self.n_features_in_, self.features)
            self.projection_ = np.random.default_rng(self.seed).standard_normal(shape)

    def _hidden(self, X: np.ndarray) -> np.ndarray:
        return X if self.features is None else np.maximum(X @ self.projection_, 0)

    def _of(self, X: np.ndarray, Y: sp.csr_array) -> dict[str, np.ndarray]:
        H = self._hidden(X)
        return {"gram": H.T @ H, "sums": Y.T @ H}

    def _shapes(self) -> dict[str, tuple[int, int]]:
        d = self.features or self.n_features_in_
        return {"sums": (len(self.classes_), d), "gram": (d, d)}

    def _verify(self) -> None:
        super()._verify()
        if self.features is not None and hasattr(self, "classes_"):
            shape = (self.n_features_in_, self.features)
            packed.matrix(self.projection_, "float64", shape, "projection_")

    def _solve(
        self, examples: np.ndarray, gram: np.ndarray, sums: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        n = examples.sum()
        h, y = sums.sum(0) / n, examples / n
        A = gram - np.outer(n * h, h)
        A.flat[:: len(A) + 1] += self.alpha
        weights = solve(A, (sums - np.outer(examples, h)).T, assume_a="pos", overwrite_a=True)
        return weights, y - h @ weights

    def _score(self, X: np.ndarray, solved: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        weights, rest = solved
        return self._hidden(X) @ weights + rest
