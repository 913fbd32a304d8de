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
    """F = weighted mean over samples of E_y (d log p(y|x) / d theta)^2, float64, in evaluation mode.

    Per sample, so that it does not depend on a batch size. y runs over ``all`` admitted labels with
    weight p(y|x), or is one ``sample`` from p(y|x), or the ``true`` label; p is the objective's.
    Martens, "New insights and perspectives on the natural gradient method" (2020), sections 5, 11.
    """
    one_of("label mode", labels, LABELS)
    objective = learner.objective
    if labels == "sample":
        samples = samples.replace(u=objective.noise(learner, len(samples)))

    if "weight" in samples:
        samples = samples.replace(weight=samples.weight / (samples.weight.mean() or 1.0))

    def log_likelihoods(out: Any, batch: Batch) -> list[tuple[Any, Any]]:
        terms = objective.log_likelihoods(learner, out, batch, labels)
        return [(w * batch.tensors["weight"], v) for w, v in terms] if "weight" in batch else terms

    return learner.moment(samples, log_likelihoods, power=2)
