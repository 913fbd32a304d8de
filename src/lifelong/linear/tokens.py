"""From bytes to features, compiled: tokens, n-grams, hashes, counts, weights."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import njit, uint64

compiled = njit(cache=True, nogil=True, error_model="numpy")

BINARY, COUNT, TF, TFIDF = range(4)
BASIS, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""Those of FNV-1a."""
SPACE, LETTER, IDEOGRAPH = range(3)
"""What a character is: between words, of a word, a word of its own."""

LOWER = np.array([ord(chr(b).lower()) if b < 128 else b for b in range(256)], np.uint8)
"""ASCII in lower case, all else as it is."""
PLAIN = np.array(
    [LOWER[b] * (chr(b).isalnum() or b == 95) if b < 128 else 1 for b in range(256)], np.uint8
)
"""A letter of ASCII in lower case; 0: between words; 1: the start of another character."""
LOG = np.log1p(np.arange(1 << 12))
"""log(1 + n) of the n that are common."""


@compiled
def _character(text, i, end):
    """(bytes, kind) of the UTF-8 character at ``i``, none of ASCII."""
    first = text[i]
    width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if i + width > end:
        return end - i, SPACE
    code = int(first) & (0xFF >> (width + 1))
    for j in range(i + 1, i + width):
        code = code << 6 | (text[j] & 0x3F)
    if code < 0xC0:  # signs of Latin-1; of them ª, µ and º are letters
        return width, LETTER if code in (0xAA, 0xB5, 0xBA) else SPACE
    if code in (0xD7, 0xF7) or 0x2000 <= code < 0x2C00 or 0x3000 <= code < 0x3005:
        return width, SPACE  # signs, punctuation, arrows, symbols
    if 0x3008 <= code < 0x3021 or 0xFE10 <= code < 0xFE70 or 0xFF00 <= code < 0xFF10:
        return width, SPACE  # brackets, punctuation of full width
    if 0xFF1A <= code < 0xFF21 or 0xFF3B <= code < 0xFF41 or 0xFF5B <= code < 0xFF66:
        return width, SPACE
    if 0x2E80 <= code < 0xA000 or 0xF900 <= code < 0xFB00 or code >= 0x20000:
        return width, IDEOGRAPH  # Han, kana
    return width, LETTER


@compiled
def _hash(h, text, start, end):
    """FNV-1a, going on from ``h``; ASCII in lower case."""
    for i in range(start, end):
        h = (h ^ uint64(LOWER[text[i]])) * PRIME
    return h


@compiled
def _word(text, i, end):
    """(hash, start, end) of the first word from ``i`` on; start = end where there is none.

    A word is two or more letters, digits and underscores, or one ideograph.
    """
    start, letters, h = i, 0, BASIS
    while i < end:
        byte = PLAIN[text[i]]
        if byte > 1:  # most bytes: a letter of ASCII
            h = (h ^ uint64(byte)) * PRIME
            i, letters = i + 1, letters + 1
            continue
        width, kind = (1, SPACE) if byte == 0 else _character(text, i, end)
        if kind == LETTER:
            h = _hash(h, text, i, i + width)
            i, letters = i + width, letters + 1
            continue
        if letters > 1:
            break
        if kind == IDEOGRAPH:
            return _hash(BASIS, text, i, i + width), i, i + width
        i += width
        start, letters, h = i, 0, BASIS
    if letters > 1:
        return h, start, i
    return BASIS, end, end


@compiled
def _glyph(text, i, end):
    """(hash, start, end) of the character at ``i``; a run of white space is one blank."""
    if i >= end:
        return BASIS, end, end
    start = i
    while i < end and text[i] <= 32:
        i += 1
    if i > start:
        return BASIS, start, i
    width = 1 if text[i] < 128 else _character(text, i, end)[0]
    return _hash(BASIS, text, i, i + width), i, i + width


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
        place: ``int64 [columns]``, scratch, its content means nothing.
        indices, values, indptr: CSR, written. A row's columns come in order of appearance, each once.
        spans: ``int64 [entries, 2]``, written: where an entry's n-gram first stands in ``text``.
            ``[0, 2]``: not wanted.
    """
    recent, starts = np.empty(high, np.uint64), np.empty(high, np.int64)
    size = 0
    for d in range(len(ends) - 1):
        row, met, i = size, 0, ends[d]
        while True:
            if characters:
                h, start, i = _glyph(text, i, ends[d + 1])
            else:
                h, start, i = _word(text, i, ends[d + 1])
            if start == i:
                break
            for n in range(min(met, high - 1), 0, -1):
                recent[n], starts[n] = recent[n - 1], starts[n - 1]
            recent[0], starts[0] = h, start
            met += 1
            gram = uint64(0)
            for n in range(1, min(high, met) + 1):  # the gram of the n latest tokens
                gram = (gram ^ recent[n - 1]) * uint64(0x9E3779B97F4A7C15)
                if n < low:
                    continue
                column = _column(gram, mask)
                at = place[column]
                if row <= at < size and indices[at] == column:
                    values[at] += 1
                    continue
                place[column] = size
                indices[size], values[size] = column, 1
                if len(spans):
                    spans[size, 0], spans[size, 1] = starts[n - 1], i
                size += 1
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
