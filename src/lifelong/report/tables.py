"""The comparison as CSV, LaTeX or Markdown; each format shows names as they are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..errors import one_of
from ..names import printable
from .groups import Group, groups
from .statistics import Interval, Row, rows
from .words import size

FORMS = ("latex", "csv", "markdown")


def table(results: dict[str, Any], form: str) -> str:
    """The rows of the comparison, those of each group of comparable runs in a table of their own.

    LaTeX and Markdown hold percent, to a tenth; CSV shares, as they are, and the group in a column.

    Args:
        results: the content of a result file.
        form: one of :data:`FORMS`.

    Raises:
        LifelongError: for another form, and where there are no runs.
    """
    one_of("table", form, FORMS)
    found = groups(results)
    if form == "csv":
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(records(results))
        return lines.getvalue()
    return "\n".join((latex if form == "latex" else markdown)(group) for group in found)


def records(results: dict[str, Any]) -> list[list[Any]]:
    """The header and the rows of the CSV: what :class:`Row` holds, an interval as mean, low and high."""
    found = [row for group in groups(results) for row in rows(group)]
    return [
        [name for field in fields(Row) for name in _names(field.name)],
        *(
            [v for field in fields(Row) for v in _values(field.name, getattr(row, field.name))]
            for row in found
        ),
    ]


INTERVALS = ("to_best", "to_naive", "to_joint")


def _names(field: str) -> list[str]:
    return [field, f"{field}_low", f"{field}_high"] if field in INTERVALS else [field]


def _values(field: str, value: Any) -> list[Any]:
    if field in INTERVALS:
        held: Interval | None = value
        value = [None] * 3 if held is None else [held.mean, held.low, held.high]
    else:
        value = [value]
    return ["" if v is None else printable(v) if isinstance(v, str) else v for v in value]


def latex(group: Group) -> str:
    """A ``tabular``; it needs the package booktabs."""
    header, lines = _cells(group, in_latex, r"\pm", math="$")
    body = [" & ".join(line) + r" \\" for line in lines]
    return "\n".join(
        [
            f"% {printable(group.title)}; needs \\usepackage{{booktabs}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def markdown(group: Group) -> str:
    """A table of GitHub's Markdown, below the group's title."""
    header, lines = _cells(group, in_markdown, "±")
    rule = ["---", *["---:"] * (len(header) - 1)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])
    return f"{in_markdown(group.title)}\n\n{body}\n"


def _cells(
    group: Group, escape: Callable[[str], str], pm: str, math: str = ""
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows; columns that hold nothing are left out."""

    def number(text: str) -> str:
        return f"{math}{text}{math}"

    def points(share: float | None, sign: str = "") -> str:
        return "" if share is None else number(f"{100 * share:{sign}.1f}")

    def interval(held: Interval | None) -> str:
        if held is None:
            return ""
        inside = f"{100 * held.mean:+.1f}"
        if held.low is not None and held.high is not None:
            inside += f" [{100 * held.low:+.1f}, {100 * held.high:+.1f}]"
        return number(inside)

    columns: dict[str, list[str]] = {}
    for row in rows(group):
        spread = "" if row.sd is None else f" {pm} {100 * row.sd:.1f}"
        average = row.average_accuracy
        cells = {
            "method": escape(row.label),
            "seeds": str(row.seeds),
            group.score: "" if average is None else number(f"{100 * average:.1f}{spread}"),
            "row by row": points(row.row_by_row),
            "forgetting": points(row.forgetting),
            "BWT": points(row.bwt, "+"),
            "vs naive (95 %)": interval(row.to_naive) if row.role != "lower bound" else "",
            "seconds": "" if row.seconds is None else f"{row.seconds:.1f}",
            "memory": "" if row.memory_bytes is None else size(row.memory_bytes),
        }
        for name, cell in cells.items():
            columns.setdefault(name, []).append(cell)
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    lines = [
        [cell or "--" * bool(math) or "–" for cell in line] for line in zip(*kept.values(), strict=True)
    ]
    return [escape(name) for name in kept], lines


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
r"""What LaTeX would act on. ``[`` and ``*`` are an argument of the ``\\`` before them."""


def in_latex(text: str) -> str:
    """The text as LaTeX shows it."""
    return "".join(LATEX.get(c, c) for c in printable(text)).replace("--", "-{}-").replace("--", "-{}-")


def in_markdown(text: str) -> str:
    """The text as GitHub's Markdown shows it, in a cell of a table."""
    return re.sub(r"[\\`*_{}\[\]<>#|~$&!@]|:(?=//)|(?<=www)\.|^[-+=.)]", r"\\\g<0>", printable(text))
