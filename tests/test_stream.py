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


# --- i-blurry --------------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "disjoint"), [(5, 0.5), (3, 0.5), (4, 0.7), (10, 0.0), (2, 1.0)])
@pytest.mark.parametrize("scenario", ["class", "free"])
def test_disjoint_classes_occur_in_one_task_and_blurry_ones_mostly(tasks, disjoint, scenario):
    data = make(each=40)
    stream = data.i_blurry(tasks, scenario, disjoint=disjoint, blurry=0.25, seed=3)
    counts = np.array([np.bincount(task.train.y, minlength=10) for task in stream])
    assert (counts.sum(0) == 40).all()
    once = counts.max(0) == 40
    assert once.sum() == round(10 * disjoint)
    assert (counts.max(0)[~once] == 30).all()
    if tasks > 1 and disjoint < 1:
        minor = np.sort(counts[:, ~once], axis=0)[:-1]
        assert minor.sum(0).tolist() == [10] * int((~once).sum())
        assert (minor.max(0) - minor.min(0) <= 1).all()
    homes = [set(np.flatnonzero(counts.argmax(0) == i)) for i in range(tasks)]
    assert [set(task.test.y) for task in stream] == homes
    assert max(map(len, homes)) - min(map(len, homes)) <= 2
    assert sum(len(task.test) for task in stream) == len(data.test)
    assert [sorted(stream.classes[c] for c in h) for h in homes] == [
        sorted(task.name.split()) for task in stream
    ]


def test_i_blurry_keeps_labels_ids_and_seeds():
    origin = {int(i): DATA.classes[y] for i, y in zip(DATA.train.id, DATA.train.y, strict=True)}
    stream = DATA.i_blurry(blurry=0.5)
    for task in stream:
        assert all(
            stream.classes[y] == origin[int(i)] for y, i in zip(task.train.y, task.train.id, strict=True)
        )
    assert sorted(i for task in stream for i in task.train.id) == DATA.train.id.tolist()
    assert contents(stream) == contents(DATA.i_blurry(blurry=0.5))
    assert contents(stream) != contents(DATA.i_blurry(blurry=0.5, seed=1))
    assert contents(stream[2:]) == contents(stream)[2:]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"tasks": 1}, "give 2 to 10"),
        ({"tasks": 11}, "give 2 to 10"),
        ({"disjoint": 1.5}, "disjoint=1.5"),
        ({"blurry": "much"}, "blurry=much"),
        ({"scenario": "task"}, "come back"),
        ({"scenario": "domain"}, "come back"),
    ],
)
def test_what_i_blurry_refuses(options, hint):
    with pytest.raises(LifelongError, match=hint):
        DATA.i_blurry(**options)


# --- MNIST-360 -------------------------------------------------------------------------------


def bars(each: int = 30, side: int = 15) -> Dataset:
    """Digits whose pictures are one bar from the centre upwards, so that their angle can be read."""
    x = np.zeros((10 * each, side, side), np.uint8)
    x[:, : side // 2, side // 2] = 255
    y = np.repeat(np.arange(10), each)
    parts = (Samples(x=x, y=y, id=np.arange(len(y)) + first) for first in (0, len(y)))
    return Dataset("bars", *parts, tuple("0123456789"))


def angles(x: np.ndarray) -> np.ndarray:
    """The bars' angles in degrees."""
    rows, columns = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in x.shape[1:]), indexing="ij")
    weights = x.reshape(len(x), -1) / 255
    return np.degrees(np.arctan2(weights @ columns.ravel(), -(weights @ rows.ravel())))


def test_pairs_of_digits_come_three_times_and_every_sample_once():
    data = bars()
    stream = data.mnist_360()
    assert len(stream) == 27
    for i, task in enumerate(stream):
        assert task.labels.tolist() == sorted({i % 9, (i + 1) % 9})
        assert np.bincount(task.train.y).max() == np.bincount(task.test.y).max() == 5
    for kind, whole in (("train", data.train), ("test", data.test)):
        ids = [i for task in stream for i in getattr(task, kind).id]
        assert sorted(ids) == whole.id[whole.y < 9].tolist()
    assert stream.classes == tuple("012345678")


def test_a_digit_turns_once_around_in_equal_steps():
    flow = bars(each=36).mnist_360().flow()
    for samples in (flow.train, flow.test):
        for digit in range(9):
            seen = np.unwrap(np.radians(angles(samples.x[samples.y == digit])))
            assert np.abs(np.abs(np.diff(seen)) - np.radians(10)).max() < 0.15
            assert abs(np.degrees(np.abs(seen[-1] - seen[0])) - 350) < 6
            start = (60 * (digit - 1)) % 360
            first = np.degrees(seen[0]) % 360
            assert min(abs((a - start + 180) % 360 - 180) for a in (first, -first)) < 6


def test_two_digits_are_mixed_in_order():
    task = bars().mnist_360()[0]
    assert task.train.y.tolist() == [0, 1] * 5
    assert contents(bars().mnist_360()) == contents(bars().mnist_360())
    assert contents(bars().mnist_360(seed=1))[0] != contents(bars().mnist_360())[0]
    held = bars().mnist_360("class", validation=0.2)[4]
    assert (len(held.train), len(held.validation), held.id) == (8, 2, 4)


def test_what_mnist_360_refuses():
    with pytest.raises(LifelongError, match="digits 0 to 9"):
        DATA.mnist_360()
    with pytest.raises(LifelongError, match="come back"):
        bars().mnist_360("domain")


# --- blurred boundaries ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["split", "permuted", "by"])
def test_blur_changes_the_order_and_nothing_else(kind):
    plain = STREAMS[kind]("free")
    blurred = plain.blurred(0.5)
    assert contents(blurred) == contents(plain)
    a, b = plain.flow().train, blurred.flow().train
    assert a.id.tolist() != b.id.tolist()
    assert a.take(np.argsort(a.id)).fingerprint() == b.take(np.argsort(b.id)).fingerprint()
    assert b.fingerprint() == STREAMS[kind]("free").blurred(0.5).flow().train.fingerprint()
    assert blurred.description == plain.description | {"blur": 0.5}
    assert plain.blurred(0).flow().train.fingerprint() == a.fingerprint()


def test_across_a_window_the_later_task_takes_over_linearly():
    """Mean over 400 seeds of who is where: 0 before the window, then a line, then 1."""
    data = make(classes=2, each=100, side=1)
    later = np.zeros(200)
    for seed in range(400):
        stream = data.split(1, "free", seed=seed).blurred(0.6)
        later += stream.flow().train.y == 1
    share = later / 400
    assert (share[:70] == 0).all()
    assert (share[130:] == 1).all()
    assert np.abs(share[70:130] - (np.arange(60) + 0.5) / 60).max() < 0.12


def test_windows_of_unlike_neighbours_do_not_overlap():
    data = make(classes=3, each=60, side=1)
    few = data.train.take(data.train.id % 3 + 10 * (data.train.y == 1) * (data.train.id % 9) < 15)
    stream = Dataset("uneven", few, data.test, data.classes).split(1, "free", natural_order=True)
    flow, sizes = stream.blurred(1.0).flow().train, [len(task.train) for task in stream]
    assert sizes[1] < sizes[0]
    assert (flow.y[: sizes[0] - sizes[1] // 2 - 1] == 0).all()
    assert (flow.y[sizes[0] + sizes[1] + sizes[1] // 2 + 1 :] == 2).all()
    middle = sizes[0] + sizes[1] // 2
    assert (flow.y[:middle] < 2).all()
    assert (flow.y[middle + 1 :] > 0).all()


def test_a_slice_is_blurred_as_the_whole_was():
    stream = DATA.split(2, "free").blurred(0.4)
    whole, tail = stream.flow().train, stream[3:].flow().train
    assert whole.id[-len(tail) + 3 :].tolist() == tail.id[3:].tolist()


@pytest.mark.parametrize("share", [-0.1, 1.1, "half", None, True])
def test_blur_is_a_share(share):
    with pytest.raises(LifelongError, match="blur="):
        DATA.split(2, "free").blurred(share)


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_whole_tasks_are_not_blurred(scenario):
    with pytest.raises(LifelongError, match="use 'free'"):
        DATA.split(2, scenario).blurred(0.1)


def test_the_new_streams_by_name():
    from lifelong.spec import Spec

    blurred = Spec("mnist-5k", scenario="free", set=("stream.blur=0.25",)).make_stream()
    assert blurred.description["blur"] == 0.25
    i_blurry = Spec("mnist-5k", stream="i-blurry", tasks=4, set=("stream.disjoint=0.2",)).make_stream()
    assert (len(i_blurry), i_blurry.scenario, i_blurry.description["disjoint"]) == (4, "class", 0.2)
    assert len(Spec("digits", stream="mnist-360", scenario="free").make_stream()) == 27
    with pytest.raises(LifelongError, match="come back"):
        Spec("digits", stream="mnist-360", scenario="task").make_stream()


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
