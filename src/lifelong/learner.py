"""The learner: model + method + objective + backend, with its whole state, and the loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import detection, objectives
from .backends import base as backends
from .batch import Batch, Outputs, Step
from .data.encoder import deviation
from .errors import NOT_FINITE, KnownFailure, LifelongError, at_least, require, unknown
from .evaluation import answerable
from .memory import Memory, whole_ids
from .method import THETA, Method, Part
from .optimize import Optimizer
from .optimize import optimizer as make_optimizer
from .samples import Samples, blocks
from .state import MemoryState, Nested
from .store import Kept, held, hold, restore, save, state
from .stream import Task

OUTPUT_SPACES = {"task": "task", "domain": "all", "class": "seen", "free": "all"}
"""The default output space of each scenario."""
CHUNK = 500
"""Rows at a time where nothing is trained."""
EPOCHS = 10
"""Passes over a task's samples, unless steps or epochs are given (one under ``free``)."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training within a task."""

    name: str = "train"
    steps: int = 0
    last: bool = False
    """Whether the task ends with it."""


@dataclass
class Position:
    """Where training stands: everything before it is done."""

    task: int = 0
    phase: int = 0
    step: int = 0
    learning: bool = False
    """Whether the task has begun."""
    mark: str = ""
    """A fingerprint of its labels and ids."""
    ends: list[int] = field(default_factory=list)
    """Steps of a flow behind which a boundary was detected."""
    memo: dict[str, Any] = field(default_factory=dict)
    """What the detector of boundaries knows."""

    def check(self) -> None:
        """Refuse, with :class:`ValueError`, what is no place in training."""
        for name in ("task", "phase", "step"):
            value = getattr(self, name)
            require(type(value) is int and value >= 0, f"the position's {name} is {value!r}")
        require(
            type(self.learning) is bool and type(self.mark) is str, "the position is of another type"
        )
        require(type(self.memo) is dict, "the detector's numbers are of another type")
        ends = self.ends
        fine = type(ends) is list and all(type(e) is int for e in ends) and ends == sorted(set(ends))
        if fine and ends:
            fine = ends[0] > 0 and (self.phase > 0 or ends[-1] <= self.step)
        require(fine, "the boundaries are no steps that were made")
        require(self.learning or self == Position(self.task), "the position is within no task")


class Learner:
    """A model that keeps learning.

    Args:
        model: a recipe (``ll.models.mlp(400, 400)``) or a framework's own module that ends in
            class scores (its outputs are then fixed in number).
        method: a part (``ll.ER(500)``), a composition (``ll.ER(500) + ll.EWC(1e5)``) or a name.
        objective: what the outputs mean: ``classification``, ``multi-label`` or ``regression``.
        optimizer: a recipe (``ll.SGD(0.1)``) or a name.
        batch: rows of the stream a step.
        epochs, steps: passes over a task's samples (10), or a number of steps; at most one of them.
        seed: of initial weights, order of samples, memories and every other draw.
        device: ``cpu``, ``cuda``, ``cuda:1`` ...
        precision: ``float32``, ``float64`` or ``bf16`` (autocast).
        output: the classes among which the learner decides: ``all`` of the stream, those ``seen``
            so far, those of the ``task``. Default: by scenario, ``seen`` under ``class``.
        class_weights: name of a class -> what its samples' losses are multiplied by (others: 1), or
            ``balanced``: n / (classes n_c), of the task's n training samples and its classes. Stored
            samples keep the weight that they had in their task.
        backend: ``torch`` or ``tensorflow``.
        boundaries: under ``free``, where none are told: end a task where a detector says so, by name
            (``loss``, ``drift``) or made (:mod:`lifelong.detection`). Default: nowhere.

    Raises:
        LifelongError: for arguments that make no sense, in one line.
    """

    def __init__(
        self,
        model: Any,
        method: str | Part | Method = "naive",
        objective: str = "classification",
        *,
        optimizer: str | Optimizer = "adam",
        batch: int = 128,
        epochs: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "float32",
        output: str | None = None,
        class_weights: str | Mapping[str, float] | None = None,
        backend: str = "torch",
        boundaries: str | detection.Detector | None = None,
    ) -> None:
        from .methods import method as make_method

        if epochs is not None and steps is not None:
            raise LifelongError("give epochs or steps, not both")
        at_least(1, batch=batch, epochs=epochs, steps=steps)
        at_least(0, seed=seed)
        if output not in (None, *OUTPUT_SPACES.values()):
            raise unknown("output space", output, set(OUTPUT_SPACES.values()))
        self.model = model
        self.method = Method([part.fresh() for part in make_method(method)])
        self.objective = objectives.make(objective)
        self._check_objective()
        self.class_weights = _class_weights(class_weights, self.objective)
        self.optimizer = make_optimizer(optimizer)
        self.batch, self.epochs, self.max_steps = batch, epochs, steps
        self.seed, self.device, self.precision, self.output = seed, device, precision, output
        self.boundaries = detection.make(boundaries)
        self.backend = backends.make(
            backend, optimizer=self.optimizer, device=device, precision=precision
        )
        self.ops = self.backend.ops
        self.inputs: Any = None
        """One sample's inputs ``[1, ...]``: their shape and type, once learning has started."""
        self.moves = 0
        """How often theta was changed."""
        self.clear()

    def clear(self) -> None:
        """Forget what was learned, but for what the backend and the parts hold."""
        self.rng = np.random.default_rng([self.seed, 0])
        self.rate = self.optimizer.lr
        self.position = Position()
        self.scenario: str | None = None
        self.classes: list[str] = []
        """The names of the classes; the column of a score is the index in here. Merged classes have
        one name, which stands for the first of their columns where samples are labelled."""
        self.retired: list[int] = []
        """Columns of classes that are no longer given as an answer."""
        self.seen: list[int] = []
        """Columns of the classes trained on so far, those of the current task included."""
        self.old: list[int] = []
        """Columns of the classes trained on before the current task."""
        self.heads: dict[int, list[int]] = {}
        """Task id -> columns of its classes, where the scenario tells the id in training."""
        self.initial_parameters = 0
        self.columns: list[int] = []
        """Columns that the output space admits in the current task."""
        self.arriving: list[int] = []
        """Columns of the current task's classes."""
        self.scale = np.empty((2, 0))
        """Of every output of an objective that scales its targets: mean and deviation, NaN where no
        task has told it yet, ``float64 [2, columns]``."""
        self.met_rows = 0
        """The stream's rows in the last step."""
        self.kept: Kept | None = None
        """What the file held, beside the learner, that it was loaded from."""
        self.task: Task | None = None
        self._masks: dict[str, Any] = {}
        self._order: tuple[tuple[int, int, int], np.ndarray] | None = None

    # ---- the loop
    def learn(self, task: Task) -> None:
        """Learn one task."""
        for _ in self.steps(task):
            pass

    def steps(self, task: Task) -> Iterator[Position]:
        """Begin a task, or go on where it stopped; each item is one more step or phase done."""
        return self._loop(self.enter(task))

    def _loop(self, task: Task) -> Iterator[Position]:
        position = self.position
        phases = self._phases(task)
        steps = [*(phase.steps for phase in phases), 0]
        if position.phase > len(phases) or position.step > steps[position.phase]:
            raise LifelongError("this learner was stopped at a step that the task does not have")
        for phase in phases[position.phase :]:
            self.backend.forget()
            while position.step < phase.steps:
                self.rate = self._rate(task, phases)
                step = self.step(self._draw(task))
                position.step += 1
                if self.boundaries and detection.ended(self, step) and position.step < phase.steps:
                    self._cross(task, phase)
                yield position
            self.consolidate(detection.segment(self, task), phase)
            yield position
        self.leave()

    def step(self, batch: Batch) -> Step:
        """One step: rows and draws, then the update, then the books."""
        with self._enough_memory():
            self.prepare(batch)
            self.met_rows = len(batch.samples)
            host = any(part.host for part in self.method)
            step = self.backend.run(self.update, batch, self.rate, whole=not host)
            self.moves += 1
            for observe in self.hooks["observe"]:
                observe(self, step)
        return step

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Within, too little memory is one clear error."""
        try:
            yield
        except Exception as error:
            if not self.backend.exhausted(error):
                raise
            said = str(error).partition("\n")[0] or "it is full"
            raise LifelongError(
                f"there is not enough memory to learn ({said}): "
                "choose a smaller model, batch or memory of samples"
            ) from None

    def prepare(self, batch: Batch) -> None:
        """Rows that parts add and every random draw of the step; then all columns become tensors."""
        for add in self.hooks["batch"]:
            add(self, batch)
        self.objective.draw(self, batch)
        if self.backend.random:
            batch.seed = int(self.rng.integers(2**63))
        self.backend.batch(batch)

    def update(self, batch: Batch, rate: Any) -> Step:
        """batch -> loss -> gradient -> update: what a backend may compile."""
        out, g = self.backend.gradient(batch, self.model_args, self.loss)
        applied = g
        for edit in self.hooks["gradient"]:
            applied = edit(self, batch, self.backend.flat(applied))
        direction, scale = self.backend.propose(applied, rate)
        for edit in self.hooks["step"]:
            direction, scale = edit(self, self.backend.flat(direction) * scale), 1.0
        self.backend.move(direction, scale)
        return Step(batch, out, (g, applied, direction), scale, self.backend.flat)

    def loss(self, batch: Batch, out: Outputs) -> Any:
        """The weighted mean of the rows' losses, plus the parts' own terms; a scalar."""
        return self.total(batch, out, self.losses(batch, out))

    def total(self, batch: Batch, out: Outputs, losses: Any) -> Any:
        """The same, of losses ``[rows]``."""
        total = self.mean(batch, losses)
        for term in self.hooks["loss"]:
            total = total + term(self, batch, out)
        return total

    def mean(self, batch: Batch, losses: Any) -> Any:
        """The weighted mean of losses ``[rows]``; a scalar."""
        ops, weight = self.ops, batch.weight
        return ops.mean(losses) if weight is None else ops.sum(losses * weight)

    def mean_loss(self, batch: Batch, out: Outputs) -> Any:
        """The weighted mean of the rows' losses, without the parts' terms; a scalar."""
        return self.mean(batch, self.losses(batch, out))

    def losses(self, batch: Batch, out: Outputs) -> Any:
        """The loss of every row, times the row's own ``weight`` where it has one, ``[rows]``."""
        criterion = self.method.owner("criterion")
        losses = (criterion.criterion if criterion else self.objective.losses)(self, batch, out)
        return losses * batch.tensors["weight"] if "weight" in batch else losses

    # ---- what the loop needs
    def enter(self, task: Task) -> Task:
        """Begin the task, unless a stopped run is in the middle of it; labels become columns.

        Raises:
            LifelongError: for samples that the learner cannot take, such as inputs that are not finite
                or whose squares are beyond the precision, and where there is too little memory.
        """
        with self._enough_memory():
            return self._enter(task)

    def _enter(self, task: Task) -> Task:
        self.objective.check(task.train)
        if self.inputs is None:
            self.start(task.train, task.scenario)
        self._check_inputs(task.train.x)
        if self.scenario != task.scenario:
            raise LifelongError(
                f"this learner began in the {self.scenario!r} scenario, not {task.scenario!r}"
            )
        begins = not self.position.learning
        mark = task.train.drop("x").fingerprint()
        if begins:
            self._admit_classes(task)
        elif mark != self.position.mark:
            raise LifelongError("another task was interrupted: finish it first, or load the last save")
        train = self.encode(self._weighted(task), task.classes)
        if not self.objective.known(train.y).all():
            raise LifelongError("the task that was interrupted has other classes: give that one")
        if self.objective.scaled:
            if begins:
                self._take_scale(train.y[:CHUNK] if task.ordered else train.y)
            train = train.replace(y=self._scaled(train.y))
        name = task.name if task.told else ""
        task = replace(task, name=name, train=train, test=Samples(), validation=None)
        self._activate(task)
        if begins:
            self.position.learning, self.position.mark = True, mark
            self._begin(task)
        owner = self.method.owner("data")
        self._samples = owner.data(self, task.train) if owner else task.train
        return task

    # ---- the scale of targets
    def _take_scale(self, y: np.ndarray) -> None:
        """Let outputs that are told for the first time be scaled by these targets ``[n, width]``."""
        scale = np.full((2, self.width), np.nan)
        scale[:, : self.scale.shape[1]] = self.scale
        for column in np.flatnonzero(np.isnan(scale[0]) & ~np.isnan(y).all(0)):
            told = y[~np.isnan(y[:, column]), column].astype(float)
            mean, sd = told.mean(), told.std()
            scale[:, column] = mean, deviation(mean, sd)
        self.scale = scale

    def _units(self) -> np.ndarray:
        """Mean and deviation of every column, 0 and 1 where nothing is known: ``[2, width]``."""
        units = np.repeat([[0.0], [1.0]], self.width, 1)
        held = self.scale
        units[:, : held.shape[1]] = np.where(np.isnan(held), units[:, : held.shape[1]], held)
        return units

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        """Targets ``[n, width]`` as the network learns them."""
        mean, sd = self._units()
        return ((y - mean) / sd).astype(np.float32)

    def unscaled(self, scores: np.ndarray) -> np.ndarray:
        """Scores ``[n, width]`` in the targets' units, float64; unchanged where none are scaled."""
        if not self.objective.scaled:
            return scores
        mean, sd = self._units()
        return scores.astype(float) * sd + mean

    def _begin(self, task: Task) -> None:
        if self.optimizer.reset and self.position.task:
            self._reset_optimizers()
        for begin in self.hooks["begin"]:
            begin(self, task)

    def _end(self, task: Task, phase: Phase) -> None:
        if not self.backend.sound:
            raise LifelongError(NOT_FINITE)
        with self._enough_memory():
            for end in self.hooks["end"]:
                end(self, task, phase)
        if not self.finite:
            raise LifelongError(NOT_FINITE)

    @property
    def finite(self) -> bool:
        """Whether all that was learned is: parameters, the optimizer's moments and the parts' state."""
        states = (state for part in self.method for state in part.states.values())
        return self.backend.sound and all(state.finite for state in states)

    def consolidate(self, task: Task, phase: Phase) -> None:
        """A phase has ended.

        Raises:
            LifelongError: where what was learned is not finite; then nothing of it can be saved.
        """
        self._end(task, phase)
        self.position.phase, self.position.step = self.position.phase + 1, 0

    def leave(self) -> None:
        """The task has ended."""
        self.position = Position(self.position.task + 1)

    def _cross(self, task: Task, phase: Phase) -> None:
        """A boundary was detected within a flow: what it ends is old, and the rest of it begins."""
        ended = detection.segment(self, task)
        self._end(ended, replace(phase, last=True))
        self.position.ends.append(self.position.step)
        self.position.task += 1
        self.old = sorted({*self.old, *ended.labels.tolist()})
        self._activate(task)
        self._begin(task)

    def _reset_optimizers(self) -> None:
        self.backend.reset_optimizer()
        for inner in self._inner:
            inner._reset_optimizers()

    @property
    def _inner(self) -> list[Learner]:
        """The learners within this one."""
        states = (state for part in self.method for state in part.states.values())
        return [state.value for state in states if isinstance(state, Nested)]

    def check(self, scenario: str) -> None:
        """Refuse a scenario that the method, the output space or the budget does not allow."""
        if self.boundaries:
            detection.check(self.boundaries, scenario, self.method)
        elif not self.method.supports(scenario):
            able = [s for s in OUTPUT_SPACES if self.method.supports(s)]
            raise LifelongError(
                f"{self.method.name} does not work in the {scenario!r} scenario: "
                f"choose {' or '.join(able) or 'another method'}"
            )
        if scenario not in self.objective.scenarios:
            fit = " or ".join(self.objective.scenarios) or "another objective"
            raise LifelongError(f"{self.objective.name} does not work under {scenario!r}: choose {fit}")
        if scenario == "free" and self.class_weights == "balanced":
            raise LifelongError("balanced class weights need a task's classes, which 'free' hides")
        if self.output == "task" and scenario != "task":
            raise LifelongError(f"output space 'task' needs task ids, which {scenario!r} hides")
        if scenario == "free" and (self.epochs or 1) > 1:
            raise LifelongError("the 'free' scenario is one pass over the stream: leave epochs out")
        if scenario == "free" and self.output == "seen":
            raise LifelongError(
                "output space 'seen' needs to be told what comes: use 'all' under 'free'"
            )

    def start(self, samples: Samples, scenario: str) -> None:
        """Build the network for inputs like these and let the parts declare their state."""
        self.check(scenario)
        failure = self.method.known_failure(scenario)
        if failure:
            warnings.warn(failure, KnownFailure, stacklevel=2)
        self.scenario = scenario
        self.output = self.output or OUTPUT_SPACES[scenario]
        self.build(np.zeros_like(samples.x[:1]))

    def build(self, inputs: np.ndarray) -> None:
        """Make the network for inputs ``[1, ...]`` like these; the parts declare their state."""
        generator = np.random.default_rng([self.seed, 1])
        with self._enough_memory():
            self.backend.build(self._recipe(1), self.objective.head, inputs, generator)
            self.inputs = inputs
            for part in self.method:
                part.bind(self)
        self.initial_parameters = self.parameters

    def _recipe(self, tasks: int) -> Any:
        """The network for so many tasks."""
        owner = self.method.owner("model")
        return owner.recipe(self, self.model, tasks) if owner else self.model

    def _admit_classes(self, task: Task) -> None:
        """Give the classes that arrive their columns, and the head its rows."""
        if not self.objective.head:
            return
        arriving = [task.classes[label] for label in task.labels]
        known = set(self.classes)
        names = task.classes if self.output == "all" else arriving
        self.grow([name for name in names if name not in known])
        columns = [self.classes.index(name) for name in arriving]
        self.old = list(self.seen)
        back = [c for c in self.retired if self.classes[c] in arriving]
        self.retired = [c for c in self.retired if c not in back]
        self.seen += [c for c in dict.fromkeys([*columns, *back]) if c not in self.seen]
        if "task" in task.train:
            self.admit_task(task.id, columns)

    def grow(self, names: Sequence[str]) -> None:
        """Add classes: theta, the optimizer's state and all declared state grow together."""
        fixed, count = self.backend.outputs, len(self.classes) + len(names)
        if fixed is not None and count > fixed:
            raise LifelongError(f"the model ends in {fixed} scores, for {count} classes")
        self.classes += names
        if not names or fixed is not None:
            return
        generator = np.random.default_rng([self.seed, 2, len(self.classes)])
        self._carry(self.backend.grow(generator, **{"class": len(self.classes)}))
        if len(self.classes) == len(names):
            self.initial_parameters = self.parameters

    def admit_task(self, task: int, columns: list[int]) -> None:
        """A task whose id is told: its head, and what parts have for each task."""
        known = len(self.heads)
        self.heads[task] = columns
        if len(self.heads) > known:
            generator = np.random.default_rng([self.seed, 5, known])
            self._carry(self.backend.grow(generator, task=known + 1))
            self.remodel()

    def remodel(self) -> None:
        """Let the method's own network, where it has one, be that for the tasks met so far."""
        tasks = len(self.heads)
        if tasks > 1 and self._recipe(tasks) != self._recipe(1):
            generator = np.random.default_rng([self.seed, 6, tasks])
            self._carry(self.backend.remodel(self._recipe(tasks), self.inputs, generator))

    def declare(self, name: str, weight: backends.Weight) -> None:
        """Give a part a trainable array in theta."""
        generator = np.random.default_rng([self.seed, 7, *name.encode()])
        self._carry(self.backend.declare(name, weight, generator))

    def _carry(self, remap: backends.Remap) -> None:
        """Theta has a new layout: all declared state follows."""
        for part in self.method:
            for declared in part.states.values():
                declared.grow(remap)

    def encode(self, samples: Samples, names: Sequence[str]) -> Samples:
        """The samples with ``y`` as columns of this learner; -1 for a class that it does not know.

        Targets ``[n, classes]`` become ``[n, columns]``, NaN for what these samples do not tell.
        """
        if not self.objective.head:
            return samples
        table = self.columns_of(names)
        if self.objective.labels:
            return samples.replace(y=table[samples.y])
        table = table[: samples.y.shape[1]]
        y = np.full((len(samples), self.width), np.nan, np.float32)
        y[:, table[table >= 0]] = samples.y[:, table >= 0]
        return samples.replace(y=y)

    def columns_of(self, names: Sequence[str]) -> np.ndarray:
        """This learner's columns of classes, -1 for those that it does not know, ``int64 [names]``."""
        column = {name: i for i, name in reversed(list(enumerate(self.classes)))}
        return np.array([column.get(name, -1) for name in names], np.int64)

    def _weighted(self, task: Task) -> Samples:
        """The training set, each row's weight times that of its class, if any."""
        samples, given = task.train, self.class_weights
        held = [memory.samples for memory in self.memories if memory.samples]
        if given is None:
            if held and "weight" in samples and "weight" not in held[0]:
                raise LifelongError("give weights from the first task on: what is stored has none")
            if not (held and "weight" in held[0]):
                return samples
            given = {}
        if isinstance(given, str):  # balanced
            counts = np.bincount(samples.y, minlength=len(task.classes))
            of = len(samples) / (np.maximum(counts, 1) * len(task.labels))
        else:
            for name in given:
                if name not in {*task.classes, *self.classes}:
                    raise unknown("class in class_weights", name, task.classes)
            of = np.array([given.get(name, 1.0) for name in task.classes])
        weight = of[samples.y] if self.objective.labels else np.ones(len(samples))
        weight = weight * samples.weight if "weight" in samples else weight
        return samples.replace(weight=weight.astype(np.float32))

    def answers(self, columns: Iterable[int]) -> list[int]:
        """Those of the columns whose class has not been retired."""
        return [c for c in columns if c not in self.retired]

    # ---- labels are names, between tasks
    def rename(self, name: str, new: str) -> None:
        """Call a class by another name from now on."""
        columns = self._columns(name)
        if new in self.classes:
            raise LifelongError(f"there is a class {new!r} already: merge {name!r} into it")
        self._call(columns, new)

    def merge(self, name: str, into: str) -> None:
        """Let two classes be one: from now on either's column answers ``into``.

        Stored samples become that one's. Data that arrives later under the old name is a new class.
        """
        columns, others = self._columns(name), self._columns(into)
        if columns == others:
            raise LifelongError(f"{name!r} cannot be merged into itself: name another class")
        both = {*columns, *others}
        if self.output == "task" and not any(both <= set(head) for head in self.heads.values()):
            raise LifelongError(f"{name!r} and {into!r} belong to different tasks: merge within one")
        if len(both & set(self.retired)) not in (0, len(both)):
            raise LifelongError(f"one of {name!r} and {into!r} is retired: readmit it, then merge")
        self._call(columns, into)
        for memory in self.memories:
            memory.relabel([*columns, *others], self.classes.index(into))
        self._forget_masks()

    def retire(self, name: str) -> None:
        """Give a class no more as an answer, and remove its samples from all memories.

        It comes back with :meth:`readmit`, or when data of that name is learned.
        """
        columns = self._columns(name)
        if columns[0] in self.retired:
            raise LifelongError(f"class {name!r} is retired already")
        if not set(self.answers(self.seen)) - set(columns):
            raise LifelongError(f"{name!r} is the last class: retire none, or make a new learner")
        self.retired += columns
        self.seen, self.old = self.answers(self.seen), self.answers(self.old)
        for memory in self.memories:
            if memory.samples is not None:
                memory.remove(memory.samples.id[np.isin(memory.samples.y, columns)])
        self._forget_masks()

    def readmit(self, name: str) -> None:
        """Give a retired class as an answer again, as well as it is still known."""
        columns = self._columns(name)
        if columns[0] not in self.retired:
            raise LifelongError(f"class {name!r} is not retired")
        self.retired = [c for c in self.retired if c not in columns]
        self.seen = [*self.seen, *columns]
        self._forget_masks()

    def forget(self, ids: Iterable[int]) -> int:
        """Remove the samples with these ids from all memories; how many were held.

        They go from the guard sets too that a loaded learner has beside it. Whatever is computed from a
        memory is computed anew. What the network learned from the samples stays in its parameters: to
        undo that, train a new one without them.

        Raises:
            LifelongError: for ids that are no whole numbers, and while a task is being learned.
        """
        self._between_tasks("forget samples")
        asked = whole_ids(ids)
        if self.kept is not None:
            self.kept.forget(asked)
        own = sum(memory.remove(asked) for memory in self.memories)
        return own + sum(inner.forget(asked) for inner in self._inner)

    def _columns(self, name: str) -> list[int]:
        """All columns of a class: several, where classes were merged."""
        self._between_tasks("change labels")
        if name not in self.classes:
            raise unknown("class", name, self.classes)
        return [c for c, other in enumerate(self.classes) if other == name]

    def _between_tasks(self, what: str) -> None:
        if self.position.learning:
            raise LifelongError(f"a task is being learned: {what} between tasks")

    def _call(self, columns: list[int], name: str) -> None:
        for column in columns:
            self.classes[column] = name

    def _forget_masks(self) -> None:
        self._masks = {}
        self.backend.forget()

    def budget(self, task: Task) -> int:
        """How many steps the task takes if no part changes its phases."""
        if self.max_steps is None or task.ordered:
            passes = 1 if task.ordered else self.epochs or EPOCHS
            return passes * self._per_pass(len(task.train))
        return self.max_steps

    def _phases(self, task: Task) -> list[Phase]:
        phases = [Phase("train", self.budget(replace(task, train=self._samples)))]
        for hook in self.hooks["phases"]:
            phases = hook(self, task, phases)
        return [*phases[:-1], replace(phases[-1], last=True)]

    def _rate(self, task: Task, phases: list[Phase]) -> float:
        schedule, position = self.optimizer.schedule, self.position
        done, total, index, length = position.step, phases[position.phase].steps, 0, 1
        if schedule.per == "stream":
            done += sum(phase.steps for phase in phases[: position.phase])
            total = sum(phase.steps for phase in phases)
            index, length = task.place
        return self.optimizer.lr * schedule.factor((index + done / total) / length, 1 / total / length)

    def _draw(self, task: Task) -> Batch:
        """The next rows: every pass is a permutation of its own (``free``: the stream's order)."""
        samples = self._samples
        count = self._per_pass(len(samples))
        passes, index = divmod(self.position.step, count)
        stop = len(samples) if index == count - 1 else (index + 1) * self.batch
        rows = samples.take(self._pass(passes)[index * self.batch : stop])
        fresh = None
        if self.position.phase == passes == 0:  # each sample of the stream is met for the first time
            fresh = rows if samples is task.train else rows.take(np.isin(rows.id, task.train.id))
        return Batch(rows, fresh)

    def _per_pass(self, rows: int) -> int:
        """Steps in a pass. A single row left over joins the batch before it (batch norm needs two)."""
        whole, left = divmod(rows, self.batch)
        return max(1, whole + (left > 1))

    def upcoming(self) -> Samples | None:
        """The stream's rows that the next step of this pass will learn; None behind the last."""
        position = self.position
        behind = position.phase or position.step >= self._per_pass(len(self._samples))
        if self.task is None or behind:
            return None
        return self._draw(self.task).samples

    def _pass(self, number: int) -> np.ndarray:
        """The order of the samples in this pass over them."""
        key = (self.position.task, self.position.phase, number)
        if self._order is None or self._order[0] != key:
            order = np.arange(len(self._samples))
            if self.task is not None and not self.task.ordered:
                order = np.random.default_rng([self.seed, 3, *key]).permutation(order)
            self._order = (key, order)
        return self._order[1]

    def _activate(self, task: Task) -> None:
        """Only the heads that rows of this task (or replayed ones) reach may move."""
        rows = None
        if self.output == "task" and not any(part.revisits for part in self.method):
            rows = np.array(self.heads[task.id])
        self.backend.activate(rows)
        self.columns = {
            "task": lambda: self.answers(self.heads[task.id]),
            "seen": lambda: list(self.seen),
            "all": lambda: self.answers(range(len(self.classes))),
        }[self.output]()  # type: ignore[index]
        self.arriving = task.labels.tolist()
        if self.boundaries:  # nobody tells which come
            self.arriving = [c for c in self.arriving if c not in self.old]
        self.task, self._masks, self._order = task, {}, None

    @cached_property
    def hooks(self) -> dict[str, list[Callable[..., Any]]]:
        names = [
            "begin",
            "phases",
            "batch",
            "model_args",
            "loss",
            "gradient",
            "step",
            "observe",
            "end",
        ]
        return {name: self.method.hooks(name) for name in names}

    # ---- what a method is offered
    @property
    def layout(self) -> dict[str, backends.Segment]:
        """Parameter name -> where it lies in theta."""
        statistics = self.backend.statistics
        return {name: s for name, s in self.backend.segments.items() if name not in statistics}

    @property
    def width(self) -> int:
        """How many scores the network gives each row."""
        return self.backend.outputs or len(self.classes)

    @property
    def first(self) -> np.ndarray:
        """For every column the first of the same name (merged classes share one), ``int [classes]``."""
        table = np.arange(self.width)
        place: dict[str, int] = {}
        for column, name in enumerate(self.classes):
            table[column] = place.setdefault(name, column)
        return table

    def indicator(self, columns: Any) -> Any:
        """A tensor ``bool [classes]``, True at these columns."""
        mask = np.zeros(self.width, bool)
        mask[columns] = True
        return self.ops.tensor(mask)

    def head_scores(self, features: Any, columns: Sequence[int], at: Any) -> Any:
        """Scores ``[rows, classes]`` of these columns alone, with parameters ``at``; others -1e9.

        The product has the columns' own width, so its bits do not depend on how many others exist.
        """
        ops = self.ops
        weight, bias = (
            ops.take(self._parameter(name, at), columns) for name in ("head.weight", "head.bias")
        )
        return ops.place(features @ ops.transpose(weight) + bias, list(columns), self.width)

    def own_head(self, batch: Batch, at: Any = None) -> Any:
        """Scores ``[rows, classes]`` of rows of one task by its own head alone; others -1e9."""
        out = self.outputs(batch, at)
        if "head.weight" not in self.layout:  # a model of the user's own
            return out.scores
        columns = self.heads[int(batch.task[0])]
        return self.head_scores(out.features, columns, self.theta if at is None else at)

    def task_index(self, batch: Batch) -> Any:
        """For every row, the place of its task in the order in which tasks were learned, ``[rows]``."""
        return self.ops.take(self.ops.tensor(self.places), batch.task)

    @property
    def places(self) -> np.ndarray:
        """Task id -> its place in the order in which tasks were learned; -1: not learned."""
        table = np.full(max(self.heads) + 1, -1)
        table[list(self.heads)] = np.arange(len(self.heads))
        return table

    def _parameter(self, name: str, at: Any) -> Any:
        segment = self.layout[name]
        return self.ops.reshape(at[segment.start : segment.stop], segment.shape)

    @property
    def pass_done(self) -> float:
        """How much of the current pass over the task's samples is done, from 0 to 1 in its last step."""
        steps = self._per_pass(len(self._samples))
        return (self.position.step % steps) / max(1, steps - 1)

    @property
    def gated(self) -> dict[str, int]:
        """The layers whose units can be gated, from the input up: name -> units."""
        units = getattr(self.model, "units", ())
        if not units:
            raise LifelongError("this method gates units: give it a network of ReLU layers, mlp or cnn")
        names = [name.removesuffix(".weight") for name in self.layout if name.endswith(".weight")]
        return dict(zip(names, units, strict=False))

    def assign(self, theta: Any) -> None:
        """Set all parameters at once (pruning does), between steps."""
        self.backend.assign(theta)
        self.moves += 1

    @property
    def moment_of_training(self) -> tuple[Any, ...]:
        """Differs wherever theta does, or what the current task has shown so far."""
        place = self.position
        return self.moves, place.task, place.phase, place.step, place.learning

    @property
    def met(self) -> Samples | None:
        """The current task's samples met so far; None between tasks."""
        if self.task is None or not self.position.learning:
            return None
        step, train = self.position.step, self.task.train
        if self.position.phase or step >= self._per_pass(len(self._samples)):
            return train
        met = self._samples.take(self._pass(0)[: step * self.batch])
        return met if self._samples is train else met.take(np.isin(met.id, train.id))

    @property
    def theta(self) -> Any:
        """All parameters, one vector; batch norm's running statistics are in there too."""
        return self.backend.theta

    @property
    def parameters(self) -> int:
        """How many parameters there are."""
        return sum(segment.size for segment in self.layout.values())

    @property
    def memory_bytes(self) -> int:
        """Bytes of all stored samples."""
        return sum(memory.nbytes for memory in self.memories)

    @property
    def memories(self) -> list[Memory]:
        """All memories of all parts."""
        states = (state for part in self.method for state in part.states.values())
        return [state.value for state in states if isinstance(state, MemoryState)]

    def snapshot(self) -> Any:
        """A copy of theta."""
        return self.backend.vector(THETA)

    def model_args(self, batch: Batch) -> dict[str, Any]:
        """The extra arguments of the model's call, from the objective and the parts."""
        args = self.objective.model_args(self, batch)
        for hook in self.hooks["model_args"]:
            args |= hook(self, batch)
        return args

    def admitted(self, batch: Batch, out: Outputs) -> Any:
        """The class scores, with those outside the output space at -1e9."""
        mask = self.mask(batch)
        return out.scores if mask is None else self.ops.where(mask, out.scores, -1e9)

    def mask(self, batch: Batch) -> Any:
        """Which classes each row may be given: ``[classes]``, ``[rows, classes]``, or None: all."""
        if self.output == "task":
            if "heads" not in self._masks:
                masks = np.zeros((max(self.heads) + 1, self.width), bool)
                for task, head in self.heads.items():
                    masks[task, self.answers(head)] = True
                self._masks["heads"] = self.ops.tensor(masks)
            return self.ops.take(self._masks["heads"], batch.task)
        columns = self.seen if self.output == "seen" else self.answers(range(len(self.classes)))
        if len(columns) == self.width:
            return None
        if "columns" not in self._masks:
            self._masks["columns"] = self.indicator(list(columns))
        return self._masks["columns"]

    def outputs(self, samples: Samples | Batch, at: Any = None, **args: Any) -> Outputs:
        """The network's outputs in evaluation mode, without gradient, with parameters ``at``."""
        if isinstance(samples, Batch):
            return self.backend.forward(samples, lambda batch: self.model_args(batch) | args, at)
        parts = [self.outputs(batch, at, **args) for batch in self.batches(samples)]
        return Outputs(**{k: self.ops.concat([vars(p)[k] for p in parts]) for k in vars(parts[0])})

    def features(self, samples: Samples, at: Any = None) -> Any:
        """The features below the head, ``[rows, features]``."""
        return self.outputs(samples, at).features

    def grad(self, batch: Batch) -> Any:
        """The gradient over theta of the mean loss of rows set aside, in evaluation mode.

        The method's own terms of the loss are not in it, and no statistics move.
        """
        found = self.backend.gradient(batch, self.model_args, self.mean_loss, training=False)
        return self.backend.flat(found[1])

    def moment(self, samples: Samples, f: Callable[..., Any], power: int) -> Any:
        """Per-sample moments, a float64 vector over theta: mean over samples of sum w |dv/dtheta|^power.

        ``f(out, batch)`` returns terms (w, v), each ``[rows]``. In evaluation mode; for dense layers
        layer by layer, elsewhere sample by sample.
        """
        return self.backend.moment(self.batches(samples), self.model_args, f, power) / len(samples)

    def batches(self, samples: Samples) -> Iterator[Batch]:
        """The samples in chunks, as tensors."""
        for start in range(0, len(samples), CHUNK):
            batch = Batch(samples.take(slice(start, start + CHUNK)))
            self.backend.batch(batch)
            yield batch

    def nested(self, recipe: Any, objective: str) -> Learner:
        """A learner of its own, for inputs like this one's, with the same optimizer and device."""
        own = np.random.SeedSequence([self.seed, 4]).generate_state(1)[0]  # not another run's seed
        inner = Learner(
            recipe, objective=objective, optimizer=self.optimizer, batch=self.batch,
            seed=int(own), device=self.device, precision=self.precision,
            backend=self.backend.name,
        )  # fmt: skip
        inner.build(self.inputs)
        return inner

    # ---- prediction
    @property
    def ready(self) -> bool:
        """Whether the learner can predict: it has learned something, and its parts agree."""
        return bool(self.seen) and all(part.ready(self) for part in self.method)

    def scores(self, batch: Batch) -> Any:
        """Class scores ``[rows, classes]``: the network's, or those of the read-out's owner."""
        owner = self.method.owner("readout")
        return owner.predict(self, batch) if owner else self.outputs(batch).scores

    def predict(self, x: Any, task: int | None = None) -> np.ndarray:
        """The name of the class of every row of ``x``, ``[n]``.

        With multi-label targets the list of its labels' names, with numbers the outputs themselves,
        ``[n]`` or ``[n, outputs]``.

        Args:
            x: inputs ``[n, ...]``, shaped as those it learned from.
            task: the task's id; needed in the ``task`` scenario and only there.
        """
        samples = self._asked(x, task)
        columns, answers = answerable(self) if task is None else self.heads[task], self.objective.answers
        found = [answers(self, batch, self.scores(batch), columns) for batch in self.batches(samples)]
        return np.concatenate(found) if found else np.empty(0, np.array(self.classes).dtype)

    def decision(self, x: Any, task: int | None = None) -> np.ndarray:
        """The scores by which :meth:`predict` decides, ``[n, width]``, of the classes in their order.

        Those of classes that may not be answered are -1e9.
        """
        batches = self.batches(self._asked(x, task))
        scored = ((batch, self.scores(batch)) for batch in batches)
        found = [self.admitted(batch, Outputs(scores=scores)) for batch, scores in scored]
        if not found:
            return np.empty((0, self.width))
        scores = self.ops.numpy(self.ops.concat(found))
        return np.where(scores == -1e9, scores, self.unscaled(scores))

    def _asked(self, x: Any, task: int | None) -> Samples:
        """The rows of a question, checked."""
        if self.inputs is None or not self.ready:
            raise LifelongError("this learner has learned nothing yet: call learn first")
        x = np.ascontiguousarray(x)
        self._check_inputs(x)
        if (task is None) == (self.scenario == "task"):
            told = "needs the task's id: predict(x, task=0)" if task is None else "is told no task id"
            raise LifelongError(f"a learner in the {self.scenario!r} scenario {told}")
        if task is not None and task not in self.heads:
            raise unknown("task", task, map(str, self.heads))
        samples = Samples(x=x)
        return samples if task is None else samples.replace(task=np.full(len(x), task))

    # ---- saving
    def save(self, path: str | Path) -> None:
        """Write the learner to one safetensors file, from which :func:`lifelong.load` reads it."""
        save(self, path)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The whole state: (arrays, JSON)."""
        return state(self)

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Load what :meth:`state` returned."""
        restore(self, arrays, manifest)

    def __getstate__(self) -> dict[str, Any]:
        """For ``copy`` and ``pickle``: the copy goes on learning exactly as this one would."""
        return held(self)

    def __setstate__(self, found: dict[str, Any]) -> None:
        hold(self, found)

    def _check_inputs(self, x: np.ndarray) -> None:
        """Refuse inputs that are not like those learned from."""
        if x.shape[1:] != self.inputs.shape[1:]:
            raise LifelongError(f"inputs {x.shape[1:]}: this learner takes {self.inputs.shape[1:]}")
        if x.dtype.kind != self.inputs.dtype.kind:
            raise LifelongError(
                f"inputs of {x.dtype}: this learner learned from {self.inputs.dtype} "
                "(uint8 means pixels from 0 to 255)"
            )
        self.check_finite(x)

    def check_finite(self, x: np.ndarray) -> None:
        """Refuse inputs ``[n, ...]`` that are not finite, or whose squares are beyond the precision."""
        if x.dtype.kind != "f":
            return
        limit, row = self.backend.largest**0.5, 0
        for block in blocks(x):
            least, most = float(block.min(initial=0)), float(block.max(initial=0))
            if not (-limit <= least and most <= limit):  # NaN neither
                rows = np.abs(block.reshape(len(block), -1)).max(1, initial=0).astype(float)
                row += int(np.argmin(rows <= limit))
                raise LifelongError(
                    f"row {row} of the inputs holds NaN, infinity or a number beyond {limit:.2g}: "
                    "fill it, drop it or scale it down"
                )
            row += len(block)

    def _check_objective(self) -> None:
        """Refuse a part for which the objective makes no sense."""
        for part in self.method:
            if "labels" in part.needs and not self.objective.labels:
                raise LifelongError(
                    f"{part.name} needs one label a sample: it does not work with {self.objective.name}"
                )


def _class_weights(given: Any, objective: objectives.Objective) -> str | dict[str, float] | None:
    """The class weights, checked."""
    if given is None:
        return None
    if not objective.labels:
        raise LifelongError(f"class weights are of classification: give {objective.name} sample weights")
    if given == "balanced":
        return "balanced"
    if not isinstance(given, Mapping) or not all(
        isinstance(w, (int, float)) and 0 <= w < np.inf for w in given.values()
    ):
        raise LifelongError(f"class_weights={given!r}: give {{'name': 2.0}}, from 0, or 'balanced'")
    return {str(name): float(weight) for name, weight in given.items()}
