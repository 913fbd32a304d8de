"""Per-sample moments, Fisher information and EWC against loops over samples with plain autograd."""

import helpers
import numpy as np
import pytest
import torch
from torch import nn

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.learner import Phase
from lifelong.methods.regularization.fisher import fisher


class Shared(nn.Module):
    """A user's own module that uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.out = nn.Linear(36, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        h = self.first(x.flatten(1)).tanh()
        return self.out(self.twice(self.twice(h).tanh()).tanh())


class Tied(nn.Module):
    """One whose two layers share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up, self.down = nn.Linear(36, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.down.weight = self.up.weight

    def forward(self, x):
        return self.down(self.up(self.first(x.flatten(1)).tanh()).tanh())


class Sequence(nn.Module):
    """One whose dense layer sees three-dimensional input: every picture is six rows of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.row, self.out = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x):
        return self.out(self.row(x).tanh().mean(1))


class Scaled(nn.Module):
    """One with a parameter that is in no layer, and a layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, 1.5, -1.0, 2.0]))
        self.dense, self.out = nn.Linear(36, 8, bias=False), nn.Linear(8, 4, bias=False)

    def forward(self, x):
        return self.out(self.dense(x.flatten(1)).tanh()) * self.scale


class Unbiased(nn.Module):
    """Dense layers without bias: layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.out = nn.Linear(36, 8, bias=False), nn.Linear(8, 4, bias=False)

    def forward(self, x):
        return self.out(self.dense(x.flatten(1)).tanh())


class Threefold(nn.Linear):
    """A dense layer with a forward of its own."""

    def forward(self, x):
        return nn.functional.linear(x, 3 * self.weight, self.bias)


def threefold() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Threefold(36, 8), nn.Tanh(), nn.Linear(8, 4))


def normed() -> nn.Module:
    """Weights that are computed from others."""
    first = nn.utils.parametrizations.weight_norm(nn.Linear(36, 8))
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(8, 4))


def hooked() -> nn.Module:
    """A layer whose output a hook changes."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 4))
    made[1].register_forward_hook(lambda layer, x, z: z * layer.weight.sum())
    return made


class Again(nn.Module):
    """One whose layer is called once, and its weight used again by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(36, 8), nn.Linear(8, 4)

    def forward(self, x):
        h = self.first(x.flatten(1)).tanh()
        return self.out(h) + nn.functional.linear(h.sin(), self.out.weight)


class Decided(nn.Module):
    """One that looks at its input's numbers, so that it cannot be vectorized."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.out = nn.Parameter(torch.tensor(1.5)), nn.Linear(36, 4)

    def forward(self, x):
        x = x.flatten(1)
        return self.out(x * self.scale if x.mean().item() > 0 else x)


def frozen(layer: int) -> nn.Module:
    """One of two layers holds still."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 4))
    for held in made[layer].parameters():
        held.requires_grad_(False)
    return made


MODELS = {
    "dense": lambda: ll.models.mlp(12, 8),
    "conv": lambda: ll.models.cnn(3, features=6),
    "shared": lambda: helpers.own(Shared),
    "tied": lambda: helpers.own(Tied),
    "sequence": lambda: helpers.own(Sequence),
    "scaled": lambda: helpers.own(Scaled),
    "unbiased": lambda: helpers.own(Unbiased),
    "dropout": lambda: helpers.own(helpers.Dropping),
    "threefold": lambda: helpers.own(threefold),
    "normed": lambda: helpers.own(normed),
    "hooked": lambda: helpers.own(hooked),
    "again": lambda: helpers.own(Again),
    "decided": lambda: helpers.own(Decided),
    "frozen first": lambda: helpers.own(frozen, 1),
    "frozen last": lambda: helpers.own(frozen, 3),
}
every_model = pytest.mark.parametrize("model", MODELS)


def ready(model="dense", scenario="class", tasks=2, name="naive", **options) -> ll.Learner:
    """A learner in float64 that has learned a little."""
    made = helpers.learner(name, MODELS[model](), precision="float64", steps=4, **options)
    for task in helpers.tasks(helpers.stream(scenario))[:tasks]:
        made.learn(task)
    return made


def some(made: ll.Learner, count: int = 23, scenario: str = "class", task: int = 1) -> ll.Samples:
    """Encoded samples of a task."""
    met = helpers.tasks(helpers.stream(scenario))[task]
    return made.encode(met.train.take(slice(count)), met.classes)


def forward(made: ll.Learner, theta: torch.Tensor, x: torch.Tensor):
    """The network's scores with these parameters."""
    pieces = {n: theta[s.start : s.stop].view(s.shape) for n, s in made.layout.items()}
    return torch.func.functional_call(made.backend.network.eval(), pieces, (x,)).scores


def brute(made: ll.Learner, samples: ll.Samples, f, power: int) -> np.ndarray:
    """The same mean with one backward pass for every sample and term."""
    theta = made.theta.detach().clone().requires_grad_()
    total = torch.zeros_like(theta)
    for i in range(len(samples)):
        row = helpers.batch(made, samples.take([i]))
        out = ll.learner.Outputs(scores=forward(made, theta, row.x))
        for weight, value in f(out, row):
            (g,) = torch.autograd.grad(value.sum(), theta, retain_graph=True)
            total += weight.detach().sum() * g.abs() ** power
    for name in made.backend.frozen:
        total[made.layout[name].start : made.layout[name].stop] = 0
    return (total / len(samples)).numpy()


def close(a, b) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert np.abs(b).max() > 1e-6
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.abs(b).max())


def log_likelihood(out, batch):
    """One term with weight 1."""
    log_p = out.scores.log_softmax(-1)
    return [(torch.ones_like(log_p[:, 0]), log_p.gather(1, batch.y[:, None])[:, 0])]


def norm(out, batch):
    """MAS: the squared length of the scores."""
    return [(torch.ones_like(out.scores[:, 0]), (out.scores**2).sum(1))]


def weighted(out, batch):
    """Several terms with weights of their own, one of them 0."""
    terms = [(torch.zeros_like(out.scores[:, 0]), out.scores[:, 0])]
    return terms + [((batch.y + c) / 3.0, out.scores[:, c].sin()) for c in range(1, 4)]


@every_model
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("f", [log_likelihood, norm, weighted], ids=lambda f: f.__name__)
def test_moment_equals_a_loop_over_samples(model, power, f):
    made = ready(model)
    samples = some(made)
    found = made.ops.numpy(made.moment(samples, f, power))
    assert found.dtype == np.float64
    close(found, brute(made, samples, f, power))


@every_model
def test_moment_does_not_depend_on_chunks(model, monkeypatch):
    made = ready(model)
    samples = some(made)
    whole = made.ops.numpy(made.moment(samples, weighted, 2))
    for chunk in (1, 7, 22):
        monkeypatch.setattr("lifelong.learner.CHUNK", chunk)
        close(made.ops.numpy(made.moment(samples, weighted, 2)), whole)


def test_the_dense_path_is_taken_where_it_can_be_and_only_there(monkeypatch):
    taken = {}
    for model in MODELS:
        made = ready(model)
        by_sample, calls = made.backend._moment_by_sample, []
        monkeypatch.setattr(
            made.backend, "_moment_by_sample", lambda *a, f=by_sample, c=calls: c.append(1) or f(*a)
        )
        made.moment(some(made), norm, 1)
        taken[model] = not calls
    layered = {"dense", "unbiased", "dropout", "frozen first", "frozen last"}
    assert taken == {model: model in layered for model in MODELS}


def test_the_dense_path_is_taken_in_every_precision(monkeypatch):
    for precision in ("float32", "bf16"):
        made = helpers.learner("naive", ll.models.mlp(32, 32), precision=precision, steps=4)
        for task in helpers.tasks(helpers.stream("class")):
            made.learn(task)
        monkeypatch.setattr(made.backend, "_moment_by_sample", None)  # calling it fails
        assert made.ops.numpy(made.moment(some(made, 40), norm, 2)).max() > 0


@pytest.mark.parametrize("name", ["ewc", "mas", "rwalk"])
def test_what_is_frozen_has_no_importance_and_stays(name):
    made = helpers.learner(name, helpers.own(frozen, 1), steps=12)
    before = None
    for task in helpers.tasks(helpers.stream("class")):
        made.learn(task)
        before = helpers.theta(made) if before is None else before
    weight, out = made.layout["body.1.weight"], made.layout["body.3.weight"]
    importance = made.ops.numpy(getattr(made.method.parts[0], "F" if name == "ewc" else "importance"))
    assert (importance[weight.start : weight.stop] == 0).all()
    assert (importance[out.start : out.stop] > 0).any()
    after = helpers.theta(made)
    assert np.array_equal(after[weight.start : weight.stop], before[weight.start : weight.stop])
    assert not np.array_equal(after[out.start : out.stop], before[out.start : out.stop])


def test_moment_is_taken_in_evaluation_mode_and_draws_nothing():
    made = ready("dropout")
    samples = some(made)
    first = made.ops.numpy(made.moment(samples, norm, 2))
    assert first.tobytes() == made.ops.numpy(made.moment(samples, norm, 2)).tobytes()


# --- Fisher information -------------------------------------------------------------------------


def fisher_terms(made: ll.Learner, labels: str, columns: list[int]):
    """The terms of the Fisher information over these columns, written with plain PyTorch."""
    outside = [c for c in range(made.width) if c not in columns]

    def terms(out, batch):
        scores = out.scores.clone()
        scores[:, outside] = -np.inf
        log_p = scores.log_softmax(-1)
        p = log_p.exp().detach()
        if labels == "true":
            return log_likelihood(ll.learner.Outputs(scores=scores), batch)
        return [(p[:, c], log_p[:, c]) for c in columns]

    return terms


@pytest.mark.parametrize("model", ["dense", "conv", "shared"])
@pytest.mark.parametrize("labels", ["all", "true"])
@pytest.mark.parametrize(
    ("scenario", "output", "columns"),
    [
        ("class", None, [0, 1, 2, 3]),
        ("class", "all", [0, 1, 2, 3]),
        ("task", None, [2, 3]),
        ("domain", None, [0, 1]),
    ],
)
def test_fisher_equals_a_loop_over_samples(model, labels, scenario, output, columns):
    made = ready(model, scenario, output=output)
    samples = some(made, 23, scenario)
    found = made.ops.numpy(fisher(made, samples, labels))
    close(found, brute(made, samples, fisher_terms(made, labels, columns), 2))
    assert (found >= 0).all()


def test_fisher_weighs_samples_as_the_loss_does():
    made = ready()
    samples = some(made, 12)
    weight = np.repeat(np.float32([0, 1, 3]), 4)
    found = made.ops.numpy(fisher(made, samples.replace(weight=weight), "all"))
    parts = [made.ops.numpy(fisher(made, samples.take(slice(i, i + 4)), "all")) for i in (4, 8)]
    close(found, (parts[0] + 3 * parts[1]) / 4)


def test_fisher_is_over_the_classes_seen_so_far():
    """After the first of two tasks, the own module's two unseen columns have no part in it."""
    made = ready("shared", tasks=1)
    samples = some(made, task=0)
    found = made.ops.numpy(fisher(made, samples, "all"))
    close(found, brute(made, samples, fisher_terms(made, "all", [0, 1]), 2))
    bias = made.layout["body.out.bias"]
    assert (found[bias.start + 2 : bias.stop] == 0).all()


def test_sampled_labels_are_drawn_from_the_model():
    """Of many copies of one sample, the mean over drawn labels nears that over all."""
    made = ready()
    one = some(made, 1)
    many = one.take(np.zeros(20_000, int))
    exact = made.ops.numpy(fisher(made, one, "all"))
    drawn = made.ops.numpy(fisher(made, many, "sample"))
    true = made.ops.numpy(fisher(made, one, "true"))
    assert np.abs(drawn - exact).max() < 0.05 * exact.max()
    assert np.abs(true - exact).max() > 0.2 * exact.max()
    again = made.ops.numpy(fisher(made, many, "sample"))
    assert not np.array_equal(drawn, again)


def test_the_mean_does_not_depend_on_how_often_a_sample_stands():
    made = ready()
    samples = some(made)
    doubled = ll.Samples.concat([samples, samples])
    close(fisher(made, doubled, "all").numpy(), fisher(made, samples, "all").numpy())


def test_unknown_labels_are_refused():
    made = ready()
    with pytest.raises(LifelongError, match="unknown label mode 'truth'"):
        fisher(made, some(made), "truth")


# --- EWC ----------------------------------------------------------------------------------------


def consolidations(made: ll.Learner):
    """(Fisher, optimum) of every task, noted as EWC's end is reached."""
    part = made.method.parts[0]
    inner, noted = part.end, []

    def end(learner, task, phase):
        before = learner.ops.numpy(part.F).copy()
        inner(learner, task, phase)
        noted.append((learner.ops.numpy(part.F) - before, helpers.theta(learner)))

    object.__setattr__(part, "end", end)
    return noted


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("labels", ["all", "true"])
def test_ewc_is_the_sum_of_one_quadratic_per_task(scenario, labels):
    made = helpers.learner(
        ll.EWC(50.0, labels), ll.models.mlp(8), precision="float64", optimizer=ll.SGD(0.1), steps=20
    )
    noted = consolidations(made)
    for task in helpers.tasks(helpers.stream(scenario, classes=8)):
        made.learn(task)
    assert len(noted) == 4
    part, size = made.method.parts[0], made.parameters
    names = list(made.layout)
    rng = np.random.default_rng(0)
    point = helpers.theta(made) + rng.normal(0, 0.1, size)
    expected = np.zeros(size)
    for F, optimum in noted:
        for name in names:  # an earlier task's vectors are shorter: its head had fewer rows
            now = made.layout[name]
            then = place(name, now, len(F), made)
            rows = slice(now.start, now.start + then.stop - then.start)
            expected[rows] += 50.0 * F[then] * (point[rows] - optimum[then])
    made.assign(made.ops.tensor(point))
    found = part.gradient(made, None, made.ops.tensor(np.zeros(size))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    assert np.abs(expected).max() > 1e-3


def place(name: str, now, size: int, made: ll.Learner) -> slice:
    """Where a parameter lay in a vector of this size, when the head had fewer rows."""
    body = made.layout["head.weight"].start
    width = made.layout["head.weight"].shape[1]
    rows = (size - body) // (width + 1)
    if name == "head.weight":
        return slice(body, body + rows * width)
    if name == "head.bias":
        return slice(body + rows * width, size)
    return slice(now.start, now.stop)


def test_where_nothing_is_known_nothing_is_held():
    """F = 0: no pull, and no NaN, before the first task and for weights that no sample reaches."""
    made = helpers.learner(ll.EWC(1e9), steps=3)
    met = helpers.tasks(helpers.stream("class"))
    made.steps(met[0])
    g = made.ops.tensor(np.arange(made.parameters, dtype=np.float32))
    part = made.method.parts[0]
    assert part.gradient(made, None, g).numpy().tolist() == g.numpy().tolist()
    for task in met:
        made.learn(task)
    dark = [s for s in (part.F.numpy(), part.r.numpy(), helpers.theta(made))]
    assert all(np.isfinite(v).all() for v in dark)
    assert (part.F.numpy() == 0).any()


def test_ewc_pulls_toward_the_anchor_with_float64_books():
    made = helpers.learner(ll.EWC(50.0), steps=5)
    for task in helpers.tasks(helpers.stream("class")):
        made.learn(task)
    part = made.method.parts[0]
    assert part.F.dtype == part.r.dtype == torch.float64
    assert made.theta.dtype == torch.float32
    zero = torch.zeros_like(made.theta)
    F, r, anchor = part.F.numpy(), part.r.numpy(), part.anchor.numpy()
    made.assign(made.theta + 0.5)
    pull = 50.0 * (F * (helpers.theta(made) - anchor) + r)
    found = part.gradient(made, None, zero).numpy()
    np.testing.assert_allclose(found, pull, rtol=1e-5, atol=1e-6 * np.abs(pull).max())


def test_a_phase_that_is_not_the_last_consolidates_nothing():
    made = helpers.learner(ll.EWC(50.0), steps=2)
    task = helpers.stream("class")[0]
    made.learn(task)
    before = helpers.whole(made)
    made.method.parts[0].end(made, task, Phase("train", 2, last=False))
    helpers.same_state(before, helpers.whole(made))


def test_a_strong_pull_holds_and_a_weak_one_does_not():
    moved = {}
    for strength in (0.001, 400.0):
        made = helpers.learner(ll.EWC(strength), optimizer=ll.SGD(0.01), steps=60)
        met = helpers.tasks(helpers.stream("domain"))
        made.learn(met[0])
        anchor, F = helpers.theta(made), made.method.parts[0].F.numpy()
        made.learn(met[1])
        moved[strength] = float((F * (helpers.theta(made) - anchor) ** 2).sum())
    assert moved[400.0] < 0.3 * moved[0.001]
