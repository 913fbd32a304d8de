"""Incremental estimators as models of river."""

import copy
import doctest
import importlib
import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Perceptron, Ridge, SGDRegressor
from sklearn.utils.validation import check_is_fitted

import lifelong as ll
from lifelong import linear
from lifelong.linear import Incremental, to_river

river = pytest.mark.skipif(not find_spec("river"), reason="river is not installed")


class Means(Incremental):
    """Nearest class mean: small, exact, and of any width."""

    def _start(self):
        self.sums_ = np.zeros((0, self.n_features_in_))
        self.counts_ = np.zeros(0)

    def _widen(self, classes):
        more = classes - len(self.counts_)
        self.sums_ = np.vstack([self.sums_, np.zeros((more, self.n_features_in_))])
        self.counts_ = np.append(self.counts_, np.zeros(more))

    def _update(self, X, codes, known):
        np.add.at(self.sums_, codes, X.toarray() if sp.issparse(X) else X)
        np.add.at(self.counts_, codes, 1)

    def _scores(self, X):
        X = X.toarray() if sp.issparse(X) else X
        means = self.sums_ / np.maximum(self.counts_, 1)[:, None]
        return -((X[:, None] - means) ** 2).sum(2)

    def predict_proba(self, X):
        check_is_fitted(self)
        scores = np.exp(self._scores(self._checked(X, reset=False)))
        return scores / scores.sum(1, keepdims=True)


class DenseMeans(Means):
    sparse = False


ANIMALS = [
    ({"legs": 4, "sound": "meow"}, "cat"),
    ({"legs": 4, "sound": "woof"}, "dog"),
    ({"legs": 2, "wings": True}, "bird"),
    ({"legs": 0, "fins": 2.0, "sound": None}, "fish"),
]


@pytest.mark.parametrize("kind", [Means, DenseMeans])
def test_features_and_classes_appear_at_any_time(kind):
    model = to_river(kind(), features=10)
    assert model.predict_one(ANIMALS[0][0]) is None
    assert model.predict_proba_one(ANIMALS[0][0]) == {}
    for x, y in ANIMALS:
        model.learn_one(x, y)
    assert [model.predict_one(x) for x, _ in ANIMALS] == [y for _, y in ANIMALS]
    columns = {"legs": 0, "sound=meow": 1, "sound=woof": 2, "wings": 3, "fins": 4}
    assert model.estimator.river_columns == columns
    by_hand = np.zeros((4, 10))
    by_hand[:, 0] = 4, 4, 2, 0
    by_hand[[0, 1, 2], [1, 2, 3]] = 1
    by_hand[3, 4] = 2
    np.testing.assert_array_equal(model.estimator.sums_, by_hand)
    found = model.predict_proba_one({"legs": 4, "sound": "moo", "unknown": 7})
    assert list(found) == ["cat", "dog", "bird", "fish"]
    assert found["cat"] == pytest.approx(found["dog"])
    assert sum(found.values()) == pytest.approx(1)
    assert model.estimator.river_columns == columns  # asking teaches no names


def test_labels_and_names_keep_their_type():
    model = to_river(Means())
    model.learn_one({0: 1.0}, True)
    model.learn_one({1: 1.0}, False)
    assert model.predict_one({0: 1.0}) is True
    assert model._row({0: 1.0}).shape == (1, 2**18)


def test_names_beyond_the_last_column_share_one_by_hash():
    model = to_river(DenseMeans(), features=2)
    model.learn_one({"a": 1.0, "b": 2.0, "c": 5.0}, "x")
    assert model.estimator.river_columns == {"a": 0, "b": 1}
    row = model._row({"c": 5.0})[0]
    assert sorted(row) == [0, 5]
    assert sorted(model.estimator.sums_[0] - row) == sorted(np.array([1.0, 2.0]))


def test_one_that_has_learned_keeps_its_columns():
    import pandas

    X, y = np.array([[1.0, 0], [0, 1]]), ["p", "q"]
    model = to_river(DenseMeans().fit(X, y))
    assert model.predict_one({1: 1.0}) == "q"
    frame = pandas.DataFrame(X, columns=["width", "height"])
    first = DenseMeans().fit(frame, y)
    model = to_river(first)
    assert model.predict_one({"height": 1.0}) == "q"
    model.learn_one({"height": 1.0}, "q")
    assert first.counts_.tolist() == [1, 1]  # a copy learned
    with pytest.raises(ll.LifelongError, match="has learned from 2 columns"):
        to_river(first, features=3)


def test_what_cannot_be_is_refused():
    with pytest.raises(ll.LifelongError, match="Ridge has no partial_fit"):
        to_river(Ridge())
    model = to_river(Means())
    with pytest.raises(ll.LifelongError, match="feature 'a' is \\[1\\]"):
        model.learn_one({"a": [1]}, "x")
    with pytest.raises(NotImplementedError, match="no predict_proba"):
        to_river(Perceptron()).predict_proba_one({})


def test_regression_one_by_one():
    model = to_river(SGDRegressor(learning_rate="constant", eta0=0.05), features=3)
    assert model.predict_one({"a": 1}) == 0.0
    rng = np.random.default_rng(0)
    for a, b in rng.normal(size=(500, 2)):
        model.learn_one({"a": a, "b": b}, 3 * a - 2 * b)
    assert model.predict_one({"a": 1.0, "b": 1.0}) == pytest.approx(1, abs=0.05)


def test_the_neural_estimator_one_by_one(tmp_path):
    made = ll.LifelongClassifier(model="mlp:12", epochs=2, lr=0.02, random_state=0, scale=False)
    model = to_river(made, features=6)
    for x, y in ANIMALS * 15:
        model.learn_one(x, y)
    assert [model.predict_one(x) for x, _ in ANIMALS] == [y for _, y in ANIMALS]
    model.estimator.save(tmp_path / "a.safetensors")
    other = to_river(ll.LifelongClassifier.load(tmp_path / "a.safetensors"))
    for each in (model, other):
        each.learn_one({"legs": 6, "sound": "buzz"}, "bee")
    assert other.estimator.river_columns == model.estimator.river_columns
    for x, _ in ANIMALS:
        assert other.predict_proba_one(x) == model.predict_proba_one(x)


@pytest.mark.parametrize("how", ["copy", "pickle", "file"])
def test_a_copy_goes_on_exactly(how, tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "Means", Means, raising=False)
    monkeypatch.setattr(linear, "__all__", [*linear.__all__, "Means"])
    model = to_river(Means(), features=12)
    for x, y in ANIMALS[:2]:
        model.learn_one(x, y)
    if how == "file":
        model.estimator.save(tmp_path / "a.safetensors")
        other = to_river(linear.load(tmp_path / "a.safetensors"))
    else:
        other = copy.deepcopy(model) if how == "copy" else pickle.loads(pickle.dumps(model))
    for x, y in ANIMALS[2:]:
        model.learn_one(x, y)
        other.learn_one(x, y)
    assert other.estimator is not model.estimator
    assert other.estimator.river_columns == model.estimator.river_columns
    np.testing.assert_array_equal(other.estimator.sums_, model.estimator.sums_)


def test_a_clone_has_learned_nothing():
    model = to_river(Means(), features=12)
    model.learn_one(*ANIMALS[0])
    fresh = model.clone()
    assert fresh.predict_one(ANIMALS[0][0]) is None
    assert fresh.estimator.river_columns == {}
    assert fresh._width == 12
    assert model.clone(include_attributes=True).predict_one(ANIMALS[1][0]) == "cat"


def test_river_is_imported_only_when_it_is_used():
    code = "import sys, lifelong.linear; print('river' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    )


# ---- in river's company
def stream(n=300):
    rng = np.random.default_rng(0)
    for _ in range(n):
        y = bool(rng.integers(2))
        yield {"a": rng.normal(3 * y), "colour": "red" if rng.random() < 0.2 + 0.6 * y else "blue"}, y


def test_an_example_that_is_no_dictionary_is_refused():
    with pytest.raises(ll.LifelongError, match="give a dictionary of features"):
        to_river(linear.PA1()).learn_one("a text", "spam")


@river
def test_progressive_validation_is_that_of_one_by_one():
    from river import base, evaluate, metrics

    model, by_hand, right = to_river(Means()), to_river(Means()), 0
    assert isinstance(model, base.Classifier)
    for x, y in stream():
        right += by_hand.predict_one(x) == y
        by_hand.learn_one(x, y)
    found = evaluate.progressive_val_score(stream(), model, metrics.Accuracy())
    assert found.get() == pytest.approx(right / 300, abs=1 / 300)
    assert right > 250
    loss = evaluate.progressive_val_score(stream(), to_river(Means()), metrics.LogLoss())
    assert 0 < loss.get() < 0.69


@river
def test_pipelines():
    from river import compose, evaluate, metrics, preprocessing

    scaled = compose.SelectType(float) | preprocessing.StandardScaler()
    model = (scaled + compose.SelectType(str)) | to_river(Means())
    assert evaluate.progressive_val_score(stream(), model, metrics.Accuracy()).get() > 0.85
    assert model.clone().predict_one({"a": 1.0, "colour": "red"}) is None
    numbers = preprocessing.StandardScaler() | to_river(
        SGDRegressor(learning_rate="constant", eta0=0.05), features=4
    )
    rows = [({"a": float(i % 7)}, 2.0 * (i % 7 - 3)) for i in range(400)]
    assert evaluate.progressive_val_score(rows, numbers, metrics.MAE()).get() < 0.5


def test_the_example_in_the_docs_is_true():
    assert doctest.testmod(importlib.import_module("lifelong.linear.river")).failed == 0
