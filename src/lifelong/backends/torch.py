"""The PyTorch backend."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from ..batch import Batch, Outputs
from ..errors import LifelongError, unknown
from ..models import Recipe
from ..optimize import SGD, Adam, AdamW, Optimizer
from .base import ONE_VALUE, Args, Backend, Loss, Segment
from .torch_models import Network, build
from .torch_ops import TorchOps

PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "bf16": torch.float32}
Terms = Callable[[Outputs, Batch], list[tuple[Tensor, Tensor]]]


class Pieces:
    """A vector over theta as autograd leaves it, a tensor for each segment; joined for whom asks."""

    def __init__(self, pieces: list[Tensor]) -> None:
        self.pieces = pieces

    @cached_property
    def flat(self) -> Tensor:
        return torch.cat([piece.reshape(-1) for piece in self.pieces])


class TorchBackend(Backend):
    """On PyTorch. ``bf16`` keeps float32 parameters (autocast)."""

    name = "torch"

    def __init__(self, optimizer: Optimizer, device: str, precision: str) -> None:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError):
            raise LifelongError(f"device {device!r} is not available here: try cpu") from None
        self.optimizer = optimizer
        self._plain = isinstance(optimizer, SGD) and not (optimizer.momentum or optimizer.weight_decay)
        self.dtype = PRECISIONS[precision]
        self.itemsize = self.dtype.itemsize
        self.autocast = precision == "bf16"
        self.ops = TorchOps(self.device, self.dtype)

    # ---- network and layout
    def _make(self, model: Any, head: bool, inputs: np.ndarray) -> dict[str, np.ndarray]:
        own = isinstance(model, nn.Module)
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # PyTorch's own weights: not used
            body = copy.deepcopy(model) if own else build(model, inputs.shape[1:])
            body = body.to(self.device, self.dtype)
            for module in body.modules():
                if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                    module.sparse = False  # gradients are vectors over theta
            out = body.eval()(self._inputs(inputs[:1]))
            features = (out.scores if isinstance(out, Outputs) else out).shape[1]
            self.width = features if head and not own else None
            self.network = Network(body, self.width).eval()
        self.outputs = features if own else None
        """The fixed number of scores of a user's own model; None where the learner owns the head."""
        everywhere = dict(named(self.network, remove_duplicate=False))
        self._places = {
            name: [other for other, same in everywhere.items() if same is held]
            for name, held in named(self.network)
        }
        """Name -> all names that a parameter or statistic goes by (tied weights have several)."""
        self.statistics = {k for k, held in named(body, "body") if not isinstance(held, nn.Parameter)}
        self.frozen = {k for k, held in named(self.network) if not held.requires_grad}
        """What no gradient moves: statistics, and parameters that the user's own model holds fixed."""
        given = {k: held.detach() for k, held in named(body, "body")}
        self.body = {k: tuple(held.shape) for k, held in given.items()}
        self.random = own or any("Dropout" in type(m).__name__ for m in self.network.modules())
        """Whether a training step draws random numbers inside the network."""
        return {k: self.ops.numpy(held) for k, held in given.items()} if own else {}

    def _planned(self, recipe: Recipe, shape: tuple[int, ...]) -> int | None:
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                return sum(held.numel() for held in build(recipe, shape).parameters())
        except (RuntimeError, OverflowError, TypeError):  # beyond 2^63
            return None

    def exhausted(self, error: BaseException) -> bool:
        said = str(error) if isinstance(error, RuntimeError) else ""
        told = "allocate memory" in said or "not enough memory" in said
        return super().exhausted(error) or isinstance(error, torch.OutOfMemoryError) or told

    def _hold(self, theta: Tensor, moments: list[Tensor]) -> None:
        """The network's own parameters and statistics become views of theta."""
        self.theta, self.moments = theta.detach().contiguous(), moments
        self._d = torch.zeros_like(self.theta)
        self._views = [self._piece(self.theta, segment) for segment in self.segments.values()]
        self._trained, self._own = [], {}
        for name, segment in self.segments.items():
            held = self._piece(self.theta.data, segment)  # .data: autograd lets statistics be written
            if name not in self.statistics:
                held = nn.Parameter(held, name not in self.frozen)
            if name not in self.frozen:
                self._trained.append(held)
            if name in self.weights:
                self._own[name] = held
            for place in self._places.get(name, ()):
                path, _, kind = place.rpartition(".")
                setattr(self.network.get_submodule(path), kind, held)

    def weight(self, name: str) -> Tensor:
        return self._own[name] if self._at is None else super().weight(name)

    @staticmethod
    def _piece(vector: Tensor, segment: Segment) -> Tensor:
        return vector[segment.start : segment.stop].view(segment.shape)

    def activate(self, rows: np.ndarray | None) -> None:
        super().activate(rows)
        self._d.zero_()

    def vector(self, fill: float | str = 0.0, dtype: str | None = None) -> Tensor:
        if isinstance(fill, str):  # THETA
            return self.theta.clone()
        return torch.full_like(self.theta, fill, dtype=getattr(torch, dtype) if dtype else None)

    # ---- the network
    def _inputs(self, x: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(x).to(self.device)
        if self.as_given:
            return tensor
        if tensor.dtype == torch.uint8:
            return tensor.to(self.dtype).mul_(1 / 255)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _call(self, x: Tensor, args: dict[str, Any], at: Tensor | None = None) -> Outputs:
        """The network with its own parameters, which are theta, or with those ``at``."""
        if self.autocast:
            with torch.autocast(self.device.type, torch.bfloat16):
                out = self._apply(x, args, at)
            return Outputs(**{name: field.float() for name, field in vars(out).items()})
        return self._apply(x, args, at)

    def _apply(self, x: Tensor, args: dict[str, Any], at: Tensor | None) -> Outputs:
        if at is None:
            return self.network(x, **args)
        pieces = zip(
            self.segments.items(), at.split([s.size for s in self.segments.values()]), strict=True
        )
        held = {k: piece.view(s.shape) for (k, s), piece in pieces if k not in self.weights}
        held |= {name: held[name].detach() for name in self.statistics}
        return functional_call(self.network, held, (x,), args)

    def forward(self, batch: Batch, args: Args, at: Tensor | None = None) -> Outputs:
        self._mode(training=False)
        with torch.no_grad(), self.trying(at):
            return self._call(batch.x, args(batch), at)

    def gradient(
        self, batch: Batch, args: Args, loss: Loss, training: bool = True
    ) -> tuple[Outputs, Pieces]:
        self._mode(training)
        random = self.random and training
        with self._randomness(batch.seed) if random else contextlib.nullcontext():
            try:
                out = self._call(batch.x, args(batch))
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise LifelongError(ONE_VALUE) from None
        found = iter(torch.autograd.grad(loss(batch, out), self._trained, materialize_grads=True))
        pieces = zip(self._views, self.segments, strict=True)
        return out, Pieces([torch.zeros_like(v) if k in self.frozen else next(found) for v, k in pieces])

    def _mode(self, training: bool) -> None:
        if self.network.training != training:
            self.network.train(training)

    @staticmethod
    @contextlib.contextmanager
    def _randomness(seed: int) -> Iterator[None]:
        """Layers that draw random numbers do so from this seed, and leave no trace."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            yield

    # ---- the optimizer
    def flat(self, vector: Tensor | Pieces) -> Tensor:
        return vector.flat if isinstance(vector, Pieces) else vector

    def propose(self, g: Tensor | Pieces, rate: float) -> tuple[Tensor | Pieces, float]:
        if self.whole:
            self.ages += 1
            if self._plain:
                return g, -rate
            return self._direction(self.flat(g), self.theta, self.moments, self.ages, self._d), -rate
        g = self.flat(g)
        for run in self.runs:
            at = slice(run.start, run.stop)
            self.ages[run.ages] += 1
            moments = [moment[at] for moment in self.moments]
            out, ages = self._d[at], self.ages[run.ages]
            direction = self._direction(g[at], self.theta[at], moments, ages, out)
            if direction is not out:
                out.copy_(direction)
        return self._d, -rate

    def _direction(
        self,
        g: Tensor,
        theta: Tensor,
        moments: list[Tensor],
        ages: np.ndarray,
        out: Tensor,
    ) -> Tensor:
        """What -rate times is the change of ``theta``; ``ages`` [rows] count the updates so far."""
        optimizer = self.optimizer
        decay = getattr(optimizer, "weight_decay", 0.0)
        if decay and not isinstance(optimizer, AdamW):
            g = g.add(theta, alpha=decay)
        if isinstance(optimizer, SGD):
            return moments[0].mul_(optimizer.momentum).add_(g) if moments else g
        assert isinstance(optimizer, Adam)
        b1, b2 = optimizer.betas
        m = moments[0].lerp_(g, 1 - b1)
        v = moments[1].mul_(b2).addcmul_(g, g, value=1 - b2)
        if (ages == ages[0]).all():
            first, second = 1 - b1 ** int(ages[0]), (1 - b2 ** int(ages[0])) ** 0.5
            torch.sqrt(v, out=out).add_(optimizer.eps * second)
            torch.div(m, out, out=out).mul_(second / first)
        else:  # rows of the head that came at different times
            one, two = (self._weights(1 - b**ages).unsqueeze(1) for b in (b1, b2))
            shape = (len(ages), -1)
            root = (v.view(shape) / two).sqrt_().add_(optimizer.eps)
            torch.div(m.view(shape) / one, root, out=out.view(shape))
        if decay and isinstance(optimizer, AdamW):
            out.add_(theta, alpha=decay)
        return out

    def move(self, direction: Tensor | Pieces, scale: float) -> None:
        if isinstance(direction, Pieces):
            for view, piece in zip(self._views, direction.pieces, strict=True):
                view.add_(piece, alpha=scale)
        else:
            self.theta.add_(direction, alpha=scale)

    def assign(self, theta: Tensor) -> None:
        self.theta.copy_(theta)

    # ---- threads
    def threads(self) -> int:
        return torch.get_num_threads()

    def set_threads(self, count: int) -> None:
        torch.set_num_threads(count)

    # ---- per-sample moments
    def moment(self, batches: Iterable[Batch], args: Args, f: Terms, power: int) -> Tensor:
        self._mode(training=False)
        total = self.vector(0.0, "float64")
        if not self._trained:
            return total
        for batch in batches:
            part = self._moment_of_dense(batch, args(batch), f, power)
            total += self._moment_by_sample(batch, args, f, power) if part is None else part
        for name in self.frozen:
            self._piece(total, self.segments[name]).zero_()
        return total

    def _moment_of_dense(
        self, batch: Batch, args: dict[str, Any], f: Terms, power: int
    ) -> Tensor | None:
        """Layer-wise: for z = W a + b, |dv/dW|^p = |delta|^p |a|^p: one product, for all terms.

        None where a trained parameter is not that of a plain dense layer used once on two-dimensional
        input, or where these products, with their signs, do not sum to what autograd finds.
        """
        names = [name for name in self.segments if name not in self.frozen]
        trained = dict(zip(names, self._trained, strict=True))
        layers = {n: m for n, m in self.network.named_modules() if _plain(m)}
        own = {name: [f"{name}.{k}" for k, _ in m.named_parameters()] for name, m in layers.items()}
        layers = {name: m for name, m in layers.items() if trained.keys() & own[name]}
        if trained.keys() - {parameter for name in layers for parameter in own[name]}:
            return None
        calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
        hooks = [
            layer.register_forward_hook(lambda _, a, z, name=name: calls[name].append((a[0], z)))
            for name, layer in layers.items()
        ]
        try:
            out = self._call(batch.x, args)
        finally:
            for hook in hooks:
                hook.remove()
        if any(len(c) != 1 or c[0][0].ndim != 2 or len(c[0][0]) != len(batch) for c in calls.values()):
            return None
        terms = f(out, batch)
        inputs = [self.ops.cast(c[0][0].detach()) for c in calls.values()]
        sites = [c[0][1] for c in calls.values()]

        def products(deltas: Iterable[Tensor], inputs: Iterable[Tensor]) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for name, delta, a in zip(layers, deltas, inputs, strict=True):
                found |= {f"{name}.weight": delta.T @ a, f"{name}.bias": delta.sum(0)}
            return {name: found[name] for name in trained}

        # of one sum over terms and rows, with signs that do not cancel: log p, for one, would
        mixed = torch.stack([(v * self._mixing(len(v), i)).sum() for i, (_, v) in enumerate(terms)])
        slopes = torch.autograd.grad(
            mixed.sum(), [*sites, *trained.values()], retain_graph=True, materialize_grads=True
        )
        deltas = [self.ops.cast(delta) for delta in slopes[: len(sites)]]
        signed = products(deltas, inputs)
        bound = products([delta.abs() for delta in deltas], [a.abs() for a in inputs])
        rounding = 2**-5 if self.autocast else torch.finfo(self.dtype).eps ** 0.6
        for name, slope in zip(trained, slopes[len(sites) :], strict=True):
            if not (slope - signed[name]).abs().max() <= rounding * bound[name].max():
                return None
        sums = [torch.zeros_like(z, dtype=self.dtype) for z in sites]
        for i, (weight, value) in enumerate(terms):
            slopes = torch.autograd.grad(
                value.sum(), sites, retain_graph=i + 1 < len(terms), materialize_grads=True
            )
            for each, delta in zip(sums, slopes, strict=True):
                each.addcmul_(self.ops.cast(delta).abs().pow(power), weight.detach().unsqueeze(1))
        total = self.vector(0.0)
        for name, piece in products(sums, [a.abs().pow(power) for a in inputs]).items():
            self._piece(total, self.segments[name]).copy_(piece)
        return total

    def _mixing(self, rows: int, term: int) -> Tensor:
        """Numbers between 1 and 2, no two alike, by which rows and terms are told apart in a sum."""
        golden = 0.6180339887498949
        return self._weights(1 + (np.arange(1, rows + 1) * golden + term * golden**2) % 1)

    def _moment_by_sample(self, batch: Batch, args: Args, f: Terms, power: int) -> Tensor:
        """Sample by sample: in vectorized chunks, or one by one where the model cannot be vectorized."""
        columns = {k: v for k, v in batch.tensors.items() if v is not None}

        def values(theta: Tensor, row: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            one = Batch(batch.samples)
            one.tensors = {k: v.unsqueeze(0) for k, v in row.items()}
            with self.trying(theta):
                terms = f(self._call(one.x, args(one), theta), one)
            return torch.stack([v[0] for _, v in terms]), torch.stack([w[0] for w, _ in terms])

        def one_by_one(theta: Tensor, rows: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            theta, found = theta.detach().requires_grad_(), []
            for i in range(len(next(iter(rows.values())))):
                terms, weights = values(theta, {k: v[i] for k, v in rows.items()})
                slopes = [torch.autograd.grad(v, theta, retain_graph=True)[0] for v in terms]
                found.append((torch.stack(slopes), weights))
            return torch.stack([slopes for slopes, _ in found]), torch.stack([w for _, w in found])

        slopes: Callable[..., tuple[Tensor, Tensor]] = vmap(jacrev(values, has_aux=True), (None, 0))
        total = self.vector(0.0)
        for start in range(0, len(batch), 16):
            chunk = {k: v[start : start + 16] for k, v in columns.items()}
            try:
                jacobian, weights = slopes(self.theta, chunk)
            except RuntimeError:  # of vmap: data-dependent control flow, operations in place, ...
                slopes = one_by_one
                jacobian, weights = slopes(self.theta, chunk)
            total += (jacobian.abs().pow(power) * weights.detach().unsqueeze(2)).sum((0, 1))
        return total

    # ---- state
    def _counters(self) -> dict[str, np.ndarray]:
        return {name: self.ops.numpy(buffer) for name, buffer in self._integers()}

    def _set_counters(self, arrays: dict[str, np.ndarray]) -> None:
        for name, buffer in self._integers():
            if f"buffer.{name}" in arrays:  # not in a file that another backend wrote
                buffer.copy_(self.ops.tensor(arrays[f"buffer.{name}"]))

    def _integers(self) -> Iterator[tuple[str, Tensor]]:
        return ((k, b) for k, b in self.network.named_buffers() if not b.is_floating_point())


def _plain(module: nn.Module) -> bool:
    """Whether this is PyTorch's own dense layer, with no forward, hook or parametrization beside."""
    hooked = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return type(module) is nn.Linear and not any(hooked) and "forward" not in vars(module)


def named(network: nn.Module, prefix: str = "", **options: bool) -> Iterator[tuple[str, Tensor]]:
    """The parameters and, behind them, the statistics that training moves (floating-point buffers)."""
    yield from network.named_parameters(prefix, **options)
    for name, buffer in network.named_buffers(prefix, **options):
        if buffer.is_floating_point():
            yield name, buffer
