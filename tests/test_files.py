"""Files: whole or not at all, their contents checked, one process at a time, nobody else's touched."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lifelong import files
from lifelong.errors import LifelongError

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 3), np.int32), "one": np.float32(2)}
MANIFEST = {"names": ["x", "é", "\ud800"], "number": float("nan")}


def python(code, **options):
    """A process that runs this code and waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "er" / "a.safetensors"
    files.write_arrays(path, ARRAYS, MANIFEST)
    arrays, manifest = files.read_arrays(path)
    assert {name: (v.dtype, v.shape) for name, v in arrays.items()} == {
        name: (np.asarray(v).dtype, np.shape(v)) for name, v in ARRAYS.items()
    }
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])
    assert repr(manifest) == repr(MANIFEST) == repr(files.read_manifest(path))
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_a_changed_byte_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "a.safetensors"
    files.write_arrays(path, ARRAYS, MANIFEST)
    whole, draw, found = path.read_bytes(), random.Random(0), 0
    straight = files.read_arrays(path)
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 4])):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        if draw.random() < 0.2:
            content = content[: draw.randrange(len(content))]
        path.write_bytes(content)
        try:
            arrays, manifest = files.read_arrays(path)
        except LifelongError as error:
            found += len(str(error).splitlines())  # one line each
            continue
        assert repr(manifest) == repr(straight[1])
        assert {k: v.tobytes() for k, v in arrays.items()} == {
            k: v.tobytes() for k, v in straight[0].items()
        }
    assert 400 < found <= 600


def test_a_manifest_may_be_larger_than_the_header_of_the_format(tmp_path):
    path = tmp_path / "a.safetensors"
    manifest = {"labels": ["x" * 1000] * 110_000}
    files.write_arrays(path, {}, manifest)
    assert files.read_manifest(path) == manifest


@pytest.mark.parametrize("content", ["null", "3", "[1]", "{", '{"a":' * 50_000, "\x00"])
def test_a_manifest_that_is_none_is_one_line(tmp_path, content):
    from safetensors.numpy import save

    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": np.zeros(2)}, {"lifelong": content}))
    with pytest.raises(LifelongError) as error:
        files.read_arrays(path)
    assert len(str(error.value).splitlines()) == 1


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    code = f"""
import sys
from pathlib import Path
from lifelong import files
file, path = files._temporary(Path({str(tmp_path)!r}) / "model.safetensors")
print(path.name, flush=True)
sys.stdin.readline()
"""
    dead, alive = python(code), python(code)
    names = [process.stdout.readline().strip() for process in (dead, alive)]
    dead.kill()
    dead.wait()
    mine = [".env.1backup", ".model.safetensors.123", ".a.0123456789abcdef.lifelong-partner", "x.1"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".folder.0123456789abcdef.lifelong-part").mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    link = tmp_path / ".link.0123456789abcdef.lifelong-part"
    link.symlink_to(target)
    with files.lock(tmp_path):
        pass
    left = {p.name for p in tmp_path.iterdir()}
    assert names[0] not in left
    assert left == {*mine, names[1], ".folder.0123456789abcdef.lifelong-part", "target", link.name}
    assert all((tmp_path / name).read_text() == "mine" for name in [*mine, "target"])
    alive.communicate("\n")
    with files.lock(tmp_path):
        assert not (tmp_path / names[1]).exists()


def test_one_process_at_a_time_whatever_is_deleted(tmp_path):
    folder, other = tmp_path / "m", tmp_path / "other"
    other.write_text("mine")
    folder.mkdir()
    (folder / ".lock").symlink_to(other)
    code = f"""
import sys
from pathlib import Path
from lifelong.files import lock
with lock(Path({str(folder)!r})):
    print("in", flush=True)
    sys.stdin.readline()
"""
    first = python(code)
    assert first.stdout.readline() == "in\n"
    for file in list(folder.iterdir()):
        file.unlink()
    with pytest.raises(LifelongError, match="another process is running"), files.lock(folder):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with files.lock(folder):
        assert other.read_text() == "mine"


def failing(monkeypatch, name, code, at=1):
    """Let the n-th call of a function of ``os`` fail."""
    function, calls = getattr(os, name), iter(range(1, 10**6))

    def call(*args, **options):
        if next(calls) == at:
            raise OSError(code, os.strerror(code))
        return function(*args, **options)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, name):
    path = tmp_path / "a.json"
    files.write_json(path, 1)
    with monkeypatch.context() as patch:
        failing(patch, name, errno.ENOSPC)
        with pytest.raises(LifelongError, match=r"cannot write .*a\.json: No space left.*make room"):
            files.write_json(path, 2)
    assert files.read_json(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("code", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch, code, told):
    """After the file was renamed: where folders are never synced, that is no news; else one line."""
    failing(monkeypatch, "fsync", code, at=2)
    if told:
        with pytest.raises(LifelongError, match="is written, but"):
            files.write_json(tmp_path / "a.json", 1)
    else:
        files.write_json(tmp_path / "a.json", 1)
    assert files.read_json(tmp_path / "a.json") == 1


def test_new_folders_are_synced_in_the_folders_around_them(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "_sync", synced.append)
    files.write(tmp_path / "a" / "b" / "c", b"")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


@pytest.mark.parametrize("name", [".", "", "/", "there"])
def test_a_folder_is_no_file_to_write(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(LifelongError, match="is a folder"):
        files.write(files.Path(name), b"")


def test_a_pipe_of_a_file_s_name_is_refused_at_once(tmp_path):
    for name, read in (("a.json", files.read_json), ("a.safetensors", files.read_arrays)):
        os.mkfifo(tmp_path / name)
        started = time.monotonic()
        with pytest.raises(LifelongError, match="no file"):
            read(tmp_path / name)
        assert time.monotonic() - started < 5


def test_json_that_is_none(tmp_path):
    for content in (b"\xff\xfe", b"[" * 100_000, b"", b'{"a": 1'):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(LifelongError, match="is not JSON"):
            files.read_json(tmp_path / "a.json")
    files.write_json(tmp_path / "a.json", {"é": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": 1}
