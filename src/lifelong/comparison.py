"""Comparisons: runs in parallel, one thread each, in worker processes that die with their parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from .errors import KnownFailure, LifelongError, accept, at_least
from .result import Result, bundle
from .runner import TimeUp, collect
from .spec import Spec, check, own_names

if TYPE_CHECKING:
    from .report import Row

PATIENCE = 5.0
"""Seconds in which a worker that is asked to end may write a checkpoint."""
Watch = Callable[[int, str, float, Result | None], None]
"""Told (index of the run, words, share done, its result once there is one)."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison measured. ``str()`` is the table and the verdict."""

    results: list[Result]
    """Of every run."""

    @property
    def rows(self) -> list[Row]:
        """A line for each method, as :class:`lifelong.report.Row`; accuracies are shares."""
        from .report import comparison

        return comparison(bundle(self.results))

    def verdict(self) -> str:
        """What came out, in one to four sentences."""
        from .report import verdict

        return verdict(bundle(self.results))

    def table(self, form: str = "markdown") -> str:
        """The lines as a table: ``markdown``, ``latex`` or ``csv``."""
        from .report import table

        return table(bundle(self.results), form)

    def to_latex(self) -> str:
        """The lines as a ``tabular`` with the rules of the package booktabs; accuracies in percent."""
        return self.table("latex")

    def to_markdown(self) -> str:
        """The lines as a table of GitHub's Markdown; accuracies in percent."""
        return self.table("markdown")

    def to_csv(self) -> str:
        """The lines as CSV; accuracies are shares, to the last digit."""
        return self.table("csv")

    def report(self, path: str | Path) -> Path:
        """Write a self-contained HTML report to ``path`` (and its figures beside it)."""
        from .report import write

        return write(bundle(self.results), Path(path))

    def __str__(self) -> str:
        return f"{self.table()}\n{self.verdict()}"


def compare(
    data: str,
    methods: str | Sequence[str],
    seeds: int = 5,
    out: str | Path | None = None,
    *,
    jobs: int | None = None,
    **options: Any,
) -> Comparison:
    """Compare methods over several seeds, in parallel: ``lifelong compare`` in Python.

    >>> found = ll.compare("digits", ["naive", "er", "own.py:Anchor", "joint"], seeds=3, memory=200)
    >>> print(found.to_latex())

    Args:
        data: a data set's name, or a path.
        methods: names, ``er+ewc``, or classes of a file, ``own.py:Anchor``.
        seeds: seeds 1 to so many.
        out: folder in which the runs live; finished ones are read there. Default: as on the command
            line, ``runs/DATA``.
        jobs: worker processes; None: the processor's cores.
        options: the options of ``lifelong run``, as ``scenario="task"``, ``model="own.py:network"``;
            those of ``--set`` by ``set=["er.admission=ring"]``, or ``set={"er.admission": "ring"}``.

    Raises:
        LifelongError: for options that make no sense, before anything is run; and with the first
            failing run's message.
    """
    named = [method.strip() for method in (methods.split(",") if isinstance(methods, str) else methods)]
    accept(
        options, [f.name for f in fields(Spec) if f.name not in ("data", "method", "seed")], "compare"
    )
    for name, value in options.items():
        if name in ("lr", "checkpoint_every", "time_limit") and isinstance(value, int):
            options[name] = float(value)
        elif name in ("memory", "image_size") and isinstance(value, int):
            options[name] = str(value)
    items = options.pop("set", ())
    if isinstance(items, dict):
        items = [f"{name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in items.items()]
    specs = plan(Spec(data=str(data), set=tuple(items), **options), named, seeds)
    at_least(1, jobs=jobs)
    for failure in check(specs[: len({spec.method for spec in specs})]):
        warnings.warn(failure, KnownFailure, stacklevel=2)
    return Comparison(run_all(specs, out or specs[0].folder, jobs))


def plan(spec: Spec, methods: Sequence[str], seeds: int) -> list[Spec]:
    """The runs of a comparison, seed by seed; the ``--set`` items of a method are its own."""
    at_least(1, seeds=seeds)
    names = list(dict.fromkeys(filter(None, methods)))
    if not names:
        raise LifelongError("--methods is empty: name some, as in naive,er,joint")
    if spec.data == "-":
        raise LifelongError("standard input can be read once only: save it, and compare on the file")
    return [
        spec.with_(method=name, seed=seed, set=_options_of(spec, name, names))
        for seed in range(1, seeds + 1)
        for name in names
    ]


def _options_of(spec: Spec, method: str, methods: list[str]) -> tuple[str, ...]:
    """The ``--set`` items that concern a method; one that concerns none of them stays, and fails."""
    known = {part for name in methods for part in own_names(name)}
    mine = own_names(method)
    return tuple(item for item in spec.set if (p := item.split(".")[0]) in mine or p not in known)


def run_all(
    specs: Sequence[Spec], out: str | Path, jobs: int | None = None, watch: Watch | None = None
) -> list[Result]:
    """Run them all and return their results, in order. Finished ones are read from ``out``.

    Args:
        jobs: worker processes; None: the processor's cores.

    Raises:
        LifelongError: with the first failing run's message; the finished ones stay on disk.
    """
    watch = watch or (lambda index, words, share, result: None)
    waiting: Queue[int] = Queue()
    for index in range(len(specs)):
        waiting.put(index)
    told: Queue[tuple[int, dict[str, Any]]] = Queue()
    count = max(1, min(jobs or os.cpu_count() or 1, len(specs)))
    workers = [_Worker(specs, str(out), waiting, told) for _ in range(count)]
    results: dict[int, Result] = {}
    stopped: list[str] = []
    try:
        while len(results) + len(stopped) < len(specs):
            index, message = told.get()
            if "error" in message:
                raise LifelongError(message["error"])
            if "stopped" in message:
                stopped.append(message["stopped"])
            elif "result" in message:
                results[index] = Result(message["result"])
                watch(index, "done", 1.0, results[index])
            else:
                watch(index, message["words"], message["share"], None)
    finally:
        for worker in workers:
            worker.ask()
        for worker in workers:
            worker.stop()
    collect(Path(out))
    if stopped:
        raise TimeUp(stopped[0])
    return [results[index] for index in range(len(specs))]


class _Worker:
    """A process that runs specs, one after another, and a thread that talks to it."""

    def __init__(
        self,
        specs: Sequence[Spec],
        out: str,
        waiting: Queue[int],
        told: Queue[tuple[int, dict[str, Any]]],
    ) -> None:
        self.specs, self.out, self.waiting, self.told = specs, out, waiting, told
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lifelong.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(max(spec.threads for spec in specs))},
        )
        threading.Thread(target=self._talk, daemon=True).start()

    def _talk(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        index = -1
        try:
            while True:
                index = self.waiting.get_nowait()
                self.process.stdin.write(json.dumps([self.specs[index].to_json(), self.out]) + "\n")
                self.process.stdin.flush()
                for line in self.process.stdout:
                    message = json.loads(line)
                    self.told.put((index, message))
                    if "words" not in message:
                        break
                else:
                    code = self.process.wait()
                    raise BrokenPipeError(f"a worker died with exit code {code}")
        except Empty:
            pass
        except (OSError, ValueError) as error:
            self.told.put((index, {"error": f"{error}: run the same command to continue"}))

    def ask(self) -> None:
        """Ask the process to end, behind a checkpoint."""
        self.process.terminate()

    def stop(self) -> None:
        """End the process, whatever it is doing: what it has not finished, it can continue."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
