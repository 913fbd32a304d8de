"""Learners that no order can change, beside those that forget; and shards merged into one learner.

    python benchmarks/bars.py                                       # about three minutes on one core
    python benchmarks/bars.py --embeddings clinc150-minilm.npz      # also the embeddings of minilm.py

Needs LIFELONG_DATA. Hyper-parameters are picked on a fifth of the training set (of CLINC150, on its
validation set); the test set decides nothing. Writes benchmarks/results/bars.json.

- newsgroups: 20 Newsgroups, its classes 4 at a time in natural order, one pass, nothing known ahead.
- merged: four learners of a quarter of it each, one pass: averaged, or their posteriors multiplied.
- embeddings: CLINC150 without what is out of scope, 10 domains of 15 intents one after another.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shlex
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.base import clone

import lifelong as ll
from lifelong.linear import (
    ComplementNB,
    HashingText,
    MultinomialNB,
    NearestClassMean,
    RecursiveRidge,
    Replay,
    StreamingLDA,
    TextClassifier,
    make,
    merge,
)

RESULTS = Path(__file__).parent / "results" / "bars.json"
SEEDS = (0, 1, 2)
PACKAGES = ("lifelong", "numpy", "scipy", "numba", "scikit-learn")
ALPHAS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
POWERS = (1, 1.5, 2, 2.5, 3, 4)
"""Of the inverse document frequency."""
FEATURES = 3000
"""Random ReLU features of the ridge regression."""
Rows = tuple[Any, np.ndarray]


def in_order(learner: Any, x: Any, y: np.ndarray, tasks: list[list[int]], seed: int = 0) -> Any:
    """A learner after one pass over the tasks; the rows within one are shuffled."""
    learner, rng = clone(learner), np.random.default_rng(seed)
    for classes in tasks:
        rows = rng.permutation(np.flatnonzero(np.isin(y, classes)))
        learner.partial_fit(x[rows], y[rows])
    return learner


def bar(
    learner: Any,
    grid: list[dict[str, Any]],
    parts: dict[str, Rows],
    tasks: list[list[int]],
) -> dict[str, Any]:
    """Of a learner that no order can change: accuracies with the options that are best on held-out rows.

    The options are such as are read at prediction: they are changed after learning.
    """
    trial = in_order(learner, *parts["train"], tasks)
    scores = [float(trial.set_params(**options).score(*parts["held"])) for options in grid]
    options = grid[int(np.argmax(scores))]
    final = in_order(clone(learner).set_params(**options), *parts["full"], tasks)
    found = {"held out": max(scores), "accuracy": final.score(*parts["test"]), "options": options}
    print(type(learner).__name__, found, flush=True)
    return found


def newsgroups() -> dict[str, Any]:
    """20 Newsgroups, its classes 4 at a time."""
    data = ll.data.published_texts("20newsgroups")
    found: dict[str, Any] = {}
    tasks = np.arange(20).reshape(5, 4).tolist()
    held = np.random.default_rng(99).random(len(data.train.y)) < 0.2
    alphas = [{"alpha": alpha} for alpha in ALPHAS]
    bars: dict[str, tuple[Any, list[dict[str, Any]]]] = {
        "nb": (MultinomialNB(), alphas),
        "cnb": (ComplementNB(), [o | {"norm": norm} for o in alphas for norm in (False, True)]),
        "ncm": (NearestClassMean("cosine", idf=1), [{"idf": power} for power in POWERS]),
    }
    for weighting in ("count", "binary", "tf"):
        rows = HashingText(weighting)
        x, x_test = rows.transform(data.train.x), rows.transform(data.test.x)
        parts = split(x, data.train.y, held, x_test, data.test.y)
        for name, (learner, grid) in bars.items():
            found.setdefault(name, {})[weighting] = bar(learner, grid, parts, tasks)
    for name in bars:
        scores = {weighting: one["held out"] for weighting, one in found[name].items()}
        found[name]["picked"] = max(scores, key=scores.__getitem__)
    parts = split(data.train.x, data.train.y, held, data.test.x, data.test.y)
    rehearsals: list[dict[str, Any]] = [
        {"replays": replays, "batch": batch}
        for replays, batch in itertools.product((1, 2, 4, 8), (32, 128, 512))
    ]

    def replay(options: dict[str, Any], learned: str, asked: str) -> list[float]:
        learner = Replay(TextClassifier("cw"), 1000, **options)
        return [in_order(learner, *parts[learned], tasks, s).score(*parts[asked]) for s in SEEDS]

    trials = [float(np.mean(replay(options, "train", "held"))) for options in rehearsals]
    options = rehearsals[int(np.argmax(trials))]
    forgets = [
        in_order(TextClassifier("cw"), *parts["full"], tasks, s).score(*parts["test"]) for s in SEEDS
    ]
    found["cw, no memory"] = {"accuracy": float(np.mean(forgets)), "each": forgets}
    each = replay(options, "full", "test")
    found["cw, memory of 1,000"] = {
        "held out": [o | {"accuracy": a} for o, a in zip(rehearsals, trials, strict=True)],
        "accuracy": float(np.mean(each)),
        "each": each,
        "options": options,
    }
    print(found["cw, no memory"], found["cw, memory of 1,000"], flush=True)
    return found


def split(x: Any, y: np.ndarray, held: np.ndarray, x_test: Any, y_test: np.ndarray) -> dict[str, Rows]:
    """What is learned and held out while options are picked; all, to be learned then; the test set."""
    kept = np.flatnonzero(~held), np.flatnonzero(held)
    train, out = ((x[rows], y[rows]) for rows in kept)
    return {"train": train, "held": out, "full": (x, y), "test": (x_test, y_test)}


def merged() -> dict[str, Any]:
    """Four shards of 20 Newsgroups, one pass each; the words were counted in the order of one stream."""
    data, found = ll.data.published_texts("20newsgroups"), {}
    for weighting, name in itertools.product(("binary", "tfidf"), ("cw", "arow")):
        each = []
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(len(data.train.y))
            vectorizer, y = HashingText(weighting), data.train.y[order]
            rows, test = vectorizer.learn(data.train.x[order]), vectorizer.transform(data.test.x)
            rows.sort_indices()
            shards = [
                make(name, weighting).partial_fit(rows[k::4], y[k::4], range(20)) for k in range(4)
            ]
            mean = sum(shard.scores(test) for shard in shards)  # as of averaged weights
            run = {
                "one stream": make(name, weighting).fit(rows, y).score(test, data.test.y),
                "mean": (shards[0].classes_[mean.argmax(1)] == data.test.y).mean(),
                "product": merge(*shards).score(test, data.test.y),
            }
            each.append({how: float(value) for how, value in run.items()})
        found[f"{name}, {weighting}"] = {how: float(np.mean([run[how] for run in each])) for how in run}
        print(name, weighting, found[f"{name}, {weighting}"], flush=True)
    return found


def embeddings(path: str) -> dict[str, Any]:
    """CLINC150, its domains one after another, as rows of 384 numbers."""
    file, parts = np.load(path), {}
    for name, part in {"train": "train", "held": "val", "full": "train", "test": "test"}.items():
        inside = file[f"{part}_domain"] != "oos"
        parts[name] = file[part][inside], file[f"{part}_label"][inside]
    y, domains = file["train_label"], file["train_domain"]
    tasks = [np.unique(y[domains == d]).tolist() for d in np.unique(domains) if d != "oos"]
    found = {}
    found["ncm"] = bar(NearestClassMean("cosine"), [{}], parts, tasks)
    shrunk = [{"shrinkage": s} for s in (0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)]
    found["slda"] = bar(StreamingLDA(), shrunk, parts, tasks)
    alphas = [{"alpha": 10.0**k} for k in range(3, -6, -1)]
    found["ridge"] = bar(RecursiveRidge(), alphas, parts, tasks)
    found["ridge, random features"] = bar(RecursiveRidge(features=FEATURES), alphas, parts, tasks)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--embeddings", metavar="FILE", help="what minilm.py wrote")
    parser.add_argument("--only", choices=("newsgroups", "merged", "embeddings"), help="one part")
    given = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts: dict[str, Callable[[], dict[str, Any]]] = {"newsgroups": newsgroups, "merged": merged}
    if given.embeddings:
        parts["embeddings"] = lambda: embeddings(given.embeddings)
    for name in [given.only] if given.only else parts:
        started = time.monotonic()
        result[name] = parts[name]()
        result[f"{name} seconds"] = round(time.monotonic() - started)
        result |= {
            "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
            "command": shlex.join(
                ["python", "benchmarks/bars.py", "--embeddings", "clinc150-minilm.npz"]
            ),
        }
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
