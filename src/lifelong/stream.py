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
        """The labels that occur in the training set (or are told there), ascending, ``int64``."""
        y = self.train.y
        return np.unique(y) if y.ndim == 1 else np.flatnonzero(~np.isnan(y).all(0))


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
    own_ids: bool = False
    """Whether ids are the files' own, not numbers of rows."""
    how: dict[str, Any] = field(default_factory=dict, repr=False)
    """How the files were read, as the data set has it."""

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

    def blurred(self, blur: float) -> Stream:
        """The same tasks with blurred boundaries: only :meth:`flow`, the order of samples, changes.

        Around each boundary lies a window of ``blur`` of the smaller neighbour's length, half of it
        on either side. Across it the probability that a sample is the later task's rises linearly
        from 0 to 1 (as in Aljundi et al., "Task-free continual learning", 2019, whose streams change
        gradually); every sample still occurs once. The tasks, their test sets and with them R stay
        as they were, and a row of R is measured in the middle of each window.

        Only ``free`` has such an order: where the learner is handed whole tasks it is refused.
        """
        _share(blur=blur)
        if self.scenario != "free":
            raise LifelongError(
                f"blur mixes tasks in one flow, and {self.scenario!r} hands out whole tasks: use 'free'"
            )
        return Stream(**(self.__dict__ | {"description": self.description | {"blur": blur}}))

    def flow(self) -> Task:
        """The whole stream as the one task that a ``free`` learner meets, its samples in order."""
        tasks = list(self)
        train = Samples.concat([task.train for task in tasks])
        return Task(
            self.name,
            train.take(self._blurred(tasks)) if self.description.get("blur") else train,
            Samples.concat([task.test for task in tasks]),
            self.classes,
            self.scenario,
        )

    def _blurred(self, tasks: list[Task]) -> np.ndarray:
        """The order of the tasks' samples, a permutation, when the boundaries are blurred.

        In its window, a share from 0 to 1, each sample of the earlier task is given a place of
        density 2 (1 - place), each of the later one of density 2 place: side by side, ``place`` of
        the samples at any place are the later task's.
        """
        sizes = np.array([len(task.train) for task in tasks])
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + 0.5
        for task, end, size in zip(tasks, ends, np.minimum(sizes[:-1], sizes[1:]), strict=False):
            half = round(self.description["blur"] * size / 2)
            u = np.sqrt(_generator(self.description["seed"], "blur", task.number).random(2 * half))
            places[end - half : end + half] = end - half + 2 * half * np.append(1 - u[:half], u[half:])
        return np.argsort(places, kind="stable")


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

    With multi-label targets a sample comes to every task of which it has a label, and only the task's
    labels are told there.
    """
    several = data.train.y.ndim > 1
    if several and not all(
        (np.isin(s.y, (0, 1)) | np.isnan(s.y)).all() for s in (data.train, data.test)
    ):
        raise LifelongError(f"{data.name!r} has numbers, not labels to split: use by, permuted or whole")
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
        if several:
            rows = samples.take((samples.y[:, groups[i]] == 1).any(1))
            return _told(rows, rows.y[:, groups[i]], position[groups[i]], len(names))
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
    pad: int = 0,
    validation: float = 0.0,
) -> Stream:
    """One fixed random permutation of the inputs a task; the first task is not permuted.

    ``pad`` zeros are first put around every image (2 makes 28 x 28 pixels 32 x 32). Goodfellow et al.,
    "An empirical investigation of catastrophic forgetting" (2013).
    """
    at_least(1, tasks=tasks)
    at_least(0, pad=pad)
    if pad and data.train.x.ndim < 3:
        raise LifelongError(f"pad={pad}: {data.name!r} has no images to put zeros around; leave it out")

    def part(samples: Samples, i: int) -> Samples:
        if pad and "x" in samples:
            edges = [(0, 0), (pad, pad), (pad, pad), *[(0, 0)] * (samples.x.ndim - 3)]
            samples = samples.replace(x=np.pad(samples.x, edges))
        if i == 0:
            return samples
        size = int(np.prod(samples.x.shape[1:]))
        order = _generator(seed, "permutation", i).permutation(size)
        return samples.replace(x=samples.x.reshape(len(samples), -1)[:, order].reshape(samples.x.shape))

    names = [f"permutation {i}" for i in range(tasks)]
    description = {"kind": "permuted"} | ({"pad": pad} if pad else {})
    return _transformed(data, scenario, part, names, description, seed, validation)


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


def i_blurry(
    data: Dataset,
    tasks: int = 5,
    scenario: str = "free",
    *,
    disjoint: float = 0.5,
    blurry: float = 0.1,
    seed: int = 0,
    validation: float = 0.0,
) -> Stream:
    """i-Blurry-N-M: some classes come once, the others in every task, and mostly in one.

    Of the classes, a share ``disjoint`` (N) occur in one task alone. Each of the others is major in
    one task and minor elsewhere: a share ``blurry`` (M) of its samples is dealt evenly to the other
    tasks. Which classes those are, and which samples, is drawn from ``seed``; both kinds are spread
    over the tasks as evenly as they divide, and every sample occurs once. A task's test set holds
    the classes that are disjoint or major in it.

    Koh et al., "Online continual learning on class incremental blurry task configuration with
    anytime inference" (ICLR 2022), who use 50-10. The labels accumulate and classes come back, so the
    scenario is ``free``, as in the paper, or ``class``.
    """
    _accumulating("i-blurry", scenario)
    _share(disjoint=disjoint, blurry=blurry)
    count = len(data.classes)
    if not 2 <= tasks <= count:
        raise LifelongError(f"tasks={tasks}: {data.name!r} has {count} classes; give 2 to {count}")
    order = _generator(seed, "classes").permutation(count)
    once = round(disjoint * count)
    groups = [  # disjoint classes left over go to the first tasks, the others to the last
        np.append(a, b)
        for a, b in zip(
            np.array_split(order[:once], tasks), np.array_split(order[once:], tasks)[::-1], strict=True
        )
    ]
    home = np.empty(count, np.int64)
    for i, group in enumerate(groups):
        home[group] = i
    places = home[data.train.y]
    for c in order[once:]:
        rows = _generator(seed, "minor", int(c)).permutation(np.flatnonzero(data.train.y == c))
        minor = rows[: round(blurry * len(rows))]
        places[minor] = (home[c] + 1 + np.arange(len(minor)) % (tasks - 1)) % tasks
    position = np.empty(count, np.int64)
    position[np.concatenate(groups)] = np.arange(count)

    def part(samples: Samples, i: int) -> Samples:
        rows = samples.take((places if samples.y is data.train.y else home[samples.y]) == i)
        return rows.replace(y=position[rows.y])

    return _stream(
        data, scenario, tuple(data.classes[c] for c in np.concatenate(groups)), part,
        [" ".join(data.classes[c] for c in g) for g in groups],
        {"kind": "i-blurry", "tasks": tasks, "disjoint": disjoint, "blurry": blurry}, seed, validation,
    )  # fmt: skip


ROUNDS = 3
"""How often MNIST-360 goes through the pairs of digits."""


def mnist_360(
    data: Dataset, scenario: str = "free", *, seed: int = 0, validation: float = 0.0
) -> Stream:
    """MNIST-360: two digits at a time, that turn while they are shown. Sharp and smooth change.

    The pairs (0, 1), (1, 2), ..., (7, 8), (8, 0) come three times: 27 segments, the tasks. A digit is
    in six of them and shows a sixth of its samples in each, so every sample occurs once; the two are
    mixed in proportion. Digit d starts at 60 (d - 1) degrees and turns by 360 / (its samples) with
    every sample, one full turn over the stream, so that no digit is seen twice at one angle. There
    is no 9, which a 6 turns into. The order of each digit's samples is drawn from ``seed``.

    The test images are treated alike, so that a segment's test set shows its digits at its angles,
    and all test sets together show each digit once around.

    Buzzega et al., "Dark experience for general continual learning" (NeurIPS 2020). They
    test once, at the end, with each digit's turn begun at 0; the mean over R's last row stands for
    that figure. Digits come back, so the scenario is ``free``, as in the paper, or ``class``.
    """
    _accumulating("mnist-360", scenario)
    if data.classes != tuple("0123456789") or data.train.x.ndim < 3:
        raise LifelongError(f"mnist-360 turns images of the digits 0 to 9; {data.name!r} is other data")

    def shown(samples: Samples, digit: int, i: int) -> Samples:
        """The sixth of a digit's samples that segment i shows, turned."""
        rows = np.flatnonzero(samples.y == digit)
        order = _generator(seed, "turning", digit).permutation(len(rows))
        segments = [s for s in range(9 * ROUNDS) if digit in (s % 9, (s + 1) % 9)]
        mine = np.array_split(np.arange(len(rows)), len(segments))[segments.index(i)]
        taken = samples.take(rows[order[mine]])
        return taken.replace(x=_turned(taken.x, 60 * (digit - 1) + 360 * mine / len(rows)))

    def part(samples: Samples, i: int) -> Samples:
        both = [shown(samples, digit, i) for digit in (i % 9, (i + 1) % 9)]
        places = np.concatenate([(np.arange(len(one)) + 0.5) / max(1, len(one)) for one in both])
        return Samples.concat(both).take(np.argsort(places, kind="stable"))

    names = [f"{i % 9} {(i + 1) % 9}, round {i // 9 + 1}" for i in range(9 * ROUNDS)]
    description = {"kind": "mnist-360"}
    return _stream(data, scenario, data.classes[:9], part, names, description, seed, validation)


def _turned(images: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Each image ``[n, height, width, ...]`` by its angle, as :func:`rotated` turns them."""
    from scipy.ndimage import rotate

    turned = np.empty_like(images)
    for image, angle, out in zip(images, angles, turned, strict=True):
        rotate(image, angle, axes=(1, 0), reshape=False, order=0, output=out)
    return turned


def whole(data: Dataset, scenario: str = "class", *, seed: int = 0, validation: float = 0.0) -> Stream:
    """All of the data as one task; under ``free`` its rows come in the order that they have."""
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
        if rows.y.ndim > 1:
            return _told(rows, rows.y, np.arange(i * k, (i + 1) * k), len(classes))
        return rows.replace(y=rows.y + i * k)

    return _stream(data, scenario, classes, own, names, description, seed, validation)


def _told(samples: Samples, y: np.ndarray, columns: np.ndarray, width: int) -> Samples:
    """The samples with targets ``y`` in these of so many columns, the others not told."""
    whole = np.full((len(samples), width), np.nan, np.float32)
    whole[:, columns] = y
    return samples.replace(y=whole)


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
    again = ("permuted", "rotated") if data.train.y.ndim == 1 else ("permuted", "rotated", "split")
    if description["kind"] in again and len(names) * stride > 2**63:
        raise LifelongError(
            f"ids up to {stride - 1} leave no room for those of {len(names)} tasks: give smaller ids"
        )

    def make(i: int) -> Task:
        train, test = part(data.train, i), part(data.test, i)
        weight = {"weight": train.weight.astype(np.float32)} if "weight" in train else {}
        train, test = (Samples(x=s.x, y=s.y, id=s.id) for s in (train, test))
        train = train.replace(**weight)
        check(train, len(classes), f"the training set of task {names[i]!r}")
        check(test, len(classes), f"the test set of task {names[i]!r}")
        if description["kind"] in again:  # a picture comes back in every task
            train, test = (s.replace(id=s.id + i * stride) for s in (train, test))
        held = None
        if validation:
            rows = _held_out(train.y, validation, _generator(seed, "validation", i))
            train, held = train.take(~rows), train.take(rows)
        if scenario == "free":
            if description["kind"] not in ("mnist-360", "whole"):  # whose order is that of time
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
        data.own_ids and description["kind"] not in again,
        data.how,
    )


def _held_out(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A mask of ``share`` of the samples of every class (of all, where a sample has no one class)."""
    mask = np.zeros(len(y), bool)
    y = y if y.ndim == 1 else np.zeros(len(y), int)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        mask[rng.permutation(rows)[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return mask


def _share(**values: Any) -> None:
    """Refuse what is no share."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise LifelongError(f"{name}={value}: give a share in [0, 1]")


def _accumulating(kind: str, scenario: str) -> None:
    """Refuse a scenario in which a class would belong to one task, or labels to none."""
    if scenario in ("task", "domain"):
        raise LifelongError(f"the classes of {kind} come back: use the 'free' or 'class' scenario")


def _generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    if seed < 0:
        raise LifelongError(f"seed={seed}: give a number from 0")
    return np.random.default_rng([seed, index, *purpose.encode()])
