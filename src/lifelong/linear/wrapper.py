"""A classifier around another."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.utils.metaestimators import available_if

from ..errors import LifelongError
from . import packed
from .defaults import make
from .estimator import Incremental
from .packed import ensure


def _probable(wrapper: Wrapper) -> bool:
    return hasattr(getattr(wrapper, "learner_", wrapper.learner), "predict_proba")


class Wrapper(Incremental):
    """What the classifiers share that hand on what they get to a ``learner_`` of the same classes."""

    learner: Any
    learner_: Any
    sparse = False
    parts: ClassVar[dict[str, type]] = {"learner_": Incremental}
    """What it holds once it has learned."""

    @property
    def by_row(self) -> bool:  # type: ignore[override]
        return self._inner.by_row

    @property
    def solves(self) -> bool:  # type: ignore[override]
        return self._inner.solves

    @available_if(_probable)
    def predict_proba(self, X: Any) -> np.ndarray:
        """``P(class | x)`` ``[n, classes]``, where the learner knows it."""
        return softmax(self.scores(X), axis=1)

    @available_if(_probable)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """``log P(class | x)`` ``[n, classes]``, where the learner knows it."""
        return log_softmax(self.scores(X), axis=1)

    @property
    def dtypes(self) -> tuple[type, ...]:  # type: ignore[override]
        return self._inner.dtypes

    @property
    def _inner(self) -> Incremental:
        """The learner, fitted or not yet."""
        return self.learner_ if hasattr(self, "learner_") else make(self.learner)

    def _widen(self, classes: int) -> None:
        self.learner_.classes_ = self.classes_
        self.learner_._widen(classes)

    def _checked(self, X: Any, reset: bool) -> Any:
        return as_texts(X) if self.takes_texts else super()._checked(X, reset)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = self.takes_texts, not self.takes_texts
        return tags

    @property
    def _numbers(self) -> str:
        return self._inner._numbers

    def _refuse(self, X: Any) -> None:
        self._inner._refuse(X)

    def _bound(self) -> float:
        """Its own (what else it holds), or the learner's, which the learner keeps up to date."""
        inner = self.learner_._bound() if hasattr(self, "learner_") else 0.0
        return max(super()._bound(), inner)

    def _measure(self) -> None:
        super()._measure()
        if hasattr(self, "learner_"):
            self.learner_._measure()

    def _verify_kinds(self) -> None:
        """By its :attr:`parts`: a fresh learner of 2^30 columns would take gigabytes."""
        ensure(packed.learned(self) == self.parts.keys(), f"it holds {sorted(packed.learned(self))}")
        for name, kind in self.parts.items():
            ensure(isinstance(getattr(self, name), kind), f"{name} is no {kind.__name__}")
        same = np.array_equal(getattr(self.learner_, "classes_", ()), self.classes_)
        ensure(same, "the learner within knows other classes")


def as_texts(texts: Any) -> np.ndarray:
    """``object [n]``, strings. Raises :class:`LifelongError` where one is none."""
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise LifelongError(f"texts are {texts!r}: give a sequence of strings")
    texts = texts.tolist() if hasattr(texts, "tolist") else list(texts)
    if not texts:
        raise LifelongError("there are no texts: give at least one")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise LifelongError(f"texts[{i}] is {text!r}, not a string: fill or drop it")
    held = np.empty(len(texts), object)
    held[:] = texts
    return held
