"""What every method costs, beside naive: writes benchmarks/results/cost.json and docs/cost.md.

    python benchmarks/cost.py            # about 20 minutes; leave the machine alone

MLP 784-400-400, full MNIST in five tasks of two digits, one epoch a task of batches of 128, Adam, one
thread, defaults otherwise. Each method takes turns with naive; what is quoted is the median of the
paired ratios of the seconds in training, consolidation at task ends included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import warnings
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import lifelong as ll
from lifelong.errors import KnownFailure
from lifelong.methods import method, registry

HERE = Path(__file__).parent
RESULT = HERE / "results" / "cost.json"
PAGE = HERE.parent / "docs" / "cost.md"


def cost(name: str, scenario: str) -> dict[str, float]:
    """Seconds of training, bytes of stored samples, and parameters."""
    stream = ll.data.mnist().split(2, scenario, natural_order=True)
    learner = ll.Learner(ll.models.mlp(400, 400), method(name), epochs=1)
    found = ll.run(learner, small_tests(stream)).data["cost"]
    return {key: found[key] for key in ("seconds", "memory_bytes", "parameters")}


def small_tests(stream: ll.Stream) -> ll.Stream:
    """The stream with 100 test samples a task: measuring accuracy is not the question here."""

    def make(i: int) -> ll.Task:
        task = stream.make(i)
        return replace(task, test=task.test.take(slice(100)))

    return ll.Stream(**(vars(stream) | {"make": make}))


def measure(pairs: int) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    cost("naive", "class")
    for name, part in registry().items():
        scenario = "class" if "class" in part.scenarios else "task"
        runs = [(cost(name, scenario), cost("naive", scenario)) for _ in range(pairs)]
        ratios = [a["seconds"] / b["seconds"] for a, b in runs]
        found[name] = runs[0][0] | {
            "scenario": scenario,
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
        print(name, scenario, round(statistics.median(ratios), 2), flush=True)
    return found


def page(record: dict) -> str:
    """The page in docs/, made of the result file."""
    lines = [
        "# What a method costs",
        "",
        "Seconds of training relative to naive (consolidation at task ends included), stored samples",
        "and parameters: MLP 784-400-400, full MNIST in five tasks of two digits, one epoch a task of",
        "batches of 128, Adam, one thread, every option at its default. Medians of pairs run in turn.",
        "",
        "| method | scenario | time / naive | lowest to highest | memory, MB | parameters |",
        "|---|---|--:|:-:|--:|--:|",
    ]
    for name, row in sorted(record["methods"].items(), key=lambda item: item[1]["ratio"]):
        lines.append(
            f"| {name} | {row['scenario']} | {row['ratio']:.2f} | "
            f"{row['lowest']:.2f} to {row['highest']:.2f} | {row['memory_bytes'] / 1e6:.1f} | "
            f"{row['parameters']:,} |"
        )
    versions = record["versions"]
    lines += [
        "",
        f"Made by `{record['command']}` on {record['hardware']['machine']}, "
        f"{record['hardware']['cores']} cores; torch {versions['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    if not arguments.page:
        torch.set_num_threads(1)
        warnings.simplefilter("ignore", KnownFailure)  # cost is the question here
        record = {
            "command": " ".join(["python benchmarks/cost.py", *sys.argv[1:]]),
            "versions": {
                "lifelong": ll.__version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
            "methods": measure(arguments.pairs),
        }
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
