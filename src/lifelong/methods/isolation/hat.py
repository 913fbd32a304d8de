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

LIMIT = 6.0
"""The bound of an embedding, as in the authors' code."""


@dataclass(eq=False)
class HAT(Part):
    """Learn with each task which units it uses, and freeze the weights between those.

    Gates a_t = sigmoid(s e_t) multiply every layer's units (Serra et al., eq. 1); e_t is learned. In a
    pass over the task's samples s rises from 1/smax to smax (eq. 3), for which the gradient of e_t is
    compensated (eq. 4):  q <- smax/s (cosh(s e) + 1) / (cosh(e) + 1) q.  As sigmoid'(x) is
    1 / (2 cosh(x) + 2), that gives a gate the slope smax sigmoid'(e), whatever s; here it has that slope
    from the start, which keeps all digits. The loss gains strength sum a_t (1 - u) / sum (1 - u), u
    being the units in use before (eq. 5). When a task has ended, its gates are e_t > 0, and a weight
    moves no more if an earlier task uses both of its units (eq. 2): what that task answers stays to
    the bit.

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
        heads = lambda: [*learner.heads.items()]  # noqa: E731
        self.moving = self.derived(lambda: self._moving(learner), "used", facts=heads)

    def batch(self, learner: Learner, batch: Batch) -> None:
        slow = 1 / self.smax
        batch.extra["s"] = np.array(slow + (self.smax - slow) * learner.pass_done, np.float32)

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        if "task" not in batch:
            return {}
        e = learner.ops.take(self.e, learner.task_index(batch))
        return {"gates": self._gates(learner, e, batch.s) if "s" in batch else learner.ops.cast(e > 0)}

    def _gates(self, learner: Learner, e: Any, s: Any) -> Any:
        """sigmoid(s e), with the slope smax sigmoid'(e)."""
        constant, sigmoid = learner.ops.constant, learner.ops.sigmoid
        slope = self.smax * sigmoid(e)
        return constant(sigmoid(s * e)) + (slope - constant(slope))

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        free, a = 1 - self.used, self._gates(learner, self.e[len(learner.heads) - 1], batch.s)
        return self.strength * learner.ops.sum(a * free) / (learner.ops.sum(free) + 1e-9)

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        return g * self.moving

    def step(self, learner: Learner, d: Any) -> Any:
        d, at = d * self.moving, learner.layout["hat.e"]
        e, own = (v[at.start : at.stop] for v in (learner.theta, d))
        held = learner.ops.clip(e + own, -LIMIT, LIMIT) - e
        return learner.ops.concat([d[: at.start], held, d[at.stop :]])

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
