"""Each method against its paper's equations, written out here a second time and slowly."""

from typing import Any

import helpers
import numpy as np
import pytest
from scipy.optimize import minimize

import lifelong as ll
from lifelong.batch import Batch, Outputs
from lifelong.errors import LifelongError
from lifelong.methods import registry
from lifelong.methods.replay.gem import RIDGE, dual

pytestmark = pytest.mark.usefixtures("backend")


def part(made: ll.Learner, name: str) -> Any:
    return next(p for p in made.method if p.name == name)


def begun(name: str, scenario: str, tasks: int = 1, **options: Any) -> tuple[ll.Learner, list[ll.Task]]:
    """A learner that has learned so many tasks and stands behind the first step of the next."""
    met = helpers.tasks(helpers.stream(scenario, classes=6))
    made = helpers.learner(name, **options)
    for task in met[:tasks]:
        made.learn(task)
    next(made.steps(met[tasks]))
    return made, met


def encoded(made: ll.Learner, task: ll.Task, count: int = 16) -> Batch:
    """Rows of a task's training set as a batch of tensors."""
    return helpers.batch(made, made.encode(task.train.take(slice(count)), task.classes))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# --- holding parameters -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["l2", "online-ewc", "si", "mas", "rwalk"])
def test_the_pull_is_the_gradient_of_the_penalty(name):
    made, met = begun(name, "domain", precision="float64")
    method, batch = part(made, name), encoded(made, met[1])
    zero = made.theta * 0.0
    pull = made.ops.numpy(method.gradient(made, batch, zero))
    importance, anchor = (made.ops.numpy(v) for v in (method.importance, method.anchor))
    theta = made.ops.numpy(made.theta)
    factor = 1 if name in ("l2", "online-ewc") else 2
    assert np.abs(pull).max() > 0
    np.testing.assert_allclose(
        pull, factor * method.strength * importance * (theta - anchor), rtol=1e-9, atol=1e-12
    )
    assert importance.min() >= 0


def test_si_divides_the_fall_of_the_loss_among_the_parameters():
    """With small steps of plain descent on one batch, the sum of omega is how far the loss fell."""
    met = helpers.tasks(helpers.stream("domain"))
    made = helpers.learner("si", optimizer=ll.SGD(0.02), batch=80, steps=80, precision="float64")
    steps, losses = made.steps(met[0]), []
    whole = encoded(made, met[0], 80)
    for _ in range(80):
        losses.append(float(made.ops.numpy(made.mean_loss(whole, made.outputs(whole)))))
        next(steps)
    losses.append(float(made.ops.numpy(made.mean_loss(whole, made.outputs(whole)))))
    total = made.ops.numpy(part(made, "si").omega).sum()
    assert losses[0] - losses[-1] > 0.01
    assert total == pytest.approx(losses[0] - losses[-1], rel=0.05)


def test_si_counts_what_was_gained_over_how_far_it_went():
    met = helpers.tasks(helpers.stream("domain"))
    made = helpers.learner(ll.SI(1.0, xi=0.01), precision="float64")
    steps = made.steps(met[0])
    start = helpers.theta(made)
    for _ in range(12):
        next(steps)
    method = part(made, "si")
    omega = made.ops.numpy(method.omega).copy()
    next(steps, None)
    moved = helpers.theta(made) - start
    expected = np.maximum(omega / (moved**2 + 0.01), 0)
    np.testing.assert_allclose(made.ops.numpy(method.importance), expected, rtol=1e-9, atol=1e-15)
    assert not made.ops.numpy(method.omega).any()


def test_online_ewc_forgets_old_information_at_its_rate():
    made, met = begun("online-ewc", "domain")
    first = made.ops.numpy(part(made, "online-ewc").importance).copy()
    part(made, "online-ewc").gamma = 0.5
    made.learn(met[1])
    second = made.ops.numpy(part(made, "online-ewc").importance)
    from lifelong.methods.regularization.fisher import fisher

    new = made.ops.numpy(fisher(made, made.encode(met[1].train, met[1].classes), "all"))
    np.testing.assert_allclose(second, 0.5 * first + new, rtol=1e-5, atol=1e-12)


def test_mas_is_the_mean_slope_of_the_squared_length_of_the_scores():
    """Against differences of the outputs themselves, for a few parameters."""
    met = helpers.tasks(helpers.stream("class"))
    made = helpers.learner("mas", precision="float64")
    made.learn(met[0])
    importance = made.ops.numpy(part(made, "mas").importance)
    samples = made.encode(met[0].train, met[0].classes)

    def lengths(theta: np.ndarray) -> np.ndarray:
        scores = made.ops.numpy(made.outputs(samples, at=made.ops.tensor(theta)).scores)
        return (scores[:, made.seen] ** 2).sum(1)

    theta, eps = helpers.theta(made), 1e-6
    for i in [*np.argsort(-importance)[:5].tolist(), 0]:
        up, down = theta.copy(), theta.copy()
        up[i] += eps
        down[i] -= eps
        slope = np.abs(lengths(up) - lengths(down)).mean() / (2 * eps)
        assert importance[i] == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_rwalk_keeps_each_half_of_its_importance_within_one():
    made, _ = begun("rwalk", "class", tasks=2)
    importance = made.ops.numpy(part(made, "rwalk").importance)
    assert importance.min() >= 0
    assert 1 <= importance.max() <= 2


# --- distilling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("weights", ["one", "tasks"])
def test_lwf_is_the_cross_entropy_with_the_old_answers(scenario, weights):
    method = ll.LwF(0.7, temperature=3.0, weights=weights)
    made, met = begun(method, scenario, tasks=2, precision="float64")
    batch = encoded(made, met[2])
    now = made.outputs(batch)
    old = made.ops.numpy(made.outputs(batch, at=part(made, "lwf").teacher).scores)
    z = made.ops.numpy(now.scores)
    heads = [(made.old, made.columns)]
    if scenario == "task":
        heads = [(made.heads[0], made.heads[0]), (made.heads[1], made.heads[1])]
    total = 0.0
    for known, admitted in heads:
        p = softmax(old[:, known] / 3)
        q = softmax(z[:, admitted] / 3)[:, [admitted.index(c) for c in known]]
        total += -9 * (p * np.log(q)).sum(1).mean()
    total *= 0.7 * (2 / len(heads) if weights == "tasks" else 1)
    assert made.ops.numpy(part(made, "lwf").loss(made, batch, now)) == pytest.approx(total, rel=1e-9)


def test_lfl_keeps_old_rows_of_the_head_and_old_features_near():
    made, met = begun("lfl", "class", precision="float64")
    batch = encoded(made, met[1])
    now = made.outputs(batch)
    old = made.outputs(batch, at=part(made, "lfl").teacher)
    apart = made.ops.numpy(now.features) - made.ops.numpy(old.features)
    loss = made.ops.numpy(part(made, "lfl").loss(made, batch, now))
    assert loss == pytest.approx(0.5 * (apart**2).sum(1).mean())
    assert loss > 0
    segment = made.layout["head.weight"]
    before = helpers.theta(made)[segment.start : segment.stop].reshape(segment.shape)
    made.learn(met[1])
    after = helpers.theta(made)[segment.start : segment.stop].reshape(segment.shape)
    assert before[:2].tobytes() == after[:2].tobytes()
    assert not np.array_equal(before[2:], after[2:])


# --- stored scores ------------------------------------------------------------------------------


def test_der_stores_the_scores_of_the_moment_and_renews_them_in_later_passes():
    met = helpers.tasks(helpers.stream("class", classes=6))
    made = helpers.learner(ll.DER(200), steps=5)  # one pass of 80 rows by 16
    seen: dict[int, np.ndarray] = {}
    inner = made.step

    def step(batch: Batch) -> None:
        scores = made.ops.numpy(made.outputs(batch.samples).scores)
        seen.update(zip(batch.samples.id.tolist(), scores, strict=True))
        inner(batch)

    made.step = step
    made.learn(met[0])
    stored = part(made, "der").stored.samples
    assert len(stored) == 80
    for i, logits in zip(stored.id.tolist(), stored.logits, strict=True):
        np.testing.assert_allclose(logits, seen[i], rtol=1e-4, atol=1e-5)
    first = stored.logits.copy()
    again = helpers.learner(ll.DER(200), steps=10)
    again.step, inner = step, again.step
    made = again
    made.learn(met[0])
    stored = part(made, "der").stored.samples
    for i, logits in zip(stored.id.tolist(), stored.logits, strict=True):
        np.testing.assert_allclose(logits, seen[i], rtol=1e-4, atol=1e-5)
    assert not np.allclose(first, stored.logits)


@pytest.mark.parametrize("name", ["der", "der++"])
def test_stored_scores_are_compared_on_the_width_they_were_stored_with(name):
    made, met = begun(name, "class", tasks=1, precision="float64", epochs=2)
    method = part(made, name)
    stored = method.stored.samples
    old = stored.take(np.isin(stored.id, met[0].train.id))
    assert len(old)
    assert np.isnan(old.logits[:, 2:]).all()
    assert not np.isnan(old.logits[:, :2]).any()
    batch = Batch(made.encode(met[1].train.take(slice(16)), met[1].classes))
    method.batch(made, batch)
    made.backend.batch(batch)
    out = made.outputs(batch)
    z, own = made.ops.numpy(out.scores), batch.rows(method)
    drawn = made.ops.numpy(batch.tensors[f"{name}.logits"])
    n = len(drawn)
    expected = method.alpha * np.nanmean((z[own][:n] - drawn) ** 2)
    if name == "der++":
        p = softmax(z[own][n:][:, made.seen])
        y = made.ops.numpy(batch.y)[own][n:]
        expected += method.beta * -np.log(p[np.arange(len(y)), [made.seen.index(c) for c in y]]).mean()
    assert made.ops.numpy(method.loss(made, batch, out)) == pytest.approx(expected, rel=1e-9)


# --- gradients that may not hurt ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_the_dual_is_what_a_general_solver_finds(seed):
    """Also where gradients are parallel, and their Gram matrix is singular."""
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((6, 40))
    if seed % 2:
        G[3] = 2 * G[1]
        G[5] = 0
    gram, along, margin = G @ G.T, G @ rng.standard_normal(40) * 5, 0.5 * (seed % 3)
    P = gram + RIDGE * np.eye(6)
    found = dual(gram, along, margin)
    assert found.min() >= margin - 1e-12
    value = lambda v: 0.5 * v @ P @ v + v @ along  # noqa: E731
    other = minimize(
        value, np.full(6, margin + 1.0), jac=lambda v: P @ v + along, method="L-BFGS-B",
        bounds=[(margin, None)] * 6, options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert value(found) <= other.fun + 1e-8 * max(1, abs(other.fun))
    slope = P @ found + along  # the conditions of an optimum
    assert slope.min() > -1e-7
    assert np.abs(slope * (found - margin)).max() < 1e-6


@pytest.mark.parametrize("name", ["gem", "a-gem"])
def test_the_edited_gradient_does_not_raise_the_loss_on_what_is_stored(name):
    made, met = begun(name, "class", tasks=2, precision="float64")
    method = part(made, name)
    batch = Batch(made.encode(met[2].train.take(slice(16)), met[2].classes))
    if name == "a-gem":
        method.batch(made, batch)
    made.backend.batch(batch)
    references = [batch.aside(method)] if name == "a-gem" else method.tasks
    G = np.stack([made.ops.numpy(made.grad(rows)) for rows in references])
    against = made.ops.tensor(-G.sum(0) + 0.1 * G[0] ** 2)
    assert (G @ made.ops.numpy(against) < 0).all()
    edited = made.ops.numpy(method.gradient(made, batch, against))
    assert (G @ edited > -1e-2 * np.linalg.norm(G[0])).all()
    along = made.ops.tensor(G.sum(0))
    assert (G @ made.ops.numpy(along) > 0).all()
    assert np.array_equal(made.ops.numpy(method.gradient(made, batch, along)), made.ops.numpy(along))
    if name == "a-gem":
        g, r = made.ops.numpy(against), G[0]
        np.testing.assert_allclose(edited, g - g @ r / (r @ r + 1e-7) * r, rtol=1e-9, atol=1e-12)


def test_gem_keeps_the_last_that_each_task_showed():
    made, met = begun("gem", "domain", tasks=2, epochs=1)
    method = part(made, "gem")
    for place in (0, 1):
        held = method.stored.samples.take(method.stored.samples.place == place)
        assert len(held) == 10
        assert np.isin(held.id, met[place].train.id).all()
    assert [len(batch) for batch in method.tasks] == [10, 10]


def test_gem_shares_a_whole_memory_among_the_tasks():
    made, _ = begun(ll.GEM(30), "domain", tasks=2, epochs=1)
    held = part(made, "gem").stored.samples
    assert len(held) == 30
    assert np.bincount(held.place).tolist() in ([10, 10, 10], [11, 10, 9], [10, 11, 9], [8, 8, 14])


# --- parameters of a task's own -----------------------------------------------------------------

ISOLATING = [
    n
    for n in helpers.METHODS
    if {"parameters", "readout"} <= set(registry()[n].slots) and n != "task-layers"  # its trunk moves
]


@pytest.mark.parametrize("optimizer", [ll.Adam(0.01), ll.SGD(0.1, momentum=0.9, weight_decay=0.01)])
@pytest.mark.parametrize("name", ISOLATING)
def test_an_earlier_task_gets_the_same_scores_to_the_bit(name, optimizer):
    met = helpers.tasks(helpers.stream("task", classes=8))
    made, kept = helpers.learner(name, optimizer=optimizer), {}
    for i, task in enumerate(met):
        made.learn(task)
        for j in range(i + 1):
            samples = made.encode(met[j].test, met[j].classes)
            scores = made.ops.numpy(made.scores(helpers.batch(made, samples)))[:, made.heads[j]]
            assert scores.tobytes() == kept.setdefault(j, scores).tobytes(), (i, j)
    assert len({scores.tobytes() for scores in kept.values()}) == 4


def test_the_isolating_methods_are_these():
    assert ISOLATING == ["hat", "packnet", "pnn", "separate"]


@pytest.mark.parametrize("model", [ll.models.cnn(3, features=8), ll.models.resnet18(2)])
@pytest.mark.parametrize("name", ["hat", "separate"])
def test_images_are_not_forgotten_either(name, model):
    if name == "hat" and model == ll.models.resnet18(2):
        with pytest.raises(LifelongError, match="mlp or cnn"):
            helpers.learner(name, model).learn(helpers.stream("task")[0])
        return
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner(name, model, steps=4)
    made.learn(met[0])
    batch = helpers.batch(made, made.encode(met[0].test, met[0].classes))
    before = made.ops.numpy(made.scores(batch))[:, :2].copy()
    made.learn(met[1])
    assert made.ops.numpy(made.scores(batch))[:, :2].tobytes() == before.tobytes()


def test_hat_gates_are_steep_at_the_end_of_a_pass_and_hard_in_evaluation():
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner(ll.HAT(smax=50.0), steps=10)  # two passes of five
    slopes = []
    inner = made.step

    def step(batch: Batch) -> None:
        inner(batch)
        slopes.append(float(batch.extra["s"]))

    made.step = step
    made.learn(met[0])
    np.testing.assert_allclose(slopes[:5], np.linspace(1 / 50, 50, 5), rtol=1e-6)
    assert slopes[5:] == slopes[:5]
    batch = helpers.batch(made, made.encode(met[0].test, met[0].classes))
    gates = made.ops.numpy(part(made, "hat").model_args(made, batch)["gates"])
    assert set(np.unique(gates)) == {0.0, 1.0}
    used = made.ops.numpy(part(made, "hat").used)
    assert (gates == used).all()
    silent = np.flatnonzero(used[-16:] == 0)
    assert not made.ops.numpy(made.outputs(batch).features)[:, silent].any()


def test_hat_compensates_the_gradient_of_its_embeddings():
    """Equation 4 of the paper, on the term of the loss that is the gates' own."""
    made, met = begun("hat", "task", precision="float64")
    method, batch = part(made, "hat"), Batch(made.encode(met[1].train, met[1].classes))
    method.batch(made, batch)
    batch.extra["s"] = np.array(3.0, np.float32)
    made.backend.batch(batch)
    own = lambda batch, out: method.loss(made, batch, out)  # noqa: E731
    _, g = made.backend.gradient(batch, made.model_args, own)
    at = made.layout["hat.e"]
    q = made.ops.numpy(made.backend.flat(g))[at.start : at.stop].reshape(2, -1)
    e, free = made.ops.numpy(method.e)[1], 1 - made.ops.numpy(method.used)
    s, smax = 3.0, method.smax
    slope = s * np.exp(-s * e) / (1 + np.exp(-s * e)) ** 2
    plain = method.strength * free / free.sum() * slope
    expected = smax / s * (np.cosh(s * e) + 1) / (np.cosh(e) + 1) * plain
    assert free.sum() > 0
    assert not q[0].any()  # the first task's
    np.testing.assert_allclose(q[1], expected, rtol=1e-6, atol=1e-12)
    gates = made.ops.numpy(method.model_args(made, batch)["gates"])[0]
    np.testing.assert_allclose(gates, 1 / (1 + np.exp(-s * e)), rtol=1e-9)


def test_a_new_column_sees_the_ones_before_it():
    """Where a lateral weight is changed, the new task's features change and the old one's do not."""
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner("pnn")
    for task in met:
        made.learn(task)
    batches = [helpers.batch(made, made.encode(t.test, t.classes)) for t in met]
    before = [made.ops.numpy(made.outputs(b).features).copy() for b in batches]
    theta, at = helpers.theta(made), made.layout["body.laterals.0.0.weight"]
    assert at.shape == (16, 16)
    theta[at.start : at.stop] += 1
    made.assign(made.ops.tensor(theta))
    after = [made.ops.numpy(made.outputs(b).features) for b in batches]
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_separate_networks_are_what_learners_of_their_own_would_be():
    """The second task's network moves as one that has nothing before it."""
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner("separate")
    names = {f"body.columns.{k}.{i}.weight" for k in (0, 1) for i in (1, 3)}
    for task in met:
        made.learn(task)
    assert names <= set(made.layout)
    assert made.parameters == 2 * (36 * 16 + 16 + 16 * 16 + 16) + 4 * 17


def test_xdg_leaves_out_its_share_of_every_layer():
    made, _ = begun(ll.XdG(0.75), "task")
    gates = made.ops.numpy(part(made, "xdg").gates)
    assert gates.shape == (2, 32)
    assert gates.reshape(2, 2, 16).sum(2).tolist() == [[4, 4], [4, 4]]
    assert not np.array_equal(gates[0], gates[1])


@pytest.mark.parametrize("name", ["xdg", "hat", "pnn", "separate"])
def test_models_that_cannot_be_gated_or_multiplied_are_refused(name):
    if helpers.BACKEND != "torch":
        return
    made = helpers.learner(name, helpers.own(helpers.Dropping))
    with pytest.raises(LifelongError, match=r"recipe as model|mlp or cnn"):
        made.learn(helpers.stream("task")[0])


# --- what parts may ask of a learner ------------------------------------------------------------


def test_a_gradient_of_rows_set_aside_is_that_of_their_mean_loss():
    made, met = begun("naive", "class", precision="float64")
    rows = encoded(made, met[1])
    g = made.ops.numpy(made.grad(rows))
    theta, eps = helpers.theta(made), 1e-6

    def loss(values: np.ndarray) -> float:
        out: Outputs = made.outputs(rows, at=made.ops.tensor(values))
        return float(made.ops.numpy(made.mean_loss(rows, out)))

    for i in np.argsort(-np.abs(g))[:5]:
        up, down = theta.copy(), theta.copy()
        up[i] += eps
        down[i] -= eps
        assert g[i] == pytest.approx((loss(up) - loss(down)) / (2 * eps), rel=1e-4)


def test_a_weight_of_a_part_is_read_only():
    made, _ = begun("hat", "task")
    with pytest.raises(LifelongError, match="moved by the optimizer"):
        part(made, "hat").e = 0
