"""Rows are known by the ids that their caller gives, and forgotten by them."""

import numpy as np
import pytest

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.linear import LASVM, IncrementalSVC, KeepSupport, Replay, TextClassifier, load
from lifelong.linear.defaults import LEARNERS, make

KEEPERS = {
    "exact": lambda: IncrementalSVC(gamma=0.5),
    "lasvm": lambda: LASVM(gamma=0.5),
    "keep": lambda: KeepSupport(gamma=0.5),
    "replay": lambda: Replay("slda", memory=1000, batch=4),
    "replay of an svm": lambda: Replay(LASVM(gamma=0.5), memory=1000, batch=4),
}


def blobs(n, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, 4)) + 2 * np.eye(classes, 4)[y], y


def state(learner, path):
    """The bytes of its file."""
    learner.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", KEEPERS)
def test_rows_keep_the_ids_that_are_given(name):
    X, y = blobs(40)
    ids = 7 + 3 * np.random.default_rng(1).permutation(40)
    learner = KEEPERS[name]().partial_fit(X[:25], y[:25], ids=ids[:25])
    learner.progress(X[25:], y[25:], ids=ids[25:])
    by_id = dict(zip(ids.tolist(), X, strict=True))
    inside = learner.learner_ if isinstance(learner, Replay) else learner
    if isinstance(learner, Replay):
        assert sorted(learner.memory_.samples.id) == sorted(ids)
        for id_, x in zip(learner.memory_.samples.id, learner.memory_.samples.x, strict=True):
            assert np.array_equal(by_id[id_], x)
    if inside.keeps_rows:
        assert len(inside.ids_) == len(inside.codes_) > 2
        for id_, x in zip(inside.ids_, inside.X_, strict=False):
            assert np.array_equal(by_id[id_], x)


@pytest.mark.parametrize("name", KEEPERS)
def test_ids_that_are_not_given_are_counted_on_from_the_largest(name):
    X, y = blobs(30)
    learner = KEEPERS[name]().partial_fit(X[:10], y[:10])
    assert set(learner._held()) <= set(range(10))
    learner.partial_fit(X[10:20], y[10:20], ids=np.arange(50, 60))
    learner.partial_fit(X[20:], y[20:])
    assert learner.next_id_ == 70
    assert learner._held().max() >= 60
    assert not np.isin(np.arange(10, 50), learner._held()).any()


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([3, 3], "id 3 is given twice"),
        ([-1, 4], "id -1: give whole numbers from 0"),
        ([1.0, 2.0], "whole numbers"),
        ([True, False], "whole numbers"),
        (["a", "b"], "whole numbers"),
        ([2**63, 1], "to 9223372036854775807"),
        ([2**70, 1], "id 1180591620717411303424"),
        ([1], "give one a row"),
        ([[1, 2]], "give one a row"),
        ([4, 1], "is held already"),
    ],
)
def test_ids_that_cannot_be_are_refused_and_nothing_changes(name, ids, words, tmp_path):
    X, y = blobs(12)
    learner = KEEPERS[name]().partial_fit(X[:10], y[:10])
    if "held" in words:
        ids = [1000, int(learner._held()[0])]
    before = state(learner, tmp_path / "before")
    for call in (learner.partial_fit, learner.progress):
        with pytest.raises(LifelongError, match=words):
            call(X[10:], y[10:], ids=ids)
    assert state(learner, tmp_path / "after") == before


def test_an_id_may_be_as_large_as_int64_allows():
    X, y = blobs(12)
    largest = np.iinfo(np.int64).max
    svm = IncrementalSVC().partial_fit(X[:2], [0, 1], ids=[largest, 5])
    with pytest.raises(LifelongError, match="no 1 ids are left"):
        svm.partial_fit(X[2:3], y[2:3])
    assert svm.partial_fit(X[2:3], y[2:3], ids=[0]).forget([largest]) == 1
    assert sorted(svm.ids_) == [0, 5]


@pytest.mark.parametrize("name", KEEPERS)
def test_forgetting_counts_what_was_held_and_takes_it_out(name, tmp_path):
    X, y = blobs(60, classes=3)
    learner = KEEPERS[name]().partial_fit(X, y, ids=np.arange(100, 160))
    held = learner._held()
    gone = np.unique(held)[::3]
    assert learner.forget([*gone, *gone[:2], 5, -3, 10**30]) == len(gone)
    assert not np.isin(gone, learner._held()).any()
    assert np.isin(np.setdiff1d(held, gone), learner._held()).any()
    assert learner.forget(gone) == 0
    again, other = load_of(learner, tmp_path), learner.copy()
    more, labels = blobs(20, 5, 3)
    for one in (learner, again, other):
        one.partial_fit(more, labels)
    assert np.array_equal(learner.scores(X), again.scores(X))
    assert np.array_equal(learner.scores(X), other.scores(X))
    assert learner.score(X, y) > 0.6
    learner.partial_fit(X[:1], y[:1], ids=gone[:1])  # its id is free again


def load_of(learner, folder):
    learner.save(folder / "learner")
    return load(folder / "learner")


@pytest.mark.parametrize("name", KEEPERS)
def test_the_last_rows_of_a_class_and_all_rows_can_go(name):
    X, y = blobs(40, classes=3)
    learner = KEEPERS[name]().partial_fit(X, y)
    learner.forget(np.flatnonzero(y == 2))
    assert len(learner.predict(X)) == 40
    learner.forget(np.flatnonzero(y == 1))
    assert np.isfinite(learner.scores(X)).all()
    learner.forget(range(1000))
    assert len(learner._held()) == 0
    assert np.isfinite(learner.scores(X)).all()
    learner.partial_fit(X, y)
    assert learner.score(X, y) > 0.6


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize("ids", [[1.5], ["a"], [True], [None], np.array([True] * 40)])
def test_what_is_no_id_is_refused(name, ids):
    X, y = blobs(40)
    learner = KEEPERS[name]().partial_fit(X, y)
    with pytest.raises(LifelongError, match="no whole numbers"):
        learner.forget(ids)


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_every_learner_takes_ids(name):
    X, y = blobs(30)
    learner, plain = make(name), make(name)
    learner.partial_fit(np.abs(X), y, ids=np.arange(30))
    plain.partial_fit(np.abs(X), y)
    learner.rehearse(np.abs(X[:5]), y[:5], ids=np.arange(5))
    plain.rehearse(np.abs(X[:5]), y[:5])
    assert np.array_equal(learner.scores(np.abs(X)), plain.scores(np.abs(X)))
    if not learner.keeps_rows:
        assert learner.forget([0, 1]) == 0
        with pytest.raises(LifelongError, match="given twice"):
            learner.partial_fit(np.abs(X[:2]), y[:2], ids=[1, 1])


def test_texts_are_known_by_ids():
    texts, y = ["red apple", "green pear", "blue car", "fast car"], [0, 0, 1, 1]
    learner = Replay(TextClassifier("cw"), memory=10).partial_fit(texts, y, ids=[4, 8, 15, 16])
    assert learner.forget([8, 16, 23]) == 2
    assert learner.memory_.samples.x.tolist() == ["red apple", "blue car"]
    assert TextClassifier("cw").partial_fit(texts, y, ids=[1, 2, 3, 4]).forget([1]) == 0


def test_exact_forgetting_is_as_if_never_seen():
    X, y = blobs(80, 3)
    svm = IncrementalSVC(gamma=0.5).partial_fit(X, y, classes=[0, 1], ids=np.arange(80) * 2)
    assert svm.forget(np.arange(40)) == 20
    never = IncrementalSVC(gamma=0.5).partial_fit(X[20:], y[20:], classes=[0, 1])
    assert np.abs(svm.decision_function(X) - never.decision_function(X)).max() <= 1e-9


def test_lasvm_is_at_the_optimum_of_what_it_holds_after_forgetting():
    X, y = blobs(200, 4, 3)
    svm = LASVM(gamma=0.5, tau=1e-6).partial_fit(X, y)
    svm.forget(svm.ids_[np.abs(svm.alpha_).sum(0).argsort()[-10:]])
    n = len(svm.ids_)
    K = svm._kernel(svm.X_[:n], svm.X_[:n])
    np.testing.assert_allclose(svm.alpha_.sum(1), 0, atol=1e-10)
    np.testing.assert_allclose(svm.g_, svm._signs(svm.codes_) - svm.alpha_ @ K, atol=1e-9)
    exact = IncrementalSVC(gamma=0.5).partial_fit(svm.X_[:n], svm.codes_, classes=[0, 1, 2])
    best = [machine.objective[0] for machine in exact.machines_]
    np.testing.assert_allclose(svm.objective, best, rtol=1e-4)


def test_keeping_support_vectors_trains_anew_on_what_is_left():
    X, y = blobs(120, 5)
    svm = KeepSupport(gamma=0.5).partial_fit(X, y, ids=np.arange(120))
    gone = svm.ids_[:7]
    left = ~np.isin(svm.ids_, gone)
    rows, codes = svm.X_[left], svm.codes_[left]
    assert svm.forget(gone) == 7
    anew = KeepSupport(gamma=0.5).partial_fit(rows, codes, classes=[0, 1])
    assert np.array_equal(svm.decision_function(X), anew.decision_function(X))


@pytest.mark.parametrize("kind", [LASVM, KeepSupport])
def test_rehearsed_rows_are_recognised_by_their_ids(kind):
    X, y = blobs(60, 6)
    X[1] = X[0]
    y[1] = y[0]
    svm = kind(gamma=0.5).partial_fit(X, y, ids=np.arange(60))
    held = svm.ids_.copy()
    before = svm.scores(X)
    svm.rehearse(X[held], y[held], ids=held)
    assert np.array_equal(svm.scores(X), before)
    svm.rehearse(X, y, ids=np.arange(60))
    assert len(np.unique(svm.ids_)) == len(svm.ids_)
    assert svm.ids_.max() < 60
    assert svm.next_id_ == 60


def test_a_file_without_ids_gets_them_and_goes_on(tmp_path):
    """As version 0.1.0 wrote it: rows less the first, numbers counted, no ids elsewhere."""
    X, y = blobs(50, 7)
    svm = IncrementalSVC(gamma=0.5).partial_fit(X, y)
    expected = svm.scores(X)
    vars(svm).update(X_=svm.X_[:50] - X[0], origin_=X[0], seen_=50)
    svm.squares_ = (svm.X_**2).sum(1)
    for name in ("centre_", "drift_", "next_id_"):
        del vars(svm)[name]
    svm.save(tmp_path / "old")
    svm = load(tmp_path / "old")
    np.testing.assert_allclose(svm.scores(X), expected, atol=1e-9)
    svm.remove([0]).partial_fit(X[:1] + 0.1, y[:1])
    assert svm.ids_.max() == 50
    assert not svm.centre_.any()

    for inside in (LASVM(gamma=0.5), KeepSupport(gamma=0.5)):
        both = Replay(inside, memory=20).partial_fit(X, y)
        shared = np.intersect1d(both.learner_.ids_, both.memory_.samples.id)
        ids = both.learner_.ids_.copy()
        for old in (both, both.learner_):
            del vars(old)["next_id_"]
        del vars(both.learner_)["ids_"]
        both.save(tmp_path / "old")
        both = load(tmp_path / "old")
        assert both.next_id_ == 50
        with pytest.raises(LifelongError, match="ids are not known"):
            both.forget([0])
        known = both.learner_.ids_ >= 0
        assert np.array_equal(np.sort(both.learner_.ids_[known]), shared)
        assert np.array_equal(both.learner_.ids_[known], ids[known])


def test_networks_forget_rows_of_their_memories_by_id(tmp_path):
    X, y = blobs(60, 8)
    options = {"method": "er", "memory": 30, "model": "mlp:8", "epochs": 2, "random_state": 0}
    net = ll.LifelongClassifier(**options).partial_fit(X[:30], y[:30], ids=np.arange(200, 230))
    net.partial_fit(X[30:], y[30:])
    held = net._held()
    assert len(held) == 30
    assert held.min() >= 200
    assert held.max() >= 230
    with pytest.raises(LifelongError, match="held already"):
        net.partial_fit(X[:1], y[:1], ids=held[:1])
    assert net.forget([*held[:5], 3]) == 5
    assert not np.isin(held[:5], net._held()).any()
    net.save(tmp_path / "net")
    again = ll.LifelongClassifier.load(tmp_path / "net")
    for one in (net, again):
        one.partial_fit(X[:10], y[:10])
    assert np.array_equal(net.predict_proba(X), again.predict_proba(X))
    numbers = ll.LifelongRegressor(**options).partial_fit(X, X[:, 0], ids=np.arange(60) + 9)
    held = numbers._held()
    assert numbers.forget([*held[:3], 1000]) == 3
    assert np.array_equal(numbers._held(), held[3:])
    plain, counted = (ll.LifelongRegressor(**options) for _ in range(2))
    plain.partial_fit(X, X[:, 0])
    counted.partial_fit(X, X[:, 0], ids=np.arange(60))
    assert np.array_equal(plain.predict(X), counted.predict(X))
