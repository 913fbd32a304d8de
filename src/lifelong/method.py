"""The contract between a learner and a method: parts, their hooks, and their declared state."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import LifelongError
from .memory import Memory
from .state import Array, Derived, MemoryState, Nested, Scalar, Snapshot, State, Vector, Weight

if TYPE_CHECKING:
    from .batch import Batch, Step
    from .learner import Learner, Phase
    from .samples import Samples
    from .stream import Task

THETA = "theta"
"""The fill of a vector whose new entries start at the parameters' own values."""

STAGES = ("regularize", "project", "mask")


def part_names(method: str) -> list[str]:
    """The parts' names in a method's: ``er+ewc``, ``der+++ewc``, ``er+./own.py:Anchor``."""
    return re.split(r"\+(?=[\w./~])", method)


class Part:
    """One idea, acting at the places it overrides. Every hook does nothing by default.

    A part is a dataclass: its fields are its hyper-parameters. All else that it knows is state,
    declared in :meth:`start` by assigning what :meth:`vector`, :meth:`array`, :meth:`scalar`,
    :meth:`memory`, :meth:`snapshot`, :meth:`learner` or :meth:`derived` returns; from then on the
    attribute reads and writes the state itself. From that one declaration follow saving, exact
    resuming, moving between devices and growth.

    Hooks marked PURE write nothing and draw nothing: a backend may compile them, and they may be
    called again when a run is resumed. Every random draw happens in the others, from ``learner.rng``.
    """

    # ---- what a part declares about itself
    name: ClassVar[str]
    family: ClassVar[str] = "own"
    """replay, regularization, isolation, prototype, generative, adapter or baseline"""
    paper: ClassVar[str] = ""
    scenarios: ClassVar[tuple[str, ...]] = ("task", "domain", "class", "free")
    needs: ClassVar[tuple[str, ...]] = ()
    """Any of "boundaries", "task ids", "raw inputs", "labels" (one of each sample)."""
    slots: ClassVar[tuple[str, ...]] = ()
    """What it replaces: "data", "criterion", "readout" and "model" follow from the hooks it overrides,
    "model" is declared too by a part that gates the network's units, "parameters" by one that decides
    which weights move. At most one owner each."""
    order: ClassVar[str] = "regularize"
    """When ``gradient`` and ``step`` run: regularize < project < mask."""
    host: ClassVar[bool] = False
    """Whether ``gradient`` or ``step`` needs numbers (a dual program's, say): a backend that compiles
    then runs them between two compiled pieces."""
    revisits: ClassVar[bool] = False
    """Whether its rows may come from earlier tasks, so that their heads must stay trainable."""
    fails: ClassVar[dict[str, str]] = {}
    """Scenario -> the published figure that shows that it is known to fail there."""

    def __init_subclass__(cls) -> None:
        hooks = {"data": "data", "criterion": "criterion", "predict": "readout", "recipe": "model"}
        own = {slot for hook, slot in hooks.items() if getattr(cls, hook) is not getattr(Part, hook)}
        cls.slots = tuple(sorted({*cls.slots, *own}))

    # ---- hooks
    def start(self, learner: Learner) -> None:
        """Once, before the first task: declare state."""

    def recipe(self, learner: Learner, model: Any, tasks: int) -> Any:
        """PURE, slot ``model``: the network to build in place of ``model`` for so many tasks (from 1).

        Parameters of the same name stay as they are when a task adds others.
        """
        return model

    def begin(self, learner: Learner, task: Task) -> None:
        """A task begins (under ``free``: once)."""

    def data(self, learner: Learner, samples: Samples) -> Samples:
        """PURE, slot ``data``: the samples to train on, given those of the task."""
        return samples

    def phases(self, learner: Learner, task: Task, phases: list[Phase]) -> list[Phase]:
        """PURE: the phases in which the task is learned, given those so far (one)."""
        return phases

    def batch(self, learner: Learner, batch: Batch) -> None:
        """Add rows: ``batch.add(samples, by=self)``. Every random draw of a step happens here."""

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        """PURE: extra arguments of the model's call (gates, a column, noise)."""
        return {}

    def criterion(self, learner: Learner, batch: Batch, out: Any) -> Any:
        """PURE, slot ``criterion``: the loss per row, ``[rows]``, in place of the objective's."""
        raise NotImplementedError

    def loss(self, learner: Learner, batch: Batch, out: Any) -> Any:
        """PURE: a scalar added to the loss. The part's own rows are ``out[batch.rows(self)]``."""
        raise NotImplementedError

    def gradient(self, learner: Learner, batch: Batch, g: Any) -> Any:
        """PURE: edit the gradient, a vector over theta."""
        return g

    def step(self, learner: Learner, d: Any) -> Any:
        """PURE: edit the proposed change of theta, last of all: what it zeroes stays to the bit."""
        return d

    def observe(self, learner: Learner, step: Step) -> None:
        """After the update: keep books on ``step.batch .out .g .applied .d``."""

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        """A phase ends: consolidate."""

    def ready(self, learner: Learner) -> bool:
        """Whether the part can predict yet; until then nothing is measured."""
        return True

    def predict(self, learner: Learner, batch: Batch) -> Any:
        """Slot ``readout``: scores ``[rows, classes]`` in place of the network's."""
        raise NotImplementedError

    # ---- declarations of state
    def vector(self, fill: float | str = 0.0, dtype: str | None = None) -> Any:
        """A vector over theta; entries that growth adds start at ``fill`` (or ``THETA``)."""
        return Vector(fill, dtype)

    def weight(self, axes: tuple[int | str, ...], fill: float = 0.0, sd: float = 0.0) -> Any:
        """A trainable array, part of theta; it begins at ``fill``, plus normal noise of this sd.

        ``"task"`` as the first axis gains a row with each task. The attribute may be read only.
        """
        return Weight(axes, fill, sd)

    def array(self, axes: tuple[int | str, ...], fill: float = 0.0, dtype: str | None = None) -> Any:
        """An array whose ``"class"`` and ``"task"`` axes grow with the learner's classes and tasks."""
        return Array(axes, fill, dtype)

    def scalar(self, value: float = 0) -> Any:
        """A number."""
        return Scalar(value)

    def memory(
        self,
        capacity: int | str | None,
        admission: str = "reservoir",
        group: str = "class",
        wide: tuple[str, ...] = (),
    ) -> Any:
        """Stored samples; see :class:`lifelong.memory.Memory`.

        The columns named in ``wide`` are ``[n, classes]`` and grow with the learner's classes, NaN
        standing for what was not there when a sample was stored.
        """
        return MemoryState(Memory(capacity, admission, group), wide)

    def snapshot(self, of: Learner | None = None) -> Any:
        """A frozen copy of a learner's parameters (this learner's, unless ``of`` is given)."""
        return Snapshot(of)

    def learner(self, recipe: Any, objective: str) -> Any:
        """A learner inside the learner, in the same checkpoint (a generator, say)."""
        return Nested(recipe, objective)

    def derived(
        self, compute: Callable[[], Any], *of: str, facts: Callable[[], Any] = lambda: None
    ) -> Any:
        """What ``compute()`` makes of the other state when it is next read; never saved.

        Computed anew where a state named in ``of`` has changed, a memory's samples included, or what
        ``facts()`` tells of the learner is no longer equal; and after loading, after growth and after
        None is assigned to it.
        """
        states = self.__dict__["states"]
        return Derived(compute, lambda: (*(states[name].changes for name in of), facts()))

    # ---- the machinery behind them
    def bind(self, learner: Learner) -> None:
        """Called by the learner: declare the state, for this learner."""
        self.__dict__["_owner"] = learner
        self.__dict__["states"] = {}
        self.start(learner)

    def fresh(self) -> Part:
        """The same part without state: every learner has its own."""
        part = copy.copy(self)
        part.__dict__["states"] = {}
        part.__dict__.pop("_owner", None)
        return part

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON knows them."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        states: dict[str, State] = self.__dict__.get("states", {})
        if isinstance(value, State):
            if name in self.__dict__ or hasattr(type(self), name):
                raise LifelongError(f"{self.name}: {name!r} has a meaning already, rename that state")
            if isinstance(value, Weight):
                value.name = f"{self.name}.{name}"
            value.allocate(self.__dict__["_owner"])
            states[name] = value
        elif name in states:
            states[name].write(value)
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        states = self.__dict__.get("states", {})
        if name in states:
            return self.__dict__["_owner"].backend.read(states[name])
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __add__(self, other: Part | Method) -> Method:
        return Method([self]) + other


class Method:
    """Parts that act together: ``ER(500) + EWC(1e5)``. The order of ``+`` does not matter."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = sorted(parts, key=lambda p: (STAGES.index(p.order), p.name))
        names = [part.name for part in self.parts]
        for part in self.parts:
            if names.count(part.name) > 1:
                raise LifelongError(f"{part.name} stands twice in one method: give it once")
        for slot in ("data", "criterion", "readout", "model", "parameters"):
            owners = [part.name for part in self.parts if slot in part.slots]
            if len(owners) > 1:
                raise LifelongError(
                    f"{' and '.join(owners)} cannot be combined: both replace the {slot}; drop one"
                )

    @property
    def name(self) -> str:
        """The command-line name, ``er+ewc``; ``naive`` beside others is not said."""
        names = sorted(part.name for part in self.parts)
        return "+".join([n for n in names if n != "naive"] or ["naive"])

    @property
    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """Every part's constructor arguments."""
        return {part.name: part.hyperparameters for part in self.parts}

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """This hook of every part that overrides it, in order."""
        overrides = (p for p in self.parts if getattr(type(p), hook) is not getattr(Part, hook))
        return [getattr(part, hook) for part in overrides]

    def parts_alone(self) -> Method:
        """The same without state."""
        return Method([part.fresh() for part in self.parts])

    def owner(self, slot: str) -> Part | None:
        """The part that owns ``slot``, if any."""
        return next((part for part in self.parts if slot in part.slots), None)

    def known_failure(self, scenario: str) -> str | None:
        """What is published about this method's failure there, if it is used alone."""
        alone = self.parts[0] if len(self.parts) == 1 else None
        if alone is None or scenario not in alone.fails:
            return None
        figure = alone.fails[scenario]
        return f"{alone.name} alone is known to fail in the {scenario!r} scenario: {figure}"

    def supports(self, scenario: str) -> bool:
        """Whether every part does."""
        return all(scenario in part.scenarios for part in self.parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __add__(self, other: Part | Method) -> Method:
        return Method([*self.parts, *(other.parts if isinstance(other, Method) else [other])])

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))
