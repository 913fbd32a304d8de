"""The neural learner as a scikit-learn estimator."""

import copy
import doctest
import importlib
import pickle
from importlib.util import find_spec

import helpers
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lifelong as ll

SMALL = {"model": "mlp:16", "batch": 16, "epochs": 20, "lr": 0.01}


def classifier(**options):
    given = {"model": "mlp:12", "memory": 20, "batch": 8, "epochs": 3, "random_state": 3}
    return ll.LifelongClassifier(**(given | {"backend": helpers.BACKEND} | options))


def regressor(**options):
    given = {"model": "mlp:12", "memory": 20, "batch": 8, "epochs": 3, "random_state": 3}
    return ll.LifelongRegressor(**(given | {"backend": helpers.BACKEND} | options))


def blobs(n=60, classes=4, features=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(10, 3, (classes, features))[y] * 7 + rng.normal(size=(n, features)), y


def numbers(n=60, outputs=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(5, 2, (n, 3))
    y = 100 + 40 * X @ rng.normal(size=(3, outputs or 1))
    return X, y if outputs else y[:, 0]


@parametrize_with_checks([ll.LifelongClassifier(**SMALL), ll.LifelongRegressor(**SMALL)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# ---- the same as the learner
def test_each_call_is_the_learners_next_task(backend):
    X, y = blobs()
    made = classifier(scale=False, precision="float32", method="er+ewc", random_state=7)
    learner = ll.Learner(
        ll.models.mlp(12), ll.ER(20) + ll.EWC(), batch=8, epochs=3, seed=7, backend=backend
    )
    x = X.astype(np.float32)
    for number in range(2):
        rows = np.flatnonzero(y // 2 == number)
        made.partial_fit(X[rows], y[rows])
        start = 0 if number == 0 else int((y // 2 == 0).sum())
        samples = ll.Samples(
            x=x[rows], y=y[rows], id=start + np.arange(len(rows)), task=np.full(len(rows), number)
        )
        names = tuple("0123"[: 2 * number + 2])
        place = (number, number + 1)
        learner.learn(ll.Task("", samples, ll.Samples(), names, "class", place, None, number))
    np.testing.assert_array_equal(helpers.theta(made.learner_), helpers.theta(learner))
    assert made.predict(X).tolist() == [int(name) for name in learner.predict(x)]


def test_new_classes_come_at_any_call_and_old_ones_stay_known(backend):
    X, y = blobs(120)
    labels = np.array(["wren", "ant", "cat", "bee"])[y]
    made = classifier(memory=60, epochs=30, lr=0.01)
    for number in range(2):
        made.partial_fit(X[y // 2 == number], labels[y // 2 == number])
    assert made.classes_.tolist() == ["wren", "ant", "cat", "bee"]
    assert made.score(X, labels) == 1
    probabilities = made.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (made.classes_[probabilities.argmax(1)] == made.predict(X)).all()
    forgetful = classifier(method="naive", epochs=30, lr=0.01)
    for number in range(2):
        forgetful.partial_fit(X[y // 2 == number], labels[y // 2 == number])
    assert forgetful.score(X, labels) < 0.8


def test_fit_sorts_the_classes_and_forgets():
    X, y = blobs()
    made = classifier().partial_fit(X, np.array(list("dcba"))[y])
    assert made.classes_.tolist() == ["d", "c", "b", "a"]
    made.fit(X, np.array(list("zyxw"))[y])
    assert made.classes_.tolist() == ["w", "x", "y", "z"]
    again = classifier().fit(X, np.array(list("zyxw"))[y])
    helpers.same_state(helpers.whole(made.learner_), helpers.whole(again.learner_))


def test_announced_classes_are_not_answered_before_they_come():
    X, y = blobs()
    made = classifier().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2, 3])
    assert made.classes_.tolist() == [0, 1, 2, 3]
    assert (made.predict_proba(X)[:, 2:] == 0).all()
    assert set(made.predict(X)) <= {0, 1}
    made.partial_fit(X[y >= 2], y[y >= 2])
    assert set(made.predict(X)) >= {2, 3}


@pytest.mark.parametrize("labels", [[True, False], [3.0, 1.0], [-1, 7], ["a", ""]])
def test_labels_of_any_kind(labels):
    X, y = blobs(classes=2)
    made = classifier(epochs=10).fit(X, np.array(labels)[y])
    assert made.score(X, np.array(labels)[y]) == 1
    assert made.predict(X).dtype == np.array(labels).dtype


def test_a_whole_number_is_the_same_class_as_a_float():
    X, y = blobs(classes=2)
    made = classifier().partial_fit(X, y).partial_fit(X, y + 1.0)
    assert made.classes_.tolist() == [0, 1, 2]
    assert len(made.learner_.classes) == 3


# ---- streams without tasks
def test_free_calls_go_on_with_one_stream(backend):
    X, y = blobs(64)
    whole = classifier(free=True, epochs=None).partial_fit(X, y)
    parts = classifier(free=True, epochs=None).partial_fit(X[:32], y[:32]).partial_fit(X[32:], y[32:])
    assert parts.met_ == 64
    mean, _ = parts.scales_["x"]
    np.testing.assert_array_equal(mean, X[:32].mean(0))
    plain = {"free": True, "epochs": None, "scale": False}
    whole = classifier(**plain).partial_fit(X, y)
    parts = classifier(**plain).partial_fit(X[:32], y[:32]).partial_fit(X[32:], y[32:])
    np.testing.assert_array_equal(helpers.theta(parts.learner_), helpers.theta(whole.learner_))
    told = classifier(scale=False).partial_fit(X, y)
    assert not np.array_equal(helpers.theta(told.learner_), helpers.theta(whole.learner_))


def test_free_refuses_what_needs_tasks():
    X, y = blobs()
    with pytest.raises(ll.LifelongError, match="ewc does not work in the 'free'"):
        classifier(method="ewc", free=True, epochs=None).fit(X, y)
    with pytest.raises(ll.LifelongError, match="one pass"):
        classifier(free=True).fit(X, y)


# ---- scaling
def test_scaling_is_that_of_the_first_call():
    X, y = blobs()
    made = classifier().partial_fit(X[:30], y[:30])
    before = made.scales_["x"]
    np.testing.assert_allclose(before[1], X[:30].std(0))
    made.partial_fit(1000 + X[30:], y[30:])
    np.testing.assert_array_equal(made.scales_["x"][0], X[:30].mean(0))
    by_hand = classifier(scale=False).partial_fit((X[:30] - X[:30].mean(0)) / X[:30].std(0), y[:30])
    other = classifier().partial_fit(X[:30], y[:30])
    np.testing.assert_array_equal(helpers.theta(other.learner_), helpers.theta(by_hand.learner_))


def test_a_constant_column_is_no_division_by_zero():
    X, y = blobs()
    X[:, 2] = 4
    made = classifier().fit(X, y)
    assert made.scales_["x"][1][2] == 1
    assert np.isfinite(made.predict_proba(X)).all()


def test_pixels_stay_pixels_and_images_keep_their_shape():
    data = helpers.dataset()
    made = classifier(model="cnn:4", epochs=10).fit(data.train.x, data.train.y)
    assert made.scales_ == {}
    assert made.learner_.inputs.dtype == np.uint8
    assert made.score(data.test.x, data.test.y) > 0.9
    with pytest.raises(ll.LifelongError, match="takes"):
        made.predict(data.test.x[:, :, :5])


# ---- regression
@pytest.mark.parametrize("outputs", [None, 1, 3])
def test_regression(backend, outputs):
    X, y = numbers(outputs=outputs)
    made = regressor(epochs=60).fit(X, y)
    assert made.predict(X).shape == y.shape
    assert made.score(X, y) > 0.8
    np.testing.assert_allclose(made.scales_["y"][0], y.mean(0))


def test_regression_goes_on_and_replay_keeps_the_past():
    X, _ = numbers(120)
    low, y = X[:, 0] < 5, 100 * np.abs(X[:, 0] - 5)
    scores = {}
    for method in ("naive", "er"):
        made = regressor(method=method, epochs=60, memory=60).partial_fit(X[low], y[low])
        scores[method] = made.partial_fit(X[~low], y[~low]).score(X[low], y[low])
    assert scores["er"] > scores["naive"] + 0.05


def test_regression_says_what_is_wrong():
    X, y = numbers(outputs=2)
    made = regressor().fit(X, y)
    with pytest.raises(ll.LifelongError, match=r"targets \[60\]: it learned from \[n, 2\]"):
        made.partial_fit(X, y[:, 0])
    with pytest.raises(ll.LifelongError, match="float32"):
        regressor(scale=False).fit(X * 1e200, y)
    with pytest.raises(ll.LifelongError, match="does not work"):
        regressor(method="icarl").fit(X, y)


# ---- copies and files
def copies(made, path):
    made.save(path)
    return {
        "pickle": pickle.loads(pickle.dumps(made)),
        "deepcopy": copy.deepcopy(made),
        "file": type(made).load(path),
    }


@pytest.mark.parametrize("method", ["er+ewc", "icarl", "der++", "si", "gem"])
def test_a_copy_goes_on_exactly_as_the_original(backend, method, tmp_path):
    if backend == "tensorflow" and method not in ("er+ewc", "der++"):
        pytest.skip("one trace is enough")
    X, y = blobs()
    labels = np.array(["wren", "ant", "cat", "bee"])[y]
    made = classifier(method=method).partial_fit(X[y < 2], labels[y < 2])
    made.partial_fit(X[y == 2], labels[y == 2])
    others = copies(made, tmp_path / "a.safetensors")
    made.partial_fit(X[y != 2], labels[y != 2])
    for other in others.values():
        assert other.get_params() == made.get_params()
        other.partial_fit(X[y != 2], labels[y != 2])
        helpers.same_state(helpers.whole(other.learner_), helpers.whole(made.learner_))
        assert other.classes_.tolist() == made.classes_.tolist()
        np.testing.assert_array_equal(other.predict_proba(X), made.predict_proba(X))


def test_a_copied_regressor_goes_on_exactly(tmp_path):
    X, y = numbers(outputs=2)
    made = regressor().partial_fit(X[:30], y[:30])
    others = copies(made, tmp_path / "a.safetensors")
    made.partial_fit(X[30:], y[30:])
    for other in others.values():
        other.partial_fit(X[30:], y[30:])
        np.testing.assert_array_equal(other.predict(X), made.predict(X))


def test_a_learner_is_copied_with_its_own_model():
    data = helpers.stream()
    made = helpers.learner("er", helpers.own(helpers.Dropping))
    made.learn(data[0])
    other = copy.deepcopy(made)
    made.learn(data[1])
    before = helpers.whole(other)
    assert before[1]["position"]["task"] == 1
    other.learn(data[1])
    helpers.same_state(helpers.whole(other), helpers.whole(made))
    fresh = pickle.loads(pickle.dumps(helpers.learner("ewc")))
    assert fresh.inputs is None
    assert fresh.method.name == "ewc"


def test_arguments_that_are_objects_are_saved_too(tmp_path):
    X, y = blobs()
    made = classifier(method=ll.ER(30) + ll.EWC(5.0), model=ll.models.mlp(9), optimizer=ll.SGD(0.05))
    made.fit(X, y)
    made.save(tmp_path / "a.safetensors")
    read = ll.LifelongClassifier.load(tmp_path / "a.safetensors")
    assert read.optimizer == ll.SGD(0.05)
    assert read.model == ll.models.mlp(9)
    assert [vars(p)["capacity"] for p in read.method if p.name == "er"] == [30]
    read.fit(X, y)
    helpers.same_state(helpers.whole(read.learner_), helpers.whole(made.learner_))
    assert (ll.load(tmp_path / "a.safetensors").predict(np.zeros((1, 5), np.float32))).shape == (1,)
    with pytest.raises(ll.LifelongError, match="holds no LifelongRegressor"):
        ll.LifelongRegressor.load(tmp_path / "a.safetensors")


@pytest.mark.skipif(not find_spec("skops"), reason="skops is not installed")
def test_skops_keeps_all(tmp_path):
    import skops.io

    X, y = blobs()
    made = classifier(method="er+ewc").partial_fit(X[y < 2], y[y < 2])
    held = skops.io.dumps(made)
    trusted = skops.io.get_untrusted_types(data=held)
    assert sorted(trusted) == ["lifelong.classifier.LifelongClassifier", "lifelong.learner.Learner"]
    other = skops.io.loads(held, trusted=trusted)
    for each in (made, other):
        each.partial_fit(X[y >= 2], y[y >= 2])
    helpers.same_state(helpers.whole(other.learner_), helpers.whole(made.learner_))


# ---- in scikit-learn's company
def test_clone_pipeline_and_grid_search():
    X, y = load_iris(return_X_y=True)
    made = classifier(method=ll.ER(50), epochs=5)
    assert clone(made.fit(X, y)).get_params()["method"].capacity == 50
    assert not hasattr(clone(made), "learner_")
    pipeline = make_pipeline(StandardScaler(), classifier(scale=False, epochs=20, lr=0.01))
    assert pipeline.fit(X, y).score(X, y) > 0.9
    search = GridSearchCV(classifier(epochs=10), {"lr": [1e-6, 0.01]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 0.01}
    X, y = load_diabetes(return_X_y=True)
    search = GridSearchCV(regressor(epochs=3), {"lr": [1e-6, 0.01]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 0.01}


def test_random_state_is_the_seed_or_the_source_of_one():
    X, y = blobs()
    assert classifier(random_state=5).fit(X, y).learner_.seed == 5
    drawn = [classifier(random_state=np.random.RandomState(1)).fit(X, y).learner_.seed for _ in "ab"]
    assert drawn[0] == drawn[1]
    seeds = {classifier(random_state=None).fit(X, y).learner_.seed for _ in range(3)}
    assert len(seeds) > 1


def test_memory_is_that_of_every_part_that_stores():
    X, y = blobs()
    made = classifier(method="er+ewc", memory="5/class").fit(X, y)
    assert len(made.learner_.memories[0]) == 20
    assert len(classifier(method="er", memory=None).fit(X, y).learner_.memories[0]) == 60
    with pytest.raises(ll.LifelongError, match="epochs=0"):
        classifier(epochs=0).fit(X, y)
    with pytest.raises(ll.LifelongError, match="unknown method"):
        classifier(method="err").fit(X, y)


def test_the_example_in_the_docs_is_true():
    assert doctest.testmod(importlib.import_module("lifelong.classifier")).failed == 0


# --- what fails has not happened ----------------------------------------------------------------


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_call_that_fails_has_not_happened(optimizer, free, backend):
    X, y = blobs()
    options = {"optimizer": optimizer, "precision": "float32", "free": free}
    options |= {"epochs": None} if free else {}
    clf, straight = classifier(**options), classifier(**options)
    for each in (clf, straight):
        each.partial_fit(X[:40], y[:40] % 3)
    before, scores = helpers.whole(clf.learner_), clf.decision_function(X)
    beyond = X[:40].copy()
    beyond[7, 2] = 1e25
    failing = [(beyond, "row 7")] + (
        [(X[:40] * 1e17, "no longer finite")] if free and optimizer == "sgd" else []
    )
    for spoiled, message in failing:
        with pytest.raises(ll.LifelongError, match=message):
            clf.partial_fit(spoiled, y[:40] % 3 + 1)  # a class that is new, too
        assert clf.classes_.tolist() == clf.learner_.columns_of(clf.names_).tolist() == [0, 1, 2]
        helpers.same_state(before, helpers.whole(clf.learner_))
        assert (clf.decision_function(X) == scores).all()
    with pytest.raises(ll.LifelongError, match="labels of one kind"):
        clf.fit(X, np.array([None, *y[1:]]))
    assert (clf.decision_function(X) == scores).all()
    for each in (clf, straight):
        each.partial_fit(X[40:], y[40:])
    assert (clf.decision_function(X) == straight.decision_function(X)).all()


def test_a_regressors_call_that_fails_has_not_happened():
    X, y = numbers()
    reg = regressor().fit(X, y)
    before = reg.predict(X)
    for spoiled in (np.where(np.arange(60) == 9, 1e300, y), np.full(60, 1e200)):
        with pytest.raises(ll.LifelongError, match=r"beyond float32 in row|no longer finite"):
            reg.partial_fit(X, spoiled)
        assert (reg.predict(X) == before).all()
    with pytest.raises(ll.LifelongError):
        regressor().fit(X, np.full(60, 1e308))


def test_a_call_that_fails_first_leaves_nothing():
    X, y = blobs()
    clf = classifier(scale=False, precision="float32")
    with pytest.raises(ll.LifelongError, match="row 3"):
        clf.partial_fit(np.where((np.arange(60) == 3)[:, None], 1e30, X), y)
    assert not [name for name in vars(clf) if name.endswith("_")]


def test_columns_that_are_nearly_constant_are_not_blown_up():
    rng = np.random.default_rng(0)
    X = np.c_[1e6 + rng.normal(0, 1e-3, 40), 3.0 + rng.normal(0, 1, 40), np.full(40, 7.0)]
    clf = classifier().fit(X, np.arange(40) % 2)
    assert clf.scales_["x"][1].tolist() == [X[:, 0].mean() / 100, X[:, 1].std(), 1.0]


def test_a_file_whose_content_was_altered_is_refused(tmp_path):
    from lifelong.files import read_arrays, write_arrays

    X, y = blobs()
    classifier().fit(X, y).save(tmp_path / "a")
    arrays, whole = read_arrays(tmp_path / "a")
    known = whole["extra"]["known"]
    altered = {
        "met_": [None, -1, "x", 1.5],
        "names_": [[], ["0", "1"], [1, 2, 3, 4], None],
        "classes_": [None, {"dtype": "<i8", "values": [0, 0, 1, 2]}, {"dtype": "V8", "values": []}],
        "scales_": [{"dict": []}, {"dict": [["x", 3]]}, None, {"dict": [["x", {"tuple": [1.0, 0.0]}]]}],
        "n_features_in_": [4, "x"],
    }
    for name, values in altered.items():
        for value in values:
            spoiled = copy.deepcopy(whole)
            spoiled["extra"]["known"] = known | {name: value}
            write_arrays(tmp_path / "b", arrays, spoiled)
            with pytest.raises(ll.LifelongError, match="damaged or was not written by lifelong"):
                ll.LifelongClassifier.load(tmp_path / "b")
    for name in known:
        if name != "n_features_in_":
            spoiled = copy.deepcopy(whole)
            del spoiled["extra"]["known"][name]
            write_arrays(tmp_path / "b", arrays, spoiled)
            with pytest.raises(ll.LifelongError, match="damaged or was not written by lifelong"):
                ll.LifelongClassifier.load(tmp_path / "b")
    spoiled = copy.deepcopy(whole)
    spoiled["extra"]["known"]["predict"] = 3
    write_arrays(tmp_path / "b", arrays, spoiled)
    with pytest.raises(ll.LifelongError, match="damaged or was not written by lifelong"):
        ll.LifelongClassifier.load(tmp_path / "b")


@pytest.mark.parametrize("backend", helpers.BACKENDS)
def test_one_row_for_batch_norm_is_one_clear_line(backend):
    images = np.random.default_rng(0).integers(0, 255, (9, 6, 6, 3)).astype(np.uint8)
    made = ll.LifelongClassifier("naive", model="resnet18:2", epochs=1, backend=backend)
    made.partial_fit(images[:8], list("abababab"))
    with pytest.raises(ll.LifelongError, match="batch norm cannot learn from one row alone"):
        made.partial_fit(images[8:], ["c"])
    assert made.partial_fit(images[:2], ["a", "c"]).classes_.tolist() == ["a", "b", "c"]
