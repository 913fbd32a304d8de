"""Boundaries that are detected: when detectors fire, and what the loop then does."""

import json
import sys
from itertools import pairwise

import helpers
import numpy as np
import pytest

import lifelong as ll
from lifelong.detection import DETECTORS, PageHinkley, Plateau, Told, make
from lifelong.errors import LifelongError
from lifelong.methods import registry
from lifelong.spec import Spec

STEPS = (3, 7)
"""Told boundaries in a flow of 10 steps."""


def fired(detector, losses) -> list[int]:
    """The steps, from 1, at which it fires; its memo goes through JSON at every step."""
    memo, found = {}, []
    for step, loss in enumerate(losses, 1):
        memo = json.loads(json.dumps(memo))
        if detector.ends(memo, float(loss)):
            found.append(step)
    return found


def learner(name="ewc", **options) -> ll.Learner:
    return helpers.learner(name, **{"steps": None, "boundaries": Told(STEPS)} | options)


def flow(**options) -> ll.Task:
    return helpers.stream("free", **options).flow()


# --- detectors -------------------------------------------------------------------------------


def test_a_plateau_ends_a_task_once_and_a_peak_unlocks_the_next():
    falls = [3, 2, 1, 0.4, 0.3, 0.3, 0.3]
    detector = Plateau(window=3, mean=0.5, variance=0.1)
    assert fired(detector, falls + [0.3] * 20) == [6]
    assert fired(detector, falls + [3, 2, 1] + [0.3] * 9) == [6, 13]
    assert fired(detector, [3.0] * 30) == []


def test_plateau_needs_a_steady_loss():
    noisy = [0.0, 0.9] * 20
    assert fired(Plateau(window=4, mean=0.5, variance=0.1), noisy) == []
    assert fired(Plateau(window=4, mean=0.5, variance=0.3), noisy)[0] == 4


def test_page_hinkley_finds_a_rise_soon_and_no_fall():
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(400)
    level = np.repeat([1.0, 3.0, 1.0, 3.0], 100)
    found = fired(PageHinkley(), noise + level)
    assert [100 < f < 105 or 300 < f < 310 for f in found] == [True, True]
    assert fired(PageHinkley(), noise + np.linspace(3, 0, 400)) == []
    assert fired(PageHinkley(), noise + 1) == []


def test_page_hinkley_is_the_published_sum():
    """Against the formula, with all sums written out."""
    losses = np.random.default_rng(1).random(200)
    losses[120:] += 0.4
    slack, threshold = 0.02, 1.5
    for t in range(1, 201):
        means = np.cumsum(losses[:t]) / np.arange(1, t + 1)
        m = np.append(0, np.cumsum(losses[:t] - means - slack))
        if m[-1] - m.min() > threshold:
            break
    assert fired(PageHinkley(slack, threshold, distance=1), losses)[0] == t


def test_boundaries_keep_their_distance():
    losses = np.repeat([0.0, 5.0], 5).tolist() * 10
    assert np.diff(fired(PageHinkley(distance=12), losses)).min() >= 12


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("los", {}, "did you mean 'loss'"),
        ("loss", {"windw": 3}, "did you mean 'window'"),
        ("loss", {"window": 0}, "at least 2"),
        ("drift", {"threshold": 0.0}, "threshold=0.0"),
        ("drift", {"slack": "low"}, "give a number"),
        ("told", {}, "needs the steps"),
        (None, {"window": 3}, "no boundaries"),
    ],
)
def test_bad_detectors_are_one_line(name, options, hint):
    with pytest.raises(LifelongError, match=hint) as error:
        make(name, **options)
    assert "\n" not in str(error.value)


# --- the loop --------------------------------------------------------------------------------


def test_parts_end_and_begin_at_each_boundary_with_what_was_met():
    calls = []

    def see(hook, learner, task):
        if hook in ("begin", "end"):
            rows = task.train.id.tolist() if hook == "end" else None
            calls.append((hook, learner.position.task, rows))

    task = flow()
    made = learner(helpers.probe(see))
    made.learn(task)
    ids = task.train.id.tolist()
    cuts = [0, *(16 * step for step in STEPS), len(ids)]
    assert [call for call in calls if call[0] == "end"] == [
        ("end", i, ids[a:b]) for i, (a, b) in enumerate(pairwise(cuts))
    ]
    assert [call[:2] for call in calls] == [(hook, i) for i in range(3) for hook in ("begin", "end")]
    assert made.position.task == 3
    assert not made.position.ends


def test_ewc_consolidates_what_it_would_have_been_told():
    """The same state as with the flow cut by hand into three tasks."""
    task = flow()
    detected = learner()
    detected.learn(task)
    told = learner(boundaries=None, steps=None, epochs=1)
    told.check = lambda scenario: None  # EWC refuses free
    cuts = [0, *(16 * step for step in STEPS), len(task.train)]
    for a, b in pairwise(cuts):
        rows = task.train.take(slice(a, b))
        told.learn(ll.Task("", rows, task.test, task.classes, "free"))
    for name in ("F", "r", "anchor"):
        one, other = (np.asarray(made.method.parts[0].states[name].value) for made in (detected, told))
        assert (one == other).all()
    assert (helpers.theta(detected) == helpers.theta(told)).all()


def test_what_was_met_is_old_and_nothing_else_is_known():
    seen = []

    def see(hook, learner, task):
        if hook == "begin":
            seen.append((list(learner.old), list(learner.arriving)))

    made = learner(helpers.probe(see), boundaries=Told((5,)))
    made.learn(flow())
    assert seen == [([], [0, 1, 2, 3]), ([0, 1], [2, 3])]


def test_no_boundary_behind_the_last_step():
    made = learner(boundaries=Told((10,)))
    made.learn(flow())
    assert made.position.task == 1


def test_the_detector_sees_the_loss_of_new_rows_and_it_is_the_cross_entropy():
    seen = []

    class Ear(Told):
        def ends(self, memo, loss):
            seen.append(loss)
            return False

    task = flow()
    made = learner("er", boundaries=Ear(()))
    before = learner("er", boundaries=None)
    made.learn(task)
    for k, _ in enumerate(before.steps(task)):
        if k == 4:
            break
    rows = before.encode(task.train.take(slice(80, 96)), task.classes)
    scores = before.ops.numpy(before.outputs(rows).scores).astype(float)
    expected = np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(16), rows.y])
    assert seen[5] == pytest.approx(expected, rel=1e-5)
    assert len(seen) == 10


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["ewc", "er+ewc", "dgr"])
@pytest.mark.parametrize("boundaries", [Told(STEPS), Plateau(2, 10.0, 10.0), PageHinkley(0.0, 0.01, 2)])
def test_stopped_after_every_step_in_turn(name, boundaries):
    """A fresh learner takes the state over after each step, the steps of the boundaries included."""
    task = flow()
    straight, relay = (learner(name, boundaries=boundaries) for _ in range(2))
    straight.learn(task)
    assert straight.position.task >= (3 if boundaries == Told(STEPS) else 2)
    while not relay.position.task or relay.position.learning:
        next(relay.steps(task), None)
        arrays, manifest = helpers.whole(relay)
        relay = learner(name, boundaries=boundaries)
        relay.restore(arrays, json.loads(json.dumps(manifest)))
    helpers.same_state(helpers.whole(straight), helpers.whole(relay))


def test_a_run_continues_within_a_segment_and_writes_its_boundaries_down(tmp_path):
    def go(out, **options):
        return ll.run(learner("er+ewc"), helpers.stream("free"), out, checkpoint_every=0, **options)

    straight = go(tmp_path / "straight")
    assert straight.data["boundaries"] == list(STEPS)
    assert straight.data["hyperparameters"]["boundaries"] == {"name": "told", "steps": list(STEPS)}
    for _ in range(10):
        with pytest.raises(LifelongError, match="time limit"):
            go(tmp_path / "stopped", time_limit=1e-9)
    stopped = go(tmp_path / "stopped")
    for field in ("R", "boundaries", "metrics", "trace"):
        assert stopped.data[field] == straight.data[field]
    (file,) = (tmp_path / "stopped" / "runs").glob("*/model.safetensors")
    assert ll.load(file).boundaries == Told(STEPS)


def test_off_it_changes_nothing():
    """Neither a run's identity nor its bits: a detector that never fires leaves naive as it was."""
    runner = sys.modules[ll.run.__module__]
    stream = helpers.stream("free")
    plain, quiet = learner("naive", boundaries=None), learner("naive", boundaries=Told(()))
    configuration = runner.identify(plain, stream, 1, None)["configuration"]["learner"]
    assert "boundaries" not in configuration
    assert "boundaries" in runner.identify(quiet, stream, 1, None)["configuration"]["learner"]
    for made in (plain, quiet):
        made.learn(stream.flow())
    assert (helpers.theta(plain) == helpers.theta(quiet)).all()


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_told_boundaries_are_not_detected(scenario):
    with pytest.raises(LifelongError, match="under 'free' only"):
        learner().check(scenario)


@pytest.mark.parametrize("name", registry())
def test_every_method_runs_with_detection_or_says_why_not(name):
    part = registry()[name]
    late = "data" in part.slots or "task ids" in part.needs
    if late:
        with pytest.raises(LifelongError, match="too late for it"):
            learner(name).learn(flow())
    else:
        made = learner(name)
        made.learn(flow())
        assert made.position.task == 3


def test_by_name():
    options = {"method": "ewc", "scenario": "free", "boundaries": "drift"}
    spec = Spec("digits", **options, set=("boundaries.threshold=4",))
    assert spec.make_learner().boundaries == PageHinkley(threshold=4)
    assert "--boundaries drift" in spec.command()
    assert Spec("digits", method="ewc").make_learner().boundaries is None
    with pytest.raises(LifelongError, match="no boundaries"):
        Spec("digits", method="ewc", set=("boundaries.window=4",)).make_learner()
    assert set(DETECTORS) == {"loss", "drift", "told"}
