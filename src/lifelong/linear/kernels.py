"""The loops over examples, compiled. Rows are CSR; a feature's weights lie in the row ``slot[feature]``.

Slots are given out as features come up, so memory follows the features met, not the width of a hash,
and the frequent ones, met first, lie side by side. Slot 0 is the intercept's.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import njit

from .updates import CW_STDEV, CW_VARIANCE, SCW_1, SCW_2, step

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def admit(slot, indices, used):
    """Give every feature that has none a slot, in order of appearance; how many are used then."""
    for feature in indices:
        if slot[feature] < 0:
            slot[feature] = used
            used += 1
    return used


@compiled
def farthest(mean):
    """How far weights may move in a pass: less than is infinite, also times a deviation of 1e7."""
    return 1e30 if mean.itemsize == 4 else 1e300


@compiled
def _reach(alpha, c, v, variance, at, x, n, column):
    """A bound of |alpha Sigma x|, times the largest deviation; not a number where c is not finite.

    alpha sqrt(v) is one, by Cauchy and Schwarz, and costs nothing. Where it is large, look.
    """
    bound = alpha * sqrt(v) + 0 * c
    if bound < 1e6 or len(variance) == 0:
        return bound
    most = 0.0
    for j in range(n):
        most = max(most, variance[at[j], column] * abs(x[j]))
    return alpha * most + 0 * c


@compiled
def _row(slot, intercept, data, indices, start, end, at, x):
    """Write an example's slots and values to ``at`` and ``x``; how many have a slot."""
    n = 0
    if intercept:
        at[0], x[0], n = 0, 1, 1
    for j in range(start, end):
        if slot[indices[j]] >= 0:
            at[n], x[n] = slot[indices[j]], data[j]
            n += 1
    return n


@compiled
def _longest(indptr):
    return (indptr[1:] - indptr[:-1]).max() + 1 if len(indptr) > 1 else 1


@compiled
def scores(mean, slot, intercept, data, indices, indptr, out):
    """``out [n, classes]`` = x' mean."""
    longest = _longest(indptr)
    at, x = np.empty(longest, np.int64), np.empty(longest, mean.dtype)
    for i in range(len(indptr) - 1):
        n = _row(slot, intercept, data, indices, indptr[i], indptr[i + 1], at, x)
        _score(mean, at, x, n, out[i])


@compiled
def _score(mean, at, x, n, s):
    s[:] = 0
    for j in range(n):
        weights, value = mean[at[j]], x[j]
        for c in range(len(s)):
            s[c] += weights[c] * value


@compiled
def _confident(rule):
    """Whether a rule may act on an example whose margin is 1 or more."""
    return rule in (CW_VARIANCE, CW_STDEV, SCW_1, SCW_2)


@compiled
def _sharpen(variance, x, c, v, drop):
    """A diagonal entry of Sigma behind an update (see ``drop`` of the learners)."""
    if drop:
        return variance - c / (1 + c * v) * variance * variance * x * x
    return variance / (1 + c * variance * x * x)


@compiled
def learn_two(
    rule, a, b, drop, mean, variance, slot, intercept, data, indices, indptr, codes, predicted
):
    """One pass over examples of two classes, whose one weight vector is ``mean[:, 0]``.

    Returns a bound of how far any weight has moved, times the largest deviation if that is above 1. An
    update that would take it beyond :func:`farthest` is not done, nor is any behind it.
    """
    moved, most = 0.0, farthest(mean)
    longest = _longest(indptr)
    at, x = np.empty(longest, np.int64), np.empty(longest, mean.dtype)
    second = len(variance) > 0
    for i in range(len(codes)):
        n = _row(slot, intercept, data, indices, indptr[i], indptr[i + 1], at, x)
        s = 0.0
        for j in range(n):
            s += mean[at[j], 0] * x[j]
        predicted[i] = s > 0
        y = 2 * codes[i] - 1
        if y * s >= 1 and not _confident(rule):
            continue
        v = 0.0
        for j in range(n):
            v += (variance[at[j], 0] if second else 1.0) * x[j] * x[j]
        alpha, c = step(rule, y * s, v, a, b)
        if alpha == 0:
            continue
        moved += _reach(alpha, c, v, variance, at, x, n, 0)
        if not moved < most:
            return moved
        for j in range(n):
            sigma = variance[at[j], 0] if second else 1.0
            mean[at[j], 0] += y * alpha * sigma * x[j]
            if second:
                variance[at[j], 0] = _sharpen(sigma, x[j], c, v, drop)
    return moved


@compiled
def learn_many(
    rule,
    a,
    b,
    drop,
    rivals,
    mean,
    variance,
    slot,
    intercept,
    data,
    indices,
    indptr,
    codes,
    known,
    predicted,
):
    """One pass over examples of ``known`` classes and those that come up, a weight vector each.

    The ``rivals`` best-scored wrong labels r are each a binary example of margin mu_y x - mu_r x and
    variance x'(Sigma_y + Sigma_r) x (Crammer, Dredze & Kulesza, EMNLP 2009), one after another.
    Returns what :func:`learn_two` does.
    """
    moved, most = 0.0, farthest(mean)
    longest = _longest(indptr)
    at, x = np.empty(longest, np.int64), np.empty(longest, mean.dtype)
    s, met = np.empty(mean.shape[1], mean.dtype), np.empty(mean.shape[1], np.bool_)
    second = len(variance) > 0
    for i in range(len(codes)):
        y = codes[i]
        n = _row(slot, intercept, data, indices, indptr[i], indptr[i + 1], at, x)
        predicted[i] = 0
        _score(mean, at, x, n, s[:known])
        for label in range(1, known):
            if s[label] > s[predicted[i]]:
                predicted[i] = label
        if y >= known:
            s[known : y + 1] = 0
            known = y + 1
        met[:known] = False
        met[y] = True
        for _ in range(min(rivals, known - 1)):
            r = -1
            for label in range(known):
                if not met[label] and (r < 0 or s[label] > s[r]):
                    r = label
            met[r] = True
            m = s[y] - s[r]
            if m >= 1 and not _confident(rule):
                continue
            v = 0.0
            for j in range(n):
                v += (variance[at[j], y] + variance[at[j], r] if second else 2.0) * x[j] * x[j]
            alpha, c = step(rule, m, v, a, b)
            if alpha == 0:
                continue
            moved += _reach(alpha, c, v, variance, at, x, n, y)
            moved += _reach(alpha, c, v, variance, at, x, n, r)
            if not moved < most:
                return moved
            for j in range(n):
                k, value = at[j], x[j]
                if second:
                    own, other = variance[k, y], variance[k, r]
                    mean[k, y] += alpha * own * value
                    mean[k, r] -= alpha * other * value
                    s[y] += alpha * own * value * value
                    variance[k, y] = _sharpen(own, value, c, v, drop)
                    variance[k, r] = _sharpen(other, value, c, v, drop)
                else:
                    mean[k, y] += alpha * value
                    mean[k, r] -= alpha * value
                    s[y] += alpha * value * value
    return moved


@compiled
def _dot(a, b):
    """Summed in order, wherever the arrays lie: a library's sums may differ in the last bit."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _times(matrix, x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = _dot(matrix[i], x)
    return out


@compiled
def learn_full(rule, a, b, rivals, mean, covariance, X, codes, known, predicted):
    """As above with a full Sigma for each class, ``covariance [classes, features, features]``.

    With two classes (``mean`` of one column) the one weight vector is that of ``codes`` 1.
    """
    moved, most = 0.0, farthest(mean)
    two = mean.shape[1] == 1
    met, s = np.empty(max(2, mean.shape[1]), np.bool_), np.empty(mean.shape[1], mean.dtype)
    every = np.arange(X.shape[1])
    for i in range(len(codes)):
        x, y = X[i], codes[i]
        _score(mean, every, x, len(x), s)
        predicted[i] = s[0] > 0 if two else np.argmax(s[:known])
        known = max(known, y + 1)
        met[:known] = False
        met[y] = True
        for _ in range(min(rivals, known - 1)):
            if two:
                r, sign, m = 0, 2.0 * y - 1, (2 * y - 1) * s[0]
                along = _times(covariance[0], x)
                v = _dot(x, along)
                against = along
            else:
                r = -1
                for label in range(known):
                    if not met[label] and (r < 0 or s[label] > s[r]):
                        r = label
                met[r] = True
                m, sign = s[y] - s[r], 1.0
                along, against = _times(covariance[y], x), _times(covariance[r], x)
                v = _dot(x, along) + _dot(x, against)
            alpha, c = step(rule, m, v, a, b)
            if alpha == 0:
                continue
            beta = c / (1 + c * v)
            moved += alpha * min(sqrt(v), np.abs(along).max() + np.abs(against).max()) + 0 * beta
            if not moved < most:
                return moved
            if two:
                mean[:, 0] += sign * alpha * along
                covariance[0] -= beta * np.outer(along, along)
            else:
                mean[:, y] += alpha * along
                mean[:, r] -= alpha * against
                s[y] += alpha * _dot(x, along)
                covariance[y] -= beta * np.outer(along, along)
                covariance[r] -= beta * np.outer(against, against)
    return moved
