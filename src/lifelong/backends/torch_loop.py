"""A user's own PyTorch loop: between its parameters and a learner's theta."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .torch import TorchBackend, named


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
        held = self._held()
        own = [torch.zeros_like(h) if h.grad is None else h.grad for h in held]
        return torch.cat([g.reshape(-1) for g in own])

    def apply(self, g: Tensor) -> None:
        """Let the optimizer step with this gradient."""
        trained = [h for h in self._held() if isinstance(h, nn.Parameter) and h.requires_grad]
        for held in trained:
            held.grad = torch.zeros_like(held) if held.grad is None else held.grad
        with torch.no_grad():
            grads = {id(h): h.grad for h in trained}
            self._write(g, [grads.get(id(h)) for h in self._held()])
        self.optimizer.step()

    def _write(self, vector: Tensor, to: Sequence[Tensor | None]) -> None:
        for segment, held in zip(self.backend.segments.values(), to, strict=True):
            if held is not None:
                held.copy_(TorchBackend._piece(vector, segment))
