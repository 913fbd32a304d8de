"""A user's own PyTorch loop: between its parameters and a learner's theta."""

from __future__ import annotations

import copy
import inspect
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import LifelongError
from .torch import TorchBackend, named

PRECISIONS = {torch.float32: "float32", torch.float64: "float64"}


def options(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """The device and the precision of a model's parameters.

    Raises:
        LifelongError: where they are of several, or of another precision than float32 and float64,
            and for an optimizer that computes the loss anew within a step, as LBFGS does.
    """
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise LifelongError(
            f"{type(optimizer).__name__} computes the loss several times a step, which a method counts "
            "as one: choose another optimizer"
        )
    kinds = {(held.dtype, str(held.device)) for _, held in named(model)}
    if len(kinds) != 1 or not kinds <= {(kind, device) for kind in PRECISIONS for _, device in kinds}:
        found = ", ".join(sorted(f"{str(k).removeprefix('torch.')} on {d}" for k, d in kinds)) or "none"
        raise LifelongError(
            f"parameters and statistics: {found}; a method takes float32 or float64 on one device: "
            "for less precision keep float32 and use torch.autocast"
        )
    ((kind, device),) = kinds
    return {"precision": PRECISIONS[kind], "device": device}


class TorchLoop:
    """Copies parameters, statistics and gradients; the backend holds a copy of the model."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, backend: Any) -> None:
        self.model, self.optimizer, self.backend = model, optimizer, backend

    def _held(self) -> list[Tensor]:
        """The model's tensors in the order of theta."""
        held = dict(named(self.model, "body"))
        return [held[name] for name in self.backend.segments]

    def held(self) -> Any:
        """A copy of what the model and the optimizer hold."""
        return copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))

    def hold(self, held: Any) -> None:
        """Let them hold that again."""
        model, optimizer = held
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)

    @torch.no_grad()
    def gather(self) -> None:
        """theta = the model's parameters and statistics."""
        self.backend.assign(torch.cat([held.reshape(-1) for held in self._held()]))

    @torch.no_grad()
    def scatter(self) -> None:
        """The model's parameters and statistics = theta."""
        self._write(self.backend.theta, self._held())

    def gradient(self, gradients: None) -> Tensor:
        """The gradients that ``backward`` left, as one vector; 0 where it left none."""
        return torch.cat([_dense(held).reshape(-1) for held in self._held()])

    def apply(self, g: Tensor) -> None:
        """Let the optimizer step with this gradient; None and sparse ones stay so, if not edited."""
        for segment, held in zip(self.backend.segments.values(), self._held(), strict=True):
            own, edited = held.grad, TorchBackend._piece(g, segment)
            trained = isinstance(held, nn.Parameter) and held.requires_grad
            if not trained or torch.equal(_dense(held), edited):
                continue
            sparse = own is not None and own.is_sparse
            held.grad = edited.to_sparse(own.sparse_dim()) if sparse else edited.clone()  # type: ignore[union-attr]
        self.optimizer.step()

    def exact(self) -> AbstractContextManager[Any]:
        """Within, the method computes in the parameters' precision, autocast or not."""
        return torch.autocast(self.backend.device.type, enabled=False)

    def _write(self, vector: Tensor, to: list[Tensor]) -> None:
        for segment, held in zip(self.backend.segments.values(), to, strict=True):
            held.copy_(TorchBackend._piece(vector, segment))


def _dense(held: Tensor) -> Tensor:
    """A tensor's gradient; 0 where there is none."""
    own = held.grad
    return torch.zeros_like(held) if own is None else own.to_dense().detach()
