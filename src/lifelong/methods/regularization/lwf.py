"""Learning without forgetting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import one_of
from ...method import Part

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class LwF(Part):
    """On the new task's inputs, go on giving the answers that the old network gives.

    loss += strength sum over old heads of -T^2 sum_c p_c log q_c   (Li & Hoiem, eqs. 2, 3),
    p and q being softmax(scores / T) of the old and the new network over the head's classes. Under
    ``domain`` and ``class`` there is one head: p is over the classes known before, q over all that
    the output space admits. Of multi-label targets and of numbers, the objective's own ``distil``.

    Args:
        strength: lambda_o.
        temperature: T.
        weights: ``one``, as above; ``tasks``: in task c, the mean over old heads times c - 1, which
            weighs new task and old as 1/c and 1 - 1/c (van de Ven et al., 2022).
    """

    strength: float = 1.0
    temperature: float = 2.0
    weights: str = "one"

    name = "lwf"
    family = "regularization"
    paper = "Li & Hoiem, Learning without forgetting (ECCV 2016)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    revisits = True  # the old heads learn on
    fails: ClassVar = {"class": "21.89 % on Split MNIST (van de Ven et al., 2022)"}

    def __post_init__(self) -> None:
        one_of("weights", self.weights, ("one", "tasks"))

    def start(self, learner: Learner) -> None:
        self.teacher = self.snapshot()

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        if not learner.position.task:
            return 0.0
        old, distil = learner.outputs(batch, at=self.teacher).scores, learner.objective.distil
        heads = [(learner.old, learner.columns)]
        if learner.output == "task":
            heads = [(head, head) for head in list(learner.heads.values())[:-1]]
        total = 0.0
        for known, admitted in heads:
            total = total + distil(learner, out.scores, old, known, admitted, self.temperature)
        share = learner.position.task / len(heads) if self.weights == "tasks" else 1.0
        return self.strength * share * total

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            self.teacher = learner.snapshot()
