"""The recipes as PyTorch modules: inputs to features (or, for a generator, to its outputs)."""

from __future__ import annotations

from functools import singledispatch
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..batch import Outputs
from ..errors import LifelongError
from ..models import CNN, MLP, VAE, ResNet18


@singledispatch
def build(recipe: object, shape: tuple[int, ...]) -> nn.Module:
    """The module of ``recipe`` for inputs of ``shape`` (without the batch axis)."""
    raise LifelongError(
        f"the torch backend cannot build {recipe!r}: give a recipe (ll.models.mlp(400, 400)) "
        "or a torch.nn.Module that ends in class scores"
    )


def dense(widths: list[int]) -> nn.Sequential:
    """Linear layers between these widths, each followed by ReLU."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


@build.register
def _(recipe: MLP, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *dense([_size(shape), *recipe.hidden]))


@build.register
def _(recipe: CNN, shape: tuple[int, ...]) -> nn.Module:
    if len(shape) not in (2, 3) or min(shape[:2]) < 2 ** len(recipe.channels):
        raise LifelongError(f"a cnn with {len(recipe.channels)} poolings cannot take inputs {shape}")
    channels = [1 if len(shape) == 2 else shape[2], *recipe.channels]
    layers: list[nn.Module] = [ChannelsFirst()]
    for a, b in pairwise(channels):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    side = [n // 2 ** len(recipe.channels) for n in shape[:2]]
    size = side[0] * side[1] * channels[-1]
    return nn.Sequential(*layers, nn.Flatten(), *dense([size, recipe.features]))


class ChannelsFirst(nn.Module):
    """``[n, h, w]`` or ``[n, h, w, c]`` -> ``[n, c, h, w]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.norm2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.same = stride == 1 and a == b
        if not self.same:
            self.conv3, self.norm3 = nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(self.conv1(x)).relu()
        h = self.norm2(self.conv2(h))
        return (h + (x if self.same else self.norm3(self.conv3(x)))).relu()


class Residual(nn.Module):
    """The ResNet-18."""

    def __init__(self, recipe: ResNet18, shape: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape) not in (2, 3):
            raise LifelongError(f"a resnet18 takes images, not inputs {shape}")
        self.first, w = ChannelsFirst(), recipe.width
        self.conv = nn.Conv2d(1 if len(shape) == 2 else shape[2], w, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(w)
        widths = [w, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w]
        self.blocks = nn.Sequential(*(Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.norm(self.conv(self.first(x))).relu()).mean((2, 3))


@build.register
def _(recipe: ResNet18, shape: tuple[int, ...]) -> nn.Module:
    return Residual(recipe, shape)


class Autoencoder(nn.Module):
    """The VAE: encodes and decodes ``x`` with ``noise``, or decodes ``code`` alone."""

    def __init__(self, recipe: VAE, shape: tuple[int, ...]) -> None:
        super().__init__()
        widths = [_size(shape), *recipe.hidden]
        self.encoder = nn.Sequential(nn.Flatten(), *dense(widths))
        self.mean = nn.Linear(widths[-1], recipe.latent)
        self.log_variance = nn.Linear(widths[-1], recipe.latent)
        self.decoder = dense([recipe.latent, *reversed(recipe.hidden)])
        self.pixels = nn.Linear(recipe.hidden[0], widths[0])

    def forward(self, x: Tensor, noise: Tensor | None = None, code: Tensor | None = None) -> Outputs:
        if code is not None:
            return Outputs(scores=self.pixels(self.decoder(code)))
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise
        scores = self.pixels(self.decoder(code))
        return Outputs(scores=scores, mean=mean, log_variance=log_variance)


@build.register
def _(recipe: VAE, shape: tuple[int, ...]) -> nn.Module:
    return Autoencoder(recipe, shape)


class Network(nn.Module):
    """A body and, above its features, the learner's head: ``scores = features @ weight.T + bias``."""

    def __init__(self, body: nn.Module, features: int | None) -> None:
        super().__init__()
        self.body = body
        self.head = None if features is None else nn.Linear(features, 1)

    def forward(self, x: Tensor, **args: Tensor) -> Outputs:
        out = self.body(x, **args)
        if self.head is not None:
            return Outputs(scores=self.head(out), features=out)
        return out if isinstance(out, Outputs) else Outputs(scores=out)


def _size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
