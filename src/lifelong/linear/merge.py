"""One learner out of several that learned apart."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError


def merge(*learners: Any, base: Any = None) -> Any:
    """A new learner that knows what all of the learners know; they stay as they are.

    Their classes are united. What is known twice must be said: learners that all went on from one that
    had learned already share its knowledge, and it counts once if it is given as ``base``.

    Args:
        learners: of one kind, with equal hyper-parameters and features, each of which has learned something.
        base: what all of them went on from, if they did not start from nothing.

    Raises:
        LifelongError: where there are none, or they do not fit each other.
    """
    if not learners:
        raise LifelongError("nothing to merge: give at least one learner")
    merged = learners[0].copy()
    check_is_fitted(merged)
    for other in learners[1:] if base is None else (*learners[1:], base):
        check_is_fitted(other)
        if type(other) is not type(merged):
            raise LifelongError(
                f"{type(merged).__name__} cannot take in {type(other).__name__}: give one kind"
            )
        if other.get_params(deep=False) != merged.get_params(deep=False):
            raise LifelongError(
                f"{other} has other hyper-parameters than {merged}: give learners made alike"
            )
        if other.n_features_in_ != merged.n_features_in_:
            counts = f"{other.n_features_in_} and {merged.n_features_in_}"
            raise LifelongError(f"learners of {counts} features: give learners of the same columns")
    placed = [(other, merged._encode(other.classes_, None)) for other in learners[1:]]
    start = None if base is None else (base, merged._encode(base.classes_, None))
    merged._merge(placed, start)
    return merged
