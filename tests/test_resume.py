"""A run killed at any moment and started again ends in the same bits; and only the same run goes on."""

import contextlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import helpers
import numpy as np
import pytest
from helpers import METHODS, ON

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.files import read_arrays, read_json, write_json
from lifelong.methods import registry
from lifelong.result import read

SEED = int(os.environ.get("LIFELONG_KILL_SEED", time.time_ns() % 2**32))
"""Of the moments at which processes are killed; printed, so that a failure can be repeated."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [*(f"lifelong.backends.{b}" for b in helpers.BACKENDS), "lifelong.runner", "lifelong.methods"]
)


# --- the runs -----------------------------------------------------------------------------------


def adam(name: str) -> ll.Learner:
    return helpers.learner(name)


def momentum(name: str) -> ll.Learner:
    return helpers.learner(name, optimizer=ll.SGD(0.05, momentum=0.9, weight_decay=1e-3))


def scheduled(name: str) -> ll.Learner:
    rate = ll.AdamW(0.01, schedule=ll.Schedule("cosine", warmup=0.2, per="stream"), reset=True)
    return helpers.learner(name, optimizer=rate)


def dropout(name: str) -> ll.Learner:
    """A user's own module; a run is identified by its class, so the caller makes it again."""
    return helpers.learner(name, helpers.own(helpers.Dropping))


def convolution(name: str) -> ll.Learner:
    return helpers.learner(name, ll.models.cnn(3, features=8))


def residual(name: str) -> ll.Learner:
    """With batch norm, whose statistics move with every step."""
    return helpers.learner(name, ll.models.resnet18(2), steps=6)


def tensorflow(name: str) -> ll.Learner:
    return helpers.learner(name, backend="tensorflow")


ON_TENSORFLOW = ("er", "ewc", "icarl", "packnet", "dgr") if len(helpers.BACKENDS) > 1 else ()
RUNS = {name: (adam, name, helpers.scenario_of(name, "class")) for name in METHODS} | {
    "er+ewc": (adam, "er+ewc", "class"),
    "er in task": (adam, "er", "task"),
    "ewc in domain": (adam, "ewc", "domain"),
    "er in free": (adam, "er", "free"),
    "er with momentum": (momentum, "er", "class"),
    "ewc with a schedule": (scheduled, "ewc", "task"),
    "er with dropout": (dropout, "er", "class"),
    "er with batch norm": (residual, "er", "class"),
    "ewc with a convolution": (convolution, "ewc", "class"),
}
RUNS |= {
    f"{name} on tensorflow": (tensorflow, name, helpers.scenario_of(name, "class"))
    for name in ON_TENSORFLOW
}


def go(run: str, out: Path, report=None, make=None) -> ll.Result:
    """One of the runs, with a checkpoint after every step."""
    kind, name, scenario = RUNS[run]
    made = (make or kind)(name)
    stream = helpers.stream(scenario)
    return ll.run(made, stream, out, 5, checkpoint_every=0, report=report)


def child(run: str, out: Path, steps, slow: str | None) -> None:
    """The same in a process of its own, counting its steps; ``slow``: a part whose end dawdles."""
    if slow is not None:
        kind = registry()[slow]
        end = kind.end

        def dawdle(self, learner, task, phase):
            end(self, learner, task, phase)
            steps.value = 1000
            time.sleep(60)

        kind.end = dawdle

    def count(words: str, share: float) -> None:
        steps.value += 1

    go(run, out, count)


def kill(run: str, out: Path, after: int, delay: float, slow: str | None = None) -> bool:
    """Run it in a child and kill it a moment after so many steps; False if it was done by then."""
    steps = FORKS.Value("i", 0)
    process = FORKS.Process(target=child, args=(run, out, steps, slow))
    process.start()
    while steps.value < after and process.is_alive():
        time.sleep(0.0002)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "the child failed by itself"
    return process.exitcode != 0


def folder(out: Path) -> Path:
    """Where the only run below ``out`` lives."""
    (found,) = (out / "runs").iterdir()
    return found


def done(out: Path) -> tuple[dict[str, np.ndarray], dict, dict]:
    """The arrays, the manifest and the result of the finished run."""
    arrays, manifest = read_arrays(folder(out) / "model.safetensors")
    (result,) = read(folder(out) / "run.json")
    return arrays, manifest["state"], result.data


def same_run(a: Path, b: Path) -> None:
    """Assert that two finished runs ended in the same bits, and measured the same."""
    (arrays, state, result), (others, other_state, other) = done(a), done(b)
    assert len(arrays) > 5
    helpers.same_arrays(arrays, others)
    assert state == other_state
    measured = "R R_task_aware R_task_agnostic baseline metrics recall confusion trace plasticity"
    for name in measured.split():
        assert result[name] == other[name], name
    assert result["cost"]["steps"] == other["cost"]["steps"]
    assert result["cost"]["memory_bytes"] == other["cost"]["memory_bytes"]


# --- killed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_killed_at_a_random_moment_it_ends_in_the_same_bits(run, tmp_path):
    straight = tmp_path / "straight"
    steps: list[float] = []
    go(run, straight, lambda words, share: steps.append(share))
    draw = random.Random(f"{SEED} {run}")
    for attempt in range(10):
        killed = tmp_path / f"killed {attempt}"
        after, delay = draw.randint(2, len(steps) - 4), draw.random() * 0.005
        print(f"LIFELONG_KILL_SEED={SEED}: killed {1000 * delay:.1f} ms after step {after}")
        if kill(run, killed, after, delay):
            break
    else:
        pytest.fail("the child was always done before it was killed")
    book = read_arrays(folder(killed) / "checkpoint.safetensors")[1]["book"]
    assert 0 < book["steps"] <= len(steps)
    again: list[float] = []
    go(run, killed, lambda words, share: again.append(share))
    assert len(again) == len(steps) - book["steps"]
    same_run(straight, killed)


@pytest.mark.parametrize("name", [n for n in METHODS if "end" in vars(registry()[n])])
def test_killed_while_consolidating(name, tmp_path):
    """Within ``end``, after the books were changed and before they were saved."""
    go(name, tmp_path / "straight")
    assert kill(name, tmp_path / "killed", after=1000, delay=0.0, slow=name)
    go(name, tmp_path / "killed")
    same_run(tmp_path / "straight", tmp_path / "killed")


def test_killed_three_times(tmp_path):
    go("er+ewc", tmp_path / "straight")
    for after in (3, 2, 4):
        assert kill("er+ewc", tmp_path / "killed", after, 0.0)
    go("er+ewc", tmp_path / "killed")
    same_run(tmp_path / "straight", tmp_path / "killed")


class Crash(BaseException):
    """What a test raises in place of a power cut."""


def crash_at(monkeypatch, place: str, call: int) -> None:
    """From now on, this call of ``place`` (from 1) raises."""
    runner = sys.modules[ll.run.__module__]
    inner, calls = getattr(runner, place), itertools.count(1)

    def crash(*args, **kwargs):
        if next(calls) == call:
            raise Crash
        return inner(*args, **kwargs)

    monkeypatch.setattr(runner, place, crash)


@pytest.mark.parametrize("run", ["er", "er in free"])
def test_stopped_at_any_evaluation(run, tmp_path, monkeypatch):
    """Before each of them in turn, a new folder every time."""
    go(run, tmp_path / "straight")
    for call in range(1, 100):
        out, crashed = tmp_path / f"at {call}", False
        with monkeypatch.context() as patch:
            crash_at(patch, "evaluate", call)
            try:
                go(run, out)
            except Crash:
                crashed = True
        if not crashed:
            break
        go(run, out)
        same_run(tmp_path / "straight", out)
    assert call > 4


@pytest.mark.parametrize("run", ["er", "er in free"])
def test_stopped_at_every_checkpoint(run, tmp_path, monkeypatch):
    """Before each is written, every sitting going one further than the last."""
    go(run, tmp_path / "straight")
    for sittings in itertools.count(1):
        with monkeypatch.context() as patch, contextlib.suppress(Crash):
            crash_at(patch, "write_arrays", 2)
            go(run, tmp_path / "stopped")
            break
        assert sittings < 99
    assert sittings > 10
    same_run(tmp_path / "straight", tmp_path / "stopped")


def relayed(make, met) -> None:
    """Assert that a fresh learner may take the state over after each step of each task."""
    straight = make()
    for task in met:
        straight.learn(task)
    relay = make()
    for task in met:
        place = relay.position.task
        while relay.position.task == place:
            next(relay.steps(task), None)
            arrays, manifest = helpers.whole(relay)
            relay = make()
            relay.restore(arrays, manifest)
    helpers.same_state(helpers.whole(straight), helpers.whole(relay))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("backend", "name", "scenario"), ON, indirect=["backend"])
def test_stopped_after_every_step_in_turn(name, scenario):
    relayed(lambda: helpers.learner(name, steps=4), helpers.tasks(helpers.stream(scenario)))


MEMORIES = {
    "gem, samples in all": lambda: ll.GEM("30"),
    "gem, bytes": lambda: ll.GEM("1600B"),
    "icarl": lambda: ll.ICaRL(15),
    "er, ring": lambda: ll.ER(15, "ring"),
    "der++, bytes": lambda: ll.DERpp("1200B"),
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("memory", MEMORIES)
def test_stopped_after_every_step_with_a_memory_that_shrinks_for_what_comes(memory):
    """Within a task, of which more and more samples come in, those of the tasks before it leave."""
    met = helpers.tasks(helpers.stream("class", classes=6, each=20))
    make = lambda: helpers.learner(MEMORIES[memory](), batch=8, steps=7)  # noqa: E731
    relayed(make, met)


@pytest.mark.usefixtures("backend")
def test_what_gem_holds_back_for_follows_its_memory():
    """The tasks' gradients are of the samples held now, after every step and every removal."""
    made = helpers.learner(ll.GEM("30"), batch=8, steps=7)
    (gem,) = made.method
    shrunk = set()
    for task in helpers.tasks(helpers.stream("class", classes=6, each=20)):
        for _ in made.steps(task):
            held = gem.stored.samples
            earlier = [held.id[held.place == place] for place in range(made.position.task)]
            assert [b.samples.id.tolist() for b in gem.tasks] == [ids.tolist() for ids in earlier]
            shrunk |= {(len(earlier), *map(len, earlier))}
    assert len(shrunk) > 4
    made.position.task += 1
    gone = gem.stored.samples.id[::2]
    sizes = [len(batch) for batch in gem.tasks]
    assert made.forget(gone) == len(gone)
    assert sum(len(batch) for batch in gem.tasks) == sum(sizes) - len(gone)
    assert not np.isin(np.concatenate([batch.samples.id for batch in gem.tasks]), gone).any()


def test_out_of_time_it_says_so_and_goes_on(tmp_path):
    go("er", tmp_path / "straight")
    time_up = sys.modules[ll.run.__module__].TimeUp
    sittings, stopped = 0, True
    while stopped:
        sittings += 1
        with contextlib.suppress(time_up):
            made, stream = adam("er"), helpers.stream("class")
            ll.run(made, stream, tmp_path / "timed", 5, time_limit=1e-9)
            stopped = False
    assert sittings > 20
    same_run(tmp_path / "straight", tmp_path / "timed")


def test_a_finished_run_is_read(tmp_path):
    first = go("er", tmp_path)
    told: list[str] = []
    again = go("er", tmp_path, lambda words, share: told.append(words))
    assert again.data == json.loads(json.dumps(first.data))
    assert not told


def test_with_and_without_a_folder_the_bits_are_the_same(tmp_path):
    made = adam("er+ewc")
    result = ll.run(made, helpers.stream("class"), None, 5)
    go("er+ewc", tmp_path)
    arrays, _, stored = done(tmp_path)
    assert stored["R"] == result.data["R"]
    state = {k: v for k, v in arrays.items() if not k.startswith("guard/")}
    helpers.same_arrays(state, helpers.whole(made)[0])


# --- identity -----------------------------------------------------------------------------------


def begun(out: Path) -> None:
    """A run that stopped behind its first step."""
    with pytest.raises(LifelongError, match="time limit"):
        ll.run(adam("er"), helpers.stream("class"), out, time_limit=1e-9)


@pytest.mark.parametrize(
    ("named", "learner", "options"),
    [
        ("threads 1, not 2", {}, {"threads": 2}),
        ("precision float32, not float64", {"precision": "float64"}, {}),
    ],
)
def test_other_surroundings_are_refused_by_name(named, learner, options, tmp_path):
    begun(tmp_path)
    with pytest.raises(LifelongError, match=named):
        ll.run(helpers.learner("er", **learner), helpers.stream("class"), tmp_path, **options)


@pytest.mark.parametrize("name", ["backend", "device"])
def test_another_backend_or_device_is_refused_by_name(name, tmp_path):
    begun(tmp_path)
    file = folder(tmp_path) / "identity.json"
    write_json(file, read_json(file) | {name: "abacus"})
    with pytest.raises(LifelongError, match=f"{name} abacus, not"):
        ll.run(adam("er"), helpers.stream("class"), tmp_path)


def test_other_data_is_refused_by_name(tmp_path):
    begun(tmp_path)
    other = helpers.dataset(seed=1).split(2, "class")
    with pytest.raises(LifelongError, match="the data has changed"):
        ll.run(adam("er"), other, tmp_path)


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"steps": 13}, {"batch": 17}, {"optimizer": "sgd"}, {"output": "all"}],
)
def test_another_configuration_is_another_run(other, tmp_path):
    begun(tmp_path)
    ll.run(helpers.learner("er", **other), helpers.stream("class"), tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_two_processes_in_one_folder_are_refused(tmp_path):
    """The second is told; when the first is killed, its lock goes with it."""
    steps = FORKS.Value("i", 0)
    first = FORKS.Process(target=child, args=("ewc", tmp_path, steps, "ewc"))
    first.start()
    while steps.value < 1000 and first.is_alive():
        time.sleep(0.001)
    with pytest.raises(LifelongError, match="another process is running") as error:
        go("ewc", tmp_path)
    assert "\n" not in str(error.value)
    assert first.is_alive()
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert go("ewc", tmp_path).R.shape == (2, 2)
