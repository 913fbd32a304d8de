"""Online linear classifiers: one pass, a closed form for each example.

>>> from lifelong.linear import AROW
>>> learner = AROW().partial_fit([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
>>> learner.partial_fit([[1.0, 1.0]], ["bird"]).predict([[2.0, 0.0]]).tolist()
['cat']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri
from sklearn.base import clone

from ..errors import LifelongError, one_of
from . import kernels, packed, updates
from .estimator import Incremental, as_csr
from .packed import ensure

MOST_FULL = 4096
"""Features of which a full covariance is still kept: 67 MB a class in float32."""


@dataclass(eq=False, repr=False, kw_only=True)
class Online(Incremental):
    """What the online linear classifiers share: their weights, and the pass over the examples.

    With two classes there is one weight vector, and the published binary update. With more, there is
    a vector for each class, and the true label is updated against its best-scored wrong ones
    (:func:`~lifelong.linear.kernels.learn_many`). A batch gives what its examples give one by one.

    Args:
        intercept: whether there is a feature that is always 1.
        rivals: how many wrong labels an example is held against; None: all.
        grow: whether rows may become wider than those before (new features at the end).
        dtype: of the weights, ``float32`` or ``float64``.

    Attributes:
        mean_: ``[slots, classes]`` (one column for two classes); slot 0 is the intercept's.
        slot_: ``int32 [features]``, the slot of a feature, -1 where it was never met.
        examples_: how many examples were learned.
    """

    intercept: bool = True
    rivals: int | None = 1
    grow: bool = False
    dtype: str = "float32"

    by_row = True
    rule: ClassVar[int]

    def _constants(self) -> tuple[int, float, float]:
        """The rule, and its ``a`` and ``b``. Raises where they cannot be."""
        return self.rule, 0.0, 0.0

    # ---- contract
    def _start(self) -> None:
        self._constants()
        one_of("dtype", self.dtype, ("float32", "float64"))
        if self.rivals is not None and self.rivals < 1:
            raise LifelongError(f"rivals={self.rivals}: give at least 1, or None for all")
        self.slot_ = np.full(self.n_features_in_, -1, np.int32)
        self.mean_ = np.zeros((1, 0), self.dtype)
        self.examples_ = 0

    def _learn(self, X: Any, y: Any, classes: Any, ids: Any = None) -> np.ndarray | None:
        wide = getattr(X, "shape", (0, 0))[-1] if self.grow and hasattr(self, "classes_") else 0
        narrow = getattr(self, "n_features_in_", wide)
        if wide <= narrow:
            return super()._learn(X, y, classes, ids)
        self.slot_ = np.append(self.slot_, np.full(wide - narrow, -1, np.int32))
        self.n_features_in_ = wide
        try:
            return super()._learn(X, y, classes, ids)
        except Exception:
            if (self.slot_[narrow:] < 0).all():  # nothing was learned of what is new
                self.slot_, self.n_features_in_ = self.slot_[:narrow].copy(), narrow
            raise

    def _update(self, X: Any, codes: np.ndarray, known: int) -> np.ndarray:
        rows = as_csr(X, self.dtype)
        self._admit(rows)
        # One class has nothing to be told from; two share one vector until a third comes up.
        second, third = (0 if known > n else _first(codes >= n) for n in (1, 2))
        predicted = np.zeros(len(codes), np.int64)
        if third > second:
            self._reshape(len(self.mean_), 1)
            self._pass(rows[second:third], codes[second:third], 2, predicted[second:third])
        if third < len(codes):
            self._part(len(self.classes_))
            self._pass(rows[third:], codes[third:], max(known, 2), predicted[third:])
        self.examples_ += len(codes)
        return predicted

    def _admit(self, rows: sp.csr_array) -> None:
        """Give the features that come up for the first time their slots."""
        used = kernels.admit(self.slot_, rows.indices, len(self.mean_))
        self._reshape(used, self.mean_.shape[1])

    def _part(self, classes: int) -> None:
        """A vector for each class. The one w of two classes becomes -w/2 and w/2: no score changes."""
        if self.mean_.shape[1] == 1:
            self.mean_ = np.hstack([-self.mean_ / 2, self.mean_ / 2])
        self._reshape(len(self.mean_), classes)

    def _reshape(self, slots: int, columns: int) -> None:
        self.mean_ = _grown(self.mean_, (slots, columns), 0)

    def _pass(self, rows: sp.csr_array, codes: np.ndarray, known: int, predicted: np.ndarray) -> None:
        """Learn the rows in order; write to ``predicted`` what was predicted of each before."""
        variance, drop = self._sigma()
        constants, weights = self._constants(), (self.mean_, variance, self.slot_, self.intercept)
        content = rows.data, rows.indices, rows.indptr, codes
        if self.mean_.shape[1] == 1:
            moved = kernels.learn_two(*constants, drop, *weights, *content, predicted)
        else:
            rivals = self._rivals()
            moved = kernels.learn_many(*constants, drop, rivals, *weights, *content, known, predicted)
        self._moved(moved)

    def _moved(self, moved: float) -> None:
        """Note how far any weight has moved at most; refuse what has no finite end."""
        if not moved < kernels.farthest(self.mean_):
            raise LifelongError("these rows would make weights infinite: scale them, or drop them")
        self._widen_bound(moved * self._deviation)

    @property
    def _deviation(self) -> float:
        """The largest that a weight has, at least 1."""
        return 1.0

    @property
    def _numbers(self) -> str:
        return "float32" if self.dtype == "float32" else "float64"

    def _rivals(self) -> int:
        """How many wrong labels an example is held against, at most."""
        classes = len(self.classes_)
        return classes if self.rivals is None else min(self.rivals, classes)

    def _sigma(self) -> tuple[np.ndarray, bool]:
        """The diagonal of Sigma, like ``mean_``, and whether to *drop*; empty: Sigma = I."""
        return np.zeros((0, 0), self.dtype), False

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        classes, slots = len(self.classes_), len(self.mean_)
        columns = {1: 0, 2: 1}.get(classes, classes)
        packed.vector(self.slot_, "int32", self.n_features_in_, "slot_")
        used = np.sort(self.slot_[self.slot_ >= 0])
        ensure(self.slot_.min() >= -1, "slot_ is below -1")
        ensure(np.array_equal(used, np.arange(1, slots)), "slot_ does not fit mean_")
        packed.matrix(self.mean_, self.dtype, (slots, columns), "mean_")

    # ---- merging
    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Average the weights by how many examples each learned since ``base``.

        w = sum_k mu_k w_k (McDonald, Hall & Mann, NAACL 2010, fig. 3), with mu_k in proportion to them.
        """
        parts, start = self._aligned(others, base)
        learned = np.array([part.examples_ - start.examples_ for part in parts])
        if (learned < 0).any() or not learned.any():
            raise LifelongError("base knows what was not merged: give what all learners went on from")
        means = np.stack([part.mean_ for part in parts])
        start.mean_ = np.average(means, axis=0, weights=learned).astype(self.dtype)
        start.examples_ += int(learned.sum())
        self.__dict__.update(vars(start))

    def _aligned(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> tuple[list[Self], Self]:
        """(all to be merged, the base or one that knows nothing), over the same features and classes."""
        given = [(self, np.arange(len(self.classes_))), *others]
        slot = np.full(max(learner.n_features_in_ for learner, _ in given), -1, np.int32)
        slots = 1
        for learner, _ in given:
            met = np.flatnonzero(learner.slot_ >= 0)
            new = met[slot[met] < 0]
            slot[new] = np.arange(slots, slots + len(new))
            slots += len(new)

        def blank() -> Any:
            made = clone(self)
            made.n_features_in_ = len(slot)
            made._start()
            made.slot_ = slot
            made._reshape(slots, classes if classes > 2 else classes - 1)
            return made

        classes = len(self.classes_)
        parts: list[Self] = [blank()._filled(*part) for part in given]
        return parts, blank() if base is None else blank()._filled(*base)

    def _filled(self, known: Self, places: np.ndarray) -> Self:
        """Take over what another knows; its class i becomes class ``places[i]``."""
        known, two = known.copy(), self.mean_.shape[1] == 1
        if two and places[0] == 1:
            known.mean_ = -known.mean_  # of its two classes, the other one comes second
        if not two and known.mean_.shape[1] == 1:
            known._part(2)
        met = np.flatnonzero(known.slot_ >= 0)
        if (met >= len(self.slot_)).any() or (self.slot_[met] < 0).any():
            raise LifelongError("base knows what was not merged: give what all learners went on from")
        rows = np.zeros(len(known.mean_), np.int64)  # slot 0 is the intercept's in all
        rows[known.slot_[met]] = self.slot_[met]
        self._place(known, rows, np.zeros(1, int) if two else places)
        self.examples_ = known.examples_
        return self

    def _place(self, known: Self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Take over the columns of weights that are there, each to its column, slots to ``rows``."""
        self.mean_[np.ix_(rows, columns[: known.mean_.shape[1]])] = known.mean_

    def _scores(self, X: Any) -> np.ndarray:
        rows, out = as_csr(X, self.dtype), np.zeros((X.shape[0], len(self.classes_)), self.dtype)
        two, told = self.mean_.shape[1] == 1, self.mean_.shape[1]
        held = out[:, 1:2] if two else out[:, :told]
        kernels.scores(
            self.mean_, self.slot_, self.intercept, rows.data, rows.indices, rows.indptr, held
        )
        return out


@dataclass(eq=False, repr=False, kw_only=True)
class SecondOrder(Online):
    """Learners that know how sure they are of each weight: N(mu, Sigma), Sigma_0 = ``variance`` I.

    A diagonal Sigma can follow the full update in two ways that are not the same. *Project* takes the
    diagonal of Sigma^-1: 1/sigma_i += c x_i^2. *Drop* takes that of Sigma: sigma_i -= beta sigma_i^2
    x_i^2. Drop shrinks less where many features are active at once.

    Args:
        variance: of every weight before anything is learned.
        covariance: ``diagonal``, or ``full``: one matrix a class, for few features.
        form: ``project`` or ``drop``, of a diagonal Sigma.

    Attributes:
        variance_: the diagonal of Sigma, like ``mean_``.
        covariance_: ``[classes, slots, slots]`` (one for two classes) where it is full.
    """

    variance: float = 1.0
    covariance: str = "diagonal"
    form: str = "project"

    def _start(self) -> None:
        super()._start()
        one_of("covariance", self.covariance, ("diagonal", "full"))
        one_of("form", self.form, ("project", "drop"))
        _positive(variance=self.variance)
        if self.covariance == "full":
            self.covariance_ = np.zeros((0, 1, 1), self.dtype)
        else:
            self.variance_ = np.zeros((1, 0), self.dtype)

    def _admit(self, rows: sp.csr_array) -> None:
        if self.covariance == "diagonal":
            super()._admit(rows)
            return
        features = self.n_features_in_
        if features > MOST_FULL:
            raise LifelongError(
                f"a full covariance of {features} features is too large: use covariance='diagonal'"
            )
        self.slot_ = np.arange(1, features + 1, dtype=np.int32)
        self._reshape(features + 1, self.mean_.shape[1])

    def _part(self, classes: int) -> None:
        if self.mean_.shape[1] == 1 and self.covariance == "full":
            self.covariance_ = np.concatenate([self.covariance_, self.covariance_])
        elif self.mean_.shape[1] == 1:
            self.variance_ = np.hstack([self.variance_, self.variance_])
        super()._part(classes)

    def _reshape(self, slots: int, columns: int) -> None:
        super()._reshape(slots, columns)
        if self.covariance == "diagonal":
            self.variance_ = _grown(self.variance_, (slots, columns), self.variance)
            return
        old = self.covariance_
        if old.shape != (columns, slots, slots):
            self.covariance_ = np.zeros((columns, slots, slots), self.dtype)
            self.covariance_[:] = self.variance * np.eye(slots)
            self.covariance_[: len(old), : old.shape[1], : old.shape[2]] = old

    def _pass(self, rows: sp.csr_array, codes: np.ndarray, known: int, predicted: np.ndarray) -> None:
        if self.covariance == "diagonal":
            super()._pass(rows, codes, known, predicted)
            return
        X = np.hstack([np.full((len(codes), 1), self.intercept, self.dtype), rows.toarray()])
        moved = kernels.learn_full(
            *self._constants(), self._rivals(), self.mean_, self.covariance_, X, codes, known, predicted
        )
        self._moved(moved)

    def _sigma(self) -> tuple[np.ndarray, bool]:
        return self.variance_, self.form == "drop"

    @property
    def _deviation(self) -> float:
        return max(1.0, float(np.sqrt(self.variance)))

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        slots, columns = self.mean_.shape
        if self.covariance == "diagonal":
            packed.matrix(self.variance_, self.dtype, (slots, columns), "variance_")
            ensure((self.variance_ >= 0).all(), "variance_ is negative")
        else:
            packed.matrix(self.covariance_, self.dtype, (columns, slots, slots), "covariance_")

    # ---- merging
    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Multiply the posteriors, and divide by what is in all of them: the base, or else the prior.

        With Lambda = Sigma^-1 of n learners: Lambda = sum_k Lambda_k - (n - 1) Lambda_base, and
        Lambda mu = sum_k Lambda_k mu_k - (n - 1) Lambda_base mu_base.
        """
        parts, start = self._aligned(others, base)
        again = len(others)
        known = [part._precision() for part in parts]
        shared, moment = start._precision()
        precision = sum(p for p, _ in known) - again * shared
        moment = sum(m for _, m in known) - again * moment
        start.examples_ = sum(part.examples_ for part in parts) - again * start.examples_
        least = precision if self.covariance == "diagonal" else np.linalg.eigvalsh(precision)
        if start.examples_ < 0 or not (least > 0).all():
            raise LifelongError("base knows what was not merged: give what all learners went on from")
        if self.covariance == "diagonal":
            start.variance_ = (1 / precision).astype(self.dtype)
            mean = moment / precision
        else:
            start.covariance_ = np.linalg.inv(precision).astype(self.dtype)
            mean = np.linalg.solve(precision, moment.T[..., None])[..., 0].T
        start.mean_ = mean.astype(self.dtype, order="C")
        self.__dict__.update(vars(start))

    def _precision(self) -> tuple[np.ndarray, np.ndarray]:
        """(Lambda, Lambda mu), in float64: like ``variance_`` or ``covariance_``, and like ``mean_``."""
        mean = self.mean_.astype(np.float64)
        if self.covariance == "diagonal":
            precision = 1 / self.variance_.astype(np.float64)
            return precision, precision * mean
        precision = np.linalg.inv(self.covariance_.astype(np.float64))
        return precision, np.einsum("cij,jc->ic", precision, mean)

    def _place(self, known: Self, rows: np.ndarray, columns: np.ndarray) -> None:
        super()._place(known, rows, columns)
        columns = columns[: known.mean_.shape[1]]
        if self.covariance == "diagonal":
            self.variance_[np.ix_(rows, columns)] = known.variance_
        else:
            self.covariance_[np.ix_(columns, rows, rows)] = known.covariance_


# ---- the learners
@dataclass(eq=False, repr=False)
class Perceptron(Online):
    """Rosenblatt's perceptron (1958): w += y x where the sign is wrong."""

    rule = updates.PERCEPTRON


@dataclass(eq=False, repr=False)
class PA(Online):
    """Passive-aggressive: the smallest step that gives a margin of 1.

    w += tau y x with tau = max(0, 1 - m) / |x|^2 (Crammer et al., JMLR 7, 2006, eq. 8).
    """

    rule = updates.PA


@dataclass(eq=False, repr=False)
class PA1(Online):
    """PA-I: a step of at most C, min |w - w_t|^2 / 2 + C loss (Crammer et al., JMLR 7, 2006).

    Args:
        C: the largest step: small for noisy labels.
    """

    C: float = 1.0

    rule = updates.PA_1

    def _constants(self) -> tuple[int, float, float]:
        _positive(C=self.C)
        return self.rule, self.C, 0.0


@dataclass(eq=False, repr=False)
class PA2(PA1):
    """PA-II: min |w - w_t|^2 / 2 + C loss^2, tau = loss / (|x|^2 + 1/2C) (JMLR 7, 2006)."""

    rule = updates.PA_2


@dataclass(eq=False, repr=False)
class CW(SecondOrder):
    """Confidence-weighted: the nearest Gaussian under which the example is right with probability eta.

    min KL(N(mu, Sigma) | N(mu_t, Sigma_t)) with P(y w x >= 0) >= eta, that is m >= phi sqrt(v) with
    phi the eta-quantile of the normal. ``stdev`` solves it (Crammer, Dredze & Pereira, NIPS 2008);
    ``variance`` replaces sqrt(v) by v (Dredze, Crammer & Pereira, ICML 2008), and is the better one on
    words that are there or not.

    Args:
        eta: the probability, above 0.5 and below 1.
        constraint: ``variance`` or ``stdev``.
    """

    eta: float = 0.9
    constraint: str = "variance"

    def _constants(self) -> tuple[int, float, float]:
        one_of("constraint", self.constraint, ("variance", "stdev"))
        rule = updates.CW_STDEV if self.constraint == "stdev" else updates.CW_VARIANCE
        return rule, _quantile(self.eta), 0.0


@dataclass(eq=False, repr=False)
class AROW(SecondOrder):
    """Adaptive regularization of weights: CW for noisy labels, which updates only below a margin of 1.

    min KL + loss^2 / 2r + v / 2r: alpha = max(0, 1 - m) / (v + r) (Crammer, Kulesza & Dredze, NIPS
    2009).

    Args:
        r: how little one example is trusted. It has the scale of v: about 1 for tf-idf rows of length
            1, 10 for counts.
    """

    r: float = 1.0

    rule = updates.AROW

    def _constants(self) -> tuple[int, float, float]:
        _positive(r=self.r)
        return self.rule, self.r, 0.0


@dataclass(eq=False, repr=False)
class SCW1(SecondOrder):
    """Soft confidence-weighted, SCW-I: the step of CW, at most C (Wang, Zhao & Hoi, ICML 2012).

    Args:
        eta: the probability, above 0.5 and below 1.
        C: the largest alpha.
    """

    eta: float = 0.9
    C: float = 1.0

    rule = updates.SCW_1

    def _constants(self) -> tuple[int, float, float]:
        _positive(C=self.C)
        return self.rule, _quantile(self.eta), self.C


@dataclass(eq=False, repr=False)
class SCW2(SCW1):
    """SCW-II: a squared slack in the place of SCW-I's (Wang, Zhao & Hoi, ICML 2012, prop. 2)."""

    rule = updates.SCW_2


@dataclass(eq=False, repr=False)
class NHERD(SecondOrder):
    """Normal herding: moves the whole Gaussian as if every weight vector learned (Crammer & Lee, 2010).

    Args:
        C: how much one example is trusted.
    """

    C: float = 1.0

    rule = updates.NHERD

    def _constants(self) -> tuple[int, float, float]:
        _positive(C=self.C)
        return self.rule, self.C, 0.0


# ---- what they share
def _first(mask: np.ndarray) -> int:
    """The first place that is true, or the length."""
    return int(mask.argmax()) if mask.any() else len(mask)


def _grown(array: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
    """The array with more rows or columns of ``fill``: the first rows of one that has some to spare.

    So features that come up one at a time cost no copy of all weights each.
    """
    rows, columns = shape
    if array.shape == shape:
        return array
    spare = array.base
    fits = isinstance(spare, np.ndarray) and spare.ndim == 2 and spare.shape[1] == columns
    if fits and array.shape[1] == columns and len(spare) >= rows:  # type: ignore[arg-type]
        return spare[:rows]  # type: ignore[index]
    new = np.full((max(rows, 3 * len(array) // 2), columns), fill, array.dtype)
    new[: len(array), : array.shape[1]] = array
    return new[:rows]


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < np.inf:
            raise LifelongError(f"{name}={value}: give a number above 0")


def _quantile(eta: float) -> float:
    if not 0.5 < eta < 1:
        raise LifelongError(f"eta={eta}: give a probability above 0.5 and below 1")
    return float(ndtri(eta))
