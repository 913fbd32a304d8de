"""Gradient episodic memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...batch import Batch
from ...errors import NOT_FINITE, LifelongError
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Step
    from ...learner import Learner

RIDGE = 1e-3


@dataclass(eq=False)
class GEM(Part):
    """Step so that the loss on no earlier task's memory rises.

    With G the gradients of the earlier tasks' mean losses, one a row, where any of G g is below 0:
    g <- g + G^T v, v being the solution of  min 1/2 v G G^T v + v G g,  v >= margin
    (Lopez-Paz & Ranzato, eqs. 8 to 11; a ridge of 1e-3 on G G^T keeps it regular).

    Args:
        capacity: samples of each task ("256/task"), or samples or bytes that the tasks share equally;
            of each, the last that it showed are kept.
        margin: the least v; above 0 it also favours what the earlier tasks gain.
    """

    capacity: int | str = "256/task"
    margin: float = 0.5

    name = "gem"
    family = "replay"
    paper = "Lopez-Paz & Ranzato, Gradient episodic memory for continual learning (NeurIPS 2017)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    revisits = True
    order = "project"
    host = True

    def start(self, learner: Learner) -> None:
        self.stored = self.memory(self.capacity, "ring", group="task")
        self.tasks = self.derived(
            lambda: self._by_task(learner), facts=lambda: (self.stored.edits, *self._earlier(learner))
        )

    def _earlier(self, learner: Learner) -> tuple[int, bytes]:
        """How many tasks are over, and which of their samples are held: each has a key of its own."""
        held, now = self.stored.samples, learner.position.task
        return now, b"" if held is None else self.stored.keys[held.place < now].tobytes()

    def _by_task(self, learner: Learner) -> list[Batch]:
        """The earlier tasks' samples, as batches of tensors."""
        held, now = self.stored.samples, learner.position.task
        rows = [] if held is None else [held.take(held.place == t).drop("place") for t in range(now)]
        batches = [Batch(samples) for samples in rows if len(samples)]
        for batch in batches:
            learner.backend.batch(batch)
        return batches

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        if not self.tasks:
            return g
        ops = learner.ops
        G = ops.cast(ops.stack([learner.grad(rows) for rows in self.tasks]), "float64")
        along = ops.numpy(ops.matvec(G, ops.cast(g, "float64")))
        if not np.isfinite(along).all():
            raise LifelongError(NOT_FINITE)
        if along.min() >= 0:
            return g
        v = dual(ops.numpy(G @ ops.transpose(G)), along, self.margin)
        return g + ops.cast(ops.matvec(ops.transpose(G), ops.tensor(v)))

    def observe(self, learner: Learner, step: Step) -> None:
        if step.batch.fresh is not None:
            place = np.full(len(step.batch.fresh), learner.position.task)
            self.stored.offer(step.batch.fresh.replace(place=place), learner.rng)


def dual(gram: np.ndarray, along: np.ndarray, margin: float) -> np.ndarray:
    """argmin over v >= margin of 1/2 v gram v + v along, ``float64 [tasks]``.

    With u = v - margin >= 0 and gram = L L^T it is a nonnegative least squares problem (Lawson &
    Hanson, 1974):  min |L^T u + L^-1 (along + gram margin)|.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    gram = (gram + gram.T) / 2 + RIDGE * np.eye(len(gram))
    L = np.linalg.cholesky(gram)
    u, _ = nnls(L.T, -solve_triangular(L, along + gram @ np.full(len(gram), margin), lower=True))
    return u + margin
