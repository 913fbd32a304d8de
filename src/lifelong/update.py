"""Updating a saved model: the new data is its next task, the old guard sets judge the update."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import metrics
from .data import Dataset
from .errors import LifelongError
from .evaluation import Evaluation, evaluate
from .files import lock
from .learner import Learner
from .result import Result
from .runner import Book, cost, guard, using_threads, versions
from .samples import Samples
from .store import load_all, save
from .stream import Task


@dataclass(frozen=True)
class Update:
    """What an update did: scores before and after on every task, the new one last."""

    names: list[str]
    before: list[float | None]
    after: list[float | None]
    result: Result
    model: Path


def find(path: str | Path) -> Path:
    """The model file: the path itself, or the newest version in a folder."""
    path = Path(path)
    if path.is_dir():
        versions = sorted(path.glob("model*.safetensors"), key=_version)
        if not versions:
            raise LifelongError(f"no model in {path}: make one with lifelong run DATA --out {path}")
        return versions[-1]
    if not path.exists():
        raise LifelongError(f"no model {path}: give a model file or the folder of a run")
    return path


def _version(path: Path) -> int:
    match = re.fullmatch(r"model-(\d+)", path.stem)
    return int(match[1]) if match else 1


def update(path: str | Path, data: Dataset, command: str = "ll.update(...)") -> Update:
    """Learn ``data`` as the model's next task and write a new model beside the old.

    ``model.safetensors`` becomes ``model-2.safetensors``, and so on; the old file stays. The new
    model is written last: an update that was killed has not happened.

    Raises:
        LifelongError: where the model cannot be read, the data does not fit it or is what it learned
            last, or another process is updating it.
    """
    with lock(find(path).parent):
        old = find(path)
        new = old.with_name(f"model-{_version(old) + 1}.safetensors")
        if new.exists():
            raise LifelongError(f"{new} is there already: update that one, or move it away")
        learner, extra, guards = load_all(old)
        if "result" not in extra:
            raise LifelongError(f"{old} was not written by a run: its scores so far are not known")
        record, fingerprint = extra["result"], data.train.fingerprint()
        if fingerprint == extra.get("learned"):
            raise LifelongError(f"{old} has just learned this data: update it with new data")
        with using_threads(learner, record["hyperparameters"]["threads"]):
            done = _learn(learner, record, guards, data, new, command)
        done.result.save(new.parent / "runs" / f"update-{_version(new)}" / "run.json")
        extra |= {"result": done.result.data, "learned": fingerprint}
        save(learner, new, extra, guards)
    return done


def _learn(
    learner: Learner,
    record: dict[str, Any],
    guards: list[Samples],
    data: Dataset,
    new: Path,
    command: str,
) -> Update:
    """Learn the data; its test set joins the guards."""
    names, index = [*record["tasks"], data.name], learner.position.task
    train, test = data.train, data.test
    train = Samples(x=train.x, y=train.y, id=train.id + _next_id(learner))
    test = Samples(x=test.x, y=test.y, id=test.id)
    if learner.scenario in ("task", "class"):
        train, test = (s.replace(task=np.full(len(s), index)) for s in (train, test))
    place = (index, index + 1)
    task = Task(data.name, train, test, data.classes, str(learner.scenario), place, None, index)
    before = _scores(learner, [*guards, guard(learner, task)])
    book, started = Book(), time.monotonic()
    for position in learner.steps(task):
        if position.step:
            book.steps, book.samples = book.steps + 1, book.samples + learner.met_rows
    book.seconds = time.monotonic() - started
    guards.append(guard(learner, task))
    measured = _evaluate(learner, guards)
    after = _scores(learner, guards)
    result = _record(learner, record, names, before, after, measured, book, command)
    return Update(names, before, after, result, new)


def _next_id(learner: Learner) -> int:
    """Above every id that a memory holds: files number their rows from 0 again."""
    held = [m.samples.id.max() for m in learner.memories if m.samples]
    return int(max(held)) + 1 if held else 0


def _evaluate(learner: Learner, guards: list[Samples]) -> Evaluation | None:
    names, scenario = tuple(learner.classes), str(learner.scenario)
    tasks = []
    for i, samples in enumerate(guards):
        known = samples.take(samples.y >= 0)
        tasks.append(Task(str(i), known, known, names, scenario, (i, len(guards)), None, i))
    return evaluate(learner, tasks)


def _scores(learner: Learner, guards: list[Samples]) -> list[float | None]:
    """Accuracy on each guard set; a label that the learner does not know yet counts as wrong."""
    measured = _evaluate(learner, guards)
    if measured is None:
        return [None] * len(guards)
    known = [float((samples.y >= 0).mean()) for samples in guards]
    scores = measured.accuracy(learner.scenario == "task")
    return [None if s is None else s * share for s, share in zip(scores, known, strict=True)]


def _record(
    learner: Learner,
    record: dict[str, Any],
    names: list[str],
    before: list[float | None],
    after: list[float | None],
    measured: Evaluation | None,
    book: Book,
    command: str,
) -> Result:
    """The run's entry, one task longer: R gains a row, and a column whose past is not known."""
    rows = [[*row, None] for row in record["R"]]
    if rows:
        rows[-1] = before
    rows.append(after)
    summary = metrics.summarize(metrics.matrix(rows), None, [])
    counts = None
    if measured is not None:
        counts = measured.aware if learner.scenario == "task" else measured.agnostic
    recall: list[float | None] = []
    if counts is not None:
        recall, summary["balanced_accuracy"] = metrics.per_class(counts.sum(0))
    empty = [[None] * len(names) for _ in names]
    return Result(
        record
        | {
            "key": f"{record['key']}+{len(names)}",
            "data": " + ".join(dict.fromkeys([*record["data"].split(" + "), names[-1]])),
            "tasks": names,
            "classes": learner.classes,
            "R": rows,
            "R_task_aware": rows if learner.scenario == "task" else empty,
            "R_task_agnostic": empty if learner.scenario == "task" else rows,
            "baseline": None,
            "metrics": summary,
            "recall": dict(zip(learner.classes, recall, strict=False)),
            "confusion": None if counts is None else counts.sum(0).tolist(),
            "trace": [],
            "plasticity": [],
            "cost": cost(learner, book),
            "versions": versions(learner.backend.name),
            "command": command,
        }
    )
