"""The loop against hand-written ones: what does the library cost?

    python benchmarks/loop.py            # writes benchmarks/results/loop.json; about 15 minutes

MLP 784-400-400-10, full MNIST, five tasks of two classes, batch 128, one epoch a task, SGD 0.1, one
thread, no evaluation, no checkpoints; making the network counts on both sides. Naive, ER, DER and
A-GEM (a reservoir of 1,000), EWC, SI and LwF, each against the faster of two hand-written loops:
idiomatic (torch.optim, one tensor a parameter) and flat (all parameters views of one vector). EWC's
Fisher is computed by the same function on both sides.

Everything runs in one process. The loops take turns, A B A B ..., and what is quoted is the median
of the paired ratios. Needs the MNIST data set (LIFELONG_DATA, or it is downloaded).
"""

from __future__ import annotations

import argparse
import copy
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
    """Algorithm R on preallocated arrays, a batch at a time; DER's scores beside the labels."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.x = np.empty((size, 28, 28), np.uint8)
        self.y = np.empty(size, np.int64)
        self.z = np.empty((size, 10), np.float32)
        self.size, self.seen, self.rng = size, 0, rng

    def add(self, x: np.ndarray, y: np.ndarray, z: np.ndarray | None = None) -> None:
        counts = np.arange(self.seen, self.seen + len(y))
        slots = np.where(counts < self.size, counts, self.rng.integers(0, counts + 1))
        keep = slots < self.size
        self.x[slots[keep]], self.y[slots[keep]] = x[keep], y[keep]
        if z is not None:
            self.z[slots[keep]] = z[keep]
        self.seen += len(y)

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        held = min(self.seen, self.size)
        rows = self.rng.choice(held, min(count, held), replace=False)
        return self.x[rows], self.y[rows], self.z[rows]


def batches(
    xs: np.ndarray, ys: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """A shuffled pass."""
    order = rng.permutation(len(ys))
    for start in range(0, len(ys), BATCH):
        rows = order[start : start + BATCH]
        yield xs[rows], ys[rows]


def pixels(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).to(torch.float32).mul_(1 / 255)


def loss_of(
    method: str, model: nn.Module, teacher: nn.Module | None, x: np.ndarray, y: np.ndarray,
    memory: Reservoir,
) -> torch.Tensor:  # fmt: skip
    """The step's loss; what a reservoir holds goes through the network beside the new rows."""
    if method in ("er", "der") and memory.seen:
        mx, my, mz = memory.sample(len(y))
        scores = model(pixels(np.concatenate([x, mx])))
        if method == "er":
            loss = F.cross_entropy(scores, torch.from_numpy(np.concatenate([y, my])))
        else:
            loss = F.cross_entropy(scores[: len(y)], torch.from_numpy(y))
            loss = loss + 0.5 * F.mse_loss(scores[len(y) :], torch.from_numpy(mz))
    else:
        inputs = pixels(x)
        scores = model(inputs)
        loss = F.cross_entropy(scores, torch.from_numpy(y))
        if teacher is not None:
            with torch.no_grad():
                p = (teacher(inputs) / 2).softmax(1)
            loss = loss - 4 * (p * (scores / 2).log_softmax(1)).sum(1).mean()
    if method in ("er", "der", "a-gem"):
        memory.add(x, y, scores[: len(y)].detach().numpy() if method == "der" else None)
    return loss


def idiomatic(method: str, tasks: Data, fishers: list[list[torch.Tensor]]) -> float:
    """torch.optim.SGD, one tensor a parameter, the penalty through autograd."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    model, teacher = network(), None
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=LR)
    memory = Reservoir(MEMORY, rng)
    anchors: list[tuple[torch.Tensor, torch.Tensor]] = []
    omega = [torch.zeros_like(p) for p in parameters]
    for t, (xs, ys) in enumerate(tasks):
        since = [p.detach().clone() for p in parameters]
        for x, y in batches(xs, ys, rng):
            r = None
            if method == "a-gem" and memory.seen:
                mx, my, _ = memory.sample(len(y))
                optimizer.zero_grad()
                F.cross_entropy(model(pixels(mx)), torch.from_numpy(my)).backward()
                r = [p.grad.clone() for p in parameters]
            loss = loss_of(method, model, teacher, x, y, memory)
            before = [p.detach().clone() for p in parameters] if method == "si" else []
            optimizer.zero_grad()
            if method == "si":
                own = torch.autograd.grad(loss, parameters)
                pulls = [
                    2 * f * (p.detach() - a) for p, (f, a) in zip(parameters, anchors, strict=False)
                ]
                for i, (p, g) in enumerate(zip(parameters, own, strict=True)):
                    p.grad = g + pulls[i] if pulls else g
            else:
                if method == "ewc" and anchors:
                    loss = loss + STRENGTH / 2 * sum(
                        (f * (p - a) ** 2).sum() for p, (f, a) in zip(parameters, anchors, strict=True)
                    )
                loss.backward()
            if r is not None:
                along = sum((p.grad * q).sum() for p, q in zip(parameters, r, strict=True))
                if along < 0:
                    scale = along / sum((q * q).sum() for q in r)
                    for p, q in zip(parameters, r, strict=True):
                        p.grad -= scale * q
            optimizer.step()
            for w, p, g, q in zip(omega, parameters, own if before else [], before, strict=False):
                w -= g * (p.detach() - q)
        if method == "ewc":  # one quadratic; its centre stands still, which favours this side
            total = (
                fishers[t]
                if not anchors
                else [f + a[0] for f, a in zip(fishers[t], anchors, strict=True)]
            )
            anchors = [(f, p.detach().clone()) for f, p in zip(total, parameters, strict=True)]
        if method == "si":
            new = [
                w / ((p.detach() - q) ** 2 + 0.1)
                for w, p, q in zip(omega, parameters, since, strict=True)
            ]
            held = [f for f, _ in anchors] or [torch.zeros_like(f) for f in new]
            anchors = [
                ((f + n).clamp(min=0), p.detach().clone())
                for f, n, p in zip(held, new, parameters, strict=True)
            ]
            omega = [torch.zeros_like(p) for p in parameters]
        if method == "lwf":
            teacher = copy.deepcopy(model)
    return time.perf_counter() - started


def flat(method: str, tasks: Data, fishers: list[list[torch.Tensor]]) -> float:
    """Parameters and gradients are views of two vectors; the penalty's gradient is written out."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    model, teacher = network(), None
    parameters = list(model.parameters())
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(theta)
    at = 0
    for p in parameters:
        p.data = theta[at : at + p.numel()].view(p.shape)
        p.grad = gradient[at : at + p.numel()].view(p.shape)
        at += p.numel()
    memory = Reservoir(MEMORY, rng)
    importance = remainder = None
    anchor, omega = theta.clone(), torch.zeros_like(theta)
    for t, (xs, ys) in enumerate(tasks):
        for x, y in batches(xs, ys, rng):
            r = None
            if method == "a-gem" and memory.seen:
                mx, my, _ = memory.sample(len(y))
                gradient.zero_()
                F.cross_entropy(model(pixels(mx)), torch.from_numpy(my)).backward()
                r = gradient.clone()
            loss = loss_of(method, model, teacher, x, y, memory)
            gradient.zero_()
            loss.backward()
            if r is not None and (along := torch.dot(gradient, r)) < 0:
                gradient.sub_(r, alpha=float(along / torch.dot(r, r)))
            if method == "si":
                total = gradient
                if importance is not None:
                    total = torch.addcmul(gradient, importance, theta - anchor, value=2)
                omega.addcmul_(gradient, total, value=LR)
                theta.add_(total, alpha=-LR)
                continue
            if importance is not None:
                gradient.add_(remainder).addcmul_(importance, theta - anchor)
            theta.add_(gradient, alpha=-LR)
        if method == "ewc":
            new = STRENGTH * torch.cat([f.reshape(-1) for f in fishers[t]])
            if importance is None:
                importance, remainder = new, torch.zeros_like(new)
            else:
                remainder = remainder + importance * (theta - anchor)
                importance = importance + new
            anchor = theta.clone()
        if method == "si":
            new = omega / ((theta - anchor) ** 2 + 0.1)
            importance = (new if importance is None else importance + new).clamp_(min=0)
            anchor, omega = theta.clone(), torch.zeros_like(theta)
        if method == "lwf":
            teacher = copy.deepcopy(model)
    return time.perf_counter() - started


# ---- the library's loop
METHODS = {
    "naive": ll.Naive(),
    "er": ll.ER(MEMORY),
    "ewc": ll.EWC(STRENGTH),
    "si": ll.SI(1.0),
    "a-gem": ll.AGEM(MEMORY),
    "lwf": ll.LwF(),
    "der": ll.DER(MEMORY),
}


def library(name: str, stream: ll.Stream, taken: list[torch.Tensor]) -> float:
    """The loop itself. EWC's Fisher is taken from ``taken``, so that both sides time steps alone."""
    learner = ll.Learner(
        ll.models.mlp(400, 400),
        METHODS[name],
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
        METHODS[name],
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
    parser.add_argument("--methods", help="only these, separated by commas; the others stay as they are")
    pairs, methods = vars(parser.parse_args()).values()
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
    results: dict[str, object] = json.loads(RESULT.read_text())["results"] if methods else {}
    results["fisher_seconds_60000_samples_all_labels"] = seconds
    for name in METHODS if methods is None else methods.split(","):
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
