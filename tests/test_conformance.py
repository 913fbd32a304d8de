"""What every method of the registry must do; a new method file is covered the day it is written."""

import itertools
import random
import re

import helpers
import numpy as np
import pytest
import torch
from helpers import BACKENDS, CASES, METHODS, ON, PAIRS, SCENARIOS
from safetensors import safe_open
from torch.utils._python_dispatch import TorchDispatchMode

import lifelong as ll
from lifelong.backends.base import age_slots
from lifelong.errors import LifelongError
from lifelong.evaluation import evaluate
from lifelong.methods import registry

pytestmark = pytest.mark.usefixtures("backend")
every_method = pytest.mark.parametrize("name", METHODS)
every_case = pytest.mark.parametrize(("backend", "name", "scenario"), ON, indirect=["backend"])
REFUSED = [(n, s) for n in METHODS for s in SCENARIOS if s not in registry()[n].scenarios]


def learned(name, scenario, tasks=2, classes=4, **options) -> tuple[ll.Learner, list[ll.Task]]:
    """A learner that has learned the first tasks of a stream, and all tasks of that stream."""
    met = helpers.tasks(helpers.stream(scenario, classes))
    made = helpers.learner(name, **options)
    for task in met[:tasks]:
        made.learn(task)
    return made, met


# --- 1. it runs where it says so, and only there ------------------------------------------------


@every_case
def test_runs_in_every_scenario_it_declares(name, scenario):
    result = ll.run(helpers.learner(name), helpers.stream(scenario))
    R = result.R
    assert R.shape == (2, 2)
    values = R[~np.isnan(R)]
    assert ((values >= 0) & (values <= 1)).all()
    if name == "joint":  # it waits for the last task
        assert np.isnan(R[0]).all()
        assert not np.isnan(R[1]).any()
    else:
        assert not np.isnan(R[np.tril_indices(2)]).any()
    assert result.data["method"] == name
    assert result.data["scenario"] == scenario


@pytest.mark.parametrize(("name", "scenario"), REFUSED)
def test_other_scenarios_are_refused_in_one_line(name, scenario):
    with pytest.raises(LifelongError) as error:
        ll.run(helpers.learner(name), helpers.stream(scenario))
    message = str(error.value)
    assert name in message
    assert repr(scenario) in message
    assert "\n" not in message


# --- 2. it does something -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "name", "scenario"), [c for c in ON if c[1] != "naive"], indirect=["backend"]
)
def test_differs_from_naive(name, scenario):
    made, _ = learned(name, scenario)
    naive, _ = learned("naive", scenario)
    assert not np.array_equal(helpers.theta(made), helpers.theta(naive))


@every_case
def test_same_seed_same_bits_and_another_seed_others(name, scenario):
    first, _ = learned(name, scenario)
    again, _ = learned(name, scenario)
    other, _ = learned(name, scenario, seed=2)
    helpers.same_state(helpers.whole(first), helpers.whole(again))
    assert not np.array_equal(helpers.theta(first), helpers.theta(other))


# --- 3. its whole state is saved ----------------------------------------------------------------


@every_case
def test_saved_and_loaded_it_goes_on_to_the_same_bits(name, scenario, tmp_path):
    made, tasks = learned(name, scenario, tasks=2, classes=6)
    made.save(tmp_path / "model.safetensors")
    loaded = ll.load(tmp_path / "model.safetensors")
    helpers.same_state(helpers.whole(made), helpers.whole(loaded))
    x, told = tasks[0].test.x, {"task": 0} if scenario == "task" else {}
    if made.ready:
        assert made.predict(x, **told).tolist() == loaded.predict(x, **told).tolist()
    else:
        assert not loaded.ready
    before = helpers.theta(made)
    for one in (made, loaded):
        one.learn(tasks[2])
    assert not np.array_equal(before, helpers.theta(made))
    helpers.same_state(helpers.whole(made), helpers.whole(loaded))
    assert made.predict(x, **told).tolist() == loaded.predict(x, **told).tolist()


@every_method
def test_the_file_holds_plain_arrays_and_json(name, tmp_path):
    made, _ = learned(name, helpers.scenario_of(name, "class"))
    file = tmp_path / "model.safetensors"
    made.save(file)
    with safe_open(file, "numpy") as opened:
        assert "backend/theta" in opened.keys()  # noqa: SIM118
        assert set(opened.metadata()) == {"lifelong"}
    assert b"\x80\x04" not in file.read_bytes()[:8]  # where a pickle would say its protocol


@every_case
def test_restoring_a_state_does_not_tie_two_learners(name, scenario):
    made, tasks = learned(name, scenario, classes=6)
    other = helpers.learner(name)
    other.restore(*made.state())
    before = helpers.whole(made)
    other.learn(tasks[2])
    helpers.same_state(before, helpers.whole(made))


# --- 6. growth ----------------------------------------------------------------------------------


def pieces(made: ll.Learner, vector: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters of a vector over theta, by name."""
    return {n: vector[s.start : s.stop].reshape(s.shape) for n, s in made.layout.items()}


def begins_with(new: np.ndarray, old: np.ndarray, what: str) -> np.ndarray:
    """Assert that ``new`` continues ``old``, bit for bit; the rows that came."""
    assert new[tuple(slice(n) for n in old.shape)].tobytes() == old.tobytes(), what
    return new[len(old) :]


@every_method
def test_growth_carries_everything_over(name):
    scenario = helpers.scenario_of(name, "class", "task")
    made, tasks = learned(name, scenario)
    samples = made.encode(tasks[0].test, tasks[0].classes)
    (old, _), size, slots = helpers.whole(made), made.parameters, age_slots(made.layout)
    vectors = {k: pieces(made, v) for k, v in old.items() if v.shape == (size,)}
    scores = made.ops.numpy(made.outputs(samples).scores)
    classes = len(made.classes)
    made.grow(["new", "newer"])
    (new, _), grown = helpers.whole(made), age_slots(made.layout)
    assert len(made.classes) == classes + 2
    assert {"backend/theta", "backend/moment.0", "backend/moment.1"} <= set(vectors)
    for key, before in vectors.items():
        for parameter, after in pieces(made, new[key]).items():
            rows = begins_with(after, before[parameter], f"{key} {parameter}")
            assert len(rows) == (2 if parameter.startswith("head.") else 0)
            if "moment" in key:
                assert (rows == 0).all()
    for parameter, slot in grown.items():
        rows = begins_with(
            new["backend/ages"][slot], old["backend/ages"][slots[parameter]], f"age of {parameter}"
        )
        assert (rows == 0).all()
    for key in set(old) - set(vectors) - {"backend/ages"}:
        begins_with(new[key], old[key], key)
    after = made.ops.numpy(made.outputs(samples).scores)
    assert after.shape == (len(samples), classes + 2)
    np.testing.assert_allclose(after[:, :classes], scores, rtol=1e-6, atol=1e-6)


@every_method
def test_growth_in_the_stream_keeps_the_old_rows(name):
    """As the third task begins, theta begins with what the second left."""
    scenario = helpers.scenario_of(name, "class", "task")
    if scenario not in ("class", "task"):
        pytest.skip("its head does not grow")
    met = helpers.tasks(helpers.stream(scenario, 6))
    made = helpers.learner(name)
    for task in met[:2]:
        made.learn(task)
    before = pieces(made, helpers.theta(made))
    steps = made.steps(met[2])
    after = pieces(made, helpers.theta(made))
    for parameter in before:
        begins_with(after[parameter], before[parameter], parameter)
    assert after["head.weight"].shape[0] == before["head.weight"].shape[0] + 2
    steps.close()


# --- 7. prediction changes nothing --------------------------------------------------------------


@every_case
def test_predicting_changes_nothing(name, scenario):
    made, met = learned(name, scenario)
    tests = met if scenario != "free" else list(helpers.stream("free"))
    x, told = met[0].test.x, {"task": 0} if scenario == "task" else {}
    samples = made.encode(met[0].test, met[0].classes)
    before = helpers.whole(made)
    first = evaluate(made, tests)
    answers = made.predict(x, **told)
    made.features(samples)
    made.outputs(samples)
    ops = made.ops
    terms = lambda out, batch: [(ops.cast(batch.y == batch.y), ops.sum(out.scores, 1))]  # noqa: E731
    assert ops.numpy(made.moment(samples, terms, 2)).sum() > 0
    again = evaluate(made, tests)
    helpers.same_state(before, helpers.whole(made))
    assert made.predict(x, **told).tolist() == answers.tolist()
    assert first.accuracy(True) == again.accuracy(True)


@every_case
def test_evaluating_inside_a_task_changes_nothing(name, scenario):
    made, met = learned(name, scenario, tasks=0)
    watched, _ = learned(name, scenario, tasks=0)
    tests = list(helpers.stream(scenario))
    for task in met:
        made.learn(task)
        for _ in watched.steps(task):
            evaluate(watched, tests)
    helpers.same_state(helpers.whole(made), helpers.whole(watched))


# --- 8. the generators of the process belong to the user ----------------------------------------


def generators() -> tuple[str, str, bytes]:
    """The state of every global generator."""
    return (
        repr(random.getstate()),
        repr(np.random.get_state()),  # noqa: NPY002
        torch.get_rng_state().numpy().tobytes(),
    )


@every_case
def test_touches_no_global_generator(name, scenario):
    before = generators()
    made, met = learned(name, scenario)
    evaluate(made, met)
    made.predict(met[0].test.x, **({"task": 0} if scenario == "task" else {}))
    assert generators() == before


@every_case
def test_no_global_generator_matters(name, scenario):
    first, _ = learned(name, scenario)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    second, _ = learned(name, scenario)
    helpers.same_state(helpers.whole(first), helpers.whole(second))


# --- 10. composition ----------------------------------------------------------------------------


def shared_slots(*names: str) -> set[str]:
    """Slots that more than one of these methods owns."""
    owned = [slot for name in names for slot in registry()[name].slots]
    return {slot for slot in owned if owned.count(slot) > 1}


REFUSED_PAIRS = [pair for pair in PAIRS if shared_slots(*pair)]
RUNNING_PAIRS = [pair for pair in PAIRS if not shared_slots(*pair)]
ACTING = {p: [s for s in SCENARIOS if helpers.parts("+".join(p)).supports(s)] for p in RUNNING_PAIRS}
"""Every pair that can be composed, and the scenarios in which it runs."""


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
@pytest.mark.parametrize("pair", REFUSED_PAIRS, ids="+".join)
def test_two_owners_of_a_slot_are_refused_by_name(pair):
    a, b = (helpers.parts(name).parts[0] for name in pair)
    with pytest.raises(LifelongError) as error:
        a + b
    for name in pair:
        assert re.search(rf"\b{re.escape(name)}\b", str(error.value))
    assert any(slot in str(error.value) for slot in shared_slots(*pair))


@pytest.mark.parametrize(
    ("backend", "pair"),
    [(b, pair) for b in BACKENDS for pair in RUNNING_PAIRS if b == "torch" or "er" in pair],
    indirect=["backend"],
)
def test_every_other_pair_runs_and_its_order_does_not_matter(backend, pair):
    """On TensorFlow, whose traces take time, each method beside er, in one scenario."""
    if not ACTING[pair]:
        for scenario in SCENARIOS:
            with pytest.raises(LifelongError, match="scenario"):
                helpers.learner("+".join(pair)).learn(helpers.tasks(helpers.stream(scenario))[0])
        return
    for scenario in ACTING[pair] if backend == "torch" else ACTING[pair][-1:]:
        states = []
        for order in (pair, pair[::-1]):
            a, b = (helpers.parts(name).parts[0] for name in order)
            made, met = learned(a + b, scenario, steps=4)
            assert evaluate(made, met) is not None
            states.append(helpers.whole(made))
        helpers.same_state(*states)


HOLDING = ("ewc", "l2", "mas", "online-ewc", "rwalk", "si")
IDLE = {(own, held) for own in ("pnn", "separate") for held in HOLDING} | {
    *(("hat", held) for held in ("ewc", "mas", "online-ewc")),
    *(("joint", other) for other in ("gem", "rwalk", "si")),
}
"""(part, other): what the other would hold cannot move anyway, or no step follows its first end."""


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
@pytest.mark.parametrize(
    ("pair", "scenario"), [(p, s[-1]) for p, s in ACTING.items() if s and "naive" not in p]
)
def test_both_parts_of_a_pair_act(pair, scenario):
    both, _ = learned("+".join(pair), scenario)
    for alone in pair:
        same = np.array_equal(helpers.theta(both), helpers.theta(learned(alone, scenario)[0]))
        assert same == ((alone, *(set(pair) - {alone})) in IDLE)


def test_a_part_given_twice_is_refused():
    with pytest.raises(LifelongError, match="er stands twice"):
        ll.ER(10) + ll.ER(20)


# --- 12. the loop does not slow down ------------------------------------------------------------


class Counting(TorchDispatchMode):
    """Counts the tensor operations that run under it."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


GROWING = {
    ("gem", "task"): "a gradient for each earlier task",
    ("gem", "class"): "a gradient for each earlier task",
    ("lwf", "task"): "a term of the loss for each earlier head",
    ("pnn", "task"): "a column for each task",
    ("separate", "task"): "a column for each task",
    ("task-layers", "task"): "a column for each task",
}
"""Where the method itself, as published, does more in every step the more tasks there were."""


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
@pytest.mark.parametrize(("name", "scenario"), [(n, s) for n, s in CASES if s in ("class", "task")])
def test_a_step_takes_as_many_operations_at_task_50_as_at_task_3(name, scenario):
    """Of the second step: the first of a task makes the masks that all others use, one per head.

    Task 3, as in task 2 DGR's rows and the stream's happen to weigh the same, and need no weights.
    Joint takes no step before the last task: its last of 50 is compared with its last of three.
    """
    counts = {}

    def learn(length: int) -> None:
        made = helpers.learner(ll.ICaRL(100) if name == "icarl" else name, batch=4, steps=2)
        inner = made.step

        def step(batch):
            with Counting() as counter:
                inner(batch)
            if made.position.step == 1:
                counts[made.position.task + 1] = counter.count

        made.step = step
        for task in helpers.stream(scenario, 2 * length, each=4):
            made.learn(task)

    if name == "joint":
        learn(3)
    learn(50)
    assert counts[50] > 20
    if (name, scenario) in GROWING:
        assert counts[3] < counts[50] <= 50 / 3 * counts[3]
    else:
        assert counts[50] == counts[3]


# --- the registry itself ------------------------------------------------------------------------


@every_method
def test_declares_what_it_is(name):
    part = registry()[name]
    families = [
        "replay",
        "regularization",
        "isolation",
        "prototype",
        "generative",
        "adapter",
        "baseline",
    ]
    assert part.family in families
    assert part.paper
    assert part.__doc__
    assert set(part.scenarios) <= set(SCENARIOS)
    assert set(part.needs) <= {"boundaries", "task ids", "raw inputs", "labels"}
    assert set(part.slots) <= {"data", "criterion", "readout", "model", "parameters"}
    assert part.order in ("regularize", "project", "mask")
    assert set(part.fails) <= set(part.scenarios)
    if "boundaries" in part.needs or "task ids" in part.needs:
        assert "free" not in part.scenarios
    assert getattr(ll, part.__name__) is part


def test_the_registry_is_complete():
    assert len(set(METHODS)) == len(METHODS) >= 8
    for a, b in itertools.pairwise(METHODS):
        assert a < b
