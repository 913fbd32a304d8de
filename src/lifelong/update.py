"""Updating a saved model: the new data is its next task, the old guard sets judge the update."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data import Dataset
from .errors import LifelongError
from .evaluation import Evaluation, evaluate
from .files import lock
from .learner import Learner
from .result import Result
from .runner import Book, accuracies, guard, judged, measured, using_threads
from .samples import Samples
from .store import load_all, save
from .stream import Task

Scores = list[float | None]


@dataclass(frozen=True)
class Update:
    """What an update did: scores before and after on every task, the new one last."""

    names: list[str]
    before: Scores
    after: Scores
    result: Result
    model: Path
    new: list[str]
    """Classes that were not known before."""

    @staticmethod
    def of(
        record: dict[str, Any], changed: dict[str, Any], before: Scores, after: Scores, model: Path
    ) -> Update:
        """The update that turned the result ``record`` into ``changed``."""
        new = [name for name in changed["classes"] if name not in record["classes"]]
        return Update(changed["tasks"], before, after, Result(changed), model, new)

    def save(self) -> None:
        """Write the result beside the models, where a report finds it."""
        self.result.save(self.model.parent / "runs" / f"update-{version_of(self.model)}" / "run.json")


def find(path: str | Path) -> Path:
    """The model file: the path itself, or the newest version in a folder."""
    path = Path(path)
    if path.is_dir():
        versions = sorted(path.glob("model*.safetensors"), key=version_of)
        if not versions:
            raise LifelongError(f"no model in {path}: make one with lifelong run DATA --out {path}")
        return versions[-1]
    if not path.exists():
        raise LifelongError(f"no model {path}: give a model file or the folder of a run")
    return path


def version_of(path: Path) -> int:
    """2 of ``model-2.safetensors``, 1 of ``model.safetensors``."""
    match = re.fullmatch(r"model-(\d+)", path.stem)
    return int(match[1]) if match else 1


@contextmanager
def next_version(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """(the newest model file, the one to write), while no other process may update it.

    Raises :class:`LifelongError` where one does, or the next is there already.
    """
    with lock(find(path).parent):
        old = find(path)
        new = old.with_name(f"model-{version_of(old) + 1}.safetensors")
        if new.exists():
            raise LifelongError(f"{new} is there already: update that one, or move it away")
        yield old, new


def refuse_again(old: Path, data: Dataset, learned: str | None) -> str:
    """The fingerprint of the data. Raises :class:`LifelongError` where it is what was learned last."""
    if (fingerprint := data.train.fingerprint()) == learned:
        raise LifelongError(f"{old} has just learned this data: update it with new data")
    return fingerprint


def continued(record: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """What names a run, one task later."""
    names = [*record["tasks"], data.name]
    return {
        "key": f"{record['key']}+{len(names)}",
        "data": " + ".join(dict.fromkeys([*record["data"].split(" + "), data.name])),
        "tasks": names,
    }


def update(path: str | Path, data: Dataset, command: str = "ll.update(...)") -> Update:
    """Learn ``data`` as the model's next task and write a new model beside the old.

    ``model.safetensors`` becomes ``model-2.safetensors``, and so on; the old file stays. The new
    model is written last: an update that was killed has not happened.

    Raises:
        LifelongError: where the model cannot be read, the data does not fit it or is what it learned
            last, or another process is updating it.
    """
    with next_version(path) as (old, new):
        learner, extra, guards = load_all(old)
        if "result" not in extra:
            raise LifelongError(f"{old} was not written by a run: its scores so far are not known")
        record, fingerprint = extra["result"], refuse_again(old, data, extra.get("learned"))
        with using_threads(learner, record["hyperparameters"]["threads"]):
            done = _learn(learner, record, guards, data, new, command)
        done.save()
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
    task = _next_task(learner, data)
    _, before = _scores(learner, [*guards, guard(learner, task)])
    book, started = Book(), time.monotonic()
    for position in learner.steps(task):
        if position.step:
            book.steps, book.samples = book.steps + 1, book.samples + learner.met_rows
    book.seconds = time.monotonic() - started
    guards.append(guard(learner, task))
    found, after = _scores(learner, guards)
    book.rows = longer(record, before, after)
    if found is not None:
        book.confusion, book.summary = found.confusion, found.summary
    result = record | continued(record, data) | measured(learner, book, None) | {"command": command}
    kind = judged(learner)
    return Update.of(record, result, before[kind], after[kind], new)


def _next_task(learner: Learner, data: Dataset) -> Task:
    """The data as the task that follows those learned; under ``task`` its classes are its own."""
    index, scenario, classes = learner.position.task, str(learner.scenario), data.classes
    if scenario == "task" and set(classes) & set(learner.classes):
        classes = tuple(f"{data.name}: {name}" for name in classes)
    train, test = (Samples(x=s.x, y=s.y, id=s.id) for s in (data.train, data.test))
    weight = {"weight": data.train.weight} if "weight" in data.train else {}
    train = train.replace(id=train.id + _next_id(learner), **weight)
    if scenario in ("task", "class"):
        train, test = (s.replace(task=np.full(len(s), index)) for s in (train, test))
    return Task(data.name, train, test, classes, scenario, (index, index + 1), None, index)


def _next_id(learner: Learner) -> int:
    """Above every id that a memory holds: files number their rows from 0 again."""
    held = [m.samples.id.max() for m in learner.memories if m.samples]
    return int(max(held)) + 1 if held else 0


def _scores(learner: Learner, guards: list[Samples]) -> tuple[Evaluation | None, dict[str, Scores]]:
    """Accuracies on the guard sets; a label that the learner does not know yet counts as wrong."""
    names, scenario, tasks = tuple(learner.classes), str(learner.scenario), []
    for i, samples in enumerate(guards):
        known = samples.take(learner.objective.known(samples.y))
        tasks.append(Task(str(i), known, known, names, scenario, (i, len(guards)), None, i))
    shares = [float(learner.objective.known(samples.y).mean()) for samples in guards]
    with np.errstate(invalid="ignore"):  # of a guard whose classes are all unknown: 0 of 0
        found = evaluate(learner, tasks)
        rows = accuracies(found, len(guards), learner.objective.beside)
    return found, {
        kind: [None if s is None else s * w if w else 0.0 for s, w in zip(row, shares, strict=True)]
        for kind, row in rows.items()
    }


def longer(
    record: dict[str, Any], before: dict[str, Scores], after: dict[str, Scores]
) -> list[dict[str, Scores]]:
    """R, one task longer: it gains a row, and a column of which only the last row is known."""
    kinds = {"aware": record["R_task_aware"], "agnostic": record["R_task_agnostic"]}
    kinds |= record.get("beside", {})
    count = len(record["R"])
    rows = [{kind: [*R[i], None] for kind, R in kinds.items()} for i in range(count - 1)]
    return [*rows, *([before] if count else []), after]
