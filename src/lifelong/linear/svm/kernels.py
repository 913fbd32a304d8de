"""Kernels of the support vector machines: functions of the products and the lengths of the examples."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ...errors import LifelongError, one_of
from ..estimator import Incremental
from ..finite import largest, refuse_large

KERNELS = ("linear", "rbf", "poly", "precomputed")


@dataclass(eq=False, repr=False, kw_only=True)
class Kernelled(Incremental):
    """What the machines with kernels share.

    Args:
        C: the most that one example may weigh (the upper bound of alpha).
        kernel: ``linear`` x.z, ``rbf`` exp(-gamma |x - z|^2), ``poly`` (gamma x.z + coef0)^degree, or
            ``precomputed``: the columns of X are the examples held, then those of the call.
        gamma: of ``rbf`` and ``poly``; None: 1 / features.
        degree: of ``poly``.
        coef0: of ``poly``.
    """

    C: float = 1.0
    kernel: str = "rbf"
    gamma: float | None = None
    degree: int = 3
    coef0: float = 1.0

    sparse = False
    dtypes = (np.float64,)
    keeps_rows = True
    roomy = ("X_", "squares_", "K_")

    def _start(self) -> None:
        one_of("kernel", self.kernel, KERNELS)
        gamma = 1.0 if self.gamma is None else self.gamma
        for name, value in {"C": self.C, "gamma": gamma, "degree": self.degree}.items():
            if not isinstance(value, Real) or not 0 < value < np.inf:
                raise LifelongError(f"{name}={value!r}: give a number above 0")
        if self.degree != int(self.degree):
            raise LifelongError(f"degree={self.degree}: give a whole number, or it is no kernel")
        if not 0 <= self.coef0 < np.inf:
            raise LifelongError(f"coef0={self.coef0}: give 0 or more, or it is no kernel")

        self.codes_ = self.ids_ = np.empty(0, np.int64)
        self.next_id_ = 0

    def _rehearse_rows(self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None) -> None:
        """Learn those of the rows that are not held."""
        if ids is None:
            held = {row.tobytes() for row in self.X_[: len(self.codes_)]}
            new = np.array([row.tobytes() not in held for row in X], bool)
        else:
            new = ~np.isin(ids, self.ids_)
        if new.any():
            fresh = self._named(None, int(new.sum())) if ids is None else ids[new]
            self._update_rows(X[new], codes[new], known, fresh)

    def _held(self) -> np.ndarray:
        return self.ids_

    def _complete(self) -> None:
        """Rows of such a file have no ids that are known: they get -1, -2, ..."""
        if not hasattr(self, "next_id_"):
            self.ids_ = -1 - np.arange(len(self.codes_))
            self.next_id_ = 0

    def _kernel(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """``K [a, b]`` of rows ``A [a, features]`` and ``B [b, features]``."""
        return self._of(A @ B.T, squares(A), squares(B))

    def _of(self, products: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """``K [a, b]`` of the products ``[a, b]`` of rows whose squared lengths are ``a`` and ``b``.

        Raises:
            LifelongError: where a value is beyond float64.
        """
        gamma = 1 / self.n_features_in_ if self.gamma is None else self.gamma
        with np.errstate(over="ignore", invalid="ignore"):
            if self.kernel == "linear":
                K = products
            elif self.kernel == "poly":
                K = (gamma * products + self.coef0) ** self.degree
            else:
                distance = a[:, None] + b - 2 * products
                K = np.exp(-gamma * np.maximum(distance, 0, out=distance))
        if not np.isfinite(K).all():
            raise LifelongError("kernel values are beyond float64: scale the features")
        return K

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def _measure(self) -> None:
        """Of the rows held, too, whose arrays have room to grow."""
        super()._measure()
        if hasattr(self, "codes_"):
            self._widen_bound(largest(self.X_[: len(self.codes_)]))

    def _refuse(self, X: Any) -> None:
        """As all learners do; room is left for what is made of the squares: distances, powers."""
        most = float(np.finfo(np.float64).max) / 16
        if self.kernel == "poly":
            gamma = 1 / X.shape[1] if self.gamma is None else self.gamma
            most = min(most, (most ** (1 / self.degree) - self.coef0) / gamma)
        refuse_large(X, most, "what the kernel can hold")


def squares(A: np.ndarray) -> np.ndarray:
    """Squared lengths of the rows."""
    return np.einsum("ij,ij->i", A, A)


def vote(f: np.ndarray, sides: list[list[int]], classes: int) -> np.ndarray:
    """Scores ``[n, classes]`` of machines for pairs: ``f [n, machines]`` is above 0 for the first.

    Two classes get -f / 2 and f / 2. Of more, each gets its votes; ties go to the larger sum of f,
    which is squeezed below 1/2.
    """
    scores = np.zeros((len(f), classes))
    for at, (first, second) in enumerate(sides):
        scores[:, first] += f[:, at] / 2
        scores[:, second] -= f[:, at] / 2
    if classes == 2:
        return scores
    scores /= 3 * (np.abs(scores) + 1)
    for at, (first, second) in enumerate(sides):
        scores[:, first] += f[:, at] > 0
        scores[:, second] += f[:, at] <= 0
    return scores
