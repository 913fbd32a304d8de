"""The recipes as PyTorch modules: inputs to features (or, for a generator, to its outputs)."""

from __future__ import annotations

from functools import singledispatch
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..batch import Outputs
from ..errors import LifelongError
from ..models import CNN, MLP, VAE, Columns, ResNet18


@singledispatch
def build(recipe: object, shape: tuple[int, ...]) -> nn.Module:
    """The module of ``recipe`` for inputs of ``shape`` (without the batch axis)."""
    raise LifelongError(
        f"the torch backend cannot build {recipe!r}: give a recipe (ll.models.mlp(400, 400)) "
        "or a torch.nn.Module that ends in class scores"
    )


class Chain(nn.Sequential):
    """Layers one after another; ``gates`` ``[rows, units]`` multiply what the ReLUs let through."""

    def forward(self, x: Tensor, gates: Tensor | None = None) -> Tensor:
        start = 0
        for layer in self:
            x = layer(x)
            if gates is not None and isinstance(layer, nn.ReLU):
                own = gates[:, start : start + x.shape[1]]
                x = x * own.reshape(*own.shape, *[1] * (x.ndim - 2))
                start += x.shape[1]
        return x


def dense(widths: list[int]) -> Chain:
    """Linear layers between these widths, each followed by ReLU."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return Chain(*layers)


@build.register
def _(recipe: MLP, shape: tuple[int, ...]) -> nn.Module:
    return Chain(nn.Flatten(), *dense([_size(shape), *recipe.hidden]))


class SideBySide(nn.Module):
    """Networks of which each row's ``column`` says which answers, above the trunk that they share."""

    def __init__(self, recipe: Columns, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.trunk = None if recipe.trunk is None else build(recipe.trunk, shape)
        below = shape if recipe.trunk is None else (recipe.trunk.features,)
        self.columns = nn.ModuleList(build(recipe.body, below) for _ in range(recipe.count))

    def train(self, mode: bool = True) -> SideBySide:
        super().train(mode)
        for finished in self.columns[:-1]:
            finished.train(False)  # their statistics stand still
        return self

    def forward(self, x: Tensor, column: Tensor | None = None) -> Tensor:
        if self.trunk is not None:
            x = self.trunk(x)
        if column is None:
            return self.columns[-1](x)
        return answering([own(x) for own in self.columns], column)


class Progressive(nn.Module):
    """Columns of dense layers, each of which sees the layers below of those before it."""

    def __init__(self, widths: list[int], count: int) -> None:
        super().__init__()
        self.columns = nn.ModuleList(
            nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths)) for _ in range(count)
        )
        self.laterals = nn.ModuleList(
            nn.ModuleList(nn.Linear(k * a, b, bias=False) for a, b in pairwise(widths[1:]))
            for k in range(1, count)
        )

    def forward(self, x: Tensor, column: Tensor | None = None) -> Tensor:
        below: list[list[Tensor]] = []  # the layers of the columns before, inputs first
        for k, layers in enumerate(self.columns):
            hidden = [x.flatten(1)]
            for i, layer in enumerate(layers):  # type: ignore[arg-type, var-annotated]
                z = layer(hidden[-1])
                if k and i:
                    others = torch.cat([other[i] for other in below], 1).detach()
                    z = z + self.laterals[k - 1][i - 1](others)  # type: ignore[index]
                hidden.append(z.relu())
            below.append(hidden)
        return answering([hidden[-1] for hidden in below], column)


def answering(answers: list[Tensor], column: Tensor | None) -> Tensor:
    """Of every row, the features of its column; without one, those of the last."""
    if column is None:
        return answers[-1]
    return sum(a * (column == k).unsqueeze(1).to(a.dtype) for k, a in enumerate(answers))  # type: ignore[return-value]


@build.register
def _(recipe: Columns, shape: tuple[int, ...]) -> nn.Module:
    if not recipe.lateral:
        return SideBySide(recipe, shape)
    assert isinstance(recipe.body, MLP)
    return Progressive([_size(shape), *recipe.body.hidden], recipe.count)


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
    return Chain(*layers, nn.Flatten(), *dense([size, recipe.features]))


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
