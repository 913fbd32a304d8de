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

    Rows are known by their ids: :meth:`forget` takes them out of the memory, and out of a learner that
    holds rows itself. What another learned from them stays.

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

    keeps_rows = True
    parts = Wrapper.parts | {"memory_": Memory, "rng_": np.random.Generator, "next_id_": int}

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
        self.next_id_ = 0
        self.rng_ = np.random.default_rng(self.seed)

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        assert ids is not None
        predicted = []
        for start in range(0, len(codes), self.batch):
            part = slice(start, start + self.batch)
            x, y, id_ = X[part], codes[part], ids[part]
            predicted.append(self.learner_._update_rows(x, y, known, id_))
            known = max(known, int(y.max()) + 1)
            drawn = self.memory_.draw(self.replays * len(y), self.rng_)
            if drawn is not None:
                self.learner_._rehearse_rows(drawn.x, drawn.y, known, drawn.id)
            self.memory_.offer(Samples(x=x, y=y, id=id_), self.rng_)
        self._count(ids)
        return np.concatenate(predicted) if self.by_row else None

    def _rehearse_rows(self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None) -> None:
        self.learner_._rehearse_rows(X, codes, known, ids)

    def _held(self) -> np.ndarray:
        samples = self.memory_.samples
        stored = [] if samples is None else [samples.id]
        return np.concatenate([*stored, self.learner_._held()])

    def _drop_rows(self, ids: np.ndarray) -> None:
        self.memory_.remove(ids)
        self.learner_.forget(ids)

    def _complete(self) -> None:
        """Rows that both the memory and the learner hold are known by the memory's ids."""
        if hasattr(self, "next_id_"):
            return
        self.next_id_ = self.memory_.offered
        samples, learner = self.memory_.samples, self.learner_
        if samples is not None and (learner._held() < 0).any():
            ids = {row.tobytes(): id_ for row, id_ in zip(samples.x, samples.id, strict=True)}
            for at, row in enumerate(learner.X_[: len(learner.ids_)]):
                learner.ids_[at] = ids.pop(row.tobytes(), learner.ids_[at])

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
        packed.ids(samples.id, self.next_id_)
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
