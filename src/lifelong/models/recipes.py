"""The recipes. A backend turns each into a network; NumPy draws its initial weights.

A recipe maps inputs to features; the learner owns the head above them (one score per class).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import LifelongError, accept, of_types, unknown


@dataclass(frozen=True)
class Recipe:
    """What all recipes are.

    Raises:
        LifelongError: for widths that are no whole numbers from 1.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            several = isinstance(field.default, tuple)
            widths = given if several and isinstance(given, tuple) else (given,)
            if not widths or any(type(width) is not int or width < 1 for width in widths):
                raise LifelongError(
                    f"{field.name}={given!r} of {type(self).__name__.lower()}: give whole numbers from 1"
                )

    @property
    def units(self) -> tuple[int, ...]:
        """Units (channels) of every ReLU layer that can be gated; () where none can.

        Such a network takes ``gates [rows, sum(units)]``, which multiply what each lets through.
        """
        return ()

    @property
    def features(self) -> int:
        """How many features come out."""
        raise NotImplementedError


@dataclass(frozen=True)
class MLP(Recipe):
    """Flattened inputs through ReLU layers of these widths: ``[n, ...] -> [n, hidden[-1]]``."""

    hidden: tuple[int, ...] = (400, 400)

    @property
    def units(self) -> tuple[int, ...]:
        return self.hidden

    @property
    def features(self) -> int:
        return self.hidden[-1]


@dataclass(frozen=True)
class CNN(Recipe):
    """3x3 convolutions of these channels, each with ReLU and 2x2 max pooling, then one ReLU layer.

    Images ``[n, height, width]`` or ``[n, height, width, channels]`` -> ``[n, features]``.
    """

    channels: tuple[int, ...] = (32, 64)
    features: int = 128

    @property
    def units(self) -> tuple[int, ...]:
        return (*self.channels, self.features)


@dataclass(frozen=True)
class ResNet18(Recipe):
    """Eight residual blocks of two 3x3 convolutions with batch norm, then the mean over the image.

    Images ``[n, height, width]`` or ``[n, height, width, channels]`` -> ``[n, 8 width]``. He et al.,
    "Deep residual learning" (2016), with a 3x3 stem and, at ``width=20``, reduced as in Lopez-Paz &
    Ranzato, "Gradient episodic memory" (2017); 64 is the full width.
    """

    width: int = 20

    @property
    def features(self) -> int:
        return 8 * self.width


@dataclass(frozen=True)
class Columns(Recipe):
    """Several networks side by side, of which a row's ``column`` (``int [rows]``) says which answers.

    All see the inputs, or what a shared ``trunk`` makes of them. With ``lateral`` connections, for an
    MLP without trunk only, layer i of column k sees layer i - 1 of all columns before it too, and hands
    no gradient back to them (Rusu et al., "Progressive neural networks", 2016, eq. 1):
    h_i^k = relu(W_i^k h_{i-1}^k + sum_{j<k} U_i^{k:j} h_{i-1}^j).
    """

    body: Recipe
    count: int = 1
    lateral: bool = False
    trunk: Recipe | None = None

    def __post_init__(self) -> None:
        for recipe in (self.body, self.trunk or self.body):
            if not isinstance(recipe, (MLP, CNN, ResNet18)):
                raise LifelongError(
                    f"columns and their trunk are an mlp, cnn or resnet18, not {recipe!r}"
                )
        if self.lateral and not (isinstance(self.body, MLP) and self.trunk is None):
            raise LifelongError("lateral connections are between columns of dense layers: give an mlp")

    @property
    def features(self) -> int:
        return self.body.features


@dataclass(frozen=True)
class VAE(Recipe):
    """A symmetric variational autoencoder over flattened inputs in [0, 1].

    Kingma & Welling, "Auto-encoding variational Bayes" (2014).
    """

    hidden: tuple[int, ...] = (400, 400)
    latent: int = 100


def mlp(*hidden: int) -> MLP:
    """``mlp(400, 400)``: a multilayer perceptron."""
    return MLP(hidden or MLP.hidden)


def cnn(*channels: int, features: int = 128) -> CNN:
    """``cnn(32, 64)``: a small convolutional network."""
    return CNN(channels or CNN.channels, features)


def resnet18(width: int = 20) -> ResNet18:
    """``resnet18(20)``: a residual network, reduced; ``resnet18(64)``: in full."""
    return ResNet18(width)


def vae(*hidden: int, latent: int = 100) -> VAE:
    """``vae(400, 400, latent=100)``: a variational autoencoder."""
    return VAE(hidden or VAE.hidden, latent)


def parse(text: str, options: dict[str, Any] | None = None) -> Recipe:
    """``mlp``, ``mlp:100,100``, ``cnn:32,64``: a recipe from a command line.

    Raises:
        LifelongError: for an unknown recipe or option, or widths that are not whole numbers.
    """
    name, _, widths = text.partition(":")
    if name not in RECIPES:
        raise unknown("model", name, RECIPES)
    try:
        recipe = RECIPES[name](*(int(w) for w in widths.split(",") if w))
    except (ValueError, TypeError):
        raise LifelongError(f"model {text!r}: write widths as in {name}:100,100") from None
    accept(options or {}, [f.name for f in fields(recipe)], name)
    of_types(options or {}, type(recipe), name)
    return replace(recipe, **(options or {}))


RECIPES: dict[str, Callable[..., Any]] = {"mlp": mlp, "cnn": cnn, "resnet18": resnet18}
