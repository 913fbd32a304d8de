"""The diagonal Fisher information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import one_of

if TYPE_CHECKING:
    from ...batch import Batch
    from ...learner import Learner
    from ...samples import Samples

LABELS = ("all", "sample", "true")


def fisher(learner: Learner, samples: Samples, labels: str) -> Any:
    """F = mean over samples of E_y (d log p(y|x) / d theta)^2, float64, in evaluation mode.

    Per sample, so that it does not depend on a batch size. y runs over ``all`` admitted labels with
    weight p(y|x), or is one ``sample`` from p(y|x), or the ``true`` label.
    Martens, "New insights and perspectives on the natural gradient method" (2020), sections 5, 11.
    """
    one_of("label mode", labels, LABELS)
    ops = learner.ops
    if labels == "sample":
        samples = samples.replace(u=learner.rng.random(len(samples), "float32"))

    def log_likelihoods(out: Any, batch: Batch) -> list[tuple[Any, Any]]:
        log_p = ops.log_softmax(learner.admitted(batch, out))
        p = ops.exp(ops.constant(log_p))
        if labels == "all":
            return [(p[:, c], log_p[:, c]) for c in learner.columns]
        y = batch.y
        if labels == "sample":
            below = ops.cumsum(p)
            y = ops.argmax(ops.cast(below > batch.u[:, None] * below[:, -1:], "float32"))
        return [(ops.cast(y == y), ops.pick(log_p, y))]

    return learner.moment(samples, log_likelihoods, power=2)
