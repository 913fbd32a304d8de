"""A user's own Keras ``train_step``: between its variables and a learner's theta."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from ..errors import LifelongError


def options(model: Any, optimizer: Any) -> dict[str, str]:
    """The precision of a model's variables.

    Raises:
        LifelongError: where they are of several, or of another than float32 and float64.
    """
    kinds = {str(v.dtype) for v in model.variables if "float" in str(v.dtype)}
    if len(kinds) > 1 or not kinds <= {"float32", "float64"}:
        raise LifelongError(
            f"variables of {', '.join(sorted(kinds))}: a method takes float32 or float64; for less "
            "precision keep them in float32, with the policy 'mixed_bfloat16'"
        )
    return {"precision": next(iter(kinds), "float32")}


class TensorflowLoop:
    """Copies variables and gradients; the backend calls the model statelessly."""

    def __init__(self, model: Any, optimizer: Any, backend: Any) -> None:
        self.model, self.optimizer, self.backend = model, optimizer, backend

    def _held(self) -> list[Any]:
        """The model's variables in the order of theta."""
        if not tf.executing_eagerly():
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
        held, self.given = self._held(), gradients
        given = [*gradients, *[None] * (len(held) - len(gradients))]
        return tf.concat([tf.reshape(_dense(v, g), [-1]) for v, g in zip(held, given, strict=True)], 0)

    def apply(self, g: Any) -> None:
        """Let the optimizer step with this gradient; None and sparse ones stay so, if not edited."""
        found = [
            (given if bool(tf.reduce_all(_dense(v, given) == edited)) else edited, v)
            for v, given, edited in zip(self.model.trainable_variables, self.given, self._pieces(g))  # noqa: B905
        ]
        kept = [(gradient, v) for gradient, v in found if gradient is not None]
        if not kept:
            raise LifelongError("no variable has a gradient: does the loss depend on the model?")
        if not self.optimizer.built:
            self.optimizer.build(self.model.trainable_variables)
        self.optimizer.apply_gradients(kept)

    def exact(self) -> AbstractContextManager[Any]:
        """Keras has no autocast around a loop."""
        return nullcontext()

    def _pieces(self, vector: Any) -> list[Any]:
        segments = self.backend.segments.values()
        return [tf.reshape(vector[s.start : s.stop], s.shape) for s in segments]


def _dense(variable: Any, gradient: Any) -> Any:
    """A variable's gradient; 0 where there is none."""
    return tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
