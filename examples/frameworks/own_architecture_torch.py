"""An architecture of one's own: shared layers, an adapter for each task, a memory: PyTorch."""

from dataclasses import dataclass

import torch
from torch import nn

import lifelong as ll


class Adapted(nn.Module):
    """A shared layer, an adapter for each of five tasks that its rows go through, scores."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Flatten(), nn.Linear(784, 200), nn.ReLU())
        self.adapters = nn.ModuleList(nn.Linear(200, 200) for _ in range(5))
        self.scores = nn.Linear(200, 10)

    def forward(self, x, task=None):
        h = self.shared(x)
        if task is not None:
            h = h + sum(own(h) * (task == k).unsqueeze(1) for k, own in enumerate(self.adapters))
        return self.scores(h.relu())


@dataclass(eq=False)
class Adapters(ll.Part):
    """Tells the model which task each row is of."""

    name, family, scenarios, needs = "adapters", "isolation", ("task",), ("task ids",)

    def model_args(self, learner, batch):
        return {"task": batch.task} if "task" in batch else {}


torch.manual_seed(1)
stream = ll.data.mnist_5k().split(2, "task", natural_order=True)
learner = ll.Learner(Adapted(), Adapters() + ll.ER(200), epochs=5, seed=1, backend="torch")
print(ll.run(learner, stream))
print(ll.architecture(learner))
