"""Multi-label classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LifelongError
from .base import Measures
from .entries import Entries

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner
    from ..samples import Samples


class MultiLabel(Entries):
    """Any number of labels a sample: y is 1, 0 or NaN (not told); BCE(sigmoid(z), y) an entry.

    The likelihood is a product of Bernoullis, p = sigmoid(z); a label is given where p > 1/2. R is the
    mean average precision, over the task's labels that have a positive, of AP = sum_k (recall_k -
    recall_{k-1}) precision_k, k running over the distinct scores from the highest down. Beside it, over
    told entries: ``micro_f1`` = 2 TP / (2 TP + FP + FN), ``macro_f1`` = the mean of each label's own
    (0 where it is 0/0), ``exact_match`` = the share of samples with no entry wrong.
    """

    name = "multi-label"
    score = "mean average precision"
    beside = ("micro_f1", "macro_f1", "exact_match")

    def check(self, samples: Samples) -> None:
        super().check(samples)
        strange = ~(np.isin(samples.y, (0, 1)) | np.isnan(samples.y))
        if strange.any():
            raise LifelongError(
                f"multi-label targets are 0, 1 or NaN (not told), not {samples.y[strange][0]:g}"
            )

    def entry(self, learner: Learner, z: Any, y: Any) -> Any:
        return learner.ops.bce(z, y)

    def mean(self, learner: Learner, z: Any) -> Any:
        return learner.ops.sigmoid(z)

    def variance(self, learner: Learner, z: Any) -> Any:
        p = learner.ops.sigmoid(z)
        return p * (1 - p)

    def noise(self, learner: Learner, count: int) -> np.ndarray:
        return learner.rng.random((count, learner.width), "float32")

    def sampled(self, learner: Learner, z: Any, u: Any) -> Any:
        return learner.ops.cast(u < learner.ops.sigmoid(z))

    def compare(self, z: np.ndarray, y: np.ndarray) -> Measures:
        told, given = ~np.isnan(y), z > 0
        true = y == 1
        hits, wrong = (true & given).sum(0), (told & (true != given))
        below = 2 * hits + wrong.sum(0)
        scores = [average_precision(z[told[:, c], c], true[told[:, c], c]) for c in range(y.shape[1])]
        rated = [s for s in scores if s is not None]
        return {
            "score": float(np.mean(rated)) if rated else None,
            "micro_f1": float(2 * hits.sum() / max(1, below.sum())),
            "macro_f1": float(np.mean(2 * hits / np.maximum(1, below))),
            "exact_match": float((~wrong.any(1))[told.any(1)].mean()),
        }

    def answers(self, learner: Learner, batch: Batch, scores: Any, columns: list[int]) -> np.ndarray:
        """For each row the list of its labels' names, an array of objects ``[rows]``."""
        given = learner.ops.numpy(scores) > 0
        found = np.empty(len(given), object)
        for i, row in enumerate(given):
            found[i] = [learner.classes[c] for c in columns if row[c]]
        return found


def average_precision(scores: np.ndarray, true: np.ndarray) -> float | None:
    """sum_k (recall_k - recall_{k-1}) precision_k over the distinct scores; None without a positive."""
    if not true.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each distinct score
    hits = np.cumsum(true[order])[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hits[-1])
