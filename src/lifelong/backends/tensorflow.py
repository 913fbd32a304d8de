"""The TensorFlow backend."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # before Keras is imported

import numpy as np

from .quiet import quiet

with quiet():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for devices, and tells of those it lacks

from ..batch import Batch, Outputs, Step
from ..errors import LifelongError, unknown
from ..models import Recipe
from ..optimize import SGD, Adam, AdamW, Optimizer
from ..state import State, Weight
from .base import Args, Backend, Loss
from .tensorflow_models import Body, Keras, build
from .tensorflow_ops import TensorflowOps

PRECISIONS = {"float32": tf.float32, "float64": tf.float64}
NUMBERS = ("RATE", "AGES", "SEED", "WEIGHT", "ASIDE")
Tensor = Any
Terms = Callable[[Outputs, Batch], list[tuple[Tensor, Tensor]]]


class TensorflowBackend(Backend):
    """On TensorFlow: a step is one compiled function over one variable, theta.

    The function is traced anew when a task, a phase or more classes begin, and for every new shape
    of a batch. What a step needs from outside enters it as a tensor: the batch, the rate, the ages,
    and each part's state (:meth:`read`), of which a variable of the graph holds a copy.
    """

    name = "tensorflow"

    def __init__(self, optimizer: Optimizer, device: str, precision: str) -> None:
        if precision not in PRECISIONS:
            raise unknown("precision of the tensorflow backend", precision, PRECISIONS)
        kind, _, index = device.replace("cuda", "gpu").partition(":")
        found = tf.config.list_physical_devices(kind.upper())
        if kind not in ("cpu", "gpu") or int(index or 0) >= len(found):
            raise LifelongError(f"device {device!r} is not available here: try cpu")
        tf.config.experimental.enable_op_determinism()
        self.device = f"/{kind}:{index or 0}"
        self.optimizer = optimizer
        self.dtype = PRECISIONS[precision]
        self.itemsize = self.dtype.size
        self.ops = TensorflowOps(self.device, self.dtype)
        self._ages: Tensor = None
        """How often everything was updated, in the step that is being made."""
        self._compiled: dict[Any, Any] = {}
        self._copies: dict[State, tuple[Any, list[tf.Variable]]] = {}
        self._numbers: dict[State, float] = {}
        """Numbers that a hook read while it was traced, which the trace holds as they were."""

    # ---- network and layout
    def _make(self, model: Any, head: bool, inputs: np.ndarray) -> dict[str, np.ndarray]:
        x = self._inputs(inputs[:1])
        self.network: Body = (
            self._own(model, x) if isinstance(model, keras.Model) else build(model, inputs.shape[1:])
        )
        given = self.network.values if isinstance(self.network, Keras) else {}
        self.statistics = set(self.network.statistics)
        self.frozen = set(self.statistics)
        self.body = self.network.shapes | self.network.statistics
        like = given or {name: np.zeros(shape) for name, shape in self.body.items()}
        out = self.network({k: self._weights(v) for k, v in like.items()}, x, training=False)
        features = int((out.scores if isinstance(out, Outputs) else out).shape[1])
        self.outputs = features if given else None
        self.width = features if head and not given else None
        self.random = self.network.random
        return given

    def _planned(self, recipe: Recipe, shape: tuple[int, ...]) -> int | None:
        return sum(map(math.prod, build(recipe, shape).shapes.values()))

    def exhausted(self, error: BaseException) -> bool:
        return super().exhausted(error) or isinstance(error, tf.errors.ResourceExhaustedError)

    def _own(self, model: keras.Model, x: Tensor) -> Keras:
        if keras.backend.backend() != "tensorflow":
            raise LifelongError(
                f"Keras runs on {keras.backend.backend()} here: set KERAS_BACKEND=tensorflow "
                "before it is imported"
            )
        if self.dtype.name != model.dtype:
            raise LifelongError(f"the model is {model.dtype}: give precision={model.dtype!r}")
        return Keras(model, x)

    def _hold(self, theta: Tensor, moments: list[Tensor]) -> None:
        with tf.device(self.device):
            self._theta = tf.Variable(theta)
            self._moments = [tf.Variable(moment) for moment in moments]
        self.forget()

    @property
    def theta(self) -> Tensor:
        return tf.convert_to_tensor(self._theta)

    @property
    def moments(self) -> list[Tensor]:  # type: ignore[override]
        return [tf.convert_to_tensor(moment) for moment in self._moments]

    def vector(self, fill: float | str, dtype: str | None = None) -> Tensor:
        if isinstance(fill, str):  # THETA
            return tf.identity(self.theta)
        return tf.fill([self.size], tf.constant(fill, dtype or self.dtype))

    # ---- the network
    def _inputs(self, x: np.ndarray) -> Tensor:
        tensor = self.ops.tensor(x)
        if self.as_given:
            return tensor
        if tensor.dtype == tf.uint8:
            return tf.cast(tensor, self.dtype) * tf.constant(1 / 255, self.dtype)
        return tf.cast(tensor, self.dtype) if tensor.dtype.is_floating else tensor

    def _pieces(self, theta: Tensor) -> dict[str, Tensor]:
        sizes = [segment.size for segment in self.segments.values()]
        places = zip(self.segments.items(), tf.split(theta, sizes), strict=True)
        pieces = {name: tf.reshape(piece, segment.shape) for (name, segment), piece in places}
        return pieces | {name: tf.stop_gradient(pieces[name]) for name in self.frozen}

    def _call(self, x: Tensor, args: dict[str, Any], theta: Tensor, training: bool) -> Outputs:
        pieces = self._pieces(theta)
        out = self.network(pieces, x, training, **args)
        if self.width is not None:
            return Outputs(scores=self.network.dense(pieces, "head", out), features=out)
        return out if isinstance(out, Outputs) else Outputs(scores=out)

    def forward(self, batch: Batch, args: Args, at: Tensor | None = None) -> Outputs:
        with self.trying(at):
            return self._call(batch.x, args(batch), self.theta if at is None else at, training=False)

    def gradient(
        self, batch: Batch, args: Args, loss: Loss, training: bool = True
    ) -> tuple[Outputs, Tensor]:
        if tf.inside_function():
            return self._gradient(batch, args, loss, training)

        def piece(batch: Batch, rate: Tensor) -> tuple[Any, ...]:
            out, g = self._gradient(batch, args, loss, training)
            return vars(out), g

        out, g = self._compiled_for(batch, piece, training)(self._entering(batch, 0.0))
        return Outputs(**out), g

    def _gradient(self, batch: Batch, args: Args, loss: Loss, training: bool) -> tuple[Outputs, Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            theta = self.theta
            tape.watch(theta)
            with self.trying(theta):
                given = args(batch) | ({"seed": batch.seed} if self.random and training else {})
                out = self._call(batch.x, given, theta, training)
                total = loss(batch, out)
        for name, value in self.network.updates.items() if training else ():
            segment = self.segments[name]
            self._theta[segment.start : segment.stop].assign(tf.reshape(value, [-1]))
        return out, tape.gradient(total, theta)

    # ---- a step
    def run(self, update: Callable[[Batch, Any], Step], batch: Batch, rate: float, whole: bool) -> Step:
        for run in self.runs:
            self.ages[run.ages] += 1
        if any(state.value != number for state, number in self._numbers.items()):
            self.forget()
        if not whole:
            self._ages = tf.constant(self.ages, tf.float64)
            return update(batch, tf.constant(rate, self.dtype))

        def piece(batch: Batch, rate: Tensor) -> tuple[Any, ...]:
            step = update(batch, rate)
            return vars(step.out), step.vectors, step.scale

        out, vectors, scale = self._compiled_for(batch, piece)(self._entering(batch, rate))
        return Step(batch, Outputs(**out), tuple(vectors), scale, self.flat)

    def _entering(self, batch: Batch, rate: float) -> dict[str, Any]:
        """What a compiled piece takes: the batch's tensors, and its numbers under names in capitals."""
        numbers = {
            "RATE": tf.constant(rate, self.dtype),
            "AGES": tf.constant(self.ages, tf.float64),
            "SEED": tf.constant(batch.seed % 2**31, tf.int64),
            "ASIDE": {part.name: aside.tensors for part, aside in batch.asides.items()},
        }
        if batch.weight is not None:
            numbers["WEIGHT"] = batch.weight
        return batch.tensors | numbers

    def _compiled_for(self, like: Batch, piece: Callable[..., Any], training: bool = True) -> Any:
        """``piece(batch, rate)``, compiled for batches of this shape, its state up to date."""
        key = (*_shape(like), *(_shape(aside) for aside in like.asides.values()), training)
        if key not in self._compiled:

            def compiled(entering: dict[str, Any]) -> tuple[Any, ...]:
                batch = copy.copy(like)
                batch.tensors = {name: t for name, t in entering.items() if name not in NUMBERS}
                batch.asides = {part: copy.copy(aside) for part, aside in like.asides.items()}
                for part, aside in batch.asides.items():
                    aside.tensors = entering["ASIDE"][part.name]
                batch.weight, batch.seed = entering.get("WEIGHT"), entering["SEED"]
                outside, self._ages = self._ages, entering["AGES"]
                try:
                    return piece(batch, entering["RATE"])
                finally:
                    self._ages = outside

            whole = tf.function(compiled, autograph=False)
            self._compiled[key] = whole.get_concrete_function(self._entering(like, 0.0))
        for state, (source, copies) in self._copies.items():
            if state.value is not source:
                self._copies[state] = state.value, copies
                for variable, value in zip(copies, _tuple(state.value), strict=True):
                    variable.assign(value)
        return self._compiled[key]

    def read(self, state: State) -> Any:
        if not tf.inside_function() or isinstance(state, Weight):
            return state.value
        with tf.init_scope():  # numbers, not symbols
            value = state.value
        first = value[0] if isinstance(value, tuple) else value
        if not tf.is_tensor(first):
            if isinstance(value, (int, float)):
                self._numbers[state] = value
            return value
        if state not in self._copies:
            with tf.init_scope():
                self._copies[state] = value, [tf.Variable(v) for v in _tuple(value)]
        read = tuple(tf.convert_to_tensor(v) for v in self._copies[state][1])
        return read if isinstance(value, tuple) else read[0]

    def forget(self) -> None:
        self._compiled, self._copies, self._numbers = {}, {}, {}

    # ---- the optimizer
    def propose(self, g: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        moved, end = [], 0
        for run in self.runs:
            moved += [tf.zeros([run.start - end], self.dtype)] if run.start > end else []
            moved.append(self._direction(g, slice(run.start, run.stop), run.ages))
            end = run.stop
        moved += [tf.zeros([self.size - end], self.dtype)] if self.size > end else []
        return (moved[0] if len(moved) == 1 else tf.concat(moved, 0)), -rate

    def _direction(self, g: Tensor, at: slice, age_slots: slice) -> Tensor:
        """What -rate times is the change of theta there."""
        optimizer = self.optimizer
        everywhere = at == slice(0, self.size)
        part = (lambda v: v) if everywhere else (lambda v: v[at])
        g, theta = part(g), part(self.theta)
        decay = getattr(optimizer, "weight_decay", 0.0)
        if decay and not isinstance(optimizer, AdamW):
            g = g + decay * theta
        if isinstance(optimizer, SGD):
            if not self._moments:
                return g
            return self._set(0, at, optimizer.momentum * part(self.moments[0]) + g)
        assert isinstance(optimizer, Adam)
        b1, b2 = optimizer.betas
        m, v = (part(moment) for moment in self.moments)
        m = self._set(0, at, m + (1 - b1) * (g - m))
        v = self._set(1, at, b2 * v + (1 - b2) * (g * g))
        ages = self.ages[age_slots]
        now = self._ages[age_slots]
        if (ages == ages[0]).all():
            first = tf.cast(1 - b1 ** now[0], self.dtype)
            second = tf.cast(tf.sqrt(1 - b2 ** now[0]), self.dtype)
            direction = m / (tf.sqrt(v) + optimizer.eps * second) * (second / first)
        else:  # rows of the head that came at different times
            one, two = (tf.cast(1 - b**now, self.dtype)[:, None] for b in (b1, b2))
            shape = (len(ages), -1)
            root = tf.sqrt(tf.reshape(v, shape) / two) + optimizer.eps
            direction = tf.reshape(tf.reshape(m, shape) / one / root, [-1])
        return direction + decay * theta if decay and isinstance(optimizer, AdamW) else direction

    def _set(self, index: int, at: slice, value: Tensor) -> Tensor:
        """Make this part of one of the optimizer's vectors ``value``, and give it back."""
        moment = self._moments[index]
        (moment if at == slice(0, self.size) else moment[at]).assign(value)
        return value

    def move(self, direction: Tensor, scale: Any) -> None:
        scale = tf.convert_to_tensor(-scale, self.dtype)
        tf.raw_ops.ResourceApplyGradientDescent(var=self._theta.handle, alpha=scale, delta=direction)

    def assign(self, theta: Tensor) -> None:
        self._theta.assign(theta)

    # ---- threads
    def threads(self) -> int:
        """As many as were asked for; 0: nobody has asked, TensorFlow takes all cores."""
        return tf.config.threading.get_intra_op_parallelism_threads()

    def set_threads(self, count: int) -> None:
        if count in (0, self.threads()):
            return
        try:
            tf.config.threading.set_intra_op_parallelism_threads(count)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # it has computed something already
            running = self.threads() or os.cpu_count()
            if count != running:
                raise LifelongError(
                    f"TensorFlow runs with {running} threads in this process already: pass "
                    f"threads={running}, or before its first operation (building a model is one) call "
                    f"tf.config.threading.set_intra_op_parallelism_threads({count})"
                ) from None

    # ---- per-sample moments
    def moment(self, batches: Iterable[Batch], args: Args, f: Terms, power: int) -> Tensor:
        total = self.vector(0.0, "float64")
        for batch in batches:
            part = self._moment_of_dense(batch, args(batch), f, power)
            part = self._moment_by_sample(batch, args, f, power) if part is None else part
            total += tf.cast(part, tf.float64)
        if self.frozen:
            kept = np.ones(self.size)
            for name in self.frozen:
                kept[self.segments[name].start : self.segments[name].stop] = 0
            total *= kept
        return total

    def _moment_of_dense(
        self, batch: Batch, args: dict[str, Any], f: Terms, power: int
    ) -> Tensor | None:
        """Layer-wise: for z = W a + b, |dv/dW|^p = |delta|^p |a|^p: one product, for all terms.

        None where a parameter is not that of a dense layer used once on two-dimensional input.
        """
        sites: list[tuple[str, Tensor, Tensor]] = []
        self.network.sites = sites
        try:
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                theta = self.theta
                tape.watch(theta)
                terms = f(self._call(batch.x, args, theta, training=False), batch)
        finally:
            self.network.sites = None
        names = [name for name, _, _ in sites]
        covered = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
        fine = all(x.shape.rank == 2 and len(x) == len(batch) for _, x, _ in sites)
        if covered != set(self.segments) or len(set(names)) < len(names) or not fine:
            return None
        outputs = [z for _, _, z in sites]
        sums = [tf.zeros_like(z) for z in outputs]
        for weight, value in terms:
            deltas = tape.gradient(value, outputs, unconnected_gradients="zero")
            sums = [s + tf.abs(d) ** power * weight[:, None] for s, d in zip(sums, deltas, strict=True)]
        pieces: dict[str, Tensor] = {}
        for (name, x, _), delta in zip(sites, sums, strict=True):
            pieces[f"{name}.weight"] = tf.matmul(delta, tf.abs(x) ** power, transpose_a=True)
            pieces[f"{name}.bias"] = tf.reduce_sum(delta, 0)
        return tf.concat([tf.reshape(pieces[name], [-1]) for name in self.segments], 0)

    def _moment_by_sample(self, batch: Batch, args: Args, f: Terms, power: int) -> Tensor:
        """Sample by sample, in vectorized chunks."""

        def of_one(row: dict[str, Tensor]) -> Tensor:
            one = Batch(batch.samples)
            one.tensors = {name: value[None] for name, value in row.items()}
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                theta = self.theta
                tape.watch(theta)
                with self.trying(theta):
                    terms = f(self._call(one.x, args(one), theta, training=False), one)
                values = [value[0] for _, value in terms]
            slopes = [tape.gradient(value, theta) for value in values]
            return tf.add_n([tf.abs(g) ** power * w[0] for g, (w, _) in zip(slopes, terms, strict=True)])

        total = self.vector(0.0)
        for start in range(0, len(batch), 16):
            chunk = {name: t[start : start + 16] for name, t in batch.tensors.items()}
            total += tf.reduce_sum(tf.vectorized_map(of_one, chunk), 0)
        return total


def _shape(batch: Batch) -> tuple[Any, ...]:
    """What a trace depends on: columns, their shapes, and whose rows they are."""
    shapes = sorted((name, t.dtype, *t.shape) for name, t in batch.tensors.items())
    return (*((id(part), len(rows)) for part, rows, _ in batch.blocks), *shapes, batch.weight is None)


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
