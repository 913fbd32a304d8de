"""Hard attention to the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import LifelongError
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task

LIMIT, STEEP = 6.0, 50.0
"""Bounds of an embedding, and of the argument of cosh, as in the authors' code."""


@dataclass(eq=False)
class HAT(Part):
    """Learn with each task which units it uses, and freeze the weights between those.

    Gates a_t = sigmoid(s e_t) multiply every layer's units (Serra et al., eq. 1); e_t is learned. In a
    pass over the task's samples s rises from 1/smax to smax (eq. 3), and the gradient of e_t is
    compensated for that:  q <- smax/s (cosh(s e) + 1) / (cosh(e) + 1) q  (eq. 4). The loss gains
    strength sum a_t (1 - u) / sum (1 - u), u being the units in use before (eq. 5). When a task has
    ended, its gates are e_t > 0, and a weight moves no more if an earlier task uses both of its
    units (eq. 2): what that task answers stays to the bit.

    Args:
        strength: c, of the price of new units.
        smax: the steepest gate.
    """

    strength: float = 0.75
    smax: float = 400.0

    name = "hat"
    family = "isolation"
    paper = "Serra et al., Overcoming forgetting with hard attention to the task (ICML 2018)"
    scenarios = ("task",)
    needs = ("boundaries", "task ids")
    slots = ("model", "parameters")
    order = "mask"

    def __post_init__(self) -> None:
        if not self.smax > 1:
            raise LifelongError(f"smax={self.smax}: give a number above 1")

    def start(self, learner: Learner) -> None:
        units = sum(learner.gated.values())
        self.e = self.weight(("task", units), sd=1.0)
        self.used = self.array((units,))
        self.moving = self.derived(lambda: self._moving(learner))

    def begin(self, learner: Learner, task: Task) -> None:
        self.moving = None

    def batch(self, learner: Learner, batch: Batch) -> None:
        slow = 1 / self.smax
        batch.extra["s"] = np.array(slow + (self.smax - slow) * learner.pass_done, np.float32)

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        if "task" not in batch:
            return {}
        e = learner.ops.take(self.e, learner.task_index(batch))
        gates = learner.ops.sigmoid(batch.s * e) if "s" in batch else learner.ops.cast(e > 0)
        return {"gates": gates}

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        free, a = 1 - self.used, learner.ops.sigmoid(batch.s * self.e[len(learner.heads) - 1])
        return self.strength * learner.ops.sum(a * free) / (learner.ops.sum(free) + 1e-9)

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        cosh, clip, s = learner.ops.cosh, learner.ops.clip, batch.s

        def compensate(e: Any, q: Any) -> Any:
            return q * self.smax / s * (cosh(clip(s * e, -STEEP, STEEP)) + 1) / (cosh(e) + 1)

        return self._edit(learner, g * self.moving, compensate)

    def step(self, learner: Learner, d: Any) -> Any:
        clip = learner.ops.clip
        return self._edit(learner, d * self.moving, lambda e, q: clip(e + q, -LIMIT, LIMIT) - e)

    def _edit(self, learner: Learner, vector: Any, edit: Any) -> Any:
        """The vector over theta, its part that belongs to the embeddings edited."""
        at = learner.layout["hat.e"]
        e, own = (v[at.start : at.stop] for v in (learner.theta, vector))
        return learner.ops.concat([vector[: at.start], edit(e, own), vector[at.stop :]])

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            mine = learner.ops.cast(self.e[len(learner.heads) - 1] > 0)
            self.used = learner.ops.maximum(self.used, mine)

    def predict(self, learner: Learner, batch: Batch) -> Any:
        return learner.own_head(batch)

    def _moving(self, learner: Learner) -> Any:
        """1 for what may move, else 0: a weight between two units in use, its bias, other heads."""
        moving, used = np.zeros(learner.backend.size, "float32"), learner.ops.numpy(self.used)
        layers, below, start = learner.gated, np.ones(1), 0
        for name, segment in learner.layout.items():
            own = moving[segment.start : segment.stop].reshape(segment.shape)
            if name.startswith("head."):
                own[list(learner.heads.values())[-1]] = 1
            elif name == "hat.e":
                own[-1] = 1
            elif name.endswith(".weight"):
                units = used[start : start + layers[name.removesuffix(".weight")]]
                inputs = np.repeat(below, segment.shape[1] // len(below))  # a channel's pixels
                own[...] = (1 - np.outer(units, inputs)).reshape(own.shape[:2] + (1,) * (own.ndim - 2))
                below, start = units, start + len(units)
            else:
                own[:] = 1 - below
        return learner.ops.tensor(moving)
