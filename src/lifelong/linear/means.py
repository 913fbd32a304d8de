"""Classes by their means: the nearest one, and linear discriminant analysis with a shared covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve
from scipy.special import log_softmax, softmax
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError, one_of
from .bayes import product
from .sums import Additive, log_priors, refuse_negative


class NearestClassMean(Additive):
    """The class whose mean is nearest; Mensink et al., Distance-based image classification (TPAMI 2013), eq. 1.

    With ``idf``, a row of counts x becomes ``log(1 + x)`` of length one, whose sums are kept *unweighted*
    beside the number of documents in which each feature occurred. The inverse document frequency of all
    documents seen so far, ``log((1 + n) / (1 + n_j)) + 1``, weights both means and queries at prediction:
    none is fitted on the future, nor frozen in the past, and the order of the documents cannot matter.

    Args:
        metric: ``euclidean``, or ``cosine``: rows of length one are averaged and compared by their angle.
        idf: rows are counts, to be weighted as above; cosine only.

    Raises:
        LifelongError: where the metric is unknown, or idf is asked for other than cosine or negative data.
    """

    shared = ("documents",)

    def __init__(self, metric: str = "euclidean", idf: bool = False):
        self.metric = metric
        self.idf = idf

    def _start(self) -> None:
        super()._start()
        one_of("metric", self.metric, ("euclidean", "cosine"))
        if self.idf and self.metric != "cosine":
            raise LifelongError("idf weights angles between counts: give metric='cosine' with it")

    def _checked(self, X: Any, reset: bool) -> Any:
        X = super()._checked(X, reset)
        if self.idf:
            refuse_negative(X, type(self).__name__)
            return sp.csr_array(X).log1p()
        return X

    def _of(self, X: Any, Y: sp.csr_array) -> dict[str, Any]:
        if self.metric == "cosine":
            X = normalize(X)
        found = {"sums": sp.csr_array(Y.T @ X)}
        if self.idf:
            found["documents"] = sp.csr_array(X.astype(bool).sum(0, dtype=np.float64)[None])
        return found

    def _solve(self, examples: np.ndarray, sums: sp.csr_array, documents: Any = None) -> Any:
        if self.idf:
            idf = np.log((1 + examples.sum()) / (1 + documents.toarray()[0])) + 1
            return normalize(sums * idf), 0.0, idf
        if self.metric == "cosine":
            return normalize(sums), 0.0, None
        means = sums / np.maximum(examples, 1)[:, None]
        return means, -0.5 * means.power(2).sum(1), None

    def _score(self, X: Any, table: Any) -> np.ndarray:
        """Cosines, or ``m·x - ½|m|²``, which orders the classes as ``-|x - m|²`` does."""
        means, rest, idf = table
        if self.idf:
            X = X * idf
        if self.metric == "cosine":
            X = normalize(X)
        return product(X, means) + rest

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.idf
        tags.classifier_tags.poor_score = self.idf  # on data that are no counts
        return tags


class StreamingLDA(Additive):
    """Streaming linear discriminant analysis; Hayes and Kanan, Lifelong machine learning with deep streaming
    LDA (CVPR workshops 2020), equations 1 to 4.

    ``score_k(x) = w_k·x - ½ w_k·μ_k + log P(k)`` with ``w_k = Λ μ_k`` and ``Λ = ((1 - ε) Σ + ε s I)^-1``, where Σ is
    the covariance within classes and ``s = tr Σ / d`` makes ε independent of the scale of the features
    (the paper has ``s = 1``). Instead of the paper's running averages, whose covariance depends on the
    order, sums are kept: ``Σ = (Σ_i x_i x_i^T - Σ_k n_k μ_k μ_k^T) / n``. Sums lose digits where a column's
    mean is large beside its spread: scale such columns first.

    Args:
        shrinkage: ε, above 0 and at most 1.
        fit_prior: P(k) by frequency; otherwise all classes seen are alike, as in the paper.

    Raises:
        LifelongError: where ε is out of its range.
    """

    sparse = False
    shared = ("gram",)

    def __init__(self, shrinkage: float = 1e-4, fit_prior: bool = False):
        self.shrinkage = shrinkage
        self.fit_prior = fit_prior

    def _start(self) -> None:
        super()._start()
        if not 0 < self.shrinkage <= 1:
            raise LifelongError(f"shrinkage={self.shrinkage}: give a number above 0 and at most 1")

    def _of(self, X: np.ndarray, Y: sp.csr_array) -> dict[str, np.ndarray]:
        return {"sums": Y.T @ X, "gram": X.T @ X}

    def _solve(
        self, examples: np.ndarray, sums: np.ndarray, gram: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        d = len(gram)
        means = sums / np.maximum(examples, 1)[:, None]
        covariance = (gram - means.T @ sums) / examples.sum()
        scale = covariance.trace() / d
        if scale <= 0:  # every class is a single point
            covariance, scale = np.zeros((d, d)), 1.0
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * scale * np.eye(d)
        weights = solve(shrunk, means.T, assume_a="pos").T
        return weights, log_priors(examples, self.fit_prior) - 0.5 * (weights * means).sum(1)

    def _score(self, X: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        weights, rest = table
        return X @ weights.T + rest

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """``log P(k | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        check_is_fitted(self)
        return log_softmax(self._scores(self._checked(X, reset=False)), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """``P(k | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        check_is_fitted(self)
        return softmax(self._scores(self._checked(X, reset=False)), axis=1)
