"""Replay for any linear learner: a memory of examples, rehearsed between the new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import LifelongError, at_least
from ..memory import Memory
from ..samples import Samples
from . import packed
from .defaults import make
from .packed import ensure
from .text import TextClassifier
from .wrapper import Wrapper


@dataclass(eq=False, repr=False)
class Replay(Wrapper):
    """A learner that rehearses stored examples, so that classes it meets no more are not forgotten.

    After every ``batch`` of new examples it learns as many stored ones again (``replays`` times as
    many), drawn without repeats; then the new ones are offered to the memory. Confidence-weighted
    learners forget a class as others do once it no longer comes: this is the cure.

        Replay(TextClassifier("cw"), memory=1000)

    A stored text is weighed anew whenever it is rehearsed, by the document frequencies of then.

    Args:
        learner: the learner, of texts or of dense rows, or its name.
        memory: how many examples are stored: ``1000``, ``"50/class"``; of rows also bytes, ``"2MB"``.
        admission: which stay, see :class:`lifelong.Memory`.
        replays: rehearsed examples a new one.
        batch: new examples between two rehearsals.
        seed: of the draws.

    Attributes:
        learner_: the fitted learner.
        memory_: a :class:`lifelong.Memory`; ``memory_.samples.x`` are the stored examples.
    """

    learner: Any = "cw"
    memory: int | str = 1000
    admission: str = "balanced"
    replays: int = 1
    batch: int = 32
    seed: int = 0

    parts = Wrapper.parts | {"memory_": Memory, "rng_": np.random.Generator}

    @property
    def takes_texts(self) -> bool:  # type: ignore[override]
        return isinstance(self.learner, TextClassifier)

    def _start(self) -> None:
        at_least(1, batch=self.batch, replays=self.replays)
        if self.takes_texts and str(self.memory).upper().endswith("B"):
            raise LifelongError(f"memory={self.memory}: of texts give how many, as in 1000 or 50/class")
        self.learner_ = make(self.learner)
        self.learner_.n_features_in_ = getattr(self, "n_features_in_", 0)
        self.learner_._start()
        self.memory_ = Memory(self.memory, self.admission)
        self.rng_ = np.random.default_rng(self.seed)

    def _update(self, X: Any, codes: np.ndarray, known: int) -> np.ndarray | None:
        predicted = []
        for start in range(0, len(codes), self.batch):
            x, y = X[start : start + self.batch], codes[start : start + self.batch]
            predicted.append(self.learner_._update(x, y, known))
            known = max(known, int(y.max()) + 1)
            drawn = self.memory_.draw(self.replays * len(y), self.rng_)
            if drawn is not None:
                self.learner_._rehearse(drawn.x, drawn.y, known)
            ids = self.memory_.offered + np.arange(len(y))
            self.memory_.offer(Samples(x=x, y=y, id=ids), self.rng_)
        return np.concatenate(predicted) if self.by_row else None

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        self.learner_._rehearse(X, codes, known)

    @property
    def memory_bytes(self) -> int:
        """Bytes of stored examples."""
        samples = self.memory_.samples if hasattr(self, "memory_") else None
        if samples is None:
            return 0
        if not self.takes_texts:
            return samples.nbytes
        return sum(len(text.encode(errors="replace")) for text in samples.x)

    def _scores(self, X: Any) -> np.ndarray:
        return self.learner_._scores(X)

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        at_least(1, batch=self.batch, replays=self.replays)
        made = type(make(self.learner))
        ensure(type(self.learner_) is made, f"the learner within is no {made.__name__}")
        width = getattr(self, "n_features_in_", 0)
        ensure(self.learner_.n_features_in_ == width, "the learner within has other features")
        samples = self.memory_.samples
        if samples is None:
            return
        ensure(samples.columns.keys() == {"x", "y", "id"}, f"the memory has columns {[*samples]}")
        ensure(samples.y.dtype == np.int64 and samples.id.dtype == np.int64, "labels are no numbers")
        packed.places(samples.y, len(self.classes_), "the memory's labels")
        packed.places(samples.id, np.iinfo(np.int64).max, "the memory's ids", unique=True)
        if self.takes_texts:
            texts = samples.x.dtype == object and samples.x.ndim == 1
            ensure(texts and all(isinstance(text, str) for text in samples.x), "the memory has no texts")
        else:
            kind = str(samples.x.dtype)
            ensure(samples.x.dtype in self.dtypes, f"the memory has rows of {kind}")
            packed.matrix(samples.x, kind, (len(samples), width), "the memory's rows")
        most = self.memory_.capacity(samples)
        sizes = np.bincount(samples.y) if self.memory_.each else len(samples)
        ensure(most is None or np.max(sizes, initial=0) <= most, "the memory holds more than it may")
