"""The functions that method and objective files may use beyond operators, in PyTorch.

Tensors support ``+ - * / ** @ == < >``, slices and ``.shape`` on every backend; what else a method
needs is here, so that no method file names a framework.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class TorchOps:
    """One instance a learner: it knows the device and the precision."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    # ---- to and from NumPy
    def tensor(self, array: Any) -> Tensor:
        """An array as a tensor; floats narrower than float64 take the learner's precision."""
        tensor = torch.from_numpy(np.asarray(array)).to(self.device)
        if tensor.dtype == torch.float64 and self.dtype == torch.float64:
            return tensor
        return tensor.to(self.dtype) if tensor.dtype in (torch.float16, torch.float32) else tensor

    def numpy(self, tensor: Tensor) -> np.ndarray:
        """A tensor as an array."""
        return tensor.detach().cpu().numpy()

    def full(self, shape: tuple[int, ...], fill: float, dtype: str | None = None) -> Tensor:
        """A tensor of one value."""
        kind = getattr(torch, dtype) if dtype else self.dtype
        return torch.full(shape, fill, device=self.device, dtype=kind)

    def cast(self, tensor: Tensor, dtype: str | None = None) -> Tensor:
        """To this type; None: to the learner's precision."""
        return tensor.to(getattr(torch, dtype) if dtype else self.dtype)

    # ---- losses, one value per row (or per entry)
    def cross_entropy(self, scores: Tensor, y: Tensor) -> Tensor:
        """-log softmax(scores)_y, ``[rows]``."""
        return F.cross_entropy(scores, y, reduction="none")

    def bce(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of sigmoid(scores), entry by entry."""
        return F.binary_cross_entropy_with_logits(scores, targets, reduction="none")

    def log_softmax(self, scores: Tensor) -> Tensor:
        """Over the last axis."""
        return scores.log_softmax(-1)

    def sigmoid(self, scores: Tensor) -> Tensor:
        """1 / (1 + exp(-scores))."""
        return scores.sigmoid()

    # ---- shapes, selections
    def flatten(self, x: Tensor) -> Tensor:
        """``[rows, ...] -> [rows, n]``."""
        return x.flatten(1)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same entries in another shape."""
        return x.reshape(shape)

    def transpose(self, x: Tensor) -> Tensor:
        """``[a, b] -> [b, a]``."""
        return x.T

    def take(self, x: Tensor, rows: Any) -> Tensor:
        """``x[rows]`` for a list or a tensor of integers."""
        return x[rows]

    def place(self, scores: Tensor, columns: list[int], width: int) -> Tensor:
        """``[rows, width]``: ``scores`` at these columns, -1e9 elsewhere."""
        whole = scores.new_full((len(scores), width), -1e9)
        whole[:, columns] = scores
        return whole

    def concat(self, tensors: list[Tensor]) -> Tensor:
        """Along the first axis."""
        return torch.cat(tensors)

    def stack(self, tensors: list[Tensor]) -> Tensor:
        """Along a new first axis."""
        return torch.stack(tensors)

    def pick(self, scores: Tensor, y: Tensor) -> Tensor:
        """``scores[i, y[i]]`` for every row i."""
        return scores.gather(1, y.unsqueeze(1)).squeeze(1)

    def where(self, mask: Tensor, a: Any, b: Any) -> Tensor:
        """a where ``mask``, else b."""
        return torch.where(mask, a, b)

    def one_hot(self, y: Tensor, classes: int) -> Tensor:
        """``[rows] -> [rows, classes]``."""
        return F.one_hot(y, classes).to(self.dtype)

    def argmax(self, scores: Tensor) -> Tensor:
        """Over the last axis."""
        return scores.argmax(-1)

    # ---- arithmetic
    def exp(self, x: Tensor) -> Tensor:
        """Entry by entry."""
        return x.exp()

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        """Entry by entry, at least ``low`` and at most ``high``."""
        return x.clamp(low, high)

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        """The larger of two entries."""
        return torch.maximum(a, b)

    def max(self, x: Tensor) -> Tensor:
        """The largest entry."""
        return x.max()

    def sum(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Over one axis, or all."""
        return x.sum() if axis is None else x.sum(axis)

    def mean(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Over one axis, or all."""
        return x.mean() if axis is None else x.mean(axis)

    def add_product(self, x: Tensor, a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
        """x + scale a b, entry by entry, in one pass."""
        return torch.addcmul(x, a, b, value=scale)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the products of two vectors' entries."""
        return torch.dot(a, b)

    def matvec(self, matrix: Tensor, vector: Tensor) -> Tensor:
        """``[a, b] @ [b] -> [a]``."""
        return matrix @ vector

    def cumsum(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        return x.cumsum(-1)

    def norm(self, x: Tensor) -> Tensor:
        """Euclidean, over the last axis, which stays (length 1)."""
        return x.norm(dim=-1, keepdim=True)

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances ``[rows of a, rows of b]``."""
        return torch.cdist(a, b)

    def constant(self, x: Tensor) -> Tensor:
        """The same value, through which no gradient flows."""
        return x.detach()

    def count_pairs(self, a: Tensor, b: Tensor, classes: int) -> Tensor:
        """How often each pair (a, b) occurs: ``int64 [classes, classes]``."""
        return self.count(a * classes + b, classes**2).view(classes, classes)

    def count(self, a: Tensor, values: int) -> Tensor:
        """How often each of the values 0, 1, ... occurs: ``int64 [values]``."""
        return torch.bincount(a, minlength=values)
