"""Regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Measures
from .entries import Entries

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner


class Regression(Entries):
    """Numbers: y is ``float32 [n, outputs]``, NaN where not told; (z - y)^2 an entry.

    The network learns every output less its mean, over its standard deviation, as they were in the
    first task that tells it (under ``free``: in its first 500 rows); both are state of the learner.
    Stored and distilled targets are on that scale. The likelihood is a Gaussian of variance 1 around
    z, on it too. Answers and measures are in the targets' own units.

    R is max(0, r2), so that it lies in [0, 1]; beside it, each the mean over outputs on a task's test
    set: ``r2`` = 1 - sum (y - z)^2 / sum (y - mean y)^2 (where y is constant: 1 if z is y, else 0),
    ``rmse`` = sqrt(mean (y - z)^2) and ``mae`` = mean |y - z|. Distillation is mean (z - z_old)^2 at
    any temperature.
    """

    name = "regression"
    scaled = True
    scenarios = ("task", "domain", "free")
    score = "max(0, r2)"
    beside = ("r2", "rmse", "mae")

    def entry(self, learner: Learner, z: Any, y: Any) -> Any:
        return (z - y) ** 2

    def mean(self, learner: Learner, z: Any) -> Any:
        return z

    def variance(self, learner: Learner, z: Any) -> Any:
        return 0 * z + 1

    def noise(self, learner: Learner, count: int) -> np.ndarray:
        return learner.rng.standard_normal((count, learner.width), dtype=np.float32)

    def sampled(self, learner: Learner, z: Any, u: Any) -> Any:
        return z + u

    def compare(self, z: np.ndarray, y: np.ndarray) -> Measures:
        error, around = z - y, y - np.nanmean(y, 0)
        left, whole = np.nansum(error**2, 0), np.nansum(around**2, 0)
        explained = 1 - left / np.where(whole > 0, whole, 1)
        r2 = float(np.where(whole > 0, explained, left == 0).mean())
        return {
            "score": max(0.0, r2),
            "r2": r2,
            "rmse": float(np.sqrt(np.nanmean(error**2, 0)).mean()),
            "mae": float(np.nanmean(np.abs(error), 0).mean()),
        }

    def answers(self, learner: Learner, batch: Batch, scores: Any, columns: list[int]) -> np.ndarray:
        """The outputs, ``[rows]``, or ``[rows, outputs]`` where there are several."""
        found = learner.unscaled(learner.ops.numpy(scores))[:, columns]
        return found[:, 0] if len(columns) == 1 else found
