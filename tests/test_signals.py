"""Ctrl-C, kill and a reader that goes away: one line, the right code, and the same command goes on."""

import signal
import time
from pathlib import Path

import pytest
from helpers import start, wait_for

from lifelong.files import TEMPORARY

LONG = [
    "run",
    "digits",
    "--steps",
    "4000",
    "--model",
    "mlp:16",
    "--checkpoint-every",
    "1000",
    "--out",
    "r",
]


def begun(folder):
    """Whether training has begun: the identity of the run is written right before."""
    return list(folder.glob("r/runs/*/identity.json"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_behind_a_checkpoint(tmp_path, number, code):
    process = start(*LONG, folder=tmp_path)
    wait_for(lambda: begun(tmp_path), 120)
    time.sleep(1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err == "interrupted: run the same command to continue\n"
    assert list(tmp_path.glob("r/runs/*/checkpoint.safetensors"))


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_many_signals_end_at_once_with_one_line(tmp_path, pause):
    process = start(*LONG, folder=tmp_path)
    wait_for(lambda: begun(tmp_path), 120)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted: run the same command to continue\n"


def is_locked(folder):
    """Whether a process works in the folder, found out without touching its lock."""
    return f":{folder.stat().st_ino} " in Path("/proc/locks").read_text()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system lists no locks")
def test_an_update_that_is_interrupted_has_not_happened(tmp_path):
    words = ["run", "digits", "--steps", 5000, "--model", "mlp:16", "--out", "r"]  # and so an update
    assert start(*words, folder=tmp_path).wait(timeout=120) == 0
    before = sorted(p.name for p in (tmp_path / "r").iterdir())
    process = start("update", "r", "mnist-5k", folder=tmp_path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2  # pictures of another size
    process = start("update", "r", "digits", folder=tmp_path)
    wait_for(lambda: is_locked(tmp_path / "r"))
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "interrupted: run the same command to continue\n")
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == before


def test_a_comparison_ends_with_its_workers(tmp_path):
    words = ["compare", "digits", "--methods", "naive,er", "--seeds", 1, "--jobs", 2, "--steps", 20000]
    process = start(*words, "--model", "mlp:16", "--out", "r", folder=tmp_path)
    wait_for(lambda: len(begun(tmp_path)) == 2)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "", "interrupted: run the same command to continue\n")
    assert len(list(tmp_path.glob("r/runs/*/checkpoint.safetensors"))) == 2
    assert not [p for p in tmp_path.rglob("*") if TEMPORARY.fullmatch(p.name)]


@pytest.mark.parametrize("command", [("run", "digits", "--steps", "5", "--out", "r"), ("methods",)])
def test_a_reader_that_goes_away_is_no_error(tmp_path, command):
    process = start(*command, folder=tmp_path)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 0
    assert "Traceback" not in err
    assert "Broken" not in err
    if command[0] == "run":
        assert (tmp_path / "r" / "report.html").exists()
