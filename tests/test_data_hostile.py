"""Files that are broken, strange or made to harm: one clear line each, whichever reader meets them."""

import gzip
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lifelong import budget
from lifelong.data import (
    arrays,
    disk,
    formats,
    from_torch,
    has_column,
    images,
    load,
    published,
    table,
    text_blocks,
    texts,
    unlabelled_texts,
)
from lifelong.data.download import fetch, members
from lifelong.data.encoder import Chunk, Encoder, deviation
from lifelong.data.own import read_npz
from lifelong.errors import LifelongError

images_module = sys.modules["lifelong.data.images"]
texts_module = sys.modules["lifelong.data.texts"]


def refused(read, *args, **options) -> str:
    """What a reader says, in one line."""
    with pytest.raises(LifelongError) as error:
        read(*args, **options)
    said = str(error.value)
    assert "\n" not in said
    return said


def read_or_refused(read, *args) -> str | None:
    """What a reader says where it refuses; None where it reads. Nothing else may come of it."""
    try:
        read(*args)
    except LifelongError as error:
        return str(error)
    return None


def in_blocks(path, **options):
    return list(text_blocks(str(path), **options))


READERS = {
    "table": table, "texts": texts, "unlabelled": unlabelled_texts, "blocks": in_blocks,
    "has_column": lambda path: has_column(path, "text"),
}  # fmt: skip
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def lines(n=20, **more) -> str:
    rows = [{"a": i, "text": f"t{i}", "label": "xy"[i % 2]} | more for i in range(n)]
    return "".join(json.dumps(row) + "\n" for row in rows)


# --- JSONL -----------------------------------------------------------------------------------


@readers
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"text": "caf\xe9", "label": "x"}', "is not UTF-8"),
        (b"null", "is no JSON object"),
        (b"[1]", "is no JSON object"),
        (
            b'{"a": 1, "text": "t", "label": "x", "text": "u"}',
            "is no JSON object (the key 'text' stands there twice)",
        ),
        (b'{"a": 1', "is no JSON object"),
        (b'{"a": 1}{"a": 2}', "is no JSON object"),
        (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "is nested more than 64 deep"),
        (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "is nested more than 64 deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON object"),
    ],
)
def test_a_strange_line_of_json_is_named_by_its_number(tmp_path, read, line, says):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(4).encode() + b"\n" + line + b"\n" + lines(4).encode())
    assert f"line 6 of {path} {says}" in refused(read, path)


def test_brackets_within_text_are_no_depth(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines(20, text='[{"' * 500))
    assert texts(path).train.x[0] == '[{"' * 500


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path):
    path, plain = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    plain.write_text(lines())
    path.write_bytes(b"\xef\xbb\xbf" + lines().replace("\n", "\r\n\r\n").encode())
    for read in (texts, lambda file: table(file, drop=["text"])):
        assert read(path).train.fingerprint() == read(plain).train.fingerprint()


def test_numbers_of_json_are_what_they_say(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"a": 1, "v": [None, 1.0], "label": "x"}, {"a": 2.5, "v": [3, 4], "label": "y"}]
    rows += [{"a": 10**18 + 1, "v": [5, 6], "label": "xy"[i % 2]} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "column 'v' of" in refused(table, path)
    data = table(path, drop=["v"], scale="none")
    found = dict(zip([*data.train.id, *data.test.id], [*data.train.x, *data.test.x], strict=True))
    assert [found[i].tolist() for i in range(3)] == [[1.0], [2.5], [float(np.float32(1e18))]]


@pytest.mark.parametrize(("first", "then"), [(1, "u"), (True, 1), ([1], 1), ({"b": 1}, 1), ([1], ["u"])])
def test_a_column_of_two_kinds_is_refused(tmp_path, monkeypatch, first, then):
    monkeypatch.setattr(formats, "LINES", 8)
    for place in (5, 15):  # in one block, in two
        path = tmp_path / "a.jsonl"
        rows = [{"a": then if i >= place else first, "label": "xy"[i % 2]} for i in range(20)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert "column 'a' of" in refused(table, path)


def test_more_keys_than_columns_are_refused_before_they_take_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"k{i}": 1, "label": "x"}}\n' for i in range(12_000)))
    tracemalloc.start()
    try:
        for read in (table, READERS["has_column"]):
            assert "has more than 10,000 different keys" in refused(read, path)
        for read in (texts, unlabelled_texts, in_blocks):  # they read two columns, and no others
            assert "unknown column 'text': choose from k0, k1" in refused(read, path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    path.write_text(lines(20))
    assert "more than 2 different keys" in refused(table, path, most_columns=2)
    assert len(load(path, most_columns=3).classes) == 2
    assert "more than 2 different keys" in refused(load, path, most_columns=2)


def test_a_line_without_an_end_is_not_read_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "LONGEST", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(lines(3) + json.dumps({"text": "x" * 2000, "label": "x"}))
    assert "line 4 of" in refused(texts, path)


# --- CSV -------------------------------------------------------------------------------------


@readers
def test_two_columns_of_one_name_are_refused(tmp_path, read):
    content = {
        "a.csv": b"text,text,label\nu,v,x\nu,v,y\n",
        "a.jsonl": b'{"text": "u", "text": "v", "label": "x"}\n',
    }
    for name, held in content.items():
        (tmp_path / name).write_bytes(held)
        assert "text" in refused(read, tmp_path / name)
    pq.write_table(pa.table([["u"], ["v"], ["x"]], ["text", "text", "label"]), tmp_path / "a.parquet")
    assert "2 columns called 'text'" in refused(read, tmp_path / "a.parquet")


@pytest.mark.parametrize("value", ["1_000", "１２", "٣", "5\u00a0"])
def test_what_only_python_reads_as_a_number_is_refused(tmp_path, value):
    path = tmp_path / "a.csv"
    for others in (["1", "2", "3"], [value]):
        rows = "".join(f"{others[i % len(others)]},{'xy'[i % 2]}\n" for i in range(20))
        path.write_text(f"a,label\n{rows}{value},x\n", encoding="utf-8")
        assert f"holds {value!r} (row " in refused(table, path)


def test_labels_in_other_digits_are_text_and_sorted_as_text():
    assert arrays(np.eye(4), ["10", "9", "10", "9"]).classes == ("9", "10")
    assert arrays(np.eye(4), ["1_0", "9", "1_0", "9"]).classes == ("1_0", "9")


def test_lines_within_quotes_are_read_across_blocks(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f'"one\n""two"" {i}",x\n' for i in range(5000)))
    monkeypatch.setattr(formats, "BLOCK", 4096)
    x = np.concatenate([found for found, _ in in_blocks(path)])
    assert x.tolist() == [f'one\n"two" {i}' for i in range(5000)]


def test_a_column_that_is_not_asked_for_may_change_its_kind(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("n,text,label\n" + "1,t,x\n" * 3000 + "other,t,y\n")
    monkeypatch.setattr(formats, "BLOCK", 4096)
    assert sum(len(found) for found, _ in in_blocks(path)) == 3001


def test_a_large_csv_file_is_read_as_a_small_one(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    late = {"whole": "7", "real": "0.5", "word": "w", "flag": "false", "gap": "3", "day": "2024-02-30"}
    early = {"whole": "1", "real": "2", "word": "3", "flag": "true", "gap": "", "day": "2024-01-01"}
    rows = [early] * 400 + [late] + [early] * 400
    head = ",".join([*early, "text", "label"])
    content = "".join(",".join(row.values()) + f',"a\nb",{i % 2}\n' for i, row in enumerate(rows))
    path.write_text(f"{head}\n{content}")
    small = formats.csv_table(path, ["label"])
    monkeypatch.setattr(formats, "LARGE", 0)
    monkeypatch.setattr(formats, "BLOCK", 512)
    large = formats.csv_table(path, ["label"])
    assert large.schema == small.schema
    kinds = [str(kind) for kind in large.schema.types]
    assert kinds == ["int64", "double", "string", "bool", "int64", "string", "string", "string"]
    assert large.to_pydict() == small.to_pydict()


# --- Parquet ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
def test_text_of_every_arrow_type_is_text(tmp_path, kind):
    path = tmp_path / "a.parquet"
    words = pa.array(["u", "v"] * 10)
    columns = {"text": words.cast(kind), "label": words.cast(kind), "a": pa.array(range(20))}
    pq.write_table(pa.table(columns), path)
    assert texts(path).classes == ("u", "v")
    assert unlabelled_texts(path)[0].tolist() == ["u", "v"] * 10
    assert in_blocks(path)[0][1].tolist() == ["u", "v"] * 10
    assert table(path).encoder.names == ["text=u", "text=v", "text not seen", "a"]


def test_numbers_in_a_dictionary_are_numbers(tmp_path):
    path = tmp_path / "a.parquet"
    coded = pa.array([3, 5] * 10).dictionary_encode()
    pq.write_table(pa.table({"a": coded, "id": pa.array(range(20)), "label": coded}), path)
    data = table(path, scale="none")
    assert sorted(set(data.train.x.ravel())) == [3, 5]
    assert data.classes == ("3", "5")


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ms"), pa.duration("ms")], ids=str)
def test_dates_beyond_the_calendar_are_one_line(tmp_path, kind):
    path = tmp_path / "a.parquet"
    whole = pa.int32() if kind.bit_width == 32 else pa.int64()
    days = pa.array([2**31 - 1, 1] * 10, whole) if whole == pa.int32() else pa.array([2**60, 1] * 10)
    pq.write_table(pa.table({"label": days.view(kind), "text": ["t"] * 20}), path)
    assert "column 'label' of" in refused(texts, path)
    pq.write_table(pa.table({"label": pa.array([date(2024, 1, 1)] * 20), "text": ["t"] * 20}), path)
    assert texts(path).classes == ("2024-01-01",)


def test_text_in_parquet_that_is_not_utf8_is_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    bad = pa.array([b"\xff\xfe", b"u"] * 10).view(pa.string())
    for name in ("text", "label"):
        good = {"text": pa.array(["t"] * 20), "label": pa.array(["x"] * 20), "a": pa.array(range(20))}
        pq.write_table(pa.table(good | {name: bad}), path)
        for read in (texts, table, in_blocks, unlabelled_texts):
            assert str(path) in refused(read, path)


# --- what is no file -------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "npz", "png"])
@pytest.mark.timeout(60)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    path = tmp_path / "a" / f"x.{suffix}"
    path.parent.mkdir()
    os.mkfifo(path)
    said = refused(images, tmp_path) if suffix == "png" else refused(load, path)
    assert f"{path} is a pipe or a device" in said
    if suffix in ("csv", "jsonl", "parquet"):
        for read in READERS.values():
            assert "is a pipe or a device" in refused(read, path)


@readers
def test_folders_loops_and_files_that_are_not_there_are_one_line(tmp_path, read):
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.csv").mkdir()
    if read is not READERS["has_column"]:
        for path in (tmp_path / "a.csv", tmp_path / "none.csv", tmp_path / ("x" * 300 + ".csv")):
            assert path.name in refused(read, path)
    assert "is a folder" in refused(load, tmp_path / "sub")


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def closed(self):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a").mkdir()
    monkeypatch.setattr("pathlib.Path.iterdir", closed)
    assert "Permission denied" in refused(load, tmp_path)
    assert "Permission denied" in refused(images, tmp_path)


# --- npz -------------------------------------------------------------------------------------

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def claiming(path, shape, content=b"\0" * 16, descr="<f8"):
    """An ``.npz`` file whose x is said to be of this shape."""
    out = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", out.getvalue() + content)
    return path


@pytest.mark.parametrize(
    ("shape", "descr"), [((2**40, 2), "<f8"), ((3,), "<f8"), ((), "<U99999999"), ((2**62, 2**62), "<f8")]
)
def test_an_array_that_claims_another_size_than_it_has_is_refused(tmp_path, shape, descr):
    path = claiming(tmp_path / "a.npz", shape, descr=descr)
    assert "is not of the size that it says" in refused(read_npz, path)


def test_arrays_that_do_not_fit_into_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)), y=np.zeros(1000))
    monkeypatch.setattr(budget, "available", lambda: 10_000_000)
    assert f"reading {path} would take 16.0 MB, and 10.0 MB are free" in refused(load, path)


def test_parts_of_different_length_twice_there_or_encrypted_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for name, part in {"y": Y[:3], "x_test": X[:4], "task": Y[:3]}.items():
        np.savez(path, **{"x": X, "y": Y, "y_test": Y[:5], "task": Y} | {name: part})
        assert str(path) in refused(load, path)
    np.savez(path, x=X, y=Y)
    whole = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = whole.index(magic)
        whole[at + place] |= 1
    (tmp_path / "b.npz").write_bytes(whole)
    assert "is encrypted" in refused(load, tmp_path / "b.npz")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("x.npy", file.read("y.npy"))
    assert "two arrays of one name" in refused(load, path)


def test_arrays_in_every_order_and_kind_are_read_as_numpy_reads_them(tmp_path):
    path = tmp_path / "a.npz"
    given = {
        "x": np.asfortranarray(X), "big": X.astype(">f4"), "words": np.array(["a", "bcd"]),
        "none": np.zeros((0, 3)), "one": np.array(3), "flags": X > 3,
    }  # fmt: skip
    np.savez_compressed(path, **given)
    found = read_npz(path)
    assert sorted(found) == sorted(given)
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert (found[name] == array).all()
        assert found[name].flags.writeable


# --- images ----------------------------------------------------------------------------------


def picture(path, side=6, mode="L", **options):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new(mode, (side, side)).save(path, **options)
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_images_of_every_format_are_one_line(tmp_path):
    rng = random.Random(0)
    for suffix in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        whole = picture(tmp_path / "whole" / f"a.{suffix}", 20, "RGB").read_bytes()
        path = tmp_path / "broken" / "a" / f"a.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        for cut in [*range(1, min(len(whole), 64)), len(whole) // 2, len(whole) - 3]:
            changed = bytearray(whole)
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            for content in (whole[:cut], changed):
                path.write_bytes(content)
                said = read_or_refused(images, tmp_path / "broken")
                assert "\n" not in (said or "")
        path.unlink()


def test_images_that_do_not_fit_into_memory_are_one_line_with_the_bytes(tmp_path, monkeypatch):
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png")
    monkeypatch.setattr(budget, "available", lambda: 20_000_000_000)
    said = refused(images, tmp_path, size=(100_000, 100_000))
    assert "4 images of 100000 x 100000 pixels would take 50.0 GB, and 20.0 GB are free" in said
    monkeypatch.setattr(images_module, "UNASKED", 100)
    assert "4 images of 6 x 6 pixels would take 0 kB: give the size" in refused(images, tmp_path)
    assert images(tmp_path, size=6).train.x.shape[1:] == (6, 6)


def test_an_image_that_unpacks_to_far_too_many_pixels_is_refused(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for i in range(2):
        picture(tmp_path / "a" / f"{i}.png", 40)
    for most in (1000, 100):  # a warning of Pillow's, an error of Pillow's
        monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", most)
        assert f"has more than {most:,} pixels" in refused(images, tmp_path)


def test_images_are_gone_through_one_at_a_time(tmp_path):
    for i in range(12):
        picture(tmp_path / "a" / f"{i}.png", 1000, "RGB")
    tracemalloc.start()
    try:
        images(tmp_path, size=8)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


# --- numbers and ids -------------------------------------------------------------------------


def chunk(**columns) -> Chunk:
    made = pa.table(columns)
    return Chunk(made, "f.csv", np.arange(1, made.num_rows + 1))


@pytest.mark.parametrize(
    "values", [[5.0, 5.0000001, 5.0000002], [5.0] * 3, [1e6, 1e6, 1e6 + 0.01], [0.0] * 3]
)
def test_a_column_that_hardly_varies_is_not_blown_up(values):
    encoder = Encoder.fit([chunk(a=values)])
    assert encoder.columns[0].sd == pytest.approx(max(1.0, values[0] / 100))
    later = encoder.transform(chunk(a=[values[0] * 2, 0.0]))
    assert abs(later).max() < 101


def test_a_column_that_varies_a_little_keeps_its_deviation():
    assert deviation(1e4, 0.01) == 0.01
    assert deviation(np.array([1e9, 0.0]), np.array([1e4, 1e-9])).tolist() == [1e4, 1e-9]


@pytest.mark.parametrize("value", [2e19, -1e38, 1e39, float("inf")])
def test_a_number_whose_square_is_beyond_float32_is_refused_with_its_row(tmp_path, value):
    rows = pa.table({"a": [1.0] * 7 + [value] + [2.0] * 12, "label": ["x", "y"] * 10})
    pq.write_table(rows, tmp_path / "a.parquet")
    for scale in ("first", "none"):
        assert "in row 8" in refused(table, tmp_path / "a.parquet", scale=scale)
    x = np.ones((20, 3))
    x[7, 1] = value
    assert "x[7]" in refused(arrays, x, Y)
    assert "x[7]" in refused(from_torch, list(zip(x, Y, strict=True)))
    np.savez(tmp_path / "a.npz", x=x, y=Y)
    assert "x[7]" in refused(load, tmp_path / "a.npz")
    if np.isfinite(value) and abs(value) < 3e38:
        assert "y[7]" in refused(arrays, np.ones((20, 2)), x)


def test_a_number_that_scaling_makes_too_large_is_refused_with_its_row():
    encoder = Encoder.fit([chunk(a=[0.0, 1e-9])])
    assert "in row 2" in refused(encoder.transform, chunk(a=[0.0, 1e15]))


HIGH = 2**63 - 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_largest_ids_are_kept(tmp_path, suffix):
    ids = [HIGH - i for i in range(20)]
    columns = {"id": ids, "text": ["t"] * 20, "a": list(range(20)), "label": ["x", "y"] * 10}

    def written(name, **columns):
        path, made = tmp_path / f"{name}.{suffix}", pa.table(columns)
        if suffix == "csv":
            pyarrow.csv.write_csv(made, path)
        elif suffix == "parquet":
            pq.write_table(made, path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in made.to_pylist()))
        return path

    path = written("train", **columns)
    test = written("test", **columns | {"id": list(range(20))})
    for read in (texts, lambda path, **options: table(path, drop=["text"], **options)):
        data = read(path)
        assert data.own_ids
        assert sorted([*data.train.id.tolist(), *data.test.id.tolist()]) == sorted(ids)
        assert sorted(read(path, test=test).test.id.tolist()) == list(range(20))
        assert "id 9223372036854775788 is in the training and in the test set" in refused(
            read, path, test=path
        )
        bare = {name: column for name, column in columns.items() if name != "id"}
        assert not read(written("bare", **bare)).own_ids
        for pair in ((path, tmp_path / f"bare.{suffix}"), (tmp_path / f"bare.{suffix}", path)):
            assert "give it to both or neither" in refused(read, pair[0], test=pair[1])
    data = table(path, drop=["text"])
    assert len(data.whole()) == 1
    assert "leave no room" in refused(data.permuted, 3)
    for wrong in ([f"{i}x" if suffix == "csv" else f"{i}" for i in range(20)], [12.5] * 20, [-1] * 20):
        assert "integers from 0" in refused(table, written("wrong", **columns | {"id": wrong}))


# --- what a model's file holds ---------------------------------------------------------------


def test_an_encoder_that_is_not_what_it_should_be_is_refused():
    made = Encoder.fit([chunk(a=[1.0, 2.0], c=["u", "v"], v=[[1.0, 2.0], [3.0, 4.0]])])
    whole = json.loads(json.dumps(made.to_json()))
    assert Encoder.from_json(whole) == made
    for strange in (None, [], {}, whole | {"more": 1}, {"columns": whole["columns"]}):
        assert "the encoder of this model is damaged" in refused(Encoder.from_json, strange)
    for part, strange in (("missing", "maybe"), ("missing", None), ("columns", []), ("columns", 3)):
        assert "damaged" in refused(Encoder.from_json, whole | {part: strange})
    assert "one name" in refused(Encoder.from_json, whole | {"columns": whole["columns"] * 2})
    changes = {
        "name": [None, 3, ""], "kind": ["word", None, ["number"]],
        "size": [0, -1, 2, 10**12, 1.0, True, "1"],
        "mean": [float("nan"), float("inf"), "0", None], "sd": [0.0, -1.0, float("nan"), None],
        "fill": [float("inf"), [], 10**400], "categories": ["uv", [1], ["u"], None, {"u": 1}],
    }  # fmt: skip
    for part, values in changes.items():
        for value in values:
            number = whole["columns"][0] | {part: value}
            assert "damaged" in refused(Encoder.from_json, whole | {"columns": [number]}), (part, value)
    category = whole["columns"][1]
    for value in ([], ["u", "u"], [None]):
        changed = [category | {"categories": value}]
        assert "damaged" in refused(Encoder.from_json, whole | {"columns": changed})
    assert "damaged" in refused(Encoder.from_json, whole | {"columns": [{"name": "a"}]})


# --- the cache and downloads -----------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, to which inputs of more than a kilobyte go."""
    monkeypatch.delenv("LIFELONG_DATA", raising=False)
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(disk, "IN_MEMORY", 1024)
    return tmp_path / "cache"


def zeros(content):
    return bytes(len(content))


def cut(content):
    return content[:-7]


def longer(content):
    return content + b"\0"


def one_bit(content):
    return content[:500] + bytes([content[500] ^ 1]) + content[501:]


def other_digest(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("harm", [zeros, cut, longer, one_bit, other_digest, lambda content: b""])
def test_a_cached_table_that_is_not_what_was_written_is_made_anew(tmp_path, cache, harm):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(900.0), "label": np.arange(900) % 2}), path)
    right = np.array(table(path).train.x)
    for file in (cache / "tables").iterdir():
        file.write_bytes(harm(file.read_bytes()))
    data = table(path)
    assert type(data.train.x) is np.memmap
    assert (data.train.x == right).all()
    assert {file.suffix for file in (cache / "tables").iterdir()} == {".npy"}


def test_a_cached_table_is_a_file_of_numpy(tmp_path, cache):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(900.0), "label": np.arange(900) % 2}), path)
    x = table(path).train.x
    assert any(
        held.shape == x.shape and (held == x).all()
        for held in (np.load(file) for file in (cache / "tables").iterdir())
    )


@pytest.fixture
def served(tmp_path):
    """A URL, and what is answered there: (status, headers, content) by path."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, content = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/", answers
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a.gz"])
def test_a_redirect_to_another_scheme_is_not_followed(cache, served, place):
    url, answers = served
    answers["/a.gz"] = 302, {"Location": place}, b""
    assert "cannot download" in refused(fetch, Path("a.gz"), "0" * 64, url)
    assert "starts with https" in refused(fetch, Path("a.gz"), "0" * 64, place[: -len("a.gz")])


def test_a_download_ends_at_its_cap(cache, served):
    url, answers = served
    for headers in ({}, {"Content-Length": "5000"}, {"Content-Length": "many"}):
        answers["/a.gz"] = 200, headers, bytes(5000)
        said = refused(fetch, Path("a.gz"), "0" * 64, url, 1000)
        assert "too much for a.gz" in said
    assert [file for file in cache.rglob("*") if file.is_file()] == []


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_in_blocks(tmp_path, cache):
    path = cache / "a.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(bytes(200_000_000)))
    tracemalloc.start()
    try:
        assert "damaged" in refused(fetch, Path("a.gz"), "0" * 64, "http://127.0.0.1:9/", 10**6)
        shutil.copy(path, tmp_path / "a.tar.gz")
        assert "no archive of at most 1.0 MB" in refused(members, tmp_path / "a.tar.gz", 10**6)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_every_source_is_https():
    sources = [
        each.__kwdefaults__["source"]
        for each in (published.mnist, published.fashion_mnist, published.cifar10, published.cifar100)
    ]
    sources += [published.omniglot.__kwdefaults__["source"], texts_module.NEWS]
    assert [source for source in sources if not source.startswith("https://")] == []


def news(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_news_groups_are_read_from_their_archive_in_scikit_learns_order(tmp_path, cache, monkeypatch):
    from sklearn.datasets import load_files

    rng = np.random.default_rng(0)
    files = {
        f"20news-bydate-{part}/{group}/{number}": f"{part} {group} {number} caf".encode() + b"\xe9"
        for part in ("test", "train")
        for group in ("sci.space", "alt.atheism", "rec.autos")
        for number in rng.choice(99_999, 7, replace=False)
    }
    path = news(tmp_path / "20news-bydate.tar.gz", files)
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "raw", filter="data")
    monkeypatch.setattr(texts_module, "NEWS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    kept = cache / "20newsgroups" / path.name
    kept.parent.mkdir(parents=True)
    shutil.copy(path, kept)
    data = texts_module.published("20newsgroups")
    for part, samples in (("train", data.train), ("test", data.test)):
        right = load_files(tmp_path / "raw" / f"20news-bydate-{part}", encoding="latin1")
        assert samples.x.tolist() == list(right.data)
        assert samples.y.tolist() == right.target.tolist()
        assert data.classes == tuple(right.target_names)
    kept.write_bytes(kept.read_bytes()[:-1])
    assert "is damaged" in refused(texts_module.published, "20newsgroups")


def test_names_in_an_archive_become_no_paths(tmp_path):
    path = news(tmp_path / "a.tar.gz", {"../../evil": b"1", "/tmp/evil": b"2"})
    assert sorted(members(path, 10**6)) == ["../../evil", "/tmp/evil"]
    assert [file.name for file in tmp_path.rglob("*")] == ["a.tar.gz"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b'{"other": []}', b'["a", "a"]', b"\xff", b"3", b"[" * 99_999, b'[""]'],
)
def test_a_file_of_names_that_is_none_is_one_line(tmp_path, monkeypatch, content):
    folder = tmp_path / "banking77"
    folder.mkdir()
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path))
    for part in ("train", "test"):
        pq.write_table(pa.table({"text": ["u", "v"], "label": [0, 1]}), folder / f"{part}.parquet")
    (folder / "labels.json").write_bytes(content)
    assert "labels.json" in refused(texts_module.published, "banking77")
    (folder / "labels.json").write_text('{"label": ["a", "b"]}')
    assert texts_module.published("banking77").classes == ("a", "b")


# --- many of them ----------------------------------------------------------------------------

VALUES = (
    "1", "2", "x", "y", "", "nan", "NA", "inf", "1e400", "1_000", "１２", "+5", "0x1F", " 5", "true",
    "TRUE", "2020-01-01", "10:00", "9" * 20, str(HIGH), "-1", "a\0b", "\ufeff", "\u2028", "\r", "\n",
    '"', "é", "[1]",
)  # fmt: skip
NAMES = (
    "a", "b", "text", "label", "id", "task", "weight", "x", "", "a.b", "é", "__index_level_0__",
)  # fmt: skip


def made_csv(rng) -> bytes:
    names = [rng.choice(NAMES) for _ in range(rng.randint(1, 4))] + ["label"] * (rng.random() < 0.7)
    pools = [rng.sample(VALUES, rng.randint(1, 4)) if rng.random() < 0.6 else "123" for _ in names]

    def quoted(value):
        return value if rng.random() < 0.7 else '"' + value.replace('"', '""') + '"'

    rows = [[rng.choice(pool) for pool in pools] for _ in range(rng.choice([0, 1, 5, 30]))]
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    return end.join(",".join(map(quoted, row)) for row in [names, *rows]).encode("utf-8")


def made_json(rng) -> bytes:
    def value(depth=0):
        plain = [1, 1.5, 2**64, 10**400, "a", "\ud800", None, True, float("nan"), "2020-01-01"]
        if depth > 2 or rng.random() < 0.7:
            return rng.choice(plain)
        inner = [value(depth + 1) for _ in range(rng.randint(0, 3))]
        return inner if rng.random() < 0.5 else {rng.choice(NAMES): each for each in inner}

    names = [rng.choice(NAMES) for _ in range(rng.randint(1, 4))] + ["label"] * (rng.random() < 0.7)
    pools = [[value() for _ in range(2)] if rng.random() < 0.6 else ["x", "y"] for _ in names]
    rows = []
    for _ in range(rng.choice([0, 1, 5, 30])):
        pairs = zip(names, pools, strict=True)
        rows.append(
            "{" + ",".join(f"{json.dumps(n)}:{json.dumps(rng.choice(p))}" for n, p in pairs) + "}"
        )
        if rng.random() < 0.02:
            rows.append(rng.choice(["null", "[]", "", "{", '{"a":1}{"a":2}', "[" * 9999, "\0"]))
    return "\n".join(rows).encode()


def harmed(rng, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([0, 0, 1, 3])):
        if changed:
            place = rng.randrange(len(changed))
            other = rng.choice([b"", b'"', b"\0", b"\n", b"\xff", b"{", b","])
            changed[place : place + rng.randint(0, 2)] = other
    return bytes(changed)


def fuzzed(folder, count, seed):
    rng = random.Random(seed)
    read = refusals = 0
    for _ in range(count):
        suffix, make = rng.choice([("csv", made_csv), ("jsonl", made_json)])
        path = folder / f"a.{suffix}"
        path.write_bytes(harmed(rng, make(rng)))
        for reader in READERS.values():
            refusal = read_or_refused(reader, path)
            read, refusals = read + (refusal is None), refusals + (refusal is not None)
    return read, refusals


def test_a_hundred_made_up_files_are_read_or_refused(tmp_path):
    read, refusals = fuzzed(tmp_path, 100, 0)
    assert read > 20
    assert refusals > 100


@pytest.mark.slow
def test_five_thousand_made_up_files_are_read_or_refused(tmp_path):
    import resource

    read, refusals = fuzzed(tmp_path, 5000, 1)
    assert read > 1000
    assert refusals > 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 2e9
