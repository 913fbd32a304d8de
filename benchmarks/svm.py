"""The incremental SVMs against their targets: writes benchmarks/results/svm.json.

    python benchmarks/svm.py            # about 2 minutes; leave the machine alone

MNIST-5k, pixels / 255, 4,000 to train and 1,000 to test in a fixed random order, RBF C=5 gamma=.02, one
thread. Exactness: overlapping clouds with duplicates, opposite labels on one point, a constant column.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import sklearn
from sklearn.svm import SVC

import lifelong as ll
from lifelong.linear import LASVM, IncrementalSVC, KeepSupport

RESULT = Path(__file__).parent / "results" / "svm.json"
SETTING = {"C": 5.0, "gamma": 0.02}
TRAIN = 4000


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Images ``[5000, 784]`` in [0, 1] and digits, in a fixed random order."""
    stream = ll.data.mnist_5k()
    parts = [stream.train.columns, stream.test.columns]
    X, y = (np.concatenate([part[name] for part in parts]) for name in ("x", "y"))
    order = np.random.default_rng(0).permutation(len(X))
    return X[order].reshape(len(X), -1) / 255, y[order]


def clouds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 4)) + 1.5 * np.eye(2, 4)[y]
    X[:, -1] = 1
    X[n // 4 : n // 4 + 5] = X[n // 2 : n // 2 + 5] = X[:5]
    y[n // 2 : n // 2 + 5] = 1 - y[:5]
    return X, y


def exactness(kernel: str, seed: int) -> dict[str, Any]:
    """1,000 additions and 300 removals in random order: the worst on the way, and SVC at the end."""
    rng, setting = np.random.default_rng(seed), {"C": 5.0, "kernel": kernel, "gamma": 0.3, "degree": 2}
    X, y = clouds(1000, seed)
    svm = IncrementalSVC(**setting).fit(X[:20], y[:20])
    violation, gap, added = 0.0, 0.0, 20
    for add in rng.permutation(np.repeat([True, False], [980, 300])):
        if add:
            svm.partial_fit(X[added : added + 1], y[added : added + 1])
            added += 1
        else:
            svm.remove(rng.choice(svm.ids_))
        (machine,) = svm.machines_
        dual, primal = machine.objective
        violation, gap = max(violation, machine.residual), max(gap, (primal - dual) / dual)
    held = svm.ids_
    trained = SVC(tol=1e-6, coef0=svm.coef0, **setting).fit(X[held], y[held])
    reference = trained.decision_function(X)
    alpha, g = np.zeros(len(held)), (2 * y[held] - 1) * reference[held] - 1
    alpha[trained.support_] = np.abs(trained.dual_coef_[0])
    theirs = max(np.where(alpha < svm.C, -g, 0).max(), np.where(alpha > 0, g, 0).max())
    f = svm.decision_function(X) * (1 if svm.classes_[1] == 1 else -1)
    return {
        "kernel": kernel, "seed": seed, "largest violation": violation, "largest relative gap": gap,
        "largest difference of f from SVC": float(np.abs(f - reference).max()),
        "largest violation of SVC": float(theirs), "largest f": float(np.abs(reference).max()),
    }  # fmt: skip


def speed(X: np.ndarray, y: np.ndarray, digit: int) -> dict[str, Any]:
    """Seconds of an addition to one machine at n = 4,000, beside training it anew by SVC."""
    z = (y[:TRAIN] == digit).astype(int)
    start = TRAIN - 200
    svm = IncrementalSVC(**SETTING).fit(X[:start], z[:start])
    began = time.perf_counter()
    for i in range(start, TRAIN):
        svm.partial_fit(X[i : i + 1], z[i : i + 1])
    addition = (time.perf_counter() - began) / 200
    began = time.perf_counter()
    SVC(**SETTING).fit(X[:TRAIN], z)
    retraining = time.perf_counter() - began
    removed = np.random.default_rng(digit).choice(TRAIN, 200, replace=False)
    began = time.perf_counter()
    svm.remove(removed)
    removal = (time.perf_counter() - began) / 200
    return {
        "digit": digit, "addition": addition, "removal": removal, "SVC": retraining,
        "SVC / addition": retraining / addition, "SVC / removal": retraining / removal,
    }  # fmt: skip


def one_epoch(X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """LASVM after one pass and finishing, beside the optimum of the same machines and SVC."""
    train, test = (X[:TRAIN], y[:TRAIN]), (X[TRAIN:], y[TRAIN:])
    online = LASVM(**SETTING)
    began = time.perf_counter()
    online.fit(*train)
    found: dict[str, Any] = {"seconds": time.perf_counter() - began, "one pass": online.score(*test)}
    online.finish()
    found |= {"finished": online.score(*test), "held": len(online.codes_)}
    exact = IncrementalSVC(**SETTING).fit(*train)
    best = np.array([machine.objective[0] for machine in exact.machines_])
    found["dual / optimum, lowest"] = float((online.objective / best).min())
    found |= {"exact": exact.score(*test), "SVC": SVC(**SETTING).fit(*train).score(*test)}
    for budget in (500, 1000):
        found[f"budget {budget}"] = LASVM(**SETTING, budget=budget).fit(*train).finish().score(*test)
    return found


def class_incremental(X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Five batches of two digits each with the support vectors only, beside training on all."""
    train, test = (X[:TRAIN], y[:TRAIN]), (X[TRAIN:], y[TRAIN:])
    found: dict[str, Any] = {"full": SVC(**SETTING).fit(*train).score(*test)}
    for weighted in (False, True):
        svm = KeepSupport(**SETTING, weighted=weighted)
        for first in range(0, 10, 2):
            batch = np.isin(train[1], (first, first + 1))
            svm.partial_fit(train[0][batch], train[1][batch])
        name = "weighted" if weighted else "support vectors"
        found[name] = svm.score(*test)
        found[f"{name}, share kept"] = len(svm.codes_) / TRAIN
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.parse_args()
    X, y = mnist()
    record = {
        "command": " ".join(["python benchmarks/svm.py", *sys.argv[1:]]),
        "versions": {
            "lifelong": ll.__version__,
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
        },
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "exactness": [exactness(k, seed) for k in ("linear", "rbf", "poly") for seed in range(3)],
        "speed": [speed(X, y, digit) for digit in (1, 3, 8)],
        "lasvm": one_epoch(X, y),
        "class-incremental": class_incremental(X, y),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
