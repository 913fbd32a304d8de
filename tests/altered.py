"""Alters saved linear models in many ways, and says what became of each: a process that may crash.

    python altered.py FOLDER SEED COUNT

prints one JSON line a learner: its name, {outcome: how many}, and what went wrong. Outcomes are
``refused``, ``same`` (answers, and those after learning more) and ``other``; anything else is a fault.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lifelong import LifelongError, files, linear
from lifelong.linear import packed
from lifelong.linear.defaults import LEARNERS

WORDS = np.array(["win", "cash", "now", "see", "you", "at", "noon", "free", "money", "lunch"])
rng = np.random.default_rng(0)
X = np.abs(rng.normal(size=(40, 4)))
TEXTS = np.array([" ".join(rng.choice(WORDS, 5)) for _ in range(40)], object)
NEVER = ("svm", "lasvm", "slda", "ridge")
"""Learners that take no texts."""


def learners() -> dict[str, tuple[Any, Any, np.ndarray]]:
    """Name: (fitted learner, inputs, labels)."""
    two, three = np.array(["a", "b"])[np.arange(40) % 2], np.arange(40) % 3
    made = {name: (linear.make(name), X, three) for name in LEARNERS}
    short = linear.HashingText(bits=8, vocabulary=True)
    for name in LEARNERS:
        if name not in NEVER:
            text = linear.TextClassifier(name, short if name == "cw" else linear.HashingText(bits=8))
            made[f"texts-{name}"] = text, TEXTS, two
    made |= {f"replay-{name}": (linear.Replay(name, memory=10), X, three) for name in LEARNERS}
    made |= {
        "replay-texts": (linear.Replay(linear.TextClassifier("arow", short), "5/class"), TEXTS, three),
        "svm-two": (linear.IncrementalSVC(kernel="linear"), X, two),
        "svm-ovo": (linear.IncrementalSVC(kernel="poly", degree=2, multiclass="ovo"), X, three),
        "keep": (linear.KeepSupport(weighted=True), X, three),
        "lasvm-two": (linear.LASVM(budget=12), X, two),
        "cw-full": (linear.CW(covariance="full", dtype="float64"), X, three),
        "ridge-random": (linear.RecursiveRidge(features=6), X, two),
        "ncm-idf": (linear.NearestClassMean("cosine", 1.0), X, three),
    }
    return {name: (m.partial_fit(x[:30], y[:30]), x, y) for name, (m, x, y) in made.items()}


def answers(learner: Any, x: Any, y: np.ndarray) -> list[np.ndarray]:
    """Its scores, and those after it has learned more."""
    first = learner.scores(x).copy()
    more = learner.copy().partial_fit(x[30:], y[30:])
    return [first, more.scores(x).copy(), learner.classes_, more.classes_]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a JSON value."""
    found = [path]
    if isinstance(value, dict | list):
        for key, held in value.items() if isinstance(value, dict) else enumerate(value):
            found += nodes(held, (*path, key))
    return found


def altered_manifest(whole: Any, rng: np.random.Generator) -> str:
    """Alter one thing of the JSON, in place; says what."""
    paths = nodes(whole["linear"], ("linear",))
    path = paths[rng.integers(len(paths))]
    at = whole
    for key in path[:-1]:
        at = at[key]
    key, old = path[-1], at[path[-1]]
    how = rng.choice(["value", "type", "remove", "add", "nest", "estimator"])
    names = [name for name in linear.__all__ if name != old]
    if how == "remove" and isinstance(at, dict):
        del at[key]
    elif how == "add" and isinstance(at, dict):
        at[str(rng.choice(["predict", "_update", "__class__", "extra_", "extra", "covariance_"]))] = 1
    elif how == "estimator" and isinstance(old, str) and old in linear.__all__:
        at[key] = str(rng.choice([*names, "load", "make", "os"]))
    elif how == "nest":
        for _ in range(int(rng.choice([1, 3, 400]))):
            old = {"list": [old]}
        at[key] = old
    elif how == "value" and isinstance(old, int | float) and not isinstance(old, bool):
        at[key] = [-1, -(10**9), 2**40, 2**70, 1e300, float("nan"), float("inf"), old + 1, old + 12][
            rng.integers(9)
        ]
    else:
        at[key] = [None, True, 7, -1.5, "x", [], {}, [1, 2], {"list": []}, {"array": "<i4"}][
            rng.integers(10)
        ]
    return f"{how} of {'/'.join(map(str, path))}: {str(old)[:40]}"


def altered_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> str:
    """Alter the structure of one array, in place; says how."""
    name = rng.choice([name for name in sorted(arrays) if name != "/classes_"])  # may be anything
    old = arrays[name]
    how = rng.choice(["dtype", "shorter", "longer", "axis", "outside", "below", "nan", "remove", "turn"])
    if how == "remove":
        del arrays[name]
    elif how == "dtype":
        kinds = [k for k in ("<f8", "<f4", "<i8", "<i4", "|u1", "|b1") if old.dtype.str != k]
        arrays[name] = np.nan_to_num(old).astype(kinds[rng.integers(len(kinds))])
    elif how == "shorter" and old.ndim and len(old):
        arrays[name] = old[:-1]
    elif how == "longer" and old.ndim:
        arrays[name] = np.concatenate([old, old[:1] if len(old) else np.zeros((1, *old.shape[1:]))])
        arrays[name] = arrays[name].astype(old.dtype)
    elif how == "axis":
        arrays[name] = old[None]
    elif how == "turn" and old.ndim == 2 and old.shape[0] != old.shape[1]:
        arrays[name] = np.ascontiguousarray(old.T)
    elif old.size:
        old = arrays[name] = old.copy()
        floats = old.dtype.kind == "f"
        bad = {"outside": np.inf if floats else 10**6, "below": -np.inf if floats else -5}
        old.flat[rng.integers(old.size)] = bad.get(how, np.nan if floats else -(10**9))
    return f"{how} of {name} {old.dtype}{list(old.shape)}"


def outcome(path: Path, x: Any, y: np.ndarray, right: list[np.ndarray]) -> str:
    """What becomes of an altered file."""
    try:
        found = answers(linear.load(path), x, y)
    except LifelongError as error:
        return "refused" if str(path) in str(error) else f"says {error}"
    except Exception as error:  # the fault that is looked for
        return f"{type(error).__name__}: {error}"
    same = all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))
    return "same" if same else "other"


def main(folder: Path, seed: int, count: int) -> None:
    """One line a learner."""
    np.seterr(all="ignore")
    for name, (learner, x, y) in learners().items():
        rng = np.random.default_rng([seed, *name.encode()])
        arrays: dict[str, np.ndarray] = {}
        whole = {"format": packed.FORMAT, "linear": packed.pack(learner, "", arrays)}
        right, path = answers(learner, x, y), folder / "model.safetensors"
        counts: dict[str, int] = {}
        faults = []
        for i in range(count):
            changed, manifest = dict(arrays), copy.deepcopy(whole)
            what = altered_manifest(manifest, rng) if i % 2 else altered_array(changed, rng)
            files.write_arrays(path, changed, manifest)
            print(f"{name}: {what}", file=sys.stderr, flush=True)
            found = outcome(path, x, y, right)
            kind = found if found in ("refused", "same", "other") else "fault"
            counts[kind] = counts.get(kind, 0) + 1
            if kind in ("fault", "other"):
                faults.append([kind, what, found[:200]])
        print(json.dumps([name, counts, faults]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
