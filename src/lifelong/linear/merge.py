"""One learner out of several that learned apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError
from .finite import largest


def merge(*learners: Any, base: Any = None) -> Any:
    """A new learner that knows what all of the learners know; they stay as they are.

        shards = [TextClassifier("arow").fit(texts, labels) for texts, labels in parts]
        whole = merge(*shards)

    Sums are added, which is exact; Gaussians are multiplied, weights averaged (see the learner's class).
    Classes and features are united. What is known twice must be said: learners that all went on from one
    that had learned already share its knowledge, which counts once if it is given as ``base``.

    Args:
        learners: of one kind, made alike, over the same features; each has learned something.
        base: what all of them went on from, if they did not start from nothing.

    Raises:
        LifelongError: where there are none, they do not fit each other or ``base``, their kind cannot be
            merged, or the numbers would not be finite.
    """
    if not learners:
        raise LifelongError("nothing to merge: give at least one learner")
    merged = learners[0].copy()
    others = learners[1:] if base is None else (*learners[1:], base)
    for learner in (merged, *others):
        check_is_fitted(learner)
    for other in others:
        if type(other) is not type(merged):
            raise LifelongError(
                f"{type(merged).__name__} cannot take in {type(other).__name__}: give one kind"
            )
        if _options(other) != _options(merged):
            raise LifelongError(f"{other} is made otherwise than {merged}: give learners made alike")
        if _columns(other) != _columns(merged):
            raise LifelongError("the learners have other features than the first: give the same columns")
    placed = [(other, merged._encode(other.classes_)) for other in others]
    start = None if base is None else placed.pop()
    with np.errstate(over="ignore", invalid="ignore"):
        merged._merge(placed, start)
    if not largest(merged) < np.inf:
        raise LifelongError("what they know cannot be merged in finite numbers: scale the features")
    return merged


def _options(learner: BaseEstimator) -> tuple[type, dict[str, Any]]:
    """The kind and the hyper-parameters, also of learners within."""
    given = learner.get_params(deep=False).items()
    return type(learner), {k: _options(v) if isinstance(v, BaseEstimator) else v for k, v in given}


def _columns(learner: Any) -> Any:
    """The names of the features, or how many there are; None where they may become more."""
    if getattr(learner, "grow", False):
        return None
    names = getattr(learner, "feature_names_in_", None)
    return getattr(learner, "n_features_in_", None) if names is None else names.tolist()
