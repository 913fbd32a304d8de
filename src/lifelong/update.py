"""Updating a saved model: new data is its next task, and the guard sets judge whether it goes live."""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .data import Dataset
from .errors import LifelongError, NotPromoted
from .evaluation import Evaluation, evaluate
from .files import read_manifest
from .ids import Ids
from .learner import Learner
from .result import Result
from .runner import Book, accuracies, guard, judged, measured, using_threads
from .samples import Samples
from .store import Kept, load, save
from .stream import Task
from .versions import Folder, Version, number_of, opened, result_in

Scores = list[float | None]
LOUD = 5.0
"""Points that a guard set may fall before an update without a bound of its own says so."""


@dataclass(frozen=True)
class Outcome:
    """What learning a data set did: scores before and after on every task, the new one last."""

    names: list[str]
    before: Scores
    after: Scores
    result: dict[str, Any]
    new: list[str]
    """Classes that were not known before."""

    @staticmethod
    def of(record: dict[str, Any], changed: dict[str, Any], before: Scores, after: Scores) -> Outcome:
        """What turned the result ``record`` into ``changed``."""
        new = [name for name in changed["classes"] if name not in record["classes"]]
        return Outcome(changed["tasks"], before, after, changed, new)


@dataclass(frozen=True)
class Update:
    """What an update did, and whether the model that it made is in use."""

    names: list[str]
    before: Scores
    after: Scores
    result: Result
    model: Path
    new: list[str]
    """Classes that were not known before."""
    warnings: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Why the new model is not in use; []: it is."""
    repeated: bool = False
    """Whether an earlier call had learned this already: nothing was learned again."""


class Model(Protocol):
    """A saved model of either kind, as a change of it needs it."""

    ids: Ids

    @property
    def version(self) -> dict[str, Any] | None:
        """What its file says of which version it is."""

    @property
    def classes(self) -> list[str]:
        """The names of the classes that it knows."""

    @property
    def result(self) -> dict[str, Any]:
        """The result of its runs so far; {} where no run wrote it."""

    def learn(self, data: Dataset, command: str) -> Outcome:
        """Learn the data as the next task; its test set joins the guards."""

    def forget(self, ids: np.ndarray) -> tuple[int, int]:
        """Forget the rows with these ids; how many were stored, how many in the guard sets."""

    def relabel(self, verb: str, names: Sequence[str]) -> None:
        """``rename`` a class, ``merge`` one into another, ``retire`` or ``readmit`` it."""

    def save(self, path: Path, version: dict[str, Any] | None) -> None:
        """Write it, as the version that ``version`` tells."""


def read_model(path: Path) -> Model:
    """The model in a file, a network or a linear learner."""
    if "linear" in read_manifest(path):
        from .linear.runner import LinearModel

        return LinearModel(path)
    return NetworkModel(path)


# ---- the update
def update(
    path: str | Path,
    data: Dataset,
    command: str = "ll.update(...)",
    *,
    max_drop: float | None = None,
    refuse_new_classes: bool = False,
    stage: bool = False,
) -> Update:
    """Learn ``data`` as the model's next task and write a new version beside the old.

    ``model.safetensors`` is followed by ``model-2.safetensors``, and so on; the old files stay. The new
    version is written first, then put into use, then the results are those of the versions in use: an
    update that is interrupted before has not happened, and the same call goes on from what it left. What
    was learned already is not learned again.

    Args:
        path: a folder, or the model in use in one.
        max_drop: points by which the score on no guard set may fall; otherwise the new version is
            written and not put into use. None: a fall of more than 5 is a warning.
        refuse_new_classes: learn nothing where the data holds a class that the model does not know.
        stage: write the new version and do not put it into use.

    Raises:
        NotPromoted: where there are new classes, and they are to be refused.
        LifelongError: where the model cannot be read, the data does not fit it, or another process
            changes it.
    """
    if max_drop is not None and not max_drop >= 0:
        raise LifelongError(f"max_drop={max_drop}: give points from 0")
    path = Path(path)
    with opened(path if path.is_dir() else path.parent) as folder:
        base = in_use(folder, path)
        marks = f"{data.train.fingerprint()}-{data.test.fingerprint()}", data.train.fingerprint()
        made = _made_before(folder, base, marks)
        repeated = made is not None
        if made is None:
            model = read_model(base.path)
            if not model.result:
                raise LifelongError(
                    f"{base.path} was not written by a run: its scores so far are not known"
                )
            warnings = _new_labels(data, model.classes)
            coming = [name for name in data.classes if name not in model.classes]
            if refuse_new_classes and model.result["scenario"] != "task" and coming:
                raise NotPromoted(f"not promoted: {data.name} has new classes ({', '.join(coming)})")
            outcome = model.learn(data, command)
            made_by: dict[str, Any] = {
                "kind": "update",
                "parent": base.number or None,
                "from": base.path.name,
                "data": data.name,
                "learned": marks[0],
                "command": command,
                "before": outcome.before,
                "after": outcome.after,
                "new": outcome.new,
                "warnings": warnings,
            }
            made_by["held"] = _held(outcome.names, outcome.before, outcome.after, max_drop, stage)
            made = folder.add(model, made_by, outcome.result)
        about, names = made.about, made.result["tasks"]
        before, after = about["before"], about["after"]
        held = _held(names, before, after, max_drop, stage)
        live = folder.is_live(made)
        if not held and not live:
            folder.promote(made.number, "update")
        folder.settle()
    warnings = about["warnings"] + ([] if max_drop is not None else _fallen(names, before, after, LOUD))
    return Update(
        names, before, after, Result(made.result), made.path, about["new"], warnings,
        [] if live else held, repeated,
    )  # fmt: skip


def in_use(folder: Folder, path: Path) -> Version:
    """The version in use, where ``path`` means it; or a model file that belongs to no folder yet."""
    if path.is_dir():
        return folder.current
    if not path.is_file():
        raise LifelongError(f"no model {path}: give a model file or the folder of a run")
    if (number := number_of(path)) in folder.versions:
        if (current := folder.current).number != number:
            raise LifelongError(
                f"{path} is version {number}, and version {current.number} is in use: give the folder "
                f"{folder.path}, or go back first, lifelong rollback {folder.path} {number}"
            )
        return current
    if any(v.about.get("from") != path.name and v.result for v in folder.versions.values()):
        raise LifelongError(f"{path} lies among versions of another model: move it to its own folder")
    return Version(0, path, "file", None, {}, result_in(read_manifest(path)))


def _made_before(folder: Folder, base: Version, marks: tuple[str, str]) -> Version | None:
    """The version that was made of this data: the one in use, or one that goes on from it."""
    if base.number and base.learned in marks:
        return base
    from_here = [
        v
        for v in folder.versions.values()
        if v.kind == "update"
        and v.learned == marks[0]
        and (v.parent == base.number if base.number else v.about.get("from") == base.path.name)
    ]
    return from_here[-1] if from_here else None


def _held(
    names: list[str], before: Scores, after: Scores, max_drop: float | None, stage: bool
) -> list[str]:
    """Why a version is not to be put into use."""
    reasons = [] if max_drop is None else _fallen(names, before, after, max_drop)
    return reasons + ["it is staged"] * stage


def _fallen(names: list[str], before: Scores, after: Scores, points: float) -> list[str]:
    """The guard sets whose score fell by more than so many points, in words."""
    found = []
    for name, b, a in zip(names, before, after, strict=True):
        if b is not None and 100 * (b - (a or 0.0)) > points + 1e-9:
            found.append(f"{name} fell by {100 * (b - (a or 0.0)):.1f} points, more than {points:g}")
    return found


# ---- labels that look alike
BOOLEANS = {"true", "false", "yes", "no", "t", "f", "y", "n", "0", "1"}


def _new_labels(data: Dataset, known: list[str]) -> list[str]:
    """What is strange about the labels of the data, given those that the model knows."""
    new = [name for name in data.classes if name not in known]
    if data.train.y.ndim > 1 or not new:
        return []
    old = {_plain(name): name for name in reversed(known)}
    alike = [f"{name!r} looks like {old[_plain(name)]!r}" for name in new if _plain(name) in old]
    found = [f"new classes that look like old ones: {', '.join(alike)}"] if alike else []
    strange = _kind(data.classes) != _kind(known) and set(data.classes) == set(new)
    if strange and not alike:
        found.append(
            f"the labels are {_kind(data.classes)} ({', '.join(new[:3])}), where the model knows "
            f"{_kind(known)} ({', '.join(known[:3])}): is it the right column?"
        )
    return found


def _plain(name: str) -> str:
    """A label without what is easily written otherwise: case, width, space, signs between words, 1.0."""
    text = unicodedata.normalize("NFKC", name).casefold()
    try:
        return str(float(text))
    except ValueError:
        return "".join(c for c in text if c.isalnum()) or text


def _kind(names: Iterable[str]) -> str:
    """What labels are."""
    plain = {name.casefold() for name in names}
    if plain <= BOOLEANS and not plain <= {"0", "1"}:
        return "true or false"
    try:
        [float(name) for name in plain]
    except ValueError:
        return "words"
    return "numbers"


# ---- networks
class NetworkModel:
    """A saved network."""

    def __init__(self, path: Path) -> None:
        self.learner = load(path)
        assert self.learner.kept is not None
        self.kept: Kept = self.learner.kept
        self.ids, self.version = self.kept.ids, self.kept.version

    @property
    def classes(self) -> list[str]:
        return list(dict.fromkeys(self.learner.classes))

    @property
    def result(self) -> dict[str, Any]:
        return self.kept.extra.get("result") or {}

    def learn(self, data: Dataset, command: str) -> Outcome:
        with using_threads(self.learner, self.result["hyperparameters"]["threads"]):
            return self._learn(data, command)

    def _learn(self, data: Dataset, command: str) -> Outcome:
        learner, record, guards = self.learner, self.result, self.kept.guards
        for samples in (data.train, data.test):
            learner.objective.check(samples)
            learner._check_inputs(samples.x)
        task = self._next_task(data)
        _, before = scores(learner, [*guards, guard(learner, task)])
        book, started = Book(), time.monotonic()
        for position in learner.steps(task):
            if position.step:
                book.steps, book.samples = book.steps + 1, book.samples + learner.met_rows
        book.seconds = time.monotonic() - started
        guards.append(guard(learner, task))
        found, after = scores(learner, guards)
        book.rows = longer(record, before, after)
        if found is not None:
            book.note(found)
        changed = record | continued(record, data) | measured(learner, book, None) | {"command": command}
        changed.pop("progressive", None)  # of the stream that was run at first
        self.kept.extra["result"] = changed
        kind = judged(learner)
        return Outcome.of(record, changed, before[kind], after[kind])

    def _next_task(self, data: Dataset) -> Task:
        """The data as the task that follows those learned; under ``task`` its classes are its own."""
        learner, classes = self.learner, data.classes
        index, scenario = learner.position.task, str(learner.scenario)
        if scenario == "task" and set(classes) & set(learner.classes):
            classes = tuple(f"{data.name}: {name}" for name in classes)
        train, test = (Samples(x=s.x, y=s.y, id=s.id) for s in numbered(data, self.ids))
        train = train.replace(**({"weight": data.train.weight} if "weight" in data.train else {}))
        if scenario in ("task", "class"):
            train, test = (s.replace(task=np.full(len(s), index)) for s in (train, test))
        return Task(data.name, train, test, classes, scenario, (index, index + 1), None, index)

    def forget(self, ids: np.ndarray) -> tuple[int, int]:
        judged = self.kept.forget(ids)
        return self.learner.forget(ids.tolist()), judged

    def relabel(self, verb: str, names: Sequence[str]) -> None:
        getattr(self.learner, verb)(*names)
        if self.result:
            self.kept.extra["result"] = relabelled(self.result, verb, names, self.learner.classes)

    def save(self, path: Path, version: dict[str, Any] | None) -> None:
        self.kept.version = version
        save(self.learner, path, self.kept)


def numbered(data: Dataset, ids: Ids) -> tuple[Samples, Samples]:
    """The data's training and test set, their ids the model's: met from now on."""
    both = ids.take(data.name, np.concatenate([data.train.id, data.test.id]), data.own_ids)
    return data.train.replace(id=both[: len(data.train)]), data.test.replace(id=both[len(data.train) :])


def continued(record: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """What names a run, one task later."""
    names = [*record["tasks"], data.name]
    files = [record.get("fingerprint", ""), data.train.fingerprint(), data.test.fingerprint()]
    return {
        "fingerprint": hashlib.blake2b("+".join(files).encode(), digest_size=8).hexdigest(),
        "key": f"{record['key']}+{len(names)}",
        "data": " + ".join(dict.fromkeys([*record["data"].split(" + "), data.name])),
        "tasks": names,
    }


def relabelled(
    record: dict[str, Any], verb: str, names: Sequence[str], classes: list[str]
) -> dict[str, Any]:
    """The result after labels changed: what was measured of single classes goes, unless renamed."""
    if verb == "rename":
        recall = {names[1] if k == names[0] else k: v for k, v in (record.get("recall") or {}).items()}
        return record | {"classes": classes, "recall": recall}
    return record | {"classes": classes, "recall": {}, "confusion": None}


def scores(learner: Learner, guards: list[Samples]) -> tuple[Evaluation | None, dict[str, Scores]]:
    """Accuracies on the guard sets; a label that the learner does not know yet counts as wrong.

    A guard set whose rows were all forgotten is not measured.
    """
    names, scenario, tasks = tuple(learner.classes), str(learner.scenario), []
    for i, samples in enumerate(guards):
        known = samples.take(learner.objective.known(samples.y))
        tasks.append(Task(str(i), known, known, names, scenario, (i, len(guards)), None, i))
    shares = [float(learner.objective.known(s.y).mean()) if len(s) else None for s in guards]
    with np.errstate(invalid="ignore"):  # of a guard whose classes are all unknown: 0 of 0
        found = evaluate(learner, tasks)
        rows = accuracies(found, len(guards), learner.objective.beside)
    return found, {
        kind: [
            None if s is None or w is None else s * w if w else 0.0
            for s, w in zip(row, shares, strict=True)
        ]
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
