"""Naive Bayes over counts: multinomial and complement. Sparse tables throughout, whatever the width."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax, softmax
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError
from .sums import Additive, log_priors, refuse_negative


class _Counts(Additive):
    """What both have: ``N[c, j]``, how often feature j was counted in class c."""

    alpha: float

    def _start(self) -> None:
        super()._start()
        if not self.alpha > 0:
            raise LifelongError(f"alpha={self.alpha}: give a number above 0")

    def _checked(self, X: Any, reset: bool) -> Any:
        X = super()._checked(X, reset)
        refuse_negative(X, type(self).__name__)
        return X

    def _of(self, X: Any, Y: sp.csr_array) -> dict[str, Any]:
        return {"counts": sp.csr_array(Y.T @ X)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.classifier_tags.poor_score = (
            True  # on data that are no counts, such as its checks are made on
        )
        return tags


class MultinomialNB(_Counts):
    """Multinomial naive Bayes; McCallum and Nigam, A comparison of event models (AAAI workshop, 1998).

    ``log P(c | x) = log P(c) + Σ_j x_j log θ_cj`` up to a constant, with ``θ_cj = (N_cj + α) / (N_c + α d)``
    over ``d`` features. As ``log θ_cj`` is the same for all features that class c never showed, only
    ``log(1 + N_cj / α)`` is tabled, which is sparse.

    Args:
        alpha: additive smoothing α of every feature; with hashed text take far less than 1, since most
            of the d columns are empty.
        fit_prior: P(c) by frequency; otherwise all classes seen are alike.

    Raises:
        LifelongError: where alpha is not positive or data are negative.
    """

    def __init__(self, alpha: float = 1.0, fit_prior: bool = True):
        self.alpha = alpha
        self.fit_prior = fit_prior

    def _solve(
        self, examples: np.ndarray, counts: sp.csr_array
    ) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
        rest = np.log(self.alpha) - np.log(counts.sum(1) + self.alpha * counts.shape[1])
        return (counts / self.alpha).log1p(), rest, log_priors(examples, self.fit_prior)

    def _score(self, X: Any, table: tuple[sp.csr_array, np.ndarray, np.ndarray]) -> np.ndarray:
        weights, rest, priors = table
        return product(X, weights) + np.outer(X.sum(1), rest) + priors

    decision_function = property(doc="Not there, as in scikit-learn: see predict_log_proba.")  # type: ignore

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """``log P(c | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        check_is_fitted(self)
        return log_softmax(self._scores(self._checked(X, reset=False)), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """``P(c | x)`` ``[n, classes]`` of rows ``X [n, features]``."""
        check_is_fitted(self)
        return softmax(self._scores(self._checked(X, reset=False)), axis=1)


class ComplementNB(_Counts):
    """Complement naive Bayes; Rennie, Shih, Teevan and Karger, Tackling the poor assumptions of naive Bayes
    text classifiers (ICML 2003), section 3.1 and table 4.

    A class is scored by how badly the features of all *other* classes fit:
    ``w_cj = -log((N_j - N_cj + α) / (N - N_c + α d))``, and with ``norm`` divided by ``Σ_j |w_cj|``. Tabled is
    ``log((N_j - N_cj + α) / (N_j + α))``, which is sparse, beside ``log(N_j + α)``, alike in all classes.

    Args:
        alpha: additive smoothing α of every feature; with hashed text take far less than 1.
        norm: divide each class's weights by the sum of their magnitudes.

    Raises:
        LifelongError: where alpha is not positive or data are negative.
    """

    def __init__(self, alpha: float = 1.0, norm: bool = False):
        self.alpha = alpha
        self.norm = norm

    def _solve(self, examples: np.ndarray, counts: sp.csr_array) -> tuple[sp.csr_array, np.ndarray, ...]:
        total, d = counts.sum(0), counts.shape[1]
        every = np.log(total + self.alpha)
        others = total[counts.indices] - counts.data + self.alpha
        data = np.log(others) - every[counts.indices]
        own = sp.csr_array((data, counts.indices, counts.indptr), counts.shape)
        rest = -np.log(total.sum() - counts.sum(1) + self.alpha * d)
        scale = -(every.sum() + own.sum(1) + d * rest) if self.norm else np.ones(len(rest))
        return own, every, rest, scale

    def _score(self, X: Any, table: tuple[sp.csr_array, np.ndarray, ...]) -> np.ndarray:
        own, every, rest, scale = table
        return -(product(X, own) + (X @ every)[:, None] + np.outer(X.sum(1), rest)) / scale


def product(X: Any, table: sp.csr_array) -> np.ndarray:
    """``X [n, features]`` times ``table [classes, features]`` transposed, as a plain array."""
    scores = X @ table.T
    return scores.toarray() if sp.issparse(scores) else scores
