"""Runs of linear learners, in the words of the command line: the results are those of all runs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from ..data import Encoder
from ..data.formats import checked_how
from ..errors import LifelongError, at_least, intact, require, unknown
from ..files import lock, read_arrays, read_manifest, write_arrays
from ..ids import Ids
from ..progress import Report, bar
from ..result import Result, checked
from ..runner import TimeUp, finish, followed, peak_memory, reset_peak_memory, versions
from ..samples import Dataset, Samples
from ..stream import Stream, Task
from ..track import Tracker
from ..track import make as make_tracker
from ..update import Outcome, continued, longer, numbered, relabelled
from .defaults import make, weighting
from .estimator import Incremental
from .packed import FORMAT, load_all, pack, unpack
from .progressive import NONE, judged
from .replay import Replay
from .text import HashingText, TextClassifier

BLOCK, GUARDS = 2048, 1000
"""Rows that are learned at once; rows of a task that are kept to judge updates on."""
WINDOW = 1000
"""The latest rows over which accuracy is told in the order of time; a fifth of all, if that is less."""
CHUNK = 32
"""Rows, behind as many one by one, that a learner that solves anew for every answer is asked at once."""
SEQUENCES = ("truth", "answers", "ids")
"""What a :class:`Book` keeps of every row of a stream in the order of time."""


@dataclass
class Book:
    """What a run has measured so far."""

    rows: list[dict[str, list[float | None]]] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    recall: list[float | None] = field(default_factory=list)
    """Of every class, at the last row; and their mean."""
    balanced: float | None = None
    hits: int = 0
    """Rows predicted rightly before they were learned."""
    met: int = 0
    seconds: float = 0.0
    labels: list[str] = field(default_factory=list)
    """Those met so far; of a stream in the order of time, ``truth`` and ``answers`` are their places."""
    truth: array[int] = field(default_factory=lambda: array("q"))
    answers: array[int] = field(default_factory=lambda: array("q"))
    ids: array[int] = field(default_factory=lambda: array("q"))
    """The rows' ids in their data, where some of it was held out."""

    @staticmethod
    def of(held: dict[str, Any]) -> Book:
        """What a checkpoint holds. Raises :class:`ValueError` or TypeError where it cannot be that."""
        book = Book(**held | {name: array("q", held[name].tolist()) for name in SEQUENCES})
        counts = [book.hits, book.met, *book.truth, *book.ids]
        require(all(type(n) is int and n >= 0 for n in counts), "a count is none")
        require(book.hits <= book.met and np.isfinite(book.seconds), "the counts do not fit each other")
        if book.confusion is not None and not book.recall:  # version 0.1.0 computed it later
            book.recall, book.balanced = metrics.per_class(np.array(book.confusion))
        require(all(n < len(book.labels) for n in [*book.truth, *book.answers]), "a label is none")
        require(len(book.truth) == len(book.answers) == len(book.ids), "the rows do not fit each other")
        return book

    def note(self, labels: np.ndarray, given: np.ndarray) -> None:
        """Keep what was asked and answered, in the order of time."""
        self.labels = list(dict.fromkeys([*self.labels, *labels.tolist()]))
        code = {label: i for i, label in enumerate(self.labels)}
        self.truth.extend(code[label] for label in labels.tolist())
        self.answers.extend(code.get(answer, NONE) for answer in given.tolist())

    def arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`note` keeps, and the ids."""
        return {name: np.array(getattr(self, name), np.int64) for name in SEQUENCES}


def run(
    learner: Incremental,
    stream: Stream,
    out: str | Path | None = None,
    *,
    method: str | None = None,
    epochs: int = 1,
    seed: int = 1,
    delay: int = 0,
    time_limit: float | None = None,
    command: str | None = None,
    report: Report | None = None,
    track: str | None = None,
) -> Result:
    """Learn the tasks of a stream one after another and measure R; as :func:`lifelong.run` does.

    The rows of a task are shuffled by ``seed``; those of a ``free`` stream come once, in their order,
    each a question before it is a lesson: the result holds what :func:`progressive_validation` finds.
    A killed run goes on behind the last task that it had learned, and ends in the same bits.

    Args:
        delay: under ``free``, a label comes at least so many rows after its own was predicted (and at
            most a fifth more); all have come by the end of a task.

    Raises:
        LifelongError: where the scenario tells the task at test time, or the folder's run is another.
    """
    at_least(0, delay=delay)
    if stream.scenario == "task":
        raise LifelongError("linear learners are not told the task: use --scenario class or domain")
    words = {
        "data": stream.name,
        "stream": stream.description,
        "scenario": stream.scenario,
        "fingerprint": stream.fingerprint,
    }
    if delay and stream.scenario != "free":
        raise LifelongError("labels come late in a stream in the order of time: use --scenario free")
    method = method or type(learner).__name__.lower()
    key = _key(pack(learner, "", {}), method, seed, words | {"epochs": epochs, "delay": delay})
    folder = None if out is None else Path(out) / "runs" / key
    with nullcontext() if folder is None else lock(folder):
        if folder is not None and (folder / "run.json").exists():
            return followed(finish(folder), track, out)
        reset_peak_memory()
        session = _Session(learner, list(stream), folder, epochs, seed, time_limit, delay)
        session.tracker = make_tracker(track, out, session.options | {"key": key})
        session.tracker.missed(session.rows)
        session.own_ids = stream.own_ids
        with bar() if report is None else nullcontext(report) as session.report:
            session.learn()
        about = words | {"key": key, "command": command or "lifelong.linear.run(...)"}
        return session.finish(about, method, stream.encoder, stream.how)


def run_flow(
    learner: Incremental,
    blocks: Iterable[tuple[np.ndarray, ...]],
    name: str,
    out: str | Path | None = None,
    *,
    about: dict[str, str] | None = None,
    how: dict[str, Any] | None = None,
    method: str | None = None,
    seed: int = 1,
    delay: int = 0,
    command: str | None = None,
    report: Report | None = None,
    track: str | None = None,
) -> Result:
    """Learn a flow of rows in one pass, in their order.

    One row of 20 is held out, until there are 1,000: R is the accuracy on them at the end. All others
    are questions before they are lessons.

    Held are a block of it, what waits for its labels, and of every row what was asked and answered.

    Args:
        blocks: (inputs, labels) of some rows at a time, or (inputs, labels, ids), as
            :func:`lifelong.data.text_blocks` reads them.
        name: of the data.
        about: where the data is from: the file, its columns. Other rows are other data all the same.
        how: how it was read, for the model to remember.
        delay: as of :func:`run`.
    """
    at_least(0, delay=delay)
    reset_peak_memory()
    made = pack(learner, "", {})
    session = _Session(learner, [], None, 1, seed, None, delay)
    with bar() if report is None else nullcontext(report) as session.report:
        stream = {"kind": "flow"} | (about or {}) | session.flow(blocks, name)
    words = {"data": name, "stream": stream, "scenario": "free"}
    method = method or type(learner).__name__.lower()
    key = _key(made, method, seed, words | {"delay": delay})
    folder = None if out is None else Path(out) / "runs" / key
    with nullcontext() if folder is None else lock(folder):
        session.checkpoint = None if folder is None else folder / "checkpoint.safetensors"
        words |= {"key": key, "command": command or "lifelong.linear.run_flow(...)"}
        session.tracker = make_tracker(track, out, session.options | {"key": key})
        session.tracker.missed(session.rows)
        return session.finish(words, method, None, how or {})


def _key(learner: Any, method: str, seed: int, words: dict[str, Any]) -> str:
    """A name for the run: a hash of what it is, the fresh learner as JSON among it."""
    whole = json.dumps([learner, words], sort_keys=True).encode()
    digest = hashlib.blake2b(whole, digest_size=6).hexdigest()
    return f"{method}-{seed}-{digest}"


def settings(learner: Incremental) -> dict[str, Any]:
    """Its hyper-parameters, for a result; those of texts and of replay apart."""
    found: dict[str, Any] = {}
    if isinstance(learner, Replay):
        found["replay"], learner = _own(learner), make(learner.learner)
    if isinstance(learner, TextClassifier):
        vectorizer = learner.vectorizer or HashingText(weighting(learner.learner))
        found["text"], learner = _own(vectorizer), make(learner.learner, vectorizer.weighting)
    return {"learner": {"estimator": type(learner).__name__} | _own(learner)} | found


def _own(estimator: Any) -> dict[str, Any]:
    """The estimator's own hyper-parameters, as JSON; the seed is the run's."""
    names = estimator.get_params(deep=False).keys() - {"learner", "seed"}
    own = {name: value for name, value in vars(estimator).items() if name in names}
    return json.loads(json.dumps(own, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)))


class _Session:
    """One sitting of a run."""

    report: Report
    tracker: Tracker

    def __init__(
        self,
        learner: Incremental,
        tests: list[Task],
        folder: Path | None,
        epochs: int,
        seed: int,
        time_limit: float | None,
        delay: int = 0,
    ) -> None:
        self.learner, self.tests, self.epochs, self.seed = learner, tests, epochs, seed
        self.delay, self.late, self.waiting = delay, 0, deque[tuple[Any, np.ndarray, np.ndarray]]()
        self.step = max(1, delay // 10) if delay else CHUNK if learner.solves else 1
        """Rows of a stream in the order of time that are asked at once."""
        self.options = settings(learner)
        rows = [samples.id for task in tests for samples in (task.train, task.test)]
        self.numbered = not rows or len(every := np.concatenate(rows)) == every.max() + 1
        """Whether ids are the rows' numbers in their data, not its own."""
        self.own_ids = False
        self.checkpoint = None if folder is None else folder / "checkpoint.safetensors"
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.book = Book()
        if self.checkpoint is not None and self.checkpoint.exists():
            arrays, whole = read_arrays(self.checkpoint)
            with intact(str(self.checkpoint)):
                self.learner = unpack(whole["linear"], "", arrays, self.checkpoint)
                self.book = Book.of(unpack(whole["book"], "book", arrays, self.checkpoint))

    @property
    def rows(self) -> list[list[float | None]]:
        """Those of R so far."""
        return [row["agnostic"] for row in self.book.rows]

    def learn(self) -> None:
        """Learn what is left of the stream, a row of R behind each task."""
        for i in range(len(self.book.rows), len(self.tests)):
            self.learn_task(self.tests[i])
            self.book.rows.append(evaluate(self.learner, self.tests, self.book))
            self.tracker.row(self.rows)
            self.save()
            late = self.deadline is not None and time.monotonic() > self.deadline
            if late and i < len(self.tests) - 1:
                raise TimeUp("the time limit was reached: run the same command to continue")

    def learn_task(self, task: Task) -> None:
        """Every row is a question before it is a lesson; more epochs rehearse it."""
        names = np.array(task.classes)
        order = np.arange(len(task.train))
        if not task.ordered:
            order = np.random.default_rng([self.seed, task.number]).permutation(order)
        for epoch in range(self.epochs):
            for start in range(0, len(order), BLOCK):
                rows = task.train.take(order[start : start + BLOCK])
                if epoch:
                    started = time.monotonic()
                    self.learner.rehearse(rows.x, names[rows.y], rows.id)
                    self.book.seconds += time.monotonic() - started
                else:
                    self.progress(rows.x, names[rows.y], rows.id, task.ordered)
                index, length = task.place
                share = (epoch + (start + len(rows)) / len(order)) / self.epochs
                self.say(f"task {index + 1} of {length}", (index + share) / length)
            self.settle()

    def progress(self, x: Any, labels: np.ndarray, ids: np.ndarray, ordered: bool) -> None:
        """Ask, then teach; rows that are ``ordered``, by time, are noted."""
        started = time.monotonic()
        if not ordered or (self.learner.by_row and not self.delay):
            given = self.learner.progress(x, labels, ids)
        else:
            single = 0 if self.delay else min(len(labels), max(0, self.step - self.book.met))
            starts = [*range(single), *range(single, len(labels), self.step)]
            parts = (slice(*ends) for ends in pairwise([*starts, len(labels)]))
            given = np.concatenate([self._late(x[part], labels[part], ids[part]) for part in parts])
        self.book.seconds += time.monotonic() - started
        self.book.hits += int((given == labels).sum())
        self.book.met += len(labels)
        if ordered:
            self.book.note(labels, given)
            self.book.ids.extend(ids.tolist())

    def _late(self, x: Any, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Ask, and teach what was asked ``delay`` rows ago."""
        given = np.full(len(labels), None, object)
        if hasattr(self.learner, "classes_"):
            given[:] = self.learner.predict(x)
        self.waiting.append((x, labels, ids))
        self.late += len(labels)
        while self.waiting and self.late - len(self.waiting[0][1]) >= self.delay:
            self.late -= len(self.waiting[0][1])
            self._teach()
        return given

    def _teach(self) -> None:
        x, labels, ids = self.waiting.popleft()
        self.learner.partial_fit(x, labels, ids=ids)

    def settle(self) -> None:
        """Teach what is still waiting for its labels."""
        while self.waiting:
            self._teach()
        self.late = 0

    def flow(self, blocks: Iterable[tuple[np.ndarray, ...]], name: str) -> dict[str, Any]:
        """Learn rows that come by once; returns how many they are, and their fingerprint."""
        held: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        met = kept = 0
        content = hashlib.blake2b(digest_size=16)
        for x, labels, *own in blocks:
            content.update("\n".join([*x.tolist(), *labels.tolist()]).encode(errors="replace"))
            numbers = met + np.arange(len(x))
            self.own_ids, ids = bool(own), own[0] if own else numbers
            test = numbers % 20 == 19
            test &= kept + np.cumsum(test) <= GUARDS
            met, kept = met + len(x), kept + int(test.sum())
            held.append((x[test], labels[test], ids[test]))
            if not test.all():
                self.progress(x[~test], labels[~test], ids[~test], True)
            self.say(name, 0.0)
        self.settle()
        if not kept:
            raise LifelongError(f"{name} has {met} rows, too few to hold one of 20 out: give more")
        x, labels, ids = (np.concatenate(part) for part in zip(*held, strict=True))
        unique, counts = np.unique(np.concatenate([ids, self.book.ids]), return_counts=True)
        if counts.max() > 1:
            raise LifelongError(f"id {unique[counts.argmax()]} occurs twice: make ids unique")
        self.numbered = not self.own_ids
        classes, y = np.unique(labels, return_inverse=True)
        rows = Samples(x=x, y=y, id=ids)
        self.tests = [Task(name, rows.take(slice(0)), rows, tuple(classes.tolist()), "free")]
        self.book.rows.append(evaluate(self.learner, self.tests, self.book))
        return {"rows": met, "fingerprint": content.hexdigest()}

    def say(self, words: str, share: float) -> None:
        """The live line."""
        book = self.book
        self.report(
            f"{words}: {book.met:,} rows, {100 * book.hits / max(1, book.met):.1f} % right before they "
            f"were learned, {book.met / max(book.seconds, 1e-9):,.0f} a second",
            share,
        )

    def save(self) -> None:
        """A checkpoint."""
        if self.checkpoint is not None:
            arrays: dict[str, np.ndarray] = {}
            book = pack(vars(self.book) | self.book.arrays(), "book", arrays)
            whole = {"linear": pack(self.learner, "", arrays), "book": book}
            write_arrays(self.checkpoint, arrays, whole)

    def finish(
        self, about: dict[str, Any], method: str, encoder: Encoder | None, how: dict[str, Any]
    ) -> Result:
        """The result; and, where there is a folder, its files."""
        book = self.book
        if book.truth:
            truth, answers, ids = book.arrays().values()
            window = min(WINDOW, -(-len(truth) // 5))
            found = judged(method, truth, answers, self.delay, self.step, window)
            about["progressive"] = found.to_json(ids if self.numbered else None)
        result = Result(
            {
                "output_space": "seen",
                "method": method,
                "hyperparameters": self.options
                | {"epochs": self.epochs}
                | ({"delay": self.delay} if book.truth else {}),
                "seed": self.seed,
                "tasks": [task.name for task in self.tests],
                **measured(self.learner, book),
                "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
                **about,
            }
        )
        self.tracker.finish(result)
        if self.checkpoint is not None:
            folder = self.checkpoint.parent
            guards = [guard(task) for task in self.tests]
            kept = Kept(result.data, guards, encoder, self._ids(result), how=how)
            save(self.learner, folder / "model.safetensors", kept)
            result.save(folder / "run.json")
            return finish(folder)
        return result

    def _ids(self, result: Result) -> Ids:
        """Those of all rows."""
        found = [samples.id for task in self.tests for samples in (task.train, task.test)]
        ids = Ids()
        flow = np.array(self.book.ids, np.int64)
        ids.take(result.data["data"], np.unique(np.concatenate([*found, flow])), self.own_ids)
        return ids


def evaluate(
    learner: Incremental, tests: list[Task], book: Book | None = None
) -> dict[str, list[float | None]]:
    """The scores on every task, of a learner that is told the task and of one that is not.

    In the ``book`` is written what was measured over all tasks: recalls, and of so many classes the
    confusion.
    """
    known = {name: i for i, name in enumerate(learner.classes_.tolist())}
    row: dict[str, list[float | None]] = {"aware": [], "agnostic": []}
    classes = len(known)
    confusion = np.zeros((classes, classes), int) if classes <= metrics.CONFUSED else None
    hits, totals = np.zeros((2, classes), int)
    for task in tests:
        if not len(task.test):  # its rows were all forgotten
            row["agnostic"].append(None)
            row["aware"].append(None)
            continue
        scores = learner.scores(task.test.x)
        columns = np.array([known.get(name, -1) for name in task.classes])
        y, own = columns[task.test.y], columns[np.unique(task.test.y)]
        own = own[own >= 0]
        given = scores.argmax(1)
        row["agnostic"].append(float((given == y).mean()))
        told = own[scores[:, own].argmax(1)] if len(own) else np.full(len(y), -2)
        row["aware"].append(float((told == y).mean()))
        hits += np.bincount(y[given == y], minlength=classes)
        totals += np.bincount(y[y >= 0], minlength=classes)
        if confusion is not None:
            np.add.at(confusion, (y[y >= 0], given[y >= 0]), 1)
    if book is not None:
        book.confusion = None if confusion is None else confusion.tolist()
        book.recall, book.balanced = metrics.recalls(hits, totals)
    return row


def measured(learner: Incremental, book: Book) -> dict[str, Any]:
    """The fields of a result that come from measuring the learner."""
    rows = {kind: [row[kind] for row in book.rows] for kind in ("aware", "agnostic")}
    summary = metrics.summarize(metrics.matrix(rows["agnostic"]), None, [])
    summary["balanced_accuracy"] = book.balanced
    asked = learner.by_row or book.truth
    summary["prequential_accuracy"] = book.hits / book.met if asked else None
    classes = [str(name) for name in learner.classes_.tolist()]
    parameters = learner.parameters
    return {
        "classes": classes,
        "R": rows["agnostic"],
        "R_task_aware": rows["aware"],
        "R_task_agnostic": rows["agnostic"],
        "baseline": None,
        "metrics": summary,
        "recall": dict(zip(classes, book.recall, strict=True)),
        "confusion": book.confusion,
        "trace": [],
        "plasticity": [],
        "cost": {
            "seconds": book.seconds,
            "steps": book.met,
            "samples_per_second": book.met / book.seconds if book.seconds else 0.0,
            "peak_memory_bytes": peak_memory(),
            "memory_bytes": learner.memory_bytes,
            "parameters": parameters,
            "parameters_added": parameters,
        },
        "versions": versions("numba") | versions("scikit-learn"),
    }


def guard(task: Task) -> Task:
    """The task with up to 1,000 of its test rows alone: an update is judged on them."""
    rows = task.test.take(np.random.default_rng(0).permutation(len(task.test))[:GUARDS])
    return replace(task, train=rows.take(slice(0)), test=rows)


# ---- model files
@dataclass
class Kept:
    """What a model file of a run holds beside the learner."""

    result: dict[str, Any]
    guards: list[Task]
    """Test sets of what was learned: an update is judged on them."""
    encoder: Encoder | None
    ids: Ids
    version: dict[str, Any] | None = None
    """Which version of its folder the file is, and where that comes from; None: of none."""
    path: Path | None = None
    """Where it was read."""
    how: dict[str, Any] = field(default_factory=dict)
    """How the files that it learned were read."""

    def save(self, learner: Incremental, path: Path) -> None:
        """Write the learner and this to a file, which is the same version only where it was read."""
        same = self.path is not None and path.resolve() == self.path.resolve()
        save(learner, path, replace(self, version=self.version if same else None))

    def forget(self, ids: np.ndarray) -> int:
        """Drop the rows with these ids from the guard sets; how many there were."""
        kept = [replace(t, test=t.test.take(~np.isin(t.test.id, ids))) for t in self.guards]
        judged = sum(len(a.test) - len(b.test) for a, b in zip(self.guards, kept, strict=True))
        self.guards = kept
        self.ids.forget(ids)
        return judged


def save(learner: Incremental, path: Path, kept: Kept) -> None:
    """Write the learner, the result of its run, and what an update is judged on."""
    arrays: dict[str, np.ndarray] = {"guard/ids": kept.ids.ranges}
    guards = [[t.name, list(t.classes), t.test.x, t.test.y, t.test.id] for t in kept.guards]
    whole = {
        "format": FORMAT,
        "linear": pack(learner, "", arrays),
        "guards": pack(guards, "guards", arrays),
        "result": kept.result,
        "encoder": None if kept.encoder is None else kept.encoder.to_json(),
        "how": kept.how,
        "ids": kept.ids.to_json(),
        "version": kept.version,
    }
    write_arrays(path, arrays, whole)


def read_model(path: Path) -> tuple[Incremental, Kept]:
    """What :func:`save` wrote; or a learner that was saved alone."""
    learner, arrays, whole = load_all(path)
    return learner, kept_of(path, learner, arrays, whole)


def kept_of(path: Path, learner: Incremental, arrays: dict[str, np.ndarray], whole: Any) -> Kept:
    """What a file holds beside the learner, checked."""
    with intact(str(path)):
        packed = unpack(whole["guards"], "guards", arrays, path) if "guards" in whole else []
        guards = []
        for name, classes, x, y, *ids in packed:
            rows = Samples(x=x, y=y, id=ids[0] if ids else np.full(len(y), -1))
            if len(y) and not (y.dtype.kind == "i" and 0 <= y.min() <= y.max() < len(classes)):
                raise LifelongError(f"{path} is damaged: a guard set has labels of no class")
            guards.append(Task(name, rows.take(slice(0)), rows, tuple(classes), "class"))
        encoder = None if whole.get("encoder") is None else Encoder.from_json(whole["encoder"])
        known = Ids.of(whole.get("ids"), arrays.get("guard/ids"))
        if "ids" not in whole and learner.keeps_rows:  # version 0.1.0 did not note them
            held = learner._held()
            known.add(held[held >= 0])
        result = checked(whole["result"], str(path)).data if whole.get("result") else {}
        how = checked_how(whole.get("how"), str(path))
        return Kept(result, guards, encoder, known, whole.get("version"), path, how)


def names_of_columns(path: Path) -> list[str] | None:
    """Of the table that the learner in a model file has learned; None: of no table."""
    encoder = read_manifest(path).get("encoder")
    return None if encoder is None else Encoder.from_json(encoder).names


class LinearModel:
    """A saved linear learner, as :class:`lifelong.update.Model` has it."""

    def __init__(self, path: Path) -> None:
        self.learner, self.kept = read_model(path)
        self.ids, self.version = self.kept.ids, self.kept.version

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.learner.classes_.tolist()]

    @property
    def result(self) -> dict[str, Any]:
        return self.kept.result

    def learn(self, data: Dataset, command: str) -> Outcome:
        learner, record, guards = self.learner, self.kept.result, self.kept.guards
        train, test = numbered(data, self.ids)
        place = len(guards), len(guards) + 1
        task = Task(data.name, train, test, data.classes, "class", place, None, place[0])
        guards.append(guard(task))
        before = evaluate(learner, guards)
        session = _Session(
            learner, [task], None, record["hyperparameters"]["epochs"], record["seed"], None
        )
        with bar() as session.report:
            session.learn_task(task)
        after = evaluate(learner, guards, session.book)
        session.book.rows = longer(record, before, after)
        changed = record | continued(record, data) | measured(learner, session.book)
        changed |= {"command": command}
        changed.pop("progressive", None)  # of the stream that was run at first
        self.kept.result = changed
        return Outcome.of(record, changed, before["agnostic"], after["agnostic"])

    def forget(self, ids: np.ndarray) -> tuple[int, int]:
        return self.learner.forget(ids), self.kept.forget(ids)

    def relabel(self, verb: str, names: Sequence[str]) -> None:
        if verb != "rename":
            raise LifelongError(f"a linear learner cannot {verb} classes, only rename them: train anew")
        rename(self.learner, *names)
        self.kept.guards = [
            replace(task, classes=tuple(names[1] if c == names[0] else c for c in task.classes))
            for task in self.kept.guards
        ]
        self.kept.result = relabelled(self.kept.result, verb, names, self.classes)

    def save(self, path: Path, version: dict[str, Any] | None) -> None:
        self.kept.version = version
        save(self.learner, path, self.kept)


def rename(learner: Incremental, name: str, new: str) -> None:
    """Call a class of the learner, whose labels are strings, by another name."""
    names = learner.classes_.tolist()
    if name not in names:
        raise unknown("class", name, map(str, names))
    if new in names:
        raise LifelongError(f"there is a class {new!r} already: give another name")
    learner.classes_ = np.array([new if label == name else label for label in names])
    if hasattr(learner, "learner_"):
        rename(learner.learner_, name, new)
