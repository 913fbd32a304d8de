"""The learner: what it may decide among, what it is told, what it is made of, what it refuses."""

import itertools
import subprocess
import sys
from dataclasses import dataclass

import helpers
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.evaluation import evaluate
from lifelong.method import Part

every_scenario = pytest.mark.parametrize("scenario", helpers.SCENARIOS)


def seen_by(see, scenario="class", **options):
    """A learner whose probe calls ``see``, and its tasks."""
    met = helpers.tasks(helpers.stream(scenario))
    return helpers.learner(helpers.probe(see), **options), met


# --- output spaces ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "output", "moving"),
    [
        ("task", None, [2, 3]),
        ("task", "seen", [0, 1, 2, 3]),
        ("class", None, [0, 1, 2, 3]),
        ("class", "all", [0, 1, 2, 3, 4, 5]),
        ("domain", None, [0, 1]),
        ("free", None, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_only_admitted_columns_get_a_gradient(scenario, output, moving):
    """In the second of three tasks: a column that is not admitted gets none, to the bit."""
    gradients = []

    def see(hook, learner, given):
        if hook == "observe":
            gradients.append(learner.ops.numpy(given.g).copy())

    met = helpers.tasks(helpers.stream(scenario, classes=6))
    made = helpers.learner(helpers.probe(see), output=output)
    made.learn(met[0])
    gradients.clear()
    made.learn(met[1])
    assert len(gradients) > 4
    weight, bias = made.layout["head.weight"], made.layout["head.bias"]
    for g in gradients:
        rows = np.abs(g[weight.start : weight.stop].reshape(weight.shape)).sum(1)
        assert np.flatnonzero(rows).tolist() == moving
        assert np.flatnonzero(g[bias.start : bias.stop]).tolist() == moving


def test_an_own_modules_later_columns_rest_under_seen():
    made = helpers.learner("naive", helpers.own(helpers.Dropping))
    made.learn(helpers.stream("class")[0])
    weight = made.layout["body.out.weight"]
    start = helpers.own(helpers.Dropping).out.weight.detach().numpy()
    now = helpers.theta(made)[weight.start : weight.stop].reshape(weight.shape)
    assert now[2:].tobytes() == start[2:].tobytes()
    assert (now[:2] != start[:2]).any()


@pytest.mark.parametrize(
    ("scenario", "output", "columns"),
    [("class", "seen", 2), ("class", "all", 4), ("task", "task", 2), ("task", "all", 4)],
)
def test_the_head_has_a_row_for_every_class_met_or_for_all(scenario, output, columns):
    made = helpers.learner(output=output)
    made.learn(helpers.stream(scenario)[0])
    assert made.layout["head.weight"].shape[0] == columns == len(made.classes)


def test_predictions_stay_within_the_output_space():
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner("er", epochs=5)
    for task in met:
        made.learn(task)
    x = np.concatenate([task.test.x for task in met])
    for i, task in enumerate(met):
        own = {task.classes[label] for label in task.labels}
        assert set(made.predict(x, task=i).tolist()) == own
    for output, count in (("seen", 2), ("all", 4)):
        made = helpers.learner(output=output, steps=1, optimizer=ll.SGD(1e-6))
        stream = helpers.stream("class")
        made.learn(stream[0])
        noise = np.random.default_rng(0).integers(0, 256, (2000, 6, 6)).astype(np.uint8)
        assert len(set(made.predict(noise).tolist()) - set(stream.classes[:2])) <= count - 2


def test_wrong_output_spaces_are_refused():
    with pytest.raises(LifelongError, match="unknown output space 'sen': did you mean 'seen'"):
        helpers.learner(output="sen")
    with pytest.raises(LifelongError, match="needs task ids, which 'class' hides"):
        helpers.learner(output="task").learn(helpers.stream("class")[0])


# --- what each scenario tells -------------------------------------------------------------------


@every_scenario
def test_what_a_part_is_told(scenario):
    told = scenario in ("task", "class")
    hooks: dict[str, int] = {}

    def see(hook, learner, given):
        hooks[hook] = hooks.get(hook, 0) + 1
        if hook in ("begin", "end"):
            if told:
                assert given.id == learner.position.task
                assert (given.train.task == given.id).all()
            else:
                with pytest.raises(LifelongError, match=f"hidden in the '{scenario}' scenario"):
                    _ = given.id
                assert "task" not in given.train
        elif hook == "batch":
            assert ("task" in given.samples) == told
        else:
            assert ("task" in given.batch) == told

    made = helpers.learner(helpers.probe(see))
    result = ll.run(made, helpers.stream(scenario))
    count = 1 if scenario == "free" else 2
    assert hooks["begin"] == hooks["end"] == count
    assert hooks["batch"] == hooks["observe"] == result.data["cost"]["steps"] > 4


@every_scenario
def test_the_task_id_does_not_reach_prediction_unless_told(scenario):
    """In testing only the ``task`` scenario has the column."""
    columns = []

    class Reading(Part):
        name = "reading"
        slots = ("readout",)

        def predict(self, learner, batch):
            columns.append("task" in batch)
            return learner.outputs(batch).scores

    made = helpers.learner(dataclass(eq=False)(Reading)())
    met = helpers.tasks(helpers.stream(scenario))
    made.learn(met[0])
    evaluate(made, list(helpers.stream(scenario)))
    assert set(columns) == {scenario == "task"}


def test_prediction_wants_the_task_where_and_only_where_it_is_told():
    x = helpers.dataset().test.x
    made = helpers.learner()
    made.learn(helpers.stream("task")[0])
    with pytest.raises(LifelongError, match="needs the task's id"):
        made.predict(x)
    with pytest.raises(LifelongError, match="unknown task '1'"):
        made.predict(x, task=1)
    other = helpers.learner()
    other.learn(helpers.stream("class")[0])
    with pytest.raises(LifelongError, match="is told no task id"):
        other.predict(x, task=0)


# --- free ---------------------------------------------------------------------------------------


def by_hand(batch: int):
    """Test, then train, then the next batch: (samples predicted rightly, the learner)."""
    flow = helpers.stream("free").flow()
    made = helpers.learner("er", batch=batch)
    steps, hits, first = made.steps(flow), 0, 0
    while True:
        if made.ready and first < len(flow.train):
            rows = flow.train.take(slice(first, first + batch))
            hits += int((made.predict(rows.x) == np.array(flow.classes)[rows.y]).sum())
        if next(steps, None) is None:
            return hits, made
        first += batch


@pytest.mark.parametrize("batch", [16, 10, 7])
def test_free_is_tested_before_it_is_trained(batch):
    hits, by_itself = by_hand(batch)
    made, stream = helpers.learner("er", batch=batch), helpers.stream("free")
    result = ll.run(made, stream)
    assert hits > 20
    assert helpers.theta(made).tobytes() == helpers.theta(by_itself).tobytes()
    expected = hits / len(stream.flow().train)
    assert result.metrics["prequential_accuracy"] == pytest.approx(expected)


def test_free_meets_every_sample_once_and_in_order():
    ids = []
    see = lambda hook, learner, given: ids.extend(given.samples.id) if hook == "batch" else None  # noqa: E731
    made, stream = helpers.learner(helpers.probe(see), batch=9), helpers.stream("free")
    ll.run(made, stream)
    assert ids == stream.flow().train.id.tolist()


def test_free_measures_a_row_as_each_segment_ends(monkeypatch):
    """R's first row is measured by the step that completes the first segment, not at the end."""
    made, stream = helpers.learner(batch=20), helpers.stream("free")
    result = ll.run(made, stream)
    half = helpers.learner(batch=20)
    steps = half.steps(stream.flow())
    for _ in range(len(stream[0].train) // 20):
        next(steps)
    assert result.R[0].tolist() == evaluate(half, list(stream)).accuracy(False)
    assert result.R[1].tolist() == evaluate(made, list(stream)).accuracy(False)
    assert result.R[0].tolist() != result.R[1].tolist()


def test_replay_by_tasks_is_refused_or_replays_where_there_are_no_tasks():
    """Under ``free`` c stays 1: the stored rows would weigh 1 - 1/c = 0, and ER would be naive."""
    made, naive = (helpers.learner(m) for m in (ll.ER(20, weights="tasks"), "naive"))
    flow = helpers.stream("free").flow()
    naive.learn(flow)
    try:
        made.learn(flow)
    except LifelongError:
        return
    assert not np.allclose(helpers.theta(made), helpers.theta(naive), atol=1e-5)


def test_another_scenario_than_it_began_with_is_refused():
    made = helpers.learner()
    made.learn(helpers.stream("class")[0])
    with pytest.raises(LifelongError, match="scenario"):
        made.learn(helpers.stream("domain")[1])


def test_free_is_one_pass():
    with pytest.raises(LifelongError, match="one pass"):
        helpers.learner(epochs=2).learn(helpers.stream("free").flow())


# --- epochs, steps and order --------------------------------------------------------------------


def orders(**options):
    """The ids of every batch of the first task."""
    ids = []
    see = lambda hook, learner, given: ids.append(given.samples.id) if hook == "batch" else None  # noqa: E731
    made, met = seen_by(see, **options)
    made.learn(met[0])
    return ids, met[0].train.id


def test_every_epoch_is_a_permutation_of_its_own():
    ids, train = orders(epochs=3, batch=16)
    assert [len(i) for i in ids] == [16] * 15
    passes = [np.concatenate(ids[i * 5 : i * 5 + 5]) for i in range(3)]
    assert all(sorted(p) == sorted(train) for p in passes)
    assert len({p.tobytes() for p in passes}) == 3


def test_steps_count_steps_and_the_last_batch_is_smaller():
    ids, train = orders(steps=7, batch=30)
    assert [len(i) for i in ids] == [30, 30, 20, 30, 30, 20, 30]
    assert sorted(np.concatenate(ids[:3])) == sorted(train)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 3, "epochs": 2}, "epochs or steps, not both"),
        ({"steps": 0}, "steps=0: give at least 1"),
        ({"batch": 0}, "batch=0: give at least 1"),
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"device": "abacus"}, "device 'abacus' is not available"),
        ({"backend": "torhc"}, "unknown backend 'torhc': did you mean 'torch'"),
        ({"optimizer": "adm"}, "unknown optimizer 'adm'"),
        ({"method": "icrl"}, "unknown method 'icrl': did you mean 'icarl'"),
        ({"method": "er+er"}, "er stands twice"),
        ({"objective": "clasification"}, "unknown objective"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(options, message):
    with pytest.raises(LifelongError, match=message) as error:
        ll.Learner(ll.models.mlp(8), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ll.ER(10, weights="task"),
        lambda: ll.ER(10, admit="steps"),
        lambda: ll.ER(10, rows=0),
        lambda: ll.ER(10, admission="fifo"),
        lambda: ll.EWC(labels="truth"),
    ],
    ids=["er weights", "er admit", "er rows", "er admission", "ewc labels"],
)
def test_options_of_a_method_that_mean_nothing_are_refused_before_training(make):
    begun = []
    see = lambda hook, learner, given: begun.append(hook) if hook == "observe" else None  # noqa: E731
    with pytest.raises(LifelongError):
        helpers.learner(make() + helpers.probe(see)).learn(helpers.stream("class")[0])
    assert not begun


# --- refusals while learning --------------------------------------------------------------------


def test_a_learner_that_has_learned_nothing_says_so(tmp_path):
    made = helpers.learner()
    with pytest.raises(LifelongError, match="learned nothing yet"):
        made.predict(helpers.dataset().test.x)
    with pytest.raises(LifelongError, match="learned nothing yet"):
        made.save(tmp_path / "model.safetensors")


def test_inputs_of_another_shape_are_refused():
    made = helpers.learner()
    made.learn(helpers.stream("class")[0])
    with pytest.raises(LifelongError, match=r"this learner takes \(6, 6\)"):
        made.predict(np.zeros((3, 5, 5), np.uint8))
    other = helpers.dataset(side=5).split(2, "class")
    with pytest.raises(LifelongError, match=r"this learner takes \(6, 6\)"):
        made.learn(other[0])


@pytest.mark.parametrize("optimizer", [ll.SGD(1e30), ll.Adam(1e30)])
def test_diverging_is_one_clear_error(optimizer):
    made = helpers.learner(optimizer=optimizer)
    with pytest.raises(LifelongError, match="no longer finite: lower the learning rate") as error:
        ll.run(made, helpers.stream("class"))
    assert "\n" not in str(error.value)


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(LifelongError, match="no file"):
        ll.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("this is no model")
    with pytest.raises(LifelongError, match="cannot read"):
        ll.load(tmp_path / "text")
    made = helpers.learner()
    made.learn(helpers.stream("class")[0])
    made.save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    (tmp_path / "model").write_bytes(content[: len(content) // 2])
    with pytest.raises(LifelongError, match="cannot read"):
        ll.load(tmp_path / "model")


# --- a user's own module ------------------------------------------------------------------------


class Normed(nn.Module):
    """With batch normalization: buffers that training moves."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.out = nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, x):
        return self.out(self.norm(self.dense(x.flatten(1))).relu())


class Functional(nn.Module):
    """With dropout as a function, which no list of layers shows."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.out = nn.Linear(36, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.out(F.dropout(self.dense(x.flatten(1)).relu(), 0.5, self.training))


OWN = {"dropout": helpers.Dropping, "normed": Normed, "functional": Functional}
every_own = pytest.mark.parametrize("kind", OWN.values(), ids=list(OWN))


def learned(kind, name="er", **options) -> ll.Learner:
    made = helpers.learner(name, helpers.own(kind), **options)
    for task in helpers.stream("class"):
        made.learn(task)
    return made


@every_own
def test_an_own_module_is_taken_as_it_is(kind):
    fresh = helpers.own(kind)
    expected = np.concatenate([p.detach().numpy().reshape(-1) for p in fresh.parameters()])
    made = helpers.learner("naive", helpers.own(kind))
    made.start(helpers.stream("class")[0].train, "class")
    found = [helpers.theta(made)[s.start : s.stop] for s in made.layout.values()]
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert made.width == 4
    assert "head.weight" not in made.layout
    result = ll.run(helpers.learner("naive", helpers.own(kind)), helpers.stream("class"))
    assert not np.isnan(result.R[np.tril_indices(2)]).any()


def test_an_own_module_has_room_for_so_many_classes():
    made = helpers.learner("naive", helpers.own(helpers.Dropping))
    stream = helpers.stream("class", classes=6)
    made.learn(stream[0])
    made.learn(stream[1])
    with pytest.raises(LifelongError, match="ends in 4 scores, for 6 classes"):
        made.learn(stream[2])


@every_own
@pytest.mark.parametrize("name", ["naive", "er", "ewc", "er+ewc"])
def test_an_own_modules_randomness_is_its_seeds(kind, name):
    """Reproducible whatever the process has drawn, and another seed draws otherwise."""
    first = learned(kind, name)
    torch.manual_seed(99)
    torch.rand(7)
    helpers.same_state(helpers.whole(first), helpers.whole(learned(kind, name)))


@every_own
def test_an_own_module_touches_no_global_generator(kind):
    before = torch.get_rng_state()
    made = learned(kind)
    evaluate(made, list(helpers.stream("class")))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [helpers.Dropping, Functional], ids=["dropout", "functional"])
def test_dropout_draws_anew_at_every_step(kind):
    """The same rows at the same parameters, step after step: the gradients differ."""
    gradients = []

    def see(hook, learner, given):
        if hook == "observe":
            gradients.append(learner.ops.numpy(given.g).copy())

    made = helpers.learner(
        helpers.probe(see), helpers.own(kind), optimizer=ll.SGD(1e-30), batch=80, steps=6
    )
    made.learn(helpers.stream("class")[0])
    for a, b in itertools.combinations(gradients, 2):
        assert np.abs(a - b).max() > 0.01 * np.abs(a).max()


@every_own
def test_an_own_module_predicts_in_evaluation_mode(kind):
    made = learned(kind)
    x = helpers.dataset().test.x
    before = helpers.whole(made)
    assert made.predict(x).tolist() == made.predict(x).tolist()
    assert made.predict(x)[:1].tolist() == made.predict(x[:1]).tolist()
    helpers.same_state(before, helpers.whole(made))


@every_own
def test_an_own_module_is_saved_and_given_back(kind, tmp_path):
    stream = helpers.stream("class")
    made = helpers.learner("er", helpers.own(kind))
    made.learn(stream[0])
    made.save(tmp_path / "model")
    with pytest.raises(LifelongError, match=f"your own .*{kind.__name__}"):
        ll.load(tmp_path / "model")
    loaded = ll.load(tmp_path / "model", model=helpers.own(kind, seed=5))
    helpers.same_state(helpers.whole(made), helpers.whole(loaded))
    for one in (made, loaded):
        one.learn(stream[1])
    helpers.same_state(helpers.whole(made), helpers.whole(loaded))


@every_own
def test_an_own_module_trains_alike_whether_or_not_it_was_evaluated(kind):
    straight, stream = learned(kind), helpers.stream("class")
    watched = helpers.learner("er", helpers.own(kind))
    for task in stream:
        for _ in watched.steps(task):
            evaluate(watched, list(stream))
    helpers.same_state(helpers.whole(straight), helpers.whole(watched))


@every_own
def test_an_own_module_trains_alike_whether_or_not_it_was_stopped(kind):
    straight, stream = learned(kind, steps=4), helpers.stream("class")
    relay = helpers.learner("er", helpers.own(kind), steps=4)
    for task in stream:
        place = relay.position.task
        while relay.position.task == place:
            next(relay.steps(task), None)
            arrays, manifest = helpers.whole(relay)
            relay = helpers.learner("er", helpers.own(kind), steps=4)
            relay.restore(arrays, manifest)
            if relay.ready:
                evaluate(relay, list(stream))
    helpers.same_state(helpers.whole(straight), helpers.whole(relay))


def test_batch_normalization_counts_every_step_and_nothing_else():
    made, stream = helpers.learner("naive", helpers.own(Normed)), helpers.stream("class")
    made.learn(stream[0])
    evaluate(made, list(stream))
    arrays, _ = helpers.whole(made)
    assert int(arrays["backend/buffer.body.norm.num_batches_tracked"]) == 12


def test_a_copy_of_theta_is_a_copy_of_a_network_with_batch_normalization():
    made, stream = helpers.learner("naive", helpers.own(Normed)), helpers.stream("class")
    made.learn(stream[0])
    copy, before = made.snapshot(), made.outputs(stream[0].test).scores
    made.learn(stream[1])
    assert not torch.equal(made.outputs(stream[0].test).scores, before)
    assert torch.equal(made.outputs(stream[0].test, at=copy).scores, before)
    made.assign(copy)
    assert torch.equal(made.outputs(stream[0].test).scores, before)


def test_running_statistics_are_no_parameters_and_have_no_importance():
    made, stream = helpers.learner("ewc", helpers.own(Normed)), helpers.stream("class")
    made.learn(stream[0])
    assert made.parameters == sum(p.numel() for p in Normed().parameters())
    (ewc,) = made.method
    for name in ("body.norm.running_mean", "body.norm.running_var"):
        segment = made.backend.segments[name]
        assert name not in made.layout
        assert not ewc.F[segment.start : segment.stop].any()
    assert ewc.F.any()


def test_packnet_refuses_batch_normalization():
    made = helpers.learner("packnet", helpers.own(Normed))
    with pytest.raises(LifelongError, match="batch norm"):
        made.learn(helpers.stream("task")[0])


@every_own
def test_two_learners_with_one_module_do_not_disturb_each_other(kind):
    module = helpers.own(kind)
    stream = helpers.stream("class")
    first = helpers.learner("naive", module)
    first.learn(stream[0])
    samples = first.encode(stream[0].test, stream[0].classes)
    before, answers = helpers.whole(first), first.ops.numpy(first.outputs(samples).scores).copy()
    second = helpers.learner("naive", module, seed=2)
    second.learn(stream[1])
    helpers.same_state(before, helpers.whole(first))
    assert first.ops.numpy(first.outputs(samples).scores).tolist() == answers.tolist()


def test_two_learners_with_one_part_do_not_disturb_each_other():
    part, stream = ll.ER(20), helpers.stream("class")
    first, alone = helpers.learner(part), helpers.learner(ll.ER(20))
    second = helpers.learner(part, seed=2)
    for task in stream:
        for made in (first, second, alone):
            made.learn(task)
    assert helpers.theta(first).tobytes() == helpers.theta(alone).tobytes()


def test_what_is_no_model_is_refused():
    made = ll.Learner("mlp")
    with pytest.raises(LifelongError, match="cannot build 'mlp'"):
        made.learn(helpers.stream("class")[0])


# --- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", helpers.METHODS)
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float64", torch.float64), ("bf16", torch.float32), ("float32", torch.float32)],
)
def test_every_precision_runs(name, precision, dtype):
    made = helpers.learner(name, precision=precision)
    result = ll.run(made, helpers.stream(helpers.scenario_of(name, "class")))
    assert made.theta.dtype == dtype
    assert np.isfinite(helpers.theta(made)).all()
    assert result.metrics["average_accuracy"] is not None
    assert result.data["hyperparameters"]["precision"] == precision


@pytest.mark.parametrize("precision", ["float64", "bf16"])
@pytest.mark.parametrize("name", ["ewc", "icarl", "packnet"])
def test_convolutions_run_in_every_precision(name, precision):
    made = helpers.learner(name, ll.models.cnn(3, features=8), precision=precision, steps=3)
    for task in helpers.stream(helpers.scenario_of(name, "class")):
        made.learn(task)
    assert np.isfinite(helpers.theta(made)).all()


@pytest.mark.parametrize("name", helpers.METHODS)
def test_precisions_agree_and_differ_as_they_should(name):
    """One task: float64 and float32 differ by rounding, bf16 by more."""
    scenario = helpers.scenario_of(name, "class")
    thetas = {}
    for precision in ("float64", "float32", "bf16"):
        made = helpers.learner(name, precision=precision, optimizer=ll.SGD(0.1), steps=4)
        made.learn(helpers.stream(scenario)[0])
        thetas[precision] = helpers.theta(made)
    if name == "joint":  # it has not learned yet
        assert np.array_equal(thetas["float32"], thetas["bf16"])
        return
    exact = thetas["float64"]
    near, far = (np.abs(thetas[p] - exact).max() for p in ("float32", "bf16"))
    assert 0 < near < 1e-5
    assert near < far < 0.1


# --- the batch's weights ------------------------------------------------------------------------


@dataclass(eq=False)
class Adding(Part):
    """Adds these rows of the task's own training set, with this weight."""

    rows: int
    weight: float | None

    name = "adding"

    def begin(self, learner, task):
        self.__dict__["from_"] = task.train

    def batch(self, learner, batch):
        batch.add(self.from_.take(slice(self.rows)), by=self, weight=self.weight)


def first_gradient(part) -> tuple[np.ndarray, ll.Learner, list]:
    """The gradient of the first step in float64, its learner, and the step."""
    steps = []

    def see(hook, learner, given):
        if hook == "observe":
            steps.append((learner.ops.numpy(given.g).copy(), given))

    made = helpers.learner(
        part + helpers.probe(see), precision="float64", steps=1, optimizer=ll.SGD(1e-30)
    )
    made.learn(helpers.stream("class")[0])
    return steps[0][0], made, steps[0][1].batch.blocks


def mean_gradient(made: ll.Learner, samples: ll.Samples) -> np.ndarray:
    """The gradient of the mean loss of these rows, by plain autograd."""
    batch = helpers.batch(made, samples)
    theta = made.theta.detach().clone().requires_grad_()
    pieces = {n: theta[s.start : s.stop].view(s.shape) for n, s in made.layout.items()}
    out = torch.func.functional_call(made.backend.network, pieces, (batch.x,))
    F.cross_entropy(out.scores, batch.y).backward()
    return theta.grad.numpy()


@pytest.mark.parametrize("rows", [4, 16, 40])
@pytest.mark.parametrize("weight", [None, 0, 0.5, 1, 3])
def test_the_loss_is_the_weighted_mean_of_the_blocks(rows, weight):
    g, made, blocks = first_gradient(Adding(rows, weight))
    (own, added) = [mean_gradient(made, samples) for _, samples, _ in blocks]
    share = rows / 16 if weight is None else weight
    expected = (own + share * added) / (1 + share)
    np.testing.assert_allclose(g, expected, rtol=1e-6, atol=1e-7)
    if weight is None:
        joined = ll.Samples.concat([samples for _, samples, _ in blocks])
        np.testing.assert_allclose(g, mean_gradient(made, joined), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("weights", "rows"), [("tasks", None), ("tasks", 5), ("rows", 5)])
@pytest.mark.parametrize("place", [1, 2])
def test_replay_weighs_what_it_says(weights, rows, place):
    """In task c: 1/c of the stream's mean loss and 1 - 1/c of the stored rows'."""
    steps = []

    def see(hook, learner, given):
        if hook == "batch":
            steps.append([helpers.theta(learner)])
        elif hook == "observe":
            steps[-1] += [learner.ops.numpy(given.g).copy(), given.batch]

    er = ll.ER(20, rows=rows, weights=weights)
    made = helpers.learner(er + helpers.probe(see), precision="float64", steps=3)
    for task in helpers.stream("class", classes=6)[: place + 1]:
        steps.clear()
        made.learn(task)
    c = place + 1
    for theta, g, batch in steps:
        made.assign(made.ops.tensor(theta))
        own, stored = (mean_gradient(made, samples) for _, samples, _ in batch.blocks)
        count = len(batch.blocks[1][1])
        assert count == (rows or 16)
        share = 1 / c if weights == "tasks" else 16 / (16 + count)
        expected = share * own + (1 - share) * stored
        np.testing.assert_allclose(g, expected, rtol=1e-6, atol=1e-7)


def test_weights_do_not_lose_float64_digits():
    g, made, blocks = first_gradient(Adding(5, 3))
    own, added = [mean_gradient(made, samples) for _, samples, _ in blocks]
    np.testing.assert_allclose(g, (own + 3 * added) / 4, rtol=1e-11, atol=1e-13)


# --- what a step leaves for the books -----------------------------------------------------------


def test_a_step_tells_what_it_did():
    def see(hook, learner, given):
        if hook == "batch":
            before.append(helpers.theta(learner))
        elif hook == "observe":
            d = learner.ops.numpy(given.d)
            np.testing.assert_allclose(helpers.theta(learner), before[-1] + d, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(d, -0.1 * learner.ops.numpy(given.applied), rtol=1e-12)
            assert given.out.scores.shape == (len(given.batch), len(learner.classes))

    before: list[np.ndarray] = []
    made, met = seen_by(see, optimizer=ll.SGD(0.1), precision="float64")
    made.learn(met[0])
    assert len(before) == 12


# --- declared state grows -----------------------------------------------------------------------


@dataclass(eq=False)
class Keeping(Part):
    """Declares one state of every kind, and writes something into each."""

    name = "keeping"
    revisits = True

    def start(self, learner):
        self.zeros = self.vector(0.0, "float64")
        self.twos = self.vector(2.0)
        self.anchor = self.vector("theta")
        self.old = self.snapshot()
        self.counts = self.array(("class", 3), fill=-1.0)
        self.pairs = self.array(("class", "class"), dtype="int64")
        self.number = self.scalar(3)
        self.inner = self.learner(ll.models.vae(4, latent=2), "reconstruction")
        self.inner_old = self.snapshot(self.inner)
        self.answers = self.derived(lambda: len(learner.classes))

    def end(self, learner, task, phase):
        self.zeros = self.zeros + 1.5
        self.twos = self.twos * 3.0
        self.counts = self.counts + 5.0
        self.pairs = self.pairs + 1
        self.number = self.number + 1


def test_every_kind_of_state_grows_and_is_saved():
    made, stream = helpers.learner(Keeping()), helpers.stream("class")
    made.learn(stream[0])
    part = made.method.parts[0]
    assert part.answers == 2
    inner = helpers.whole(part.inner)
    names = ("zeros", "twos", "anchor", "old")
    before = {name: made.ops.numpy(getattr(part, name)).copy() for name in names}
    layout = made.layout
    made.grow(["a", "b", "c"])
    after = {name: made.ops.numpy(getattr(part, name)) for name in names}
    fresh = {"zeros": 0.0, "twos": 2.0, "anchor": helpers.theta(made), "old": helpers.theta(made)}
    assert after["zeros"].dtype == np.float64
    for name in names:
        for parameter, now in made.layout.items():
            then, kept = layout[parameter], now.start + layout[parameter].size
            old, new = before[name][then.start : then.stop], after[name][now.start : now.stop]
            assert new[: then.size].tobytes() == old.tobytes()
            fill = fresh[name]
            expected = fill[kept : now.stop] if isinstance(fill, np.ndarray) else fill
            assert (new[then.size :] == expected).all()
            assert len(new) - len(old) == (parameter == "head.bias") * 3 + 48 * (
                parameter == "head.weight"
            )
    assert made.ops.numpy(part.counts).tolist() == [[4.0] * 3] * 2 + [[-1.0] * 3] * 3
    pairs = np.zeros((5, 5), np.int64)
    pairs[:2, :2] = 1
    assert made.ops.numpy(part.pairs).tolist() == pairs.tolist()
    assert part.number == 4
    assert part.answers == 5
    helpers.same_state(inner, helpers.whole(part.inner))
    assert len(part.inner_old) == part.inner.parameters
    other = helpers.learner(Keeping())
    other.restore(*helpers.whole(made))
    helpers.same_state(helpers.whole(made), helpers.whole(other))
    assert other.method.parts[0].number == 4


# --- PackNet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [ll.models.mlp(16, 16), ll.models.cnn(4, features=8)])
@pytest.mark.parametrize("optimizer", [ll.Adam(0.01), ll.SGD(0.1, momentum=0.9, weight_decay=0.01)])
def test_packnet_does_not_forget_a_bit(model, optimizer):
    """Every earlier task's network stays what it was, to the bit: weights, features and scores."""
    met = helpers.tasks(helpers.stream("task", classes=8))
    made = helpers.learner("packnet", model, optimizer=optimizer)
    kept = {}
    for i, task in enumerate(met):
        made.learn(task)
        owner = made.method.parts[0].owner
        for j in range(i + 1):
            used = (owner > 0) & (owner <= j + 1)
            network = made.ops.where(used, made.theta, 0.0)
            samples = made.encode(met[j].test, met[j].classes)
            out = made.outputs(samples, at=network)
            weight, bias = made.layout["head.weight"], made.layout["head.bias"]
            rows = slice(made.heads[j][0], made.heads[j][-1] + 1)
            parts = [
                network[: weight.start],
                network[weight.start : weight.stop].view(weight.shape)[rows],
                network[bias.start : bias.stop][rows],
                out.features,
            ]
            parts.append(made.scores(helpers.batch(made, samples))[:, made.heads[j]])
            bits = b"".join(made.ops.numpy(p).tobytes() for p in parts)
            assert bits == kept.setdefault(j, bits)
    assert len(set(kept.values())) == 4


def test_packnet_answers_every_earlier_task_as_it_did():
    met = helpers.tasks(helpers.stream("task", classes=8))
    made = helpers.learner("packnet")
    answers = {}
    for i, task in enumerate(met):
        made.learn(task)
        for j in range(i + 1):
            given = made.predict(met[j].test.x, task=j).tolist()
            assert given == answers.setdefault(j, given)


def test_packnet_prunes_the_share_it_says_and_gives_each_weight_one_owner():
    met = helpers.tasks(helpers.stream("task"))
    made = helpers.learner(ll.PackNet(prune=0.6))
    segment = None
    for i, task in enumerate(met):
        made.learn(task)
        segment = made.layout["body.1.weight"]
        owner = made.method.parts[0].owner.numpy()[segment.start : segment.stop]
        kept = [round(0.4 * segment.size), round(0.4 * 0.6 * segment.size)]
        for t in range(i + 1):
            assert abs((owner == t + 1).sum() - kept[t]) <= 1
        theta = helpers.theta(made)[segment.start : segment.stop]
        assert (theta[owner == 0] == 0).all()
        assert (theta[owner > 0] != 0).any()


# --- the package --------------------------------------------------------------------------------


def test_importing_the_package_imports_no_framework():
    code = "import lifelong, sys; print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
