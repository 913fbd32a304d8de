"""Streams: what each task holds, and what a learner may know of it."""

import numpy as np
import pytest

from lifelong.errors import LifelongError
from lifelong.samples import Dataset, Samples
from lifelong.stream import SCENARIOS, Stream


def make(classes: int = 10, each: int = 6, side: int = 4) -> Dataset:
    """Images whose pixels all differ, classes in turn; a test set of a third of the size."""
    rng = np.random.default_rng(0)

    def part(n: int, first: int) -> Samples:
        x = rng.integers(0, 256, (n, side, side), np.uint8)
        return Samples(x=x, y=np.arange(n) % classes, id=np.arange(first, first + n))

    n = classes * each
    return Dataset("made", part(n, 0), part(n // 3, n), tuple(f"c{i}" for i in range(classes)))


DATA = make()


def with_tasks() -> Dataset:
    """The same with a column ``place``: north first, then south."""
    places = (s.replace(place=np.where(s.id % 4 < 2, "north", "south")) for s in (DATA.train, DATA.test))
    return Dataset("places", *places, DATA.classes)


STREAMS = {
    "split": lambda scenario, **o: DATA.split(2, scenario, **o),
    "permuted": lambda scenario, **o: DATA.permuted(3, scenario, **o),
    "rotated": lambda scenario, **o: DATA.rotated(3, scenario, **o),
    "by": lambda scenario, **o: with_tasks().by("place", scenario, **o),
}
every_stream = pytest.mark.parametrize("kind", STREAMS)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def contents(stream: Stream) -> list[str]:
    """A hash of each task's training and test set."""
    return [task.train.fingerprint() + task.test.fingerprint() for task in stream]


# --- split -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "sizes"), [(1, [1] * 10), (3, [3, 3, 4]), (4, [4, 6]), (10, [10])])
def test_classes_left_over_join_the_last_task(group, sizes):
    stream = DATA.split(group)
    assert [len(task.labels) for task in stream] == sizes
    assert sorted(c for task in stream for c in task.name.split()) == sorted(DATA.classes)
    assert sum(len(task.train) for task in stream) == len(DATA.train)
    assert sum(len(task.test) for task in stream) == len(DATA.test)


@every_scenario
def test_a_label_names_the_class_of_its_picture(scenario):
    stream = DATA.split(3, scenario, seed=4)
    origin = {int(i): DATA.classes[y] for i, y in zip(DATA.train.id, DATA.train.y, strict=True)}
    for task in stream:
        own = task.name.split()
        for label, i in zip(task.train.y, task.train.id, strict=True):
            named = own[label] if scenario == "domain" else stream.classes[label]
            assert named == origin[int(i)]
        assert set(task.test.y) == set(task.train.y)


def test_labels_accumulate_in_the_order_of_the_tasks():
    assert [task.labels.tolist() for task in DATA.split(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_domain_labels_are_places_within_the_task():
    stream = DATA.split(3, "domain")
    assert [task.labels.tolist() for task in stream] == [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3]]
    assert stream.classes == ("0", "1", "2", "3")


def test_the_order_of_classes_is_drawn_from_the_seed():
    names = [[task.name for task in DATA.split(2, seed=seed)] for seed in range(5)]
    assert len({tuple(n) for n in names}) == 5
    assert names[3] == [task.name for task in DATA.split(2, seed=3)]
    natural = DATA.split(5, natural_order=True, seed=3)
    assert [task.name for task in natural] == ["c0 c1 c2 c3 c4", "c5 c6 c7 c8 c9"]
    assert natural.classes == DATA.classes


@pytest.mark.parametrize("group", [0, -1, 11])
def test_more_classes_than_there_are(group):
    with pytest.raises(LifelongError, match="has 10 classes"):
        DATA.split(group)


# --- permuted --------------------------------------------------------------------------------


def test_the_first_task_is_not_permuted_and_the_others_are_bijections():
    stream = DATA.permuted(4)
    flat = [task.train.x.reshape(len(task.train), -1) for task in stream]
    assert (stream[0].train.x == DATA.train.x).all()
    assert (stream[0].test.x == DATA.test.x).all()
    for x in flat[1:]:
        assert (x != flat[0]).any()
        assert (np.sort(x, axis=1) == np.sort(flat[0], axis=1)).all()
    assert len({x.tobytes() for x in flat}) == 4


def test_training_and_test_set_share_the_permutation():
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    one = Samples(x=pixels, y=np.array([0]), id=np.array([0]))
    data = Dataset("pixels", one, one.replace(id=np.array([1])), ("a",))
    for task in data.permuted(3):
        assert (task.train.x == task.test.x).all()
        assert sorted(task.train.x.ravel()) == list(range(16))
    assert (data.permuted(3, seed=1)[1].train.x != data.permuted(3, seed=2)[1].train.x).any()


def test_more_tasks_leave_the_first_ones_as_they_were():
    few, many = DATA.permuted(2), DATA.permuted(5)
    assert contents(few) == contents(many)[:2]


# --- rotated ---------------------------------------------------------------------------------


def test_angles_are_drawn_from_equal_bins():
    for seed in range(5):
        angles = DATA.rotated(6, seed=seed).description["angles"]
        assert [int(angle // 30) for angle in angles] == list(range(6))
    assert DATA.rotated(6).description["angles"] != DATA.rotated(6, seed=1).description["angles"]


def test_given_angles():
    stream = DATA.rotated(3, angles=[0, 90, 180])
    assert [task.name for task in stream] == ["0°", "90°", "180°"]
    x = DATA.train.x
    assert (stream[0].train.x == x).all()
    quarter = stream[1].train.x
    assert any((quarter == np.rot90(x, k, axes=(1, 2))).all() for k in (1, 3))
    assert (stream[2].train.x == np.rot90(x, 2, axes=(1, 2))).all()
    assert (stream[1].test.y == DATA.test.y).all()


def test_what_cannot_be_rotated():
    with pytest.raises(LifelongError, match="2 angles for 3 tasks"):
        DATA.rotated(3, angles=[0, 90])
    flat = (s.replace(x=s.x.reshape(len(s), -1)) for s in (DATA.train, DATA.test))
    with pytest.raises(LifelongError, match="no images to rotate"):
        Dataset("flat", *flat, DATA.classes).rotated(3)


# --- by a column -----------------------------------------------------------------------------


def test_one_task_a_value_in_order_of_appearance():
    stream = with_tasks().by("place")
    assert [task.name for task in stream] == ["north", "south"]
    for task, rest in zip(stream, ((0, 1), (2, 3)), strict=True):
        assert set(task.train.id % 4) == set(task.test.id % 4) == set(rest)
        assert "place" not in task.train
    assert stream.classes == DATA.classes


def test_an_unknown_column():
    with pytest.raises(LifelongError, match="unknown column 'places': did you mean 'place'"):
        with_tasks().by("places")


# --- scenarios -------------------------------------------------------------------------------


@every_stream
@every_scenario
def test_what_the_learner_is_told(kind, scenario):
    stream = STREAMS[kind](scenario, validation=0.25)
    for i, task in enumerate(stream):
        parts = (task.train, task.test, task.validation)
        if scenario in ("task", "class"):
            assert task.id == i
            assert all((part.task == i).all() for part in parts)
        else:
            assert not any("task" in part for part in parts)
            with pytest.raises(LifelongError, match="hidden"):
                _ = task.id
        assert task.ordered == (scenario == "free")
        assert task.classes == stream.classes
        assert task.labels.max() < len(stream.classes)
    assert [task.last for task in stream] == [False] * (len(stream) - 1) + [True]


@pytest.mark.parametrize("kind", ["permuted", "rotated", "by"])
def test_tasks_that_share_labels_get_heads_of_their_own(kind):
    stream = STREAMS[kind]("task")
    assert len(stream.classes) == 10 * len(stream)
    assert [int(task.labels.min() // 10) for task in stream] == list(range(len(stream)))
    assert len(STREAMS[kind]("domain").classes) == 10


def test_an_unknown_scenario():
    with pytest.raises(LifelongError, match="unknown scenario 'clas': did you mean 'class'"):
        DATA.split(2, "clas")


@every_stream
def test_flow_holds_every_sample_once(kind):
    stream = STREAMS[kind]("free")
    flow = stream.flow()
    ids = [i for task in stream for i in task.train.id]
    assert flow.train.id.tolist() == ids
    assert len(set(ids)) == len(ids)
    assert len(flow.test) == sum(len(task.test) for task in stream)
    assert flow.ordered
    assert "task" not in flow.train
    if kind in ("split", "by"):
        assert sorted(ids) == DATA.train.id.tolist()


def test_a_free_stream_is_shuffled_within_its_tasks():
    free, ordered = DATA.split(5, "free"), DATA.split(5, "class")
    for a, b in zip(free, ordered, strict=True):
        assert a.train.id.tolist() != b.train.id.tolist()
        assert sorted(a.train.id) == sorted(b.train.id)


# --- a stream is a sequence ------------------------------------------------------------------


def test_slices_are_streams_of_the_same_tasks():
    stream = DATA.split(2)
    prefix = stream[:3]
    assert isinstance(prefix, Stream)
    assert len(prefix) == 3
    assert contents(prefix) == contents(stream)[:3]
    assert contents(stream[1:][:2]) == contents(stream)[1:3]
    assert contents(stream[::-1]) == contents(stream)[::-1]
    assert stream[2].place == (2, 5)
    assert stream[2:][0].place == (0, 3)  # a slice is a stream of its own ...
    assert stream[2:][0].number == 2  # ... whose tasks keep their ids
    assert stream[-1].name == stream[4].name
    assert stream[1:][-1].last
    assert len(stream[5:]) == 0
    with pytest.raises(IndexError):
        stream[5]


def test_the_whole_knows_all_classes_before_they_come():
    assert DATA.split(2)[:1].classes == DATA.split(2).classes


def test_two_iterators_do_not_disturb_each_other():
    stream = DATA.split(2, validation=0.5)
    first, second = iter(stream), iter(stream)
    names = [next(first).name, next(second).name, next(first).name, next(second).name]
    assert names == [stream[0].name, stream[0].name, stream[1].name, stream[1].name]
    assert len(list(first)) == len(list(second)) == 3
    assert len(list(stream)) == 5


@every_stream
@every_scenario
def test_a_task_is_the_same_each_time(kind, scenario):
    stream = STREAMS[kind](scenario, validation=0.25)
    backwards = [stream[i] for i in reversed(range(len(stream)))][::-1]
    assert contents(stream) == [t.train.fingerprint() + t.test.fingerprint() for t in backwards]
    assert contents(stream) == contents(STREAMS[kind](scenario, validation=0.25))


@every_stream
def test_the_data_set_is_left_alone(kind):
    stream = STREAMS[kind]("class")
    before = DATA.train.fingerprint()
    for task in stream:
        task.train.replace(x=task.train.x + 1)
    assert DATA.train.fingerprint() == before


# --- validation, ids, generators -------------------------------------------------------------


@every_stream
def test_validation_is_disjoint_and_stratified(kind):
    whole, parted = STREAMS[kind]("class"), STREAMS[kind]("class", validation=0.34)
    for a, b in zip(whole, parted, strict=True):
        assert a.validation is None
        assert b.validation is not None
        assert not set(b.train.id) & set(b.validation.id)
        assert sorted([*b.train.id, *b.validation.id]) == sorted(a.train.id)
        for label in a.labels:
            share = round(0.34 * np.sum(a.train.y == label))
            assert np.sum(b.validation.y == label) == share
        assert b.test.id.tolist() == a.test.id.tolist()


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_validation_is_a_share(share):
    with pytest.raises(LifelongError, match="validation="):
        DATA.split(2, validation=share)


@every_stream
@every_scenario
def test_ids_are_unique_and_stable(kind, scenario):
    stream = STREAMS[kind](scenario)
    ids = np.concatenate([s.id for task in stream for s in (task.train, task.test)])
    assert len(np.unique(ids)) == len(ids)
    again = np.concatenate([s.id for task in stream for s in (task.train, task.test)])
    assert (ids == again).all()


def test_an_id_leads_back_to_its_picture():
    rows = {int(i): x for i, x in zip(DATA.train.id, DATA.train.x, strict=True)}
    for task in DATA.split(3):
        assert all((rows[int(i)] == x).all() for i, x in zip(task.train.id, task.train.x, strict=True))


@every_stream
def test_no_global_generator_is_touched(kind):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(STREAMS[kind]("free", validation=0.25))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_the_global_generator_has_no_say():
    np.random.seed(1)  # noqa: NPY002
    first = contents(DATA.split(2, "free"))
    np.random.seed(2)  # noqa: NPY002
    assert contents(DATA.split(2, "free")) == first


def test_a_stream_tells_how_it_was_made():
    import json

    stream = DATA.split(3, "task", seed=7, validation=0.25)
    assert json.loads(json.dumps(stream.description)) == {
        "kind": "split", "classes_per_task": 3, "natural_order": False,
        "scenario": "task", "seed": 7, "validation": 0.25,
    }  # fmt: skip
    assert stream.fingerprint == DATA.permuted(2).fingerprint
    assert stream.fingerprint != make(classes=9).split(3).fingerprint


def test_a_task_without_samples_is_refused():
    few = Dataset("few", DATA.train.take(DATA.train.y < 8), DATA.test, DATA.classes)
    with pytest.raises(LifelongError, match="the training set of task 'c8 c9' is empty"):
        list(few.split(2, natural_order=True))
