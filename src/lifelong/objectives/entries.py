"""What the objectives share that have a target for every output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Measures, Objective

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner


class Entries(Objective):
    """A target for every output: ``y`` is ``float32 [n, classes]``, NaN where it is not told.

    loss of a row = mean over its told and admitted outputs of the entry's loss, 0 where there is none.
    The outputs are independent given x, each of an exponential family whose natural parameter is its
    score z: d log p(y) / dz = y - mean(z), and E_y (y - mean(z))^2 = variance(z).

    No output excludes another, so being told the task changes no score: aware and agnostic are alike.
    """

    head = True

    # ---- what an objective says
    def entry(self, learner: Learner, z: Any, y: Any) -> Any:
        """PURE: the loss of every entry, of scores and targets."""
        raise NotImplementedError

    def mean(self, learner: Learner, z: Any) -> Any:
        """PURE: E y of every entry."""
        raise NotImplementedError

    def variance(self, learner: Learner, z: Any) -> Any:
        """PURE: E (y - mean)^2 of every entry."""
        raise NotImplementedError

    def sampled(self, learner: Learner, z: Any, u: Any) -> Any:
        """PURE: targets drawn from p(y|x), of the noise ``u``."""
        raise NotImplementedError

    def compare(self, z: np.ndarray, y: np.ndarray) -> Measures:
        """``score`` and ``beside`` of scores and targets ``float64 [n, outputs]``, each column with
        something told."""
        raise NotImplementedError

    # ---- what follows
    def told(self, learner: Learner, batch: Batch) -> Any:
        """Which entries count, ``bool [rows, classes]``."""
        told, mask = batch.y == batch.y, learner.mask(batch)
        return told if mask is None else told & mask

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        ops, told = learner.ops, self.told(learner, batch)
        z, y, counts = ops.where(told, out.scores, 0.0), ops.where(told, batch.y, 0.0), ops.cast(told)
        total = ops.sum(self.entry(learner, z, y) * counts, 1)
        return total / ops.clip(ops.sum(counts, 1), 1.0, float(learner.width))

    def log_likelihoods(
        self, learner: Learner, out: Any, batch: Batch, labels: str
    ) -> list[tuple[Any, Any]]:
        ops, told = learner.ops, self.told(learner, batch)
        z = ops.constant(out.scores)
        if labels == "all":  # the cross terms of independent outputs are 0 on average
            weight = self.variance(learner, z) * ops.cast(told)
            return [(weight[:, c], out.scores[:, c]) for c in learner.arriving]
        y = self.sampled(learner, z, batch.u) if labels == "sample" else batch.y
        pull = ops.where(told, y - self.mean(learner, z), 0.0)
        v = ops.sum(ops.where(told, out.scores, 0.0) * pull, 1)
        return [(ops.cast(v == v), v)]

    def distil(
        self, learner: Learner, new: Any, old: Any, known: list[int], admitted: list[int], T: float
    ) -> Any:
        """T^2 mean over rows and known columns of the entry's loss, of new / T and mean(old / T)."""
        ops, counts = learner.ops, learner.ops.cast(learner.indicator(known))
        apart = self.entry(learner, new / T, self.mean(learner, old / T)) * counts
        return T**2 / len(known) * ops.mean(ops.sum(apart, 1))

    def nothing(self, learner: Learner) -> Any:
        return learner.ops.full((0,), 0, "float64")

    def tally(self, learner: Learner, so_far: Any, scores: Any, y: Any, mask: Any) -> Any:
        """The scores themselves."""
        ops = learner.ops
        return ops.concat([so_far, ops.cast(ops.reshape(scores, (-1,)), "float64")])

    def measure(self, learner: Learner, found: np.ndarray, y: np.ndarray) -> Measures:
        z, told = learner.unscaled(found.reshape(len(y), learner.width)), ~np.isnan(y).all(0)
        if not told.any():  # nothing is known of any of these outputs yet
            return dict.fromkeys(("score", *self.beside))
        return self.compare(z[:, told], y[:, told].astype(float))
