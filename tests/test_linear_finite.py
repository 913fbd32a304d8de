"""Linear learners never become NaN or infinite: what would make them so is refused, without a trace."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifelong import LifelongError
from lifelong.linear import (
    AROW,
    CW,
    LASVM,
    PA,
    SCW1,
    IncrementalSVC,
    KeepSupport,
    MultinomialNB,
    NearestClassMean,
    Perceptron,
    RecursiveRidge,
    Replay,
    StreamingLDA,
    merge,
)
from lifelong.linear.defaults import LEARNERS, make
from lifelong.linear.finite import largest

rng = np.random.default_rng(0)
X = np.abs(rng.normal(size=(30, 3)))
Y = np.arange(30) % 3
OTHERS = {
    "cw-float64": CW(dtype="float64"),
    "cw-full": CW(covariance="full"),
    "arow-drop": AROW(form="drop"),
    "scw-all": SCW1(rivals=None),
    "svm-poly": IncrementalSVC(kernel="poly"),
    "svm-ovo": IncrementalSVC(kernel="linear", multiclass="ovo"),
    "keep": KeepSupport(),
    "ridge-random": RecursiveRidge(features=5),
    "ncm-idf": NearestClassMean("cosine", 1.0),
    "replay": Replay("cw", memory=6, batch=4),
    "replay-svm": Replay("svm", memory=6, batch=4),
    "grow": PA(grow=True),
}
ALL = [*LEARNERS, *OTHERS]


def made(name):
    return make(name) if name in LEARNERS else OTHERS[name].copy()


def state(value):
    """All that a learner holds, so that two can be compared to the bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if sp.issparse(value):
        return state(value.toarray())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if hasattr(value, "columns"):
        return state(value.columns)
    if hasattr(value, "__dict__"):
        roomy = getattr(value, "roomy", ())
        return {k: state(v) for k, v in vars(value).items() if k not in roomy}
    if isinstance(value, dict):
        return {k: state(v) for k, v in value.items()}
    return [state(v) for v in value] if isinstance(value, list | tuple) else repr(value)


def large(name):
    """Numbers that are beyond what the learner computes in, or whose squares are."""
    return (1e39, 1e20) if made(name)._numbers == "float32" else (1e200, 2e154)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_a_row_beyond_the_dtype_is_refused_with_its_number_and_changes_nothing(name, sparse):
    learner = made(name)
    if sparse and not learner.sparse:
        pytest.skip("takes no sparse rows")
    learner.fit(X, Y)
    before, answers = state(learner), learner.scores(X)
    for value in large(name):
        bad = X.copy()
        bad[17, 1] = value
        rows = sp.csr_array(bad) if sparse else bad
        for call in (learner.fit, learner.partial_fit, learner.progress, learner.rehearse):
            with pytest.raises(LifelongError, match=r"row 17 of X .*: scale it, or drop it"):
                call(rows, Y)
        with pytest.raises(LifelongError, match="row 17 of X"):
            learner.predict(rows)
        with pytest.raises(LifelongError, match="row 17 of X"):
            made(name).fit(rows, Y)
    assert state(learner) == before
    np.testing.assert_array_equal(learner.scores(X), answers)


def test_the_first_row_that_is_too_large_is_named_among_large_ones():
    rows = np.full((400, 1000), 1e17)  # fine each, not all together
    rows[250:260, 3] = 1e20
    with pytest.raises(LifelongError, match="row 250 of X reaches 1e"):
        Perceptron().fit(rows, np.arange(400) % 2)
    Perceptron().fit(rows[:250], np.arange(250) % 2)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_whole_number_beyond_all_floats_is_refused(value):
    with pytest.raises(LifelongError, match="beyond float64"):
        CW().fit(np.array([[value, 1], [1, 1]], object), [0, 1])


@example("svm-poly", 21198)  # kernel values of 1e99: it does not converge
@example("svm-poly", 1414)  # nor here, where its margin set is nearly singular
@example("cw-float64", 9865)  # weights of 1e96, whose margins to the fourth power overflow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 10**6))
def test_whatever_is_learned_it_stays_finite_and_a_refusal_changes_nothing(name, seed):
    rng = np.random.default_rng(seed)
    learner = made(name)
    scale = rng.choice([1e-160, 1e-30, 1e-20, 1e-9, 1, 1e3, 1e9, 1e17, 1e18, 1e19, 1e100, 1e150, 1e153])
    for _ in range(6):
        rows = np.abs(rng.normal(size=(int(rng.integers(1, 9)), 3))) * 10 ** rng.uniform(-3, 0)
        rows *= scale if rng.random() < 0.7 else 1.0
        y = rng.integers(0, 3, len(rows))
        before = state(learner) if hasattr(learner, "classes_") else None
        try:
            learner.partial_fit(rows, y)
        except LifelongError:
            assert before is None or state(learner) == before
        if hasattr(learner, "classes_"):
            assert largest(learner) < np.inf
            try:
                assert not np.isnan(learner.scores(X)).any()
            except LifelongError as error:
                assert "row" in str(error) or "scale" in str(error)  # noqa: PT017


@pytest.mark.parametrize("learner", [StreamingLDA(), RecursiveRidge(), RecursiveRidge(features=4)])
def test_sums_that_would_overflow_leave_what_was_there(learner):
    rows = np.full((3000, 2), 5e153)  # whose squares are finite, one by one
    learner = learner.copy().fit(X[:, :2], Y)
    before, answers = state(learner), learner.scores(X[:, :2])
    with pytest.raises(LifelongError, match="infinite"):
        learner.partial_fit(rows, np.arange(3000) % 4)
    assert state(learner) == before
    np.testing.assert_array_equal(learner.scores(X[:, :2]), answers)


def test_a_batch_that_ends_in_infinity_takes_back_new_classes_features_and_slots():
    learner = CW(variance=1e30, grow=True).fit([[1e18, 1.0], [1.0, -1e18]], ["a", "b"])
    refused = 0
    for _ in range(50):
        before = state(learner)
        try:
            learner.partial_fit(rng.normal(size=(60, 4)) * 1e18, np.array(["b", "c", "a"] * 20))
        except LifelongError:
            refused += 1
            assert state(learner) == before
    assert refused > 0
    assert largest(learner) < np.inf


def test_columns_that_a_refused_batch_would_add_are_not_added():
    learner = PA(grow=True).fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    before = state(learner)
    for rows, y in (
        ([[1.0, 0, 0, 1e39]], ["c"]),
        ([[1.0, 0, 0, 1]], ["c", "d"]),
        ([[1.0, 0, 0, 1]], [7]),
    ):
        with pytest.raises(LifelongError, match=r"row|kind"):
            learner.partial_fit(np.array(rows), y)
    assert state(learner) == before
    assert learner.predict([[2.0, 0.0]]).tolist() == ["a"]


def test_a_refused_fit_keeps_what_was_learned_before():
    learner = CW().fit(X, Y)
    before = state(learner)
    for rows, y in ((X[:2], [0]), (X * np.nan, Y), (X * 1e39, Y), (X, [None] * 30)):
        with pytest.raises(ValueError, match=r"."):
            learner.fit(rows, y)
    assert state(learner) == before


def test_scores_beyond_all_numbers_are_refused_and_not_guessed():
    learner = Perceptron().fit([[1e18, 1e18], [-1e18, -1e18], [0, 1e18]], [0, 1, 2])
    learner.mean_ *= 1e3
    with pytest.raises(LifelongError, match="row 1 of X"):
        learner.predict([[1.0, 1.0], [1e18, -1.7e19]])


def test_merging_refuses_what_has_no_finite_end():
    one = MultinomialNB().fit([[1e153, 0.0], [0.0, 1.0]], [0, 1])
    parts = []
    for learner in (one, one.copy()):
        learner.sums_["counts"][0].data[:] = 1.7e308
        parts.append(learner)
    with pytest.raises(LifelongError, match="finite"):
        merge(*parts)


def test_small_variances_do_not_end_in_frozen_weights():
    """With v near 0 a difference of CW's closed form rounds to 0: its c was infinite, its variance 0."""
    learner = CW(constraint="stdev", dtype="float64")
    rng = np.random.default_rng(3)
    for _ in range(40):
        rows = np.abs(rng.normal(size=(50, 5)))
        learner.partial_fit(rows, rng.integers(0, 2, 50))
    assert np.isfinite(learner.mean_).all()
    assert (learner.variance_ > 0).all()


def test_ordinary_rows_cost_no_copy(monkeypatch):
    """The weights stay in the same memory: streams of single rows copy nothing."""
    learner = CW().fit(X, Y)
    place = learner.mean_.ctypes.data
    for row, y in zip(X, Y, strict=True):
        learner.partial_fit(row[None], [y])
    assert learner.mean_.ctypes.data == place


def test_a_lasvm_of_large_kernels_is_as_it_was_after_a_refusal():
    learner = LASVM(kernel="poly", degree=4, gamma=1.0).fit(X, Y)
    before = state(learner)
    with pytest.raises(LifelongError, match=r"row 2 of X reaches 1e\+40"):
        learner.partial_fit(np.array([[1.0, 0, 0], [1e20, 0, 0], [1e40, 0, 0]]), [0, 1, 2])
    assert state(learner) == before
