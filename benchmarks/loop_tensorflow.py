"""The loop on TensorFlow against hand-written ones: what does a step cost, once it is traced?

    python benchmarks/loop_tensorflow.py    # writes benchmarks/results/loop-tensorflow.json

MLP 784-400-400-10, full MNIST, batch 128, SGD 0.1, one thread. Naive, ER (a reservoir of 1,000) and
EWC, each in the second of five tasks, against a hand-written loop whose whole step is one
``tf.function``. Both draw their batches from NumPy. The loops take turns, 40 steps each, in one
process; what is quoted is the median of the paired ratios.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from loop import BATCH, LR, MEMORY, RESULT, STRENGTH, Reservoir, batches, paired

import lifelong as ll
from lifelong.errors import KnownFailure
from lifelong.learner import Phase

STEPS = 40
WIDTHS = (784, 400, 400, 10)


def handwritten(method: str, x: np.ndarray, y: np.ndarray, old: ll.Samples) -> Callable[[], float]:
    """A function that takes 40 steps and returns their seconds."""
    rng = np.random.default_rng(0)
    bounds = {(a, b): a**-0.5 for a, b in itertools.pairwise(WIDTHS)}
    weights = [tf.Variable(rng.uniform(-w, w, s).astype(np.float32)) for s, w in bounds.items()]
    biases = [tf.Variable(tf.zeros(width)) for width in WIDTHS[1:]]
    variables = [*weights, *biases]
    importance = [tf.Variable(tf.random.stateless_uniform(v.shape, (1, 2))) for v in variables]
    anchors = [tf.Variable(v) for v in variables]
    remainders = [tf.Variable(tf.zeros_like(v)) for v in variables]

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            h = tf.reshape(tf.cast(x, tf.float32) * (1 / 255), [-1, 784])
            for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
                h = tf.matmul(h, w) + b
                h = h if i == len(weights) - 1 else tf.nn.relu(h)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=h))
        gradients = tape.gradient(loss, variables)
        if method == "ewc":
            terms = zip(gradients, importance, variables, anchors, remainders, strict=True)
            gradients = [g + r + f * (v - a) for g, f, v, a, r in terms]
        for v, g in zip(variables, gradients, strict=True):
            v.assign_sub(LR * g)

    memory = Reservoir(MEMORY, rng)
    memory.add(old.x, old.y)

    def drawn() -> Iterator[tuple[np.ndarray, ...]]:
        while True:
            yield from (rows for rows in batches(x, y, rng) if len(rows[1]) == BATCH)

    rows = drawn()

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            new_x, new_y = bx, by = next(rows)
            if method == "er":
                mx, my, _ = memory.sample(BATCH)
                bx, by = np.concatenate([bx, mx]), np.concatenate([by, my])
            step(tf.constant(bx), tf.constant(by))
            if method == "er":
                memory.add(new_x, new_y)
        return time.perf_counter() - started

    return timed


def library(method: str, stream: ll.Stream) -> Callable[[], float]:
    """The same for a learner in its second task."""
    parts = {"naive": ll.Naive(), "er": ll.ER(MEMORY), "ewc": ll.EWC(STRENGTH)}
    learner = ll.Learner(
        ll.models.mlp(*WIDTHS[1:-1]), parts[method], optimizer=ll.SGD(LR), batch=BATCH, steps=50,
        output="all", backend="tensorflow",
    )  # fmt: skip
    learner.learn(stream[0])
    endless = learner._loop(learner.enter(stream[1]))
    learner.max_steps = 10**9
    learner._phases = lambda task: [Phase("train", 10**9, last=True)]  # type: ignore[method-assign]

    def timed() -> float:
        started, taken = time.perf_counter(), 0
        while taken < STEPS:
            next(endless)
            taken += learner.met_rows == BATCH
        return time.perf_counter() - started

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=41)
    pairs = parser.parse_args().pairs
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.simplefilter("ignore", KnownFailure)  # cost is the question here
    stream = ll.data.mnist().split(2, "class", natural_order=True)
    task, old = stream[1].train, stream[0].train
    results = {}
    for name in ("naive", "er", "ewc"):
        ours, theirs = library(name, stream), handwritten(name, task.x, task.y, old)
        ours(), theirs()
        results[name] = paired(ours, theirs, pairs)
        print(name, round(results[name]["ratio"], 3), flush=True)
    record = {
        "command": "python benchmarks/loop_tensorflow.py " + " ".join(sys.argv[1:]),
        "versions": {
            "lifelong": ll.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tensorflow": tf.__version__,
        },
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "results": results,
    }
    RESULT.with_name("loop-tensorflow.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
