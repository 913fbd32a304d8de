"""Texts: hashing against a plain reading, idf that knows no future, replay, what is kept and shown."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from lifelong import LifelongError
from lifelong.linear import (
    AROW,
    CW,
    PA1,
    HashingText,
    Replay,
    TextClassifier,
    diff,
    explain,
    load,
    make,
)
from lifelong.linear.defaults import LEARNERS
from lifelong.spec import LINEAR

DOCS = [
    "The cat sat on the mat; the Cat purred!",
    "Dogs chase cats, dogs bark",
    "Ein Übermaß an Ärger – überall",
    "股市大涨 stocks up 5%",
    "",
    "a I x",
    "the dog and the cat",
]
HAN = "[\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
LETTER = rf"(?:(?!{HAN})[\w\u0300-\u036f\u0900-\u0903\u093a-\u094f])"  # accents and vowel signs too

SCRIPTS = (
    "abAB_9 .,-\nß股中é–、"
    "ℓⅧ²＿½①"  # letters, numbers and joiners among the symbols
    "のカー・ㄱ각Ａ０！"  # kana, the middle dot between them, Hangul, full width
    "سلام،؟٣हिन्दी।"  # Arabic and Devanagari: letters, vowel signs, punctuation, a digit
    "e\u0301\ufe0f\ufeff\u200b\u00ad☕😀👍🏽\U00020000"  # an accent, no width, emoji, rare Han
)


def words(text):
    """The tokens, read by regular expressions."""
    found = re.findall(rf"{HAN}|{LETTER}+", text.lower())
    return [w for w in found if len(w) > 1 or re.match(HAN, w)]


def grams(tokens, low, high):
    return Counter(
        " ".join(tokens[i : i + n]) for n in range(low, high + 1) for i in range(len(tokens) - n + 1)
    )


# ---- rows
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3)])
def test_words_are_counted_as_a_plain_reading_counts_them(ngrams):
    rows = HashingText("count", ngrams=ngrams, vocabulary=True)
    counts, names = rows.learn(DOCS), rows.names_
    for i, text in enumerate(DOCS):
        row = counts[[i]]
        told = {names[c]: v for c, v in zip(row.indices.tolist(), row.data.tolist(), strict=True)}
        plain = grams(words(text), *ngrams)
        assert sorted(told.values()) == sorted(plain.values())
        if ngrams == (1, 1):
            assert {name.lower(): v for name, v in told.items()} == dict(plain)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=SCRIPTS, max_size=30), min_size=1, max_size=5))
def test_any_text_gives_the_counts_of_a_plain_reading(texts):
    counts = HashingText("count").learn(texts)
    for i, text in enumerate(texts):
        assert sorted(counts[[i]].data.tolist()) == sorted(grams(words(text), 1, 1).values())


def test_the_most_tokens_that_a_text_can_have_find_room():
    """Two letters, an ideograph, two letters: five bytes hold two tokens."""
    pairs = [a + b for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz"]
    text = "".join(pair + chr(0x4E00 + i) for i, pair in enumerate(pairs))
    for ngrams in ((1, 1), (1, 2)):
        counts = HashingText("count", ngrams=ngrams, bits=26).learn([text] * 3)
        tokens = words(text)
        assert len(tokens) == 2 * len(pairs)
        assert counts.nnz == 3 * len(grams(tokens, *ngrams))
        assert (counts.data == 1).all()


def test_characters_and_their_ngrams():
    rows = HashingText("count", "char", (2, 2)).learn(["abab", "a  b", "股市股市"])
    assert [sorted(rows[[i]].data.tolist()) for i in range(3)] == [[1, 2], [1, 1], [1, 2]]


def test_a_column_means_the_same_in_every_script_and_block():
    rows = HashingText("binary", bits=16)
    (a,), (b,) = (rows.learn([text]).indices.tolist() for text in ("Straße", "STRASSE straße"[8:]))
    assert a == b
    many = ["word " * 1000] * 2000  # more than a block of bytes
    found = rows.learn([*many, "word"])
    assert found.nnz == 2001
    assert set(found.indices.tolist()) == set(rows.learn(["word"]).indices.tolist())


def test_weights_are_those_of_the_formula_and_know_no_future():
    rows, seen = HashingText("tfidf"), []
    learned = rows.learn(DOCS)
    for i, text in enumerate(DOCS):
        seen.append(set(grams(words(text), 1, 1)))
        counts = grams(words(text), 1, 1)
        n = len(seen)
        weights = [
            (1 + math.log(c)) * (1 + math.log((1 + n) / (1 + sum(w in s for s in seen))))
            for w, c in counts.items()
        ]
        length = math.sqrt(sum(w * w for w in weights)) or 1.0
        got = sorted(learned[[i]].data.tolist())
        np.testing.assert_allclose(got, sorted(w / length for w in weights), rtol=1e-6)
    before = rows.df_.copy(), rows.documents_
    rows.transform(DOCS)
    np.testing.assert_array_equal(rows.df_, before[0])
    assert rows.documents_ == before[1] == len(DOCS)


def test_one_by_one_is_all_at_once():
    whole, single = HashingText(), HashingText()
    rows = whole.learn(DOCS)
    each = [single.learn([text]) for text in DOCS]
    for i, row in enumerate(each):
        np.testing.assert_array_equal(rows[[i]].toarray(), row.toarray())


def test_transform_gives_rows_that_scipy_can_add():
    rows = HashingText("count").fit(DOCS).transform(DOCS)
    assert rows.has_canonical_format
    np.testing.assert_array_equal((rows + rows).sum(1), 2 * rows.sum(1))


@pytest.mark.parametrize(
    ("rows", "words_"),
    [
        (HashingText("tf-idf"), "did you mean 'tfidf'"),
        (HashingText(analyzer="words"), "did you mean 'word'"),
        (HashingText(ngrams=(2, 1)), "ngrams"),
        (HashingText(ngrams=2), "ngrams"),
        (HashingText(ngrams=("a", "b")), "ngrams"),
        (HashingText(bits=10.5), "bits"),
        (HashingText(bits=40), "bits=40"),
    ],
)
def test_options_that_make_no_sense_are_refused(rows, words_):
    with pytest.raises(LifelongError, match=words_):
        rows.fit(DOCS)


@pytest.mark.parametrize("texts", ["one text", 5, ["a", None], ["a", 3.5], []])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(LifelongError, match="text"):
        TextClassifier().fit(texts, [0, 1])


def test_true_and_false_stay_what_they_are():
    model = TextClassifier().fit(["one text", "another"], [True, False])
    with pytest.raises(LifelongError, match="label 2 is of another kind"):
        model.partial_fit(["third"], [2])


@pytest.mark.parametrize("labels", [["a", None], ["a", 1]])
def test_labels_that_are_missing_or_of_two_kinds_are_refused(labels):
    with pytest.raises(LifelongError, match="labels of one kind"):
        TextClassifier().fit(["one text", "another"], np.array(labels, object))


# ---- the classifier
def corpus(seed=0, n=240, classes=3, length=12):
    """Texts of a few words of their class among many that are common."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    own = ([f"own{c}x{rng.integers(8)}" for _ in range(3)] for c in y)
    common = ([f"w{k}" for k in rng.integers(0, 60, length)] for _ in y)
    texts = [" ".join([*a, *b]) for a, b in zip(own, common, strict=True)]
    return texts, np.array([f"class {c}" for c in y])


@pytest.mark.parametrize("name", [name for name, (kind, _) in LEARNERS.items() if kind.sparse])
@pytest.mark.parametrize("weighting", ["binary", "count", "tf", "tfidf"])
def test_every_learner_learns_texts(name, weighting):
    texts, y = corpus()
    bits = 10 if name in ("slda", "ridge") else 20  # they keep a matrix of columns by columns
    model = TextClassifier(name, HashingText(weighting, bits=bits)).fit(texts[:200], y[:200])
    assert model.score(texts[200:], y[200:]) > 0.8


def test_probabilities_pass_through():
    texts, y = corpus()
    for model in (TextClassifier("nb"), Replay(TextClassifier("nb"))):
        p = model.fit(texts, y).predict_proba(texts)
        np.testing.assert_allclose(p.sum(1), 1)
        np.testing.assert_array_equal(model.classes_[p.argmax(1)], model.predict(texts))
        np.testing.assert_allclose(np.log(p), model.predict_log_proba(texts))
    assert not hasattr(TextClassifier("cw").fit(texts, y), "predict_proba")


def test_a_learner_of_dense_rows_says_that_it_takes_no_texts():
    with pytest.raises(LifelongError, match="LASVM takes no texts: choose cw"):
        TextClassifier("lasvm").fit(["a b", "c d"], [0, 1])


def test_the_names_of_the_command_line_are_those_of_the_package():
    assert set(LINEAR) == set(LEARNERS)


def test_hyper_parameters_follow_the_weighting():
    assert make("arow", "binary").r == 10
    assert make("arow", "tfidf").r == 1
    assert make("arow", "binary", r=3.0).r == 3
    with pytest.raises(LifelongError, match="did you mean 'arow'"):
        make("arrow")


@pytest.mark.parametrize("name", ["cw", "arow", "pa-1"])
def test_a_batch_of_texts_is_the_texts_one_by_one(name):
    texts, y = corpus()
    batch, single = TextClassifier(name).partial_fit(texts, y), TextClassifier(name)
    for text, label in zip(texts, y, strict=True):
        single.partial_fit([text], [label])
    assert batch.classes_.tolist() == single.classes_.tolist()
    np.testing.assert_array_equal(batch.decision_function(texts), single.decision_function(texts))


def test_rehearsing_learns_again_and_counts_nothing():
    texts, y = corpus()
    model = TextClassifier("pa-1").fit(texts, y)
    scores, counted = model.scores(texts), model.vectorizer_.documents_
    model.rehearse(texts, y)
    assert model.vectorizer_.documents_ == counted == len(texts)
    assert (model.scores(texts) != scores).any()
    with pytest.raises(LifelongError, match="new labels"):
        model.rehearse(["x y"], ["class 9"])


def test_in_a_pipeline_and_a_search():
    texts, y = corpus()
    assert make_pipeline(HashingText(), LinearSVC()).fit(texts, y).score(texts, y) > 0.9
    search = GridSearchCV(TextClassifier(AROW()), {"learner__r": [0.1, 1.0]}, cv=3).fit(texts, y)
    assert search.best_score_ > 0.8
    assert make_pipeline(HashingText(), CW()).fit(texts, y).score(texts, y) > 0.9
    assert clone(TextClassifier(AROW(r=3))).learner.r == 3


@parametrize_with_checks([Replay(), HashingText(), TextClassifier(), Replay(TextClassifier())])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def models():
    return [
        TextClassifier("cw", HashingText(vocabulary=True)),
        TextClassifier(PA1(), HashingText("count", "char", (1, 3))),
        Replay(TextClassifier("arow"), memory=20),
    ]


@pytest.mark.parametrize("i", range(3))
def test_a_file_holds_all_of_it(i, tmp_path):
    texts, y = corpus()
    model = models()[i].fit(texts[:120], y[:120])
    model.save(tmp_path / "m.safetensors")
    again, copied = load(tmp_path / "m.safetensors"), model.copy()
    for each in (model, again, copied):
        each.partial_fit(texts[120:], y[120:])
    for each in (again, copied):
        np.testing.assert_array_equal(each.scores(texts), model.scores(texts))


@pytest.mark.parametrize("i", range(3))
def test_skops_holds_it_too(i):
    io = pytest.importorskip("skops.io")
    texts, y = corpus()
    model = models()[i].fit(texts, y)
    content = io.dumps(model)
    again = io.loads(content, trusted=io.get_untrusted_types(data=content))
    np.testing.assert_array_equal(again.scores(texts), model.scores(texts))


# ---- replay
def test_replay_keeps_what_else_is_forgotten():
    texts, y = corpus(n=600)
    order = np.argsort(y, kind="stable")
    alone, replay = TextClassifier("cw"), Replay(TextClassifier("cw"), memory=60)
    for model in (alone, replay):
        for part in np.array_split(order, 6):
            model.partial_fit([texts[i] for i in part], y[part])
    test, answers = corpus(seed=1)
    assert replay.score(test, answers) > alone.score(test, answers) + 0.1
    assert len(replay.memory_) == 60
    assert set(Counter(replay.memory_.samples.y.tolist()).values()) == {20}
    assert replay.learner_.vectorizer_.documents_ == 600  # rehearsed texts are not counted again
    assert Replay().memory_bytes == 0
    assert replay.memory_bytes == sum(len(t.encode()) for t in replay.memory_.samples.x)


def test_replay_of_rows():
    rng = np.random.default_rng(0)
    X = np.repeat(np.eye(3), 100, 0) + rng.normal(size=(300, 3)) * 0.2
    y = np.repeat([0, 1, 2], 100)
    model = Replay("perceptron", memory="10/class").fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.memory_.samples.x.shape == (30, 3)


# ---- what it shows
def test_the_largest_weights_are_the_classes_own_words():
    texts, y = corpus()
    model = TextClassifier("cw", HashingText(vocabulary=True)).fit(texts, y)
    found = explain(model, top=5)
    assert set(found) == set(y)
    for label, weights in found.items():
        assert all(w.feature.startswith(f"own{label[-1]}") for w in weights)
        assert all(0 < w.sd < 1 for w in weights)
        means = [w.mean for w in weights]
        assert means == sorted(means, reverse=True)
    assert list(explain(model, "class 1")) == ["class 1"]
    with pytest.raises(LifelongError, match="unknown class"):
        explain(model, "class 7")
    rows = CW().fit(np.eye(3), [1, 2, 3])
    assert list(explain(rows, "2", names=["a", "b", "c"])) == [2]
    assert explain(rows, 2, names=["a", "b", "c"])[2][0].feature == "b"


def test_two_classes_have_opposite_weights():
    texts, y = corpus(classes=2)
    model = TextClassifier("pa-1").fit(texts, y)
    a, b = explain(model, top=10**6).values()
    assert a[0].mean == -b[-1].mean
    assert a[0].sd is None
    assert a[0].feature.startswith("#")


def test_what_two_models_answer_differently():
    texts, y = corpus()
    a = TextClassifier("perceptron").fit(texts[:12], y[:12])
    b = a.copy().partial_fit(texts[12:], y[12:])
    found, before, after = diff(a, b, texts, y), a.predict(texts), b.predict(texts)
    assert found.flipped.tolist() == np.flatnonzero(before != after).tolist()
    assert sum(found.counts.values()) == len(found.flipped)
    gained = (after == y).sum() - (before == y).sum()
    assert found.fixed - found.broken == gained
    assert diff(a, a, texts).counts == {}
    with pytest.raises(LifelongError, match="give one a row"):
        diff(a, b, texts, y[:5])
    with pytest.raises(LifelongError, match="top=0"):
        explain(a, top=0)
