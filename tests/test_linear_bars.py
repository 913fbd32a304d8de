"""Learners that no order can change: against scikit-learn, their own joint fit, and merged shards."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import naive_bayes
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from lifelong import LifelongError
from lifelong.linear import (
    AROW,
    CW,
    PA1,
    ComplementNB,
    HashingText,
    MultinomialNB,
    NearestClassMean,
    RecursiveRidge,
    Replay,
    StreamingLDA,
    TextClassifier,
    load,
    make,
    merge,
    sums,
)  # fmt: skip

LEARNERS = [
    MultinomialNB(),
    ComplementNB(),
    ComplementNB(norm=True),
    NearestClassMean(),
    NearestClassMean(metric="cosine"),
    NearestClassMean(metric="cosine", idf=2),
    StreamingLDA(),
    RecursiveRidge(),
    RecursiveRidge(features=20),
]
every = pytest.mark.parametrize("learner", LEARNERS, ids=repr)


@parametrize_with_checks(LEARNERS)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def counts(seed=0, n=300, d=12, classes=4):
    """Counts ``[n, d]`` of features that each class has at rates of its own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    rates = rng.gamma(1.0, 2.0, (classes, d))
    return rng.poisson(rates[y]).astype(float), y


def same(a, b, X):
    """Whether two learners hold the same sums and score alike, to rounding."""
    order = [b.classes_.tolist().index(label) for label in a.classes_.tolist()]
    mine, other = a.sums(), b.sums()
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        held = other[name] if name in a.shared else other[name][order]
        value, held = (v.toarray() if sp.issparse(v) else v for v in (value, held))
        np.testing.assert_allclose(value, held, rtol=1e-12, atol=1e-12 * np.abs(value).max())
    np.testing.assert_allclose(a.scores(X), b.scores(X)[:, order], rtol=1e-8, atol=1e-8)


# ---- no order, no batching
@every
@pytest.mark.parametrize("seed", range(3))
def test_no_order_and_no_batching_changes_anything(learner, seed):
    X, y = counts(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    whole, parted = copy.deepcopy(learner).fit(X, y), copy.deepcopy(learner)
    for rows in np.split(order, np.sort(rng.choice(len(y), 40, replace=False))):
        if len(rows):
            parted.partial_fit(X[rows], y[rows])
    same(whole, parted, X)


@every
def test_classes_one_after_another_are_learned_as_all_at_once(learner):
    X, y = counts()
    order = np.argsort(y, kind="stable")
    parted = copy.deepcopy(learner)
    for c in range(4):
        parted.partial_fit(X[order][y[order] == c], y[order][y[order] == c])
        parted.predict(X)  # what is kept of a prediction must not outlive it
    same(copy.deepcopy(learner).fit(X, y), parted, X)


@every
def test_sparse_rows_are_learned_as_dense_ones(learner):
    X, y = counts()
    same(copy.deepcopy(learner).fit(X, y), copy.deepcopy(learner).fit(sp.csr_array(X), y), X)


@every
def test_merged_shards_are_the_whole(learner):
    X, y = counts()
    shards = [copy.deepcopy(learner).fit(X[y < 3][k::3], y[y < 3][k::3]) for k in range(3)]
    shards.append(copy.deepcopy(learner).fit(X[y >= 2], y[y >= 2]))  # other classes
    rows = np.concatenate([np.flatnonzero(y < 3), np.flatnonzero(y >= 2)])
    before = shards[0].scores(X)
    same(copy.deepcopy(learner).fit(X[rows], y[rows]), merge(*shards), X)
    np.testing.assert_array_equal(shards[0].scores(X), before)


@every
def test_what_all_went_on_from_counts_once(learner):
    X, y = counts()
    base = copy.deepcopy(learner).fit(X[:100], y[:100])
    shards = [base.copy().partial_fit(X[100 + k :: 2], y[100 + k :: 2]) for k in range(2)]
    same(copy.deepcopy(learner).fit(X, y), merge(*shards, base=base), X)
    with pytest.raises(LifelongError, match="base knows what was not merged"):
        merge(*[copy.deepcopy(learner).fit(X[:20], y[:20])] * 2, base=base)


@every
def test_saved_loaded_and_copied_it_goes_on_alike(learner, tmp_path):
    X, y = counts()
    first = copy.deepcopy(learner).fit(X[:150], y[:150])
    first.predict(X)
    first.save(tmp_path / "model.safetensors")
    for other in (load(tmp_path / "model.safetensors"), first.copy()):
        np.testing.assert_array_equal(other.scores(X), first.scores(X))
        other.partial_fit(X[150:], y[150:])
        same(other, copy.deepcopy(learner).fit(X, y), X)
    assert first.sums()["examples"].sum() == 150


def test_options_that_only_predictions_read_may_be_changed_afterwards():
    X, y = counts()
    learner = RecursiveRidge(1.0).fit(X, y)
    learner.predict(X)
    np.testing.assert_array_equal(
        learner.set_params(alpha=50.0).scores(X), RecursiveRidge(50.0).fit(X, y).scores(X)
    )


def test_rows_rehearsed_are_not_counted_again():
    X, y = counts()
    learner = MultinomialNB().fit(X, y)
    before = learner.scores(X)
    np.testing.assert_array_equal(learner.rehearse(X[:50], y[:50]).scores(X), before)
    again = Replay(MultinomialNB(), memory=20).fit(X, y)
    np.testing.assert_allclose(again.scores(X), before, rtol=1e-12)


def test_a_class_announced_and_never_seen_is_never_predicted():
    X, y = counts()
    for learner in (copy.deepcopy(learner) for learner in LEARNERS):
        learner.partial_fit(X, y, classes=[0, 1, 2, 3, 9])
        assert 9 in learner.classes_
        assert 9 not in learner.predict(X)


def test_a_small_batch_does_not_pass_over_the_table(monkeypatch):
    """1,000 batches of one row each: what is added up is far less than the table 1,000 times."""
    rng, sizes = np.random.default_rng(0), []
    heaped = sums.heaped

    def watched(parts, new):
        result = heaped(parts, new)
        sizes.append(result[-1].nnz)
        return result

    monkeypatch.setattr(sums, "heaped", watched)
    learner = MultinomialNB()
    rows = sp.random_array(
        (1000, 1 << 20), density=2e-5, rng=rng, format="csr", data_sampler=lambda size: np.ones(size)
    )
    for i in range(1000):
        learner.partial_fit(rows[[i]], [i % 7])
    table = learner.sums()["counts"].nnz
    assert sum(sizes) < 20 * table
    assert all(
        a.nnz > 2 * b.nnz for a, b in zip(*[learner.sums_["counts"][k:] for k in (0, 1)], strict=False)
    )


# ---- as scikit-learn has them
@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_naive_bayes_is_scikit_learns(alpha):
    X, y = counts()
    mine, other = MultinomialNB(alpha).fit(X, y), naive_bayes.MultinomialNB(alpha=alpha).fit(X, y)
    np.testing.assert_array_equal(mine.predict(X), other.predict(X))
    order = np.argsort(mine.classes_)
    np.testing.assert_allclose(
        mine.predict_log_proba(X)[:, order], other.predict_log_proba(X), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        mine.predict_proba(X)[:, order], other.predict_proba(X), rtol=1e-9, atol=1e-12
    )
    for norm in (False, True):
        mine = ComplementNB(alpha, norm).fit(X, y)
        other = naive_bayes.ComplementNB(alpha=alpha, norm=norm).fit(X, y)
        scores = other.predict_joint_log_proba(X)
        np.testing.assert_allclose(mine.scores(X)[:, order], scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shrinkage", [1e-4, 0.3, 1.0])
def test_lda_is_scikit_learns(shrinkage):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    X = rng.normal(size=(200, 6)) * np.arange(1, 7) + 2 * rng.normal(size=(3, 6))[y]
    mine = StreamingLDA(shrinkage, fit_prior=True).fit(X, y)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, y)
    order = np.argsort(mine.classes_)
    np.testing.assert_allclose(
        mine.scores(X)[:, order], other.decision_function(X), rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(mine.predict_proba(X)[:, order], other.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 30.0])
@pytest.mark.parametrize("features", [None, 25])
def test_ridge_is_scikit_learns_on_indicators(alpha, features):
    X, y = counts()
    mine = RecursiveRidge(alpha, features, seed=3).fit(X, y)
    H = X if features is None else np.maximum(X @ mine.projection_, 0)
    other = Ridge(alpha).fit(H, np.eye(4)[y])
    order = np.argsort(mine.classes_)
    np.testing.assert_allclose(mine.scores(X)[:, order], other.predict(H), rtol=1e-8, atol=1e-8)


def test_the_nearest_mean_by_hand():
    """Euclidean: the distances themselves; with idf: weights of all documents, not of those before."""
    X, y = counts()
    mine = NearestClassMean().fit(X, y)
    means = np.stack([X[y == c].mean(0) for c in mine.classes_])
    distances = ((X[:, None] - means) ** 2).sum(2)
    np.testing.assert_array_equal(mine.predict(X), mine.classes_[distances.argmin(1)])

    def unit(rows):
        return rows / np.sqrt((rows**2).sum(-1, keepdims=True))

    mine = NearestClassMean("cosine", idf=2).fit(X, y)
    idf = (np.log((1 + len(X)) / (1 + (X > 0).sum(0))) + 1) ** 2
    means = unit(idf * np.stack([unit(np.log1p(X[y == c])).mean(0) for c in mine.classes_]))
    np.testing.assert_allclose(mine.scores(X), unit(idf * np.log1p(X)) @ means.T, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streaming_lda_of_a_point_a_class(dtype):
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(dtype)
    learner = StreamingLDA().partial_fit(x[:1], ["u"]).partial_fit(x[1:], ["d"])
    assert learner.predict(x).tolist() == ["u", "d"]


# ---- refusals
@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (MultinomialNB(alpha=0), "alpha=0"),
        (ComplementNB(alpha=-1), "alpha=-1"),
        (NearestClassMean("manhattan"), "manhattan"),
        (NearestClassMean(idf=1), "metric='cosine'"),
        (NearestClassMean("cosine", idf=-1), "idf=-1"),
        (StreamingLDA(0.0), "shrinkage=0.0"),
        (StreamingLDA(1.5), "shrinkage=1.5"),
        (RecursiveRidge(alpha=0), "alpha=0"),
        (RecursiveRidge(features=0), "features=0"),
        (RecursiveRidge(features=20000), "at most 16384 features"),
        (TextClassifier("slda"), "at most 4096 features, not 1048576: hash texts"),
        (TextClassifier("ridge"), "at most 16384 features, not 1048576: hash texts"),
    ],
    ids=repr,
)
def test_hyper_parameters_that_cannot_be(learner, words):
    with pytest.raises(LifelongError, match=words):
        learner.checked()


def test_negative_counts_are_refused():
    for learner in (MultinomialNB(), ComplementNB(), NearestClassMean("cosine", idf=2)):
        with pytest.raises(LifelongError, match="Negative values"):
            copy.deepcopy(learner).fit([[1.0, -1.0], [0.0, 1.0]], [0, 1])


# ---- merging the online learners
def posterior(learners, base=None):
    """(mean, variance) of the product of Gaussians without the base's in all but one, in float64."""
    n = len(learners)
    shared, moment = (1.0, 0.0) if base is None else (1 / base.variance_, base.mean_ / base.variance_)
    precision = sum(1 / k.variance_ for k in learners) - (n - 1) * shared
    return (sum(k.mean_ / k.variance_ for k in learners) - (n - 1) * moment) / precision, 1 / precision


@pytest.mark.parametrize("kind", [AROW, CW])
@pytest.mark.parametrize("classes", [2, 4])
def test_gaussians_are_multiplied(kind, classes):
    X, y = counts(n=120, classes=classes)
    X += 0.1  # so that all meet all features in one order
    first = np.concatenate([np.flatnonzero(y == c)[:4] for c in range(classes)])  # all classes, in order
    shards = []
    for k in range(3):
        rows = np.concatenate([first[k::4], np.arange(k, 120, 3)])
        shards.append(kind(dtype="float64").partial_fit(X[rows], y[rows], classes=range(classes)))
    whole = merge(*shards)
    mean, variance = posterior(shards)
    np.testing.assert_allclose(whole.mean_, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(whole.variance_, variance, rtol=1e-12)
    assert whole.examples_ == sum(k.examples_ for k in shards)
    base = shards[0]
    parts = [base.copy().partial_fit(X[k::2], y[k::2]) for k in range(2)]
    mean, variance = posterior(parts, base)
    whole = merge(*parts, base=base)
    np.testing.assert_allclose(whole.mean_, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(whole.variance_, variance, rtol=1e-12)
    assert whole.examples_ == sum(k.examples_ for k in parts) - base.examples_


def test_full_gaussians_are_multiplied():
    X, y = counts(n=60, d=4, classes=2)
    make_one = {"covariance": "full", "dtype": "float64"}
    parts = [AROW(**make_one).partial_fit(X[k::2], y[k::2], classes=[0, 1]) for k in range(2)]
    whole = merge(*parts)
    known = [np.linalg.inv(k.covariance_[0]) for k in parts]
    precision = known[0] + known[1] - np.eye(5)
    moment = sum(p @ k.mean_[:, 0] for p, k in zip(known, parts, strict=True))
    np.testing.assert_allclose(whole.covariance_[0], np.linalg.inv(precision), atol=1e-12)
    np.testing.assert_allclose(whole.mean_[:, 0], np.linalg.solve(precision, moment), atol=1e-12)
    assert whole.partial_fit(X, y).score(X, y) > 0.9
    third = AROW(**make_one).partial_fit(X, y + 1)  # a third class: one vector becomes two
    assert set(merge(whole, third).predict(X)) <= {0, 1, 2}


def test_weights_are_averaged_by_examples():
    X, y = counts(n=90, classes=3)
    X += 0.1
    a, b = (
        PA1(dtype="float64").partial_fit(X[rows], y[rows], classes=range(3))
        for rows in (slice(0, 30), slice(30, 90))
    )
    np.testing.assert_allclose(merge(a, b).mean_, (a.mean_ + 2 * b.mean_) / 3, rtol=1e-12)
    more = a.copy().partial_fit(X[30:], y[30:])
    np.testing.assert_allclose(merge(more, base=a).mean_, more.mean_, rtol=1e-12)
    with pytest.raises(LifelongError, match="base knows"):
        merge(a, base=more)


@pytest.mark.parametrize("kind", [PA1, AROW])
def test_two_classes_met_in_another_order_are_the_same(kind):
    """The one vector of two classes points to the second: to the other one, where that came first."""
    X, y = counts(n=80, classes=2)
    names = np.array(["a", "b"])[y]
    one, other = (kind(dtype="float64") for _ in range(2))
    for learner, first, second in ((one, "a", "b"), (other, "b", "a")):
        learner.partial_fit(X[names == first][:1], [first]).partial_fit(X, names, classes=[second])
    np.testing.assert_array_equal(one.scores(X)[:, 1], -other.scores(X)[:, 1])
    np.testing.assert_allclose(merge(one, other).scores(X), merge(one, one).scores(X), rtol=1e-9)


@pytest.mark.parametrize("kind", [PA1, AROW, CW])
def test_shards_of_other_classes_and_features(kind):
    """Two classes in one, two others in the next: the vector of two becomes two, features are united."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    X = np.zeros((400, 8))
    X[np.arange(400), 2 * y + rng.integers(0, 2, 400)] = 1.0  # features of their own
    names = np.array(["a", "b", "c", "d"])[y]
    shards = [kind(intercept=False).fit(sp.csr_array(X[m]), names[m]) for m in (y < 2, y >= 2)]
    whole = merge(*shards)
    assert set(whole.classes_) == set("abcd")
    assert (whole.slot_ >= 0).all()
    assert whole.score(X, names) == 1.0
    for shard, m in zip(shards, (y < 2, y >= 2), strict=True):
        places = [whole.classes_.tolist().index(c) for c in shard.classes_]
        np.testing.assert_array_equal(
            whole.scores(X[m])[:, places].argmax(1), shard.scores(X[m]).argmax(1)
        )
    whole.partial_fit(X, names)
    assert whole.score(X, names) == 1.0


# ---- texts
def corpus(seed=0, n=800, classes=5):
    """Texts of a few words of their class among many that are common."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    own = ([f"own{c}x{rng.integers(30)}" for _ in range(2)] for c in y)
    common = ([f"w{k}" for k in rng.integers(0, 200, 15)] for _ in y)
    texts = [" ".join([*a, *b]) for a, b in zip(own, common, strict=True)]
    return np.array(texts, object), np.array([f"class {c}" for c in y])


@pytest.mark.parametrize("name", ["cw", "arow"])
@pytest.mark.parametrize("weighting", ["binary", "tfidf"])
def test_shards_of_texts_lose_little(name, weighting):
    texts, y = corpus(n=2400)
    rows = HashingText(weighting, vocabulary=True)
    shards = [
        TextClassifier(make(name, weighting), rows).fit(texts[k:2000:4], y[k:2000:4]) for k in range(4)
    ]
    whole = merge(*shards)
    one = TextClassifier(make(name, weighting), rows).fit(texts[:2000], y[:2000])
    held = texts[2000:], y[2000:]
    assert whole.score(*held) > one.score(*held) - 0.05
    assert whole.score(*held) > np.mean([shard.score(*held) for shard in shards])
    np.testing.assert_array_equal(whole.vectorizer_.df_, one.vectorizer_.df_)
    assert whole.vectorizer_.names_ == one.vectorizer_.names_
    assert whole.vectorizer_.documents_ == one.vectorizer_.documents_


def test_texts_counted_before_count_once():
    texts, y = corpus(n=300)
    base = TextClassifier("arow").fit(texts[:100], y[:100])
    shards = [base.copy().partial_fit(texts[100 + k :: 2], y[100 + k :: 2]) for k in range(2)]
    whole = merge(*shards, base=base)
    one = TextClassifier("arow").fit(texts, y)
    np.testing.assert_array_equal(whole.vectorizer_.df_, one.vectorizer_.df_)
    assert whole.vectorizer_.documents_ == 300


def test_naive_bayes_of_texts_is_exact_in_any_order():
    texts, y = corpus(n=300)
    for name in ("nb", "cnb", "ncm"):
        whole = TextClassifier(name).fit(texts, y)
        shards = [TextClassifier(name).fit(texts[y == c], y[y == c]) for c in np.unique(y)]
        np.testing.assert_array_equal(merge(*shards).predict(texts), whole.predict(texts))
        order = [merge(*shards).classes_.tolist().index(c) for c in whole.classes_]
        np.testing.assert_allclose(
            merge(*shards).scores(texts)[:, order], whole.scores(texts), rtol=1e-10
        )


def test_what_cannot_be_merged():
    X, y = counts()
    nb = MultinomialNB().fit(X, y)
    for others, words in [
        ((), "nothing to merge"),
        ((nb, ComplementNB().fit(X, y)), "MultinomialNB cannot take in ComplementNB"),
        ((nb, MultinomialNB(0.5).fit(X, y)), "made otherwise"),
        ((nb, MultinomialNB().fit(X[:, 1:], y)), "other features"),
        ((Replay("arow").fit(X, y),), "Replay cannot be merged"),
    ]:
        with pytest.raises(LifelongError, match=words):
            merge(*others)
