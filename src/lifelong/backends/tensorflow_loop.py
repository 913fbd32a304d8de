"""A user's own Keras ``train_step``: between its variables and a learner's theta."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class TensorflowLoop:
    """Copies variables and gradients; the backend calls the model statelessly."""

    def __init__(self, model: Any, optimizer: Any, backend: Any) -> None:
        self.model, self.optimizer, self.backend = model, optimizer, backend

    def _held(self) -> list[Any]:
        """The model's variables in the order of theta."""
        if not tf.executing_eagerly():
            from ..errors import LifelongError

            raise LifelongError("a method draws and counts: compile the model with run_eagerly=True")
        trained = self.model.trainable_variables
        return [*trained, *(v for v in self.model.non_trainable_variables if "float" in v.dtype)]

    def held(self) -> Any:
        """A copy of what the model and the optimizer hold."""
        return self.model.get_weights(), [variable.numpy() for variable in self.optimizer.variables]

    def hold(self, held: Any) -> None:
        """Let them hold that again; what the optimizer has made since begins anew."""
        weights, numbers = held
        self.model.set_weights(weights)
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(numbers[i] if i < len(numbers) else tf.zeros_like(variable))

    def gather(self) -> None:
        """theta = the model's variables."""
        self.backend.assign(tf.concat([tf.reshape(v, [-1]) for v in self._held()], 0))

    def scatter(self) -> None:
        """The model's variables = theta."""
        for variable, piece in zip(self._held(), self._pieces(self.backend.theta), strict=True):
            variable.assign(piece)

    def gradient(self, gradients: list[Any]) -> Any:
        """The tape's gradients as one vector; 0 where there is none, and for statistics."""
        held = self._held()
        given = [*gradients, *[None] * (len(held) - len(gradients))]
        own = [tf.zeros_like(v) if g is None else g for v, g in zip(held, given, strict=True)]
        return tf.concat([tf.reshape(g, [-1]) for g in own], 0)

    def apply(self, g: Any) -> None:
        """Let the optimizer step with this gradient."""
        trained = self.model.trainable_variables
        self.optimizer.apply(self._pieces(g)[: len(trained)], trained)

    def _pieces(self, vector: Any) -> list[Any]:
        segments = self.backend.segments.values()
        return [tf.reshape(vector[s.start : s.stop], s.shape) for s in segments]
