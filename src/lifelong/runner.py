"""Running a learner over a stream: evaluation, checkpoints, resuming to the same bits, results."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, metrics
from .errors import NOT_FINITE, LifelongError, at_least, damaged, intact, require
from .evaluation import Evaluation, evaluate, judged, plasticity
from .files import delete, lock, read_arrays, read_json, write_arrays, write_json
from .ids import Ids
from .interrupts import signals
from .learner import Learner
from .progress import Report, bar
from .result import Result, read
from .samples import Samples
from .store import Kept, configuration, from_configuration, save
from .stream import Stream, Task
from .track import Tracker
from .track import make as make_tracker
from .versions import gather

NOTHING = -1
"""The answer of a learner that is not ready: it is wrong."""


class TimeUp(LifelongError):
    """The time limit was reached; the run can be continued."""


@dataclass
class Book:
    """What a run has measured so far; saved in its checkpoint."""

    rows: list[dict[str, list[float | None]]] = field(default_factory=list)
    """For every row of R: its scores, aware and agnostic of the task, and what is measured beside."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    plasticity: list[dict[str, Any]] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    recall: list[float | None] = field(default_factory=list)
    """Of every class, at the last row; and their mean."""
    balanced: float | None = None
    summary: dict[str, float | None] = field(default_factory=dict)
    """What the objective measures over all tasks together, at the last row."""
    hits: int = 0
    """Under ``free``: samples predicted rightly before they were learned."""
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    """Spent in training, over all sittings."""
    boundaries: list[int] = field(default_factory=list)
    """Steps behind which a boundary was detected."""
    asked: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("q") for name in ("truth", "answers", "ids")}
    )
    """Under ``free``, of every row in its order: the class, the answer before it was learned, its id."""

    @staticmethod
    def of(held: dict[str, Any]) -> Book:
        """What a checkpoint holds. Raises :class:`ValueError` or TypeError where it cannot be that."""
        book = Book(**held)
        require(len({len(rows) for rows in book.asked.values()}) == 1, "the rows do not fit each other")
        counts = (book.hits, book.steps, book.samples, *book.boundaries)
        require(all(type(n) is int and n >= 0 for n in counts), "a count is none")
        require(0 <= book.seconds < np.inf, "the seconds are none")
        if book.confusion is not None and not book.recall:  # version 0.1.0 computed it later
            book.recall, book.balanced = metrics.per_class(np.array(book.confusion))
        return book

    def note(self, found: Evaluation) -> None:
        """Keep what was measured over all tasks together."""
        self.confusion, self.summary = found.confusion, found.summary
        self.recall, self.balanced = found.recall, found.balanced_accuracy


def run(
    learner: Learner,
    stream: Stream,
    out: str | Path | None = None,
    evaluate_every: int | None = None,
    *,
    checkpoint_every: float = 10.0,
    time_limit: float | None = None,
    threads: int = 1,
    command: str | None = None,
    report: Report | None = None,
    track: str | None = None,
) -> Result:
    """Learn the tasks of a stream one after another and measure R.

    With ``out``, the run lives in ``out/runs/<key>/``: a checkpoint while it runs, ``run.json`` when
    it is done; ``out/results.json`` collects the folder's runs. Killed at any moment and started
    again, it goes on from the last checkpoint and ends in the same bits; a finished run is read.

    Args:
        learner: a fresh learner.
        out: the folder; None: nothing is written.
        evaluate_every: also evaluate inside tasks, every so many steps (for min-ACC and the
            anytime accuracy). Under ``free``: by default 50 times in all.
        checkpoint_every: seconds between checkpoints; there is one at every phase end too.
        time_limit: seconds after which :class:`TimeUp` is raised, behind a checkpoint.
        threads: processor threads; part of the run's identity.
        command: the command line to note in the result.
        report: called with (words, share done) as the run proceeds; None: a progress bar, where
            standard error is a terminal.
        track: ``mlflow`` or ``tensorboard``: the metrics go there as they come, after each task
            (:mod:`lifelong.track`).

    Raises:
        LifelongError: where the folder holds a run of another identity, another process runs in it,
            or the input makes no sense.
    """
    at_least(1, threads=threads, evaluate_every=evaluate_every)
    if learner.inputs is not None:
        raise LifelongError("run needs a fresh learner: this one has learned already; make a new one")
    identity = identify(learner, stream, threads, evaluate_every)
    folder = None if out is None else Path(out) / "runs" / identity["key"]
    with nullcontext() if folder is None else lock(folder), using_threads(learner, threads):
        if folder is not None:
            _same_identity(folder, identity)
            if (folder / "run.json").exists():
                if (folder / "model.safetensors").exists():
                    arrays, whole = read_arrays(folder / "model.safetensors")
                    with intact(str(folder / "model.safetensors")):
                        learner.restore(arrays, whole["state"])
                return followed(finish(folder), track, out)
        reset_peak_memory()
        session = _Session(learner, stream, folder, evaluate_every, checkpoint_every, time_limit)
        session.follow(make_tracker(track, out, identity["configuration"] | {"key": identity["key"]}))
        with bar() if report is None else nullcontext(report) as session.report:
            session.learn()
        result = session.result(identity, command)
        session.tracker.finish(result)
        if folder is None:
            return result
        encoder = None if stream.encoder is None else stream.encoder.to_json()
        extra = {"result": result.data, "encoder": encoder, "how": stream.how}
        kept = Kept(extra, session.guards(), session.ids)
        save(learner, folder / "model.safetensors", kept)
        result.save(folder / "run.json")
        return finish(folder)


def finish(folder: Path) -> Result:
    """A finished run: no checkpoint is needed any more, and the folder's results know it."""
    delete(folder / "checkpoint.safetensors")
    collect(folder.parent.parent)
    return read(folder / "run.json")[0]


def followed(result: Result, track: str | None, out: str | Path | None) -> Result:
    """A result that was there, told to what follows runs if it has not met it."""
    if track is not None:
        tracker = make_tracker(track, out, {"key": result.data["key"]} | result.data["hyperparameters"])
        if tracker.fresh:
            tracker.missed(result.data["R"])
            tracker.finish(result)
    return result


def identify(
    learner: Learner, stream: Stream, threads: int, evaluate_every: int | None
) -> dict[str, Any]:
    """What a run is; ``key`` is a hash of its configuration."""
    made_of = configuration(learner)
    surroundings = {name: made_of.pop(name) for name in ("backend", "device", "precision")}
    whole = {
        "data": stream.name,
        "stream": stream.description,
        "tasks": list(stream.indices),
        "learner": made_of,
        "evaluate_every": evaluate_every,
    }
    digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=6).hexdigest()
    return {
        "key": f"{made_of['method']}-{made_of['seed']}-{digest}",
        "fingerprint": stream.fingerprint,
        "threads": threads,
        **surroundings,
        "configuration": whole,
    }


def _same_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse, by name, what differs from the run that the folder was begun with."""
    file = folder / "identity.json"
    if not file.exists():
        write_json(file, identity)
        return
    begun = read_json(file)
    if not isinstance(begun, dict):
        raise damaged(str(file), "it holds no identity of a run")
    for name in ("fingerprint", "threads", "backend", "device", "precision"):
        if begun.get(name) != identity[name]:
            what = (
                "the data has changed"
                if name == "fingerprint"
                else (f"it was begun with {name} {begun.get(name)}, not {identity[name]}")
            )
            raise LifelongError(f"cannot continue {folder}: {what}; use the same or another --out")


def collect(out: Path) -> list[Result]:
    """Gather the finished runs below ``out/runs`` into ``out/results.json``."""
    with lock(out, wait=True):
        return gather(out)


class _Session:
    """One sitting of a run."""

    def __init__(
        self,
        learner: Learner,
        stream: Stream,
        folder: Path | None,
        evaluate_every: int | None,
        checkpoint_every: float,
        time_limit: float | None,
    ) -> None:
        self.learner, self.stream, self.book = learner, stream, Book()
        self.checkpoint = None if folder is None else folder / "checkpoint.safetensors"
        self.evaluate_every, self.checkpoint_every = evaluate_every, checkpoint_every
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.report: Report
        self.free = stream.scenario == "free"
        self.tests, self.ids = _tests(stream)
        self.marks = np.cumsum([len(task.train) for task in self.tests]) if self.free else None
        if self.checkpoint is not None and self.checkpoint.exists():
            arrays, manifest = read_arrays(self.checkpoint)
            with intact(str(self.checkpoint)):
                asked = {name: arrays.pop(f"asked/{name}", None) for name in self.book.asked}
                learner.restore(arrays, manifest["state"])
                held = {name: array("q", [] if a is None else a.tolist()) for name, a in asked.items()}
                self.book = Book.of(manifest["book"] | {"asked": held})

    def follow(self, tracker: Tracker) -> None:
        """Tell the rows of R that there are, and every one that comes."""
        self.tracker = tracker
        tracker.missed(self._rows)

    @property
    def _rows(self) -> list[list[float | None]]:
        return [row[judged(self.learner)] for row in self.book.rows]

    def learn(self) -> None:
        """Learn what is left of the stream."""
        learner, book = self.learner, self.book
        length = 1 if self.free else len(self.stream)
        if self._learned == length and len(book.rows) < len(self.tests):
            self.row()  # killed between the last step and its evaluation
        while self._learned < length:
            index = learner.position.task
            if not self.free and len(book.rows) < index:
                self.row()
            task = self.stream.flow() if self.free else self.stream[index]
            self.learn_task(task)
            while len(book.rows) < (len(self.tests) if self.free else index + 1):
                self.row()
        if not learner.ready:
            raise LifelongError(f"{learner.method.name} learned nothing from this stream")

    @property
    def _learned(self) -> int:
        """How many tasks are learned; of a flow, none until it ends, whatever was detected in it."""
        position = self.learner.position
        return int(position.task > 0 and not position.learning) if self.free else position.task

    def learn_task(self, task: Task) -> None:
        """Learn one task, evaluating and saving on the way."""
        with nullcontext() if self.checkpoint is None else signals.awaited():
            self._learn_task(task)

    def _learn_task(self, task: Task) -> None:
        learner, book = self.learner, self.book
        steps = learner.steps(task)
        saved = started = time.monotonic()
        (index, length), total = task.place, learner.budget(task)
        every = self.evaluate_every or (max(1, total // 50) if self.free else None)
        while True:
            if self.free:
                self._ask()
                started = time.monotonic()
            position = next(steps, None)
            if position is None:
                break
            now = time.monotonic()
            book.seconds += now - started
            if position.step:
                book.steps, book.boundaries = book.steps + 1, position.ends
                book.samples += learner.met_rows
                if every and position.step % every == 0:
                    self._trace()
                self._mark()
                share = (index + min(1.0, position.step / total)) / length
                self.report(f"task {index + 1}/{length}: {task.name}", share)
            if not position.step or now - saved > self.checkpoint_every:
                self.save()
                saved = time.monotonic()
            if signals.stop and self.checkpoint is not None:
                self.save()
                raise KeyboardInterrupt
            if self.deadline is not None and now > self.deadline:
                self.save()
                raise TimeUp("the time limit is reached: run the same command to continue")
            started = time.monotonic()
        book.seconds += time.monotonic() - started

    def _mark(self) -> None:
        """Under ``free``: a row of R whenever a segment, whose end the learner is not told, ends."""
        if self.marks is not None:
            passed = self.learner.position.step * self.learner.batch
            while (
                len(self.book.rows) < len(self.tests) - 1 and passed >= self.marks[len(self.book.rows)]
            ):
                self.row()

    def _ask(self) -> None:
        """Predict the rows that come next, before they are learned."""
        learner, book, rows = self.learner, self.book, self.learner.upcoming()
        if rows is None or not learner.objective.labels:
            return
        code = {name: column for column, name in reversed(list(enumerate(learner.classes)))}
        answers = [NOTHING] * len(rows)
        if learner.ready:
            answers = [code.get(name, NOTHING) for name in learner.predict(rows.x).tolist()]
        truth = [code[learner.classes[column]] for column in rows.y.tolist()]
        book.hits += sum(a == b for a, b in zip(answers, truth, strict=True))
        for name, values in (("truth", truth), ("answers", answers), ("ids", rows.id.tolist())):
            book.asked[name].extend(values)

    def _progressive(self, seen: int) -> dict[str, Any] | None:
        """What was right row by row, beside what needs no learning; None where a row was not asked."""
        from .linear.progressive import judged as judge

        truth, answers, ids = (
            np.array(self.book.asked[n], np.int64) for n in ("truth", "answers", "ids")
        )
        if not len(truth) or len(truth) != seen:
            return None
        found = judge(
            self.learner.method.name, truth, answers, 0, self.learner.batch, min(1000, -(-seen // 5))
        )
        numbers = not self.stream.own_ids and bool((np.diff(ids) > 0).all())
        return found.to_json(ids if numbers else None)

    def row(self) -> None:
        """Evaluate, and write down a row of R."""
        learner, book = self.learner, self.book
        found = self._evaluate()
        book.rows.append(accuracies(found, len(self.tests), learner.objective.beside))
        index = len(book.rows) - 1
        if found is not None:
            book.plasticity.append({"task": index, **plasticity(learner, self.tests[index].test)})
            book.note(found)
        self.tracker.row(self._rows)
        self.save()

    def _trace(self) -> None:
        scores = accuracies(self._evaluate(), len(self.tests))[judged(self.learner)]
        place = {"task": len(self.book.rows), "step": self.book.steps}
        self.book.trace.append({**place, "accuracy": scores})

    def _evaluate(self) -> Evaluation | None:
        if not self.learner.finite:
            raise LifelongError(NOT_FINITE)
        return evaluate(self.learner, self.tests)

    def save(self) -> None:
        """Write the checkpoint."""
        if self.checkpoint is not None:
            arrays, state = self.learner.state()
            asked = {f"asked/{n}": np.array(rows, np.int64) for n, rows in self.book.asked.items()}
            book = {name: value for name, value in asdict(self.book).items() if name != "asked"}
            write_arrays(self.checkpoint, arrays | asked, {"state": state, "book": book})

    def guards(self) -> list[Samples]:
        """The test sets, up to 1,000 samples of each, for judging later updates of the model."""
        return [guard(self.learner, task) for task in self.tests]

    def result(self, identity: dict[str, Any], command: str | None) -> Result:
        """The run's entry in a result file."""
        learner, book, stream = self.learner, self.book, self.stream
        fields = measured(learner, book, _baseline(learner, stream, self.tests))
        if self.free:
            seen = sum(len(task.train) for task in self.tests)
            if learner.objective.labels:
                fields["metrics"]["prequential_accuracy"] = book.hits / seen
                if progressive := self._progressive(seen):
                    fields["progressive"] = progressive
            anytime = metrics.area_under_anytime_accuracy(book.trace)
            fields["metrics"]["area_under_anytime_accuracy"] = anytime
            if learner.boundaries is not None:
                fields["boundaries"] = book.boundaries
        made_of = configuration(learner)
        made_of["threads"] = identity["threads"]
        return Result(
            {
                "key": identity["key"],
                "data": stream.name,
                "stream": stream.description,
                "scenario": stream.scenario,
                "output_space": learner.output,
                "method": learner.method.name,
                "hyperparameters": made_of,
                "seed": learner.seed,
                "fingerprint": stream.fingerprint,
                "tasks": [task.name for task in self.tests],
                **fields,
                "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
                "command": command or "ll.run(...)",
            }
        )


def measured(learner: Learner, book: Book, baseline: list[float | None] | None) -> dict[str, Any]:
    """The fields of a result that come from measuring the learner."""
    rows = {kind: [row[kind] for row in book.rows] for kind in ("aware", "agnostic")}
    R = metrics.matrix(rows[judged(learner)])
    base = None if baseline is None else metrics.matrix([baseline])[0]
    summary = metrics.summarize(R, base, book.trace)
    if book.recall:
        summary["balanced_accuracy"] = book.balanced
    beside = {name: [row[name] for row in book.rows] for name in learner.objective.beside}
    means = {name: metrics.average_accuracy(metrics.matrix(m)) for name, m in beside.items()}
    summary |= book.summary | means
    return {
        "classes": learner.classes,
        "score": learner.objective.score,
        "R": rows[judged(learner)],
        "R_task_aware": rows["aware"],
        "R_task_agnostic": rows["agnostic"],
        "beside": beside,
        "baseline": baseline,
        "metrics": summary,
        "recall": dict(zip(learner.classes, book.recall, strict=False)),
        "confusion": book.confusion,
        "trace": book.trace,
        "plasticity": book.plasticity,
        "cost": cost(learner, book),
        "versions": versions(learner.backend.name),
    }


def guard(learner: Learner, task: Task) -> Samples:
    """Up to 1,000 test samples of a task, their labels as the learner's columns."""
    test = learner.encode(task.test, task.classes)
    return test.take(np.random.default_rng(0).permutation(len(test))[:1000])


def _tests(stream: Stream) -> tuple[list[Task], Ids]:
    """The tasks without their training inputs, which evaluation does not need; and all rows' ids."""
    tests, found = [], []
    for task in stream:
        parts = [task.train, task.test, *([] if task.validation is None else [task.validation])]
        found += [part.id for part in parts]
        tests.append(replace(task, train=task.train.drop("x"), validation=None))
    ids = Ids()
    ids.take(stream.name, np.unique(np.concatenate(found)), stream.own_ids)
    return tests, ids


def accuracies(
    found: Evaluation | None, tasks: int, beside: Sequence[str] = ()
) -> dict[str, list[float | None]]:
    """A row of R: on every task, of a learner that is told the task and of one that is not.

    What is measured ``beside`` has a row of its own.
    """
    if found is None:
        return {name: [None] * tasks for name in ("aware", "agnostic", *beside)}
    return found.rows


def _baseline(learner: Learner, stream: Stream, tests: Sequence[Task]) -> list[float | None] | None:
    """b: the accuracies of the untrained network, where it has an answer for every task."""
    if learner.output != "all" or learner.backend.outputs is not None:
        return None
    untrained = from_configuration(configuration(learner) | {"method": "naive", "options": {}})
    untrained.start(tests[0].test, stream.scenario)
    untrained.grow(stream.classes)
    untrained.seen = list(range(len(stream.classes)))
    measured = evaluate(untrained, tests)
    return None if measured is None else measured.accuracy(False)


def cost(learner: Learner, book: Book) -> dict[str, Any]:
    """What the run cost. Seconds are those of training; bytes are of stored samples."""
    return {
        "seconds": book.seconds,
        "steps": book.steps,
        "samples_per_second": book.samples / book.seconds if book.seconds else 0.0,
        "peak_memory_bytes": peak_memory(),
        "memory_bytes": learner.memory_bytes,
        "parameters": learner.parameters,
        "parameters_added": learner.parameters - learner.initial_parameters,
    }


def reset_peak_memory() -> None:
    """Forget the process's peak so far, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The process's largest resident size in bytes: on Linux since the run began."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions(backend: str) -> dict[str, str]:
    """Of Python and of the packages that the numbers depend on."""
    found = {"lifelong": __version__, "python": platform.python_version()}
    for name in ("numpy", backend):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


@contextmanager
def using_threads(learner: Learner, threads: int) -> Iterator[None]:
    """Compute with so many threads, then with as many as before."""
    before = learner.backend.threads()
    learner.backend.set_threads(threads)
    try:
        yield
    finally:
        learner.backend.set_threads(before)
