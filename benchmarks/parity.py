"""The same method in PyTorch and TensorFlow: how far apart are the numbers?

    python benchmarks/parity.py            # writes benchmarks/results/parity.json and docs/frameworks.md

Every method of the registry learns on both backends from the same seed: theta after three tasks of
ten steps, and R on MNIST-5k in five tasks. Then the four programs of examples/frameworks/ run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import torch

import lifelong as ll
from lifelong.errors import KnownFailure
from lifelong.methods import method, registry

HERE = Path(__file__).parent
RESULT = HERE / "results" / "parity.json"
PAGE = HERE.parent / "docs" / "frameworks.md"
EXAMPLES = HERE.parent / "examples" / "frameworks"
BACKENDS = ("torch", "tensorflow")
SMALL = {
    "dgr": {"hidden": (64, 64), "latent": 16},
    "ewc": {"strength": 100.0},
    "online-ewc": {"strength": 100.0},
    "si": {"strength": 1.0},
}
"""Arguments that suit MNIST-5k and a short run."""


def learner(name: str, backend: str, **options: Any) -> ll.Learner:
    return ll.Learner(
        ll.models.mlp(100, 100), method(name, SMALL), batch=32, seed=1, backend=backend, **options
    )


def distance(name: str, stream: ll.Stream, optimizer: ll.SGD, precision: str) -> float:
    """Largest difference of theta, relative to its largest entry, after three tasks of ten steps."""
    thetas = []
    for backend in BACKENDS:
        made = learner(name, backend, optimizer=optimizer, precision=precision, steps=10)
        for task in stream[:3]:
            made.learn(task)
        thetas.append(made.ops.numpy(made.theta).astype(float))
    a, b = thetas
    return float(np.abs(a - b).max() / np.abs(a).max())


def images(name: str, stream: ll.Stream, precision: str) -> int:
    """Largest difference of a cell of R, in test images."""
    results = [
        ll.run(learner(name, backend, epochs=3, precision=precision), stream) for backend in BACKENDS
    ]
    a, b = (np.nan_to_num(result.R) for result in results)
    counts = [len(task.test) for task in stream]
    return int(np.rint(np.abs(a - b) * counts).max())


def measure() -> dict[str, dict[str, Any]]:
    data, found = ll.data.mnist_5k(), {}
    for name, part in registry().items():
        scenario = "class" if "class" in part.scenarios else "task"
        stream = data.split(2, scenario, seed=1)
        found[name] = {
            "scenario": scenario,
            "theta float64": distance(name, stream, ll.Adam(), "float64"),
            "theta float32, SGD": distance(name, stream, ll.SGD(0.1), "float32"),
            "theta float32, Adam": distance(name, stream, ll.Adam(), "float32"),
            "R float64": images(name, stream, "float64"),
            "R float32": images(name, stream, "float32"),
        }
        print(name, found[name], flush=True)
    return found


def examples() -> dict[str, str]:
    """What the programs print."""
    return {
        file.name: subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, check=True
        ).stdout
        for file in sorted(EXAMPLES.glob("*.py"))
    }


def page(record: dict[str, Any]) -> str:
    """The page in docs/, made of the result file and the programs themselves."""
    lines = [
        "# The same method in PyTorch and TensorFlow",
        "",
        "A method is written once, on plain vectors; `backend=` (or `--backend`) says what runs it.",
        "Initial weights, the order of samples, memories and every other draw come from NumPy, so both",
        "backends see the same batches, and what one writes the other reads:",
        '`ll.load(path, backend="tensorflow")`.',
        "",
        "## How far apart they are",
        "",
        "θ: the largest difference after three tasks of ten steps, relative to the largest parameter.",
        "R: the largest difference of a cell on MNIST-5k in five tasks, in test images of 200.",
        "In float32 the last digits differ, and a method that rounds or sorts (DGR, PackNet, iCaRL)",
        "can turn such a digit into another picture, weight or exemplar; in float64 nothing does. HAT's",
        "gradients of its gates are multiplied by up to smax squared, and their last digits with them.",
        "",
        "| method | scenario | θ float64 | θ float32, SGD | θ float32, Adam | R float64 | R float32 |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in record["methods"].items():
        thetas = " | ".join(
            f"{row[f'theta {kind}']:.0e}" for kind in ("float64", "float32, SGD", "float32, Adam")
        )
        lines.append(
            f"| {name} | {row['scenario']} | {thetas} | {row['R float64']} | {row['R float32']} |"
        )
    versions = record["versions"]
    lines += [
        "",
        f"Made by `{record['command'].strip()}` on {record['hardware']['machine']}, one thread;",
        f"torch {versions['torch']}, tensorflow {versions['tensorflow']}.",
    ]
    titles = {
        "shared": "Continual learning: shared layers, and layers of each task's own",
        "classes": "Incremental learning: new classes arrive",
        "own": "An architecture of one's own",
    }
    for start, title in titles.items():
        lines += ["", f"## {title}"]
        for name, printed in record["examples"].items():
            if name.startswith(start):
                program = (EXAMPLES / name).read_text().strip()
                lines += ["", f"`examples/frameworks/{name}`:", "", "```python", program, "```"]
                lines += ["", "prints", "", "```text", printed.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the page from the result file")
    if not parser.parse_args().page:
        torch.set_num_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        warnings.simplefilter("ignore", KnownFailure)  # numbers are the question here
        record = {
            "command": "python benchmarks/parity.py",
            "versions": {
                "lifelong": ll.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
                "tensorflow": tf.__version__,
            },
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
            "methods": measure(),
            "examples": examples(),
        }
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
