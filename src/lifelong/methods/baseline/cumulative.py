"""Training on everything so far, and on everything at once: the upper bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import LifelongError
from ...method import Part
from ...samples import Samples

if TYPE_CHECKING:
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class Cumulative(Part):
    """Keep every sample; at every task, train on all so far. No bound on memory or time."""

    name = "cumulative"
    family = "baseline"
    paper = "the joint optimum that continual learning approximates"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)
    revisits = True

    def start(self, learner: Learner) -> None:
        self.past = self.memory(None)

    def data(self, learner: Learner, samples: Samples) -> Samples:
        return Samples.concat([self.past.samples, samples]) if len(self.past) else samples

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        self.past.offer(task.train, learner.rng)


@dataclass(eq=False)
class Joint(Cumulative):
    """Wait until all tasks have arrived and train on all of them at once: the upper bound.

    Its budget is the sum of the tasks' budgets, and only the last row of R is measured.
    """

    name = "joint"

    def phases(self, learner: Learner, task: Task, phases: list[Phase]) -> list[Phase]:
        steps = 0
        if task.last:  # a pass over all samples already counts the steps of all tasks
            whole = learner.max_steps is None
            steps = sum(phase.steps for phase in phases) * (1 if whole else task.place[1])
        return [replace(phases[0], steps=steps)]

    def start(self, learner: Learner) -> None:
        super().start(learner)
        self.done = self.scalar(0)

    def begin(self, learner: Learner, task: Task) -> None:
        if learner.optimizer.schedule.per == "stream":
            raise LifelongError("joint trains once, at the end: give the schedule per='task'")

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        super().end(learner, task, phase)
        self.done = int(task.last)

    def ready(self, learner: Learner) -> bool:
        return bool(self.done)
