"""Columns of a table as numbers: learned from the first task, kept, and larger than memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifelong.data import disk, load, table
from lifelong.data.encoder import CATEGORIES, Chunk, Encoder
from lifelong.errors import LifelongError
from lifelong.samples import Dataset, Samples


def chunk(start=1, **columns):
    made = pa.table(columns)
    return Chunk(made, "f.csv", np.arange(start, start + made.num_rows))


def message(error: pytest.ExceptionInfo[LifelongError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# --- one encoder -----------------------------------------------------------------------------


def test_numbers_and_booleans_get_mean_0_and_sd_1():
    given = chunk(a=[1.0, 3.0, 5.0], b=[True, False, True], c=[7, 7, 7])
    x = Encoder.fit([given]).transform(given)
    assert x.dtype == np.float32
    assert x.mean(0) == pytest.approx([0, 0, 0], abs=1e-6)
    assert x.std(0) == pytest.approx([1, 1, 0], abs=1e-6)
    plain = Encoder.fit([given], "none").transform(given)
    assert plain.tolist() == [[1, 1, 7], [3, 0, 7], [5, 1, 7]]


def test_statistics_in_parts_are_those_of_the_whole():
    values = np.random.default_rng(0).normal(1e4, 0.01, 1000)
    parts = [chunk(a=part) for part in np.split(values, [1, 10, 700])]
    column = Encoder.fit(parts).columns[0]
    assert column.mean == pytest.approx(values.mean(), rel=1e-12)
    assert column.sd == pytest.approx(values.std(), rel=1e-6)


def test_a_constant_is_not_blown_up_by_rounding():
    assert Encoder.fit([chunk(a=[0.1] * 7), chunk(a=[0.1] * 1000)]).columns[0].sd == 1


def test_a_category_that_was_not_seen_has_a_slot():
    encoder = Encoder.fit([chunk(colour=["red", "blue"]), chunk(colour=["red"])])
    assert encoder.names == ["colour=blue", "colour=red", "colour not seen"]
    x = encoder.transform(chunk(colour=["blue", "red", "green"]))
    assert x.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    coded = pa.array(["green", "red"]).dictionary_encode()
    assert encoder.transform(chunk(colour=coded)).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert encoder.transform(chunk(colour=[3])).tolist() == [[0, 0, 1]]


def test_missing_values_by_policy():
    gaps = chunk(a=[1.0, None, 3.0, float("nan")], c=["u", None, "", "v"])
    with pytest.raises(LifelongError) as error:
        Encoder.fit([gaps])
    assert "column 'a' of f.csv has no value in row 2" in message(error)
    assert "--missing mean or --missing indicator" in message(error)
    mean = Encoder.fit([gaps], missing="mean")
    assert mean.transform(gaps).tolist() == [[-1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0]]
    plain = Encoder.fit([gaps], "none", "mean")
    assert plain.transform(gaps)[:, 0].tolist() == [1, 2, 3, 2]
    both = Encoder.fit([gaps], "none", "indicator")
    assert both.names == ["a", "a is missing", "c=u", "c=v", "c not seen"]
    assert both.transform(gaps)[:, :2].tolist() == [[1, 0], [0, 1], [3, 0], [0, 1]]
    with pytest.raises(LifelongError) as error:
        Encoder.fit([chunk(a=[1.0], c=["u"])]).transform(chunk(5, a=[1.0], c=[None]))
    assert "column 'c' of f.csv has no value in row 5" in message(error)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_vector_becomes_its_entries_with_one_scale(fixed):
    kind = pa.list_(pa.float32(), 2 if fixed else -1)
    given = chunk(v=pa.array([[1, 5], [3, 7], [2, 6]], kind))
    encoder = Encoder.fit([given])
    assert encoder.names == ["v[0]", "v[1]"]
    x = encoder.transform(given)
    assert x.mean() == pytest.approx(0, abs=1e-6)
    assert x.std() == pytest.approx(1)
    assert x[:, 1] - x[:, 0] == pytest.approx(4 / np.std([1, 5, 3, 7, 2, 6]))
    gaps = chunk(v=pa.array([[1, 5], None, [3, float("nan")]], kind))
    with pytest.raises(LifelongError) as error:
        encoder.transform(gaps)
    assert "has no value in row 2" in message(error)
    filled = Encoder.fit([gaps], "none", "indicator").transform(gaps)
    assert filled.tolist() == [[1, 5, 0], [0, 0, 1], [0, 0, 1]]


def test_an_encoder_is_json_and_back():
    given = chunk(a=[0.1, 2.0], c=["é", "z"], v=[[1, 2], [3, 4]])
    encoder = Encoder.fit([given], missing="indicator")
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    turned = chunk(v=[[1, 2], [3, 4]], c=["é", "z"], a=[0.1, 2.0])
    assert (again.transform(turned) == encoder.transform(given)).all()


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        ({"a": [1]}, {"a": ["1", "x"]}, "holds 'x' (row 2), where the first task has a number"),
        ({"a": [1]}, {"a": [[1, 2]]}, "does not hold a number in row 1"),
        ({"a": [[1, 2]]}, {"a": [[1, 2], [3]]}, "does not hold 2 numbers in row 2"),
        ({"a": [[1, 2]]}, {"a": [1, 2]}, "does not hold 2 numbers in row 1"),
        ({"a": ["u"]}, {"a": [[1]]}, "holds list<item: int64>: give text"),
        ({"a": [1]}, {"a": [float("inf")]}, "is infinite or beyond float32 in row 1"),
        ({"a": [1]}, {"a": [1e300]}, "is infinite or beyond float32 in row 1"),
    ],
)
def test_what_does_not_fit_the_first_task_is_refused(first, then, says):
    encoder = Encoder.fit([chunk(**first)])
    with pytest.raises(LifelongError) as error:
        encoder.transform(chunk(**then))
    assert says in message(error)


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({"a": [None, None]}, {"missing": "mean"}, "'a' has no value in the first task: drop it"),
        ({"a": pa.array(["", None])}, {"missing": "mean"}, "'a' has no value in the first task"),
        ({"a": pa.array([None], pa.list_(pa.int8()))}, {"missing": "mean"}, "in its first rows"),
        ({"a": [b"x"]}, {}, "holds binary, neither numbers nor text"),
        ({"a": [{"b": 1}]}, {}, "neither numbers nor text"),
        ({"a": [["x"]]}, {}, "neither numbers nor text"),
        ({"a": [f"id {i}" for i in range(41)]}, {}, "41 different texts in 41 rows"),
        ({"a": [f"id {i % 257}" for i in range(9999)]}, {}, "257 different texts in 9,999 rows"),
        ({"a": [1]}, {"scale": "frist"}, "unknown scale 'frist': did you mean 'first'?"),
        ({"a": [1]}, {"missing": "drop"}, "unknown missing 'drop'"),
    ],
)
def test_what_cannot_be_learned_is_refused(columns, options, says):
    with pytest.raises(LifelongError) as error:
        Encoder.fit([chunk(**columns)], **options)
    assert says in message(error)


def test_many_categories_in_many_rows_are_fine():
    values = [f"town {i % CATEGORIES}" for i in range(9999)]
    assert len(Encoder.fit([chunk(a=values)]).names) == CATEGORIES + 1
    assert len(Encoder.fit([chunk(a=[str(i) for i in range(20)])]).names) == 21


# --- files -----------------------------------------------------------------------------------


def write(path, header, lines):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_only_the_training_rows_of_the_first_task_are_learned_from(tmp_path):
    write(tmp_path / "1.csv", "a,c,label", [f"{i},u{i % 3},{'xy'[i % 2]}" for i in range(20)])
    write(tmp_path / "2.csv", "a,c,label", [f"{i * 1000},w{i},{'xz'[i % 2]}" for i in range(40)])
    data = table(tmp_path)
    first = data.by("task")[0].train
    encoder = data.encoder
    assert encoder is not None
    assert encoder.columns[0].mean == pytest.approx(first.id.mean())  # in 1.csv, a is the id
    assert encoder.columns[0].sd == pytest.approx(first.id.std())
    assert encoder.names == ["a", "c=u0", "c=u1", "c=u2", "c not seen"]
    assert (data.by("task")[1].train.x[:, 4] == 1).all()
    assert data.by("task").encoder is encoder


def test_a_split_learns_from_its_own_first_task(tmp_path):
    path = write(
        tmp_path / "a.csv", "a,c,label", [f"{i % 4},{'pqrs'[i % 4]},{i % 4}" for i in range(80)]
    )
    data = table(path)
    assert data.encoder.columns[0].mean == pytest.approx(1.5)
    stream = data.split(2, natural_order=True)
    assert stream.encoder.columns[0].mean == pytest.approx(0.5)
    assert stream.encoder.names == ["a", "c=p", "c=q", "c not seen"]
    assert (stream[1].train.x[:, 3] == 1).all()
    assert stream.fingerprint != data.whole().fingerprint
    assert data.permuted(2).encoder == data.encoder
    assert data.permuted(2)[1].train.x.shape == data.train.x.shape


def test_a_blurred_stream_of_a_table_is_that_of_its_rows(tmp_path):
    path = write(tmp_path / "a.csv", "a,label", [f"{i % 4},{i % 4}" for i in range(400)])
    data = table(path)
    stream = data.i_blurry(2, blurry=0.3)
    plain = Dataset("p", data.train, data.test, data.classes).i_blurry(2, blurry=0.3)
    for task, same in zip(stream, plain, strict=True):
        assert sorted(task.train.id) == sorted(same.train.id)
    rows = stream[0].train
    assert rows.x.mean() == pytest.approx(0, abs=1e-6)


def test_codes_keep_their_zeros_and_a_file_of_numbers_may_hold_categories(tmp_path):
    write(
        tmp_path / "1.csv", "code,label", [f"{c},{'xy'[i % 2]}" for i, c in enumerate(["01", "A2"] * 5)]
    )
    write(tmp_path / "2.csv", "code,label", [f"{c},x" for c in ["01", "1"] * 5])
    data = table(tmp_path)
    assert data.encoder.names == ["code=01", "code=A2", "code not seen"]
    second = data.by("task")[1].train.x
    assert {tuple(row) for row in second.tolist()} == {(1, 0, 0), (0, 0, 1)}


def test_a_few_stray_words_do_not_make_a_category(tmp_path):
    path = write(tmp_path / "a.csv", "a,label", ["1,x", "2,x", "?,y", "3,y"])
    with pytest.raises(LifelongError) as error:
        load(path)
    assert "holds '?' (row 3), not a number as most of its values" in message(error)


# --- larger than memory ----------------------------------------------------------------------


@pytest.fixture
def small_memory(tmp_path, monkeypatch):
    """Inputs of more than a kilobyte are mapped from a cache of the test's own."""
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(disk, "IN_MEMORY", 1024)
    return tmp_path / "cache" / "tables"


def parquet(path, n=4000, width=8, group=1000):
    """Vectors ``v``, a text and a number; labels 0 and 1."""
    rng = np.random.default_rng(0)
    v = rng.random((n, width), np.float32)
    columns = {
        "v": pa.FixedSizeListArray.from_arrays(v.ravel(), width),
        "c": pa.array(np.array(["p", "q", "r"])[np.arange(n) % 3]),
        "a": rng.normal(5, 2, n),
        "label": np.arange(n) % 2,
    }
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def test_mapped_inputs_are_the_same_and_stay_mapped(tmp_path, small_memory, monkeypatch):
    path = parquet(tmp_path / "a.parquet")
    data = table(path)
    assert type(data.train.x) is np.memmap
    assert type(data.test.x) is np.memmap
    assert not data.train.x.flags.writeable
    task = data.whole()[0]
    assert type(task.train.x) is np.memmap
    assert np.shares_memory(task.train.x, data.train.x)
    assert type(task.train.drop("id").replace(y=task.train.y).x) is np.memmap
    assert np.shares_memory(task.train.take(np.ones(len(task.train), bool)).x, data.train.x)
    for batch in (task.train.take([5, 3, 900]), task.train.take(slice(100))):
        assert type(batch.x) is np.ndarray
        assert batch.x.flags.writeable
    monkeypatch.setattr(disk, "IN_MEMORY", 2**28)
    held = table(path)
    assert type(held.train.x) is np.ndarray
    assert (held.train.x == data.train.x).all()
    assert held.train.fingerprint() == data.train.fingerprint()
    assert held.encoder == data.encoder


def test_mapped_inputs_are_written_once(tmp_path, small_memory):
    path = parquet(tmp_path / "a.parquet")
    table(path)
    files = sorted(small_memory.iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 2
    table(path)
    assert [file.stat().st_mtime_ns for file in sorted(small_memory.iterdir())] == times
    table(path, scale="none")
    parquet(path, n=3000)
    table(path)
    assert len(list(small_memory.iterdir())) == 6


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path, small_memory, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "file"))
    with pytest.raises(LifelongError) as error:
        table(parquet(tmp_path / "a.parquet"))
    assert "LIFELONG_CACHE" in message(error)


def test_a_mapped_nan_is_found(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (3_000_000, 2))
    x[2_999_998, 1] = np.nan
    samples = Samples(x=x, y=np.zeros(len(x), np.int64), id=np.arange(len(x)))
    with pytest.raises(LifelongError) as error:
        Dataset("m", samples, samples, ("a",))
    assert "first in row 2999998" in message(error)


LARGE = """
import resource, sys
import numpy as np
import lifelong as ll
from lifelong import data
from lifelong.learner import Learner
import lifelong.runner, torch, pyarrow.parquet

def own():
    for line in open("/proc/self/status"):
        if line.startswith("VmData"):
            return 1024 * int(line.split()[1])

learner = Learner(ll.models.mlp(16), ll.Naive(), steps=200)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
limit = own() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # memory of its own, not of mapped files
data.disk.IN_MEMORY = 2**26
made = data.table(sys.argv[1])
stream = made.whole()
loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert type(stream[0].train.x) is np.memmap
result = ll.run(learner, stream)
print(made.train.x.nbytes + made.test.x.nbytes, loaded - before, result.metrics["average_accuracy"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits as Linux has them")
def test_400_megabytes_are_learned_in_far_less_memory(tmp_path):
    parquet(tmp_path / "a.parquet", n=200_000, width=512, group=10_000)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "a.parquet"), str(160 * 2**20)],
        capture_output=True, text=True, env=os.environ | {
            "LIFELONG_CACHE": str(tmp_path / "cache"), "ARROW_DEFAULT_MEMORY_POOL": "system",
            "MALLOC_ARENA_MAX": "1",  # allocators that reserve no more than they use
        },
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    held, resident, accuracy = map(float, done.stdout.split())
    assert held > 400e6
    assert resident < 200e6
    assert 0.3 < accuracy < 0.7  # the labels are noise
