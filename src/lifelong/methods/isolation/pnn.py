"""Progressive neural networks."""

from __future__ import annotations

from dataclasses import dataclass

from .columns import ColumnOfItsOwn


@dataclass(eq=False)
class PNN(ColumnOfItsOwn):
    """A column of layers for each task, which sees the layers below of all columns before it.

    h_i^k = relu(W_i^k h_{i-1}^k + sum_{j<k} U_i^{k:j} h_{i-1}^j)   (Rusu et al., eq. 1),
    h_0 being the inputs; only W^k, U^k and the task's head move. The head sees its own column. For an
    ``mlp``; the parameters grow with the square of the number of tasks.
    """

    name = "pnn"
    paper = "Rusu et al., Progressive neural networks (2016)"
    lateral = True
