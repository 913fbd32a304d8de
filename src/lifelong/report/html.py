"""The page: one HTML file that needs nothing else, and its figures as files beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write as write_file
from ..language import language, tr
from ..metrics import PLAIN
from ..names import printable, short
from . import figures
from .figures import Look, Plot
from .groups import Entry, Group, Run, flatten, groups, matrix
from .statistics import Interval, Row, interval, paired, rows
from .words import DASH, count, listed, percent, signed, size, verdict_of

METRICS = {
    "average_accuracy": "average accuracy",
    "average_incremental_accuracy": "average incremental accuracy",
    "forgetting": "forgetting",
    "bwt": "BWT",
    "fwt": "FWT",
    "learning_accuracy": "learning accuracy",
    "min_acc": "min-ACC",
    "wc_acc": "WC-ACC",
    "balanced_accuracy": "balanced accuracy",
    "prequential_accuracy": "prequential accuracy",
    "area_under_anytime_accuracy": "area under anytime accuracy",
}

BESIDE = {
    "nll": ("NLL, nats", "mean of −log p(y)"),
    "ece": (
        "ECE, %",
        "Σ<sub>m</sub> |B<sub>m</sub>|/n · |accuracy − confidence in B<sub>m</sub>|, 15 bins of equal"
        " width (Guo 2017)",
    ),
    "micro_f1": ("micro F1, %", "2 TP / (2 TP + FP + FN) over all labels"),
    "macro_f1": ("macro F1, %", "the mean of each label's own F1"),
    "exact_match": ("exact match, %", "the share of samples with no label wrong"),
    "r2": ("R²", "1 − Σ (y − z)² / Σ (y − ȳ)²"),
    "rmse": ("RMSE", "√ of the mean of (y − z)²"),
    "mae": ("MAE", "the mean of |y − z|"),
}
"""What an objective measures beside R, at the end: its heading and its formula."""

FORMULAS = {
    "Average accuracy": (
        "A<sub>T</sub> = 1/T · Σ<sub>j≤T</sub> R[T, j]",
        "The accuracy at the end, each task counting the same (Lopez-Paz &amp; Ranzato 2017).",
    ),
    "Average incremental accuracy": (
        "1/T · Σ<sub>i≤T</sub> A<sub>i</sub>, with A<sub>i</sub> = 1/i · Σ<sub>j≤i</sub> R[i, j]",
        "The mean of the curve of the accuracy on the tasks so far (Rebuffi 2017).",
    ),
    "Forgetting": (
        "1/(T−1) · Σ<sub>j&lt;T</sub> ( max<sub>l&lt;T</sub> R[l, j] − R[T, j] )",
        "From the best it ever was to the end; lower is better (Chaudhry 2018). "
        "Some libraries take the first value, R[j, j], instead of the best.",
    ),
    "Backward transfer, BWT": (
        "1/(T−1) · Σ<sub>j&lt;T</sub> ( R[T, j] − R[j, j] )",
        "Negative: later tasks harm earlier ones (Lopez-Paz &amp; Ranzato 2017; the paper divides"
        " by T−1, its code by T).",
    ),
    "Forward transfer, FWT": (
        "1/(T−1) · Σ<sub>1&lt;j</sub> ( R[j−1, j] − b<sub>j</sub> )",
        "What is known of a task before it is learned; b<sub>j</sub> is the accuracy of the"
        " untrained model (Lopez-Paz &amp; Ranzato 2017).",
    ),
    "Learning accuracy": (
        "1/T · Σ<sub>j</sub> R[j, j]",
        "How well each task is learned at first (Riemer 2019): a method can avoid forgetting by"
        " not learning.",
    ),
    "min-ACC": (
        "1/(T−1) · Σ<sub>j&lt;T</sub> min<sub>n</sub> A(j, n)",
        "The lowest accuracy A(j, n) of task j at any evaluation n after it was learned, inside"
        " tasks too: it shows the stability gap (De Lange 2023).",
    ),
    "WC-ACC, worst-case accuracy": (
        "1/T · R[T, T] + (1 − 1/T) · min-ACC",
        "What can be relied on: the last task as it is, the earlier ones at their worst"
        " (De Lange 2023).",
    ),
    "Balanced accuracy": (
        "1/C · Σ<sub>c</sub> recall<sub>c</sub>",
        "Each of the C classes counts the same, at the end.",
    ),
    "Prequential accuracy": (
        "1/N · Σ<sub>n</sub> [ prediction of sample n before learning it is right ]",
        "Test, then train: for streams without tasks (Gama 2013).",
    ),
    "Area under anytime accuracy": (
        "mean over all evaluations of the accuracy on what was seen so far",
        "Also called A<sub>AUC</sub> (Koh 2022): a model may be asked at any time.",
    ),
    "Share of the gap closed": (
        "(A − A<sub>naive</sub>) / (A<sub>joint</sub> − A<sub>naive</sub>)",
        "0 % is as bad as learning with no care for the past, 100 % as good as learning everything"
        " at once. Not given where joint is not known to be above naive (one seed, or an interval that"
        " holds zero), for a method that is not between the two, and for linear learners.",
    ),
    "95 % interval": (
        "mean(d) ± t<sub>0.975, n−1</sub> · sd(d) / √n",
        "d: the differences between two methods with the same seed, n: the number of seeds. If the"
        " interval holds zero the two are not distinguishable. Not corrected for the number of"
        " methods. ± after an accuracy is the standard deviation over seeds (n − 1).",
    ),
}


def write(results: dict[str, Any], folder: Path) -> Path:
    """Write ``folder/report.html`` and ``folder/figures/*``; returns the page's path.

    ``folder`` may also be the page's own path, if it ends in ``.html``. Raises :class:`LifelongError`
    where it cannot be written.
    """
    html, plots = page(results)
    path = Path(folder)
    if path.suffix != ".html":
        path /= "report.html"
    for plot in plots:
        write_file(path.parent / "figures" / f"{plot.name}.svg", plot.svg.encode())
        write_file(path.parent / "figures" / f"{plot.name}.png", plot.png)
    write_file(path, html.encode())
    return path


def safe(value: object) -> str:
    """Anything from a result as HTML: what a browser would act on is shown."""
    return escape(printable(str(value)))


def page(results: dict[str, Any]) -> tuple[str, list[Plot]]:
    """The whole page, and the figures in it."""
    found = groups(results)
    look = figures.looks(found)
    sections = [
        Section(group, look, f"{n}-" if len(found) > 1 else "") for n, group in enumerate(found, 1)
    ]
    names = [group.title for group in found] if len(found) == 1 else [g.name for g in found]
    title = f"Report: {', '.join(dict.fromkeys(names))}"
    bodies = [section.body(heading=len(found) > 1) for section in sections]
    css = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    html = f"""<!DOCTYPE html>
<html lang="{language()}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="lifelong">
<title>{safe(title)}</title>
<style>
{css}</style>
</head>
<body>
<main>
<header>
<h1>{safe(title)}</h1>
{"".join(_what(group) for group in found)}{_other_data(found)}
</header>
<section class="verdict" id="verdict" aria-label="Verdict">
{"".join(_verdict(group) for group in found)}
</section>
<nav aria-label="Contents">
{_contents(sections, len(found) > 1)}
</nav>
{"".join(bodies)}
{_formulas()}
{_reproduce(found)}
</main>
</body>
</html>
"""
    return html, [plot for section in sections for plot in section.plots]


def _what(group: Group) -> str:
    parts = [
        count(len(group.entries), "method"),
        count(len(group.seeds), "seed"),
        count(group.length, "task"),
        f"output space: {group.output_space}",
    ]
    return f'<p class="what">{safe(" · ".join([group.title, *parts]))}</p>\n'


def _other_data(found: list[Group]) -> str:
    if not any(group.other_data for group in found):
        return ""
    return (
        '<p class="note">Data of the same name that are told apart by their fingerprint hold other rows,'
        " or the same rows read in another way: they are not compared.</p>\n"
    )


def _verdict(group: Group) -> str:
    return f"<p>{_prose(safe(verdict_of(group)))}</p>\n"


def _prose(html: str) -> str:
    """No line may end between a number and its percent sign."""
    return html.replace(" %", "&nbsp;%")


def _contents(sections: list[Section], several: bool) -> str:
    links = []
    for section in sections:
        if several:
            links.append((f"{section.prefix}group", section.group.title))
        else:
            links += section.headings
    links += [("formulas", tr("What the numbers mean")), ("reproduce", tr("How to reproduce"))]
    return "\n".join(f'<a href="#{anchor}">{safe(text)}</a>' for anchor, text in links)


def table(
    header: list[str],
    body: list[list[str]],
    caption: str = "",
    marks: list[str] | None = None,
    css: str = "",
) -> str:
    """A table of cells that are HTML already; columns that hold nothing are left out."""
    kept = [k for k in range(len(header)) if k == 0 or any(row[k] != DASH for row in body)]
    head = "".join(f'<th scope="col">{tr(header[k])}</th>' for k in kept)
    lines = []
    for row, mark in zip(body, marks or [""] * len(body), strict=True):
        cells = "".join(f"<td>{row[k]}</td>" for k in kept[1:])
        opening = f'<tr class="{mark}">' if mark else "<tr>"
        lines.append(f'{opening}<th scope="row">{row[0]}</th>{cells}</tr>\n')
    return (
        f'<div class="scroll" tabindex="0"><table class="{css}">'
        + (f"<caption><span>{_prose(caption)}</span></caption>" if caption else "")
        + f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table></div>\n"
    )


def spread(mean: float | None, sd: float | None) -> str:
    """As in "91.2 ± 0.4" in percent."""
    return percent(mean) + (f" ± {percent(sd)}" if sd is not None else "")


def gap(x: Interval | None) -> str:
    """A paired difference with its interval beneath."""
    if x is None:
        return DASH
    if x.low is None or x.high is None:
        return f"{signed(x.mean)}<small>{'one seed' if x.n == 1 else 'on every seed'}</small>"
    return f"{signed(x.mean)}<small>{signed(x.low)} to {signed(x.high)}</small>"


@dataclass
class Section:
    """What is shown of one group of comparable runs."""

    group: Group
    look: dict[str, Look]
    prefix: str

    def __post_init__(self) -> None:
        self.plots: list[Plot] = []
        self.headings: list[tuple[str, str]] = []

    def body(self, heading: bool) -> str:
        """All parts; those with nothing to show are left out."""
        parts = [
            ("comparison", "Comparison", self.comparison),
            ("curves", "Accuracy while learning", self.curves),
            ("progressive", "Row by row, in the order of time", self.progressive),
            ("timeline", "Every guard set after every update", self.timeline)
            if self.group.updated
            else ("matrices", "Accuracy on every task after every task", self.matrices),
            ("forgetting", "Forgetting, task by task", self.forgetting),
            ("cost", "Cost", self.cost),
            ("awareness", "Knowing the task", self.awareness),
            ("classes", "Classes", self.classes),
            ("plasticity", "Plasticity", self.plasticity),
        ]
        html = []
        if heading:
            html.append(f'<h2 class="group" id="{self.prefix}group">{safe(self.group.title)}</h2>')
        if self.group.updated:
            html.append(f'<p class="note">{_UPDATED}</p>')
        if self.group.score != "accuracy":
            html.append(f'<p class="note">Accuracy stands for {safe(self.group.score)} here.</p>')
        for anchor, title, make in parts:
            if content := make():
                anchor = f"{self.prefix}{anchor}"
                self.headings.append((anchor, tr(title)))
                html.append(f'<section>\n<h2 id="{anchor}">{tr(title)}</h2>\n{content}</section>')
        return "\n".join(html)

    # Figures

    def figure(
        self, name: str, alt: str, make: Callable[[], Any], caption: str = "", shrink: float = 0.85
    ) -> str:
        """Draw a figure, keep it for the files, and give its HTML; "" where there is none."""
        plot = figures.draw(f"{self.prefix}{name}", alt, make)
        if plot is None:
            return ""
        self.plots.append(plot)
        svg = plot.inline().replace("<svg ", f'<svg style="min-width:{shrink * _width(plot):.0f}pt" ', 1)
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        return f'<figure><div class="scroll" tabindex="0">{svg}</div>{below}</figure>\n'

    def small_figures(self, kind: str, one: Callable[[Entry], tuple[str, Any]]) -> str:
        """The same figure for every method, side by side."""
        made, first = [], len(self.plots)
        for n, entry in enumerate(self.group.entries, 1):
            alt, make = one(entry)
            made.append(self.figure(f"{kind}-{n}-{_slug(entry.method)}", alt, make, shrink=0.9))
        if not any(made):
            return ""
        width = 0.9 * max(_width(plot) for plot in self.plots[first:])
        return f'<div class="grid" style="--width:{width:.0f}pt">\n{"".join(made)}</div>\n'

    # Parts

    def name(self, entry: Entry | Row) -> str:
        """The method's name behind a dot of its colour; references are rings."""
        color = figures.THEME.get(self.look[entry.label].color, self.look[entry.label].color)
        fill = "transparent" if entry.role else color
        role = f"<small>{entry.role}</small>" if entry.role else ""
        dot = f'<i class="dot" style="border-color:{color};background:{fill}"></i>'
        return f'<span class="name">{dot}{escape(short(entry.label))}{role}</span>'

    def marks(self) -> list[str]:
        """The class of each method's row."""
        best = self.group.contenders[:1]
        return [
            "bound" if e.role else "best" if e in best and len(self.group.entries) > 1 else ""
            for e in self.group.entries
        ]

    def comparison(self) -> str:
        header = [
            "method",
            "seeds",
            "average accuracy, %",
            "row by row, %",
            "forgetting",
            "BWT",
            "minus naive",
            "minus joint",
            "minus the best",
            "share of the gap naive → joint closed",
        ]
        body = [
            [
                self.name(row),
                str(row.seeds),
                spread(row.average_accuracy, row.sd),
                percent(row.row_by_row),
                percent(row.forgetting),
                signed(row.bwt),
                gap(row.to_naive),
                gap(row.to_joint),
                self.to_best(row),
                self.closed(row.gap_closed),
            ]
            for row in rows(self.group)
        ]
        paired_note = (
            " Differences are paired by seed, in points of average accuracy, with their 95 %"
            " interval beneath; one seed, or seeds that change nothing, give no interval."
            if len(self.group.entries) > 1
            else ""
        )
        caption = (
            f"Output space: {safe(self.group.output_space)}. Averages over seeds"
            f"{', ± standard deviation' if len(self.group.seeds) > 1 else ''}.{paired_note}"
        )
        return table(header, body, caption, self.marks()) + self.metrics()

    def to_best(self, row: Row) -> str:
        alike = row.to_best is not None and row.to_best.distinguishable is False
        return gap(row.to_best) + ("<small>not distinguishable</small>" if alike else "")

    def closed(self, share: float | None) -> str:
        if share is None:
            return DASH
        width = 100 * min(1, max(0, share))
        return f'{percent(share, 0)} %<span class="bar" style="--share:{width:.0f}%"></span>'

    def metrics(self) -> str:
        """All metrics; transfer is signed."""
        body = []
        for e in self.group.entries:
            row = [self.name(e)]
            for metric in METRICS:
                show = signed if metric in ("bwt", "fwt") else percent
                sd = e.sd(metric)
                beneath = f"<small>± {percent(sd)}</small>" if sd is not None else ""
                row.append(show(e.mean(metric)) + beneath)
            body.append(row)
        content = table(["method", *METRICS.values()], body, "", self.marks())
        note = f'<p class="note">{_FORMULA_LINK}</p>\n'
        return f"<h3>All metrics, %</h3>\n{content}{note}{self.beside()}"

    def beside(self) -> str:
        """What the objective measures beside R, with its formulas."""
        entries = self.group.entries
        shown = {k: v for k, v in BESIDE.items() if any(e.mean(k) is not None for e in entries)}

        def cell(entry: Entry, name: str) -> str:
            value = entry.mean(name)
            return f"{value:.3f}" if name in PLAIN and value is not None else percent(value)

        body = [[self.name(e), *(cell(e, name) for name in shown)] for e in entries]
        content = table(["method", *(head for head, _ in shown.values())], body, "", self.marks())
        said = "; ".join(f"{head.partition(',')[0]}: {formula}" for head, formula in shown.values())
        return f'{content}<p class="note">{said}.</p>\n' if shown else ""

    def curves(self) -> str:
        names = ", ".join(
            f"{e.name} {percent(e.mean('average_accuracy'))} %" for e in self.group.entries
        )
        bounds = [f"{e.name} ({e.role})" for e in self.group.entries if "bound" in e.role]
        dashed = f" Dashed: {safe(listed(bounds))}." if bounds else ""
        band = " Band: standard deviation over seeds." if len(self.group.seeds) > 1 else ""
        gap = self.figure(
            "inside-tasks",
            "Accuracy on the first task while learning all tasks, one panel a method.",
            lambda: figures.stability(self.group, self.look),
            "Accuracy on the first task, measured inside tasks as well, mean over seeds; the lowest"
            " point after it was learned is marked. A dip right after a task begins that later"
            " recovers is the stability gap: accuracies taken at the end of tasks hide it"
            " (De Lange 2023).",
        )
        return (
            self.figure(
                "curves",
                f"Average accuracy over the tasks seen so far, after each task. Finally: {names}.",
                lambda: figures.curves(self.group, self.look),
                f"Average accuracy over the tasks seen so far, after each task.{dashed}{band}",
            )
            + gap
        )

    def progressive(self) -> str:
        """Every row a question before it is a lesson; beside what needs no learning."""
        names = {e.label: self.name(e) for e in self.group.entries}
        body = []
        for label, who, found in self.group.progressive():
            s = found["scores"][who]
            kappas = [f"{s[k]:.3f}" if s[k] is not None else DASH for k in _KAPPAS]
            drifts = str(len(found["drifts"])) if who == found["name"] else DASH
            at_once = safe(found["chunk"]) if who == found["name"] else DASH
            body.append(
                [names.get(label, safe(short(label))), percent(s["accuracy"]), *kappas, drifts, at_once]
            )
        figure = self.figure(
            "progressive",
            "Accuracy on the latest rows, each predicted before it was learned.",
            lambda: figures.progressive(self.group, self.look),
            "Accuracy on the latest rows, each predicted before it was learned; the first seed of each"
            " method. Marks at the foot: where its errors had risen (Page-Hinkley test).",
        )
        header = ["method", "accuracy, %", "kappa", "kappa-temporal", "drifts", "rows asked at once"]
        note = (
            '<p class="note">no-change repeats the last label known, majority gives the most frequent'
            " so far; an answer before any label is known is wrong. Kappa is above chance,"
            " kappa-temporal above no-change: below zero, repeating the last label does better"
            " (Žliobaitė 2015).</p>\n"
        )
        return figure + table(header, body) + note if body else ""

    def matrices(self) -> str:
        names = self.group.task_names()

        def one(entry: Entry) -> tuple[str, Any]:
            R = entry.R()
            alt = f"{entry.name}: accuracy on each task (columns) after learning each task (rows)."
            return alt, lambda: figures.heat_map(R, names, entry.label, "on task", "after task")

        seeds = ", mean over seeds" if len(self.group.seeds) > 1 else ""
        made = self.small_figures("matrix", one)
        note = (
            f'<p class="note">R[i, j]: the accuracy in percent on task j (column) after learning'
            f" task i (row){seeds}. The diagonal is what was just learned; left of it, what is left"
            " of earlier tasks; right of it, tasks not yet learned. Hatched: not measured.</p>\n"
        )
        return note + made if made else ""

    def timeline(self) -> str:
        """Of models that were updated: guard sets down, updates across, and where each stands now."""
        tasks = self.group.task_names(limit=10**6, longest=40)
        made = []
        for n, entry in enumerate(self.group.entries, 1):
            R = entry.R()
            made.append(
                self.figure(
                    f"timeline-{n}-{_slug(entry.method)}",
                    f"{entry.name}: accuracy on each guard set (rows) after each update (columns).",
                    functools.partial(figures.timeline, R, tasks, entry.label),
                )
            )
            made.append(self.standing(R, tasks))
        note = (
            '<p class="note">The accuracy in percent on each guard set (row) after each update'
            " (column), in the order of time; the last column is how the model is now. A cell left of"
            " a guard set's own update was measured before its data was learned.</p>\n"
        )
        return note + "".join(made)

    def standing(self, R: np.ndarray, tasks: list[str]) -> str:
        """Each guard set: when its data was learned, at its best, and now."""
        body = []
        for j, name in enumerate(tasks):
            column = R[j:, j]
            best = float(np.nanmax(column)) if not np.isnan(column).all() else None
            now = None if np.isnan(R[-1, j]) else float(R[-1, j])
            change = None if best is None or now is None else now - best
            body.append(
                [safe(name), percent(float(R[j, j])), percent(best), percent(now), signed(change)]
            )
        header = ["guard set", "when learned, %", "best, %", "now, %", "now minus best"]
        return table(header, body)

    def forgetting(self) -> str:
        values = ", ".join(
            f"{e.name} {percent(mean)}"
            for e in self.group.entries
            if (mean := e.mean("forgetting")) is not None
        )
        return self.figure(
            "forgetting",
            f"Forgetting of each task at the end. On average: {values or 'not measured'}.",
            lambda: figures.forgetting(self.group, self.look),
            "From the best accuracy a task ever had to the one at the end, in points; lower is"
            " better, below zero the task got better later. The last task cannot be forgotten yet.",
        )

    def cost(self) -> str:
        def plain(x: float | None, digits: int = 0) -> str:
            return DASH if x is None else f"{x:,.{digits}f}".replace(",", " ")

        header = [
            "method",
            "average accuracy, %",
            "seconds",
            "samples / s",
            "peak memory",
            "replay memory",
            "parameters",
            "parameters added",
        ]
        body = []
        for e in self.group.entries:
            of = {name: e.mean(name, "cost") for name in _COSTS}
            seconds = of["seconds"]
            body.append(
                [
                    self.name(e),
                    percent(e.mean("average_accuracy")),
                    plain(seconds, 2 if (seconds or 0) < 1 else 1 if (seconds or 0) < 100 else 0),
                    plain(of["samples_per_second"]),
                    size(of["peak_memory_bytes"]),
                    size(of["memory_bytes"]),
                    plain(of["parameters"]),
                    plain(of["parameters_added"]),
                ]
            )
        machines = dict.fromkeys(_hardware(run) for run in self.group.runs)
        caption = "Averages over seeds."
        if len(machines) > 1:
            caption += " The runs come from several machines: compare their times with care."
        return self.figure(
            "cost",
            "Seconds of training against average accuracy, one marker a method.",
            lambda: figures.cost(self.group, self.look),
            "Up and to the left is better. The marker's area is the replay memory; hollow: none.",
        ) + table(header, body, caption, self.marks())

    def awareness(self) -> str:
        """Task-aware beside task-agnostic accuracy."""

        def final(entry: Entry, kind: str) -> dict[int, float]:
            name = f"R_task_{kind}"
            last = {seed: matrix(run, name)[-1].mean() for seed, run in entry.runs.items()}
            return {seed: float(mean) for seed, mean in last.items() if not np.isnan(mean)}

        body, found = [], False
        for e in self.group.entries:
            aware, agnostic = final(e, "aware"), final(e, "agnostic")
            found = found or bool(aware or agnostic)
            cells = [percent(interval(x.values()).mean) if x else DASH for x in (aware, agnostic)]
            body.append([self.name(e), *cells, gap(paired(aware, agnostic))])
        header = ["method", "task-aware, %", "task-agnostic, %", "difference"]
        note = (
            '<p class="note">Average accuracy at the end if the task of each sample is given'
            " (only the task's own classes can be answered), and if it is not. A large difference"
            " says that tasks are told apart badly, not that they are forgotten.</p>\n"
        )
        return note + table(header, body, "", self.marks()) if found else ""

    def classes(self) -> str:
        """Recall of each class, and who is taken for whom."""
        recalls = [entry.recall() for entry in self.group.entries]
        classes = self.group.classes()
        names = [name for name in classes if any(name in recall for recall in recalls)]
        parts = []
        if names:
            header = ["class", *(self.name(e) for e in self.group.entries)]
            caption = "Recall of each class at the end, %."
            if len(names) > _CLASSES:
                caption = (
                    f"Recall at the end, %, of the {_CLASSES} classes, of {len(names):,}, where it is"
                    " lowest on average; all are in the result file."
                )
                known = {n: [r[n] for r in recalls if n in r] for n in names}
                names = sorted(names, key=lambda n: sum(known[n]) / len(known[n]))[:_CLASSES]
            body = [
                [escape(short(name)), *(percent(recall.get(name)) for recall in recalls)]
                for name in names
            ]
            content = table(header, body, caption)
            parts.append(_folded("Recall of each class", content, len(names) > 20))
        if len(classes) <= 20:
            parts.append(self.confusions(classes))
        return "".join(parts)

    def confusions(self, classes: list[str]) -> str:
        def one(entry: Entry) -> tuple[str, Any]:
            shares = entry.confusion(classes)
            alt = f"{entry.name}: share of each true class (rows) answered as each class (columns)."
            return alt, lambda: figures.heat_map(shares, classes, entry.label, "answered", "true")

        made = self.small_figures("confusion", one)
        if not made:
            return ""
        note = (
            '<p class="note">Share in percent of each true class (row) answered as each class'
            " (column), after the last task, over all seeds.</p>\n"
        )
        return f"<h3>Confusion</h3>\n{note}{made}"

    def plasticity(self) -> str:
        return self.figure(
            "plasticity",
            "Dead units, effective rank of the features and weight norm after each task.",
            lambda: figures.plasticity(self.group, self.look),
            "The ability to go on learning: a growing share of dead units, a falling effective rank"
            " of the features and growing weights are signs of its loss.",
        )


_UPDATED = (
    "These models were updated: from the first update on, each task is judged on up to 1,000 of its"
    " test rows, before and after the update. Costs are those of the last update."
    " The run and the updates before it are in the result file; their accuracies are rows of this R."
)
_COSTS = (
    "seconds",
    "samples_per_second",
    "peak_memory_bytes",
    "memory_bytes",
    "parameters",
    "parameters_added",
)
_CLASSES = 200
"""The most classes whose recall the page shows."""
_KAPPAS = ("kappa", "kappa_temporal")
_FORMULA_LINK = 'Each is defined under <a href="#formulas">What the numbers mean</a>.'


def _width(plot: Plot) -> float:
    """The width of a figure in points."""
    return float(plot.svg.split('width="', 1)[1].split("pt", 1)[0])


def _slug(text: str) -> str:
    """A name that is safe in files and in ids."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text).strip("-").lower()[:40]


def _folded(title: str, content: str, closed: bool) -> str:
    return f"<details{'' if closed else ' open'}><summary>{title}</summary>\n{content}</details>\n"


def _hardware(run: Run) -> str:
    return ", ".join(f"{key} {value}" for key, value in (run.get("hardware") or {}).items())


def _formulas() -> str:
    entries = "".join(
        f'<dt>{name}</dt><dd><span class="formula">{formula}</span>{_prose(meaning)}</dd>\n'
        for name, (formula, meaning) in FORMULAS.items()
    )
    return (
        '<section>\n<h2 id="formulas">' + tr("What the numbers mean") + "</h2>\n"
        "<p>R[i, j] is the accuracy on task j after learning task i, of T tasks, by the scenario's"
        " own rule. Every summary follows from R, or from evaluations inside tasks, by these"
        " formulas. The output space says which classes could be answered when R was measured: all"
        f" of them, those seen so far, or the task's own.</p>\n<dl>\n{entries}</dl>\n</section>"
    )


def _reproduce(found: list[Group]) -> str:
    """Commands, versions, hardware, seeds, hyper-parameters and the order of the tasks."""
    runs = [run for group in found for run in group.runs]
    commands = dict.fromkeys(run["command"] for run in runs if run.get("command"))
    versions = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
        for run in runs
    )
    machines = dict.fromkeys(_hardware(run) for run in runs)
    seeds = [
        (f"{group.title}: " if len(found) > 1 else "") + ", ".join(map(str, group.seeds))
        for group in found
    ]
    facts = [
        [kind, "<br>".join(safe(x) for x in values if x) or DASH]
        for kind, values in (("seeds", seeds), ("versions", versions), ("hardware", machines))
    ]
    orders = dict.fromkeys(
        (group.title, seed, " → ".join(map(short, run["tasks"])))
        for group in found
        for entry in group.entries
        for seed, run in entry.runs.items()
    )
    order_rows = [[safe(f"{t}, seed {s}"), safe(order)] for t, s, order in orders]
    return (
        '<section>\n<h2 id="reproduce">' + tr("How to reproduce") + "</h2>\n"
        f"<pre>{chr(10).join(map(safe, commands))}</pre>\n"
        + table(["of these runs", "value"], facts, css="text")
        + "<h3>Hyper-parameters</h3>\n"
        + table(["method", "hyper-parameters"], _settings(found), css="text")
        + _folded(
            "Tasks in the order they were learned",
            table(["runs", "tasks"], order_rows, css="text"),
            True,
        )
        + "</section>"
    )


def _settings(found: list[Group]) -> list[list[str]]:
    """Hyper-parameters: first those that all methods share, then each method's own."""
    flat = [
        (entry.name, group.title, flatten(entry.first["hyperparameters"]))
        for group in found
        for entry in group.entries
    ]
    shared = set.intersection(*(set(settings.items()) for *_, settings in flat))

    def text(settings: dict[str, str], of_all: bool) -> str:
        kept = [f"{k} = {v}" for k, v in settings.items() if ((k, v) in shared) == of_all]
        return safe(", ".join(kept)) or DASH

    body = [["all methods", text(flat[0][2], True)]] if len(flat) > 1 else []
    for label, title, settings in flat:
        name = f"{label}; {title}" if len(found) > 1 else label
        body.append([safe(name), text(settings, len(flat) == 1)])
    return body
