import lifelong as ll

stream = ll.data.mnist_5k().split(classes_per_task=2, scenario="class")
learner = ll.Learner(ll.models.mlp(400, 400), ll.ER(500) + ll.EWC(100))
result = ll.run(learner, stream)
print(result.table())
print(result.summary())
