"""PackNet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import LifelongError
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class PackNet(Part):
    """Give each task weights of its own: train, prune the smallest, retrain what stays, freeze it.

    ``owner`` holds for every parameter the task (from 1) that owns it; 0: free. Training moves free
    weights only, and the network of task t is theta where 1 <= owner <= t. Biases belong to the
    first task, as in the paper; a task's head is its own.

    Args:
        prune: the share of the weights just trained, layer by layer, that is freed again.
        retrain: the second phase's steps, as a share of the first's.
    """

    prune: float = 0.6
    retrain: float = 0.5

    name = "packnet"
    family = "isolation"
    paper = "Mallya & Lazebnik, PackNet: adding multiple tasks to a single network (CVPR 2018)"
    scenarios = ("task",)
    needs = ("boundaries", "task ids")
    slots = ("parameters",)
    order = "mask"

    def __post_init__(self) -> None:
        if not (0 <= self.prune < 1 and self.retrain > 0):
            raise LifelongError(f"prune={self.prune}, retrain={self.retrain}: shares in [0, 1), above 0")

    def start(self, learner: Learner) -> None:
        if learner.backend.statistics:
            raise LifelongError(
                "packnet cannot freeze batch norm's running statistics: use a model without batch norm"
            )
        self.owner = self.vector(0.0)
        self.pruned = self.scalar(0)  # whether the current task is in its second phase

    def phases(self, learner: Learner, task: Task, phases: list[Phase]) -> list[Phase]:
        steps = max(1, round(self.retrain * phases[0].steps))
        return [*phases, replace(phases[0], name="retrain", steps=steps)]

    def step(self, learner: Learner, d: Any) -> Any:
        own = learner.position.task + 1 if self.pruned else 0
        return learner.ops.where(self.owner == own, d, 0.0)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            self.pruned = 0
            return
        owner, theta = learner.ops.numpy(self.owner).copy(), learner.ops.numpy(learner.theta).copy()
        for name, segment in learner.layout.items():
            mine, values = owner[segment.start : segment.stop], theta[segment.start : segment.stop]
            free = np.flatnonzero(mine == 0)
            if name.startswith("head."):
                rows = np.isin(free // (segment.size // segment.shape[0]), learner.heads[task.id])
                free = free[rows]
            elif len(segment.shape) > 1:
                order = np.argsort(np.abs(values[free]), kind="stable")
                cut = free[order[: round(self.prune * len(free))]]
                values[cut] = 0.0
                free = np.setdiff1d(free, cut)
            mine[free] = learner.position.task + 1
        self.owner = learner.ops.tensor(owner)
        learner.assign(learner.ops.tensor(theta))
        self.pruned = 1

    def predict(self, learner: Learner, batch: Batch) -> Any:
        task = int(batch.task[0])
        number = list(learner.heads).index(task) + 1
        ops, owner = learner.ops, self.owner
        used = (owner > 0) & (owner <= number)
        if learner.position.learning and number == learner.position.task + 1:
            used = used | (owner == 0)
        return learner.own_head(batch, at=ops.where(used, learner.theta, 0.0))
