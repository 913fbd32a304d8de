"""Single-label classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..batch import Outputs
from ..metrics import CONFUSED
from .base import Measures, Objective

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner

BINS = 15
"""Of confidence, in the expected calibration error."""


class Classification(Objective):
    """Cross-entropy over the class scores that the output space admits: -log softmax(z)_y.

    R is the accuracy. Over the samples of all tasks, p being the softmax of the scores decided by:
    ``nll`` = mean of -log p(y) in nats, where y is admitted; ``ece`` = sum_m |B_m|/n |acc(B_m) -
    conf(B_m)|, B_m the samples whose confidence max p is in ((m-1)/15, m/15] (Guo et al., "On
    calibration of modern neural networks", 2017, eqs. 2, 3, 5).
    """

    name = "classification"
    head = True
    labels = True

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        return learner.ops.cross_entropy(learner.admitted(batch, out), batch.y)

    def noise(self, learner: Learner, count: int) -> np.ndarray:
        return learner.rng.random(count, "float32")

    def log_likelihoods(
        self, learner: Learner, out: Any, batch: Batch, labels: str
    ) -> list[tuple[Any, Any]]:
        ops = learner.ops
        log_p = ops.log_softmax(learner.admitted(batch, out))
        p = ops.exp(ops.constant(log_p))
        if labels == "all":
            return [(p[:, c], log_p[:, c]) for c in learner.columns]
        y = batch.y
        if labels == "sample":
            below = ops.cumsum(p)
            y = ops.argmax(ops.cast(below > batch.u[:, None] * below[:, -1:], "float32"))
        return [(ops.cast(y == y), ops.pick(log_p, y))]

    def distil(
        self, learner: Learner, new: Any, old: Any, known: list[int], admitted: list[int], T: float
    ) -> Any:
        """-T^2 mean over rows of sum_c p_c log q_c, p and q the softmax of scores / T over columns."""
        ops = learner.ops
        p, q = (
            ops.log_softmax(ops.where(learner.indicator(columns), scores / T, -1e9))
            for scores, columns in ((old, known), (new, admitted))
        )
        return -(T**2) * ops.mean(ops.sum(ops.exp(p) * q, 1))

    def known(self, y: np.ndarray) -> np.ndarray:
        return y >= 0

    def nothing(self, learner: Learner) -> Any:
        return learner.ops.full((4 + BINS,), 0, "float64")

    def tally(self, learner: Learner, so_far: Any, scores: Any, y: Any, mask: Any) -> Any:
        """Counts of rows and of right ones, sum and count of -log p(y), sums of right - confidence
        above each edge."""
        ops = learner.ops
        admitted = ops.where(mask, scores, -np.inf)
        given = ops.argmax(admitted)
        right = ops.cast(ops.take(ops.tensor(learner.first), given) == y, "float64")
        log_p, may = ops.log_softmax(ops.cast(admitted, "float64")), ops.take(mask, y)
        nll = ops.where(may, -ops.pick(log_p, y), 0.0)
        confidence = ops.exp(ops.pick(log_p, given))
        above = confidence[:, None] > ops.tensor(np.arange(BINS) / BINS)
        gap = (right - confidence)[:, None] * ops.cast(above, "float64")
        rows = ops.sum(ops.cast(y == y, "float64"))
        sums = ops.stack([rows, ops.sum(right), ops.sum(nll), ops.sum(ops.cast(may, "float64"))])
        return so_far + ops.concat([sums, ops.sum(gap, 0)])

    def measure(self, learner: Learner, found: np.ndarray, y: np.ndarray) -> Measures:
        return {"score": float(found[1] / len(y))}

    def summary(self, learner: Learner, found: list[np.ndarray]) -> Measures:
        total = sum(found, np.zeros(4 + BINS))
        (rows, _, nll, count), above = np.split(total, [4])
        if not (rows and count and np.isfinite(total).all()):
            return {"nll": None, "ece": None}
        gaps = np.abs(above - np.append(above[1:], 0))
        return {"nll": float(nll / count), "ece": float(gaps.sum() / rows)}

    def counted(self, learner: Learner) -> int:
        return learner.width**2 if learner.width <= CONFUSED else 2 * learner.width

    def count(self, learner: Learner, scores: Any, y: Any, mask: Any) -> Any:
        """Counts of pairs; where there are too many classes, of wrong and right of every class."""
        ops, width = learner.ops, learner.width
        given = ops.take(ops.tensor(learner.first), ops.argmax(ops.where(mask, scores, -np.inf)))
        if width <= CONFUSED:
            return ops.cast(ops.reshape(ops.count_pairs(y, given, width), (-1,)), "float64")
        return ops.cast(ops.count(2 * y + ops.cast(given == y, "int64"), 2 * width), "float64")

    def confusion(self, learner: Learner, counts: np.ndarray) -> np.ndarray | None:
        width = learner.width
        return counts.reshape(width, width).astype(int) if width <= CONFUSED else None

    def per_class(self, learner: Learner, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = counts.reshape(learner.width, -1)
        return np.diag(table) if learner.width <= CONFUSED else table[:, 1], table.sum(1)

    def answers(self, learner: Learner, batch: Batch, scores: Any, columns: list[int]) -> np.ndarray:
        """The name of each row's class, ``[rows]``."""
        chosen = learner.ops.argmax(learner.admitted(batch, Outputs(scores=scores)))
        return np.array(learner.classes)[learner.ops.numpy(chosen)]
