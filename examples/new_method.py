"""A method in one file: L2 towards the last task's parameters, composed with replay."""

from dataclasses import dataclass

import lifelong as ll
from lifelong.method import THETA


@dataclass(eq=False)
class Anchor(ll.Part):
    """penalty = strength/2 ||theta - theta*||^2, theta* at the end of the last task."""

    strength: float = 1.0

    name = "anchor"
    family = "regularization"
    paper = "the baseline of Kirkpatrick et al. (2017)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries",)

    def start(self, learner):
        self.anchor = self.vector(THETA)
        self.tasks = self.scalar(0)

    def gradient(self, learner, batch, g):
        return g + self.strength * self.tasks * (learner.theta - self.anchor)

    def end(self, learner, task, phase):
        self.anchor, self.tasks = learner.snapshot(), self.tasks + 1


stream = ll.data.digits().split(2, "domain")
learner = ll.Learner(ll.models.mlp(64), ll.ER(100) + Anchor(0.01), epochs=5)
print(ll.run(learner, stream))
