"""Progressive validation: who knew what when, and the formulas against brute force."""

import doctest
import importlib
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.metrics import cohen_kappa_score
from sklearn.naive_bayes import GaussianNB

import lifelong as ll
from lifelong.detection import Told
from lifelong.linear import progressive as formulas
from lifelong.linear import progressive_validation

STREAMS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


class Recorder(BaseEstimator):
    """Answers the number of rows that it has learned; writes down what it was asked and taught."""

    def __init__(self, fitted: bool = False) -> None:
        self.calls: list[tuple] = []
        self.known = 0
        if fitted:
            self.known_ = True

    def fit(self, X, y):
        """Only so that it counts as an estimator."""

    def partial_fit(self, X, y, classes=None):
        self.calls.append(("learn", list(X[:, 0]), list(y), classes))
        self.known, self.known_ = self.known + len(y), True

    def predict(self, X):
        self.calls.append(("ask", list(X[:, 0]), self.known))
        return np.full(len(X), self.known)


def stream(n=400, seed=0):
    """Labels in runs, features that tell them but for noise, and a turn in the middle."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.integers(0, 2, n // 4), 4)
    sign = np.where(np.arange(n) < n // 2, 1, -1)
    return (sign * (2 * y - 1))[:, None] + rng.normal(0, 0.7, (n, 2)), y


# ---- who knew what when
@pytest.mark.parametrize("delay", [0, 1, 3, 9])
def test_one_by_one_each_row_is_predicted_by_what_was_known(delay):
    X, y = np.arange(8)[:, None], np.arange(8) % 3
    made = Recorder()
    progressive_validation(made, X, y, delay=delay, classes=[0, 1, 2])
    asked = {call[1][0]: call[2] for call in made.calls if call[0] == "ask"}
    assert asked == {t: t - delay for t in range(8) if t - delay > 0}
    learned = [call for call in made.calls if call[0] == "learn"]
    assert [call[1] for call in learned] == [[t] for t in range(8 - delay)]
    assert [call[2] for call in learned] == [[y[t]] for t in range(8 - delay)]
    assert [call[3] for call in learned] == ([[0, 1, 2]] + [None] * 7)[: len(learned)]


def test_chunks_learn_what_is_known_and_nothing_earlier():
    X, y = np.arange(10)[:, None], np.zeros(10, int)
    made = Recorder(fitted=True)
    progressive_validation(made, X, y, chunk=4, delay=3)
    assert [call[:2] for call in made.calls] == [
        ("ask", [0, 1, 2, 3]), ("learn", [0]),
        ("ask", [4, 5, 6, 7]), ("learn", [1, 2, 3, 4]),
        ("ask", [8, 9]), ("learn", [5, 6]),
    ]  # fmt: skip


def test_one_that_has_learned_answers_from_the_first_row():
    X, y = stream()
    fresh = progressive_validation(GaussianNB(), X[200:], y[200:], classes=[0, 1])
    taught = GaussianNB().partial_fit(X[200:], y[200:], classes=[0, 1])
    assert fresh.windowed["GaussianNB"][0] == 0  # no answer is a wrong one
    assert progressive_validation(taught, X[200:], y[200:]).windowed["GaussianNB"][0] == 1


def test_the_same_as_a_loop_by_hand():
    X, y = stream()
    made, right = GaussianNB(), [False]
    made.partial_fit(X[:1], y[:1], classes=[0, 1])
    for t in range(1, len(y)):
        right.append(made.predict(X[t : t + 1])[0] == y[t])
        made.partial_fit(X[t : t + 1], y[t : t + 1])
    found = progressive_validation(GaussianNB(), X, y, classes=[0, 1])
    assert found.scores["GaussianNB"].accuracy == np.mean(right)


@pytest.mark.parametrize("kind", ["sparse", "table", "labels", "list"])
def test_streams_of_any_kind(kind):
    import pandas

    X, y = stream()
    plain = progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=7)
    if kind == "labels":
        y, classes = np.array(["no", "yes"])[y], ["no", "yes"]
        other = progressive_validation(GaussianNB(), X, y, classes=classes, chunk=7)
    elif kind == "sparse":

        class Dense(GaussianNB):
            def partial_fit(self, X, y, classes=None):
                return super().partial_fit(X.toarray(), y, classes)

            def predict(self, X):
                return super().predict(X.toarray())

        other = progressive_validation(Dense(), sp.csr_array(X), y, classes=[0, 1], chunk=7)
    else:
        rows = X.tolist() if kind == "list" else pandas.DataFrame(X, columns=["a", "b"])
        other = progressive_validation(GaussianNB(), rows, y, classes=[0, 1], chunk=7)
    assert list(other.scores.values()) == list(plain.scores.values())


# ---- the formulas
@given(STREAMS, st.integers(0, 45))
def test_no_change_and_majority_against_brute_force(labels, delay):
    y = np.array(labels)
    repeated, most = formulas.no_change(y, delay), formulas.majority(y, delay)
    for t in range(len(y)):
        known = labels[: max(0, t - delay)]
        if not known:
            assert repeated[t] == most[t] == -1
            continue
        assert repeated[t] == known[-1]
        top = max(map(known.count, known))
        assert known.count(most[t]) == top
        reached = {
            c: [i for i, k in enumerate(known) if k == c][top - 1]
            for c in set(known)
            if known.count(c) == top
        }
        assert most[t] == min(reached, key=reached.get)  # the first to get there leads


@given(STREAMS, st.integers(0, 2**31), st.integers(1, 50), st.floats(0.01, 1))
def test_windows_and_fading_against_brute_force(labels, seed, window, fading):
    right = np.random.default_rng(seed).random(len(labels)) < 0.6
    for i in range(len(right)):
        last = right[max(0, i + 1 - window) : i + 1]
        assert formulas.windowed(right, window)[i] == pytest.approx(last.mean())
        weights = fading ** np.arange(i, -1, -1.0)
        by_hand = (weights * right[: i + 1]).sum() / weights.sum()
        assert formulas.faded(right, fading)[i] == pytest.approx(by_hand)


@settings(deadline=None)
@given(STREAMS, st.integers(0, 2**31))
def test_kappas_against_brute_force(labels, seed):
    y = np.array(labels)
    answers = np.random.default_rng(seed).integers(-1, 4, len(y))
    repeated = formulas.no_change(y)
    found = formulas.score(y, answers, repeated)
    p, bar = np.mean(answers == y), np.mean(repeated == y)
    assert found.accuracy == p
    assert found.kappa_temporal == pytest.approx((p - bar) / (1 - bar))
    if len({*labels, *answers.tolist()}) > 1:
        assert found.kappa == pytest.approx(cohen_kappa_score(y, answers))
    else:
        assert np.isnan(found.kappa)


def test_no_change_is_its_own_bar():
    X, y = stream()
    found = progressive_validation(GaussianNB(), X, y, classes=[0, 1])
    assert found.scores["no-change"].kappa_temporal == 0
    assert found.scores["no-change"].accuracy == np.mean(y[1:] == y[:-1]) * 399 / 400
    late = progressive_validation(GaussianNB(), X, y, classes=[0, 1], delay=2)
    assert late.scores["no-change"].accuracy == np.mean(y[3:] == y[:-3]) * 397 / 400


# ---- drifts, the table, the figure
def test_drifts_are_found_behind_the_turn():
    X, y = stream(4000)
    found = progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=20)
    assert found.drifts
    assert 2000 < found.drifts[0] < 2200
    told = progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=20, detector=Told((1, 7)))
    assert told.drifts == [0, 6]
    assert (
        progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=20, detector=None).drifts == []
    )


class Fixed(Recorder):
    """Knows the future, or one label."""

    def __init__(self, answers):
        super().__init__(fitted=True)
        self.answers, self.at = answers, 0

    def predict(self, X):
        self.at += len(X)
        return self.answers[self.at - len(X) : self.at]


def test_it_says_plainly_when_a_learner_is_below_the_bars():
    y = np.repeat(np.arange(30) % 2, 4)
    X = np.zeros((120, 1))
    wrong = np.where(np.arange(120) % 3 == 0, 1 - y, y)
    below = progressive_validation(Fixed(wrong), X, y, name="mine")
    bar = 100 * below.scores["no-change"].accuracy
    assert below.verdict.startswith(
        f"mine is BELOW no-change: repeating the last label is right {bar:.1f} %"
    )
    assert below.verdict in str(below)
    assert below.scores["mine"].kappa_temporal < 0
    assert below.below == "no-change"
    same = progressive_validation(Fixed(np.append(-1, y[:-1])), X, y, name="mine")
    assert same.verdict.startswith("mine is NO BETTER THAN no-change: ")
    above = progressive_validation(Fixed(y), X, y, name="mine")
    assert above.below is None
    late = progressive_validation(Fixed(y), X, y, name="mine", delay=120)
    assert "no label came before the last row was asked" in late.verdict
    with pytest.raises(ll.LifelongError, match="that of a bar"):
        progressive_validation(Fixed(y), X, y, name="majority")
    assert above.verdict == "mine is above no-change and majority"
    y = np.resize([0, 0, 1, 0, 1], 120)
    flat = progressive_validation(Fixed(np.zeros(120, int) + (np.arange(120) < 2)), X, y, name="mine")
    assert flat.verdict.startswith("mine is BELOW majority: ")


def test_the_table():
    X, y = stream(2000)
    text = str(progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=10, delay=5, name="nb"))
    lines = text.splitlines()
    assert lines[0].startswith("2,000 rows in chunks of 10, labels 5 rows late, ")
    assert lines[1].split() == ["accuracy", "kappa", "kappa-temporal", "last", "1,000", "fading"]
    assert [line.split()[0] for line in lines[2:5]] == ["nb", "no-change", "majority"]
    assert lines[3].split()[3] == "0.000"
    assert len({len(line) for line in lines[1:5]}) == 1
    one = str(progressive_validation(GaussianNB(), X[:5], y[:5] * 0, classes=[0, 1]))
    assert "one by one" in one
    assert "no drift found" in one


def test_the_figure(tmp_path):
    X, y = stream(2000)
    found = progressive_validation(GaussianNB(), X, y, classes=[0, 1], chunk=10, window=100)
    assert found.draw(tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    svg = found.draw(tmp_path / "a.svg").read_text()
    assert "majority" in svg
    assert "drift" in svg


def test_what_cannot_be_is_refused():
    X, y = stream()
    made = GaussianNB()
    for wrong, words in [
        ({"delay": -1}, "delay"), ({"chunk": 0}, "chunk"), ({"window": 0}, "window"),
        ({"fading": 0.0}, "fading=0.0"), ({"fading": 1.5}, "fading=1.5"),
    ]:  # fmt: skip
        with pytest.raises(ll.LifelongError, match=words):
            progressive_validation(made, X, y, **wrong)
    with pytest.raises(ll.LifelongError, match="400 rows and 3 labels"):
        progressive_validation(made, X, y[:3])
    with pytest.raises(ll.LifelongError, match="0 rows"):
        progressive_validation(made, X[:0], y[:0])
    with pytest.raises(ValueError, match="continuous"):
        progressive_validation(made, X, y + 0.5)


ELEC2 = Path(os.environ.get("LIFELONG_DATA", ".")) / "elec2" / "data.parquet"


@pytest.mark.skipif(not ELEC2.exists(), reason="elec2 is not in LIFELONG_DATA")
def test_the_bars_of_elec2_are_the_published_ones():
    import pyarrow.parquet

    y = pyarrow.parquet.read_table(ELEC2).column("class").to_numpy()
    assert np.mean(formulas.no_change(y) == y) == pytest.approx(0.853, abs=0.0005)
    assert np.mean(formulas.majority(y) == y) == pytest.approx(0.575, abs=0.005)


def test_the_example_in_the_docs_is_true():
    assert doctest.testmod(importlib.import_module("lifelong.linear.progressive")).failed == 0
