"""Memories: never above their bound, each sample offered once, and the right ones stay."""

import dataclasses
import itertools
import math

import helpers
import numpy as np
import pytest

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.memory import ADMISSIONS, parse_capacity
from lifelong.methods import registry

every_admission = pytest.mark.parametrize("admission", ADMISSIONS)


def samples(labels, first: int = 0) -> ll.Samples:
    """Samples of 25 bytes with these labels: 9 of pixels, 8 of the label and 8 of the id."""
    y = np.asarray(labels)
    ids = np.arange(first, first + len(y))
    x = np.repeat(ids.astype(np.uint8), 9).reshape(len(y), 3, 3)
    return ll.Samples(x=x, y=y, id=ids)


def offered(memory: ll.Memory, stream: ll.Samples, chunk: int, rng):
    """Offer the stream in chunks, yielding after each."""
    for start in range(0, len(stream), chunk):
        memory.offer(stream.take(slice(start, start + chunk)), rng)
        yield stream.take(slice(0, start + chunk))


# --- the bound ----------------------------------------------------------------------------------


@every_admission
@pytest.mark.parametrize("capacity", [1, 7, 30, "250B", "0.4kB", "3/class", "1/class", None])
@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_never_above_its_bound_and_never_below_what_it_could_hold(admission, capacity, chunk):
    rng = np.random.default_rng(3)
    stream = samples(rng.choice([0, 0, 0, 1, 2, 2], 200))
    memory = ll.Memory(capacity, admission)
    for so_far in offered(memory, stream, chunk, rng):
        seen = np.unique(so_far.y, return_counts=True)[1]
        if capacity is None:
            bound = len(so_far)
        elif str(capacity).endswith("/class"):
            bound = int(np.minimum(seen, int(capacity[0])).sum())
            assert np.unique(memory.samples.y, return_counts=True)[1].max() <= int(capacity[0])
        else:
            count = {"250B": 10, "0.4kB": 16}.get(capacity, capacity)
            bound = min(count, len(so_far))
        assert len(memory) == bound
        assert memory.nbytes == 25 * bound
        held = memory.samples
        assert len(np.unique(held.id)) == len(held)
        assert held.id.max() < len(so_far)
        assert (held.y == stream.y[held.id]).all()
        assert (held.x == stream.x[held.id]).all()


@every_admission
@pytest.mark.parametrize(("capacity", "bound"), [("3/class", 3), (7, 7), ("250B", 10), (None, 90)])
def test_a_class_made_of_two_keeps_no_more_than_one_may(admission, capacity, bound):
    memory = ll.Memory(capacity, admission)
    memory.offer(samples([0, 1, 1] * 30), np.random.default_rng(3))
    memory.relabel([1], 0)
    assert len(memory) == len(memory.keys) == bound
    assert (memory.samples.y == 0).all()
    assert len(np.unique(memory.samples.id)) == bound


def test_capacity_in_words():
    assert parse_capacity(500) == parse_capacity("500") == (500, "samples")
    assert parse_capacity("100/class") == (100, "a class")
    assert parse_capacity("2MB") == (2_000_000, "bytes")
    assert parse_capacity("1.5 kB") == (1500, "bytes")
    assert parse_capacity(None) is None


@pytest.mark.parametrize("capacity", [0, -1, "", "many", "5 MiB", "0.5", "1e3", "100/task"])
def test_a_capacity_that_means_nothing_is_refused(capacity):
    with pytest.raises(LifelongError, match="memory"):
        ll.Memory(capacity)


def test_bytes_that_hold_no_sample_are_refused():
    memory = ll.Memory("24B")
    with pytest.raises(LifelongError, match="holds no sample of 25 bytes"):
        memory.offer(samples([0]), np.random.default_rng(0))


def test_an_unknown_admission_is_refused():
    with pytest.raises(LifelongError, match="did you mean 'reservoir'"):
        ll.Memory(5, "reservior")


@every_admission
def test_what_is_stored_is_a_copy(admission):
    stream = samples([0, 1] * 5)
    before = stream.copy()
    memory, rng = ll.Memory(4, admission), np.random.default_rng(0)
    memory.offer(stream, rng)
    memory.offer(samples([0, 1] * 5, first=10), rng)
    assert stream.fingerprint() == before.fingerprint()
    stream.x[:] = 255
    assert (memory.samples.x != 255).all()


def test_filling_keeps_the_bound():
    memory = ll.Memory(3)
    memory.fill(samples([0, 1, 2]))
    assert len(memory) == 3
    with pytest.raises(LifelongError, match="4 samples for a memory of 3"):
        memory.fill(samples([0, 1, 2, 3]))
    memory.fill(None)
    assert len(memory) == 0


# --- who stays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_ring_keeps_the_latest_of_each_class(chunk):
    rng = np.random.default_rng(4)
    stream = samples(rng.choice([0, 0, 0, 0, 1, 2], 100))
    memory = ll.Memory("4/class", "ring")
    for so_far in offered(memory, stream, chunk, rng):
        for label in np.unique(so_far.y):
            latest = so_far.id[so_far.y == label][-4:]
            assert sorted(memory.samples.id[memory.samples.y == label]) == latest.tolist()


@pytest.mark.parametrize("admission", ["balanced", "ring"])
@pytest.mark.parametrize("capacity", [12, 13, 14])
@pytest.mark.parametrize("chunk", [1, 7, 300])
def test_a_full_memory_is_shared_equally_and_small_classes_leave_their_share(admission, capacity, chunk):
    rng = np.random.default_rng(5)
    labels = rng.permutation([0] * 100 + [1] * 40 + [2] * 2)
    memory = ll.Memory(capacity, admission)
    for _ in offered(memory, samples(labels), chunk, rng):
        pass
    counts = np.unique(memory.samples.y, return_counts=True)[1].tolist()
    assert counts[2] == 2
    assert sum(counts) == capacity
    assert abs(counts[0] - counts[1]) <= 1


def test_more_classes_than_room():
    memory, rng = ll.Memory(3, "balanced"), np.random.default_rng(6)
    memory.offer(samples(np.arange(10)), rng)
    assert len(memory) == 3
    assert len(np.unique(memory.samples.y)) == 3


def inclusions(make, stream, chunk, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each sample, and each pair of samples, was held at the end."""
    rng = np.random.default_rng(7)
    held = np.zeros((trials, len(stream)), int)
    for trial in range(trials):
        memory = make()
        for _ in offered(memory, stream, chunk, rng):
            pass
        held[trial, memory.samples.id] = 1
    return held.sum(0), held.T @ held


def assert_binomial(counts, p: float, trials: int) -> None:
    """Every count within 4.5 standard deviations (of hundreds: 1 in 1,000 seeds would fail)."""
    bound = 4.5 * math.sqrt(trials * p * (1 - p))
    assert np.abs(np.asarray(counts) - trials * p).max() < bound


@pytest.mark.parametrize("chunk", [1, 4, 30])
def test_the_reservoir_is_a_uniform_sample_of_the_stream(chunk):
    """Each of 12 samples stays with probability 4/12, each pair with 4*3 / (12*11)."""
    n, k, trials = 12, 4, 1500
    stream = samples(np.zeros(n, int))
    single, pairs = inclusions(lambda: ll.Memory(k), stream, chunk, trials)
    assert single.sum() == k * trials
    assert_binomial(single, k / n, trials)
    off = [pairs[i, j] for i, j in itertools.combinations(range(n), 2)]
    assert_binomial(off, k * (k - 1) / (n * (n - 1)), trials)


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("capacity", [6, "3/class"])
def test_balanced_holds_a_uniform_sample_of_each_class(chunk, capacity):
    """3 of 5 and 3 of 10, whose samples are mixed in the stream."""
    labels = np.array([0, 1, 1] * 5)
    trials = 1000
    single, _ = inclusions(lambda: ll.Memory(capacity, "balanced"), samples(labels), chunk, trials)
    assert_binomial(single[labels == 0], 3 / 5, trials)
    assert_binomial(single[labels == 1], 3 / 10, trials)


def test_balanced_is_uniform_where_the_room_does_not_divide():
    """5 places for two classes: the odd place goes to either, and each class stays uniform."""
    labels, trials = np.array([0, 1] * 6), 1200
    single, _ = inclusions(lambda: ll.Memory(5, "balanced"), samples(labels), 1, trials)
    assert_binomial(single[labels == 0], single[labels == 0].mean() / trials, trials)
    assert_binomial(single[labels == 1], single[labels == 1].mean() / trials, trials)
    assert_binomial(single, 5 / 12, trials)


# --- drawing ------------------------------------------------------------------------------------


def test_draws_do_not_repeat_and_are_uniform():
    memory, rng = ll.Memory(10), np.random.default_rng(8)
    assert memory.draw(3, rng) is None
    memory.offer(samples([0] * 10), rng)
    counts = np.zeros(10, int)
    for _ in range(3000):
        drawn = memory.draw(4, rng).id
        assert len(set(drawn.tolist())) == 4
        counts[drawn] += 1
    assert_binomial(counts, 0.4, 3000)
    assert sorted(memory.draw(99, rng).id) == list(range(10))


def test_a_draw_is_a_copy():
    memory, rng = ll.Memory(4), np.random.default_rng(9)
    memory.offer(samples([0] * 4), rng)
    memory.draw(4, rng).x[:] = 255
    assert (memory.samples.x != 255).all()


# --- saved and loaded ---------------------------------------------------------------------------


@every_admission
@pytest.mark.parametrize("before", [0, 3, 40])
def test_loaded_it_goes_on_alike(admission, before):
    first, second = ll.Memory(6, admission), ll.Memory(6, admission)
    for a in range(0, before, 4):
        first.offer(samples(np.arange(4) % 3, first=a), np.random.default_rng(a))
    second.load(*first.save())
    for a in range(before, before + 40, 4):
        for memory in (first, second):
            memory.offer(samples(np.arange(4) % 3, first=a), np.random.default_rng(a))
    assert first.samples.fingerprint() == second.samples.fingerprint()
    assert first.keys.tolist() == second.keys.tolist()
    assert first.offered == second.offered


# --- memories in the loop -----------------------------------------------------------------------

FIELDS = {n: {f.name for f in dataclasses.fields(registry()[n])} for n in helpers.METHODS}
KEEPING = [
    (name, {"capacity": capacity, "admission": admission} if admission else {"capacity": capacity})
    for name in helpers.METHODS
    for admission in (ADMISSIONS if "admission" in FIELDS[name] else [None])
    for capacity in (9, "900B", "600B", "4/class")
    if "capacity" in FIELDS[name]
]


@pytest.mark.parametrize(("name", "options"), KEEPING)
def test_a_method_stays_within_its_bound_at_every_step(name, options):
    """A method that cannot count by class says so; one that does fills every class's share."""
    met = helpers.tasks(helpers.stream(helpers.scenario_of(name, "class")))
    capacity = str(options["capacity"])
    made = helpers.learner(registry()[name](**options))
    ids = np.concatenate([task.train.id for task in met])
    names = {i: t.classes[y] for t in met for i, y in zip(t.train.id, t.train.y, strict=True)}
    most, counts, refused = 0, [], ""
    try:
        for task in met:
            for _ in made.steps(task):
                held = [s.value for s in made.method.parts[0].states.values()]
                (memory,) = (value for value in held if isinstance(value, ll.Memory))
                count = int(capacity.removesuffix("B").removesuffix("/class"))
                if capacity.endswith("B"):
                    assert made.memory_bytes <= count
                    size = memory.nbytes // max(1, len(memory))
                    count //= max(1, size)
                elif capacity.endswith("/class"):
                    count *= len(made.seen)
                assert len(memory) <= count
                most = max(most, len(memory))
                if len(memory):
                    assert np.isin(memory.samples.id, ids).all()
                    assert len(np.unique(memory.samples.id)) == len(memory)
                    stored = [made.classes[y] for y in memory.samples.y]
                    assert stored == [names[i] for i in memory.samples.id.tolist()]
                    counts = np.unique(memory.samples.y, return_counts=True)[1].tolist()
                    if capacity.endswith("/class"):
                        assert max(counts) <= 4
    except LifelongError as error:
        refused = str(error)
    if refused:
        assert capacity.endswith("/class")
        assert "class" in refused
        return
    assert most > count // 2
    if capacity.endswith("/class"):
        assert counts == [4] * 4


@pytest.mark.parametrize("scenario", helpers.SCENARIOS)
@pytest.mark.parametrize("others", ["", "+ewc", "+cumulative", "+packnet", "+dgr"])
@pytest.mark.parametrize("admit", ["step", "task"])
def test_each_sample_is_offered_exactly_once(scenario, others, admit, monkeypatch):
    name = "er" + others
    if not helpers.parts(name).supports(scenario):
        with pytest.raises(LifelongError):
            helpers.learner(name).check(scenario)
        return
    counts: dict[int, int] = {}
    inner = ll.Memory.offer

    def offer(self, samples, rng):
        if self.limit is not None:  # not cumulative's
            for i in samples.id.tolist():
                counts[i] = counts.get(i, 0) + 1
        inner(self, samples, rng)

    monkeypatch.setattr(ll.Memory, "offer", offer)
    made = helpers.learner(name, epochs=None if scenario == "free" else 3)
    part = next(p for p in made.method if p.name == "er")
    part.admit = admit
    met = helpers.tasks(helpers.stream(scenario))
    for task in met:
        made.learn(task)
    assert counts == {i: 1 for task in met for i in task.train.id.tolist()}


def test_what_a_step_does_not_meet_is_not_offered():
    """Half a pass: half of the samples."""
    made = helpers.learner(ll.ER(1000), steps=3)
    task = helpers.stream("class")[0]
    made.learn(task)
    assert len(made.method.parts[0].stored) == 3 * made.batch < len(task.train)
