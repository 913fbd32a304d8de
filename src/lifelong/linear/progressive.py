"""Progressive validation: every example is first a question, then a lesson, in the order of time.

>>> from sklearn.linear_model import Perceptron
>>> y = np.arange(60) % 2
>>> found = progressive_validation(Perceptron(), np.eye(2)[y], y, classes=[0, 1])
>>> round(found.scores["Perceptron"].accuracy, 2), found.scores["no-change"].accuracy, found.verdict
(0.97, 0.0, 'Perceptron is above no-change and majority')
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..detection import Detector, PageHinkley
from ..errors import LifelongError, at_least
from ..files import write_figure

ERRORS = PageHinkley(slack=0.005, threshold=50.0, distance=30)
"""The Page-Hinkley test for a sequence of errors that are 0 or 1."""
BARS = {
    "no-change": "repeating the last label",
    "majority": "always giving the most frequent label",
}
"""What needs no learning."""
NONE = -1
"""The answer of who has not learned anything yet: it is wrong."""


@dataclass(frozen=True)
class Scores:
    """Over the whole stream; NaN where it is not defined.

    ``kappa`` = (p - p_chance) / (1 - p_chance), where p is the accuracy and p_chance = sum over classes
    of the share of its answers times the share of its labels (Cohen, 1960). ``kappa_temporal`` = (p -
    p_no-change) / (1 - p_no-change): below 0, repeating the last label does better (Zliobaite, Bifet,
    Read, Pfahringer & Holmes, "Evaluation methods and decision theory for classification of streaming
    data with temporal dependence", Machine Learning 98, 2015).
    """

    accuracy: float
    kappa: float
    kappa_temporal: float


@dataclass(frozen=True, eq=False)
class Progressive:
    """What :func:`progressive_validation` found. ``str()`` gives a table, :meth:`draw` a figure."""

    name: str
    rows: int
    delay: int
    chunk: int
    window: int
    fading: float
    scores: dict[str, Scores]
    """Of the learner, by its name, ``no-change`` and ``majority``."""
    windowed: dict[str, np.ndarray]
    """Accuracy over the last ``window`` rows (those there are, at first), of each, ``[rows]``."""
    faded: dict[str, np.ndarray]
    """Accuracy with weights that fade, of each, ``[rows]``."""
    drifts: list[int]
    """Rows, from 0, at whose error the detector found that errors had risen."""
    seconds: float
    """In predicting and learning."""

    @property
    def below(self) -> str | None:
        """The bar, of those that need no learning, that is right as often, or more."""
        if self.delay >= self.rows:
            return None
        mine = self.scores[self.name].accuracy
        return next((bar for bar in BARS if self.scores[bar].accuracy >= mine), None)

    @property
    def verdict(self) -> str:
        """Whether the learner is worth anything here, in one line."""
        if self.delay >= self.rows:
            return f"no label came before the last row was asked: {self.name} had nothing to learn from"
        if (bar := self.below) is None:
            return f"{self.name} is above no-change and majority"
        p = self.scores[bar].accuracy
        word = "BELOW" if p > self.scores[self.name].accuracy else "NO BETTER THAN"
        return f"{self.name} is {word} {bar}: {BARS[bar]} is right {_percent(p)} % of the time"

    def to_json(self, ids: np.ndarray | None = None, points: int = 200) -> dict[str, Any]:
        """For a result file: the windowed accuracies at so many rows at most.

        Rows are counted from 0; ``ids [n]``, ascending, are their numbers where some were left out.
        """
        ids = np.arange(self.rows) if ids is None else ids
        at = np.unique(np.linspace(min(self.window, self.rows) - 1, self.rows - 1, points).astype(int))
        return {
            "name": self.name,
            "rows": self.rows,
            "delay": self.delay,
            "chunk": self.chunk,
            "window": self.window,
            "scores": {
                who: {k: v if np.isfinite(v) else None for k, v in vars(s).items()}
                for who, s in self.scores.items()
            },
            "windowed": {
                "row": ids[at].tolist(),
                **{who: values[at].tolist() for who, values in self.windowed.items()},
            },
            "drifts": ids[self.drifts].tolist(),
            "below": self.below,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        how = "one by one" if self.chunk == 1 else f"in chunks of {self.chunk:,}"
        delay = f", labels {self.delay:,} rows late" if self.delay else ""
        title = ("", "accuracy", "kappa", "kappa-temporal", f"last {self.window:,}", "fading")
        table: list[tuple[str, ...]] = [title]
        for name, s in self.scores.items():
            ends = (self.windowed[name][-1], self.faded[name][-1])
            kappas = (f"{k:.3f}" if np.isfinite(k) else "-" for k in (s.kappa, s.kappa_temporal))
            table.append((name, _percent(s.accuracy), *kappas, *map(_percent, ends)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in table
        ]
        first = ", ".join(f"{row:,}" for row in self.drifts[:8]) + ", ..." * (len(self.drifts) > 8)
        drifts = f"{len(self.drifts)} drifts, at rows {first}" if self.drifts else "no drift found"
        head = f"{self.rows:,} rows {how}{delay}, {self.seconds:.1f} s"
        return "\n".join([head, *lines, self.verdict, drifts])

    def draw(self, path: str | Path) -> Path:
        """Write a figure (``.svg``, ``.png``, ``.pdf``): windowed accuracy over time, and the drifts."""
        from matplotlib.figure import Figure

        from ..report.figures import MUTED, PALETTE, style

        with style():
            figure = Figure(figsize=(8, 3.6), layout="constrained")
            axes = figure.add_subplot()
            first = self.window - 1 if self.rows > self.window else 0  # where the window is full
            at = np.unique(np.linspace(first, self.rows - 1, 2000).astype(int))
            looks = zip(
                self.windowed.items(), (PALETTE[0], PALETTE[1], MUTED), (1.6, 1.0, 1.0), strict=True
            )
            for (name, values), colour, width in looks:
                label = f"{name} ({_percent(self.scores[name].accuracy)} %)"
                axes.plot(at, 100 * values[at], color=colour, lw=width, label=label)
            for i, row in enumerate(self.drifts):
                axes.axvline(row, color=MUTED, lw=0.8, ls=":", label="drift" if i == 0 else None)
            axes.set_xlim(0, self.rows)
            axes.set_xlabel("examples")
            axes.set_ylabel(f"accuracy over {self.window:,} examples, %")
            figure.legend(loc="outside upper left", ncols=4, frameon=False)
            return write_figure(Path(path), figure)


def progressive_validation(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    classes: Any = None,
    delay: int = 0,
    chunk: int = 1,
    window: int = 1000,
    fading: float = 0.999,
    detector: Detector | None = ERRORS,
    name: str | None = None,
) -> Progressive:
    """Test, then train, on a stream in the order of time.

    Row t is predicted before its label is learned: by a model that knows the labels of all rows before
    t - delay. The bars know as much: ``no-change`` repeats the last label known, ``majority`` gives the
    most frequent so far. Where nothing is known yet the answer counts as wrong.

    With e_k = 1 where row k was wrong, the windowed error at row i is the mean of the last w e_k, and
    the faded one S_i / N_i with S_i = e_i + a S_{i-1}, N_i = 1 + a N_{i-1} (Gama, Sebastiao & Rodrigues,
    "On evaluating stream learning algorithms", Machine Learning 90, 2013).

    Args:
        estimator: with ``partial_fit`` and ``predict``; it goes on from what it knows.
        X: ``[n, features]``: an array, a sparse array, a table, or a list of what it takes.
        y: labels ``[n]``.
        classes: handed to the first ``partial_fit``, for estimators that want them.
        delay: a label comes so many rows after its own was predicted.
        chunk: rows predicted at once, then learned at once; 1 is one by one. More is faster, and can
            only make labels later: the model knows those of all rows before (chunk's first) - delay.
            The bars are computed one by one all the same.
        window: w.
        fading: a, in (0, 1].
        detector: of drifts, given every error, in order; see :mod:`lifelong.detection`. Or None.
        name: of the learner, in the table; its class's.

    Raises:
        LifelongError: for an empty stream, labels that do not fit the rows, or arguments out of range.
    """
    at_least(0, delay=delay)
    at_least(1, chunk=chunk, window=window)
    if not 0 < fading <= 1:
        raise LifelongError(f"fading={fading}: give a factor above 0, at most 1")
    y = column_or_1d(y)
    rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if not len(y) or rows != len(y):
        raise LifelongError(f"{rows} rows and {len(y)} labels: give one a row, and at least one row")
    check_classification_targets(y)
    labels, truth = np.unique(y, return_inverse=True)
    name = name or type(estimator).__name__
    if name in BARS:
        raise LifelongError(f"name={name!r} is that of a bar: give the learner another")
    started = time.perf_counter()
    mine = _answers(estimator, X, y, labels, classes, delay, chunk)
    seconds = time.perf_counter() - started
    return judged(name, truth, mine, delay, chunk, window, fading, detector, seconds)


def judged(
    name: str,
    truth: np.ndarray,
    mine: np.ndarray,
    delay: int = 0,
    chunk: int = 1,
    window: int = 1000,
    fading: float = 0.999,
    detector: Detector | None = ERRORS,
    seconds: float = 0.0,
) -> Progressive:
    """As :func:`progressive_validation`, of codes ``int [n]``: the labels, and what was answered."""
    answers = {
        name: mine,
        "no-change": no_change(truth, delay),
        "majority": majority(truth, delay),
    }
    right = {who: given == truth for who, given in answers.items()}
    memo: dict[str, Any] = {}
    drifts = []
    if detector is not None:
        drifts = [i for i, fine in enumerate(right[name].tolist()) if detector.ends(memo, 1.0 - fine)]
    return Progressive(
        name, len(truth), delay, chunk, window, fading,
        {who: score(truth, given, answers["no-change"]) for who, given in answers.items()},
        {who: windowed(fine, window) for who, fine in right.items()},
        {who: faded(fine, fading) for who, fine in right.items()},
        drifts, seconds,
    )  # fmt: skip


def _answers(
    estimator: Any, X: Any, y: np.ndarray, labels: np.ndarray, classes: Any, delay: int, chunk: int
) -> np.ndarray:
    """The codes of what the estimator answered, ``int [n]``; -1 for none or no label of the stream."""
    code = {label: i for i, label in enumerate(labels.tolist())}
    rows = X.iloc if hasattr(X, "iloc") else X
    given, learned, ready = np.full(len(y), NONE), 0, _fitted(estimator)
    first = {} if classes is None else {"classes": classes}
    for start in range(0, len(y), chunk):
        stop = min(start + chunk, len(y))
        if ready:
            answers = np.asarray(estimator.predict(rows[start:stop])).tolist()
            given[start:stop] = [code.get(answer, NONE) for answer in answers]
        known = stop - delay
        if known > learned:
            estimator.partial_fit(rows[learned:known], y[learned:known], **first)
            learned, ready, first = known, True, {}
    return given


def _fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


# ---- the bars and the formulas, of codes int [n]
def no_change(y: np.ndarray, delay: int = 0) -> np.ndarray:
    """The last label known before every row; -1 where there is none."""
    late = min(delay + 1, len(y))
    return np.concatenate([np.full(late, NONE), y[: len(y) - late]])


def majority(y: np.ndarray, delay: int = 0) -> np.ndarray:
    """The most frequent of the labels known before every row, the earlier leader of a tie; -1: none."""
    counts, leader, leaders = [0] * (int(y.max()) + 1), NONE, []
    for label in y.tolist():
        leaders.append(leader)
        counts[label] += 1
        if leader == NONE or counts[label] > counts[leader]:
            leader = label
    late = min(delay, len(y))
    return np.concatenate([np.full(late, NONE), np.array(leaders, int)[: len(y) - late]])


def score(y: np.ndarray, given: np.ndarray, repeated: np.ndarray) -> Scores:
    """Of the labels, the answers, and those of no-change."""
    accuracy, temporal = float((given == y).mean()), float((repeated == y).mean())
    size = int(y.max()) + 1
    answered = np.bincount(given[given != NONE], minlength=size)[:size]
    shares = np.bincount(y) * answered
    chance = float(shares.sum()) / len(y) ** 2
    return Scores(accuracy, _beyond(accuracy, chance), _beyond(accuracy, temporal))


def _beyond(accuracy: float, bar: float) -> float:
    return (accuracy - bar) / (1 - bar) if bar < 1 else float("nan")


def windowed(right: np.ndarray, window: int) -> np.ndarray:
    """At every row the share of True among the last ``window`` rows, ``[n]``."""
    sums = np.concatenate([[0], np.cumsum(right)])
    ends = np.arange(1, len(right) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def faded(right: np.ndarray, fading: float) -> np.ndarray:
    """At every row the mean of all rows so far, weighted by ``fading`` to the power of their age."""
    total, weight = (
        lfilter([1.0], [1.0, -fading], v) for v in (right.astype(float), np.ones(len(right)))
    )
    return total / weight


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
