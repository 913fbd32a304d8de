"""Shared layers, layers of each task's own, heads and a memory: composed, run and drawn."""

import lifelong as ll

stream = ll.data.mnist_5k().split(2, "task", natural_order=True)[:3]
method = ll.TaskLayers((50,)) + ll.EWC(100) + ll.ER(200)
learner = ll.Learner(ll.models.mlp(400, 200), method, epochs=3, seed=1)
print(ll.run(learner, stream))
print(ll.architecture(learner))
