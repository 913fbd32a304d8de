"""The figures of a report. Each function draws one; none touches matplotlib's global state.

Every method keeps its colour, marker and line through all figures. The palette is Okabe and Ito's
with a few colours of Paul Tol's, safe for colour-blind readers; markers tell methods apart in grey.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..names import printable, short
from .groups import Entry, Group, Run, forgotten, matrix, mean_over_seeds, sd_over_seeds, so_far
from .words import percent, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1f2933", "#6b7681", "#dde2e7", "#fdfdfc"
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--paper)"}
"""Colours that follow the page's light or dark theme."""

PALETTE = [
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#8a5fbf", "#999933", "#aa4466", "#44aa99", "#a0694b", "#7b8fd4"),
]
MARKERS = "os^DvPX*<>hp"

OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei",
    "Noto Sans Arabic", "Noto Sans Devanagari", "Arial Unicode MS",
)  # fmt: skip
"""Fonts that hold what DejaVu Sans does not: Han, kana, Hangul, Devanagari."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lifelong",
    "font.size": 11,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "hatch.color": GRID,
    "hatch.linewidth": 0.8,
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn, everywhere."""

    color: str
    marker: str
    line: str | tuple = "-"

    @property
    def dot(self) -> str:
        """The marker of a single point: references, whose lines have none, get one too."""
        return {"_": "o", "|": "d"}.get(self.marker, self.marker)


REFERENCE_LOOKS = {
    "joint": Look(INK, "_", (0, (5, 2))),
    "naive": Look(MUTED, "_", (0, (5, 2))),
    "separate": Look(INK, "|", ":"),
    "cumulative": Look(MUTED, "|", ":"),
}


def looks(groups: list[Group]) -> dict[str, Look]:
    """A look for every label, the same in all groups."""
    labels = {e.label: e for group in groups for e in sorted(group.entries, key=lambda e: e.label)}
    found, n = {}, 0
    for label, entry in labels.items():
        if entry.role:
            found[label] = REFERENCE_LOOKS[entry.method]
        else:
            line = "-" if n < len(PALETTE) else "-."
            found[label] = Look(PALETTE[n % len(PALETTE)], MARKERS[n % len(MARKERS)], line)
            n += 1
    return found


@dataclass(frozen=True)
class Plot:
    """A drawn figure: its file name, its formats and what it shows in words."""

    name: str
    svg: str
    png: bytes
    alt: str

    def inline(self) -> str:
        """The SVG for a page: labelled, with ids of its own and in the page's colours."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub("<[^>]*>", self._own, svg)
        return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(printable(self.alt))}" ', 1)

    def _own(self, tag: re.Match[str]) -> str:
        """A tag with ids of this figure's and the page's colours; what is written between tags stays."""
        made = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{self.name}-", tag[0])
        for color, variable in THEME.items():
            made = made.replace(color, variable)
        return made


@contextmanager
def style() -> Iterator[None]:
    """The style of all figures, in force only while one is drawn."""
    from matplotlib import rc_context

    with rc_context(STYLE | {"font.family": fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a PNG has boxes there, an SVG the text
        yield


@cache
def fonts() -> list[str]:
    """What letters are drawn with: those of other scripts where a font of theirs is installed."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in there)]


def draw(name: str, alt: str, make: Callable[[], Figure | None]) -> Plot | None:
    """Draw a figure and render it, the same bytes every time; None where there is nothing."""
    with style():
        figure = make()
        if figure is None:
            return None
        svg, png = io.BytesIO(), io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata=nothing)
        figure.set_layout_engine("none")  # laid out already: the PNG is the same picture
        figure.savefig(png, format="png", dpi=144, metadata={"Software": None})
    return Plot(name, svg.getvalue().decode(), png.getvalue(), alt)


def new(
    width: float = 7.6, height: float = 4.0, panels: int = 1, columns: int = 3, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty figure and the axes of its panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    columns = min(panels, columns)
    grid = figure.subplots(-(-panels // columns), columns, sharex=shared, sharey=shared)
    axes = list(np.ravel(grid))
    for ax in axes[panels:]:
        ax.remove()
    return figure, axes[:panels]


def ticks(n: int, most: int) -> range:
    """At most ``most`` of n places, counted by 1, 2, 5, 10, ...: tasks 5, 10, 15, ..."""
    step = next(s for k in range(9) for s in (10**k, 2 * 10**k, 5 * 10**k) if n <= most * s)
    return range(step - 1, n, step)


def percent_axis(ax: Axes, label: str, low: float | None = None, high: float | None = None) -> None:
    """Shares on the y axis, written as percent."""
    ax.set_ylabel(label)
    ax.set_ylim(low, high)
    ax.yaxis.set_major_formatter(lambda y, _: percent(y, 0))


def task_axis(ax: Axes, names: list[str], label: str) -> None:
    """Tasks on the x axis; with many of them not every one is named."""
    places = ticks(len(names), 15)
    ax.set_xticks(places, [short(names[i]) for i in places])
    ax.set_xlabel(label)
    ax.set_xlim(-0.4, len(names) - 0.6)


def named(label: str) -> str:
    """The name of a method as a figure shows it. A legend would leave out one with a line before it."""
    shown = short(label, 60)
    return f" {shown}" if shown.startswith("_") else shown


def end_labels(ax: Axes, ends: list[tuple[float, str, Look]], height: float) -> None:
    """Name the lines at their right end, pushed apart where they would overlap."""
    low, high = ax.get_ylim()
    gap = 0.2 / height * (high - low)  # 0.2 inches, the height of a line of text, in data units
    ends = sorted(ends, key=lambda end: end[0])
    places = spread([y for y, _, _ in ends], gap, low, high)
    right = ax.get_xlim()[1]
    for (y, label, look), place in zip(ends, places, strict=True):
        ax.annotate(
            named(label),
            (right, y),
            xytext=(1.03, (place - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            color=look.color,
            arrowprops={"arrowstyle": "-", "color": look.color, "lw": 0.8, "shrinkA": 1},
            annotation_clip=False,
        )


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places moved as little as needed to lie at least ``gap`` apart.

    Places that collide become a block about their mean; blocks merge until none collide.
    """
    blocks: list[list[float]] = []  # [sum of wished-for starts, number of places]
    for i, place in enumerate(places):
        blocks.append([place - i * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, n = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += n
    top = high - gap * (len(places) - 1)
    starts = [min(max(total / n, low), max(top, low)) for total, n in blocks for _ in range(int(n))]
    return [start + i * gap for i, start in enumerate(starts)]


def line_height(group: Group) -> float:
    """Room for the labels of all methods."""
    return max(3.8, 0.24 * len(group.entries) + 1.2)


def curves(group: Group, look: dict[str, Look]) -> Figure | None:
    """Average accuracy over the tasks seen so far, after each task; band: sd over seeds."""
    height = line_height(group)
    figure, (ax,) = new(height=height)
    task_axis(ax, group.task_names(), "after learning task")
    ax.set_xlim(-0.25, max(group.length - 1, 0.25))
    percent_axis(ax, "accuracy on tasks so far, %", 0, 1.02)
    ends = []
    for entry in group.entries:
        runs = [so_far(run) for run in entry.runs.values()]
        mean, sd = mean_over_seeds(runs), sd_over_seeds(runs)
        if np.isnan(mean[-1]):
            continue
        ends.append((mean[-1], entry.label, look[entry.label]))
        if len(mean) > 1 and np.isnan(mean[:-1]).all():  # known at the end only: a level
            mean, sd = np.full_like(mean, mean[-1]), np.full_like(sd, np.nan)
        line(ax, mean, look[entry.label], bool(entry.role))
        ax.fill_between(
            range(len(mean)), mean - sd, mean + sd, color=look[entry.label].color, alpha=0.15, lw=0
        )
    if not ends:
        return None
    end_labels(ax, ends, height - 0.7)
    return figure


def progressive(group: Group, look: dict[str, Look]) -> Figure | None:
    """Of streams in the order of time: accuracy on the latest rows, asked before they were learned."""
    shown = group.progressive()
    if not shown:
        return None
    height = line_height(group)
    figure, (ax,) = new(height=height)
    first = shown[0][2]
    bars = {"no-change": Look(MUTED, "o", ":"), "majority": Look(MUTED, "d", (0, (5, 2)))}
    ends, last = [], 0
    for k, (label, name, found) in enumerate(shown):
        drawn = look[label] if name == found["name"] else bars.get(name, Look(MUTED, "s", "-."))
        rows, values = (np.array(found["windowed"][what]) for what in ("row", name))
        ax.plot(rows + 1, values, color=drawn.color, ls=drawn.line)
        ends.append((values[-1], label, drawn))
        last = max(last, rows[-1])
        if name == found["name"]:
            at = np.array(found["drifts"]) + 1
            ax.plot(at, np.full(len(at), 0.02 + 0.03 * k), "|", color=drawn.color, ms=6)
    ax.set_xlim(0, last + 1)
    ax.set_xlabel("rows")
    percent_axis(ax, f"accuracy on the last {first['window']:,} rows, %", 0, 1.02)
    end_labels(ax, ends, height - 0.7)
    return figure


def line(ax: Axes, y: np.ndarray, look: Look, bare: bool, marks: int = 12) -> None:
    """One method's line over the tasks; references have no markers."""
    ax.plot(
        range(len(y)),
        y,
        color=look.color,
        linestyle=look.line,
        marker="" if bare else look.marker,
        markevery=max(1, len(y) // marks),
        clip_on=False,
    )


def positions(trace: list[dict[str, Any]], total: int = 0) -> list[float]:
    """Where evaluations lie on an axis of tasks: the task + the share of its steps done.

    Steps may start anew in each task or count on, up to ``total``. If they count on, a task began
    as long before its first evaluation as the first task did.
    """
    steps: dict[int, list[int]] = {}
    for point in trace:
        steps.setdefault(point["task"], []).append(point["step"])
    firsts, lasts = [s[0] for s in steps.values()], [s[-1] for s in steps.values()]
    if all(last < first for last, first in zip(lasts, firsts[1:], strict=False)):
        before = [0, *lasts]
        starts = [max(b, f - firsts[0]) for b, f in zip(before, firsts, strict=False)]
        ends = [*starts[1:], max(total, *lasts[-1:])] if lasts else []
    else:
        starts, ends = [0] * len(steps), lasts
    return [
        task + (step - start) / max(1, end - start)
        for (task, own), start, end in zip(steps.items(), starts, ends, strict=True)
        for step in own
    ]


def first_task(run: Run) -> dict[float, float]:
    """The accuracy on the first task inside tasks, and at the end of each; {} without a trace."""
    trace = sorted(run.get("trace") or [], key=lambda point: (point["task"], point["step"]))
    places = positions(trace, (run.get("cost") or {}).get("steps") or 0)
    inside = {
        round(x, 4): point["accuracy"][0]
        for x, point in zip(places, trace, strict=True)
        if point["accuracy"] and point["accuracy"][0] is not None
    }
    ends = {i + 1.0: float(x) for i, x in enumerate(matrix(run)[:, 0]) if not np.isnan(x)}
    return inside | ends if inside else {}


def stability(group: Group, look: dict[str, Look]) -> Figure | None:
    """Accuracy on the first task while learning all of them, one panel a method.

    The lowest point after the first task was learned is marked.
    """
    traces = {e.label: [first_task(run) for run in e.runs.values()] for e in group.entries}
    traces = {label: seeds for label, seeds in traces.items() if any(seeds)}
    if not traces:
        return None
    rows = -(-len(traces) // 3)
    figure, axes = new(9.2, 0.9 + 1.9 * rows, len(traces), shared=True)
    for ax, (label, seeds) in zip(axes, traces.items(), strict=True):
        x = np.array(sorted({at for trace in seeds for at in trace}))
        y = np.array([np.mean([trace[at] for trace in seeds if at in trace]) for at in x])
        ax.plot(x, y, color=look[label].color, linewidth=1.3, clip_on=False)
        later = np.flatnonzero(x > 1)
        if len(later):
            lowest = later[y[later].argmin()]
            ax.plot(x[lowest], y[lowest], "o", color=look[label].color, clip_on=False)
            ax.annotate(
                percent(y[lowest]),
                (x[lowest], y[lowest]),
                xytext=(0, -6 if y[lowest] > 0.15 else 6),
                textcoords="offset points",
                ha="center",
                va="top" if y[lowest] > 0.15 else "bottom",
                fontsize=10,
            )
        ax.set_title(named(label), color=look[label].color)
        ax.set(xlim=(0, group.length))
        ends = ticks(group.length, 10)
        ax.set_xticks([end + 1 for end in ends])
        ax.grid(True, axis="x")
        percent_axis(ax, "", 0, 1.02)
    figure.supxlabel("tasks learned", fontsize=11)
    figure.supylabel("accuracy on the first task, %", fontsize=11)
    return figure


def heat_map(values: np.ndarray, names: list[str], title: str, across: str, down: str) -> Figure | None:
    """Shares in square cells, numbered up to 12 × 12; hatched where not measured."""
    if not values.size or np.isnan(values).all():
        return None
    n = len(values)
    side = min(5.0, max(3.2, 1.2 + 0.36 * n))
    figure, (ax,) = new(side, side if n <= 12 else 0.88 * side)
    mesh = _cells(ax, values, 1.2 if n <= 20 else 0)
    places = ticks(n, 20 if n <= 20 else 12)
    shown = [short(names[i], 12) for i in places]
    middles = np.array(places) + 0.5
    turned = max(map(len, shown)) > (3 if n <= 12 else 2)
    ax.set_xticks(middles, shown, rotation=90 * turned)
    ax.set_yticks(middles, shown)
    ax.tick_params(length=0, labelsize=11 if n <= 12 else 9)
    ax.set(title=named(title), xlabel=across, ylabel=down, aspect="equal")
    if n > 12:
        bar = figure.colorbar(mesh, ax=ax, shrink=0.7, format=lambda v, _: percent(v, 0))
        bar.outline.set_visible(False)
        return figure
    _numbers(ax, values, 1 if n <= 5 else 0, 10)
    return figure


def _cells(ax: Axes, values: np.ndarray, line: float) -> Any:
    """Shares as cells, the first row on top, hatched where not measured; ``line``: points between."""
    ax.grid(False)
    ax.patch.set(hatch="////", edgecolor=GRID, linewidth=0)
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values),
        cmap="Blues",
        vmin=0,
        vmax=1,
        rasterized=not line,
        edgecolor=PAPER if line else "none",
        linewidth=line,
    )
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.invert_yaxis()
    return mesh


def _numbers(ax: Axes, values: np.ndarray, digits: int, size: int) -> None:
    """Percent in every cell that was measured."""
    for i, j in zip(*np.nonzero(~np.isnan(values)), strict=True):
        color = "#ffffff" if values[i, j] > 0.55 else "#101820"
        text = percent(values[i, j], digits)
        cell = ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=size, color=color)
        cell.set_in_layout(False)


def timeline(R: np.ndarray, names: list[str], title: str) -> Figure | None:
    """R turned: guard sets down, updates across, the last framed; numbered up to 40 updates."""
    if np.isnan(R).all():
        return None
    n = len(R)
    shown = [short(name, 16) for name in names]
    side = 0.36 if n <= 40 else 14 / n
    width, height = 1.6 + side * n, 1.5 + 0.72 * side * n
    figure, (ax,) = new(max(4.0, width), max(2.4, height))
    _cells(ax, R.T, 1.0 if n <= 40 else 0)
    places = ticks(n, 40)
    middles = np.array(places) + 0.5
    texts = [shown[i] for i in places]
    ax.set_xticks(middles, texts, rotation=90 * (max(map(len, texts)) > 3))
    ax.set_yticks(middles, texts)
    ax.tick_params(length=0, labelsize=9)
    ax.set(title=named(title), xlabel="after", ylabel="guard set")
    ax.plot([n - 1, n, n, n - 1, n - 1], [0, 0, n, n, 0], color=INK, linewidth=1.4, clip_on=False)
    if n <= 40:
        _numbers(ax, R.T, 0, 8)
    return figure


def forgetting(group: Group, look: dict[str, Look]) -> Figure | None:
    """The forgetting of each task: dots side by side, or lines where there are many tasks."""
    figure, (ax,) = new(height=max(3.6, 0.25 * len(group.entries) + 0.8))
    names = group.task_names()
    many = len(names) > 13
    measured = {
        e.label: mean_over_seeds(forgotten(run) for run in e.runs.values()) for e in group.entries
    }
    measured = {label: y for label, y in measured.items() if not np.isnan(y).all()}
    if not measured:
        return None
    for k, (label, y) in enumerate(measured.items()):
        offset = 0 if many else 0.7 * ((k + 0.5) / len(measured) - 0.5)
        x, one = np.arange(len(y)) + offset, look[label]
        if not many:
            ax.vlines(x, 0, y, color=one.color, linewidth=1.2, alpha=0.5)
        ax.plot(
            x,
            y,
            color=one.color,
            marker=one.dot,
            markevery=max(1, len(y) // 12),
            markerfacecolor=PAPER if one in REFERENCE_LOOKS.values() else one.color,
            linestyle=one.line if many else "none",
            label=named(label),
        )
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", length=0)
    task_axis(ax, names[:-1], "task")
    better = min(np.nanmin(y) for y in measured.values()) < 0
    percent_axis(ax, "forgetting, points", None if better else 0)
    figure.legend(loc="outside right upper", fontsize=10)
    return figure


def cost(group: Group, look: dict[str, Look]) -> Figure | None:
    """Seconds against accuracy; the marker's area is the replay memory, hollow where none."""
    figure, (ax,) = new(height=max(3.8, 0.25 * len(group.entries) + 0.8))
    points = [
        (e, seconds, accuracy, e.mean("memory_bytes", "cost") or 0.0)
        for e in group.entries
        if (seconds := e.mean("seconds", "cost")) is not None
        and (accuracy := e.mean("average_accuracy")) is not None
    ]
    if not points:
        return None
    largest = max(memory for *_, memory in points) or 1.0
    for entry, seconds, accuracy, memory in sorted(points, key=lambda point: -point[3]):
        one = look[entry.label]
        ax.scatter(
            [seconds],
            [accuracy],
            s=45 + 300 * memory / largest,
            marker=one.dot,
            facecolor=one.color if memory else PAPER,
            edgecolor=one.color if not memory else PAPER,
            linewidth=1.6 if not memory else 0.8,
            clip_on=False,
            zorder=3,
        )
    for entry, _, _, memory in points:
        one = look[entry.label]
        face = one.color if memory else PAPER
        name = f"{named(entry.label)}, {size(memory)}"
        ax.plot([], [], one.dot, color=one.color, markerfacecolor=face, label=name)
    times = [seconds for _, seconds, _, _ in points]
    if min(times) > 0 and max(times) > 10 * min(times):
        ax.set_xscale("log")
        ax.margins(x=0.1)
    else:
        ax.set_xlim(0, 1.1 * max(times))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_xlabel("seconds")
    percent_axis(ax, "average accuracy, %", 0, 1.02)
    figure.legend(loc="outside right upper", fontsize=10, title="method, replay memory")
    return figure


def plasticity(group: Group, look: dict[str, Look]) -> Figure | None:
    """Dead units, effective rank and weight norm after each task."""
    kinds = {
        "dead_units": "dead units, %",
        "effective_rank": "effective rank",
        "weight_norm": "weight norm",
    }

    def over_tasks(entry: Entry, kind: str) -> np.ndarray:
        rows = np.full((len(entry.runs), group.length), np.nan)
        for row, run in zip(rows, entry.runs.values(), strict=True):
            for point in run.get("plasticity") or []:
                value = point.get(kind)
                row[point["task"]] = np.nan if value is None else value
        return mean_over_seeds(rows)

    lines = {kind: [(e, over_tasks(e, kind)) for e in group.entries] for kind in kinds}
    shown = [k for k in kinds if any(not np.isnan(y).all() for _, y in lines[k])]
    if not shown:
        return None
    figure, axes = new(9.2, max(3.2, 0.25 * len(group.entries) + 0.8), len(shown))
    for ax, kind in zip(axes, shown, strict=True):
        ax.set_title(kinds[kind])
        for entry, y in lines[kind]:
            line(ax, y, look[entry.label], bool(entry.role), marks=5)
        places = ticks(group.length, 7)
        ax.set_xticks(places, [str(i + 1) for i in places])
        ax.set_xlabel("after task")
        ax.set_ylim(bottom=min(0, ax.dataLim.ymin))
        if kind == "dead_units":
            ax.yaxis.set_major_formatter(lambda y, _: percent(y, 0))
    for entry in group.entries:
        one = look[entry.label]
        marker = "" if entry.role else one.marker
        axes[0].plot(
            [], [], color=one.color, linestyle=one.line, marker=marker, label=named(entry.label)
        )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=10)
    return figure
