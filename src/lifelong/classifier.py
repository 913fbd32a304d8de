"""The neural learner under scikit-learn's contract: a classifier and a regressor.

>>> clf = LifelongClassifier(method="er", memory=500, random_state=0)
>>> X, y = np.eye(4).repeat(8, 0), np.repeat(["a", "b", "c", "d"], 8)
>>> clf.partial_fit(X[:16], y[:16]).partial_fit(X[16:], y[16:]).classes_.tolist()
['a', 'b', 'c', 'd']
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import models
from .data.encoder import deviation
from .errors import LifelongError, intact, require
from .learner import Learner
from .linear.estimator import Incremental
from .linear.ids import named, wanted
from .linear.packed import COLUMNS
from .method import Method, Part, part_names
from .methods import method as make_method
from .methods import registry
from .optimize import Optimizer
from .optimize import optimizer as make_optimizer
from .samples import Samples
from .store import Kept, load, save
from .stream import Task

EPOCHS = 30
"""Passes over the rows of a call, unless they are given."""
PLAIN = (type(None), bool, int, float, str)
"""Arguments that JSON knows; the others are in the learner's own file."""


class Neural(BaseEstimator):
    """What the two have in common."""

    objective: ClassVar[str]
    fitted: ClassVar[tuple[str, ...]]
    """What it knows beside the learner and the rows' scales."""
    targets: ClassVar[tuple[str, ...]] = ()
    """What is scaled beside ``x``."""
    scenario: ClassVar[str]
    """Where tasks are told."""

    def __init__(
        self,
        method: str | Part | Method = "er",
        memory: int | str | None = 500,
        model: Any = "mlp:100,100",
        *,
        optimizer: str | Optimizer = "adam",
        lr: float | None = None,
        batch: int = 32,
        epochs: int | None = None,
        free: bool = False,
        scale: bool = True,
        backend: str = "torch",
        device: str = "cpu",
        precision: str = "float64",
        random_state: Any = None,
    ) -> None:
        """What it learns with. Arguments that change behind the first call count from the next ``fit``.

        Args:
            method: how what was learned is kept: a name (``er``, ``er+ewc``; ``lifelong methods`` lists
                them), a part (``ll.ER(500)``) or a composition.
            memory: capacity of every part of a named method that stores samples: in samples (500), of
                each class ("100/class") or in bytes ("2MB"). A part that is given knows its own.
            model: ``mlp:100,100``, ``cnn:32,64``, a recipe (``ll.models.mlp(100)``) or your own module.
            optimizer: ``adam``, ``sgd``, ``adamw`` or a recipe (``ll.SGD(0.1)``).
            lr: the learning rate; None: the optimizer's own.
            batch: new rows a step.
            epochs: passes over the rows of a call; None: 30, and one if ``free``.
            free: without it every call of ``partial_fit`` is the next task: its rows are shuffled and
                passed over ``epochs`` times, and methods that consolidate do so behind it. With it no
                task is told: every call goes on with one stream, whose rows are met once, in order.
            scale: standardise inputs (and the targets of a regression) by the mean and the standard
                deviation of the rows of the first call; they stay what they are. So let that first call
                hold more than a few rows. Columns of a table have each their own, rows of more axes one
                for all. ``uint8`` inputs are pixels, are divided by 255 and not standardised.
            backend: ``torch`` or ``tensorflow``.
            device: ``cpu``, ``cuda``, ``cuda:1`` ...
            precision: ``float64``, in which what is asked beside a row changes at most the last digits
                of its answer; ``float32`` or ``bf16``, faster for wide inputs and on graphics cards.
            random_state: a whole number, from which follow initial weights, shuffles and memories.
        """
        self.method = method
        self.memory = memory
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.batch = batch
        self.epochs = epochs
        self.free = free
        self.scale = scale
        self.backend = backend
        self.device = device
        self.precision = precision
        self.random_state = random_state

    # ---- learning
    def _start(self) -> None:
        """A learner that knows nothing."""
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        self.learner_ = Learner(
            models.parse(self.model) if isinstance(self.model, str) else self.model,
            self._method(),
            self.objective,
            optimizer=make_optimizer(self.optimizer, self.lr),
            batch=self.batch,
            epochs=(1 if self.free else EPOCHS) if self.epochs is None else self.epochs,
            seed=int(seed),
            device=self.device,
            precision=self.precision,
            backend=self.backend,
        )
        self.met_ = 0
        self.scales_: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def _method(self) -> Method:
        if not isinstance(self.method, str) or self.memory is None:
            return make_method(self.method)
        known = {name: registry()[name] for name in part_names(self.method) if name in registry()}
        keeping = [n for n, kind in known.items() if "capacity" in {f.name for f in fields(kind)}]  # type: ignore[arg-type]
        return make_method(self.method, {name: {"capacity": self.memory} for name in keeping})

    def forget(self, ids: Any) -> int:
        """Take the rows with these ids out of the method's memories; returns how many were held.

        An id that is not held is no error. What the network learned from a row stays in its weights.

        Raises:
            LifelongError: where an id is no whole number.
        """
        return self.learner_.forget(wanted(ids).tolist()) if hasattr(self, "learner_") else 0

    def _held(self) -> np.ndarray:
        """The ids of the rows in the method's memories, each once."""
        stored = [m.samples.id for m in self.learner_.memories if m.samples is not None]
        return np.unique(np.concatenate([np.empty(0, np.int64), *stored]))

    def _teach(self, X: np.ndarray, y: np.ndarray, names: list[str], ids: np.ndarray) -> None:
        """Learn rows as the next task: ``y`` indexes names, or is numbers ``[n, names]``."""
        learner, number, rows = self.learner_, self.learner_.position.task, len(X)
        scenario = "free" if self.free else self.scenario
        columns = {"task": np.full(rows, number)} if scenario == "class" else {}
        train = Samples(x=self._scaled("x", X), y=y, id=ids, **columns)
        place = (number, number + 1)
        learner.learn(
            Task(f"task {number + 1}", train, Samples(), tuple(names), scenario, place, None, number)
        )
        self.met_ = max(self.met_, int(ids.max()) + 1)

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        kinds = (np.float64, np.float32, np.uint8)
        return validate_data(self, X, reset=reset, dtype=kinds, allow_nd=True)

    def _scaled(self, name: str, values: np.ndarray) -> np.ndarray:
        """``float32 [n, ...]`` by the statistics of the first rows of that name; pixels stay."""
        if values.dtype == np.uint8:
            return values
        if self.scale:
            if name not in self.scales_:
                axis = 0 if values.ndim == 2 else None
                mean, sd = values.mean(axis, np.float64), values.std(axis, np.float64)
                self.scales_[name] = mean, deviation(mean, sd)
            mean, sd = self.scales_[name]
            values = (values - mean) / sd
        with np.errstate(over="ignore"):
            found = values.astype(np.float32)
        fine = np.isfinite(found.reshape(len(found), -1)).all(1)
        if not fine.all():
            row = int(fine.argmin())
            raise LifelongError(f"{name} holds numbers beyond float32 in row {row}: scale it down")
        return found

    @contextmanager
    def _undone_where_it_fails(self) -> Iterator[None]:
        """Within, whatever fails leaves it as it was before."""
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        learner: Learner | None = fitted.get("learner_")
        state = None if learner is None or learner.inputs is None else learner.state()
        before = {
            name: value if value is learner else copy.copy(value) for name, value in fitted.items()
        }
        try:
            yield
        except BaseException:
            same = self.__dict__.get("learner_") is learner
            if same and learner is not None and state is not None:
                learner.restore(*state)
            Incremental._reset(self)
            self.__dict__.update(before)
            raise

    # ---- files
    def save(self, path: str | Path) -> None:
        """Write it to one safetensors file, without pickle; :meth:`load` reads it.

        ``ll.load(path)`` reads the learner alone.
        """
        check_is_fitted(self)
        given = {k: v.item() if isinstance(v, np.generic) else v for k, v in self.get_params().items()}
        arguments = {name: value for name, value in given.items() if isinstance(value, PLAIN)}
        known = {k: _to_json(v) for k, v in vars(self).items() if k not in {*given, "learner_"}}
        extra = {"estimator": type(self).__name__, "arguments": arguments, "known": known}
        try:
            json.dumps(extra)
        except TypeError as error:
            raise LifelongError(f"cannot save these labels ({error}): give numbers or text") from None
        save(self.learner_, path, Kept(extra))

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Self:
        """What :meth:`save` wrote. ``model=`` gives your own module back to it; ``device=`` moves it.

        Raises:
            LifelongError: where the file is missing, broken, or holds no such estimator.
        """
        learner = load(path, **changes)
        extra = learner.kept.extra if learner.kept else {}
        if extra.get("estimator") != cls.__name__:
            raise LifelongError(f"{path} holds no {cls.__name__}: try ll.load")
        fresh = Method([part.fresh() for part in learner.method])
        rest = {"method": fresh, "optimizer": learner.optimizer, "random_state": learner.seed}
        with intact(str(path)):
            made = cls(**(rest | {"model": learner.model} | extra["arguments"] | changes))
            made.__dict__.update({name: _from_json(value) for name, value in extra["known"].items()})
            made.learner_ = learner
            made._check(set(extra["known"]))
        return made

    def _check(self, known: set[str]) -> None:
        """Refuse, with :class:`ValueError`, what was read and does not fit the learner."""
        inputs, most = self.learner_.inputs, {"n_features_in_", "feature_names_in_", COLUMNS}
        least = {"met_", "scales_", *self.fitted}
        require(least <= known <= least | most, "it knows other things")
        require(type(self.met_) is int and self.met_ >= 0, "the number of rows met is none")
        scaled = {name: self.learner_.width for name in self.targets} if self.scale else {}
        if self.scale and inputs.dtype != np.uint8:
            scaled["x"] = inputs.shape[1]
        require(set(self.scales_) == set(scaled), "it is scaled otherwise")
        for name, (mean, sd) in self.scales_.items():
            shape = (scaled[name],) if name != "x" or inputs.ndim == 2 else ()
            fine = np.shape(mean) == np.shape(sd) == shape and np.isfinite(mean).all()
            require(fine and (np.isfinite(sd) & (sd > 0)).all(), f"the scale of {name} is none")
        features = vars(self).get("n_features_in_", inputs.shape[1])
        require(features == inputs.shape[1], "it has another number of features")


class LifelongClassifier(Neural, Incremental):
    """A neural network that keeps learning, as a scikit-learn classifier.

    ``partial_fit`` takes new classes at any time. Inputs are numbers ``[n, features]``, or images
    ``[n, height, width, ...]`` for a ``cnn``; labels ``[n]`` are of any one kind. ``fit`` forgets what
    was learned before.

    Attributes:
        classes_: the labels, in the order in which they came (``fit``: ascending).
        learner_: the :class:`lifelong.Learner`.
    """

    objective = "classification"
    fitted = ("classes_", "names_")
    scenario = "class"
    sparse = False
    keeps_rows = True

    def _start(self) -> None:
        super()._start()
        self.names_: list[str] = []

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from nothing: ``X [n, ...]``, ``y [n]``. What was learned before is forgotten."""
        with self._undone_where_it_fails():
            return super().fit(X, y)

    def _learn(self, X: Any, y: Any, classes: Any, ids: Any = None) -> np.ndarray | None:
        with self._undone_where_it_fails():
            return super()._learn(X, y, classes, ids)

    @contextmanager
    def _safely(self, X: Any) -> Iterator[None]:
        """The learner looks after its own numbers."""
        yield

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        with self._undone_where_it_fails():
            super()._rehearse(X, codes, known)

    def _check(self, known: set[str]) -> None:
        super()._check(known)
        names = [str(label) for label in self.classes_.tolist()]
        fine = self.classes_.ndim == 1 and names == self.names_ and len(set(names)) == len(names)
        require(fine, "the labels are others")

    def _widen(self, classes: int) -> None:
        self.names_ += [str(label) for label in self.classes_[len(self.names_) :].tolist()]

    @property
    def next_id_(self) -> int:  # type: ignore[override]
        """The id from which rows without one are counted on."""
        return self.met_

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        assert ids is not None
        self._teach(X, codes, self.names_, ids)
        return None

    def _scores(self, X: Any) -> np.ndarray:
        scores = self.learner_.decision(self._scaled("x", X)).astype(float)
        columns = self.learner_.columns_of(self.names_)
        return np.where(columns >= 0, scores[:, columns], -1e9)

    def predict_proba(self, X: Any) -> np.ndarray:
        """``[n, classes]`` in the order of ``classes_``: the softmax of the scores it decides by."""
        check_is_fitted(self)
        return softmax(self._scores(self._checked(X, reset=False)), axis=1)


class LifelongRegressor(RegressorMixin, Neural):
    """A neural network that keeps learning, as a scikit-learn regressor.

    Targets are numbers ``[n]`` or ``[n, outputs]``. ``fit`` forgets what was learned before.

    Attributes:
        learner_: the :class:`lifelong.Learner`.
    """

    objective = "regression"
    fitted = ("outputs_",)
    targets = ("y",)
    scenario = "domain"

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from nothing: ``X [n, ...]``, ``y [n]`` or ``[n, outputs]``."""
        with self._undone_where_it_fails():
            Incremental._reset(self)
            return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any, ids: Any = None) -> Self:
        """Go on learning: ``X [n, ...]``, ``y`` with as many outputs as before.

        ``ids [n]`` name the rows for :meth:`forget`; None: counted on from the largest so far, from 0.
        """
        with self._undone_where_it_fails():
            return self._learn(X, y, ids)

    def _learn(self, X: Any, y: Any, ids: Any) -> Self:
        first = not hasattr(self, "learner_")
        kinds = (np.float64, np.float32, np.uint8)
        X, y = validate_data(
            self, X, y, reset=first, dtype=kinds, allow_nd=True, multi_output=True, y_numeric=True
        )
        held, following = (np.empty(0, np.int64), 0) if first else (self._held(), self.met_)
        ids = named(ids, len(X), held, following)
        if first:
            self._start()
            self.outputs_ = y.shape[1:]
        if y.shape[1:] != self.outputs_:
            raise LifelongError(f"targets {list(y.shape)}: it learned from [n{_more(self.outputs_)}]")
        y = y.reshape(len(y), -1)
        self._teach(X, self._scaled("y", y), [str(i) for i in range(y.shape[1])], ids)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers ``float64 [n]`` or ``[n, outputs]``, as the targets were."""
        check_is_fitted(self)
        found = self.learner_.decision(self._scaled("x", self._checked(X, reset=False))).astype(float)
        mean, sd = self.scales_.get("y", (0.0, 1.0))
        return (found * sd + mean).reshape(len(found), *self.outputs_)

    def _check(self, known: set[str]) -> None:
        super()._check(known)
        outputs = self.outputs_
        fine = type(outputs) is tuple and all(type(count) is int for count in outputs)
        require(fine and math.prod(outputs) == self.learner_.width, "the outputs are others")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _more(outputs: tuple[int, ...]) -> str:
    return "".join(f", {count}" for count in outputs)


def _to_json(value: Any) -> Any:
    """Arrays, and what holds them, as JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, dict):
        return {"dict": [[name, _to_json(v)] for name, v in value.items()]}
    return {"tuple": [_to_json(v) for v in value]} if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {name: _from_json(v) for name, v in value["dict"]}
    if "tuple" in value:
        return tuple(_from_json(v) for v in value["tuple"])
    return np.array(value["values"], value["dtype"])
