"""Boundaries that nobody tells: detectors on the loss, so that parts can consolidate under ``free``.

A detector is a recipe. It is given the mean loss of every step's own rows, before the step learns
them, and says whether a task has ended; what it knows is a dict of numbers that lies in the learner's
position, and is saved with it. It sees no label, no input and no task.

At a boundary the loop calls the parts' ``end`` for the samples met since the last one, and ``begin``.
A part that wants a whole task before it trains (iCaRL, joint) or its id (PackNet) is refused.

=========  ==============================  ====================================================
name       a task ends                     from
=========  ==============================  ====================================================
``loss``   at the first plateau of the     Aljundi, Kelchtermans & Tuytelaars (2019)
           loss behind each peak
``drift``  when the loss has risen         the Page-Hinkley test (Page, 1954)
``told``   at given steps                  whoever knows: a calendar, an experiment
=========  ==============================  ====================================================

How well they do, and what a late or a missed boundary costs: docs/boundaries.md. The defaults are for
cross-entropy over ten classes; they were chosen on other seeds of the streams measured there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .errors import LifelongError, accept, at_least, of_types, require, unknown
from .method import Part

if TYPE_CHECKING:
    from .batch import Step
    from .learner import Learner
    from .method import Method
    from .stream import Task

Memo = dict[str, Any]
"""What a detector knows: JSON, and empty at first."""


@dataclass(frozen=True)
class Detector:
    """When does a task end?"""

    name: ClassVar[str]

    def ends(self, memo: Memo, loss: float) -> bool:
        """Whether a task has ended, now that a step had this loss (writes into ``memo``)."""
        raise NotImplementedError

    def check(self, memo: Memo) -> None:
        """Refuse, with :class:`ValueError`, what :meth:`ends` cannot have written."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """From which :func:`make` makes it again."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class Plateau(Detector):
    """A task ends at a plateau of the loss; the next can end once there was a peak.

    Over the last ``window`` losses: a plateau is where their mean is below ``mean`` and their
    variance below ``variance``; a peak, where their mean exceeds that of the last plateau by its
    standard deviation. Aljundi, Kelchtermans & Tuytelaars, "Task-free continual learning"
    (CVPR 2019). So it ends a task when it has been learned, not when the next begins.

    Args:
        window: steps.
        mean, variance: of the losses in the window; they depend on the problem.
    """

    window: int = 20
    mean: float = 0.5
    variance: float = 0.1

    name = "loss"

    def __post_init__(self) -> None:
        at_least(2, window=self.window)

    def ends(self, memo: Memo, loss: float) -> bool:
        losses = memo["losses"] = [*memo.get("losses", []), loss][-self.window :]
        if len(losses) < self.window:
            return False
        mean, variance = float(np.mean(losses)), float(np.var(losses))
        if mean > memo.get("peak", -np.inf):
            memo["armed"] = True
        if not (memo.get("armed") and mean < self.mean and variance < self.variance):
            return False
        memo |= {"armed": False, "peak": mean + variance**0.5}
        return True

    def check(self, memo: Memo) -> None:
        losses = memo["losses"]
        fine = set(memo) <= {"losses", "armed", "peak"} and type(memo.get("armed", True)) is bool
        require(fine and 0 < len(losses) <= self.window, "the detector's losses are others")
        _check_numbers([*losses, memo.get("peak", 0.0)])
        require("armed" in memo or "peak" not in memo, "the detector's peak has no plateau")


@dataclass(frozen=True)
class PageHinkley(Detector):
    """A task ends when the loss has risen above its mean: the Page-Hinkley test.

    m_t = sum over i <= t of (x_i - mean of x_1..x_i - slack); a rise where m_t - min m > threshold.
    After it, and after ``distance`` steps at the earliest, the test begins anew.
    Page, "Continuous inspection schemes", Biometrika 41 (1954); in this form in Gama et al., "On
    evaluating stream learning algorithms" (2013).

    Args:
        slack: rises of the loss that are no change, delta.
        threshold: lambda: higher means later, and fewer false alarms.
        distance: fewest steps between boundaries.
    """

    slack: float = 0.05
    threshold: float = 2.0
    distance: int = 30

    name = "drift"

    def __post_init__(self) -> None:
        at_least(1, distance=self.distance)
        if not (self.slack >= 0 and self.threshold > 0):
            raise LifelongError(
                f"slack={self.slack}, threshold={self.threshold}: give 0 or more, above 0"
            )

    def ends(self, memo: Memo, loss: float) -> bool:
        count, mean, total, lowest = memo.get("test", (0, 0.0, 0.0, 0.0))
        count += 1
        mean += (loss - mean) / count
        total += loss - mean - self.slack
        lowest = min(lowest, total)
        ended = count >= self.distance and total - lowest > self.threshold
        memo["test"] = [0, 0.0, 0.0, 0.0] if ended else [count, mean, total, lowest]
        return ended

    def check(self, memo: Memo) -> None:
        count, *sums = memo["test"]
        fine = set(memo) == {"test"} and type(count) is int and count >= 0 and len(sums) == 3
        require(fine, "the detector's sums are others")
        _check_numbers(sums)


@dataclass(frozen=True)
class Told(Detector):
    """A task ends behind each of these steps of the flow, counted from 1."""

    steps: tuple[int, ...]

    name = "told"

    def __post_init__(self) -> None:
        if any(type(step) is not int or step < 1 for step in self.steps):
            raise LifelongError(f"steps={self.steps!r} of 'told': give whole numbers from 1")

    def ends(self, memo: Memo, loss: float) -> bool:
        memo["step"] = memo.get("step", 0) + 1
        return memo["step"] in self.steps

    def check(self, memo: Memo) -> None:
        fine = set(memo) == {"step"} and type(memo["step"]) is int and memo["step"] > 0
        require(fine, "the detector's step is none")


def _check_numbers(numbers: list[Any]) -> None:
    fine = all(type(number) in (int, float) and np.isfinite(number) for number in numbers)
    require(fine, "the detector's numbers are none")


DETECTORS: dict[str, type[Detector]] = {d.name: d for d in (Plateau, PageHinkley, Told)}


def make(detector: str | Detector | None, **options: Any) -> Detector | None:
    """The detector of this name (``loss``, ``drift``, ``told``); one that is made, or None, stays."""
    if detector is None and options:
        raise LifelongError("options of boundaries, but no boundaries: give --boundaries loss or drift")
    if detector is None or isinstance(detector, Detector):
        return detector
    if detector not in DETECTORS:
        raise unknown("detector of boundaries", detector, DETECTORS)
    kind = DETECTORS[detector]
    accept(options, [f.name for f in fields(kind)], detector)
    of_types(options, kind, detector)
    if kind is Told and "steps" not in options:
        raise LifelongError("'told' needs the steps: boundaries.steps=[250,500]")
    return kind(**options)


# ---- what the loop calls
def check(detector: Detector, scenario: str, method: Method) -> None:
    """Refuse detection where boundaries are told, and parts that need more of a task than its end."""
    if scenario != "free":
        raise LifelongError(f"{scenario!r} tells where a task ends: detect boundaries under 'free' only")
    for part in method:
        if "free" not in part.scenarios and not _needs_only_the_end(part):
            raise LifelongError(
                f"{part.name} needs a whole task before it trains, or its id: "
                "a detected boundary comes too late for it"
            )


def _needs_only_the_end(part: Part) -> bool:
    before = "data" in part.slots or type(part).phases is not Part.phases
    return "class" in part.scenarios and "task ids" not in part.needs and not before


def ended(learner: Learner, step: Step) -> bool:
    """Show the detector the mean loss of the step's own rows: whether a task has ended with it."""
    assert learner.boundaries is not None
    losses = learner.objective.losses(learner, step.batch, step.out)[step.batch.rows(None)]
    loss = learner.ops.numpy(learner.ops.cast(losses)).mean(dtype=float)
    return learner.boundaries.ends(learner.position.memo, float(loss))


def segment(learner: Learner, task: Task) -> Task:
    """What the parts' ``end`` is given: the task, or of a flow what was met since the last boundary."""
    if learner.boundaries is None:
        return task
    start = learner.position.ends[-1] * learner.batch if learner.position.ends else 0
    return replace(task, train=learner.met.take(slice(start, None)))  # type: ignore[union-attr]
