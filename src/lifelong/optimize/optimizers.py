"""Optimizers as frozen recipes; a backend runs them on the one parameter vector.

The bias corrections of Adam use, for every row of the head, the number of updates that *this row*
has had: a global count would give new rows up to 6 times the rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import LifelongError, accept, of_types, unknown
from .schedules import Schedule

LARGE = 1e9
"""No number of an optimizer is larger."""


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers have.

    Args:
        lr: the learning rate, above 0.
        schedule: a factor on it over time (:class:`lifelong.Schedule`).
        reset: forget momentum and step counts when a task begins.
    """

    lr: float
    schedule: Schedule = field(default=Schedule(), kw_only=True)
    reset: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise LifelongError(f"lr={self.lr}: give a learning rate above 0")
        for name in ("momentum", "weight_decay", "eps"):
            value = getattr(self, name, 0)
            if not 0 <= value < LARGE:
                raise LifelongError(f"{name}={value}: give a number from 0")


@dataclass(frozen=True)
class SGD(Optimizer):
    """v <- momentum v + g + weight_decay theta;  d = -lr v."""

    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Adam(Optimizer):
    """m, v <- exponential means of g, g^2;  d = -lr m^ / (sqrt(v^) + eps).

    Kingma & Ba, "Adam" (2015), algorithm 1. ``weight_decay`` is added to g.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = len(self.betas) == 2 and all(isinstance(beta, float | int) for beta in self.betas)
        if not fine or not all(0 <= beta < 1 for beta in self.betas):
            raise LifelongError(f"betas={self.betas}: give two numbers in [0, 1)")


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: d = -lr (m^ / (sqrt(v^) + eps) + weight_decay theta).

    Loshchilov & Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
    """

    weight_decay: float = 0.01


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def optimizer(spec: str | Optimizer, lr: float | None = None, **options: Any) -> Optimizer:
    """The optimizer of this name (``sgd``, ``adam``, ``adamw``); a recipe stays itself."""
    if isinstance(spec, Optimizer):
        return spec if lr is None else replace(spec, lr=lr)
    if spec not in OPTIMIZERS:
        raise unknown("optimizer", spec, OPTIMIZERS)
    if lr is not None:
        options["lr"] = lr
    accept(options, [f.name for f in fields(OPTIMIZERS[spec])], spec)
    of_types(options, OPTIMIZERS[spec], spec)
    return OPTIMIZERS[spec](**options)
