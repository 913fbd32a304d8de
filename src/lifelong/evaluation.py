"""Evaluation: what the objective tallies on the device, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .batch import Outputs
from .metrics import recalls
from .samples import Samples

if TYPE_CHECKING:
    from .learner import Learner
    from .stream import Task


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found."""

    rows: dict[str, list[float | None]]
    """Of every task: the score, ``aware`` where only the task's own classes were allowed, ``agnostic``
    where all admitted ones were, and what the objective has ``beside``; None where not measured."""
    confusion: list[list[int]] | None
    """[true][given] counts over all tasks, as R judges, where the objective has them and there are at
    most 1,000 classes."""
    summary: dict[str, float | None]
    """What the objective measures over all tasks' samples together, as R judges."""
    recall: list[float | None]
    """Of every class, over all tasks, as R judges: the share given right, None without a sample; []
    where the objective has no classes to tell apart."""
    balanced_accuracy: float | None
    """The mean of the recalls that are known."""

    def accuracy(self, aware: bool) -> list[float | None]:
        """The score on every task; of a sample whose class is not known yet, the answer is wrong."""
        return self.rows["aware" if aware else "agnostic"]


def judged(learner: Learner) -> str:
    """Which scores R holds: those of a learner that is told the task where it answers within it."""
    return "aware" if learner.output == "task" else "agnostic"


def evaluate(learner: Learner, tests: Sequence[Task]) -> Evaluation | None:
    """Evaluate on every task's test set; None while the learner is not ready.

    A task whose head does not exist yet is not measured. What is needed is tallied on the device and
    read once. Nothing of the learner changes.
    """
    if not learner.ready:
        return None
    ops, objective = learner.ops, learner.objective
    told = learner.scenario == "task"
    blind = not (told and any("task ids" in part.needs for part in learner.method))
    kinds, judge = ("aware", "agnostic") if blind else ("aware",), judged(learner)
    targets: dict[int, np.ndarray] = {}
    tallies: dict[tuple[str, int], Any] = {}
    counted = objective.counted(learner) if judge in kinds else 0
    counts = ops.full((counted,), 0, "float64")
    for j, task in enumerate(tests):
        if learner.output == "task" and task.id not in learner.heads:
            continue
        samples = learner.encode(task.test, task.classes)
        known = samples.take(objective.known(samples.y))
        own = learner.columns_of(task.classes)[task.labels]
        masks = {
            "aware": learner.indicator(learner.answers(np.flatnonzero(np.isin(learner.first, own)))),
            "agnostic": learner.indicator(answerable(learner)),
        }
        labels = ops.tensor(known.y)
        start, targets[j] = 0, samples.y
        tallies |= {(kind, j): objective.nothing(learner) for kind in kinds}
        for batch in learner.batches((known if told else without_task(known)).drop("y")):
            scores, y = learner.scores(batch), labels[start : start + len(batch)]
            start += len(batch)
            for kind in kinds:
                so_far = tallies[kind, j]
                tallies[kind, j] = objective.tally(learner, so_far, scores, y, masks[kind])
            if counted:
                counts = counts + objective.count(learner, scores, y, masks[judge])
    found = _read(learner, tallies)
    none = dict.fromkeys(("score", *objective.beside))
    measures = {kind: [none] * len(tests) for kind in ("aware", "agnostic")}
    for kind, j in found:
        measures[kind][j] = objective.measure(learner, found[kind, j], targets[j])
    rows = {kind: [m["score"] for m in of] for kind, of in measures.items()}
    rows |= {name: [m[name] for m in measures[judge]] for name in objective.beside}
    summary = objective.summary(learner, [tally for (k, _), tally in found.items() if k == judge])
    if not counted:
        return Evaluation(rows, None, summary, [], None)
    held = ops.numpy(counts)
    confusion = objective.confusion(learner, held)
    recall, balanced = recalls(*objective.per_class(learner, held))
    table = None if confusion is None else confusion.tolist()
    return Evaluation(rows, table, summary, recall, balanced)


def _read(learner: Learner, tallies: dict[tuple[str, int], Any]) -> dict[tuple[str, int], np.ndarray]:
    """All tallies as arrays, in one transfer."""
    if not tallies:
        return {}
    ends = np.cumsum([int(tally.shape[0]) for tally in tallies.values()])
    whole = learner.ops.numpy(learner.ops.concat(list(tallies.values())))
    return dict(zip(tallies, np.split(whole, ends[:-1]), strict=True))


def answerable(learner: Learner) -> list[int]:
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
