"""A run in words: what the command line says, as a value that can be sent to a worker."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import data, detection, models, sources, track
from .data.formats import COLUMNS, Reading, form
from .errors import LifelongError, accept, at_least, of_types, unknown
from .method import part_names
from .optimize import Schedule, optimizer
from .samples import Dataset
from .stream import Stream

if TYPE_CHECKING:
    from .learner import Learner
    from .result import Result

STREAMS = {
    "split": ("classes_per_task", "natural_order", "validation", "blur"),
    "permuted": ("tasks", "pad", "validation", "blur"),
    "rotated": ("tasks", "angles", "validation", "blur"),
    "i-blurry": ("tasks", "disjoint", "blurry", "validation"),
    "mnist-360": ("validation",),
}
OTHERS = {"by": ("validation", "blur"), "whole": ("validation",)}
"""The streams, with the options that they take."""


LINEAR = (
    "perceptron", "pa", "pa-1", "pa-2", "cw", "cw-stdev", "arow", "scw-1", "scw-2", "nherd",
    "nb", "cnb", "ncm", "slda", "ridge", "svm", "lasvm",
)  # fmt: skip
"""The learners of :mod:`lifelong.linear` by name; the package itself is imported when one is used."""


OF_NETWORKS = (
    "model", "optimizer", "lr", "batch", "steps", "boundaries", "device", "precision", "backend",
    "output_space", "class_weights", "evaluate_every",
)  # fmt: skip
"""The options that mean nothing to a linear learner."""
OF_TASKS = ("by", "test", "stream", "tasks", "classes_per_task", "time_limit")
"""Those that mean nothing to rows that come by once."""
OF_TABLES = ("image_size", "scale", "missing", "columns", "dates")
"""Those that mean nothing to texts."""


def option(default: Any, help: str) -> Any:
    """A field that is a command-line option of the same name."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Spec:
    """One run: data, stream, method and learner, each by name. A field is a command-line option."""

    data: str
    method: str = option("naive", "the method, or several joined by +: er+ewc; own.py:Class")
    scenario: str = option("class", "task, domain, class or free")
    stream: str = option("split", f"{', '.join(list(STREAMS)[:-1])} or {list(STREAMS)[-1]}")
    tasks: int | None = option(None, "number of tasks of a permuted, rotated or i-blurry stream")
    classes_per_task: int | None = option(None, "classes of a split's task (own files: all)")
    by: str | None = option(None, "column that tells the task")
    target: str = option("label", "column that holds the label; of numbers, columns: price or a,b,c")
    text: str | None = option(None, "column that holds texts, for a linear method (default: text)")
    test: str | None = option(None, "file with the test set (otherwise 20 % is held out)")
    objective: str = option("classification", "classification, multi-label or regression")
    scale: str = option("first", "table: scale numbers by the first task's mean and sd; or none")
    missing: str = option("refuse", "missing table values: refuse, mean (of the first task), indicator")
    columns: str | None = option(None, "table: the inputs, a,b,c (default: all)")
    drop: str | None = option(None, "table: columns that are not read, as a,b")
    dates: str | None = option(None, "table: columns of dates, which become numbers of days")
    sep: str | None = option(None, "CSV: what separates columns (default: a comma; a tab in .tsv)")
    encoding: str | None = option(None, "CSV and JSONL: encoding of the text (default: utf-8)")
    most_columns: int | None = option(None, "JSONL: different keys at most (default: 10,000)")
    image_size: str | None = option(None, "resize the images of a folder: 32x32, or 32")
    model: str = option("mlp", "mlp, mlp:100,100, cnn:32,64, resnet18:20 or own.py:function")
    memory: str | None = option(None, "stored samples (500, 100/class) or bytes (2MB)")
    optimizer: str = option("adam", "sgd, adam or adamw")
    lr: float | None = option(None, "learning rate (default: the optimizer's)")
    batch: int = option(128, "rows a step")
    epochs: int | None = option(None, "passes over a task's samples")
    steps: int | None = option(None, "steps a task, instead of epochs")
    boundaries: str | None = option(None, "under free, detect where a task ends: loss, drift or told")
    delay: int = option(0, "under free, labels come so many rows late (linear methods)")
    seed: int = option(1, "of every random draw")
    device: str = option("cpu", "cpu, cuda, cuda:1")
    precision: str = option("float32", "float32, float64 or bf16")
    threads: int = option(1, "processor threads; part of a run's identity")
    backend: str = option("torch", "torch or tensorflow")
    output_space: str | None = option(None, "all, seen or task (default: by scenario)")
    class_weights: str | None = option(None, "balanced, or those that differ from 1: rare=5,spam=2")
    evaluate_every: int | None = option(None, "also evaluate inside tasks, every so many steps")
    checkpoint_every: float = option(10.0, "seconds between checkpoints")
    time_limit: float | None = option(None, "stop behind a checkpoint after so many seconds")
    track: str | None = option(None, "show metrics as they come: mlflow or tensorboard")
    set: tuple[str, ...] = option((), "part.key=value: er.admission=ring, schedule.kind=cosine")

    def make_stream(self) -> Stream:
        """The stream of tasks."""
        dataset = self._data()
        if self.linear and dataset.train.x.ndim > 2:
            raise LifelongError(
                f"{self.method} takes rows of numbers, no images: choose a network, as er"
            )
        at_least(1, tasks=self.tasks, classes_per_task=self.classes_per_task)
        kind, column = self._kind("task" in dataset.train)
        counts = {"tasks": self.tasks, "classes_per_task": self.classes_per_task}
        options: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
        options |= self._set().get("stream", {})
        accept(options, (STREAMS | OTHERS)[kind], f"this stream ({kind})")
        blur = options.pop("blur", None)
        options |= {"scenario": self.scenario, "seed": self.seed}
        if column is not None:
            options["column"] = column
        make: Callable[..., Stream] = getattr(dataset, kind.replace("-", "_"))
        return make(**options) if blur is None else make(**options).blurred(blur)

    def _kind(self, has_tasks: bool) -> tuple[str, str | None]:
        """(what the stream is made by, the column if it is one)."""
        if self.stream not in STREAMS:
            raise unknown("stream", self.stream, STREAMS)
        if self.by is not None:
            if self.stream != "split":
                raise LifelongError(f"--by and --stream {self.stream} contradict each other: give one")
            return "by", self.by
        named = self.data in data.DATASETS or (self.data in data.TEXTS and self.scenario != "free")
        if self.stream == "split" and self.classes_per_task is None and not named:
            return ("by", "task") if has_tasks else ("whole", None)
        return self.stream, None

    def _data(self) -> Dataset:
        """The data set: texts, where they are named and the method takes them."""
        linear = self.linear
        if self.data in data.TEXTS and not linear:
            raise LifelongError(f"{self.data} holds texts: choose a linear method, as in --method cw")
        if self.text is not None and not linear:
            raise LifelongError(
                f"{self.method} takes no texts: choose a linear method, as in --method cw"
            )
        if linear and self.takes_texts:
            if self.data in data.TEXTS:
                return data.published_texts(self.data)
            text = self.text or "text"
            return data.texts(
                self.data, text, self.target, self.by, self.test, most_columns=self._keys, **self._lines
            )
        target: str | tuple[str, ...] = self.target
        if self.objective != "classification" and data.kind(self.data) == "tables":
            target = names(self.target)
        files = (_stamp(self.data), _stamp(self.test))
        return _dataset(
            self.data, target, self.by, self.test, self.scale, self.missing, self.image_size,
            self._keys if self.most_columns is not None else None, files, names(self.columns),
            names(self.dates), **self._lines,
        )  # fmt: skip

    @property
    def _lines(self) -> dict[str, Any]:
        """How the lines of a table are read."""
        return {
            "sep": separator(self.sep), "encoding": self.encoding or "utf-8", "drop": names(self.drop),
        }  # fmt: skip

    @property
    def _keys(self) -> int:
        """How many different keys a JSONL file may have."""
        at_least(1, most_columns=self.most_columns)
        return COLUMNS if self.most_columns is None else self.most_columns

    @property
    def linear(self) -> bool:
        """Whether the method is a linear learner."""
        return self.method in LINEAR

    @property
    def flows(self) -> bool:
        """Whether the data is a file of texts that is read once, from its start to its end."""
        file = self.scenario == "free" and self.by is None and Path(self.data).is_file()
        return self.linear and (self.data == "-" or (file and self.takes_texts))

    @property
    def takes_texts(self) -> bool:
        """Whether the data are texts: a set of them, or files with a column of them."""
        if self.data == "-":
            return True
        if self.text is not None or self.data in data.TEXTS:
            return True
        lines = self._lines
        if not Reading(columns=names(self.columns), drop=lines["drop"]).keeps("text"):
            return False
        return data.has_column(self.data, "text", Reading(lines["sep"], lines["encoding"]))

    def make_linear(self) -> Any:
        """A fresh linear learner, with what it needs for texts and for a memory."""
        from .linear import HashingText, Replay, TextClassifier, make
        from .linear.defaults import weighting

        if self.objective != "classification":
            raise LifelongError(f"{self.method} tells classes apart: leave --objective out")
        at_least(1, epochs=self.epochs)
        if (self.scenario == "free" or self.flows) and (self.epochs or 1) > 1:
            raise LifelongError("the 'free' scenario is one pass over the stream: leave --epochs out")
        if self.flows:
            self.refuse(OF_TASKS, "is for tasks: this data is read once, row by row")
            if self.scenario not in ("class", "free"):
                raise LifelongError(
                    f"rows that come by once have no tasks: leave --scenario {self.scenario}"
                )
        if self.takes_texts:
            self.refuse(OF_TABLES, "is for tables and images: this data holds texts")
        options = self._set()
        if options.pop("stream", None) and self.flows:
            raise LifelongError("--set stream... is for tasks: this data is read once, row by row")
        mine = {self.method, "text", "replay"}
        for part in options:
            if part not in mine:
                raise unknown("part in --set", part, [*mine, "stream"])
        own, texts = options.get(self.method, {}), options.get("text", {})
        if self.takes_texts:
            accept(texts, [f.name for f in fields(HashingText)], "text")
            of_types(texts, HashingText, "text")
            vectorizer = HashingText(**{"weighting": weighting(self.method)} | texts)
            learner = TextClassifier(make(self.method, vectorizer.weighting, **own), vectorizer)
        elif texts:
            raise LifelongError("--set text... is for texts: this data has none")
        else:
            learner = make(self.method, **own)
        again = options.get("replay", {})
        if self.memory is None and again:
            raise LifelongError("--set replay... needs a memory: give --memory 1000")
        if self.memory is not None:
            accept(again, ("admission", "replays", "batch"), "replay")
            of_types(again, Replay, "replay")
            learner = Replay(learner, memory=_value(self.memory), seed=self.seed, **again)
        return learner.checked()

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Refuse options that differ from their defaults."""
        for f in fields(self):
            if f.name in names and getattr(self, f.name) != f.default:
                raise LifelongError(f"--{f.name.replace('_', '-')} {why}")

    def make_learner(self) -> Learner:
        """A fresh learner."""
        with sources.blamed(self.method, self.model):
            return self._make_learner()

    def _make_learner(self) -> Learner:
        from .learner import Learner
        from .methods import method, registry

        if self.data == "-":
            raise LifelongError("standard input is for linear methods: choose one, as in --method cw")
        for part in part_names(self.method):
            if part in LINEAR:
                raise LifelongError(f"{part} is a linear method, which stands alone: --method {part}")
            if not sources.is_file(part) and part not in registry():
                raise unknown("method", part, [*registry(), *LINEAR])
        if self.delay:
            raise LifelongError("--delay is for linear methods: choose one, as in --method cw")
        if self.scenario == "free" and self.steps is not None:
            raise LifelongError("the 'free' scenario is one pass over the stream: leave --steps out")
        options = self._set()
        recipe = self._model(options.pop("model", {}))
        extra = options.pop("optimizer", {})
        timed = options.pop("schedule", {})
        accept(timed, [f.name for f in fields(Schedule)], "schedule")
        of_types(timed, Schedule, "schedule")
        if timed:
            extra["schedule"] = Schedule(**timed)
        boundaries = detection.make(self.boundaries, **options.pop("boundaries", {}))
        options.pop("stream", None)
        self._memory(options)
        for part in options:
            mine = own_names(self.method)
            if part not in mine:
                known = [*mine, "boundaries", "model", "optimizer", "schedule", "stream"]
                raise unknown("part in --set", part, known)
        return Learner(
            recipe,
            method(self.method, options),
            self.objective,
            optimizer=optimizer(self.optimizer, self.lr, **extra),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            output=self.output_space,
            class_weights=_weights(self.class_weights),
            backend=self.backend,
            boundaries=boundaries,
        )

    def _model(self, options: dict[str, Any]) -> Any:
        """The recipe, or the network of a function of the user's own."""
        if not sources.is_file(self.model):
            return models.parse(self.model, options)

        def told(what: str) -> Any:
            stream = self.make_stream()
            return stream[0].train.x.shape[1:] if what == "shape" else len(stream.classes)

        return sources.make(self.model, told, options, self.backend, self.seed)

    @property
    def keeps_memory(self) -> bool:
        """Whether a part of the method stores samples, so that ``memory`` means something."""
        from .methods import kinds

        if self.linear:
            return True
        return any(f.name == "capacity" for kind in kinds(self.method) for f in fields(kind))  # type: ignore[arg-type]

    def _memory(self, options: dict[str, dict[str, Any]]) -> None:
        """``memory`` is the capacity of every part that has one."""
        from .memory import parse_capacity
        from .methods import kinds

        if self.memory is None:
            return
        parse_capacity(self.memory)
        for kind in kinds(self.method):
            if "capacity" in {f.name for f in fields(kind)}:  # type: ignore[arg-type]
                options[kind.name] = {"capacity": _value(self.memory)} | options.get(kind.name, {})

    def _set(self) -> dict[str, dict[str, Any]]:
        options: dict[str, dict[str, Any]] = {}
        for item in self.set:
            name, equals, value = item.partition("=")
            part, dot, key = name.partition(".")
            if not (equals and dot and part and key):
                raise LifelongError(f"--set {item}: write part.key=value, as in er.admission=ring")
            options.setdefault(part, {})[key] = _value(value)
        return options

    def run(self, out: str | Path | None = None, report: Any = None) -> Result:
        """Run it; see :func:`lifelong.run`. What fails in a file of the user's own is one line."""
        with sources.blamed(self.method, self.model):
            return self._run(out, report)

    def _run(self, out: str | Path | None, report: Any) -> Result:
        if self.linear:
            from .linear import runner

            shared = {
                "method": self.method,
                "seed": self.seed,
                "delay": self.delay,
                "command": self.command(),
                "report": report,
                "track": self.track,
            }
            if self.flows:
                text = self.text or "text"
                blocks = data.text_blocks(self.data, text, self.target, self._keys, **self._lines)
                name = "standard input" if self.data == "-" else form(self.data)[0]
                file = "-" if self.data == "-" else str(Path(self.data).resolve())
                about = {"file": file, "text": text, "target": self.target}
                how = {"target": self.target, "text": text, **self._lines}
                how["drop"] = list(how["drop"])
                shared |= {"about": about, "how": how}
                return runner.run_flow(self.make_linear(), blocks, name, out, **shared)
            learner, stream = self.make_linear(), self.make_stream()
            shared |= {"epochs": self.epochs or 1, "time_limit": self.time_limit}
            return runner.run(learner, stream, out, **shared)
        from .runner import run

        return run(
            self.make_learner(),
            self.make_stream(),
            out,
            self.evaluate_every,
            checkpoint_every=self.checkpoint_every,
            time_limit=self.time_limit,
            threads=self.threads,
            command=self.command(),
            report=report,
            track=self.track,
        )

    def check(self) -> str | None:
        """Refuse all that can be refused before the run; what is known to fail about it, if anything."""
        track.check(self.track)
        if self.linear:
            self.make_linear()
            if not self.flows:
                self.make_stream()
            return None
        learner = self.make_learner()
        at_least(1, threads=self.threads, evaluate_every=self.evaluate_every)
        stream = self.make_stream()
        learner.check(stream.scenario)
        for name in learner.class_weights if isinstance(learner.class_weights, dict) else ():
            if name not in stream.classes:
                raise unknown("class in --class-weights", name, stream.classes)
        return learner.method.known_failure(self.scenario)

    @property
    def folder(self) -> Path:
        """Where runs on this data live, unless another folder is given."""
        return Path("runs") / ("stdin" if self.data == "-" else form(self.data)[0])

    def command(self) -> str:
        """The command line that runs it."""
        words = ["lifelong", "run", self.data]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("data", "set") or value == f.default:
                continue
            words += [f"--{f.name.replace('_', '-')}", str(value)]
        for item in self.set:
            words += ["--set", item]
        return shlex.join(words)

    def to_json(self) -> str:
        """For a worker."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def from_json(text: str) -> Spec:
        """What :meth:`to_json` wrote."""
        values = json.loads(text)
        return Spec(**values | {"set": tuple(values["set"])})

    def with_(self, **changes: Any) -> Spec:
        """A copy with these fields changed."""
        return replace(self, **changes)


def check(specs: Sequence[Spec]) -> list[str]:
    """Refuse what can be refused before these runs, which differ by method; what is known to fail."""
    found = [spec.check() for spec in specs]
    if all(spec.linear for spec in specs):
        specs[0].refuse(OF_NETWORKS, f"is for networks: {specs[0].method} takes none")
    if specs[0].memory is not None and not any(spec.keeps_memory for spec in specs):
        methods = ", ".join(spec.method for spec in specs)
        raise LifelongError(f"{methods} stores no samples, so --memory means nothing: leave it out")
    return [failure for failure in found if failure]


def own_names(method: str) -> list[str]:
    """The parts' own names in a method's: ``er`` and ``anchor`` in ``er+own.py:Anchor``."""
    from .methods import checked

    named = part_names(method)
    return [checked(sources.load(n), n).name if sources.is_file(n) else n for n in named]


@lru_cache(maxsize=2)
def _dataset(
    name: str,
    target: str | tuple[str, ...],
    by: str | None,
    test: str | None,
    scale: str,
    missing: str,
    image_size: str | None,
    most_columns: int | None,
    files: tuple[Any, ...],
    columns: tuple[str, ...],
    dates: tuple[str, ...],
    sep: str | None,
    encoding: str,
    drop: tuple[str, ...],
) -> Dataset:
    """The data set; ``files`` are as they were when it was read."""
    if name in data.DATASETS:
        by = None  # a column that the data set has; the stream will look for it
    size = None if image_size is None else _size(image_size)
    return data.load(
        name, target=target, by=by, test=test, scale=scale, missing=missing, image_size=size,
        most_columns=most_columns, columns=columns, dates=dates, sep=sep, encoding=encoding, drop=drop,
    )  # fmt: skip


def names(text: str | None) -> tuple[str, ...]:
    """Those in a list of them: ``a,b,c``."""
    return tuple(name for part in (text or "").split(",") if (name := part.strip()))


def separator(text: str | None) -> str | None:
    """What separates columns; a tab may be written as ``\\t`` or ``tab``."""
    return "\t" if text in ("\\t", "tab") else text


def _stamp(name: str | None) -> tuple[Any, ...]:
    """Which files a path names, and when each was changed: what was read of them before is old then."""
    path = Path(name or "").expanduser()
    if name is None or name in data.DATASETS or not path.exists():
        return ()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file.absolute()), file.stat()) for file in files if file.exists()]
    return tuple((file, stat.st_mtime_ns, stat.st_size, stat.st_ino) for file, stat in stats)


def _size(text: str) -> tuple[int, int]:
    """Height and width: 32x24, or 32."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and (width or height).isdecimal()):
        raise LifelongError(f"--image-size {text}: give height and width in pixels, as in 32x32")
    return int(height), int(width or height)


def _weights(text: str | None) -> str | dict[str, float] | None:
    """``balanced``, or the weights of classes: rare=5,spam=2."""
    if text is None or text == "balanced":
        return text
    found = {}
    for item in text.split(","):
        name, equals, weight = item.rpartition("=")
        value = _value(weight)
        if not (equals and name) or isinstance(value, bool) or not isinstance(value, int | float):
            raise LifelongError(f"--class-weights {text}: give balanced, or names as in rare=5,spam=2")
        found[name.strip()] = float(value)
    return found


def _value(text: str) -> Any:
    """A number, true, false, null or a JSON list where it reads as one; else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value
