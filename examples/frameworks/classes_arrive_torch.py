"""New classes arrive two at a time, and a memory of 500 samples keeps the old ones: PyTorch."""

import lifelong as ll

stream = ll.data.mnist_5k().split(2, "class", natural_order=True)
model = ll.models.mlp(400, 400)  # the learner's head grows by a row for each class that arrives
learner = ll.Learner(model, ll.ER(500), epochs=5, seed=1, backend="torch")
print(ll.run(learner, stream))
print(f"{learner.initial_parameters:,} parameters grew to {learner.parameters:,}")
print("it now tells apart", *learner.classes)
