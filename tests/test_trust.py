"""Nothing that went wrong is kept, and nothing that is loaded is trusted."""

import copy
import json
import math
import random

import helpers
import numpy as np
import pytest
import torch

import lifelong as ll
from lifelong import budget
from lifelong.backends import base
from lifelong.errors import LifelongError
from lifelong.store import configuration, from_configuration

# --- not finite ---------------------------------------------------------------------------------


def one_line(error: Exception) -> None:
    assert "\n" not in str(error)


def tasks(each: int = 20) -> list[ll.Task]:
    return list(helpers.stream("class", each=each))


def floats(n: int = 32, seed: int = 0) -> ll.Samples:
    rng = np.random.default_rng(seed)
    return ll.Samples(x=rng.random((n, 5), np.float32), y=np.arange(n) % 2, id=np.arange(n))


def whole(samples: ll.Samples, scenario: str = "domain") -> ll.Task:
    return next(iter(ll.Dataset("floats", samples, samples, ("a", "b")).whole(scenario)))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["naive", "er", "der++", "ewc", "gem", "icarl", "si", "rwalk", "dgr"])
def test_a_task_that_diverges_is_refused_and_not_saved(name, tmp_path):
    made = helpers.learner(name, optimizer=ll.SGD(0.05))
    first, second = tasks()
    made.learn(first)
    made.optimizer = made.backend.optimizer = ll.SGD(1e30)
    with pytest.raises(LifelongError, match="no longer finite: lower the learning rate") as error:
        made.learn(second)
    assert "\n" not in str(error.value)
    if name == "gem":  # it ends before a step is made that is not finite
        return
    for use in (made.state, lambda: made.save(tmp_path / "model"), lambda: copy.deepcopy(made)):
        with pytest.raises(LifelongError, match="no longer finite"):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["theta", "moment", "vector", "memory", "snapshot"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_whatever_is_not_finite_is_found(where, value):
    made = helpers.learner("der++" if where == "memory" else "dgr" if where == "snapshot" else "ewc")
    made.learn(tasks()[0])
    assert made.finite
    part = made.method.parts[0]
    if where == "memory":
        part.stored.samples = part.stored.samples.replace(weight=np.full(len(part.stored), value))
    else:
        vectors = {
            "theta": lambda: made.theta,
            "moment": lambda: made.backend.moments[1],
            "vector": lambda: part.F,
            "snapshot": lambda: part.old_generator,
        }
        vectors[where]()[3] = value
    assert not made.finite


def test_large_numbers_are_finite():
    """Even where their sum is not."""
    assert base.finite(np.full(10, 1e308))
    assert base.finite(np.full(10, 3e38, np.float32))
    assert base.finite(np.full(10, 6e4, np.float16))
    assert not base.finite(np.array([1e308, np.inf]))


def test_scores_that_were_not_known_may_be_nan():
    made = helpers.learner("der++")
    for task in tasks():
        made.learn(task)
    assert np.isnan(made.memories[0].samples.logits).any()
    assert made.finite


class Masked(torch.nn.Module):
    """A constant of minus infinity, as attention has it."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(36, 4)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -math.inf, 0.0]))

    def forward(self, x):
        return self.out(x.flatten(1)) + self.mask.clamp_min(-1e9)


def test_a_models_own_infinite_constants_are_let_alone(tmp_path):
    made = helpers.learner("ewc", helpers.own(Masked))
    for task in helpers.stream("domain"):
        made.learn(task)
    made.save(tmp_path / "model")
    assert ll.load(tmp_path / "model", model=helpers.own(Masked)).finite


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e19, -1e38])
def test_rows_beyond_the_precision_are_refused_by_their_number(value):
    samples = floats()
    made = helpers.learner("er")
    made.learn(whole(samples))
    before = helpers.whole(made)
    x = samples.x.copy()
    x[7, 3] = value
    message = "row 7 of the inputs holds NaN, infinity or a number beyond 1.8e\\+19"
    bad = whole(samples)
    object.__setattr__(bad, "train", samples.replace(x=x))
    for use in (lambda: made.learn(bad), lambda: made.predict(x), lambda: made.decision(x)):
        with pytest.raises(LifelongError, match=message):
            use()
    helpers.same_state(before, helpers.whole(made))
    x[7, 3] = 1e18
    assert len(made.predict(x)) == len(x)
    double = helpers.learner("er", precision="float64")
    double.learn(whole(samples.replace(x=samples.x.astype(float))))
    x = x.astype(float)
    x[7, 3] = 1e19
    assert len(double.predict(x)) == len(x)
    x[7, 3] = 1e200
    with pytest.raises(LifelongError, match="row 7"):
        double.predict(x)


# --- too little memory --------------------------------------------------------------------------


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "model", [ll.models.mlp(10**9), ll.models.mlp(10**12, 10**12), ll.models.mlp(10**20)]
)
def test_a_model_beyond_the_memory_is_refused_before_it_is_made(model):
    with pytest.raises(LifelongError, match=r"would take|can be counted") as error:
        helpers.learner("ewc", model).learn(tasks()[0])
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "model", [ll.models.mlp(7, 5), ll.models.cnn(3, features=6), ll.models.resnet18(2), ll.models.vae(6)]
)
def test_parameters_are_counted_without_making_them(model):
    learner = helpers.learner(
        "naive", model, objective="reconstruction" if "VAE" in repr(model) else "classification"
    )
    learner.build(np.zeros((1, 8, 8), np.float32))
    assert learner.backend._planned(model, (8, 8)) == learner.parameters


def test_what_a_method_keeps_of_each_parameter_counts_too(monkeypatch):
    asked = []
    monkeypatch.setattr("lifelong.state.afford", lambda count, what: asked.append((count, what)))
    made = helpers.learner("ewc", ll.models.mlp(4))
    made.build(np.zeros((1, 3), np.float32))
    assert asked == [(n * 16, "what the method keeps of each parameter") for n in (8, 8, 4)]


@pytest.mark.usefixtures("backend")
def test_too_little_memory_while_learning_is_one_clear_error(monkeypatch):
    made = helpers.learner("er")

    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(made.backend, "gradient", full)
    with pytest.raises(LifelongError, match="there is not enough memory to learn"):
        made.learn(tasks()[0])


def test_pytorchs_own_error_counts_as_too_little_memory():
    made = helpers.learner("er")
    with pytest.raises(RuntimeError) as error:
        torch.empty(10**15)
    assert made.backend.exhausted(error.value)
    assert not made.backend.exhausted(RuntimeError("shapes differ"))


def test_budget_is_told():
    assert budget.available() is None or budget.available() >= 0


@pytest.mark.parametrize("hidden", [(), (0,), (-3,), (1.5,), (True,), ("9",), "9"])
def test_widths_that_are_none_are_refused(hidden):
    with pytest.raises(LifelongError, match="give whole numbers from 1"):
        ll.models.MLP(hidden)


# --- what is loaded -----------------------------------------------------------------------------

WRONG = (None, "x", -1, 1.5, [], {}, True, math.nan, math.inf, [[1]], "", 2**63)
DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")


def paths(value, path=()):
    """The places of all values in JSON, but for the whole."""
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in inside:
        yield (*path, key)
        yield from paths(inner, (*path, key))


def spoil_json(value, draw: random.Random) -> bool:
    """Delete, add or replace by another type; False where nothing changed that one could tell."""
    *above, key = path = draw.choice(list(paths(value)))
    for step in above:
        value = value[step]
    old, new = value[key], draw.choice(WRONG)
    named = (
        path[0] in ("classes", "old") or path[:2] == ("rng", "state") or path[0] == "initial_parameters"
    )
    if draw.random() < 0.3 and isinstance(value, dict):
        del value[key]
        return not (above and old in (0, None))
    if type(new) is type(old) or named:  # another number, another name
        return False
    value[key] = new
    return new != old


def spoil_arrays(arrays, draw: random.Random) -> bool:
    """Drop, rename, or change shape, type or range; False where nothing changed."""
    name = draw.choice(sorted(arrays))
    array, how = (
        arrays[name],
        draw.choice(["drop", "rename", "axis", "shorter", "longer", "dtype", "value"]),
    )
    if how == "drop":
        del arrays[name]
    elif how == "rename":
        arrays[f"{name}s"] = arrays.pop(name)
    elif how == "dtype":
        kinds = [kind for kind in DTYPES if kind != array.dtype]
        arrays[name] = array.astype(draw.choice(kinds))
    elif how == "value":
        if not array.size or array.dtype.kind not in "fi" or name.endswith(("ages", "/id")):
            return False
        arrays[name] = array.copy()
        arrays[name].flat[draw.randrange(array.size)] = np.inf if array.dtype.kind == "f" else -(2**40)
    else:
        shapes = {
            "axis": array[None],
            "shorter": array[:-1],
            "longer": np.concatenate([array, array[:1]]),
        }
        arrays[name] = shapes[how]
    return how not in ("shorter", "longer") or arrays.get(name, array).shape != array.shape


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "name",
    ["er", "gem", "der++", "ewc", "online-ewc", "si", "icarl", "packnet", "hat", "dgr", "lwf", "rwalk"],
)
def test_a_state_that_was_altered_is_refused_or_makes_no_difference(name):
    """In the middle of a task: what is restored answers alike and goes on to the same bits."""
    scenario = helpers.scenario_of(name, "class")
    met = helpers.tasks(helpers.stream(scenario, each=20))
    make = lambda: helpers.learner(name, steps=2)  # noqa: E731
    made = make()
    made.learn(met[0])
    next(made.steps(met[1]))
    arrays, manifest = helpers.whole(made)
    manifest = json.loads(json.dumps(manifest))
    asked = met[0].test.x, met[0].id if scenario == "task" else None

    def use(learner):
        answers = learner.predict(*asked).tolist()
        learner.learn(met[1])
        return answers, helpers.whole(learner)

    straight = make()
    straight.restore(arrays, manifest)
    expected, refused = use(straight), 0
    for seed in range(40 if helpers.BACKEND == "torch" else 12):
        draw = random.Random(f"{name} {seed}")
        spoiled, told = dict(arrays), copy.deepcopy(manifest)
        changed = spoil_json(told, draw) if seed % 2 else spoil_arrays(spoiled, draw)
        if not changed:
            continue
        other = make()
        try:
            other.restore(spoiled, told)
        except LifelongError as error:
            refused += 1
            one_line(error)
            assert other.inputs is None
            assert not other.seen
            continue
        try:
            answers, state = use(other)
        except LifelongError as error:  # it is only found where it is used: other inputs, another step
            one_line(error)
            continue
        assert answers == expected[0], seed
        helpers.same_state(state, expected[1])
    assert refused > 5


def test_a_learner_that_is_given_a_damaged_state_stays_what_it_was():
    made = helpers.learner("dgr")
    first, second = tasks()
    made.learn(first)
    before = helpers.whole(made)
    arrays, manifest = helpers.whole(made)
    arrays["part/dgr/generator/backend/theta"] = np.zeros(3, np.float32)
    with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
        made.restore(arrays, manifest)
    helpers.same_state(before, helpers.whole(made))
    straight = helpers.learner("dgr")
    for task in (first, second):
        straight.learn(task)
    made.learn(second)
    helpers.same_state(helpers.whole(straight), helpers.whole(made))


@pytest.mark.parametrize("name", ["er+ewc", "dgr", "task-layers"])
def test_a_configuration_that_was_altered_is_refused_or_makes_a_learner(name):
    given = json.loads(json.dumps(configuration(helpers.learner(name))))
    assert json.loads(json.dumps(configuration(from_configuration(given)))) == given
    for seed in range(150):
        draw, spoiled = random.Random(seed), copy.deepcopy(given)
        spoil_json(spoiled, draw)
        try:
            made = from_configuration(spoiled)
        except LifelongError as error:
            one_line(error)
        else:
            assert isinstance(made, ll.Learner)


@pytest.mark.parametrize("boundaries", ["loss", "drift"])
def test_what_a_detector_knows_is_checked(boundaries):
    (flow,) = helpers.tasks(helpers.stream("free"))[:1]
    made = helpers.learner("er", boundaries=boundaries, steps=None, epochs=None)
    next(made.steps(flow))
    arrays, manifest = helpers.whole(made)
    for memo in (
        {},
        {"losses": ["x"]},
        {"test": [1, 2]},
        {"losses": [math.nan]},
        {"losses": 3},
        {"test": None},
    ):
        other = helpers.learner("er", boundaries=boundaries, steps=None, epochs=None)
        with pytest.raises(LifelongError, match="damaged"):
            other.restore(arrays, manifest | {"position": manifest["position"] | {"memo": memo}})


# --- forgetting ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["er", "gem", "icarl", "cumulative", "der+er"])
def test_rows_are_forgotten_by_their_ids(name):
    made = helpers.learner(name)
    for task in tasks():
        made.learn(task)
    held = np.unique(np.concatenate([memory.samples.id for memory in made.memories]))
    count = sum(map(len, made.memories))
    asked = held[::3]
    times = sum(int(np.isin(memory.samples.id, asked).sum()) for memory in made.memories)
    theta = helpers.theta(made)
    assert made.forget([*asked.tolist(), 10**6, -5]) == times > 0
    assert sum(map(len, made.memories)) == count - times
    assert not any(np.isin(memory.samples.id, asked).any() for memory in made.memories)
    assert (helpers.theta(made) == theta).all()
    assert made.forget(asked) == 0
    assert len(made.predict(tasks()[0].test.x)) == len(tasks()[0].test)


def test_all_rows_may_be_forgotten_and_learning_goes_on():
    for name in ("er", "gem", "cumulative", "icarl"):
        made = helpers.learner(name)
        first, second = tasks()
        made.learn(first)
        held = made.memories[0].samples.id
        assert made.forget(held) == len(held)
        made.learn(second)
        assert made.forget([]) == 0


@pytest.mark.parametrize("ids", [[1.5], ["1"], [None], [True], [2**70]])
def test_ids_that_are_none_are_refused(ids):
    made = helpers.learner("er")
    made.learn(tasks()[0])
    with pytest.raises(LifelongError, match="whole numbers"):
        made.forget(ids)
    assert made.forget([2**63 + 1]) == 0


def test_nothing_is_forgotten_within_a_task():
    made = helpers.learner("er")
    next(made.steps(tasks()[0]))
    with pytest.raises(LifelongError, match="a task is being learned"):
        made.forget([1])
