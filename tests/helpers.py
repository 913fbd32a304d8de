"""Tiny data, tiny learners, and a comparison of whole states: what the tests share."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

import lifelong as ll
from lifelong.batch import Batch
from lifelong.methods import method, registry

BACKENDS = ("torch", *(["tensorflow"] if find_spec("tensorflow") else []))
BACKEND = "torch"
"""The backend of the learners below; the fixture ``backend`` goes through all that are installed."""
SCENARIOS = ("task", "domain", "class", "free")
OPTIONS: dict[str, dict[str, Any]] = {
    "a-gem": {"capacity": 20},
    "der": {"capacity": 20},
    "der++": {"capacity": 20},
    "dgr": {"hidden": (12,), "latent": 3},
    "er": {"capacity": 20},
    "ewc": {"strength": 100.0},
    "gem": {"capacity": "10/task"},
    "hat": {"smax": 5.0},
    "icarl": {"capacity": 24},
    "online-ewc": {"strength": 100.0},
    "task-layers": {"hidden": (8,)},
    "xdg": {"silent": 0.5},
}
"""Constructor arguments that suit tiny data; a method that is not here keeps its defaults."""
METHODS = tuple(registry())
CASES = tuple((name, scenario) for name in METHODS for scenario in registry()[name].scenarios)
"""Every method in every scenario that it declares."""
PAIRS = tuple(itertools.combinations(METHODS, 2))


def one_tensorflow_thread() -> None:
    """For this process; only before TensorFlow's first operation, so later calls change nothing."""
    from tensorflow.config import threading

    if threading.get_intra_op_parallelism_threads() != 1:
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(1)


def dataset(classes: int = 4, each: int = 40, side: int = 6, seed: int = 0) -> ll.Dataset:
    """Pictures that a small network can tell apart: a pattern of its own for each class, and noise."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2, (classes, side, side)) * 120

    def part(n: int, first: int) -> ll.Samples:
        y = np.arange(n) % classes
        x = patterns[y] + rng.integers(0, 100, (n, side, side))
        return ll.Samples(x=x.astype(np.uint8), y=y, id=np.arange(first, first + n))

    n = classes * each
    names = tuple(f"c{i}" for i in range(classes))
    return ll.Dataset("tiny", part(n, 0), part(n // 2, n), names)


def stream(scenario: str = "class", classes: int = 4, each: int = 40) -> ll.Stream:
    """Two classes a task."""
    return dataset(classes, each).split(2, scenario)


def parts(name: str) -> Any:
    """A fresh method of this name (``er+ewc``), with arguments that suit tiny data."""
    return method(name, OPTIONS)


def learner(name: Any = "naive", model: Any = None, **options: Any) -> ll.Learner:
    """A tiny learner: 12 steps a task of 16 rows."""
    given = {"optimizer": ll.Adam(0.01), "batch": 16, "steps": 12, "seed": 1} | options
    given.setdefault("backend", BACKEND)
    if given.get("epochs") is not None:
        del given["steps"]
    made = parts(name) if isinstance(name, str) else name
    return ll.Learner(model or ll.models.mlp(16, 16), made, **given)


def scenario_of(name: str, *preferred: str) -> str:
    """A scenario that a method (or a composition) supports, of the preferred ones where it can."""
    supported = [s for s in (*preferred, *SCENARIOS) if parts(name).supports(s)]
    return supported[0]


ON = tuple(("torch", *case) for case in CASES) + tuple(
    ("tensorflow", name, scenario_of(name, "class")) for name in METHODS if "tensorflow" in BACKENDS
)
"""Every case on PyTorch; on TensorFlow, whose traces take time, each method in one scenario."""


def tasks(made: ll.Stream) -> list[ll.Task]:
    """What a learner meets: the tasks, or under ``free`` each task's samples in order."""
    if made.scenario != "free":
        return list(made)
    return [made[i : i + 1].flow() for i in range(len(made))]


def theta(made: ll.Learner) -> np.ndarray:
    """A copy of all parameters."""
    return made.ops.numpy(made.theta).copy()


def whole(made: ll.Learner) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A deep copy of a learner's whole state."""
    arrays, manifest = made.state()
    return {name: np.array(array) for name, array in arrays.items()}, copy.deepcopy(manifest)


def same_arrays(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Assert that these are the same arrays, to the bit."""
    assert sorted(a) == sorted(b)
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].shape == b[name].shape, name
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"


def same_state(a: tuple[dict, dict], b: tuple[dict, dict]) -> None:
    """Assert that two results of :func:`whole` are equal to the bit."""
    same_arrays(a[0], b[0])
    assert a[1] == b[1]


def batch(made: ll.Learner, samples: ll.Samples) -> Batch:
    """All of these samples as one batch of tensors."""
    one = Batch(samples)
    made.backend.batch(one)
    return one


@dataclass(eq=False)
class Probe(ll.Part):
    """Calls ``see(hook, learner, given)`` in every hook of the loop, and changes nothing."""

    name = "probe"

    def begin(self, learner, task):
        self.see("begin", learner, task)

    def batch(self, learner, batch):
        self.see("batch", learner, batch)

    def observe(self, learner, step):
        self.see("observe", learner, step)

    def end(self, learner, task, phase):
        self.see("end", learner, task)


def probe(see: Any) -> Probe:
    """A probe that calls ``see``."""
    made = Probe()
    made.see = see
    return made


class Dropping(nn.Module):
    """A user's own module with dropout, ending in four scores."""

    def __init__(self, scores: int = 4, side: int = 6) -> None:
        super().__init__()
        self.hidden = nn.Linear(side * side, 16)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(16, scores)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.hidden(x.flatten(1)).relu()))


def own(kind: type[nn.Module], *args: Any, seed: int = 0) -> nn.Module:
    """A user's own module, alike every time, without touching PyTorch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(*args)


def start(*words: object, folder: Any) -> subprocess.Popen:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lifelong.cli", *map(str, words)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(condition: Any, seconds: float = 60) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Pairs:
    """A map-style data set, as of PyTorch."""

    def __init__(self, x, y, classes=None):
        self.x, self.y = x, y
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]
