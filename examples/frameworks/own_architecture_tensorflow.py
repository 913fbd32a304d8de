"""An architecture of one's own: shared layers, an adapter for each task, a memory: TensorFlow."""

import os
from dataclasses import dataclass

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import layers

import lifelong as ll


class Adapted(keras.Model):
    """A shared layer, an adapter for each of five tasks that its rows go through, scores."""

    def __init__(self):
        super().__init__()
        self.shared = keras.Sequential([layers.Flatten(), layers.Dense(200, "relu")])
        self.adapters = [layers.Dense(200) for _ in range(5)]
        self.scores = layers.Dense(10)

    def call(self, x, task=None):
        h = self.shared(x)
        added = [own(h) for own in self.adapters]
        if task is not None:
            h = h + sum(a * tf.cast(task == k, a.dtype)[:, None] for k, a in enumerate(added))
        return self.scores(tf.nn.relu(h))


@dataclass(eq=False)
class Adapters(ll.Part):
    """Tells the model which task each row is of."""

    name, family, scenarios, needs = "adapters", "isolation", ("task",), ("task ids",)

    def model_args(self, learner, batch):
        return {"task": batch.task} if "task" in batch else {}


keras.utils.set_random_seed(1)
stream = ll.data.mnist_5k().split(2, "task", natural_order=True)
learner = ll.Learner(Adapted(), Adapters() + ll.ER(200), epochs=5, seed=1, backend="tensorflow")
print(ll.run(learner, stream))
print(ll.architecture(learner))
