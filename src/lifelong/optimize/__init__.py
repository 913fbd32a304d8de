"""Optimizers and learning-rate schedules, as recipes."""

from .optimizers import SGD, Adam, AdamW, Optimizer, optimizer
from .schedules import SCHEDULES, Schedule

__all__ = ["SCHEDULES", "SGD", "Adam", "AdamW", "Optimizer", "Schedule", "optimizer"]
