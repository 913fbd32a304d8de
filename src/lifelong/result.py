"""Results: what one run measured, as the JSON of a result file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import metrics
from .errors import LifelongError
from .files import read_json, write_json

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
        return "\n".join(lines)

    def table(self) -> str:
        """R in percent, a line for each task learned."""
        names = [str(j + 1) for j in range(len(self.R))]
        lines = ["after \\ on" + "".join(f"{name:>7}" for name in names)]
        for i, row in enumerate(self.R):
            cells = "".join("      -" if np.isnan(v) else f"{100 * v:7.1f}" for v in row)
            lines.append(f"{names[i]:>10}{cells}")
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


def bundle(results: Sequence[Result]) -> dict[str, Any]:
    """The content of a result file."""
    return {"schema": SCHEMA, "runs": [result.data for result in results]}


def read(path: Path) -> list[Result]:
    """The runs in a result file."""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise LifelongError(f"{path} is not a result file of schema {SCHEMA}")
    return [Result(run) for run in content["runs"]]
