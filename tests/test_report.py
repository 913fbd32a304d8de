"""The report: statistics against hand computation, the verdict's words, and the page itself."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from lifelong import report
from lifelong.errors import LifelongError
from lifelong.report import figures, html
from lifelong.report.groups import flatten, forgotten, groups
from lifelong.report.statistics import interval, paired

LEVEL = {"naive": 0.25, "ewc": 0.33, "lwf": 0.5, "er": 0.82, "der++": 0.86, "er+ewc": 0.83}
"""How much of an old task each fake method keeps."""


def fake_run(method: str, seed: int, tasks: int = 5, noise: float = 0.01) -> dict[str, Any]:
    """One run with everything in it; numbers follow from the method, seed and noise only."""
    rng = np.random.default_rng([seed, *method.encode()])
    keep = LEVEL.get(method, 0.4 + 0.5 * (sum(method.encode()) % 97) / 97)
    R = np.full((tasks, tasks), np.nan)
    for i in range(tasks):
        for j in range(i + 1):
            R[i, j] = 0.98 * (keep + (1 - keep) * 0.6 ** (i - j)) + noise * rng.normal()
            if j < i and i - j > 3 and method == "naive":
                R[i, j] = 0.02
    if method in ("joint", "separate"):
        R[:] = np.nan
        R[-1] = 0.96 + noise * rng.normal(size=tasks)
    R = R.clip(0, 1)
    only_last = method in ("joint", "separate")
    past, last = R[:-1], R[-1]
    best = np.where(np.isnan(past), -1, past).max(0) if tasks > 1 else last
    forgetting = None if only_last or tasks < 2 else float((best - last)[:-1].mean())
    so_far = [R[i, : i + 1].mean() for i in range(tasks)]
    confusion = np.round(100 * (0.8 * np.eye(10) + 0.02) + 3 * rng.random((10, 10))).astype(int)
    memory = {"er": 1_568_000, "der++": 1_608_000, "er+ewc": 1_568_000}.get(method, 0)
    return {
        "key": f"{method}-{seed}",
        "data": "mnist-5k",
        "scenario": "class",
        "output_space": "seen",
        "method": method,
        "hyperparameters": {
            "model": {"name": "mlp", "hidden": [400, 400]},
            "method": {"name": method, "memory": 500 if memory else 0},
            "optimizer": {"name": "adam", "rate": 0.001},
            "batch": 128,
            "epochs": 1,
            "seed": seed,
        },
        "seed": seed,
        "tasks": [f"{2 * t % 10} {(2 * t + 1) % 10}" for t in range(tasks)],
        "classes": [str(c) for c in range(10)],
        "R": _null(R),
        "R_task_aware": _null(np.clip(R + 0.1, 0, 1)),
        "R_task_agnostic": _null(R),
        "baseline": [0.1] * tasks,
        "metrics": {
            "average_accuracy": float(last.mean()),
            "average_incremental_accuracy": None if only_last else float(np.mean(so_far)),
            "forgetting": forgetting,
            "bwt": None if forgetting is None else -forgetting,
            "fwt": None,
            "learning_accuracy": None if only_last else float(np.diag(R).mean()),
            "min_acc": None if only_last else float(np.nanmin(R)),
            "wc_acc": None if only_last else float(np.nanmin(R)),
            "balanced_accuracy": float(last.mean()),
            "prequential_accuracy": None,
            "area_under_anytime_accuracy": None,
        },
        "recall": {str(c): float(confusion[c, c] / confusion[c].sum()) for c in range(10)},
        "confusion": confusion.tolist(),
        "trace": []
        if only_last
        else [
            {
                "task": i,
                "step": s,
                "accuracy": [
                    max(0.0, float(R[i, j]) - (0.25 * (s == 10) * (i > 0)) - 0.5 * (i == j) * (s < 30))
                    if j <= i
                    else None
                    for j in range(tasks)
                ],
            }
            for i in range(tasks)
            for s in (10, 20, 30, 40)
        ],
        "cost": {
            "seconds": 10.0 + 5 * len(method) + float(rng.random()),
            "samples_per_second": 12345.6,
            "peak_memory_bytes": 512_000_000,
            "memory_bytes": memory,
            "parameters": 478_410,
            "parameters_added": 0,
        },
        "plasticity": []
        if only_last
        else [
            {"task": i, "dead_units": 0.02 * i, "effective_rank": 60.0 - 3 * i, "weight_norm": 20.0 + i * keep}
            for i in range(tasks)
        ],
        "versions": {"lifelong": "0.1.0", "python": "3.11.7", "numpy": "2.0", "torch": "2.5"},
        "hardware": {"machine": "x86_64", "cores": 2},
        "command": "lifelong compare mnist-5k --seeds 5",
    }


def _null(R: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(x) else float(x) for x in row] for row in R]


def fake_results(methods: list[str], seeds: int = 3, tasks: int = 5, noise: float = 0.01) -> dict[str, Any]:
    """Results as ``results.json`` holds them."""
    runs = [fake_run(m, s, tasks, noise) for m in methods for s in range(1, seeds + 1)]
    return {"schema": 1, "runs": runs}
