"""What a linear learner looks at, and what two models see differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError, at_least, unknown
from .online import Online
from .replay import Replay
from .text import TextClassifier


@dataclass(frozen=True)
class Weight:
    """A feature's weight for a class, and the standard deviation that is left of it, if known."""

    feature: str
    mean: float
    sd: float | None

    def __str__(self) -> str:
        return f"{self.feature:30} {self.mean:+8.3f}" + ("" if self.sd is None else f" ± {self.sd:.3f}")


def explain(
    learner: Any, label: Any = None, top: int = 10, names: Sequence[str] | None = None
) -> dict[Any, list[Weight]]:
    """The features with the largest weights, by class, the largest first.

    A feature of a text is its n-gram where the vocabulary is kept (``HashingText(vocabulary=True)``),
    else ``#column``; that of a table its name, or ``#column``. The weight of an n-gram counts as it
    stands: by idf, a rare one counts more in a text.

    Args:
        learner: an online classifier, or one within a :class:`TextClassifier` or a :class:`Replay`.
        label: of this class alone; None: of all.
        top: how many.
        names: of the columns, where the learner does not know them itself.

    Raises:
        LifelongError: for a learner without weights, or an unknown class.
    """
    check_is_fitted(learner)
    at_least(1, top=top)
    known: Mapping[int, str] = dict(enumerate([] if names is None else names))
    while isinstance(learner, TextClassifier | Replay):
        if isinstance(learner, TextClassifier):
            known = getattr(learner.vectorizer_, "names_", known)
        learner = learner.learner_
    if not isinstance(learner, Online):
        raise LifelongError(f"{type(learner).__name__} has no weights to explain: choose one such as cw")
    if hasattr(learner, "feature_names_in_"):
        known = dict(enumerate(learner.feature_names_in_))
    classes = learner.classes_.tolist()
    if len(classes) < 2:
        raise LifelongError(
            f"it knows {len(classes)} class alone, which needs no weights: teach it another"
        )
    if label is not None and str(label) not in map(str, classes):
        raise unknown("class", label, map(str, classes))
    mean, sd = _of_classes(learner)
    columns = np.flatnonzero(learner.slot_ >= 0)
    rows, found = learner.slot_[columns], {}
    for i, name in enumerate(classes):
        if label is None or str(name) == str(label):
            best = np.argsort(-mean[rows, i], kind="stable")[:top]
            found[name] = [
                Weight(
                    str(known.get(int(columns[k]), f"#{columns[k]}")),
                    float(mean[rows[k], i]),
                    None if sd is None else float(sd[rows[k], i]),
                )
                for k in best
            ]
    return found


def _of_classes(learner: Online) -> tuple[np.ndarray, np.ndarray | None]:
    """(means, standard deviations), a column a class: the first of two classes is against the second."""
    mean = learner.mean_
    if hasattr(learner, "variance_"):
        sd = np.sqrt(learner.variance_)
    elif hasattr(learner, "covariance_"):
        sd = np.sqrt(np.diagonal(learner.covariance_, axis1=1, axis2=2)).T
    else:
        sd = None
    if mean.shape[1] == 1:
        mean = np.hstack([-mean, mean])
        sd = None if sd is None else np.hstack([sd, sd])
    return mean, sd


@dataclass(frozen=True)
class Flips:
    """What :func:`diff` found."""

    rows: int
    flipped: np.ndarray
    """The rows, ``int64``, that the two models answer differently."""
    before: np.ndarray
    after: np.ndarray
    """The answers on those rows."""
    counts: dict[tuple[Any, Any], int]
    """(before, after): how many, the most frequent first."""
    fixed: int | None
    """Rows that were wrong and are right, where the labels are known."""
    broken: int | None
    """Rows that were right and are wrong."""


def diff(a: Any, b: Any, X: Any, y: Any = None) -> Flips:
    """Which predictions differ between two models on the same rows (and labels ``y``, if known)."""
    return flips(a.predict(X), b.predict(X), y)


def flips(before: Any, after: Any, y: Any = None) -> Flips:
    """As :func:`diff`, of answers ``[n]`` that are there already."""
    before, after = (np.array(list(answers), object) for answers in (before, after))
    rows = np.flatnonzero(before != after)
    counts = Counter(zip(before[rows].tolist(), after[rows].tolist(), strict=True))
    fixed = broken = None
    if y is not None:
        y = np.array(list(y), object)
        if len(y) != len(before):
            raise LifelongError(f"{len(before)} rows and {len(y)} labels: give one a row")
        fixed, broken = int((after[rows] == y[rows]).sum()), int((before[rows] == y[rows]).sum())
    return Flips(len(before), rows, before[rows], after[rows], dict(counts.most_common()), fixed, broken)
