"""Reading ``results.json``: groups of comparable runs, and in each group the methods.

Runs are comparable when they share the data, by its fingerprint and not by its name alone, the
scenario, the output space, what is scored, and how the tasks were made. Within a group, an ``Entry``
is one method with one set of hyper-parameters; its runs differ by seed only.

Rows that are read in another way (scaled, encoded) are other data, even of one file: the inputs are
not the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import LifelongError
from ..names import short

Run = dict[str, Any]

DRAWN = ("seed", "angles", "file")
"""What a stream's description may have other values of in comparable runs: they are drawn, or a path."""

REFERENCES = {
    "joint": "upper bound",
    "separate": "reference",
    "cumulative": "reference",
    "naive": "lower bound",
}
"""Methods that do not compete: they say how good the others are."""


def number(value: object) -> float | None:
    """A finite float, or None for null, NaN and infinity."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def flatten(tree: object, path: str = "") -> dict[str, str]:
    """Nested hyper-parameters as {"method.memory": "500", ...}; a seed is none."""
    if not isinstance(tree, dict):
        return {path: str(tree)}
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if key != "seed":
            flat |= flatten(value, f"{path}.{key}" if path else str(key))
    return flat


def mean_over_seeds(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The mean of equally shaped arrays, where NaN means not measured."""
    stack = np.stack(list(arrays))
    measured = ~np.isnan(stack)
    total, count = np.where(measured, stack, 0).sum(0), measured.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def sd_over_seeds(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The standard deviation (n − 1) beside ``mean_over_seeds``; NaN where n < 2."""
    stack = np.stack(list(arrays))
    count = (~np.isnan(stack)).sum(0)
    squares = np.nansum((stack - mean_over_seeds(stack)) ** 2, axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def matrix(run: Run, name: str = "R") -> np.ndarray:
    """R (or R_task_aware, ...) of one run as a T × T array, NaN where not measured."""
    size = len(run["tasks"])
    R = np.full((size, size), np.nan)
    for i, row in enumerate(run.get(name) or []):
        for j, value in enumerate(row or []):
            R[i, j] = np.nan if number(value) is None else value
    return R


def so_far(run: Run) -> np.ndarray:
    """The average accuracy over the tasks seen so far, after each task."""
    R = matrix(run)
    return np.array([R[i, : i + 1].mean() for i in range(len(R))])


def forgotten(run: Run) -> np.ndarray:
    """max over l < T of R[l, j], minus R[T, j]: the forgetting of every task but the last."""
    R = matrix(run)
    past = np.where(np.isnan(R[:-1]), -np.inf, R[:-1])
    best = past.max(axis=0, initial=-np.inf)
    return np.where(np.isinf(best), np.nan, best - R[-1])[:-1]


@dataclass(frozen=True)
class Entry:
    """One method with one set of hyper-parameters, and its runs by seed."""

    method: str
    label: str
    runs: dict[int, Run]

    @property
    def name(self) -> str:
        """The label as people read it."""
        return short(self.label)

    @property
    def role(self) -> str:
        """One of "lower bound", "upper bound", "reference", or "" for a method that competes."""
        return REFERENCES.get(self.method, "")

    @property
    def linear(self) -> bool:
        """Whether it is a linear learner, which naive and joint are no bounds of."""
        return "learner" in self.first["hyperparameters"]

    @property
    def updated(self) -> bool:
        """Whether a model was updated, and this is its record."""
        return _updated(self.first)

    @property
    def first(self) -> Run:
        """Any run: what is not a measurement is the same in all of them."""
        return next(iter(self.runs.values()))

    def values(self, name: str, table: str = "metrics") -> dict[int, float]:
        """A metric (or a cost) by seed, without the seeds in which it is null.

        Of a linear learner under shuffled tasks, no row ever answered rightly before it was learned
        says that none was asked.
        """
        pairs = ((s, number((run.get(table) or {}).get(name))) for s, run in self.runs.items())
        unasked = name == "prequential_accuracy" and self.linear and self.first["scenario"] != "free"
        return {s: value for s, value in pairs if value is not None and not (unasked and value == 0)}

    def mean(self, name: str, table: str = "metrics") -> float | None:
        """The mean over seeds of a metric (or a cost)."""
        values = self.values(name, table)
        return float(np.mean(list(values.values()))) if values else None

    def sd(self, name: str, table: str = "metrics") -> float | None:
        """The standard deviation over seeds (n − 1); None for one seed."""
        values = self.values(name, table)
        return float(np.std(list(values.values()), ddof=1)) if len(values) > 1 else None

    def R(self, name: str = "R") -> np.ndarray:
        """The mean over seeds of R."""
        return mean_over_seeds(matrix(run, name) for run in self.runs.values())

    def confusion(self, names: list[str]) -> np.ndarray:
        """Rows true, columns predicted, in the order of ``names``; each row sums to 1.

        Seeds meet classes in different orders, so they are matched by name.
        """
        total = np.zeros((len(names), len(names)))
        for run in self.runs.values():
            counts = np.array(run.get("confusion") or [], float)
            own = [names.index(str(name)) for name in run.get("classes") or []]
            if counts.size and counts.shape == (len(own), len(own)):
                total[np.ix_(own, own)] += counts
        rows = total.sum(1, keepdims=True)
        return np.where(rows > 0, total / np.maximum(rows, 1), np.nan)

    def recall(self) -> dict[str, float]:
        """The mean recall of each class, over the seeds in which it was measured."""
        names = dict.fromkeys(name for run in self.runs.values() for name in run.get("recall") or {})
        means = {name: self.mean(name, "recall") for name in names}
        return {name: value for name, value in means.items() if value is not None}


@dataclass(frozen=True)
class Group:
    """Comparable runs: joint first, then the methods from best to worst, then naive."""

    data: str
    scenario: str
    output_space: str
    entries: list[Entry]
    rest: str = ""
    """Such as "5 tasks, split, output space seen": what tells it from others of its name."""
    alone: bool = True
    """Whether no other group has the same data, by name, and scenario."""
    other_data: bool = False
    """Whether another group has the name of its data and scenario, but not its data."""
    score: str = "accuracy"
    """What R holds."""

    @property
    def title(self) -> str:
        """Such as "mnist-5k, class scenario", and what else tells it from other groups."""
        title = f"{self.name}, {self.scenario} scenario"
        return title if self.alone else f"{title}, {self.rest}"

    @property
    def name(self) -> str:
        """The data, as people read it: of updates, from the first to the last."""
        parts = self.data.split(" + ")
        if not self.updated or len(parts) < 3:
            return short(self.data)
        return f"{short(parts[0], 50)} to {short(parts[-1], 50)}"

    @property
    def runs(self) -> list[Run]:
        return [run for entry in self.entries for run in entry.runs.values()]

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for entry in self.entries for seed in entry.runs})

    @property
    def length(self) -> int:
        """The number of tasks."""
        return len(self.entries[0].first["tasks"])

    @property
    def contenders(self) -> list[Entry]:
        """The methods that compete and have a result, best first."""
        return [e for e in self.entries if not e.role and e.mean("average_accuracy") is not None]

    @property
    def updated(self) -> bool:
        """Whether these are records of models that were updated."""
        return self.entries[0].updated

    def progressive(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(label, name, what was found) of each method judged row by row, then of the bars, by delay."""
        found = [(e.label, e.first["progressive"]) for e in self.entries if e.first.get("progressive")]
        bars: dict[str, tuple[str, dict[str, Any]]] = {}
        for _, p in found:
            for name in p["scores"]:
                if name == p["name"]:
                    continue
                bars.setdefault(f"{name} (delay={p['delay']})" if p["delay"] else name, (name, p))
        methods = [(label, p["name"], p) for label, p in found]
        return methods + [(label, *bar) for label, bar in bars.items()]

    def bound(self, name: str, entry: Entry) -> Entry | None:
        """The naive (or joint) entry to hold ``entry`` against: the one trained most alike."""

        def likeness(other: Entry) -> int:
            mine, theirs = (flatten(e.first["hyperparameters"]).items() for e in (entry, other))
            return len(mine & theirs)

        found = [e for e in self.entries if e.method == name and e is not entry]
        return max(found, key=likeness, default=None)

    def classes(self) -> list[str]:
        """The names of all classes: in the runs' order where they agree, sorted where not."""
        orders = [[str(name) for name in run.get("classes") or []] for run in self.runs]
        if all(order == orders[0] for order in orders):
            return orders[0]
        names = {name for order in orders for name in order}
        return sorted(names, key=lambda n: (not n.isdecimal(), int(n) if n.isdecimal() else 0, n))

    def task_names(self, limit: int = 12, longest: int = 7) -> list[str]:
        """Task names where every seed has the same and they are short; numbers otherwise."""
        names = self.runs[0]["tasks"]
        alike = all(run["tasks"] == names for run in self.runs)
        if alike and len(names) <= limit and max(map(len, names)) <= longest:
            return list(names)
        return [str(i + 1) for i in range(len(names))]


def groups(results: dict[str, Any]) -> list[Group]:
    """The groups of comparable runs, in order of appearance.

    Left out are runs and updates that later updates of the same models continue: those hold their R.
    """
    if results.get("schema") != 1:
        raise LifelongError(f"results of schema {results.get('schema')!r}: this version reads 1")
    if not results.get("runs"):
        raise LifelongError("the results hold no runs: run something first")
    sorted_runs: dict[tuple, dict[tuple, dict[int, Run]]] = {}
    told: dict[tuple, list[tuple]] = {}
    for run in results["runs"]:
        same = _comparable(run)
        # Of one seed the tasks are the same, too: else they were drawn anew, or are others.
        made = run.get("stream") or {}
        drawn = (*run["tasks"], *(str(made.get(name)) for name in DRAWN[:2]))
        known = told.setdefault((*same, run["seed"]), [])
        if drawn not in known:
            known.append(drawn)
        settings = (run["method"], *sorted(flatten(run["hyperparameters"]).items()))
        # A run done again replaces the earlier one.
        by_settings = sorted_runs.setdefault((*same, known.index(drawn)), {})
        by_settings.setdefault(settings, {})[run["seed"]] = run
    parents = {run["key"].rpartition("+")[0] for run in results["runs"] if _updated(run)}
    kept = [g for g in sorted_runs.values() if not _continued(g, parents)]
    firsts = [_first(by_settings) for by_settings in kept]
    alike: dict[tuple, list[Run]] = {}
    for first in firsts:
        alike.setdefault((first["data"], first["scenario"]), []).append(first)
    rests = {name: iter(_told_apart(runs)) for name, runs in alike.items()}
    prints = {name: len({_fingerprint(run) for run in runs}) for name, runs in alike.items()}
    return [
        Group(
            data=first["data"],
            scenario=first["scenario"],
            output_space=first["output_space"],
            entries=_ordered(list(by_settings.values())),
            rest=next(rests[name]),
            alone=len(alike[name]) == 1,
            other_data=prints[name] > 1,
            score=first.get("score", "accuracy"),
        )
        for by_settings, first in zip(kept, firsts, strict=True)
        for name in [(first["data"], first["scenario"])]
    ]


def _continued(by_settings: dict[tuple, dict[int, Run]], parents: set[str]) -> bool:
    """Whether of each of these models there is a later update."""
    return all(run["key"] in parents for by_seed in by_settings.values() for run in by_seed.values())


def _first(by_settings: dict[tuple, dict[int, Run]]) -> Run:
    return next(iter(next(iter(by_settings.values())).values()))


def _updated(run: Run) -> bool:
    """Whether it is the record of an update: its key ends in the number of tasks."""
    return re.search(r"\+\d+$", str(run.get("key", ""))) is not None


def _fingerprint(run: Run) -> str:
    """Of the data; "" in a result that has none."""
    return str(run.get("fingerprint") or (run.get("stream") or {}).get("fingerprint") or "")


def _plan(run: Run) -> dict[str, str]:
    """How the tasks were made, without what is drawn."""
    made = {name: value for name, value in (run.get("stream") or {}).items() if name not in DRAWN}
    return flatten(made)


def _comparable(run: Run) -> tuple:
    """What comparable runs have in common. Without a fingerprint, the classes stand for the data."""
    data = _fingerprint(run) or str(sorted(map(str, run.get("classes") or [])))
    made = tuple(sorted(_plan(run).items()))
    score = run.get("score", "accuracy")
    length = len(run["tasks"])
    return run["data"], data, run["scenario"], run["output_space"], length, made, score, _updated(run)


def _told_apart(runs: list[Run]) -> list[str]:
    """What tells groups of the same data, by name, and scenario apart, given a run of each.

    The number of tasks, the kind of stream and the output space always; what else differs; where all
    that is the same, a number.
    """
    always = ("tasks", "kind", "space")
    facts = []
    for run in runs:
        plan, n = _plan(run), len(run["tasks"])
        other = {f"plan {k}": f"{k}={v}" for k, v in plan.items() if k not in ("kind", "fingerprint")}
        data = "-".join(part[:6] for part in _fingerprint(run).split("-"))
        own = {"tasks": "1 task" if n == 1 else f"{n} tasks"}
        own |= {"updated": "updated" if _updated(run) else "", "kind": plan.get("kind", ""), **other}
        own |= {"space": f"output space {run['output_space']}", "score": run.get("score", "accuracy")}
        own |= {"data": f"data {data}" if data else ""}
        facts.append({name: short(fact, 60) for name, fact in own.items()})
    names = dict.fromkeys(name for own in facts for name in own)
    shown = [n for n in names if n in always or len({own.get(n) for own in facts}) > 1]
    rests = [", ".join(filter(None, (own.get(name) for name in shown))) for own in facts]
    return [
        f"{rest}, no. {rests[: i + 1].count(rest)}" if rests.count(rest) > 1 else rest
        for i, rest in enumerate(rests)
    ]


def _ordered(seeds: list[dict[int, Run]]) -> list[Entry]:
    """Entries with their labels, joint first and naive last, in between from best to worst."""
    by_method: dict[str, list[dict[int, Run]]] = {}
    for runs in seeds:
        by_method.setdefault(next(iter(runs.values()))["method"], []).append(runs)
    entries = []
    for method, variants in by_method.items():
        for label, runs in zip(_labels(method, variants), variants, strict=True):
            entries.append(Entry(method, label, dict(sorted(runs.items()))))

    def place(entry: Entry) -> tuple[int, float]:
        rank = {"joint": 0, "naive": 3}.get(entry.method, 1 if entry.role else 2)
        return rank, -(entry.mean("average_accuracy") or 0.0)

    return sorted(entries, key=place)


def _labels(method: str, variants: list[dict[int, Run]]) -> list[str]:
    """The method's name, and where it occurs more than once the hyper-parameters that differ.

    Of a part that not all have, such as a memory, the first speaks for those that do not differ.
    """
    flat = [flatten(next(iter(runs.values()))["hyperparameters"]) for runs in variants]
    differing: list[str] = []
    spoken = set()
    for key in dict.fromkeys(key for settings in flat for key in settings):
        has = tuple(key in settings for settings in flat)
        part = key.rpartition(".")[0], has
        varies = len({settings[key] for settings in flat if key in settings}) > 1
        if varies or (not all(has) and part not in spoken):
            differing.append(key)
            spoken.add(part)

    def short(key: str) -> str:
        last = key.rsplit(".", 1)[-1]
        return last if sum(k.rsplit(".", 1)[-1] == last for k in differing) == 1 else key

    told = [", ".join(f"{short(k)}={s[k]}" for k in differing if k in s) for s in flat]
    return [f"{method} ({words})" if words else method for words in told]
