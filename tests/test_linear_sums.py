"""Sums of the order-independent learners: a refusal changes nothing."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from lifelong import LifelongError
from lifelong.linear import ComplementNB, MultinomialNB, NearestClassMean, merge

COUNTERS = [MultinomialNB(), ComplementNB(), NearestClassMean("cosine", idf=2)]
counters = pytest.mark.parametrize("learner", COUNTERS, ids=repr)


def counts(n=60):
    rng = np.random.default_rng(0)
    return rng.poisson(2.0, (n, 8)).astype(float), rng.integers(0, 3, n)


@counters
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_refused_counts_leave_the_learner_as_it_was(learner, form):
    """Neither their class is admitted, nor are the rows before the negative one counted."""
    X, y = counts()
    learner = copy.deepcopy(learner).fit(X, y)
    before = learner.scores(X)
    more = np.vstack([X] * 40)
    more[-1, 0] = -1.0
    with pytest.raises(LifelongError, match="Negative values"):
        learner.partial_fit(form(more), np.full(len(more), 77))
    assert 77 not in learner.classes_
    np.testing.assert_array_equal(learner.scores(X), before)


def test_a_base_that_the_shards_did_not_go_on_from_is_refused():
    """Though the sums of both shards together are larger than its own."""
    X, y = counts()
    base = MultinomialNB().fit(X[:30], y[:30])
    shards = [MultinomialNB().fit(X[rows], y[rows]) for rows in (slice(30, 50), slice(40, 60))]
    with pytest.raises(LifelongError, match="base knows what was not merged"):
        merge(*shards, base=base)
    with pytest.raises(LifelongError, match="base knows what was not merged"):
        merge(base.copy().partial_fit(X[30:], y[30:]), shards[0], base=base)


def test_one_column_counted_twice_in_a_row_is_their_sum():
    """Before the logarithm, that is; and a stored zero is no occurrence."""
    X, _ = counts()
    columns, starts = np.array([0, 0, 1, 3]), np.array([0, 3, 4])
    rows = sp.csr_array((np.array([1.0, 2.0, 0.0, 1.0]), columns, starts), (2, 8))
    one, other = (NearestClassMean("cosine", idf=2).fit(r, [0, 1]) for r in (rows, rows.toarray()))
    np.testing.assert_array_equal(one.scores(X), other.scores(X))
