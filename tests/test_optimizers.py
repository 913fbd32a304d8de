"""The optimizers against PyTorch's own, on a theta whose rows come at different times; schedules."""

import math
from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.optimize import Schedule, optimizer

OPTIMIZERS = {
    "sgd": (ll.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "sgd with decay": (
        ll.SGD(0.1, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01),
    ),
    "momentum": (ll.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "momentum with decay": (
        ll.SGD(0.05, momentum=0.8, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, weight_decay=0.1),
    ),
    "adam": (ll.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adam with decay": (
        ll.Adam(0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.02, (0.8, 0.95), 1e-6, 0.1),
    ),
    "adamw": (ll.AdamW(0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    "adamw with decay": (
        ll.AdamW(0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, 0.02, (0.8, 0.95), 1e-6, 0.3),
    ),
}
every_optimizer = pytest.mark.parametrize(
    ("recipe", "theirs"), OPTIMIZERS.values(), ids=list(OPTIMIZERS)
)


def watched(recipe, scenario="class", **options):
    """A float64 learner, and the list that its steps (theta before, gradient, theta after) go to."""
    taken = []

    def see(hook, learner, given):
        if hook == "batch":
            taken.append([helpers.theta(learner)])
        elif hook == "observe":
            taken[-1] += [learner.ops.numpy(given.applied).copy(), helpers.theta(learner)]

    made = helpers.learner(
        helpers.probe(see), optimizer=recipe, precision="float64", **({"steps": 20} | options)
    )
    return made, taken


def replay(taken, theirs, part=slice(None)) -> None:
    """Assert that PyTorch's optimizer, given the same gradients, takes the same steps."""
    p = torch.nn.Parameter(torch.tensor(taken[0][0][part]))
    optimizer = theirs([p])
    for before, g, after in taken:
        np.testing.assert_allclose(p.detach().numpy(), before[part], rtol=1e-12, atol=1e-12)
        p.grad = torch.tensor(g[part])
        optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), after[part], rtol=1e-12, atol=1e-12)


@every_optimizer
def test_equals_pytorch_step_for_step(recipe, theirs):
    made, taken = watched(recipe)
    made.learn(helpers.stream("class")[0])
    assert len(taken) == 20
    assert np.abs(taken[-1][2] - taken[0][0]).max() > 1e-3
    replay(taken, theirs)


def test_a_network_trained_by_pytorch_alone():
    """Forward, loss and 20 steps of Adam without any of the library's code."""
    made, taken = watched(ll.Adam(0.01))
    task = helpers.stream("class")[0]
    batches = []
    inner = made.method.parts[0].see

    def see(hook, learner, given):
        inner(hook, learner, given)
        if hook == "batch":
            batches.append(given.samples)

    made.method.parts[0].see = see
    made.learn(task)
    start = taken[0][0]
    pieces = {
        n: torch.tensor(start[s.start : s.stop].reshape(s.shape), requires_grad=True)
        for n, s in made.layout.items()
    }
    w1, b1, w2, b2, w, b = pieces.values()
    optimizer = torch.optim.Adam(list(pieces.values()), 0.01)
    for rows in batches:
        x = torch.tensor(rows.x.reshape(len(rows), -1) / 255.0)
        scores = ((x @ w1.T + b1).relu() @ w2.T + b2).relu() @ w.T + b
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, torch.tensor(rows.y)).backward()
        optimizer.step()
    end = torch.cat([p.detach().reshape(-1) for p in pieces.values()]).numpy()
    np.testing.assert_allclose(helpers.theta(made), end, rtol=1e-9, atol=1e-9)


# --- rows that come later, heads that rest ------------------------------------------------------


@every_optimizer
def test_new_rows_of_the_head_are_treated_as_fresh(recipe, theirs):
    made, taken = watched(recipe)
    stream = helpers.stream("class")
    made.learn(stream[0])
    taken.clear()
    made.learn(stream[1])
    weight, bias = made.layout["head.weight"], made.layout["head.bias"]
    width = weight.shape[1]
    for row in (2, 3):
        replay(taken, theirs, slice(weight.start + row * width, weight.start + (row + 1) * width))
        replay(taken, theirs, slice(bias.start + row, bias.start + row + 1))


@every_optimizer
def test_old_parameters_go_on_with_their_own_age(recipe, theirs):
    made, taken = watched(recipe)
    stream = helpers.stream("class")
    for task in stream:
        made.learn(task)
    body = slice(0, made.layout["head.weight"].start)
    replay(taken, theirs, body)
    start, width = made.layout["head.weight"].start, made.layout["head.weight"].shape[1]
    replay(taken, theirs, slice(start, start + 2 * width))


@every_optimizer
def test_inactive_heads_rest_to_the_bit(recipe, theirs):
    made, _ = watched(recipe, "task")
    met = helpers.tasks(helpers.stream("task", classes=6))
    made.learn(met[0])
    made.learn(met[1])
    before = helpers.whole(made)[0]
    was = {n: (s.start, s.size) for n, s in made.layout.items()}
    made.learn(met[2])
    after = helpers.whole(made)[0]
    vectors = [k for k in before if k == "backend/theta" or k.startswith("backend/moment")]
    assert len(vectors) == 1 + len(made.backend.moments)
    for key in vectors:
        for name in ("head.weight", "head.bias"):
            start, size = was[name]
            now = made.layout[name].start
            assert after[key][now : now + size].tobytes() == before[key][start : start + size].tobytes()
    body = made.layout["head.weight"].start
    assert not np.array_equal(after["backend/theta"][:body], before["backend/theta"][:body])
    assert after["backend/ages"].tolist() == [60] * 4 + [20] * 12


@every_optimizer
def test_a_head_that_is_met_again_goes_on_where_it_was(recipe, theirs):
    """Its own gradients, the steps of other heads left out, are all that its optimizer has seen."""
    made, taken = watched(recipe, "task")
    met = helpers.tasks(helpers.stream("task"))
    made.learn(met[0])
    first = list(taken)
    made.learn(met[1])
    taken.clear()
    made.learn(met[0])
    weight = made.layout["head.weight"]
    width = weight.shape[1]
    start = first[0][0].size - 2 * (width + 1)
    rows = 2 * width
    steps = [[v[start : start + rows] for v in triple] for triple in first]
    steps += [[v[weight.start : weight.start + rows] for v in triple] for triple in taken]
    replay(steps, theirs)


def test_ages_count_updates_of_every_row():
    made = helpers.learner(steps=5)
    for task in helpers.stream("class"):
        made.learn(task)
    assert made.backend.ages.tolist() == [10] * 4 + [10, 10, 5, 5] * 2


@every_optimizer
def test_reset_makes_every_task_a_first_one(recipe, theirs):
    made, taken = watched(ll.optimize.optimizers.replace(recipe, reset=True))
    stream = helpers.stream("domain")
    for task in stream:
        made.learn(task)
    replay(taken[:20], theirs)
    replay(taken[20:], theirs)
    assert set(made.backend.ages.tolist()) == {20}


@every_optimizer
def test_without_reset_the_optimizer_goes_on(recipe, theirs):
    made, taken = watched(recipe)
    for task in helpers.stream("domain"):
        made.learn(task)
    replay(taken, theirs)


# --- schedules ----------------------------------------------------------------------------------


def factors(made: Schedule, span: int = 8) -> list[float]:
    return [made.factor(i / span, 1 / span) for i in range(span)]


def test_constant_is_one():
    assert factors(Schedule()) == [1.0] * 8


def test_warm_up_rises_in_a_line():
    assert factors(Schedule("constant", warmup=0.5)) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_step_falls_at_shares_of_the_span():
    assert factors(Schedule("step")) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    made = Schedule("step", at=(0.25,), gamma=0.5, warmup=0.5)
    assert factors(made) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.5])


def test_cosine_falls_to_its_floor():
    expected = [(1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]
    assert factors(Schedule("cosine")) == pytest.approx(expected)
    assert factors(Schedule("cosine", floor=0.2)) == pytest.approx([0.2 + 0.8 * e for e in expected])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Schedule("step", at=(0.5,)), [1, 1, 0.1, 0.1] * 2),
        (Schedule("step", at=(0.5,), per="stream"), [1] * 4 + [0.1] * 4),
        (Schedule("constant", warmup=0.5), [0.5, 1, 1, 1] * 2),
        (Schedule("constant", warmup=0.5, per="stream"), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
    ],
)
def test_the_rate_of_every_step(made, expected):
    rates = []
    see = lambda hook, learner, given: rates.append(learner.rate) if hook == "batch" else None  # noqa: E731
    learner = helpers.learner(helpers.probe(see), optimizer=ll.SGD(0.2, schedule=made), steps=4)
    for task in helpers.stream("class"):
        learner.learn(task)
    assert rates == pytest.approx([0.2 * e for e in expected])


def test_over_a_stream_every_task_has_an_equal_share_whatever_its_size_and_phases():
    rates = []
    see = lambda hook, learner, given: rates.append(learner.rate) if hook == "batch" else None  # noqa: E731
    falling = ll.SGD(1.0, schedule=Schedule("step", at=(0.5,), per="stream"))
    method = helpers.probe(see) + ll.PackNet(retrain=0.5)
    learner = helpers.learner(method, optimizer=falling, epochs=1, batch=8)
    tasks = list(helpers.stream("task"))[:2]
    small = replace(tasks[0], train=tasks[0].train.take(slice(16)), place=(0, 2))
    for task in (small, replace(tasks[1], place=(1, 2))):
        learner.learn(task)
    assert rates[:3] == [1.0] * 3  # two steps, and one of the second phase
    assert len(rates) > 9
    assert rates[3:] == pytest.approx([0.1] * (len(rates) - 3))


def test_the_rate_reaches_the_update():
    made, taken = watched(ll.SGD(0.2, schedule=Schedule("step", at=(0.5,))), steps=4)
    made.learn(helpers.stream("class")[0])
    for rate, (before, g, after) in zip([0.2, 0.2, 0.02, 0.02], taken, strict=True):
        np.testing.assert_allclose(after - before, -rate * g, rtol=1e-9, atol=1e-12)


# --- by name ------------------------------------------------------------------------------------


def test_by_name():
    assert optimizer("sgd", 0.3, momentum=0.9) == ll.SGD(0.3, momentum=0.9)
    assert optimizer("adamw") == ll.AdamW()
    assert optimizer(ll.Adam(), 0.5) == ll.Adam(0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizer("adm"), "unknown optimizer 'adm': did you mean 'adam'"),
        (lambda: Schedule("cosin"), "unknown schedule 'cosin': did you mean 'cosine'"),
        (lambda: Schedule(per="epoch"), "unknown schedule span 'epoch'"),
        (lambda: Schedule("constant", warmup=1.0), "warmup=1.0"),
        (lambda: ll.SGD(0.0), "lr=0.0"),
        (lambda: ll.Adam(float("nan")), "lr=nan"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(LifelongError, match=message):
        make()
