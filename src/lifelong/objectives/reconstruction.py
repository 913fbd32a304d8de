"""The evidence lower bound of a variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Objective

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner


class Reconstruction(Objective):
    """-ELBO per input dimension: (BCE(x, decode(z)) + KL(q(z|x) || N(0, I))) / dim(x).

    z = mean + exp(log_variance / 2) * noise. Kingma & Welling, "Auto-encoding variational Bayes"
    (2014), eq. 10; inputs in [0, 1].
    """

    name = "reconstruction"
    head = False
    scenarios = ()  # a generator's, within a learner

    def draw(self, learner: Learner, batch: Batch) -> None:
        shape = (len(batch), learner.model.latent)
        batch.extra["noise"] = learner.rng.standard_normal(shape, dtype=np.float32)

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        return {"noise": batch.noise} if "noise" in batch else {}  # without noise: the mean code

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        ops = learner.ops
        x = ops.flatten(batch.x)
        code = 0.5 * (out.mean**2 + ops.exp(out.log_variance) - out.log_variance - 1)
        return (ops.sum(ops.bce(out.scores, x), 1) + ops.sum(code, 1)) / x.shape[1]
