"""What all tests share: one thread, so that small work is quick and its bits are the same."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
