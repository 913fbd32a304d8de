"""The recipes as TensorFlow functions of named parameters, and a user's own Keras model as one.

Names, shapes and layouts are those of the PyTorch modules, so that weights can be exchanged: a dense
weight is ``[out, in]``, a convolution's ``[out, in, height, width]``.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from ..batch import Outputs
from ..errors import LifelongError
from ..models import CNN, MLP, VAE, Columns, ResNet18
from .base import ONE_VALUE

Tensor = Any
Parameters = dict[str, Tensor]


class Body:
    """Inputs to features (or, for a generator, to its outputs), given the parameters.

    ``sites`` collects (name, input, output) of every dense layer that is called, while it is a list.
    """

    random = False
    """Whether a training step draws random numbers."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.statistics: dict[str, tuple[int, ...]] = {}
        """Shapes of the running means and variances."""
        self.updates: dict[str, Tensor] = {}
        """What the last call made of them."""
        self.sites: list[tuple[str, Tensor, Tensor]] | None = None

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Any:
        """Features ``[rows, features]``, or :class:`Outputs`."""
        raise NotImplementedError

    # ---- layers
    def declare(self, name: str, *shape: int) -> None:
        """A layer's weight of this shape, and its bias."""
        self.shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    def declare_stack(self, name: str, widths: list[int], first: int = 0) -> list[str]:
        """Dense layers between these widths with ReLUs between them, numbered as in PyTorch."""
        names = [f"{name}.{first + 2 * i}" for i in range(len(widths) - 1)]
        for layer, (a, b) in zip(names, pairwise(widths), strict=True):
            self.declare(layer, b, a)
        return names

    def declare_convolution(self, name: str, number: str, out: int, channels: int, side: int) -> None:
        """A convolution without bias (``convN``) and the batch norm behind it (``normN``)."""
        norm = f"{name}norm{number}"
        self.shapes[f"{name}conv{number}.weight"] = (out, channels, side, side)
        self.shapes |= {f"{norm}.weight": (out,), f"{norm}.bias": (out,)}
        self.statistics |= {f"{norm}.running_mean": (out,), f"{norm}.running_var": (out,)}

    def convolution(
        self, p: Parameters, name: str, number: str, x: Tensor, training: bool, stride: int = 1
    ) -> Tensor:
        """The convolution, and its batch norm: (z - mean) / sqrt(variance + 1e-5) gain + bias."""
        weight, norm = p[f"{name}conv{number}.weight"], f"{name}norm{number}"
        side = weight.shape[2] // 2
        pads = [[0, 0], [side, side], [side, side], [0, 0]]
        z = tf.nn.conv2d(x, tf.transpose(weight, [2, 3, 1, 0]), stride, pads)
        mean, variance = p[f"{norm}.running_mean"], p[f"{norm}.running_var"]
        if training:
            count = int(np.prod(z.shape[:3]))
            if count == 1:
                raise LifelongError(ONE_VALUE)
            mean, variance = tf.nn.moments(z, [0, 1, 2])
            for kind, now in (("mean", mean), ("var", variance * (count / (count - 1)))):
                before = p[f"{norm}.running_{kind}"]
                self.updates[f"{norm}.running_{kind}"] = 0.9 * before + 0.1 * now
        return (z - mean) * tf.math.rsqrt(variance + 1e-5) * p[f"{norm}.weight"] + p[f"{norm}.bias"]

    def dense(self, p: Parameters, name: str, x: Tensor) -> Tensor:
        """x W^T + b."""
        z = tf.matmul(x, p[f"{name}.weight"], transpose_b=True) + p[f"{name}.bias"]
        if self.sites is not None:
            self.sites.append((name, x, z))
        return z

    def stack(self, p: Parameters, names: list[str], x: Tensor, gates: Gates | None = None) -> Tensor:
        """Dense layers, each followed by ReLU."""
        for name in names:
            x = tf.nn.relu(self.dense(p, name, x))
            x = x if gates is None else gates(x)
        return x


class Gates:
    """``gates`` ``[rows, units]``, which multiply what one ReLU after another lets through."""

    def __init__(self, gates: Tensor) -> None:
        self.gates, self.start = gates, 0

    def __call__(self, x: Tensor) -> Tensor:
        own = self.gates[:, self.start : self.start + x.shape[-1]]
        self.start += x.shape[-1]
        return x * tf.reshape(own, [own.shape[0], *[1] * (len(x.shape) - 2), own.shape[1]])


class Dense(Body):
    """The MLP."""

    def __init__(self, recipe: MLP, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.names = self.declare_stack("body", [_size(shape), *recipe.hidden], first=1)

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Tensor) -> Tensor:
        return self.stack(p, self.names, _flat(x), _gates(args))


class Convolutional(Body):
    """The CNN."""

    def __init__(self, recipe: CNN, shape: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape) not in (2, 3) or min(shape[:2]) < 2 ** len(recipe.channels):
            raise LifelongError(f"a cnn with {len(recipe.channels)} poolings cannot take inputs {shape}")
        channels = [1 if len(shape) == 2 else shape[2], *recipe.channels]
        self.convolutions = [f"body.{1 + 3 * i}" for i in range(len(recipe.channels))]
        for name, (a, b) in zip(self.convolutions, pairwise(channels), strict=True):
            self.declare(name, b, a, 3, 3)
        side = [n // 2 ** len(recipe.channels) for n in shape[:2]]
        size = side[0] * side[1] * channels[-1]
        self.names = self.declare_stack("body", [size, recipe.features], 2 + 3 * len(recipe.channels))

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Tensor) -> Tensor:
        x, gates = x[..., None] if x.shape.rank == 3 else x, _gates(args)
        for name in self.convolutions:
            kernel = tf.transpose(p[f"{name}.weight"], [2, 3, 1, 0])
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + p[f"{name}.bias"])
            x = tf.nn.max_pool2d(x if gates is None else gates(x), 2, 2, "VALID")
        return self.stack(p, self.names, _flat(tf.transpose(x, [0, 3, 1, 2])), gates)


class Residual(Body):
    """The ResNet-18."""

    def __init__(self, recipe: ResNet18, shape: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape) not in (2, 3):
            raise LifelongError(f"a resnet18 takes images, not inputs {shape}")
        w = recipe.width
        self.declare_convolution("body.", "", w, 1 if len(shape) == 2 else shape[2], 3)
        widths = [w, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w]
        self.blocks = {f"body.blocks.{i}.": pair for i, pair in enumerate(pairwise(widths))}
        for name, (a, b) in self.blocks.items():
            self.declare_convolution(name, "1", b, a, 3)
            self.declare_convolution(name, "2", b, b, 3)
            if a != b:
                self.declare_convolution(name, "3", b, a, 1)

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Tensor:
        x = x[..., None] if x.shape.rank == 3 else x
        x = tf.nn.relu(self.convolution(p, "body.", "", x, training))
        for name, (a, b) in self.blocks.items():
            stride = 1 if a == b else 2
            h = tf.nn.relu(self.convolution(p, name, "1", x, training, stride))
            h = self.convolution(p, name, "2", h, training)
            x = tf.nn.relu(h + (x if a == b else self.convolution(p, name, "3", x, training, stride)))
        return tf.reduce_mean(x, [1, 2])


class SideBySide(Body):
    """Networks of which each row's ``column`` says which answers, above the trunk that they share."""

    def __init__(self, recipe: Columns, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.trunk = None if recipe.trunk is None else build(recipe.trunk, shape)
        below = shape if recipe.trunk is None else (recipe.trunk.features,)
        self.columns = [build(recipe.body, below) for _ in range(recipe.count)]
        self.within = {f"columns.{k}.": own for k, own in enumerate(self.columns)}
        if self.trunk is not None:
            self.within = {"trunk.": self.trunk} | self.within
        for prefix, own in self.within.items():
            self.shapes |= {_below(prefix, name): held for name, held in own.shapes.items()}
            self.statistics |= {_below(prefix, name): held for name, held in own.statistics.items()}

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Tensor:
        if self.trunk is not None:
            x = self._call("trunk.", p, x, training)
        column, last = args.get("column"), len(self.columns) - 1
        asked = range(last, last + 1) if column is None else range(last + 1)
        answers = [self._call(f"columns.{k}.", p, x, training and k == last) for k in asked]
        return _answering(answers, column)

    def _call(self, prefix: str, p: Parameters, x: Tensor, training: bool) -> Tensor:
        """One of the networks, whose names lie below ``prefix`` here."""
        own = self.within[prefix]
        own.sites = None if self.sites is None else []
        pieces = {name: p[_below(prefix, name)] for name in own.shapes | own.statistics}
        out = own(pieces, x, training)
        self.updates |= {_below(prefix, name): value for name, value in own.updates.items()}
        if self.sites is not None:
            self.sites += [(_below(prefix, name), *site) for name, *site in own.sites or ()]
        return out


class Progressive(Body):
    """Columns of dense layers, each of which sees the layers below of those before it."""

    def __init__(self, widths: list[int], count: int) -> None:
        super().__init__()
        layers = list(pairwise(widths))
        self.columns = [[f"body.columns.{k}.{i}" for i in range(len(layers))] for k in range(count)]
        for names in self.columns:
            for name, (a, b) in zip(names, layers, strict=True):
                self.declare(name, b, a)
        for k in range(1, count):
            for i, (a, b) in enumerate(layers[1:]):
                self.shapes[f"body.laterals.{k - 1}.{i}.weight"] = (b, k * a)

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Tensor:
        below: list[list[Tensor]] = []  # the layers of the columns before, inputs first
        for k, names in enumerate(self.columns):
            hidden = [_flat(x)]
            for i, name in enumerate(names):
                z = self.dense(p, name, hidden[-1])
                if k and i:
                    others = tf.stop_gradient(tf.concat([other[i] for other in below], 1))
                    lateral = p[f"body.laterals.{k - 1}.{i - 1}.weight"]
                    z = z + tf.matmul(others, lateral, transpose_b=True)
                hidden.append(tf.nn.relu(z))
            below.append(hidden)
        return _answering([hidden[-1] for hidden in below], args.get("column"))


def _below(prefix: str, name: str) -> str:
    return name.replace("body.", f"body.{prefix}", 1)


def _answering(answers: list[Tensor], column: Tensor | None) -> Tensor:
    """Of every row, the features of its column; without one, those of the last."""
    if column is None:
        return answers[-1]
    return tf.add_n([a * tf.cast(column == k, a.dtype)[:, None] for k, a in enumerate(answers)])


def _columns(recipe: Columns, shape: tuple[int, ...]) -> Body:
    if not recipe.lateral:
        return SideBySide(recipe, shape)
    assert isinstance(recipe.body, MLP)
    return Progressive([_size(shape), *recipe.body.hidden], recipe.count)


class Autoencoder(Body):
    """The VAE: encodes and decodes ``x`` with ``noise``, or decodes ``code`` alone."""

    def __init__(self, recipe: VAE, shape: tuple[int, ...]) -> None:
        super().__init__()
        widths = [_size(shape), *recipe.hidden]
        self.encoder = self.declare_stack("body.encoder", widths, first=1)
        self.declare("body.mean", recipe.latent, widths[-1])
        self.declare("body.log_variance", recipe.latent, widths[-1])
        self.decoder = self.declare_stack("body.decoder", [recipe.latent, *reversed(recipe.hidden)])
        self.declare("body.pixels", widths[0], recipe.hidden[0])

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Outputs:
        if "code" in args:
            return Outputs(scores=self._decode(p, args["code"]))
        hidden = self.stack(p, self.encoder, _flat(x))
        mean = self.dense(p, "body.mean", hidden)
        log_variance = self.dense(p, "body.log_variance", hidden)
        code = mean
        if "noise" in args:
            code = mean + tf.exp(0.5 * log_variance) * args["noise"]
        return Outputs(scores=self._decode(p, code), mean=mean, log_variance=log_variance)

    def _decode(self, p: Parameters, code: Tensor) -> Tensor:
        return self.dense(p, "body.pixels", self.stack(p, self.decoder, code))


class Keras(Body):
    """A user's own ``keras.Model`` that ends in class scores, called without touching its variables."""

    def __init__(self, model: Any, inputs: Tensor) -> None:
        super().__init__()
        model(inputs[:1])  # builds it, if that is still to be done
        self.model = model
        self.trained, self.others = model.trainable_variables, model.non_trainable_variables
        held = [*self.trained, *(v for v in self.others if "float" in v.dtype)]
        self.names = {id(v): f"body.{i}.{v.name}" for i, v in enumerate(held)}
        self.shapes = {self.names[id(v)]: tuple(v.shape) for v in self.trained}
        self.statistics = {self.names[id(v)]: tuple(v.shape) for v in held[len(self.trained) :]}
        self.values = {self.names[id(v)]: np.asarray(v) for v in held}
        self.random = any("float" not in v.dtype for v in self.others)

    def __call__(self, p: Parameters, x: Tensor, training: bool, **args: Any) -> Any:
        seeds = args.pop("seed", 0)
        others = [
            p[self.names[id(v)]] if id(v) in self.names else tf.cast([seeds, i], v.dtype)
            for i, v in enumerate(self.others)
        ]
        trained = [p[self.names[id(v)]] for v in self.trained]
        if "training" in signature(self.model.call).parameters:
            args["training"] = training
        out, others = self.model.stateless_call(trained, others, x, **args)
        pairs = zip(self.others, others, strict=True)
        self.updates = {self.names[id(v)]: new for v, new in pairs if id(v) in self.names}
        return Outputs(**out) if isinstance(out, dict) else Outputs(scores=out)


BODIES: dict[type, Callable[[Any, tuple[int, ...]], Body]] = {
    MLP: Dense,
    CNN: Convolutional,
    Columns: _columns,
    ResNet18: Residual,
    VAE: Autoencoder,
}


def build(recipe: Any, shape: tuple[int, ...]) -> Body:
    """The function of ``recipe`` for inputs of ``shape`` (without the batch axis)."""
    if type(recipe) not in BODIES:
        raise LifelongError(
            f"the tensorflow backend cannot build {recipe!r}: give a recipe "
            "(ll.models.mlp(400, 400)) or a keras.Model that ends in class scores"
        )
    return BODIES[type(recipe)](recipe, shape)


def _gates(args: dict[str, Any]) -> Gates | None:
    return Gates(args["gates"]) if "gates" in args else None


def _flat(x: Tensor) -> Tensor:
    return tf.reshape(x, [-1, _size(x.shape[1:])])


def _size(shape: Any) -> int:
    return int(np.prod([int(n) for n in shape]))
