"""What an objective is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import LifelongError

if TYPE_CHECKING:
    from ..batch import Batch
    from ..learner import Learner
    from ..samples import Samples

Measures = dict[str, float | None]


class Objective:
    """What the outputs mean: the loss per row, its likelihood, distillation, decoding and scores."""

    name: ClassVar[str]
    head: ClassVar[bool]
    """Whether the learner puts a head of class scores on the model's features."""
    labels: ClassVar[bool] = False
    """Whether a sample has one label, ``y`` being ``int64 [n]``; else it is ``float32 [n, classes]``."""
    scenarios: ClassVar[tuple[str, ...]] = ("task", "domain", "class", "free")
    score: ClassVar[str] = "accuracy"
    """What R holds, in [0, 1]."""
    beside: ClassVar[tuple[str, ...]] = ()
    """What is measured of every task beside R."""

    def check(self, samples: Samples) -> None:
        """Refuse targets of another kind."""
        y = samples.y
        if self.labels != (y.ndim == 1):
            kinds = ("labels int64 [n]", "numbers float32 [n, outputs]")
            want, have = kinds if self.labels else kinds[::-1]
            raise LifelongError(
                f"{self.name} takes {want}, and these targets are {have}: choose another objective"
                + ("" if self.labels else ", or give y two axes")
            )

    # ---- training
    def draw(self, learner: Learner, batch: Batch) -> None:
        """Random draws of a step (noise), added to the batch as columns."""

    def model_args(self, learner: Learner, batch: Batch) -> dict[str, Any]:
        """PURE: extra arguments of the model's call."""
        return {}

    def losses(self, learner: Learner, batch: Batch, out: Any) -> Any:
        """PURE: the loss per row, ``[rows]``, not reduced."""
        raise NotImplementedError

    def noise(self, learner: Learner, count: int) -> np.ndarray:
        """What :meth:`log_likelihoods` needs to draw targets for ``count`` samples, as column ``u``."""
        raise NotImplementedError

    def log_likelihoods(
        self, learner: Learner, out: Any, batch: Batch, labels: str
    ) -> list[tuple[Any, Any]]:
        """PURE: terms (w, v), each ``[rows]``, with sum w (dv/dtheta)^2 = E_y (d log p(y|x)/dtheta)^2.

        y runs over ``all`` values with weight p(y|x), or is one ``sample`` of it, or the ``true`` one.
        """
        raise NotImplementedError

    def distil(
        self, learner: Learner, new: Any, old: Any, known: list[int], admitted: list[int], T: float
    ) -> Any:
        """PURE: how far the scores ``new`` are from what ``old`` say of the columns ``known``, a scalar.

        T is the temperature of both; ``admitted`` are the columns that may be answered now.
        """
        raise NotImplementedError

    # ---- units
    scaled: ClassVar[bool] = False
    """Whether the network learns the targets less their mean, over their deviation, both of the first
    task that tells them (``learner.scale``); what is measured and answered is in their own units."""

    # ---- evaluation
    def known(self, y: np.ndarray) -> np.ndarray:
        """A mask of the samples that can be judged, given their targets in the learner's columns."""
        return np.ones(len(y), bool)

    def nothing(self, learner: Learner) -> Any:
        """What :meth:`tally` starts from: a vector, float64."""
        raise NotImplementedError

    def tally(self, learner: Learner, so_far: Any, scores: Any, y: Any, mask: Any) -> Any:
        """What evaluation needs of these rows, added to that of those before, on the device.

        ``mask`` ``[classes]`` says which columns may be answered.
        """
        raise NotImplementedError

    def measure(self, learner: Learner, found: np.ndarray, y: np.ndarray) -> Measures:
        """One task's ``score`` and what is ``beside`` it, of its tally and its targets."""
        raise NotImplementedError

    def counted(self, learner: Learner) -> int:
        """How many numbers :meth:`count` counts of all tasks together; 0: none."""
        return 0

    def count(self, learner: Learner, scores: Any, y: Any, mask: Any) -> Any:
        """The counts of these rows, on the device: a vector, float64."""
        raise NotImplementedError

    def confusion(self, learner: Learner, counts: np.ndarray) -> np.ndarray | None:
        """[true][given] counts, of all rows' :meth:`count`; None where there are too many classes."""
        return None

    def per_class(self, learner: Learner, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many samples of every class were given right, and how many there are, of the same."""
        raise NotImplementedError

    def summary(self, learner: Learner, found: list[np.ndarray]) -> Measures:
        """What is measured over all tasks' samples together, of their tallies."""
        return {}

    # ---- prediction
    def answers(self, learner: Learner, batch: Batch, scores: Any, columns: list[int]) -> np.ndarray:
        """What to tell a user about these rows, ``columns`` being those that may be answered."""
        raise NotImplementedError
