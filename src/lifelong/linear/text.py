"""Texts: into sparse rows by hashing, and a classifier that takes them as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import local
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..errors import LifelongError, one_of
from . import packed, tokens
from .defaults import make, weighting
from .packed import ensure
from .wrapper import Wrapper, as_texts

ANALYZERS = ("word", "char")
WEIGHTINGS = ("binary", "count", "tf", "tfidf")
BLOCK = 1 << 19
"""Bytes of text, about, that are turned into rows at once: what is made of them stays in the cache."""


@dataclass(eq=False, repr=False)
class HashingText(TransformerMixin, BaseEstimator):
    """Texts as sparse rows: n-grams, hashed into 2^bits columns (Weinberger et al., ICML 2009).

    Words are runs of two or more letters (with their accents and vowel signs), numbers and underscores
    of any script, in lower case; Han and kana, which are written without spaces, are words each by
    itself. All else, emoji among it, stands between words.

    ========== =============================================================================
    weighting  an n-gram that occurs c times in a text, in df of N texts
    ========== =============================================================================
    binary     1
    count      c
    tf         1 + log c, the row of length 1
    tfidf      (1 + log c) (1 + log (1 + N) / (1 + df)), the row of length 1
    ========== =============================================================================

    N and df count the texts learned so far (:meth:`learn`), never those to come.

    Args:
        weighting: one of the above.
        analyzer: ``word`` or ``char``.
        ngrams: the shortest and the longest.
        bits: of the hash; 20 gives 1,048,576 columns.
        vocabulary: whether to keep what n-gram a column stands for, so that weights can be explained.

    Attributes:
        df_: ``int32 [columns]``, in how many texts each occurred (``tfidf``).
        documents_: how many texts were counted.
        names_: the n-gram that first met each column, where they are kept.
    """

    weighting: str = "tfidf"
    analyzer: str = "word"
    ngrams: tuple[int, int] = (1, 1)
    bits: int = 20
    vocabulary: bool = False

    def fit(self, texts: Any, y: Any = None) -> Self:
        """Count the texts, from nothing."""
        self._start()
        self.learn(texts)
        return self

    def partial_fit(self, texts: Any, y: Any = None) -> Self:
        """Count more texts."""
        self.learn(texts)
        return self

    def learn(self, texts: Any) -> sp.csr_array:
        """Count each text, and give its row as weighed then: ``[n, columns]``."""
        if not hasattr(self, "documents_"):
            self._start()
        return self._rows(texts, learn=True)

    def transform(self, texts: Any) -> sp.csr_array:
        """The rows ``[n, columns]``, columns ascending, as weighed by now."""
        rows = self.rows(texts)
        rows.sort_indices()
        return rows

    def rows(self, texts: Any) -> sp.csr_array:
        """As :meth:`transform`, the columns of a row in order of appearance: faster."""
        if self.weighting == "tfidf":
            check_is_fitted(self)
        return self._rows(texts, learn=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = self.weighting == "tfidf"
        return tags

    def _start(self) -> None:
        one_of("weighting", self.weighting, WEIGHTINGS)
        one_of("analyzer", self.analyzer, ANALYZERS)
        ngrams = self.ngrams if isinstance(self.ngrams, tuple | list) else ()
        whole = len(ngrams) == 2 and all(isinstance(n, int | np.integer) for n in ngrams)
        if not whole or not 1 <= ngrams[0] <= ngrams[1]:
            raise LifelongError(f"ngrams={self.ngrams}: give the shortest and the longest, as in (1, 2)")
        if not isinstance(self.bits, int | np.integer) or not 1 <= self.bits <= 30:
            raise LifelongError(f"bits={self.bits}: give 1 to 30")
        self.df_ = np.zeros(1 << self.bits if self.weighting == "tfidf" else 0, np.int32)
        self.documents_ = 0
        if self.vocabulary:
            self.names_: dict[int, str] = {}

    # ---- rows
    def blocks(self, texts: np.ndarray, learn: bool) -> Iterator[sp.csr_array]:
        """The rows of some texts at a time; while they are used, a second thread counts the next."""
        blocks, ahead = _blocks(texts), deque[Future[sp.csr_array]]()
        first = next(blocks)
        with ThreadPoolExecutor(1) as second:  # starts no thread for one block alone
            for block in blocks:
                for coming in [block] if ahead else [first, block]:
                    ahead.append(second.submit(self._block, *coming, learn))
                if len(ahead) > 2:
                    yield ahead.popleft().result()
            if not ahead:
                yield self._block(*first, learn)
            while ahead:
                yield ahead.popleft().result()

    def _rows(self, texts: Any, learn: bool) -> sp.csr_array:
        if not hasattr(self, "documents_"):
            self._start()
        parts = list(self.blocks(as_texts(texts), learn))
        rows = parts[0] if len(parts) == 1 else sp.vstack(parts, "csr")
        return _distinct(rows)

    def _block(self, text: np.ndarray, ends: np.ndarray, learn: bool) -> sp.csr_array:
        """The rows of texts that stand one after another in ``text``."""
        low, high = self.ngrams
        characters = self.analyzer == "char"
        shortest = 1 if characters else 2  # bytes of a token: two letters between ideographs
        most = (high - low + 1) * (len(text) // shortest + len(ends))
        indices, values = _scratch("indices", most, np.int32), _scratch("values", most, np.float32)
        indptr = np.zeros(len(ends), np.int32)
        spans = np.empty((most if learn and self.vocabulary else 0, 2), np.int64)
        columns = 1 << self.bits
        size = tokens.features(
            text, ends, characters, low, high, np.uint64(columns - 1),
            _scratch("place", columns, np.int32), indices, values, indptr, spans,
        )  # fmt: skip
        indices, values = indices[:size].copy(), values[:size].copy()
        if len(spans):
            self._name(text, indices, spans)
        how = WEIGHTINGS.index(self.weighting)
        self.documents_ = tokens.weigh(how, learn, self.df_, self.documents_, indices, values, indptr)
        return _distinct(sp.csr_array((values, indices, indptr), (len(ends) - 1, columns)))

    def _merge(self, others: list[Self], base: Self | None) -> None:
        """Add what others counted, less what all of them had counted at the start: the base's."""
        shared = [] if base is None else [(base, -len(others))]
        for other, factor in [*((other, 1) for other in others), *shared]:
            self.df_ = self.df_ + factor * other.df_
            self.documents_ += factor * other.documents_
            if self.vocabulary:
                self.names_ = other.names_ | self.names_
        if self.documents_ < 0 or (self.df_ < 0).any():
            raise LifelongError("base counted what was not merged: give what all learners went on from")

    def _name(self, text: np.ndarray, indices: np.ndarray, spans: np.ndarray) -> None:
        """Keep what the columns stand for that have no name yet."""
        columns, first = np.unique(indices, return_index=True)
        for column, at in zip(columns.tolist(), first.tolist(), strict=True):
            if column not in self.names_:
                start, end = spans[at]
                word = bytes(text[start:end]).decode(errors="replace").lower()
                self.names_[column] = " ".join(word.split())

    def _verify(self) -> None:
        """Raise ValueError where what a file held is not what learning could have left."""
        packed.options(self)
        if not hasattr(self, "documents_"):
            ensure(not packed.learned(self), "it has counted no texts")
            return
        ensure(isinstance(self.bits, int) and 1 <= self.bits <= 30, f"bits={self.bits}")
        width = 1 << self.bits if self.weighting == "tfidf" else 0
        packed.vector(self.df_, "int32", width, "df_")
        fresh = clone(self)
        fresh._start()
        packed.attributes(self, fresh)
        ensure(not width or 0 <= self.df_.min() <= self.df_.max() <= self.documents_, "df_ is no count")
        names = getattr(self, "names_", {})
        packed.places(np.array([*names], np.int64), 1 << self.bits, "names_")
        ensure(all(isinstance(name, str) for name in names.values()), "names_ are no words")


@dataclass(eq=False, repr=False)
class TextClassifier(Wrapper):
    """A linear learner that takes texts.

        >>> spam = TextClassifier("arow").partial_fit(["win cash now"], ["spam"])
        >>> spam.partial_fit(["see you at noon"], ["ham"]).predict(["cash, now!"]).tolist()
        ['spam']

    Args:
        learner: one of ``lifelong.linear``, or its name (``cw``), which takes the hyper-parameters that
            suit the weighting (:data:`~lifelong.linear.defaults.DEFAULTS`).
        vectorizer: None: a :class:`HashingText` of the weighting that suits the learner, by its name.

    Attributes:
        learner_, vectorizer_: the fitted ones; those given stay as they are.
    """

    learner: Any = "cw"
    vectorizer: HashingText | None = None

    takes_texts = True
    parts = Wrapper.parts | {"vectorizer_": HashingText}

    def _start(self) -> None:
        if self.vectorizer is None:
            self.vectorizer_ = HashingText(weighting(self.learner))
        else:
            self.vectorizer_ = clone(self.vectorizer)
        self.vectorizer_._start()
        self.learner_ = make(self.learner, self.vectorizer_.weighting)
        if not self.learner_.sparse:
            name = type(self.learner_).__name__
            raise LifelongError(f"{name} takes no texts: choose cw, or give it their embeddings")
        self.learner_.n_features_in_ = 1 << self.vectorizer_.bits
        self.learner_._start()

    def _update(self, X: Any, codes: np.ndarray, known: int) -> np.ndarray | None:
        predicted, start = [], 0
        for rows in self.vectorizer_.blocks(X, learn=True):
            here = codes[start : start + rows.shape[0]]
            predicted.append(self.learner_._update(rows, here, known))
            known, start = max(known, int(here.max()) + 1), start + len(here)
        return np.concatenate(predicted) if self.by_row else None

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        self.learner_._update(self.vectorizer_.rows(X), codes, known)

    def _scores(self, X: Any) -> np.ndarray:
        return self.learner_._scores(self.vectorizer_.rows(X))

    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Merge the learners; texts that were counted add up, those of the base once."""
        self.vectorizer_._merge([o.vectorizer_ for o, _ in others], base and base[0].vectorizer_)
        parts = [(o.learner_, places) for o, places in others]
        self.learner_._merge(parts, base and (base[0].learner_, base[1]))

    def _verify(self) -> None:
        super()._verify()
        if not hasattr(self, "classes_"):
            return
        ensure(hasattr(self.vectorizer_, "documents_"), "no texts were counted")
        made = type(make(self.learner))
        ensure(type(self.learner_) is made, f"the learner within is no {made.__name__}")
        columns = 1 << self.vectorizer_.bits
        ensure(self.learner_.n_features_in_ == columns, f"the learner within has no {columns} features")


# ---- texts as bytes
def _blocks(texts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(bytes one after another, where each text starts and ends), of some texts at a time."""
    last = np.cumsum([0, *map(len, texts)]) // BLOCK
    bounds = [0, *(np.flatnonzero(np.diff(last)) + 1).tolist(), len(texts)]
    for start, end in pairwise(dict.fromkeys(bounds)):
        some = texts[start:end].tolist()
        joined = "".join(some)
        if joined.isascii():
            content, sizes = joined.encode(), [len(text) for text in some]
        else:
            encoded = [text.lower().encode(errors="replace") for text in some]
            content, sizes = b"".join(encoded), [len(text) for text in encoded]
        yield np.frombuffer(content, np.uint8), np.cumsum([0, *sizes])


def _distinct(rows: sp.csr_array) -> sp.csr_array:
    """Rows in which no column comes twice, which need not be looked through for that."""
    rows.distinct = True
    return rows


def _scratch(name: str, size: int, dtype: type) -> np.ndarray:
    """An array of at least that size whose content means nothing, the thread's own: new ones cost."""
    if len(getattr(_held, name, ())) < size:
        setattr(_held, name, np.empty(size, dtype))
    return getattr(_held, name)


_held = local()
