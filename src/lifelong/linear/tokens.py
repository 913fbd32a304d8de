"""From bytes to features, compiled: tokens, n-grams, hashes, counts, weights."""

from __future__ import annotations

import unicodedata
from math import sqrt

import numpy as np
from numba import njit, uint64

compiled = njit(cache=True, nogil=True, error_model="numpy")

BINARY, COUNT, TF, TFIDF = range(4)
GAP, WORD, IDEOGRAPH, ANOTHER, BLANK = range(5)
"""What a byte belongs to: nothing, a word, a character that is a word of its own (two marks in turn, so
that neighbours differ); among characters, white space."""
ALL, PRIME, GOLDEN = np.uint64(2**64 - 1), np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)
"""Of 64 bits: all of them; the multipliers of FNV-1a and of Fibonacci hashing."""
LOG = np.log1p(np.arange(1 << 14))
"""log(1 + n) of the n that are common."""


def _mark(code: int) -> int:
    """What a character belongs to, by the Unicode database."""
    char = chr(code)
    if char.isalnum():  # letters, digits and numbers; Han, kana and bopomofo are written without spaces
        alone = 0x2E80 <= code < 0x3130 or 0x31A0 <= code < 0xA000 or 0xF900 <= code < 0xFB00
        return IDEOGRAPH if alone or 0xFF66 <= code < 0xFFA0 else WORD
    accent = unicodedata.category(char)[0] == "M" and not 0xFE00 <= code < 0xFE10  # how an emoji looks
    return WORD if accent or char == "_" else GAP


MARKS = np.array([_mark(code) for code in range(0x20000)], np.uint8)
"""Of the characters that no one else decides on."""


@compiled
def _character(text, i, end):
    """(bytes, mark) of the UTF-8 character at ``i``, none of ASCII."""
    first = text[i]
    width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if i + width > end:
        return end - i, GAP
    code = int(first) & (0xFF >> (width + 1))
    for j in range(i + 1, i + width):
        code = code << 6 | (text[j] & 0x3F)
    if code < len(MARKS):
        return width, MARKS[code]
    return width, IDEOGRAPH if code < 0x40000 else GAP  # two planes of Han, then nothing written


@compiled
def _lower(text, lower, mark):
    """ASCII in lower case, its words marked; returns whether there is anything else.

    Without a branch, so that the compiler takes many bytes at a time.
    """
    union = np.uint8(0)
    for i in range(len(text)):
        byte = text[i]
        capital = np.uint8(byte - np.uint8(65)) < 26
        letter = np.uint8((byte | np.uint8(32)) - np.uint8(97)) < 26
        digit = np.uint8(byte - np.uint8(48)) < 10
        lower[i] = byte | np.uint8(capital << 5)
        mark[i] = letter | digit | (byte == 95)
        union |= byte
    return union > 127


@compiled
def _words(text, start, end, lower, mark, edges):
    """Write where the marks change within the text, and its end; returns how many there are.

    A word is a run of letters, digits and underscores, or one ideograph.
    """
    if _lower(text[start:end], lower[start:end], mark[start:end]):
        i, turn = start, ANOTHER
        while i < end:
            if text[i] < 128:
                i += 1
                continue
            width, kind = _character(text, i, end)
            if kind == IDEOGRAPH:
                kind = turn = IDEOGRAPH + ANOTHER - turn
            mark[i : i + width] = kind
            i += width
    size, before, marks = 0, np.uint8(GAP), mark[start:end]
    for i in range(len(marks)):  # no branch: nothing to mispredict
        edges[size] = start + i
        size += marks[i] != before
        before = marks[i]
    edges[size] = end
    return size


@compiled
def _characters(text, start, end, lower, mark, edges):
    """As :func:`_words`, of single characters; a run of white space is one blank."""
    _lower(text[start:end], lower[start:end], mark[start:end])
    size, i = 0, start
    while i < end:
        edges[size], mark[i] = i, WORD
        if text[i] <= 32:
            mark[i] = BLANK
            while i + 1 < end and text[i + 1] <= 32:
                i += 1
        i += 1 if text[i] < 128 else _character(text, i, end)[0]
        size += 1
    edges[size] = end
    return size


@compiled
def _single(text, start, end):
    """Whether a word of letters has one letter alone."""
    first = text[start]
    return end - start == (1 if first < 128 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4)


@compiled
def _hash(eights, start, end):
    """Of the bytes from ``start`` to ``end``, eight at a time; ``eights``: all bytes as ``uint64``."""
    h = GOLDEN
    for i in range(start, end, 8):
        at, shift = i >> 3, uint64(8 * (i & 7))
        bytes8 = eights[at] >> shift | (eights[at + 1] << uint64(1)) << (uint64(63) - shift)
        bytes8 &= ALL >> uint64(64 - 8 * min(end - i, 8))
        h = (h ^ bytes8) * PRIME
        h ^= h >> uint64(29)
    return h


@compiled
def _column(h, mask):
    """The column of a hash, all of whose bits count (the finalizer of MurmurHash3)."""
    h ^= h >> uint64(33)
    h *= uint64(0xFF51AFD7ED558CCD)
    h ^= h >> uint64(33)
    return np.int64(h & mask)


@compiled
def features(text, ends, characters, low, high, mask, place, indices, values, indptr, spans):
    """Count the n-grams of ``low`` to ``high`` tokens of each text; returns how many entries there are.

    Args:
        text: ``uint8``, the texts one after another; ``ends [n + 1]`` where each starts and ends.
        place: ``int32 [columns]``, scratch, its content means nothing.
        indices, values, indptr: CSR, written. A row's columns come in order of appearance, each once.
        spans: ``int64 [entries, 2]``, written: where an entry's n-gram first stands in ``text``.
            ``[0, 2]``: not wanted.
    """
    recent, starts = np.empty(high, np.uint64), np.empty(high, np.int64)
    eights = np.empty(len(text) // 8 + 2, np.uint64)
    lower, mark = eights.view(np.uint8), np.empty(len(text), np.uint8)
    edges = np.empty(np.max(ends[1:] - ends[:-1]) + 1, np.int64)
    size = 0
    for d in range(len(ends) - 1):
        if characters:
            count = _characters(text, ends[d], ends[d + 1], lower, mark, edges)
        else:
            count = _words(text, ends[d], ends[d + 1], lower, mark, edges)
        row, met = size, 0
        for k in range(count):
            start, end = edges[k], edges[k + 1]
            kind = mark[start]
            if kind == GAP or (kind == WORD and not characters and _single(text, start, end)):
                continue
            for n in range(min(met, high - 1), 0, -1):
                recent[n], starts[n] = recent[n - 1], starts[n - 1]
            recent[0], starts[0] = GOLDEN if kind == BLANK else _hash(eights, start, end), start
            met += 1
            gram = uint64(0)
            for n in range(1, min(high, met) + 1):  # the gram of the n latest tokens
                gram = (gram ^ recent[n - 1]) * GOLDEN
                if n < low:
                    continue
                column = _column(gram, mask)
                at = int(place[column])  # no branch: whether it was met is anyone's guess
                at = size + (at - size) * ((row <= at) & (at < size))
                again = int((at < size) & (indices[at] == column))
                at = size + (at - size) * again
                before = values[at]
                place[column], indices[at] = at, column
                values[at] = (before if again else np.float32(0)) + np.float32(1)
                if len(spans) and not again:
                    spans[at, 0], spans[at, 1] = starts[n - 1], end
                size += 1 - again
        indptr[d + 1] = size
    return size


@compiled
def weigh(weighting, learn, df, documents, indices, values, indptr):
    """Turn counts into weights, in place; returns how many documents were counted by then.

    With ``learn``, a document is counted before it is weighed: its idf knows the past and itself.

        tf = 1 + log count,  idf = 1 + log((1 + documents) / (1 + df)),  each row of length 1
    """
    for d in range(len(indptr) - 1):
        start, end = indptr[d], indptr[d + 1]
        if weighting == TFIDF and learn:
            documents += 1
            for j in range(start, end):
                df[indices[j]] += 1
        if weighting == BINARY:
            values[start:end] = 1
        if weighting < TF:
            continue
        total, top = 0.0, 1 + _log(documents)
        for j in range(start, end):
            weight = 1.0 if values[j] == 1 else 1 + np.log(values[j])
            if weighting == TFIDF:
                weight *= top - _log(df[indices[j]])
            values[j] = weight
            total += weight * weight
        if total > 0:
            values[start:end] /= sqrt(total)
    return documents


@compiled
def _log(n):
    """log(1 + n)."""
    return LOG[n] if n < len(LOG) else np.log(1.0 + n)
