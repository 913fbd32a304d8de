"""Reproduce published figures: Split MNIST in three scenarios (van de Ven et al., 2022).

    python benchmarks/reproduce.py            # all that is missing; resumable; about 5 core hours
    python benchmarks/reproduce.py --table    # only write docs/reproduction.md from the results

Every run's result, with the command that made it, is a file in benchmarks/results/split-mnist/runs.
The seeds reported are 2 to 6; the hyper-parameters are the authors', who chose them on seed 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lifelong as ll
from lifelong.compare import compare
from lifelong.result import Result, read
from lifelong.spec import Spec

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "split-mnist"
TABLE = HERE.parent / "docs" / "reproduction.md"
SEEDS = (2, 3, 4, 5, 6)
BASE = Spec("mnist", model="mlp:400,400", optimizer="adam", lr=1e-3, batch=128, steps=2000)
"""Protocol: MLP 784-400-400, Adam 1e-3 never reset, 2,000 steps a task of 128 rows."""

REPLAY = ("er.admission=balanced", "er.admit=task", "er.weights=tasks")
SHUFFLED = ("er.admit=task", "er.weights=tasks")
"""Under ``domain`` the labels do not tell the ten digits apart: a reservoir of 1,000 in their place."""
ONE_LAYER = "naive, one layer of outputs"
"""Naive on the authors' network, whose outputs are one layer; see :class:`OneLayer`."""
GOALS = {
    # (method, scenario): (published, lowest, highest, options)
    (ONE_LAYER, "task"): (84.3, 78.3, 90.3, {}),
    ("naive", "task"): (84.3, 78.3, 90.3, {}),
    ("naive", "domain"): (60.1, 50.1, 70.1, {}),
    ("naive", "class"): (19.9, 18.9, 20.9, {}),
    ("joint", "task"): (99.7, 98.7, 100.0, {}),
    ("joint", "domain"): (98.6, 97.6, 99.6, {}),
    ("joint", "class"): (98.2, 97.2, 99.2, {}),
    ("ewc", "task"): (99.1, 98.1, 100.0, {"set": ("ewc.strength=1e5",)}),
    ("ewc", "domain"): (63.0, 53.5, 72.5, {"set": ("ewc.strength=1e10",)}),
    ("ewc", "class"): (20.6, 19.5, 27.0, {"set": ("ewc.strength=1e9",)}),
    ("er", "task"): (99.0, None, None, {"memory": "100/class", "set": REPLAY}),
    ("er", "domain"): (93.8, None, None, {"memory": "1000", "set": SHUFFLED}),
    ("er", "class"): (88.8, 87.6, 90.0, {"memory": "100/class", "set": REPLAY}),
    ("icarl", "class"): (94.6, 93.6, 95.6, {"memory": "2000", "set": ("icarl.temperature=2",)}),
    ("packnet", "task"): (None, None, None, {}),
    ("dgr", "task"): (99.5, 98.5, 100.0, {}),
    ("dgr", "domain"): (95.7, 93.9, 97.5, {}),
    ("dgr", "class"): (91.0, 88.4, 93.6, {}),
}


class OneLayer(nn.Module):
    """The authors' network: the outputs of all tasks are one layer, as large from the start.

    To Adam they are one tensor: those of other tasks go on moving while the old gradients fade, and
    those of a new task start with the correction of a tensor that has had thousands of updates,
    which is up to six times the rate. Where the learner owns the head, neither happens.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(784, 400), nn.Linear(400, 400)
            self.outputs = nn.Linear(400, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs(self.second(self.first(x.flatten(1)).relu()).relu())


def one_layer(seed: int) -> Result:
    """Naive with task ids on the authors' network."""
    learner = ll.Learner(
        OneLayer(seed), optimizer=ll.Adam(BASE.lr), batch=BASE.batch, steps=BASE.steps, seed=seed
    )
    stream = ll.data.mnist().split(2, "task", seed=seed)
    return ll.run(learner, stream, RESULTS, command=one_layer_command(seed))


def one_layer_command(seed: int) -> str:
    return f"python benchmarks/reproduce.py --one-layer {seed}"


def specs(methods: set[str] | None) -> list[Spec]:
    """All runs, the quick ones first: five seeds of each, three of DGR."""
    runs = []
    for slow in (False, True):
        for seed in SEEDS[:3] if slow else SEEDS:
            for (method, scenario), (*_, options) in GOALS.items():
                if (
                    (method == "dgr") != slow
                    or method == ONE_LAYER
                    or (methods and method not in methods)
                ):
                    continue
                space = {"class": "seen" if method == "icarl" else "all"}.get(scenario)
                given = {"method": method, "scenario": scenario, "output_space": space, "seed": seed}
                runs.append(BASE.with_(**given, **options))
    return runs


def table(results: list[Result]) -> str:
    """The page in docs/, made of result files alone."""
    lines = [
        "# Published figures, reproduced",
        "",
        "Split MNIST, five tasks of two digits, full MNIST; protocol of van de Ven, Tuytelaars &",
        "Tolias, *Three types of incremental learning* (Nature Machine Intelligence, 2022): MLP",
        "784-400-400, Adam 1e-3 never reset, 2,000 steps a task of 128 rows (+ 128 replayed), the",
        "joint bound with five times the steps; iCaRL's old network answers at temperature 2, as in",
        "the authors' code. Average accuracy after the last task, in %, mean and standard deviation",
        "over seeds. Under `class` all ten outputs are active from the start, for",
        "iCaRL those seen so far. Under `domain` ER keeps a reservoir of 1,000 from the first task",
        "on (the labels do not tell the digits apart), where the authors add 200 samples a task.",
        "A band is two-sided: too good is as suspicious as too bad.",
        "",
        "Naive under `task` stands there twice. In the authors' network the outputs of all tasks are",
        "one layer, so Adam goes on moving those of other tasks, and gives those of a new task up to",
        "six times the rate. A learner that owns its head does neither: on these five seeds it forgets",
        "less, which five seeds with such a spread do not prove; over the authors' twenty (below the",
        "table) it lies in the band. Given the authors' network as a model of the user's own, it gives",
        "the authors' figure on the five.",
        "",
        "Made by `make reproduce`, which writes this page from the files in",
        "`benchmarks/results/split-mnist/runs`; each holds its command, versions and R.",
        "",
        "| method | scenario | published | band | ours | sd | seeds | verdict | minutes a run |",
        "|---|---|--:|:-:|--:|--:|--:|:-:|--:|",
    ]
    commands = []
    for (method, scenario), (published, low, high, _) in GOALS.items():
        wanted = {s.command() for s in specs({method}) if s.scenario == scenario}
        if method == ONE_LAYER:
            wanted = {one_layer_command(seed) for seed in SEEDS}
        runs = [r.data for r in results if r.data["command"] in wanted]
        if not runs:
            continue
        scores = 100 * np.array([run["metrics"]["average_accuracy"] for run in runs])
        deviation = f"{scores.std(ddof=1):.2f}" if len(scores) > 1 else "-"
        verdict = "reported" if low is None else "in" if low <= scores.mean() <= high else "**out**"
        if low is not None and len(runs) < len(wanted):
            verdict += f" so far, {len(runs)} of {len(wanted)} seeds"
        minutes = np.mean([run["cost"]["seconds"] for run in runs]) / 60
        lines.append(
            f"| {method} | {scenario} | {published or '-'} | "
            f"{'-' if low is None else f'{low:g} to {high:g}'} | {scores.mean():.2f} | {deviation} | "
            f"{len(scores)} | {verdict} | {minutes:.1f} |"
        )
        commands.append(f"    {runs[0]['command']}")
    naive = [r.data for r in results if r.data["method"] == "naive" and r.data["scenario"] == "task"]
    more = [r["metrics"]["average_accuracy"] for r in naive if "one-layer" not in r["command"]]
    if len(more) > len(SEEDS):
        scores = 100 * np.array(more)
        lines += [
            "",
            f"Naive under `task` (the second row) over {len(more)} seeds from 2: {scores.mean():.2f}, "
            f"sd {scores.std(ddof=1):.2f}.",
        ]
    forgetting = [r.metrics["forgetting"] for r in results if r.data["method"] == "packnet"]
    if forgetting:
        lines += ["", f"PackNet's forgetting, highest over seeds: {max(forgetting):.6f}."]
    lines += ["", "One command of each row (the others differ in `--seed`):", "", *commands, ""]
    machines = {(r.data["hardware"]["machine"], r.data["versions"]["torch"]) for r in results}
    lines += [f"Machine: {m}, one thread a run; torch {v}." for m, v in sorted(machines)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--methods", help="only these, separated by commas")
    parser.add_argument("--jobs", type=int, help="worker processes (default: the cores)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="only the first so many seeds")
    parser.add_argument("--scenarios", help="only these, separated by commas")
    parser.add_argument("--one-layer", type=int, metavar="SEED", help="naive on one layer")
    arguments = parser.parse_args()
    if arguments.one_layer is not None:
        print(one_layer(arguments.one_layer))
        return
    if not arguments.table:
        runs = specs(set(arguments.methods.split(",")) if arguments.methods else None)
        kept = (arguments.scenarios or "task,domain,class").split(",")
        runs = [r for r in runs if r.seed in SEEDS[: arguments.seeds] and r.scenario in kept]

        def watch(index: int, words: str, share: float, result: Result | None) -> None:
            if result is not None:
                accuracy = 100 * (result.metrics["average_accuracy"] or 0)
                spec = runs[index]
                print(
                    f"{spec.method:8} {spec.scenario:7} seed {spec.seed}: {accuracy:.2f}",
                    flush=True,
                )

        compare(runs, RESULTS, arguments.jobs, watch)
        if not arguments.methods:
            for seed in SEEDS:
                subprocess.run([sys.executable, __file__, "--one-layer", str(seed)], check=True)
        for model in RESULTS.glob("runs/*/model.safetensors"):
            model.unlink()
    results = [r for file in sorted(RESULTS.glob("runs/*/run.json")) for r in read(file)]
    TABLE.write_text(table(results), encoding="utf-8")
    print(f"{len(results)} runs -> {TABLE}")


if __name__ == "__main__":
    sys.exit(main())
