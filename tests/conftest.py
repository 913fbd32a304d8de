"""What all tests share: one thread, so that small work is quick and its bits are the same."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

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
