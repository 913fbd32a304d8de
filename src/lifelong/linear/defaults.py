"""The learners by name, and the hyper-parameters that suit how texts are weighed."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import clone

from ..errors import accept, of_types, one_of, unknown
from .bayes import ComplementNB, MultinomialNB
from .means import NearestClassMean, StreamingLDA
from .online import AROW, CW, NHERD, PA, PA1, PA2, SCW1, SCW2, Online, Perceptron
from .ridge import RecursiveRidge
from .sums import Additive
from .svm import LASVM, IncrementalSVC

LEARNERS: dict[str, tuple[type, dict[str, Any]]] = {
    "perceptron": (Perceptron, {}),
    "pa": (PA, {}),
    "pa-1": (PA1, {}),
    "pa-2": (PA2, {}),
    "cw": (CW, {}),
    "cw-stdev": (CW, {"constraint": "stdev"}),
    "arow": (AROW, {}),
    "scw-1": (SCW1, {}),
    "scw-2": (SCW2, {}),
    "nherd": (NHERD, {}),
    "nb": (MultinomialNB, {}),
    "cnb": (ComplementNB, {}),
    "ncm": (NearestClassMean, {}),
    "slda": (StreamingLDA, {}),
    "ridge": (RecursiveRidge, {}),
    "svm": (IncrementalSVC, {}),
    "lasvm": (LASVM, {}),
}
"""Name: (class, options)."""
TEXTS: dict[str, Any] = {"intercept": False}
"""Options of every online learner of texts: no text is without words."""
COUNTS: dict[str, dict[str, Any]] = {
    "pa-1": {"C": 0.01}, "pa-2": {"C": 0.01}, "arow": {"r": 10.0}, "nherd": {"C": 0.1},
    "nb": {"alpha": 0.001}, "cnb": {"alpha": 0.1}, "ncm": {"metric": "cosine", "idf": 3.0},
}  # fmt: skip
TF: dict[str, dict[str, Any]] = {
    "nb": {"alpha": 0.001}, "cnb": {"alpha": 0.1}, "ncm": {"metric": "cosine", "idf": 3.0},
}  # fmt: skip
DEFAULTS = {"binary": COUNTS, "count": COUNTS, "tf": TF, "tfidf": TF | {"ncm": {"metric": "cosine"}}}
"""Weighting: name: options, where they are not the learner's own. Rows of counts are longer than 1.

Chosen on fifths held out of six training sets (benchmarks/results/text.json), those of nb, cnb and ncm
on one of 20 Newsgroups (benchmarks/results/bars.json).
"""


def weighting(learner: Any) -> str:
    """How texts are weighed where it is not said: without idf for learners that no order may change."""
    kind = LEARNERS[learner][0] if learner in LEARNERS else type(learner)
    return "tf" if issubclass(kind, Additive) else "tfidf"


def make(learner: Any, weighting: str | None = None, **options: Any) -> Any:
    """A fresh learner: a clone of the one given, or one by name, as suits the weighting of texts."""
    if not isinstance(learner, str):
        return clone(learner)
    if learner not in LEARNERS:
        raise unknown("linear learner", learner, LEARNERS)
    kind, own = LEARNERS[learner]
    accept(options, inspect.signature(kind).parameters, learner)
    of_types(options, kind, learner)
    if weighting is not None:
        one_of("weighting", weighting, DEFAULTS)
    texts = TEXTS if weighting and issubclass(kind, Online) else {}
    suited = DEFAULTS[weighting].get(learner, {}) if weighting else {}
    return kind(**own | texts | suited | options)
