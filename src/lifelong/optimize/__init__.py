"""Optimizers and learning-rate schedules, as recipes."""

from .optimizers import SGD, Adam, AdamW, Optimizer, optimizer
from .schedules import SCHEDULES, Schedule, constant, cosine, schedule, step

__all__ = [
    "SCHEDULES", "SGD", "Adam", "AdamW", "Optimizer", "Schedule",
    "constant", "cosine", "optimizer", "schedule", "step",
]  # fmt: skip
