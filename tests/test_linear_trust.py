"""Nothing in a linear model's file is used unchecked: altered files are refused, or answer alike."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from lifelong import LifelongError, files, linear
from lifelong.linear import packed

LEGAL = (
    *(f"holds/{name}" for name in (
        "C", "r", "alpha", "rivals", "eta", "shrinkage", "idf", "gamma", "coef0", "degree", "tau", "tol",
        "budget", "batch", "replays", "intercept", "fit_prior", "norm", "form", "constraint", "weighted",
        "variance", "ngrams", "weighting", "analyzer", "classes_/names",
    )),
    "rng/state",
)  # fmt: skip
"""What may be of another value in a whole file: hyper-parameters, labels, what is drawn."""


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """(name, counts, faults) of every learner, from a process that may have crashed."""
    folder = tmp_path_factory.mktemp("altered")
    script = Path(__file__).parent / "altered.py"
    done = subprocess.run(
        [sys.executable, script, folder, "7", "24"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-500:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_altered_model_ends_in_a_crash_or_a_traceback(fates):
    assert len(fates) > 40
    assert [(name, f) for name, _, faults in fates for f in faults if f[0] == "fault"] == []
    assert sum(counts["refused"] for _, counts, _ in fates) > 0.9 * 24 * len(fates)


def test_a_structural_fact_that_was_altered_never_gives_another_answer(fates):
    others = [what for _, _, faults in fates for kind, what, _ in faults if kind == "other"]
    assert [what for what in others if not any(word in what for word in LEGAL)] == []


def altered(learner, tmp_path, change):
    """Save, change (manifest, arrays), write; the path."""
    arrays = {}
    whole = {"format": packed.FORMAT, "linear": packed.pack(learner, "", arrays)}
    change(whole["linear"], arrays)
    files.write_arrays(tmp_path / "m.safetensors", arrays, whole)
    return tmp_path / "m.safetensors"


def put(path, value):
    """A change of the manifest at ``path``."""

    def change(manifest, _):
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


@pytest.mark.parametrize("bits", [1, 19, 20, 21, 29, 31, 2**40, -1, "20", 20.5, None])
def test_more_columns_than_there_are_are_refused(bits, tmp_path):
    vectorizer = linear.HashingText(bits=8)
    small = linear.TextClassifier("cw", vectorizer).fit(["win cash", "see you"], ["a", "b"])
    change = put(["holds", "vectorizer_", "holds", "bits"], bits)
    with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
        linear.load(altered(small, tmp_path, change))


@pytest.mark.parametrize(
    "slot", [[5, 1], [-2, 1], [1, 1], [0, 1], [2**31 - 1, 1], [-(2**31), 1], [1, -1]]
)
def test_slots_beyond_the_weights_are_refused(slot, tmp_path):
    learner = linear.CW().fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    path = altered(learner, tmp_path, lambda _, a: a.update({"/slot_": np.array(slot, np.int32)}))
    with pytest.raises(LifelongError, match="slot_"):
        linear.load(path)


@pytest.mark.parametrize("name", ["predict", "_update", "__class__", "classes", "by_row", "rule", "x_"])
def test_no_file_sets_a_method_or_an_unknown_attribute(name, tmp_path):
    learner = linear.CW().fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    path = altered(learner, tmp_path, put(["holds", name], 1))
    with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
        linear.load(path)


@pytest.mark.parametrize("name", ["load", "make", "Incremental", "Progressive", "os", 7, None, ["CW"]])
def test_only_learners_are_made(name, tmp_path):
    learner = linear.CW().fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
        linear.load(altered(learner, tmp_path, put(["estimator"], name)))


def test_a_manifest_nested_too_deeply_is_refused(tmp_path):
    deep = 1
    for _ in range(300):
        deep = {"list": [deep]}
    learner = linear.CW().fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    path = altered(learner, tmp_path, put(["holds", "eta"], deep))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 250)
        with pytest.raises(LifelongError, match="is damaged"):
            linear.load(path)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("part", ["indptr", "indices"])
@pytest.mark.parametrize("value", [-1, -(10**9), 10**6])
def test_sparse_tables_that_point_outside_are_refused(part, value, tmp_path):
    learner = linear.MultinomialNB().fit([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])

    def change(_, arrays):
        name = next(name for name in arrays if name.endswith(part))
        arrays[name] = arrays[name].copy()
        arrays[name][-1] = value

    with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
        linear.load(altered(learner, tmp_path, change))


def test_what_was_saved_is_read_again_whatever_stands_for_a_number(tmp_path):
    y = np.arange(8) % 2
    X = np.eye(8)[:, :3] + y[:, None]
    for learner in (
        linear.AROW(r=1, intercept=1, rivals=np.int64(2)),
        linear.LASVM(budget=4.0, degree=3.0, kernel="poly"),
        linear.Replay(linear.CW(eta=np.float32(0.75)), memory=np.int64(3)),
    ):
        learner.fit(X, y).save(tmp_path / "m.safetensors")
        again = linear.load(tmp_path / "m.safetensors")
        np.testing.assert_array_equal(again.scores(X), learner.scores(X))


def test_a_learner_that_has_learned_nothing_is_read_again(tmp_path):
    for learner in (linear.CW(eta=0.8), linear.TextClassifier("pa"), linear.Replay("nb")):
        learner.save(tmp_path / "m.safetensors")
        again = linear.load(tmp_path / "m.safetensors")
        assert str(again) == str(learner)
        assert not hasattr(again, "classes_")


# ---- rows
def broken(part, value, kind=sp.csr_array):
    """Sparse rows whose structure was altered after they were made."""
    X = kind(np.eye(4))
    getattr(X, part)[-1] = value
    return X


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix, sp.csc_array])
@pytest.mark.parametrize(
    ("part", "value"),
    [("indices", 4), ("indices", -1), ("indices", 10**6), ("indptr", 9), ("indptr", -3)],
)
@pytest.mark.parametrize("learner", [linear.CW(), linear.MultinomialNB(), linear.StreamingLDA()])
def test_sparse_rows_that_point_outside_are_refused(learner, part, value, kind):
    learner = learner.copy().fit(np.eye(4), [0, 1, 0, 1])
    before = learner.scores(np.eye(4))
    for call in (learner.predict, lambda X: learner.partial_fit(X, [0, 1, 0, 1])):
        with pytest.raises(LifelongError, match="sparse rows"):
            call(broken(part, value, kind))
    np.testing.assert_array_equal(learner.scores(np.eye(4)), before)


def test_unsorted_columns_and_columns_twice_are_learned_as_their_sums():
    X = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    odd = sp.csr_array(
        (np.array([2.0, 0.5, 0.5, 3.0]), np.array([1, 0, 0, 2]), np.array([0, 3, 4])), (2, 3)
    )
    for learner in (linear.CW(), linear.MultinomialNB()):
        plain, other = learner.copy().fit(X, [0, 1]), learner.copy().fit(odd, [0, 1])
        np.testing.assert_allclose(plain.scores(X), other.scores(odd), rtol=1e-6)
