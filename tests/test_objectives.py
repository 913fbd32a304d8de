"""Objectives: losses, likelihoods, distillation, scores, weights, by formulas written with NumPy."""

import itertools
import json
from importlib.resources import files

import helpers
import jsonschema
import numpy as np
import pytest
from helpers import METHODS
from sklearn import metrics as sk
from sklearn.utils.class_weight import compute_class_weight

import lifelong as ll
from lifelong.batch import Batch, Outputs
from lifelong.errors import LifelongError
from lifelong.evaluation import evaluate
from lifelong.methods import registry
from lifelong.methods.regularization.fisher import fisher
from lifelong.objectives import Classification, MultiLabel, Regression
from lifelong.predict import predict_rows
from lifelong.report import html
from lifelong.runner import identify
from lifelong.spec import Spec
from lifelong.store import configuration
from lifelong.update import update

pytestmark = pytest.mark.usefixtures("backend")
torch_only = pytest.mark.parametrize("backend", ["torch"], indirect=True)
SCHEMA = json.loads((files("lifelong") / "results.schema.json").read_text())
KINDS = ("multi-label", "regression")
rng = np.random.default_rng(0)
X = rng.random((240, 6, 6), dtype=np.float32)
Z = (X.reshape(240, 36) - 0.5) @ rng.normal(size=(36, 4))
LABELS = (Z + 0.3 * rng.normal(size=Z.shape) > 0.3).astype(np.float32)
NAMES = ("a", "b", "c", "d")
PLACE = np.arange(240) % 3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def bce(z, y):
    return np.logaddexp(0, z) - y * z


def data(kind, **options):
    y, names = (LABELS, NAMES) if kind == "multi-label" else (Z[:, :2], NAMES[:2])
    return ll.data.arrays(X, y, classes=names, task=PLACE, **options)


def stream(kind, scenario):
    """Two labels a task where labels may arrive; else three tasks by a column."""
    if kind == "multi-label" and scenario != "domain":
        return data(kind).split(2, scenario)
    return data(kind).by("task", scenario)


def learned(name, kind, scenario, tasks=2, **options):
    made, met = helpers.learner(name, objective=kind, **options), stream(kind, scenario)
    for task in helpers.tasks(met)[:tasks]:
        made.learn(task)
    return made, met


def rows(made, task, count=16):
    """Encoded training rows, as samples and as a batch of tensors."""
    samples = made.encode(task.train.take(slice(count)), task.classes)
    return samples, helpers.batch(made, samples)


def scores(made, samples):
    return made.ops.numpy(made.outputs(samples).scores).astype(float)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1e-3, np.abs(b).max()))


# --- losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "entry"), [(KINDS[0], bce), (KINDS[1], lambda z, y: (z - y) ** 2)])
@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_the_loss_is_a_mean_over_told_and_admitted_outputs(kind, entry, scenario):
    made, met = learned("naive", kind, scenario, tasks=1)
    samples, _ = rows(made, met[0])
    y = samples.y.copy()
    y[::3, 0], y[4] = np.nan, np.nan
    samples = samples.replace(y=y)
    found = made.ops.numpy(made.losses(helpers.batch(made, samples), made.outputs(samples)))
    z, told = scores(made, samples), ~np.isnan(y)
    each = np.where(told, entry(z, np.where(told, y, 0)), 0).sum(1) / np.maximum(told.sum(1), 1)
    close(found, each)
    assert found[4] == 0


def test_under_task_ids_only_the_tasks_own_outputs_count():
    made, met = learned("er", "multi-label", "task")
    samples, batch = rows(made, met[1])
    told = made.ops.numpy(made.objective.told(made, batch))
    assert told.sum(0).tolist() == [0, 0, 16, 16]
    lie = helpers.batch(made, samples.replace(y=np.ones((16, 4), np.float32)))
    assert made.ops.numpy(made.objective.told(made, lie)).sum(0).tolist() == [0, 0, 16, 16]


# --- likelihoods and distillation ---------------------------------------------------------------


def test_the_fisher_of_labels_is_over_all_their_combinations():
    made, met = learned("naive", "multi-label", "class")
    samples, _ = rows(made, met[1])
    ops = made.ops

    def enumerated(out, batch):
        terms = []
        for labels in itertools.product([0.0, 1.0], repeat=2):  # the second task's two labels
            parts = [
                -ops.bce(out.scores[:, c], out.scores[:, c] * 0 + v)
                for c, v in zip((2, 3), labels, strict=True)
            ]
            terms.append((ops.exp(ops.constant(parts[0] + parts[1])), parts[0] + parts[1]))
        return terms

    exact = ops.numpy(fisher(made, samples, "all"))
    close(exact, ops.numpy(made.moment(samples, enumerated, 2)))
    one = samples.take(np.zeros(1, int))
    drawn = ops.numpy(fisher(made, one.take(np.zeros(8000, int)), "sample"))
    whole = ops.numpy(fisher(made, one, "all"))
    assert np.abs(drawn - whole).max() < 0.08 * whole.max()

    def true(out, batch):
        told = batch.y == batch.y
        each = ops.where(told, -ops.bce(out.scores, ops.where(told, batch.y, 0.0)), 0.0)
        return [(ops.cast(told[:, 2]), ops.sum(each, 1))]

    close(ops.numpy(fisher(made, samples, "true")), ops.numpy(made.moment(samples, true, 2)))


def test_the_fisher_of_numbers_is_that_of_a_gaussian():
    made, met = learned("naive", "regression", "domain")
    samples, _ = rows(made, met[1])
    ops = made.ops
    outputs = lambda out, batch: [(out.scores[:, 0] * 0 + 1, out.scores[:, c]) for c in (0, 1)]  # noqa: E731
    close(ops.numpy(fisher(made, samples, "all")), ops.numpy(made.moment(samples, outputs, 2)))
    one = samples.take(np.zeros(1, int))
    drawn = ops.numpy(fisher(made, one.take(np.zeros(8000, int)), "sample"))
    whole = ops.numpy(fisher(made, one, "all"))
    assert np.abs(drawn - whole).max() < 0.08 * whole.max()

    def true(out, batch):
        return [(out.scores[:, 0] * 0 + 1, ops.sum((batch.y - out.scores) ** 2, 1) / -2)]

    close(ops.numpy(fisher(made, samples, "true")), ops.numpy(made.moment(samples, true, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_distillation_is_toward_the_old_answers(kind):
    made, _ = learned("naive", kind, "domain", tasks=1)
    new, old, T = rng.normal(size=(5, made.width)), rng.normal(size=(5, made.width)), 2.5
    apart = (new - old) ** 2 if kind == "regression" else T**2 * bce(new / T, sigmoid(old / T))
    known = [1] if kind == "regression" else [0, 2]
    given = (made.ops.cast(made.ops.tensor(v)) for v in (new, old))
    found = made.objective.distil(made, *given, known, list(range(made.width)), T)
    assert float(found) == pytest.approx(apart[:, known].mean(), rel=1e-5)


# --- scores -------------------------------------------------------------------------------------


def test_scores_of_labels_are_those_of_scikit_learn():
    z = np.round(rng.normal(size=(60, 4)), 1)  # with ties
    y = (rng.random((60, 4)) < 0.4).astype(float)
    found = MultiLabel().compare(z, y)
    given = z > 0
    assert found["score"] == pytest.approx(sk.average_precision_score(y, z, average="macro"))
    assert found["micro_f1"] == pytest.approx(sk.f1_score(y, given, average="micro"))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y, given, average="macro"))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(y, given))


def test_scores_are_of_what_is_told():
    z, y = rng.normal(size=(50, 3)), (rng.random((50, 3)) < 0.5).astype(float)
    y[::2, 0], y[:, 2], y[7] = np.nan, 0, np.nan  # half told; never positive; a row of which nothing is
    found = MultiLabel().compare(z, y)
    told = ~np.isnan(y)
    each = [sk.average_precision_score(y[told[:, c], c], z[told[:, c], c]) for c in (0, 1)]
    assert found["score"] == pytest.approx(np.mean(each))
    flat = sk.f1_score(y[told], z[told] > 0)
    assert found["micro_f1"] == pytest.approx(flat)
    right = (~told | ((z > 0) == (y == 1))).all(1)
    assert found["exact_match"] == pytest.approx(np.delete(right, 7).mean())
    assert MultiLabel().compare(z[:, 2:], y[:, 2:])["score"] is None  # nothing to rank


def test_scores_of_numbers_are_those_of_scikit_learn():
    y = rng.normal(size=(40, 3)) * (1, 5, 0.1) + 3
    z = y + rng.normal(size=(40, 3)) * (0.5, 9, 0.05)
    found = Regression().compare(z, y)
    assert found["r2"] == pytest.approx(sk.r2_score(y, z))
    assert found["score"] == max(0, found["r2"])
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, z))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, z))
    assert Regression().compare(-z, y)["score"] == 0
    flat = np.ones((3, 1))
    assert Regression().compare(flat, flat)["r2"] == 1
    assert Regression().compare(flat + 1, flat)["r2"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_evaluation_measures_each_task_on_its_own_test_set(kind, scenario):
    made, met = learned("er", kind, scenario)
    found = evaluate(made, list(met))
    for j, task in enumerate(met):
        if scenario == "task" and j > 1:
            assert found.rows["aware"][j] is None
            continue
        samples = made.encode(task.test, task.classes)
        own = ~np.isnan(samples.y).all(0)
        by_hand = made.objective.compare(made.unscaled(scores(made, samples))[:, own], samples.y[:, own])
        assert found.rows["aware"][j] == found.rows["agnostic"][j] == pytest.approx(by_hand["score"])
        for name in made.objective.beside:
            assert found.rows[name][j] == pytest.approx(by_hand[name])


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_nll_and_calibration_error_over_all_tasks(scenario):
    noisy = helpers.dataset()
    blur = np.random.default_rng(1).integers(0, 256, noisy.test.x.shape)
    test = noisy.test.replace(x=(noisy.test.x // 2 + blur // 2).astype(np.uint8))
    met = ll.Dataset("noisy", noisy.train, test, noisy.classes).split(2, scenario)
    made = helpers.learner("er")
    result = ll.run(made, met)
    nll, confidence, right = [], [], []
    for task in met:
        samples = made.encode(task.test, task.classes)
        z = scores(made, samples)
        if scenario == "task":
            z[:, [c for c in range(4) if c not in samples.y]] = -np.inf
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        nll += (-np.log(p[np.arange(len(p)), samples.y])).tolist()
        confidence += p.max(1).tolist()
        right += (p.argmax(1) == samples.y).tolist()
    confidence, right = np.array(confidence), np.array(right)
    bins, error = np.ceil(confidence * 15) - 1, 0.0
    for b in range(15):
        inside = bins == b
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert len(set(bins)) > 3
    assert result.metrics["nll"] == pytest.approx(np.mean(nll), rel=1e-5)
    assert result.metrics["ece"] == pytest.approx(error, rel=1e-4)
    assert f"nll{result.metrics['nll']:36.4f}" in result.summary()


def test_calibration_error_at_the_edges_of_bins():
    """A confidence of 1 is in the last bin; one at an edge is in the bin below it."""
    made = helpers.learner()
    for task in helpers.stream("domain"):
        made.learn(task)
    objective, ops = made.objective, made.ops
    assert isinstance(objective, Classification)
    z = np.array([[0.0, -1e4], [0.0, -1e4], [0.0, 0.0]])  # confidence 1, 1, 1/2; the second is wrong
    y, mask = ops.tensor(np.array([0, 1, 0])), made.indicator([0, 1])
    tally = objective.tally(made, objective.nothing(made), ops.cast(ops.tensor(z)), y, mask)
    found = objective.summary(made, [ops.numpy(tally)])
    assert found["ece"] == pytest.approx(2 / 3 * 0.5 + 1 / 3 * 0.5)
    assert found["nll"] == pytest.approx((0 + 1e4 + np.log(2)) / 3)


# --- streams ------------------------------------------------------------------------------------


def test_a_split_of_labels_tells_only_the_tasks_labels():
    for scenario in ("task", "class", "free"):
        met = data("multi-label").split(2, scenario, natural_order=True)
        for i, task in enumerate(met):
            own = [2 * i, 2 * i + 1]
            assert task.labels.tolist() == own
            assert np.isnan(np.delete(task.train.y, own, 1)).all()
            assert (task.train.y[:, own] == 1).any(1).all()
            train = data("multi-label").train
            assert len(task.train) == (train.y[:, own] == 1).any(1).sum()
    assert not set(met[0].train.id) & set(met[1].train.id)  # what comes twice is told apart
    ordered = data("multi-label").split(2, "class", seed=3)
    assert sorted(ordered.classes) == list(NAMES)
    place = [NAMES.index(name) for name in ordered.classes]
    first = ordered[0].train
    assert np.array_equal(first.y[:, :2], LABELS[first.id][:, place[:2]])


def test_under_domain_a_label_is_its_place_in_the_task():
    met = data("multi-label").split(3, "domain", natural_order=True)
    assert met.classes == ("0", "1", "2", "3")
    uneven = data("multi-label").split(2, "domain", natural_order=True)
    assert np.array_equal(uneven[1].test.y, LABELS[uneven[1].test.id - 240][:, 2:])


def test_the_other_streams_keep_all_targets():
    made = data("regression")
    assert np.array_equal(made.whole("domain")[0].train.y, made.train.y)
    for met in (made.permuted(2), made.rotated(2)):
        assert np.array_equal(met[1].train.y, made.train.y)
    heads = made.by("task", "task")
    assert heads.classes == tuple(f"{t}: {c}" for t in range(3) for c in "ab")
    assert heads[1].labels.tolist() == [2, 3]
    assert np.isnan(heads[1].train.y[:, [0, 1, 4, 5]]).all()
    held = made.by("task", validation=0.25)[0]
    assert len(held.validation) == round(0.25 * (len(held.validation) + len(held.train)))


def test_targets_of_arrays_and_of_data_sets():
    made = ll.data.arrays(X, LABELS.astype(int), X[:9], LABELS[:9])
    assert made.classes == ("0", "1", "2", "3")
    assert made.train.y.dtype == np.float32
    assert np.array_equal(made.test.y, LABELS[:9])
    part = ll.Samples(x=X[:5], y=Z[:5, 0], id=np.arange(5))
    assert ll.Dataset("own", part, part, ("price",)).train.y.shape == (5, 1)


# --- refusals -----------------------------------------------------------------------------------


@torch_only
@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: learned("naive", "regression", "class"), "regression does not work under 'class'"),
        (lambda: data("regression").split(2), "has numbers, not labels to split"),
        (lambda: helpers.learner("icarl", objective="multi-label"), "icarl needs one label a sample"),
        (lambda: helpers.learner("dgr", objective="regression"), "dgr needs one label a sample"),
        (
            lambda: learned(ll.ER(20, admission="balanced"), "multi-label", "class"),
            "a memory kept by class needs one label a sample",
        ),
        (lambda: learned(ll.ER("9/class"), "regression", "domain"), "a memory kept by class"),
        (
            lambda: helpers.learner().learn(stream("multi-label", "class")[0]),
            "classification takes labels int64 [n], and these targets are numbers",
        ),
        (
            lambda: helpers.learner(objective="regression").learn(helpers.stream("domain")[0]),
            "regression takes numbers float32 [n, outputs], and these targets are labels",
        ),
        (
            lambda: helpers.learner(objective="multi-label").learn(stream("regression", "domain")[0]),
            "multi-label targets are 0, 1 or NaN",
        ),
        (lambda: helpers.learner(objective="ranking"), "unknown objective 'ranking'"),
        (
            lambda: helpers.learner(objective="reconstruction").learn(stream("regression", "domain")[0]),
            "reconstruction does not work under 'domain'",
        ),
        (
            lambda: helpers.learner(objective="regression", class_weights="balanced"),
            "class weights are of classification",
        ),
        (lambda: helpers.learner(class_weights={"c0": -1}), "class_weights={'c0': -1}: give"),
        (lambda: helpers.learner(class_weights="equal"), "class_weights='equal': give"),
        (
            lambda: helpers.learner(class_weights={"c9": 2}).learn(helpers.stream("class")[0]),
            "unknown class in class_weights 'c9'",
        ),
        (
            lambda: helpers.learner(class_weights="balanced", steps=None).learn(
                helpers.stream("free").flow()
            ),
            "balanced class weights need a task's classes, which 'free' hides",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(act, says):
    with pytest.raises(LifelongError) as error:
        act()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


# --- methods ------------------------------------------------------------------------------------


@torch_only
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n in METHODS if "labels" not in registry()[n].needs])
def test_every_other_method_learns_in_every_scenario(name, kind):
    for scenario in registry()[name].scenarios:
        if (kind, scenario) == ("regression", "class"):
            continue
        made = helpers.learner(name, objective=kind, steps=None if scenario == "free" else 12)
        result = ll.run(made, stream(kind, scenario))
        jsonschema.validate({"schema": 1, "runs": [json.loads(json.dumps(result.data))]}, SCHEMA)
        R, last = result.R, result.R[-1]
        assert not np.isnan(last).any()
        assert ((R >= 0) & (R <= 1) | np.isnan(R)).all()
        for name_, matrix in result.beside.items():
            assert result.metrics[name_] == pytest.approx(matrix[-1].mean())
        if kind == "regression":
            assert np.array_equal(np.maximum(result.beside["r2"], 0), R, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["er", "ewc"])
def test_er_and_ewc_keep_more_than_naive(name, kind):
    """The second task's inputs are elsewhere, and its targets the first's turned round."""
    y = LABELS if kind == "multi-label" else Z[:, :2]
    second = PLACE == 1
    x = np.where(second[:, None, None], X - 1, X)
    turned = np.where(second[:, None], 1 - y if kind == "multi-label" else -y, y)
    met, kept = ll.data.arrays(x, turned, task=second.astype(int)).by("task"), []
    for part in (ll.Naive(), {"er": ll.ER(150), "ewc": ll.EWC(10.0)}[name]):
        made = helpers.learner(part, ll.models.mlp(32), objective=kind, steps=100)
        result = ll.run(made, met)
        kept.append(result.beside["exact_match" if kind == "multi-label" else "r2"][:, 0])
    assert kept[1][0] > 0.2
    assert kept[1][1] > kept[0][1] + 0.05


@pytest.mark.skipif(len(helpers.BACKENDS) < 2, reason="TensorFlow is not installed")
@torch_only
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["er", "ewc", "lwf", "der++"])
def test_in_float64_theta_is_the_same_on_both_backends(name, kind):
    helpers.one_tensorflow_thread()
    scenario = "class" if kind == "multi-label" else "domain"
    thetas = [
        helpers.theta(learned(name, kind, scenario, backend=b, precision="float64")[0])
        for b in helpers.BACKENDS
    ]
    a, b = thetas
    assert np.abs(a - b).max() < 1e-10 * np.abs(a).max()


@pytest.mark.parametrize(
    ("name", "kind", "scenario", "options"),
    [
        ("er+lwf", "multi-label", "class", {}),  # stored targets grow with the labels
        ("der++", "regression", "domain", {}),
        ("er", "classification", "class", {"class_weights": "balanced"}),
    ],
)
def test_stopped_anywhere_it_ends_in_the_same_bits(name, kind, scenario, options):
    met = helpers.stream(scenario) if kind == "classification" else stream(kind, scenario)
    straight, stopped = (helpers.learner(name, objective=kind, **options) for _ in range(2))
    for i, task in enumerate(met):
        straight.learn(task)
        steps = stopped.steps(task)
        for _ in range(5 + i):
            next(steps)
        state = helpers.whole(stopped)
        stopped = helpers.learner(name, objective=kind, **options)
        stopped.restore(*state)
        for _ in stopped.steps(task):
            pass
    helpers.same_state(helpers.whole(straight), helpers.whole(stopped))


def test_stored_targets_grow_with_the_labels():
    made, met = learned("er", "multi-label", "class")
    held = made.method.parts[0].stored.samples
    assert held.y.shape == (20, 4)
    first = np.isnan(held.y[:, 2:]).all(1)
    assert 0 < first.sum() < 20
    assert np.isnan(held.y[~first][:, :2]).all()
    where = {int(i): row for i, row in zip(met[0].train.id, met[0].train.y, strict=True)}
    for i, y in zip(held.id[first], held.y[first], strict=True):
        assert np.array_equal(y[:2], where[int(i)][:2])


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", *KINDS])
def test_a_rows_weight_multiplies_its_loss(kind):
    met = helpers.stream("domain") if kind == "classification" else stream(kind, "domain")
    made = helpers.learner("er", objective=kind)
    made.learn(met[0])
    samples, batch = rows(made, met[0])
    weight = rng.random(16).astype(np.float32)
    heavy = helpers.batch(made, samples.replace(weight=weight))
    out = made.outputs(batch)
    plain, found = (made.ops.numpy(made.losses(b, out)) for b in (batch, heavy))
    close(found, plain * weight)
    assert float(made.mean_loss(heavy, out)) == pytest.approx((plain * weight).mean(), rel=1e-5)


def test_rows_of_weight_0_teach_nothing():
    """Half of the labels are lies, of weight 0."""
    tiny = helpers.dataset(2)
    y, lies = tiny.train.y, np.arange(len(tiny.train)) // 2 % 2 == 1
    thetas = []
    for labels in (np.where(lies, 1 - y, y), y):
        met = ll.data.arrays(tiny.train.x, labels, tiny.test.x, tiny.test.y, weight=1.0 - lies)
        made = helpers.learner("er", ll.models.mlp(8))
        made.learn(met.whole("domain")[0])
        thetas.append(helpers.theta(made))
    assert np.array_equal(*thetas)


def test_rows_without_a_weight_weigh_1_beside_those_that_have_one():
    made = helpers.learner("dgr", steps=3, class_weights={"c0": 3.0})
    seen = []
    losses = made.losses
    made.losses = lambda batch, out: (seen.append(batch.tensors["weight"].shape[0]), losses(batch, out))[
        1
    ]
    for task in helpers.stream("class"):
        made.learn(task)
    assert {16, 32} <= set(seen)
    one = Batch(ll.Samples(x=X[:2], weight=np.array([3.0, 2.0], np.float32)))
    one.add(ll.Samples(x=X[2:4]), by=made.method.parts[0])
    assert one.columns()["weight"].tolist() == [3, 2, 1, 1]


def test_balanced_weights_are_by_inverse_frequency_in_the_task():
    tiny = helpers.dataset(4)
    rows_ = np.concatenate([np.flatnonzero(tiny.train.y == c)[: 10 * (c + 1)] for c in range(4)])
    uneven = ll.Dataset("uneven", tiny.train.take(rows_), tiny.test, tiny.classes)
    made = helpers.learner(ll.ER(1000), class_weights="balanced")
    met = uneven.split(2, "class", natural_order=True)
    for task in met:
        made.learn(task)
        y = task.train.y
        expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
        held = made.method.parts[0].stored.samples
        for c, weight in zip(np.unique(y), expected, strict=True):
            assert held.weight[held.y == c] == pytest.approx(weight)
    assert held.weight[held.y == 0] == pytest.approx(1.5)  # as it was in its task: 30 / (2 * 10)


def test_class_weights_multiply_sample_weights_and_change_what_is_learned():
    met = helpers.stream("domain")
    plain, made = helpers.learner("er"), helpers.learner("er", class_weights={"1": 5})
    for one in (plain, made):
        one.learn(met[0])
    assert not np.array_equal(helpers.theta(plain), helpers.theta(made))
    weighted = met[0].train.replace(weight=np.full(len(met[0].train), 0.5, np.float32))
    task = ll.Task("t", weighted, met[0].test, met[0].classes, "domain")
    found = made._weighted(task).weight
    assert found[weighted.y == 1] == pytest.approx(2.5)
    assert found[weighted.y == 0] == pytest.approx(0.5)


@torch_only
def test_class_weights_are_part_of_a_run(tmp_path):
    met = helpers.stream("class")
    plain = helpers.learner("er")
    assert "class_weights" not in configuration(plain)  # the keys of runs without stay
    keys = {identify(plain, met, 1, None)["key"]}
    for weights in ("balanced", {"c0": 2.0}):
        made = helpers.learner("er", class_weights=weights)
        keys.add(identify(made, met, 1, None)["key"])
        made.learn(met[0])
        made.save(tmp_path / "model")
        loaded = ll.load(tmp_path / "model")
        assert loaded.class_weights == weights
        for one in (made, loaded):
            one.learn(met[1])
        helpers.same_state(helpers.whole(made), helpers.whole(loaded))
    assert len(keys) == 3


def test_weights_come_from_the_first_task_on_or_are_1():
    met = helpers.stream("class")
    heavy = met[0].train.replace(weight=np.full(len(met[0].train), 2.0, np.float32))
    with_weights = ll.Task("t", heavy, met[0].test, met[0].classes, "class", number=0)
    made = helpers.learner("er")
    made.learn(with_weights)
    made.learn(met[1])
    assert set(made.method.parts[0].stored.samples.weight) == {1.0, 2.0}
    other = helpers.learner("er")
    other.learn(met[1])
    with pytest.raises(LifelongError, match="give weights from the first task on"):
        other.learn(with_weights)


# --- the whole way ------------------------------------------------------------------------------


def test_predictions_are_names_or_numbers():
    made, met = learned("er", "multi-label", "class")
    x, z = met[0].test.x, scores(made, made.encode(met[0].test, met[0].classes))
    given = made.predict(x)
    assert given.tolist() == [[made.classes[c] for c in np.flatnonzero(row > 0)] for row in z]
    made, met = learned("er", "multi-label", "task")
    assert {name for row in made.predict(x, task=1) for name in row} <= set(met.classes[2:])
    made, met = learned("er", "regression", "domain")
    x = met[0].test.x
    mean, deviation = made.scale
    close(made.predict(x), scores(made, met[0].test) * deviation + mean)
    made, met = learned("er", "regression", "task")
    assert made.predict(x, task=1).shape == (len(x), 2)
    one = ll.data.arrays(X, Z[:, :1]).whole("domain")
    made = helpers.learner(objective="regression")
    made.learn(one[0])
    assert made.predict(x).shape == (len(x),)
    assert made.predict(x[:0]).shape == (0,)


@torch_only
@pytest.mark.parametrize("kind", KINDS)
def test_from_a_file_to_an_update_and_a_report(kind, tmp_path):
    y = LABELS if kind == "multi-label" else Z[:, :2]
    np.savez(tmp_path / "old.npz", x=X[:160], y=y[:160])
    np.savez(tmp_path / "new.npz", x=X[160:], y=y[160:])
    spec = Spec(str(tmp_path / "old.npz"), "er", "domain", objective=kind, model="mlp:16", epochs=4)
    assert f"--objective {kind}" in spec.command()
    result = spec.run(tmp_path / "out")
    (model,) = (tmp_path / "out" / "runs").glob("*/model.safetensors")
    done = update(model, ll.data.load(tmp_path / "new.npz"))
    assert done.result.R.shape == (2, 2)
    assert not np.isnan(done.result.R[-1]).any()
    for matrix in done.result.beside.values():
        assert matrix.shape == (2, 2)
        assert not np.isnan(matrix[-1]).any()
    bundle = {"schema": 1, "runs": [result.data, done.result.data]}
    jsonschema.validate(bundle, SCHEMA)
    page, _ = html.page(bundle)
    assert f"Accuracy stands for {result.data['score']} here" in page
    assert ("RMSE" if kind == "regression" else "macro F1") in page
    assert "average score" in result.summary()
    found = predict_rows(model, str(tmp_path / "new.npz"))
    answers, accuracy = found.predictions, found.accuracy
    assert len(answers) == 80
    assert accuracy is None
    again = spec.run(tmp_path / "out")
    assert again.data == result.data


def test_a_model_of_ones_own_with_more_outputs_than_labels():
    if helpers.BACKEND != "torch":
        pytest.skip("a PyTorch module")
    met = data("multi-label").split(2, "class")
    made = helpers.learner("er+ewc", helpers.own(helpers.Dropping, 7), objective="multi-label")
    for task in met:
        made.learn(task)
    assert evaluate(made, list(met)).rows["agnostic"][1] > 0
    assert made.predict(X[:3]).shape == (3,)


def test_outputs_are_untouched_by_targets_that_are_not_told():
    """NaN reaches neither the loss nor the gradient."""
    made, met = learned("naive", "multi-label", "class")
    samples, _ = rows(made, met[1])
    blank = helpers.batch(made, samples.replace(y=np.full_like(samples.y, np.nan)))
    assert not made.ops.numpy(made.grad(blank)).any()
    assert np.isfinite(
        made.ops.numpy(made.losses(blank, Outputs(scores=made.outputs(samples).scores)))
    ).all()


@pytest.mark.parametrize("backend", helpers.BACKENDS)
def test_targets_are_learned_on_the_scale_of_the_first_task(backend, tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    y = (300_000 + x @ [50_000.0, 20_000, -10_000])[:, None].astype(np.float32)
    made = ll.Learner(
        ll.models.mlp(32), "er", "regression", backend=backend, epochs=40, batch=16,
        optimizer=ll.Adam(0.01),
    )  # fmt: skip
    for i, shift in enumerate((0, 100_000)):
        train = ll.Samples(x=x, y=y + np.float32(shift), id=np.arange(200) + 200 * i)
        place = (i, 2)
        made.learn(ll.Task(str(i), train, ll.Samples(), ("price",), "domain", place, None, i))
        if not i:
            found = made.predict(x)
            assert np.corrcoef(found, y[:, 0])[0, 1] > 0.99
            assert np.sqrt(((found - y[:, 0]) ** 2).mean()) < 0.1 * y.std()
            first = made.scale.copy()
    np.testing.assert_allclose(first[:, 0], [y.mean(dtype=float), y.std(dtype=float)], rtol=1e-4)
    np.testing.assert_array_equal(made.scale, first)
    assert np.abs(made.memories[0].samples.y).max() < 10  # replayed targets are on the same scale
    np.testing.assert_array_equal(made.decision(x)[:, 0], made.predict(x))
    made.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(ll.load(tmp_path / "model.safetensors").predict(x), made.predict(x))
    arrays, manifest = made.state()
    del arrays["scale"]  # a file of before
    made.restore(arrays, manifest)
    assert np.abs(made.predict(x)).max() < 10
