"""iCaRL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...batch import Outputs
from ...errors import LifelongError
from ...method import Part
from ...samples import Samples

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class ICaRL(Part):
    """Incremental classifier and representation learning (Rebuffi et al., algorithms 1-5).

    - data: the new samples and all exemplars;
    - loss per row: sum over classes of BCE(score, target), where the target of a new class is the
      label and that of an old class is sigmoid(old score / temperature), the old network's answer;
    - read-out: the class whose mean exemplar is nearest in the space of normalized features;
    - exemplars: capacity / classes of each class, herded: each brings the mean of those chosen so
      far nearest to the mean of the class.

    Args:
        capacity: exemplars in all, K: samples or bytes.
        temperature: of the old network's answers; 1 in the paper.
    """

    capacity: int | str = 2000
    temperature: float = 1.0

    name = "icarl"
    family = "prototype"
    paper = "Rebuffi et al., iCaRL: incremental classifier and representation learning (CVPR 2017)"
    scenarios = ("class",)
    needs = ("boundaries", "labels")
    revisits = True

    def start(self, learner: Learner) -> None:
        if learner.backend.outputs is not None:
            raise LifelongError("icarl needs the features below the scores: give it a recipe as model")
        self.exemplars = self.memory(self.capacity)
        self.teacher = self.snapshot()
        self.means = self.derived(
            lambda: self._class_means(learner), "exemplars", facts=lambda: learner.moment_of_training
        )

    def data(self, learner: Learner, samples: Samples) -> Samples:
        return Samples.concat([self.exemplars.samples, samples]) if len(self.exemplars) else samples

    def criterion(self, learner: Learner, batch: Batch, out: Outputs) -> Any:
        ops = learner.ops
        classes = out.scores.shape[1]
        targets = ops.one_hot(batch.y, classes)
        old = [c for c in learner.old if c not in learner.arriving]
        if old:
            answers = ops.sigmoid(learner.outputs(batch, at=self.teacher).scores / self.temperature)
            targets = ops.where(learner.indicator(old), answers, targets)
        losses = ops.bce(out.scores, targets)
        return ops.sum(losses * ops.cast(learner.indicator(learner.columns)), 1)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            share = self.exemplars.share(task.train, len(learner.seen))
            self.exemplars.fill(self._herd(learner, task.train, share))
            self.teacher = learner.snapshot()

    def _herd(self, learner: Learner, samples: Samples, count: int) -> Samples:
        """The first ``count`` exemplars of every old class, and as many chosen of every new one."""
        chosen = []
        for c in learner.seen:
            if c not in learner.arriving:
                stored = self.exemplars.samples
                chosen.append(stored.take(np.flatnonzero(stored.y == c)[:count]))
            else:
                own = samples.take(samples.y == c)
                chosen.append(own.take(herding(self._features(learner, own), count)))
        return Samples.concat(chosen)

    def _features(self, learner: Learner, samples: Samples) -> np.ndarray:
        features = learner.features(samples)
        return learner.ops.numpy(features / (learner.ops.norm(features) + 1e-12))

    def _class_means(self, learner: Learner) -> Any:
        """Normalized means ``[classes, features]`` of exemplars and of what the task has shown.

        Of a class that nothing is known of yet, far away from every normalized feature.
        """
        known = [s for s in (self.exemplars.samples, learner.met) if s]
        if not known:
            raise LifelongError("icarl has no stored sample left to answer from: let it learn more")
        samples = Samples.concat(known)
        features = self._features(learner, samples)
        means = np.full((learner.width, features.shape[1]), 1e3, features.dtype)
        for c in np.unique(samples.y):
            mean = features[samples.y == c].mean(0)
            means[c] = mean / (np.linalg.norm(mean) + 1e-12)
        return learner.ops.tensor(means)

    def predict(self, learner: Learner, batch: Batch) -> Any:
        features = learner.outputs(batch).features
        return -learner.ops.distances(features / (learner.ops.norm(features) + 1e-12), self.means)


def herding(features: np.ndarray, count: int) -> np.ndarray:
    """Rows of ``features`` chosen so that every prefix's mean is near the mean (Welling, 2009)."""
    mean, total = features.mean(0), np.zeros_like(features[0])
    free = np.ones(len(features), bool)
    chosen = []
    for k in range(1, min(count, len(features)) + 1):
        gap = ((mean - (total + features) / k) ** 2).sum(1)
        best = int(np.argmin(np.where(free, gap, np.inf)))
        free[best] = False
        total += features[best]
        chosen.append(best)
    return np.array(chosen, int)
