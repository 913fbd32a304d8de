"""Context-dependent gating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import LifelongError
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner
    from ...stream import Task


@dataclass(eq=False)
class XdG(Part):
    """Let each task use its own random part of the units; the others are silent.

    Every layer's outputs are multiplied by a gate vector of the task, 0 for a share of the units drawn
    when it begins and 1 for the rest (Masse et al., fig. 2). Often joined with a penalty: ``xdg+si``.

    Args:
        silent: the share of every layer's units that a task leaves out.
    """

    silent: float = 0.8

    name = "xdg"
    family = "isolation"
    paper = "Masse, Grant & Freedman, Alleviating catastrophic forgetting using gating (PNAS 2018)"
    scenarios = ("task",)
    needs = ("boundaries", "task ids")
    slots = ("model",)

    def __post_init__(self) -> None:
        if not 0 <= self.silent < 1:
            raise LifelongError(f"silent={self.silent}: give a share of the units in [0, 1)")

    def start(self, learner: Learner) -> None:
        self.gates = self.array(("task", sum(learner.gated.values())), fill=1.0)

    def begin(self, learner: Learner, task: Task) -> None:
        gates, start = learner.ops.numpy(self.gates).copy(), 0
        for units in learner.gated.values():
            gates[-1, start + learner.rng.permutation(units)[: round(self.silent * units)]] = 0
            start += units
        self.gates = learner.ops.tensor(gates)

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        if "task" not in batch:
            return {}
        return {"gates": learner.ops.take(self.gates, learner.task_index(batch))}
