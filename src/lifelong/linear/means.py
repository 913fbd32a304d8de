"""Classes by their means: the nearest one, and linear discriminant analysis with a shared covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve
from sklearn.preprocessing import normalize

from ..errors import LifelongError, one_of
from .online import MOST_FULL
from .sums import Additive, Probable, added, few_features, log_priors, refuse_negative


@dataclass(eq=False, repr=False)
class NearestClassMean(Additive):
    """The class whose mean is nearest: ``argmin_k d(x, μ_k)``, ``μ_k = Σ_{i of k} x_i / n_k``.

    Mensink et al., Distance-based image classification (TPAMI 2013).

    With ``idf``, rows of counts x become ``log(1 + x)`` of length one, whose sums are kept *unweighted*
    beside the number of documents in which each feature occurred. The inverse document frequency of
    all documents so far, ``(log((1 + n) / (1 + n_j)) + 1)^idf``, weighs means and queries at prediction:
    none is fitted on the future, nor frozen in the past, and the order of the documents cannot matter.

    Args:
        metric: ``euclidean``, or ``cosine``: rows of length one are averaged, angles compared.
        idf: above 0: rows are counts, weighed as above; cosine only. 1 is the textbook's tf-idf; 2 to 3
            suits whole documents better, whose common words otherwise draw all means together.

    Raises:
        LifelongError: where the metric is unknown, idf is negative, or asked for with another metric or
            negative data.
    """

    metric: str = "euclidean"
    idf: float = 0.0

    shared = ("documents",)

    def _start(self) -> None:
        super()._start()
        one_of("metric", self.metric, ("euclidean", "cosine"))
        if self.idf < 0:
            raise LifelongError(f"idf={self.idf}: give a power above 0, or 0 for none")
        if self.idf and self.metric != "cosine":
            raise LifelongError("idf weighs angles between counts: give metric='cosine' with it")

    def _rows(self, X: Any) -> sp.csr_array:
        X = super()._rows(X)
        if self.idf:
            refuse_negative(X, type(self).__name__)
            X = X.log1p()
        return normalize(X) if self.metric == "cosine" else X

    def _of(self, X: sp.csr_array, Y: sp.csr_array) -> dict[str, Any]:
        found = {"sums": added(X, Y.indices, Y.shape[1])}
        if self.idf:
            found["documents"] = added(X.sign(), np.zeros(len(Y.indices), int), 1)
        return found

    def _shapes(self) -> dict[str, tuple[int, int]]:
        shapes = {"sums": (len(self.classes_), self.n_features_in_)}
        return shapes | ({"documents": (1, self.n_features_in_)} if self.idf else {})

    def _solve(
        self, examples: np.ndarray, sums: sp.csr_array, documents: sp.csr_array | None = None
    ) -> tuple[Any, ...]:
        means = (sums / np.maximum(examples, 1)[:, None]).tocsr()
        if self.metric == "euclidean":
            return means.T.tocsr(), -0.5 * means.power(2).sum(1), None
        if documents is None:
            return normalize(means).T.tocsr(), 0.0, None
        idf = (np.log((1 + examples.sum()) / (1 + documents.toarray()[0])) + 1) ** self.idf
        return normalize(means.multiply(idf).tocsr()).T.tocsr(), 0.0, idf

    def _score(self, X: sp.csr_array, solved: tuple[Any, ...]) -> np.ndarray:
        """Cosines, or ``m·x - ½|m|²``, which orders the classes as ``-|x - m|²`` does."""
        means, rest, idf = solved
        if idf is not None:
            X = normalize(X.multiply(idf).tocsr())
        return (X @ means).toarray() + rest

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.idf > 0
        tags.classifier_tags.poor_score = self.idf > 0  # on data that are no counts
        return tags


@dataclass(eq=False, repr=False)
class StreamingLDA(Probable):
    """Streaming linear discriminant analysis.

    Hayes and Kanan, Lifelong machine learning with deep streaming LDA (CVPR workshops 2020):
    ``score_k(x) = w_k·x - ½ w_k·μ_k + log P(k)`` with ``w_k = Λ μ_k`` and
    ``Λ = ((1 - ε) Σ + ε s I)^-1``, where Σ is the covariance within classes and ``s = tr Σ / d`` makes ε
    independent of the scale of the features (the paper has ``s = 1``). Instead of the paper's running
    averages, whose covariance depends on the order, sums are kept:
    ``Σ = (Σ_i x_i x_i^T - Σ_k n_k μ_k μ_k^T) / n``. They lose digits where a column has a mean far above
    its spread: scale those first.

    Args:
        shrinkage: ε, above 0 and at most 1.
        fit_prior: P(k) by frequency; otherwise all classes seen are alike, as in the paper.

    Raises:
        LifelongError: where ε is out of its range, or features are more than 4096.
    """

    shrinkage: float = 1e-4
    fit_prior: bool = False

    dense = True
    shared = ("gram",)

    def _start(self) -> None:
        super()._start()
        few_features(self.n_features_in_, MOST_FULL, "StreamingLDA")
        if not 0 < self.shrinkage <= 1:
            raise LifelongError(f"shrinkage={self.shrinkage}: give a number above 0 and at most 1")

    def _of(self, X: np.ndarray, Y: sp.csr_array) -> dict[str, np.ndarray]:
        return {"sums": Y.T @ X, "gram": X.T @ X}

    def _shapes(self) -> dict[str, tuple[int, int]]:
        d = self.n_features_in_
        return {"sums": (len(self.classes_), d), "gram": (d, d)}

    def _solve(
        self, examples: np.ndarray, sums: np.ndarray, gram: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        d = len(gram)
        means = sums / np.maximum(examples, 1)[:, None]
        covariance = (gram - means.T @ sums) / examples.sum()
        scale = covariance.trace() / d
        if scale <= 1e-12 * gram.trace() / d / examples.sum():  # every class is a single point
            covariance, scale = np.zeros((d, d)), 1.0
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * scale * np.eye(d)
        weights = solve(shrunk, means.T, assume_a="pos")
        return weights, log_priors(examples, self.fit_prior) - 0.5 * (weights.T * means).sum(1)

    def _score(self, X: np.ndarray, solved: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        weights, rest = solved
        return X @ weights + rest
