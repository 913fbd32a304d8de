"""The command line. What it prints for a person goes to standard error beside ``--json``."""

from __future__ import annotations

import csv
import dataclasses
import functools
import inspect
import io
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
import typer.rich_utils
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from . import data as datasets_module
from .errors import KnownFailure, LifelongError, NotPromoted, at_least, one_of
from .files import sweep, write
from .interrupts import SAYS, leave, signals
from .language import language, tr
from .names import printable
from .result import Result, bundle, read
from .runner import TimeUp, collect
from .spec import Spec, check, names, separator

if TYPE_CHECKING:
    from .ids import Ids
    from .report import Row
    from .versions import Version

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Keep a model learning without losing what it knew, and prove it.",
    epilog="Exit codes: 0 done; 2 the input is at fault; 3 the time limit was reached; 4 an update was "
    "not put into use; 130 and 143 interrupted, by Ctrl-C and by kill.",
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Out = Annotated[Path | None, typer.Option(help="folder of the runs (default: runs/DATA)")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
Model = Annotated[Path, typer.Argument(help="a model file, or the folder of a run")]
Target = Annotated[str | None, typer.Option(help="column of the label (default: as it was learned)")]
TextColumn = Annotated[str | None, typer.Option(help="column of the texts (default: as learned)")]
Sep = Annotated[str | None, typer.Option(help="CSV: what separates columns (default: as learned)")]
Encoding = Annotated[str | None, typer.Option(help="CSV, JSONL: of the text (default: as learned)")]
Drop = Annotated[str | None, typer.Option(help="columns not to read, a,b, beside those of the run")]
Folder = Annotated[Path, typer.Argument(help="the folder of a run", metavar="DIR")]


NOT_PROMOTED = 4
"""The exit code of an update whose model is not in use."""


def main() -> None:
    """Run a command; every error that is the input's fault is one line and exit code 2.

    Codes: 0 done; 2 the input is at fault; 3 the time limit was reached; 4 an update was not put into
    use; 130 and 143 interrupted, by Ctrl-C and by ``kill``.
    """
    warnings.simplefilter("ignore", KnownFailure)  # said as a note
    signals.listen(_interrupt)
    outside, sys.stdout = sys.stdout, _Pipe(sys.stdout)
    try:
        code = _command()
        sys.stdout.flush()
    finally:
        sys.stdout = outside
    sys.exit(code)


def _interrupt(number: int, frame: Any) -> None:
    """Ctrl-C, or ``kill``."""
    signals.handle(number, frame)


def _command() -> int:
    try:
        code = _program()(standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except TimeUp as stop:
        warn(stop)
        code = 3
    except NotPromoted as refused:
        warn(refused)
        code = NOT_PROMOTED
    except (LifelongError, typer.TyperException) as error:
        warn(f"error: {error.format_message() if isinstance(error, typer.TyperException) else error}")
        code = 2
    except OSError as error:
        where = "" if error.filename is None else f" {str(error.filename)[:200]}"
        warn(f"error: the system refuses{where}: {error.strerror or error}; check the path")
        code = 2
    except MemoryError as error:
        warn(f"error: too little memory ({error}): give it more, or choose something smaller")
        code = 2
    if code == 130 and signals.number is not None:
        leave(signals.code)
    if code == 130:
        warn(SAYS)
    return code if isinstance(code, int) else 0


def _program() -> Any:
    """All commands, with their help in the reader's language."""
    made: Any = typer.main.get_command(app)
    if language() == "zh":
        typer.rich_utils.OPTIONS_PANEL_TITLE = "选项"
        typer.rich_utils.ARGUMENTS_PANEL_TITLE = "参数"
        typer.rich_utils.COMMANDS_PANEL_TITLE = "命令"
        typer.rich_utils.DEFAULT_STRING = "[默认：{}]"
        typer.rich_utils.REQUIRED_LONG_STRING = "[必填]"
        made.epilog = tr(made.epilog)
        for command in (made, *made.commands.values()):
            command.help = tr(command.help)
            for parameter in command.params:
                parameter.help = tr(parameter.help)
    return made


def say(text: object = "") -> None:
    """Print lines; what a terminal would act on is shown as escapes."""
    print("\n".join(map(printable, str(text).split("\n"))))


def warn(text: object) -> None:
    """Print one line to standard error."""
    errors.print(printable(" ".join(str(text).split())), markup=False)


def show_table(table: Table | Group) -> None:
    """Print a table, as wide as the terminal; where that is too narrow for a cell, wider.

    Only columns of names are folded. What is read by a program is not folded at all.
    """
    console = Console(highlight=False)
    least = most = console.width
    for part in table.renderables if isinstance(table, Group) else [table]:
        if isinstance(part, Table):
            for column in part.columns:
                if column.overflow != "fold":
                    texts = [column.header, *column.cells]
                    column.min_width = max(cell_len(str(text)) for text in texts)
            needs = part.__rich_measure__(console, console.options.update(max_width=_ENDLESS))
            least, most = max(least, needs.minimum), max(most, needs.maximum)
    width = least if console.is_terminal else most
    Console(highlight=False, width=width).print(table)


_ENDLESS = 100_000


def _columns(*names: str, folded: Sequence[str] = ()) -> Table:
    """An empty table; what is too long for the terminal in a folded column is continued below."""
    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold" if name in folded else "ellipsis")
    return table


class _Pipe(io.TextIOBase):
    """Standard output, which its reader may close at any time: what is still written is dropped."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        self._try(lambda: self.inner.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda: self.inner.flush())

    def _try(self, do: Callable[[], Any]) -> None:
        try:
            do()
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.inner.fileno())
            os.close(nothing)

    def fileno(self) -> int:
        return self.inner.fileno()

    def isatty(self) -> bool:
        return self.inner.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.inner.encoding


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        print(f"lifelong {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def takes_spec(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an argument DATA and the options of :class:`Spec`, except ``without``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(Spec)
        named = [f for f in dataclasses.fields(Spec) if f.name not in without]
        parameters = []
        for f in named:
            if f.name == "data":
                kind: Any = typer.Argument(help="a data set's name (see datasets) or a path")
                default: Any = inspect.Parameter.empty
            else:
                kind = typer.Option(f"--{f.name.replace('_', '-')}", help=f.metadata["help"])
                default = [] if f.name == "set" else f.default
            hint = list[str] if f.name == "set" else hints[f.name]
            parameters.append(
                inspect.Parameter(
                    f.name, inspect.Parameter.KEYWORD_ONLY, default=default,
                    annotation=Annotated[hint, kind],
                )
            )  # fmt: skip
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            chosen = {f.name: values.pop(f.name) for f in named}
            chosen["set"] = tuple(chosen["set"])
            command(Spec(**chosen), **values)

        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        wrapper.__signature__ = inspect.Signature([parameters[0], *own, *parameters[1:]])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *parameters]}
        return wrapper

    return decorate


@app.command()
@takes_spec()
def run(spec: Spec, out: Out = None, as_json: Json = False) -> None:
    """Learn a stream of tasks with one method, and report what was learned and forgotten."""
    from .versions import opened

    folder = out or spec.folder
    _check([spec])
    result = spec.run(folder)
    with opened(folder, wait=True) as store:
        key = result.data["key"]
        made = store.install(folder / "runs" / key / "model.safetensors", key)
        store.settle()
    if as_json:
        print(json.dumps(bundle([result])))
        return
    say(result.table(Console().width if sys.stdout.isatty() else None))
    say(result.summary())
    say()
    _report(folder, bundle(read(folder / "results.json")))
    say(f"model: {made.path}" + (f" (version {made.number}, in use)" if made.number > 1 else ""))


@app.command()
@takes_spec("method", "seed")
def compare(
    spec: Spec,
    methods: Annotated[str, typer.Option(help="names, separated by commas: naive,er,er+ewc,joint")],
    seeds: Annotated[int, typer.Option(help="seeds 1 to N")] = 5,
    jobs: Annotated[int | None, typer.Option(help="worker processes (default: the cores)")] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare methods over several seeds, in parallel, between the lower and the upper bound."""
    from .comparison import plan, run_all

    at_least(1, jobs=jobs)
    specs = plan(spec, [name.strip() for name in methods.split(",")], seeds)
    folder = out or spec.folder
    _check(specs[: len({spec.method for spec in specs})])

    with _live(specs) as watch:
        results = run_all(specs, folder, jobs, watch)
    if as_json:
        print(json.dumps(bundle(results)))
        return
    show_table(_comparison(bundle(results)))
    _report(folder, bundle(results))


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods."""
    from .methods import registry

    listed: list[dict[str, Any]] = [
        {
            "name": part.name,
            "family": part.family,
            "scenarios": list(part.scenarios),
            "options": {
                f.name: None if f.default is dataclasses.MISSING else f.default
                for f in dataclasses.fields(part)  # type: ignore[arg-type]
            },
            "paper": part.paper,
            "known_to_fail": part.fails,
        }
        for part in registry().values()
    ] + _linear_methods()
    if as_json:
        print(json.dumps({"methods": listed}))
        return
    for m in listed:
        print(f"{m['name']:12}{m['family']:16}{' '.join(m['scenarios'])}")
        print(f"{'':12}{m['paper']}")
        for of, options in (("", m["options"]), ("of texts: ", m.get("of_texts", {}))):
            if options:
                print(f"{'':12}{of}{', '.join(f'{k}={v}' for k, v in options.items())}")
    print("compose them with +, as in er+ewc; set options with --set er.admission=ring")
    print(
        "linear learners stand alone; a --memory gives them replay, --set text.ngrams=[1,2] other words"
    )


def _linear_methods() -> list[dict[str, Any]]:
    """The linear learners, as :func:`methods` lists them."""
    from .linear.defaults import LEARNERS, make, weighting

    listed = []
    for name, (kind, _) in LEARNERS.items():
        plain, texts = (make(name, how).get_params() for how in (None, weighting(name)))
        listed.append(
            {
                "name": name,
                "family": "linear",
                "scenarios": ["domain", "class", "free"],
                "options": {option: plain[option] for option in inspect.signature(kind).parameters},
                "of_texts": {k: v for k, v in texts.items() if v != plain[k]},
                "paper": inspect.getdoc(kind).split("\n\n", 1)[0].replace("\n", " "),  # type: ignore[union-attr]
                "known_to_fail": {},
            }
        )
    return listed


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the data sets that have a name."""
    listed: list[dict[str, Any]] = [
        {"name": name, "images": e.images, "classes": e.classes, "description": e.description}
        for name, e in datasets_module.DATASETS.items()
    ]
    texts = [{"name": name, "description": d} for name, (_, d) in datasets_module.TEXTS.items()]
    if as_json:
        print(json.dumps({"datasets": listed, "texts": texts}))
        return
    table = _columns("name", "images", "classes", "description", folded=["description"])
    for d in listed:
        table.add_row(d["name"], f"{d['images']:,}", str(d["classes"]), d["description"])
    show_table(table)
    words = _columns("texts, for linear methods", "description", folded=["description"])
    for text in texts:
        words.add_row(text["name"], text["description"])
    show_table(words)
    print(
        "or a path: a .csv, .tsv, .jsonl, .parquet or .npz file, a folder with one table for each task,"
    )
    print("or a folder with one folder of images for each class; -: texts in JSONL from standard input")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="the folder of the runs", metavar="DIR")],
    table: Annotated[
        str | None, typer.Option(help="print the comparison alone: latex, csv or markdown")
    ] = None,
    safe_csv: Annotated[
        bool, typer.Option("--safe-csv", help="let no name be a formula of a spreadsheet")
    ] = False,
) -> None:
    """Write the report of a folder's runs; or print its comparison as a table for a paper."""
    from .report import tables

    if table is not None:
        one_of("table", table, tables.FORMS)
    if safe_csv and table != "csv":
        raise LifelongError("--safe-csv is for --table csv: leave it out")
    if not (folder / "results.json").exists() and (folder / "runs").is_dir():
        collect(folder)
    results = read(folder / "results.json")
    if not results:
        raise LifelongError(f"{folder} has no finished run: start one with lifelong run --out {folder}")
    content = bundle(results)
    if table is not None:
        rows = tables.records(content)
        print(_csv(rows, True) if safe_csv else tables.table(content, table), end="")
        return
    show_table(_comparison(content))
    _report(folder, content)


@app.command()
def predict(
    model: Model,
    data: Annotated[str, typer.Argument(help="a data set's name, a file, a folder; -: standard input")],
    target: Target = None,
    text: TextColumn = None,
    task: Annotated[int | None, typer.Option(help="the task's id, in the task scenario")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="each class's probability too")] = False,
    id_: Annotated[str | None, typer.Option("--id", help="column to pass through, as an id")] = None,
    sep: Sep = None,
    encoding: Encoding = None,
    drop: Drop = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write (default: print)")] = None,
    safe_csv: Annotated[
        bool, typer.Option("--safe-csv", help="let no label be a formula of a spreadsheet")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict the class of every row."""
    from .predict import Asked, predict_rows

    asked = Asked(target, text, separator(sep), encoding, names(drop), id_)
    found = predict_rows(model, data, task, asked, proba)
    rows = found.predictions
    if found.accuracy is not None:
        warn(f"accuracy {100 * found.accuracy:.2f} % on {found.labelled} labelled rows")
    _unseen(found.unseen, len(rows))
    if as_json:
        told: dict[str, Any] = {"predictions": rows, "accuracy": found.accuracy}
        told |= {} if found.ids is None else {"ids": found.ids}
        if found.probabilities is not None:
            told |= {"classes": found.classes, "probabilities": found.probabilities.tolist()}
        print(json.dumps(told | {"unseen": found.unseen}, default=str))
        return
    header: list[str] = ["row"]
    columns: list[list[Any]] = [list(range(1, len(rows) + 1))]
    if found.ids is not None:
        header, columns = [*header, str(id_)], [*columns, found.ids]
    header, columns = [*header, "prediction"], [*columns, rows]
    if found.probabilities is not None:
        header += [f"p({name})" for name in found.classes]
        columns += [[f"{p:.6g}" for p in column] for column in found.probabilities.T.tolist()]
    table = _csv([header, *zip(*columns, strict=True)], safe_csv)
    if out is not None:
        write(out, table.encode(errors="backslashreplace"))
        warn(f"{len(rows)} predictions: {out}")
    elif sys.stdout.isatty():
        say(table.removesuffix("\n"))
    else:
        print(table.encode(errors="backslashreplace").decode(), end="")


def _unseen(counts: dict[str, int], rows: int) -> None:
    """Say how many rows hold categories that the model does not know."""
    for name, count in counts.items():
        warn(
            f"note: column {name!r} holds a category that the model has not seen "
            f"in {count} of {rows} rows"
        )


def _csv(rows: Iterable[Sequence[Any]], safe: bool) -> str:
    """The rows, a line each; ``safe``: no field that a spreadsheet would run as a formula."""
    lines = []
    for row in rows:
        line = io.StringIO()
        # This end of a line lets fields with either of its characters be quoted.
        csv.writer(line, lineterminator="\r\n").writerow([_harmless(v) for v in row] if safe else row)
        lines.append(line.getvalue()[:-2] + "\n")
    return "".join(lines)


def _harmless(value: Any) -> Any:
    """A text that would be a formula, behind an apostrophe."""
    if not isinstance(value, str) or value[:1] not in "=+-@\t\r" or not value:
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


@app.command()
def update(
    model: Model,
    data: Annotated[
        str, typer.Argument(help="the next task: a data set's name, a file, a folder; -: standard input")
    ],
    target: Target = None,
    text: TextColumn = None,
    test: Annotated[str | None, typer.Option(help="file with the test set")] = None,
    sep: Sep = None,
    encoding: Encoding = None,
    drop: Drop = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="points that no guard set may fall by; else the new model is not used, code 4"
        ),
    ] = None,
    refuse_new_classes: Annotated[
        bool, typer.Option("--refuse-new-classes", help="learn nothing where there are any, code 4")
    ] = False,
    stage: Annotated[
        bool, typer.Option("--stage", help="write the new model, and do not use it yet, code 4")
    ] = False,
    as_json: Json = False,
) -> int:
    """Learn new data as the next task; put the new model into use; show what it cost."""
    from .predict import Asked, fitting
    from .update import update as learn
    from .versions import find

    asked = Asked(target, text, separator(sep), encoding, names(drop))
    dataset = fitting(find(model), data, test, asked)
    _unseen(dataset.unseen, len(dataset.train) + len(dataset.test))
    done = learn(
        model, dataset, shlex.join(["lifelong", "update", str(model), data]),
        max_drop=max_drop, refuse_new_classes=refuse_new_classes, stage=stage,
    )  # fmt: skip
    folder, code = done.model.parent, NOT_PROMOTED if done.held else 0
    for warning in done.warnings:
        warn(f"WARNING: {warning}")
    if as_json:
        scores = [
            {"task": n, "before": b, "after": a}
            for n, b, a in zip(done.names, done.before, done.after, strict=True)
        ]
        told: dict[str, Any] = {
            "model": str(done.model), "guards": scores, "new_classes": done.new,
            "unseen": dataset.unseen,
        }  # fmt: skip
        told |= {"promoted": not done.held, "held": done.held, "warnings": done.warnings}
        print(json.dumps(told | {"repeated": done.repeated} | bundle([done.result])))
        return code
    table = _columns("guard set", "before", "after", "change", folded=["guard set"])
    for name, before, after in zip(done.names, done.before, done.after, strict=True):
        change = None if before is None or after is None else 100 * (after - before)
        points = "-" if change is None else f"{change:+.1f}"
        table.add_row(Text(printable(name)), _percent(before), _percent(after), points)
    show_table(table)
    if done.new:
        say(f"new classes: {', '.join(done.new)}")
    if done.repeated:
        say("this data was learned before: nothing was learned again")
    if done.held:
        warn(f"not promoted: {'; '.join(done.held)}")
        say(f"kept: {done.model}; the model in use is the one before (lifelong history {folder})")
        return code
    say(f"model: {done.model} (the old one stays; for the report: lifelong report {folder})")
    return code


@app.command()
def history(folder: Folder, as_json: Json = False) -> None:
    """Show the versions of a model: where each comes from, what it cost, which one answers."""
    from .versions import history as versions_of

    found = versions_of(folder)
    if as_json:
        print(json.dumps({"versions": found}))
        return
    heads = ("version", "made by", "from", "data", "worst change", "state", "at (UTC)")
    table = _columns(*heads, folded=["data"])
    for v in found:
        cells = [v["version"], v["kind"], v["parent"] or "-", v["data"]]
        cells += ["-" if v["worst"] is None else f"{100 * v['worst']:+.1f}", v["state"], v["at"] or "-"]
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    show_table(table)


@app.command()
def rollback(
    folder: Folder,
    version: Annotated[int | None, typer.Argument(help="its number (default: the one before)")] = None,
    as_json: Json = False,
) -> None:
    """Put an earlier version into use again; nothing is deleted. Again, it goes no further back."""
    from .edits import rollback as go_back

    _in_use(go_back(folder, version), as_json)


@app.command()
def promote(
    folder: Folder,
    version: Annotated[int | None, typer.Argument(help="its number (default: the latest)")] = None,
    as_json: Json = False,
) -> None:
    """Put a version into use that was staged or held back."""
    from .edits import promote as put

    _in_use(put(folder, version), as_json)


@app.command()
def forget(
    model: Model,
    ids: Annotated[str, typer.Option(help="file: an id a line, or a table with a column id; -: stdin")],
    as_json: Json = False,
) -> None:
    """Remove rows by their ids from memories and guard sets, in all versions."""
    from .edits import forget as remove
    from .predict import read_ids

    done = remove(model, read_ids(ids))
    for left in done.left:
        warn(f"WARNING: {left}")
    if as_json:
        told = {"stored": done.stored, "guards": done.judged, "files": [str(f) for f in done.files]}
        print(json.dumps(told | {"unknown": done.unknown, "left": done.left}))
        return
    say(f"forgotten: {done.stored} stored rows, {done.judged} rows of guard sets, in the model in use")
    say(f"{len(done.files)} files written anew")
    if done.unknown:
        some = ", ".join(map(str, done.unknown[:10])) + ", ..." * (len(done.unknown) > 10)
        say(f"met in no file: {len(done.unknown)} ids ({some})")


@app.command()
def label(
    model: Model,
    verb: Annotated[str, typer.Argument(help="rename A B, merge A B (A into B), retire A, readmit A")],
    names: Annotated[list[str], typer.Argument(help="the classes", metavar="A [B]")],
    as_json: Json = False,
) -> None:
    """Rename, merge, retire or readmit classes, as a new version."""
    from .edits import relabel

    _in_use(relabel(model, verb, names), as_json)


def _in_use(version: Version, as_json: bool) -> None:
    """Say which version answers now."""
    if as_json:
        print(json.dumps({"version": version.number, "model": str(version.path)}))
    else:
        say(f"in use: version {version.number}, {version.path}")


@app.command()
def show(
    model: Model,
    out: Annotated[Path | None, typer.Option(help="picture to write: .svg, .png or .pdf")] = None,
) -> None:
    """Show what a model is made of: layers, heads, memory, with parameters and bytes."""
    from .drawing import architecture
    from .linear.runner import read_model as read_linear
    from .store import is_linear, load
    from .versions import find

    path = find(model)
    if out is not None and out.suffix not in (".svg", ".png", ".pdf"):
        raise LifelongError(f"--out {out}: give a name that ends in .svg, .png or .pdf")
    if is_linear(path):
        if out is not None:
            raise LifelongError("a linear learner has no layers to draw: leave --out out")
        learner, kept = read_linear(path)
        say(learner)
        say(
            f"{len(learner.classes_)} classes, {learner.parameters:,} parameters, "
            f"{learner.memory_bytes:,} bytes of stored examples"
        )
        _ids(kept.ids)
        return
    network = load(path)
    made = architecture(network)
    say(made)
    if network.kept is not None:
        _ids(network.kept.ids)
    if out is not None:
        say(f"picture: {made.draw(out)}")


def _ids(ids: Ids) -> None:
    """Say which ids rows have, by which they are forgotten."""
    for i, line in enumerate(ids.rule()):
        say(f"{'' if i else 'ids: '}{line}")


@app.command()
def explain(
    model: Model,
    label: Annotated[str | None, typer.Option(help="of this class alone")] = None,
    top: Annotated[int, typer.Option(help="features of each class")] = 10,
    as_json: Json = False,
) -> None:
    """Show the features that weigh most for each class, in a model of a linear learner."""
    from .linear import explain as weights_of
    from .linear.runner import names_of_columns
    from .versions import find

    learner = _linear(model)
    found = weights_of(learner, label, top, names_of_columns(find(model)))
    unnamed = any(w.feature.startswith("#") for weights in found.values() for w in weights)
    if unnamed and learner.takes_texts:
        warn("the words were not kept: train with --set text.vocabulary=true to see them")
    if as_json:
        print(json.dumps({name: [dataclasses.asdict(w) for w in ws] for name, ws in found.items()}))
        return
    for name, weights in found.items():
        say(name)
        for weight in weights:
            say(f"    {weight}")


@app.command()
def diff(
    model: Model,
    other: Annotated[Path, typer.Argument(help="the model to compare with")],
    data: Annotated[str, typer.Argument(help="a data set's name or a file, answered by both")],
    target: Target = None,
    text: TextColumn = None,
    as_json: Json = False,
) -> None:
    """Show which predictions differ between two models, by class."""
    from .linear.explain import flips
    from .predict import Asked, answers

    found = flips(*answers((model, other), data, Asked(target, text)))
    if as_json:
        pairs = [{"before": a, "after": b, "rows": n} for (a, b), n in found.counts.items()]
        print(
            json.dumps(
                {
                    "rows": found.rows,
                    "flipped": (found.flipped + 1).tolist(),
                    "pairs": pairs,
                    "fixed": found.fixed,
                    "broken": found.broken,
                }
            )
        )
        return
    table = _columns("before", "after", "rows", folded=["before", "after"])
    for (before, after), count in found.counts.items():
        table.add_row(Text(printable(str(before))), Text(printable(str(after))), str(count))
    show_table(table)
    known = "" if found.fixed is None else f": {found.fixed} mended, {found.broken} broken"
    print(f"{len(found.flipped)} of {found.rows} predictions differ{known}")


# ---- what the commands share
def _linear(model: Path) -> Any:
    """The linear learner in a model file."""
    from .linear import load
    from .versions import find

    return load(find(model))


def _check(specs: list[Spec]) -> None:
    """Everything that can be refused before anything is written, and what is known to fail."""
    for failure in check(specs):
        warn(f"note: {failure}")


def _report(folder: Path, content: dict[str, Any]) -> None:
    from .report import verdict
    from .report import write as write_report

    sweep(folder / "figures")
    say(verdict(content))
    say(f"report: {write_report(content, folder)}")


def _comparison(content: dict[str, Any]) -> Group:
    """A table for each group of comparable runs."""
    from .report.groups import groups
    from .report.statistics import rows

    found = groups(content)
    parts: list[Table | Text] = []
    for group in found:
        parts += [Text(printable(group.title))] * (len(found) > 1)
        parts.append(_table(rows(group)))
    return Group(*parts)


def _table(rows: list[Row]) -> Table:
    """Methods beside each other; columns that hold nothing are left out."""
    from .report.words import size

    columns: dict[str, list[str]] = {}
    for row in rows:
        gap, between = row.to_naive, "-"
        if gap is not None and row.role != "lower bound":
            between = f"{100 * gap.mean:+.1f}"
            if gap.low is not None and gap.high is not None:
                between += f" [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        spread = "" if row.sd is None else f" ± {100 * row.sd:.1f}"
        cells = {
            "method": row.label,
            "seeds": str(row.seeds),
            "accuracy": _percent(row.average_accuracy) + spread,
            "row by row": _percent(row.row_by_row),
            "forgetting": _percent(row.forgetting),
            "vs naive (95 %)": between,
            "seconds": f"{row.seconds or 0:.1f}",
            "memory": size(row.memory_bytes),
        }
        for name, cell in cells.items():
            columns.setdefault(name, []).append(cell)
    kept = {name: cells for name, cells in columns.items() if set(cells) != {"-"}}
    table = _columns(*kept, folded=["method"])
    table.columns[0].min_width = min(18, max(map(len, kept["method"])))
    for line in zip(*kept.values(), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in line))
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


@contextmanager
def _live(specs: list[Spec]) -> Iterator[Callable[[int, str, float, Result | None], None] | None]:
    """A table that fills up as runs finish; nothing where standard error is not a terminal."""
    if not errors.is_terminal:
        yield None
        return
    names = list(dict.fromkeys(spec.method for spec in specs))
    seeds = sorted({spec.seed for spec in specs})
    cells = {(spec.method, spec.seed): "" for spec in specs}

    def draw() -> Table:
        table = Table("method", *(f"seed {s}" for s in seeds), box=None)
        for name in names:
            table.add_row(name, *(cells[name, s] for s in seeds))
        return table

    with Live(draw(), console=errors, transient=True, refresh_per_second=5) as live:

        def watch(index: int, words: str, share: float, result: Result | None) -> None:
            spec = specs[index]
            cells[spec.method, spec.seed] = (
                f"[dim]{100 * share:.0f} %[/dim]"
                if result is None
                else f"[bold]{_percent(result.metrics['average_accuracy'])}[/bold]"
            )
            live.update(draw())

        yield watch


if __name__ == "__main__":
    main()
