"""Dark experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .replay import Replay

if TYPE_CHECKING:
    from ...batch import Batch, Step
    from ...learner import Learner
    from ...samples import Samples


@dataclass(eq=False)
class DER(Replay):
    """Keep samples with the scores that they were given, and go on giving them these scores.

    loss += alpha mean (z - z~)^2 over stored rows and the classes that were known when a row was
    stored (Buzzega et al., eq. 6), z being the scores now and z~ those when it was met; in a later
    pass over the task it is given those of then. About classes that came afterwards the stored scores
    say nothing, so used alone under ``class`` it wants all outputs from the start: ``output="all"``.

    Args:
        capacity, admission, rows, admit: of the memory; see :class:`Replay`.
        alpha: the weight of the stored scores.
    """

    alpha: float = 0.5

    name = "der"
    paper = "Buzzega et al., Dark experience for general continual learning (NeurIPS 2020)"
    wide = ("logits",)

    def batch(self, learner: Learner, batch: Batch) -> None:
        rows = self.draw(learner, batch)
        if rows is not None:
            batch.add(rows, by=self, weight=0)
            batch.extra[f"{self.name}.logits"] = rows.logits

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        stored = batch.tensors.get(f"{self.name}.logits")
        if stored is None:
            return 0.0
        first = batch.rows(self).start
        z, known = out.scores[first : first + stored.shape[0]], stored == stored  # NaN: not known then
        apart = (z - learner.ops.where(known, stored, z)) ** 2
        return self.alpha * learner.ops.sum(apart) / learner.ops.sum(learner.ops.cast(known))

    def observe(self, learner: Learner, step: Step) -> None:
        if step.batch.fresh is None:
            self.stored.renew(self.kept(learner, step.batch.samples, step))
        super().observe(learner, step)

    def kept(self, learner: Learner, samples: Samples, step: Step | None = None) -> Samples:
        if step is None:
            return samples.replace(logits=learner.ops.numpy(learner.outputs(samples).scores))
        scores = learner.ops.numpy(step.out.scores)[: len(step.batch.samples)]
        return samples.replace(logits=scores[np.isin(step.batch.samples.id, samples.id)])
