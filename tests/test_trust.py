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
from lifelong.methods import method
from lifelong.store import from_configuration

# --- not finite ---------------------------------------------------------------------------------


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
    with pytest.raises(LifelongError, match="would take|can be counted") as error:
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
    try:
        torch.empty(10**15)
    except RuntimeError as error:
        assert made.backend.exhausted(error)
    assert not made.backend.exhausted(RuntimeError("shapes differ"))


def test_budget_is_told():
    assert budget.available() is None or budget.available() >= 0


@pytest.mark.parametrize("hidden", [(), (0,), (-3,), (1.5,), (True,), ("9",), "9"])
def test_widths_that_are_none_are_refused(hidden):
    with pytest.raises(LifelongError, match="give whole numbers from 1"):
        ll.models.MLP(hidden)
