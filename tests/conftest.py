"""What all tests share: one thread, so that small work is quick and its bits are the same."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["LIFELONG_LANG"] = "en"  # whatever the locale is

import helpers
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=helpers.BACKENDS)
def backend(request, monkeypatch):
    """Run the test on every backend that is installed."""
    if request.param == "tensorflow":
        helpers.one_tensorflow_thread()
    monkeypatch.setattr(helpers, "BACKEND", request.param)
    return request.param


@pytest.fixture
def lifelong(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own: (exit code, standard output, standard error)."""
    from lifelong import cli

    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lifelong", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture(scope="session")
def attack():
    """The script that runs commands in children, and interrupts them: benchmarks/durability.py."""
    path = Path(__file__).parent.parent / "benchmarks" / "durability.py"
    spec = importlib.util.spec_from_file_location("durability", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["durability"] = module  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module
