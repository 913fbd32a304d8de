"""What is a boundary worth? Methods that consolidate, given true, late, missing and detected ones.

    python benchmarks/boundaries.py           # writes results/boundaries.json and docs/boundaries.md
    python benchmarks/boundaries.py --page    # only write the page from the result file

MNIST-5k in five tasks, one pass (``free``): every run sees the same samples in the same order, and
only the steps at which the parts are told that a task has ended differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import lifelong as ll
from lifelong.detection import Detector, PageHinkley, Plateau, Told

HERE = Path(__file__).parent
RESULT = HERE / "results" / "boundaries.json"
PAGE = HERE.parent / "docs" / "boundaries.md"
SEEDS = (1, 2, 3)
TASKS, BATCH, RATE = 5, 16, 0.1
BLURS = (0.0, 0.5)
REPLAY = {"capacity": 200, "admit": "task", "weights": "tasks"}
SETTINGS = {
    "ewc, permuted": ("permuted", lambda: ll.EWC(10.0)),
    "er+ewc, permuted": ("permuted", lambda: ll.ER(**REPLAY) + ll.EWC(1.0)),
    "er+ewc, split": ("split", lambda: ll.ER(**REPLAY) + ll.EWC(1.0)),
}
CONDITIONS = {
    "true": "true boundaries",
    "late 10 %": "each late by 10 % of a task",
    "late 40 %": "each late by 40 % of a task",
    "half missing": "every second missing",
    "loss": "detected: `loss`",
    "drift": "detected: `drift`",
    "none": "none",
}


def stream(kind: str, scenario: str, seed: int) -> ll.Stream:
    data = ll.data.mnist_5k()
    return (
        data.split(2, scenario, seed=seed)
        if kind == "split"
        else data.permuted(TASKS, scenario, seed=seed)
    )


def boundaries(condition: str, task: int) -> Detector:
    """What tells the learner of boundaries, where a task takes so many steps."""
    ends = [task * i for i in range(1, TASKS)]
    if condition == "loss":
        return Plateau()
    if condition == "drift":
        return PageHinkley()
    if condition.startswith("late"):
        ends = [end + task * int(condition.split()[1]) // 100 for end in ends]
    return Told(tuple({"half missing": ends[1::2], "none": []}.get(condition, ends)))


def learner(method: Any, seed: int, **options: Any) -> ll.Learner:
    return ll.Learner(
        ll.models.mlp(100, 100), method, optimizer=ll.SGD(RATE), batch=BATCH, seed=seed, **options
    )


def measure() -> list[dict[str, Any]]:
    found = []
    for setting, (kind, method) in SETTINGS.items():
        for blur in BLURS:
            for condition in CONDITIONS:
                for seed in SEEDS:
                    met = stream(kind, "free", seed).blurred(blur)
                    task = len(met[0].train) // BATCH
                    made = learner(method(), seed, boundaries=boundaries(condition, task))
                    result = ll.run(made, met, None, 10**6)
                    found.append(
                        {
                            "setting": setting,
                            "blur": blur,
                            "boundaries": condition,
                            "seed": seed,
                            "steps_per_task": task,
                            "given": result.data["boundaries"],
                            **{
                                name: result.metrics[name]
                                for name in ("average_accuracy", "learning_accuracy")
                            },
                        }
                    )
                    print(found[-1], flush=True)
    return found


def joint() -> dict[str, list[float]]:
    """The upper bound: all samples at once, one pass."""
    found: dict[str, list[float]] = {}
    for kind, scenario in (("permuted", "domain"), ("split", "class")):
        for seed in SEEDS:
            result = ll.run(learner("joint", seed, epochs=1), stream(kind, scenario, seed))
            found.setdefault(kind, []).append(result.metrics["average_accuracy"])
    return found


def judge(given: list[int], task: int) -> tuple[int, int, list[int]]:
    """(found, false alarms, delays in steps): a boundary is found within half a task, once."""
    left, delays = list(given), []
    for end in (task * i for i in range(1, TASKS)):
        near = [step for step in left if abs(step - end) <= task // 2]
        if near:
            nearest = min(near, key=lambda step: abs(step - end))
            left.remove(nearest)
            delays.append(nearest - end)
    return len(delays), len(left), delays


def spread(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"


def page(record: dict[str, Any]) -> str:
    """The page in docs/, made of the result file."""
    runs = record["runs"]
    lines = [
        "# Boundaries: told, late, missing, detected",
        "",
        "EWC and its like consolidate where a task ends. Under `free` nobody says where:",
        "`boundaries=` (`--boundaries`) lets a detector on the loss say it.",
        "",
        "- `loss`: at a plateau of the loss, once for each peak (Aljundi, Kelchtermans & Tuytelaars,",
        '  "Task-free continual learning", CVPR 2019). It ends a task that has been learned.',
        "- `drift`: when the loss has risen (Page-Hinkley). It ends a task when another has begun.",
        "- `told`: behind given steps.",
        "",
        "At a boundary the parts' `end` gets the samples met since the last one; what was met is then",
        "old. The detector sees the loss of the step's new rows and nothing else: no task, no label.",
        "Its state is saved with the learner's position, so a killed run ends in the same bits. A part",
        "that wants a whole task before it trains (iCaRL, joint, cumulative) or its id (PackNet) is",
        "refused in one line.",
        "",
        "## What was measured",
        "",
        f"MNIST-5k in five tasks, one pass, batches of {BATCH}, MLP 784-100-100, SGD {RATE:g}; seeds",
        f"{', '.join(map(str, SEEDS))}. All runs of a seed see the same samples in the same order;",
        "only the boundaries differ. *permuted*: ten digits, another permutation of the pixels a task",
        "(250 steps each). *split*: two new digits a task (50 steps each), ten outputs. *ewc*: strength",
        "10. *er+ewc*: 200 samples, of which a task's are admitted when it ends, weighted by tasks, and",
        "EWC of strength 1; without a boundary it replays nothing. *blurred*: half of each task mixes",
        "with its neighbours; its true boundary is the middle. Strengths and detectors' defaults were",
        "chosen on seeds 11 to 13.",
        "",
        "Average accuracy after the last task in %, mean and standard deviation over seeds; then of the",
        "boundaries how many were found within half a task, false alarms, and the mean delay in steps.",
    ]
    for setting, (kind, _) in SETTINGS.items():
        for blur in BLURS:
            lines += [
                "",
                f"### {setting}{', blurred' if blur else ''}",
                "",
                "| boundaries | accuracy | just after learning | found | false | delay |",
                "|---|--:|--:|--:|--:|--:|",
            ]
            for condition, words in CONDITIONS.items():
                mine = [
                    run
                    for run in runs
                    if (run["setting"], run["blur"], run["boundaries"]) == (setting, blur, condition)
                ]
                judged = [judge(run["given"], run["steps_per_task"]) for run in mine]
                delays = [delay for *_, each in judged for delay in each]
                total = len(mine) * (TASKS - 1)
                lines.append(
                    f"| {words} | {spread([run['average_accuracy'] for run in mine])} | "
                    f"{spread([run['learning_accuracy'] for run in mine])} | "
                    f"{sum(j[0] for j in judged)} of {total} | {sum(j[1] for j in judged)} | "
                    f"{f'{np.mean(delays):+.1f}' if delays else '-'} |"
                )
            lines.append(f"| joint: all samples at once | {spread(record['joint'][kind])} | | | | |")
    lines += ["", *READING, ""]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return "\n".join(
        [
            *lines,
            f"Made by `{record['command']}` on {record['hardware']['machine']}, one thread;",
            f"{versions}. All runs: `benchmarks/results/boundaries.json`.",
            "",
        ]
    )


READING: list[str] = []
"""What the tables show, in words."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the page from the result file")
    if not parser.parse_args().page:
        torch.set_num_threads(1)
        record = {
            "command": "python benchmarks/boundaries.py",
            "versions": {
                "lifelong": ll.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
            },
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
            "joint": joint(),
            "runs": measure(),
        }
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
