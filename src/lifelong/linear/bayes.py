"""Naive Bayes over counts: multinomial and complement. Sparse tables throughout, whatever the width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import LifelongError
from .sums import Additive, Probable, added, log_priors, refuse_negative


@dataclass(eq=False, repr=False)
class _Counts(Additive):
    """What both have: ``N[c, j]``, how often feature j was counted in class c, and its smoothing."""

    alpha: float = 1.0

    def _start(self) -> None:
        super()._start()
        if not self.alpha > 0:
            raise LifelongError(f"alpha={self.alpha}: give a number above 0")

    def _rows(self, X: Any) -> sp.csr_array:
        X = super()._rows(X)
        refuse_negative(X, type(self).__name__)
        return X

    def _of(self, X: sp.csr_array, Y: sp.csr_array) -> dict[str, Any]:
        return {"counts": added(X, Y.indices, Y.shape[1])}

    def _shapes(self) -> dict[str, tuple[int, int]]:
        return {"counts": (len(self.classes_), self.n_features_in_)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.classifier_tags.poor_score = True  # on data that are no counts, as in scikit-learn's checks
        return tags


@dataclass(eq=False, repr=False)
class MultinomialNB(_Counts, Probable):
    """Multinomial naive Bayes; McCallum and Nigam, A comparison of event models (AAAI workshop, 1998).

    ``log P(c | x) = log P(c) + Σ_j x_j log θ_cj`` up to a constant, over d features with
    ``θ_cj = (N_cj + α) / (N_c + α d)``. Only ``log(1 + N_cj / α)`` is tabled, which is sparse: the rest
    of ``log θ_cj`` is the same for all features of a class.

    Args:
        alpha: additive smoothing α of every feature; with hashed text take far less than 1, since most
            of the d columns are empty.
        fit_prior: P(c) by frequency; otherwise all classes seen are alike.

    Raises:
        LifelongError: where alpha is not positive or data are negative.
    """

    fit_prior: bool = True

    def _solve(self, examples: np.ndarray, counts: sp.csr_array) -> tuple[Any, ...]:
        seen = (counts / self.alpha).log1p().T.tocsr()
        rest = np.log(self.alpha) - np.log(counts.sum(1) + self.alpha * counts.shape[1])
        return seen, rest, log_priors(examples, self.fit_prior)

    def _score(self, X: sp.csr_array, solved: tuple[Any, ...]) -> np.ndarray:
        seen, rest, priors = solved
        return (X @ seen).toarray() + np.outer(X.sum(1), rest) + priors

    @property
    def decision_function(self) -> Any:
        """Not there, as in scikit-learn: :meth:`scores` and :meth:`predict_log_proba` are."""
        raise AttributeError("MultinomialNB has no decision_function: use scores or predict_log_proba")


@dataclass(eq=False, repr=False)
class ComplementNB(_Counts):
    """Complement naive Bayes; Rennie, Shih, Teevan and Karger, Tackling the poor assumptions of naive
    Bayes text classifiers (ICML 2003), section 3.1 and table 4.

    A class is scored by how badly the features of all *other* classes fit:
    ``w_cj = -log((N_j - N_cj + α) / (N - N_c + α d))``, and with ``norm`` divided by ``Σ_j |w_cj|``.
    Tabled is ``log((N_j - N_cj + α) / (N_j + α))``, which is sparse, beside ``log(N_j + α)``, which all
    classes share.

    Args:
        alpha: additive smoothing α of every feature; with hashed text take far less than 1.
        norm: divide each class's weights by the sum of their magnitudes.

    Raises:
        LifelongError: where alpha is not positive or data are negative.
    """

    norm: bool = False

    def _solve(self, examples: np.ndarray, counts: sp.csr_array) -> tuple[Any, ...]:
        total, d = counts.sum(0), counts.shape[1]
        every = np.log(total + self.alpha)
        own = counts.copy()
        others = np.maximum(total[own.indices] - own.data, 0)  # rounding, where rows are no counts
        own.data = np.log(others + self.alpha) - every[own.indices]
        rest = -np.log(total.sum() - counts.sum(1) + self.alpha * d)
        scale = -(every.sum() + own.sum(1) + d * rest) if self.norm else np.ones(len(rest))
        return own.T.tocsr(), every, rest, scale

    def _score(self, X: sp.csr_array, solved: tuple[Any, ...]) -> np.ndarray:
        own, every, rest, scale = solved
        return -((X @ own).toarray() + (X @ every)[:, None] + np.outer(X.sum(1), rest)) / scale
