"""Evaluation: confusion matrices, counted on the device and read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .batch import Outputs
from .samples import Samples

if TYPE_CHECKING:
    from .learner import Learner
    from .stream import Task


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation counted.

    ``aware[j, a, b]`` counts the test samples of task j with class a that were given class b when
    only the task's own classes were allowed; ``agnostic`` when all admitted classes were. ``None``
    where that was not measured. ``totals[j]`` counts task j's test samples, those of classes that
    the learner does not know yet included; ``measured[j]`` says whether task j could be tried.
    """

    aware: np.ndarray | None
    agnostic: np.ndarray | None
    totals: np.ndarray
    measured: np.ndarray

    def accuracy(self, aware: bool) -> list[float | None]:
        """Of every task: correct / all; None where not measured."""
        counts = self.aware if aware else self.agnostic
        if counts is None:
            return [None] * len(self.totals)
        correct = np.trace(counts, axis1=1, axis2=2)
        return [
            float(c / n) if ok else None
            for c, n, ok in zip(correct, self.totals, self.measured, strict=True)
        ]


def evaluate(learner: Learner, tests: Sequence[Task]) -> Evaluation | None:
    """Evaluate on every task's test set; None while the learner is not ready.

    A task whose head does not exist yet is not measured. Nothing of the learner changes.
    """
    if not learner.ready:
        return None
    ops, width = learner.ops, learner.width
    told = learner.scenario == "task"
    blind = not (told and any("task ids" in part.needs for part in learner.method))
    kinds = ("aware", "agnostic") if blind else ("aware",)
    zero = ops.full((width, width), 0, "int64")
    first = ops.tensor(learner.first)
    counts = {kind: [zero] * len(tests) for kind in kinds}
    totals = np.array([len(task.test) for task in tests])
    measured = np.ones(len(tests), bool)
    for j, task in enumerate(tests):
        if learner.output == "task" and task.id not in learner.heads:
            measured[j] = False
            continue
        samples = learner.encode(task.test, task.classes)
        known = samples.take(samples.y >= 0)
        own = learner.encode(Samples(y=task.labels), task.classes).y
        masks = {
            "aware": learner.indicator(learner.answers(np.flatnonzero(np.isin(learner.first, own)))),
            "agnostic": learner.indicator(_admitted(learner)),
        }
        labels = ops.tensor(known.y)
        start = 0
        for batch in learner.batches((known if told else without_task(known)).drop("y")):
            scores, y = learner.scores(batch), labels[start : start + len(batch)]
            start += len(batch)
            for kind in kinds:
                given = ops.take(first, ops.argmax(ops.where(masks[kind], scores, -np.inf)))
                counts[kind][j] = counts[kind][j] + ops.count_pairs(y, given, width)
    read = {kind: ops.numpy(ops.stack(tensors)) for kind, tensors in counts.items()}
    return Evaluation(read.get("aware"), read.get("agnostic"), totals, measured)


def _admitted(learner: Learner) -> list[int]:
    """The classes among which a learner that is told no task decides."""
    everything = learner.answers(range(len(learner.classes)))
    return everything if learner.output == "all" else learner.seen


def without_task(samples: Samples) -> Samples:
    """The samples without the task column, which only training may see."""
    return samples.drop("task") if "task" in samples else samples


def plasticity(learner: Learner, samples: Samples) -> dict[str, float]:
    """How able the network still is to learn, on up to 1,000 samples; {} without features.

    ``dead_units``: share of the features that are 0 for every sample (Dohare et al., "Loss of
    plasticity in deep continual learning", 2024); ``effective_rank``: exp of the entropy of the
    features' normalized singular values (Roy & Vetterli, 2007); ``weight_norm``: ||parameters||.
    """
    out = learner.outputs(without_task(samples.take(slice(1000)))) if learner.ready else Outputs()
    if "features" not in vars(out):
        return {}
    features = learner.ops.numpy(out.features).astype(float)
    values = np.linalg.svd(features, compute_uv=False)
    p = values / max(values.sum(), 1e-300)
    p = p[p > 0]
    theta = learner.ops.numpy(learner.theta).astype(float)
    parameters = np.concatenate([theta[s.start : s.stop] for s in learner.layout.values()])
    return {
        "dead_units": float((features == 0).all(0).mean()),
        "effective_rank": float(np.exp(-(p * np.log(p)).sum())),
        "weight_norm": float(np.linalg.norm(parameters)),
    }
