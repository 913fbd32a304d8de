"""The functions that method and objective files may use beyond operators, in TensorFlow.

The same as in ``torch_ops.py``, with the same meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import LifelongError

Tensor = Any


class TensorflowOps:
    """One instance a learner: it knows the precision."""

    def __init__(self, device: str, dtype: tf.DType) -> None:
        self.device, self.dtype = device, dtype

    # ---- to and from NumPy
    def tensor(self, array: Any) -> Tensor:
        """An array as a tensor; floats narrower than float64 take the learner's precision."""
        with tf.init_scope(), tf.device(self.device):  # a constant, where a step is being compiled
            tensor = tf.convert_to_tensor(np.asarray(array))
            return tf.cast(tensor, self.dtype) if tensor.dtype in (tf.float16, tf.float32) else tensor

    def numpy(self, tensor: Tensor) -> np.ndarray:
        """A tensor as an array."""
        if tf.is_symbolic_tensor(tensor):
            raise LifelongError("a hook asks for numbers in a compiled step: give its part host = True")
        return np.asarray(tensor)

    def full(self, shape: tuple[int, ...], fill: float, dtype: str | None = None) -> Tensor:
        """A tensor of one value."""
        return tf.fill(shape, tf.constant(fill, dtype or self.dtype))

    def cast(self, tensor: Tensor, dtype: str | None = None) -> Tensor:
        """To this type; None: to the learner's precision."""
        return tf.cast(tensor, dtype or self.dtype)

    # ---- losses, one value per row (or per entry)
    def cross_entropy(self, scores: Tensor, y: Tensor) -> Tensor:
        """-log softmax(scores)_y, ``[rows]``."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores)

    def bce(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of sigmoid(scores), entry by entry."""
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=scores)

    def log_softmax(self, scores: Tensor) -> Tensor:
        """Over the last axis."""
        return tf.nn.log_softmax(scores)

    def sigmoid(self, scores: Tensor) -> Tensor:
        """1 / (1 + exp(-scores))."""
        return tf.sigmoid(scores)

    # ---- shapes, selections
    def flatten(self, x: Tensor) -> Tensor:
        """``[rows, ...] -> [rows, n]``."""
        return tf.reshape(x, [x.shape[0], -1])

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same entries in another shape."""
        return tf.reshape(x, shape)

    def transpose(self, x: Tensor) -> Tensor:
        """``[a, b] -> [b, a]``."""
        return tf.transpose(x)

    def take(self, x: Tensor, rows: Any) -> Tensor:
        """``x[rows]`` for a list or a tensor of integers."""
        return tf.gather(x, rows)

    def place(self, scores: Tensor, columns: list[int], width: int) -> Tensor:
        """``[rows, width]``: ``scores`` at these columns, -1e9 elsewhere."""
        where = np.full(width, len(columns))
        where[columns] = np.arange(len(columns))
        empty = tf.fill([scores.shape[0], 1], tf.constant(-1e9, scores.dtype))
        return tf.gather(tf.concat([scores, empty], 1), where, axis=1)

    def concat(self, tensors: list[Tensor]) -> Tensor:
        """Along the first axis."""
        return tf.concat(tensors, 0)

    def stack(self, tensors: list[Tensor]) -> Tensor:
        """Along a new first axis."""
        return tf.stack(tensors)

    def pick(self, scores: Tensor, y: Tensor) -> Tensor:
        """``scores[i, y[i]]`` for every row i."""
        return tf.gather(scores, y, batch_dims=1)

    def where(self, mask: Tensor, a: Any, b: Any) -> Tensor:
        """a where ``mask``, else b."""
        kind = a.dtype if hasattr(a, "dtype") else b.dtype
        return tf.where(mask, tf.convert_to_tensor(a, kind), tf.convert_to_tensor(b, kind))

    def one_hot(self, y: Tensor, classes: int) -> Tensor:
        """``[rows] -> [rows, classes]``."""
        return tf.one_hot(y, classes, dtype=self.dtype)

    def argmax(self, scores: Tensor) -> Tensor:
        """Over the last axis."""
        return tf.argmax(scores, -1)

    # ---- arithmetic
    def exp(self, x: Tensor) -> Tensor:
        """Entry by entry."""
        return tf.exp(x)

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        """Entry by entry, at least ``low`` and at most ``high``."""
        return tf.clip_by_value(x, low, high)

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        """The larger of two entries."""
        return tf.maximum(a, b)

    def max(self, x: Tensor) -> Tensor:
        """The largest entry."""
        return tf.reduce_max(x)

    def sum(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Over one axis, or all."""
        return tf.reduce_sum(x, axis)

    def mean(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Over one axis, or all."""
        return tf.reduce_mean(x, axis)

    def add_product(self, x: Tensor, a: Tensor, b: Tensor, scale: Any = 1.0) -> Tensor:
        """x + scale a b, entry by entry."""
        return x + scale * (a * b)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the products of two vectors' entries."""
        return tf.tensordot(a, b, 1)

    def matvec(self, matrix: Tensor, vector: Tensor) -> Tensor:
        """``[a, b] @ [b] -> [a]``."""
        return tf.linalg.matvec(matrix, vector)

    def cumsum(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        return tf.cumsum(x, -1)

    def norm(self, x: Tensor) -> Tensor:
        """Euclidean, over the last axis, which stays (length 1)."""
        return tf.norm(x, axis=-1, keepdims=True)

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances ``[rows of a, rows of b]``."""
        squares = tf.reduce_sum(a**2, 1)[:, None] + tf.reduce_sum(b**2, 1)[None, :]
        return tf.sqrt(tf.maximum(squares - 2 * tf.matmul(a, b, transpose_b=True), 0))

    def constant(self, x: Tensor) -> Tensor:
        """The same value, through which no gradient flows."""
        return tf.stop_gradient(x)

    def count_pairs(self, a: Tensor, b: Tensor, classes: int) -> Tensor:
        """How often each pair (a, b) occurs: ``int64 [classes, classes]``."""
        return tf.reshape(self.count(a * classes + b, classes**2), [classes, classes])

    def count(self, a: Tensor, values: int) -> Tensor:
        """How often each of the values 0, 1, ... occurs: ``int64 [values]``."""
        held = tf.cast(a, tf.int32)
        return tf.math.bincount(held, minlength=values, maxlength=values, dtype=tf.int64)
