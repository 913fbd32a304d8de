"""Layers that all tasks share, held by EWC, and above them a head for each task: PyTorch."""

import lifelong as ll

stream = ll.data.mnist_5k().split(2, "task", natural_order=True)
model = ll.models.mlp(400, 400)  # the shared layers; the learner adds a head for each task
learner = ll.Learner(model, ll.EWC(100), epochs=5, seed=1, backend="torch")
print(ll.run(learner, stream))
for task, columns in learner.heads.items():
    print(f"head {task}: scores {columns}, for the digits {stream[task].name}")
