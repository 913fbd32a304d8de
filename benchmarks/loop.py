"""The loop against hand-written ones: what does the library cost?

    python benchmarks/loop.py            # writes benchmarks/results/loop.json; about 15 minutes

MLP 784-400-400-10, full MNIST, five tasks of two classes, batch 128, one epoch a task, SGD 0.1, one
thread, no evaluation, no checkpoints; making the network counts on both sides. Naive, ER (a
reservoir of 1,000) and EWC, each against the faster of two hand-written loops: idiomatic
(torch.optim, one tensor a parameter) and flat (all parameters views of one vector). EWC's Fisher is
computed by the same function on both sides.

Everything runs in one process. The loops take turns, A B A B ..., and what is quoted is the median
of the paired ratios. Needs the MNIST data set (LIFELONG_DATA, or it is downloaded).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import lifelong as ll
from lifelong.batch import Batch
from lifelong.errors import KnownFailure
from lifelong.methods.regularization.fisher import fisher

LR, BATCH, MEMORY, STRENGTH = 0.1, 128, 1000, 100.0
RESULT = Path(__file__).parent / "results" / "loop.json"
Data = list[tuple[np.ndarray, np.ndarray]]


# ---- the hand-written loops
def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 400),
        nn.ReLU(),
        nn.Linear(400, 400),
        nn.ReLU(),
        nn.Linear(400, 10),
    )


class Reservoir:
    """Algorithm R on preallocated arrays, a batch at a time."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.x = np.empty((size, 28, 28), np.uint8)
        self.y = np.empty(size, np.int64)
        self.size, self.seen, self.rng = size, 0, rng

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        counts = np.arange(self.seen, self.seen + len(y))
        slots = np.where(counts < self.size, counts, self.rng.integers(0, counts + 1))
        keep = slots < self.size
        self.x[slots[keep]], self.y[slots[keep]] = x[keep], y[keep]
        self.seen += len(y)

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        held = min(self.seen, self.size)
        rows = self.rng.choice(held, min(count, held), replace=False)
        return self.x[rows], self.y[rows]


def batches(
    xs: np.ndarray, ys: np.ndarray, method: str, memory: Reservoir, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """A shuffled pass: the new rows, and the rows to train on (with stored ones under ER)."""
    order = rng.permutation(len(ys))
    for start in range(0, len(ys), BATCH):
        rows = order[start : start + BATCH]
        x, y = xs[rows], ys[rows]
        if method == "er" and memory.seen:
            mx, my = memory.sample(len(rows))
            yield x, y, np.concatenate([x, mx]), np.concatenate([y, my])
        else:
            yield x, y, x, y


def pixels(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).to(torch.float32).mul_(1 / 255)


def idiomatic(method: str, tasks: Data, fishers: list[list[torch.Tensor]]) -> float:
    """torch.optim.SGD, one tensor a parameter, the penalty through autograd."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    model = network()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=LR)
    memory = Reservoir(MEMORY, rng)
    anchors: list[tuple[torch.Tensor, torch.Tensor]] = []
    for t, (xs, ys) in enumerate(tasks):
        for x, y, bx, by in batches(xs, ys, method, memory, rng):
            loss = F.cross_entropy(model(pixels(bx)), torch.from_numpy(by))
            if method == "ewc" and anchors:
                loss = loss + STRENGTH / 2 * sum(
                    (f * (p - a) ** 2).sum() for p, (f, a) in zip(parameters, anchors, strict=True)
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if method == "er":
                memory.add(x, y)
        if method == "ewc":  # one quadratic; its centre stands still, which favours this side
            total = (
                fishers[t]
                if not anchors
                else [f + a[0] for f, a in zip(fishers[t], anchors, strict=True)]
            )
            anchors = [(f, p.detach().clone()) for f, p in zip(total, parameters, strict=True)]
    return time.perf_counter() - started


def flat(method: str, tasks: Data, fishers: list[list[torch.Tensor]]) -> float:
    """Parameters and gradients are views of two vectors; the penalty's gradient is written out."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    model = network()
    parameters = list(model.parameters())
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(theta)
    at = 0
    for p in parameters:
        p.data = theta[at : at + p.numel()].view(p.shape)
        p.grad = gradient[at : at + p.numel()].view(p.shape)
        at += p.numel()
    memory = Reservoir(MEMORY, rng)
    importance = anchor = remainder = None
    for t, (xs, ys) in enumerate(tasks):
        for x, y, bx, by in batches(xs, ys, method, memory, rng):
            loss = F.cross_entropy(model(pixels(bx)), torch.from_numpy(by))
            gradient.zero_()
            loss.backward()
            if importance is not None:
                gradient.add_(remainder).addcmul_(importance, theta - anchor)
            theta.add_(gradient, alpha=-LR)
            if method == "er":
                memory.add(x, y)
        if method == "ewc":
            new = STRENGTH * torch.cat([f.reshape(-1) for f in fishers[t]])
            if importance is None:
                importance, remainder = new, torch.zeros_like(new)
            else:
                remainder = remainder + importance * (theta - anchor)
                importance = importance + new
            anchor = theta.clone()
    return time.perf_counter() - started


# ---- the library's loop
def method(name: str, fishers: list[torch.Tensor] | None = None) -> ll.Method | str:
    return {"naive": ll.Naive(), "er": ll.ER(MEMORY), "ewc": ll.EWC(STRENGTH)}[name]


def library(name: str, stream: ll.Stream, taken: list[torch.Tensor]) -> float:
    """The loop itself. EWC's Fisher is taken from ``taken``, so that both sides time steps alone."""
    learner = ll.Learner(
        ll.models.mlp(400, 400),
        method(name),
        optimizer=ll.SGD(LR),
        batch=BATCH,
        epochs=1,
        output="all",
    )
    tasks = list(stream)
    calls = iter(taken)
    if name == "ewc":
        learner.moment = lambda *_, **__: next(calls)  # type: ignore[method-assign]
    started = time.perf_counter()
    for task in tasks:
        learner.learn(task)
    return time.perf_counter() - started


def fishers_of(stream: ll.Stream) -> tuple[list[torch.Tensor], float]:
    """The Fisher of each task in the all-labels mode, and the seconds they took together."""
    learner = ll.Learner(
        ll.models.mlp(400, 400), optimizer=ll.SGD(LR), batch=BATCH, steps=100, output="all"
    )
    found, seconds = [], 0.0
    for task in stream:
        learner.learn(task)
        samples = learner.encode(task.train, task.classes)
        started = time.perf_counter()
        found.append(fisher(learner, samples, "all"))
        seconds += time.perf_counter() - started
    return found, seconds


def paired(a: Callable[[], float], b: Callable[[], float], pairs: int) -> dict[str, object]:
    """Run both in turn; ``ratio`` is the median of a / b over the pairs."""
    a(), b()
    times = [(a(), b()) for _ in range(pairs)]
    ratios = [x / y for x, y in times]
    return {
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "pairs": pairs,
        "seconds": [statistics.median(t) for t in zip(*times, strict=True)],
    }


def step_at(task: int, name: str) -> Callable[[], float]:
    """A function that times 40 steps of a learner that is in its ``task``-th task (of ten classes)."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (256, 28, 28), dtype=np.uint8)
    samples = ll.Samples(x=x, y=rng.integers(0, 10, 256), id=np.arange(256))
    names = tuple(map(str, range(10)))
    learner = ll.Learner(
        ll.models.mlp(400, 400),
        method(name),
        optimizer=ll.SGD(LR),
        batch=BATCH,
        steps=1,
        output="all",
    )
    for t in range(task):
        learner.learn(ll.Task(str(t), samples, samples, names, "domain", (t, 100)))

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(40):
            learner.step(Batch(samples.take(slice(BATCH))))
        return time.perf_counter() - started

    return timed


def import_time(repeats: int = 7) -> float:
    """Median seconds of ``import lifelong`` in a fresh interpreter, start-up taken off."""
    code = "import time; t = time.perf_counter(); import lifelong; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(repeats)
    ]
    return statistics.median(float(r.stdout) for r in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", KnownFailure)  # cost is the question here
    stream = ll.data.mnist().split(2, "class", natural_order=True)
    tasks = [(task.train.x, task.train.y) for task in stream]
    vectors, seconds = fishers_of(stream)
    sizes = [p.numel() for p in network().parameters()]
    shapes = [p.shape for p in network().parameters()]
    pieces = [
        [piece.float().view(shape) for piece, shape in zip(v.split(sizes), shapes, strict=True)]
        for v in vectors
    ]
    results: dict[str, object] = {"fisher_seconds_60000_samples_all_labels": seconds}
    for name in ("naive", "er", "ewc"):
        hand = {
            "idiomatic": paired(
                lambda n=name: library(n, stream, vectors),
                lambda n=name: idiomatic(n, tasks, pieces),
                pairs,
            ),
            "flat": paired(
                lambda n=name: library(n, stream, vectors),
                lambda n=name: flat(n, tasks, pieces),
                pairs,
            ),
        }
        worst = max(hand, key=lambda k: hand[k]["ratio"])
        results[name] = {"reference": worst, **hand[worst], "other": hand}
        print(name, worst, round(hand[worst]["ratio"], 3), flush=True)
    results["ewc_step_task_50_over_task_2"] = paired(
        step_at(50, "ewc"), step_at(2, "ewc"), max(21, pairs)
    )
    results["import_seconds"] = import_time()
    record = {
        "command": "python benchmarks/loop.py " + " ".join(sys.argv[1:]),
        "versions": {
            "lifelong": ll.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "results": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
