"""Streams: sequences of tasks, made from a data set.

A stream is a sequence and nothing more: ``stream[i]``, ``stream[:i + 1]`` ("so far") and
``len(stream)``. Iterating keeps no state on it, and every task is made anew when asked for, so a
stream of 50 permutations costs no more memory than one.

========  =========================================  =======================================
scenario  what the learner is told                   labels
========  =========================================  =======================================
task      the task, in training and in testing       one head a task
domain    never the task                             the same in every task
class     the task in training only                  accumulate
free      nothing, not even that a task has ended    accumulate; one pass over the samples
========  =========================================  =======================================

The first three are van de Ven, Tuytelaars & Tolias, "Three types of incremental learning",
Nature Machine Intelligence 4 (2022); ``free`` is the task-agnostic paradigm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .errors import LifelongError, at_least, unknown
from .samples import Dataset, Samples, check

if TYPE_CHECKING:
    from .data.encoder import Encoder

SCENARIOS = ("task", "domain", "class", "free")


@dataclass(frozen=True)
class Task:
    """What arrives at once: a training set, a test set, its classes, its place in the stream."""

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    """The names of all classes of the stream, which ``y`` indexes."""
    scenario: str
    place: tuple[int, int] = (0, 1)
    """(index, length of the stream)."""
    validation: Samples | None = None
    number: int = 0
    """The id, wherever it is told: the place in the whole stream, of which this may be a slice."""

    @property
    def id(self) -> int:
        """What its samples' column ``task`` says. Raises where the scenario hides it."""
        if not self.told:
            raise LifelongError(f"the task id is hidden in the {self.scenario!r} scenario")
        return self.number

    @property
    def told(self) -> bool:
        """Whether the scenario tells the learner in training which task this is."""
        return self.scenario in ("task", "class")

    @property
    def last(self) -> bool:
        """Whether the stream ends with this task."""
        return self.place[0] == self.place[1] - 1

    @property
    def ordered(self) -> bool:
        """Whether the samples come once, in their own order (``free``)."""
        return self.scenario == "free"

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels that occur in the training set, ascending, ``int64``."""
        return np.unique(self.train.y)


@dataclass(frozen=True, eq=False)
class Stream(Sequence[Task]):
    """A sequence of tasks over one data set."""

    name: str
    scenario: str
    classes: tuple[str, ...]
    description: dict[str, Any]
    """How the stream was made, in words JSON knows: part of a run's identity."""
    fingerprint: str
    make: Callable[[int], Task] = field(repr=False)
    indices: range
    encoder: Encoder | None = None
    """What made the inputs of a table."""

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, i: int) -> Task: ...
    @overload
    def __getitem__(self, i: slice) -> Stream: ...
    def __getitem__(self, i: int | slice) -> Task | Stream:
        if isinstance(i, slice):
            return Stream(**(self.__dict__ | {"indices": self.indices[i]}))
        i = range(len(self))[i]
        return replace(self.make(self.indices[i]), place=(i, len(self)))

    def __iter__(self) -> Iterator[Task]:
        return (self[i] for i in range(len(self)))

    def flow(self) -> Task:
        """The whole stream as the one task that a ``free`` learner meets, its samples in order."""
        tasks = list(self)
        return Task(
            self.name,
            Samples.concat([task.train for task in tasks]),
            Samples.concat([task.test for task in tasks]),
            self.classes,
            self.scenario,
        )


def split(
    data: Dataset,
    classes_per_task: int = 2,
    scenario: str = "class",
    *,
    seed: int = 0,
    natural_order: bool = False,
    validation: float = 0.0,
) -> Stream:
    """Disjoint groups of ``classes_per_task`` classes, one group a task.

    The order of the classes is drawn from ``seed`` (``natural_order=True`` keeps that of the data
    set). Classes that are left over join the last task; none is dropped. Under ``domain`` a label
    is the class's position within its task.
    """
    if not 1 <= classes_per_task <= len(data.classes):
        raise LifelongError(
            f"classes_per_task={classes_per_task}: {data.name!r} has {len(data.classes)} classes"
        )
    order = np.arange(len(data.classes))
    if not natural_order:
        order = _generator(seed, "classes").permutation(order)
    count = len(order) // classes_per_task
    bounds = [i * classes_per_task for i in range(count)] + [len(order)]
    groups = [order[a:b] for a, b in pairwise(bounds)]
    position = np.empty(len(order), np.int64)
    if scenario == "domain":
        for group in groups:
            position[group] = np.arange(len(group))
        names = tuple(str(i) for i in range(max(map(len, groups))))
    else:
        position[order] = np.arange(len(order))
        names = tuple(data.classes[c] for c in order)

    def part(samples: Samples, i: int) -> Samples:
        rows = samples.take(np.isin(samples.y, groups[i]))
        return rows.replace(y=position[rows.y])

    return _stream(
        data, scenario, names, part, [" ".join(data.classes[c] for c in g) for g in groups],
        {"kind": "split", "classes_per_task": classes_per_task, "natural_order": natural_order},
        seed, validation,
    )  # fmt: skip


def permuted(
    data: Dataset,
    tasks: int = 10,
    scenario: str = "domain",
    *,
    seed: int = 0,
    validation: float = 0.0,
) -> Stream:
    """One fixed random permutation of the inputs a task; the first task is not permuted.

    Goodfellow et al., "An empirical investigation of catastrophic forgetting" (2013).
    """
    at_least(1, tasks=tasks)

    def part(samples: Samples, i: int) -> Samples:
        if i == 0:
            return samples
        size = int(np.prod(samples.x.shape[1:]))
        order = _generator(seed, "permutation", i).permutation(size)
        return samples.replace(x=samples.x.reshape(len(samples), -1)[:, order].reshape(samples.x.shape))

    names = [f"permutation {i}" for i in range(tasks)]
    return _transformed(data, scenario, part, names, {"kind": "permuted"}, seed, validation)


def rotated(
    data: Dataset,
    tasks: int | None = None,
    scenario: str = "domain",
    *,
    angles: Sequence[float] | None = None,
    seed: int = 0,
    validation: float = 0.0,
) -> Stream:
    """One rotation of the images (``[n, height, width, ...]``) a task, 10 tasks by default.

    The angle of task t, in degrees, is ``angles[t]``, or drawn uniformly from the t-th of ``tasks``
    equal bins of [0, 180), as in Lopez-Paz & Ranzato, "Gradient episodic memory" (2017).
    """
    if data.train.x.ndim < 3:
        raise LifelongError(f"{data.name!r} holds no images to rotate (inputs {data.train.x.shape})")
    at_least(1, tasks=tasks)
    tasks = tasks or (10 if angles is None else len(angles))
    if angles is None:
        draws = _generator(seed, "angles").random(tasks)
        angles = [(i + u) * 180 / tasks for i, u in enumerate(draws)]
    if len(angles) != tasks:
        raise LifelongError(f"{len(angles)} angles for {tasks} tasks")
    turns = list(angles)

    def part(samples: Samples, i: int) -> Samples:
        from scipy.ndimage import rotate

        x = rotate(samples.x, turns[i], axes=(2, 1), reshape=False, order=0)
        return samples.replace(x=x)

    names = [f"{angle:.0f}°" for angle in turns]
    description = {"kind": "rotated", "angles": [float(a) for a in turns]}
    return _transformed(data, scenario, part, names, description, seed, validation)


def by(
    data: Dataset,
    column: str,
    scenario: str = "domain",
    *,
    seed: int = 0,
    validation: float = 0.0,
) -> Stream:
    """One task a value of ``column``, in the order in which the values first appear."""
    if column not in data.train:
        columns = [c for c in data.train if c not in ("x", "y", "id")]
        if not columns:
            raise LifelongError(f"{data.name!r} has no column {column!r} to tell tasks by")
        raise unknown("column", column, columns)
    values, first = np.unique(data.train.columns[column], return_index=True)
    values = values[np.argsort(first)]
    strange = np.setdiff1d(data.test.columns[column], values)
    if len(strange):
        raise LifelongError(f"the test set has {column}={strange[0]!s}, the training set has not")

    def part(samples: Samples, i: int) -> Samples:
        return samples.take(samples.columns[column] == values[i]).drop(column)

    names = [str(v) for v in values]
    description = {"kind": "by", "column": column}
    if scenario == "task":
        return _transformed(data, scenario, part, names, description, seed, validation)
    return _stream(data, scenario, data.classes, part, names, description, seed, validation)


def whole(data: Dataset, scenario: str = "class", *, seed: int = 0, validation: float = 0.0) -> Stream:
    """All of the data as one task."""
    description = {"kind": "whole"}
    return _stream(
        data, scenario, data.classes, lambda s, i: s, [data.name], description, seed, validation
    )


def _transformed(data, scenario, part, names, description, seed, validation) -> Stream:
    """Tasks that share their labels: under ``task`` and ``class`` each gets classes of its own."""
    if scenario not in ("task", "class"):
        return _stream(data, scenario, data.classes, part, names, description, seed, validation)
    k = len(data.classes)
    classes = tuple(f"{name}: {c}" for name in names for c in data.classes)

    def own(samples: Samples, i: int) -> Samples:
        rows = part(samples, i)
        return rows.replace(y=rows.y + i * k)

    return _stream(data, scenario, classes, own, names, description, seed, validation)


def _stream(
    data: Dataset,
    scenario: str,
    classes: tuple[str, ...],
    part: Callable[[Samples, int], Samples],
    names: list[str],
    description: dict[str, Any],
    seed: int,
    validation: float,
) -> Stream:
    """The stream whose task i is ``part(samples, i)`` of the training and the test set."""
    if not 0 <= validation < 1:
        raise LifelongError(f"validation={validation}: give a share of the training set in [0, 1)")
    if not names:
        raise LifelongError("a stream needs at least one task")
    if scenario not in SCENARIOS:
        raise unknown("scenario", scenario, SCENARIOS)
    if data.refit is not None:
        data = data.refit(part(data.train.drop("x"), 0).id)
    stride = max(int(data.train.id.max()), int(data.test.id.max())) + 1

    def make(i: int) -> Task:
        train, test = part(data.train, i), part(data.test, i)
        train, test = (Samples(x=s.x, y=s.y, id=s.id) for s in (train, test))
        check(train, len(classes), f"the training set of task {names[i]!r}")
        check(test, len(classes), f"the test set of task {names[i]!r}")
        if description["kind"] in ("permuted", "rotated"):  # a picture comes back in every task
            train, test = (s.replace(id=s.id + i * stride) for s in (train, test))
        held = None
        if validation:
            rows = _held_out(train.y, validation, _generator(seed, "validation", i))
            train, held = train.take(~rows), train.take(rows)
        if scenario == "free":
            train = train.take(_generator(seed, "flow", i).permutation(len(train)))
        elif scenario in ("task", "class"):
            train, test = (s.replace(task=np.full(len(s), i)) for s in (train, test))
            if held is not None:
                held = held.replace(task=np.full(len(held), i))
        return Task(names[i], train, test, classes, scenario, (i, len(names)), held, i)

    return Stream(
        data.name,
        scenario,
        classes,
        description | {"scenario": scenario, "seed": seed, "validation": validation},
        f"{data.train.fingerprint()}-{data.test.fingerprint()}",
        make,
        range(len(names)),
        data.encoder,
    )


def _held_out(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A mask of ``share`` of the samples of every class."""
    mask = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        mask[rng.permutation(rows)[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return mask


def _generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    if seed < 0:
        raise LifelongError(f"seed={seed}: give a number from 0")
    return np.random.default_rng([seed, index, *purpose.encode()])
