"""Results: what one run measured, as the JSON of a result file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len

from . import metrics
from .errors import LifelongError
from .files import write_json
from .names import printable, short
from .schema import fault, load

SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """One run. ``data`` is its entry in a result file; the schema is ``results.schema.json``."""

    data: dict[str, Any]

    @property
    def R(self) -> np.ndarray:
        """R[i, j]: accuracy on task j after learning task i, ``[tasks, tasks]``, NaN: not measured.

        (Or what else ``data["score"]`` names.)
        """
        return metrics.matrix(self.data["R"])

    @property
    def beside(self) -> dict[str, np.ndarray]:
        """What the objective measures beside R (rmse, mae, r2 ...), by name, each shaped as R is."""
        return {name: metrics.matrix(rows) for name, rows in self.data.get("beside", {}).items()}

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every summary by name; None where it was not measured."""
        return self.data["metrics"]

    def summary(self) -> str:
        """A few lines: what was run, and every metric that was measured."""
        from .report.words import size

        d = self.data
        tasks = f"{len(d['tasks'])} task" + "s" * (len(d["tasks"]) != 1)
        head = f"{d['method']} on {d['data']}, {d['scenario']} scenario, {tasks}"
        lines = [f"{head}, seed {d['seed']}, output space {d['output_space']!r}"]
        word = "accuracy"
        if (score := d.get("score", word)) != word:
            lines.append(f"  R: {score}")
            word = "score"
        for name, value in self.metrics.items():
            if value is not None:
                shown = f"{value:9.4f}" if name in metrics.PLAIN else f"{100 * value:7.2f} %"
                lines.append(f"  {name.replace('_', ' ').replace('accuracy', word):30}{shown}")
        if progressive := d.get("progressive"):
            bars = progressive["scores"]
            told = ", ".join(f"{who} {100 * s['accuracy']:.2f} %" for who, s in bars.items())
            drifts = ", ".join(f"{row + 1:,}" for row in progressive["drifts"][:8])
            more = ", ..." if len(progressive["drifts"]) > 8 else ""
            asked = f" (asked {n} rows at once)" if (n := progressive["chunk"]) > 1 else ""
            lines.append(f"  before learning{asked}: {told}; {progressive['verdict']}")
            lines.append(f"  drifts at rows {drifts}{more}" if drifts else "  no drift found")
        cost = d["cost"]
        lines.append(
            f"  {cost['seconds']:.1f} s, {cost['samples_per_second']:,.0f} samples/s, "
            f"memory {size(cost['memory_bytes'])}, {cost['parameters']:,} parameters"
        )
        return "\n".join(map(printable, lines))

    def table(self, width: int | None = None) -> str:
        """R in percent, a line for each task learned, with the tasks' names.

        Where names have more than 12 characters, columns are numbered. Lines of more than ``width``
        characters are continued below, with the tasks that have no room.
        """
        R, corner = self.R, "after \\ on"
        rows = [short(name, 40) for name in self.data["tasks"]]
        heads = rows
        if max(map(cell_len, rows)) > 12:
            heads = [str(j + 1) for j in range(len(rows))]
            rows = [f"{number} {name}" for number, name in zip(heads, rows, strict=True)]
        first = max(map(cell_len, [corner, *rows]))
        wide = [max(7, cell_len(head) + 2) for head in heads]
        lines, start = [], 0
        while start < len(heads):
            end = start + 1
            while end < len(heads) and first + sum(wide[start : end + 1]) <= (width or math.inf):
                end += 1
            shown = range(start, end)
            lines.append(_right(corner, first) + "".join(_right(heads[j], wide[j]) for j in shown))
            for name, row in zip(rows, R, strict=True):
                cells = ["-" if np.isnan(row[j]) else f"{100 * row[j]:.1f}" for j in shown]
                told = (_right(cell, wide[j]) for cell, j in zip(cells, shown, strict=True))
                lines.append(_right(name, first) + "".join(told))
            start = end
        return "\n".join(lines)

    def report(self, path: str | Path) -> Path:
        """Write a self-contained HTML report to ``path`` (and its figures beside it)."""
        from .report import write

        return write(bundle([self]), Path(path))

    def save(self, path: str | Path) -> None:
        """Write a result file that holds this run alone."""
        write_json(Path(path), bundle([self]))

    def __str__(self) -> str:
        return f"{self.table()}\n{self.summary()}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def bundle(results: Sequence[Result]) -> dict[str, Any]:
    """The content of a result file: every entry with its digest, and one of these, for :func:`read`."""
    runs = [{k: v for k, v in result.data.items() if k != "digest"} for result in results]
    runs = [run | {"digest": digest(run)} for run in runs]
    return {"schema": SCHEMA, "digest": digest([run["digest"] for run in runs]), "runs": runs}


def digest(value: Any) -> str:
    """BLAKE2b, 16 bytes in hexadecimal, of the value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def checked(entry: Any, where: str) -> Result:
    """The result of an entry that was read. Its digest, where it has one, is taken off.

    Raises :class:`LifelongError`, which begins with ``where``, if the entry does not follow the schema,
    contradicts itself, or is not what was written.
    """
    whole = load("results.schema.json")
    wrong = fault(entry, whole["$defs"]["run"], where, whole) or _contradiction(entry, where)
    if wrong is not None:
        raise LifelongError(wrong)
    data = {name: value for name, value in entry.items() if name != "digest"}
    if "digest" in entry and entry["digest"] != digest(data):
        raise LifelongError(f"{where} ({printable(data['key'])}) is not what was written")
    return Result(data)


def _contradiction(run: dict[str, Any], at: str) -> str | None:
    """What cannot be, in an entry that follows the schema; None: nothing."""
    T = len(run["tasks"])
    tables = {name: run[name] for name in ("R", "R_task_aware", "R_task_agnostic")}
    for name, table in (tables | run.get("beside", {})).items():
        if [len(row) for row in table] != [T] * T:
            return f"{at}.{printable(name)} is no matrix of {T} x {T}, for {T} tasks"
    if run.get("baseline") is not None and len(run["baseline"]) != T:
        return f"{at}.baseline holds {len(run['baseline'])} numbers, for {T} tasks"
    for name in ("trace", "plasticity"):
        for i, point in enumerate(run.get(name, [])):
            if point["task"] >= T or len(point.get("accuracy", run["tasks"])) != T:
                return f"{at}.{name}[{i}] does not fit {T} tasks"
    confusion = run.get("confusion") or []
    if any(len(row) != len(confusion) for row in confusion):
        return f"{at}.confusion is not square"
    p = run.get("progressive")
    if p is not None:
        names, windows = set(p["scores"]), {len(values) for values in p["windowed"].values()}
        if not {p["name"], p["below"] or p["name"]} <= names:
            return f"{at}.progressive has no scores of {printable(p['below'] or p['name'])}"
        if set(p["windowed"]) != names | {"row"} or len(windows) != 1 or 0 in windows:
            return f"{at}.progressive.windowed is not one list for the rows and each of the scores"
    return None


def read(path: Path) -> list[Result]:
    """The runs in a result file.

    Raises :class:`LifelongError` where it cannot be read, or is not what was written.
    """
    content = _parsed(path)
    try:
        number = content.get("schema") if isinstance(content, dict) else None
        if number != SCHEMA or isinstance(number, bool):
            raise LifelongError(f"it is not a result file of schema {SCHEMA}")
        runs = content.get("runs")
        if not isinstance(runs, list):
            raise LifelongError("it has no list of runs")
        results = [checked(run, f"runs[{i}]") for i, run in enumerate(runs)]
        if "digest" in content and content["digest"] != digest([run.get("digest") for run in runs]):
            raise LifelongError("its runs are not those that were written")
        return results
    except LifelongError as error:
        raise LifelongError(
            f"{path} is damaged or is no result file: {error}; {_remedy(path)}"
        ) from None


def _parsed(path: Path) -> Any:
    """JSON, in which no name comes twice and NaN is none."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
            raise LifelongError(f"it has {printable(twice)[:60]!r} twice in one object")
        return found

    def no_number(name: str) -> Any:
        raise LifelongError(f"it has {name}, which is no JSON")

    try:
        if not path.is_file():
            raise LifelongError(f"there is no file {path}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LifelongError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LifelongError(f"{path} is no text in UTF-8: {_remedy(path)}") from None
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except LifelongError as error:
        why = str(error)
    except RecursionError:
        why = "it is nested too deep"
    except ValueError as error:  # its JSON is broken, or a whole number has thousands of digits
        why = f"it is not JSON ({error})"
    raise LifelongError(f"{path} is damaged or is no result file: {why}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    """How to make the file anew."""
    if path.name == "results.json":
        return f"delete it and run lifelong report {path.parent}: it is collected from runs/*/run.json"
    return "delete it and run the command that made it again"
