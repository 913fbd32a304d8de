"""Your own data: tables in CSV, JSONL and Parquet files."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LifelongError, unknown
from ..samples import Dataset, Samples
from . import disk
from .encoder import BEYOND, LARGEST, Chunk, Encoder, is_number, is_text, reads_as_number
from .formats import (
    COLUMNS,
    FORMATS,
    PLAIN,
    STDIN,
    Reading,
    csv_table,
    expanded,
    form,
    json_table,
    listed,
    no_column,
    parquet_rows,
    parquet_tables,
    regular,
)
from .own import Table, label_names, partition

if TYPE_CHECKING:
    import pyarrow

BATCH = 2048
"""Rows of a Parquet file that are read at once."""
HELD = 2**28
"""Bytes of a table in memory that are encoded at once."""
AnyPath = str | os.PathLike[str]
Target = str | Sequence[str]
"""The column of the class; or several of numbers, which are the targets."""


def table(
    path: AnyPath | Sequence[AnyPath],
    target: Target = "label",
    by: str | None = None,
    test: AnyPath | Sequence[AnyPath] | None = None,
    name: str | None = None,
    *,
    scale: str = "first",
    missing: str = "refuse",
    encoder: Encoder | None = None,
    sep: str | None = None,
    encoding: str = "utf-8",
    columns: Collection[str] = (),
    drop: Collection[str] = (),
    dates: Collection[str] = (),
    most_columns: int = COLUMNS,
) -> Dataset:
    """A data set of CSV, TSV, JSONL (a JSON object a line) or Parquet files.

    ``path`` is a file, also one packed by gzip (``.csv.gz``), or ``-``: CSV or JSONL from standard
    input; or, one file a task, a folder (its files in the order of their names,
    ``task2`` before ``task10``) or a list of files (in its own order). Each row is a sample: the
    column ``target`` holds its class, an optional column of integers ``id`` its id, and all other
    columns, or those in ``columns``, except those in ``drop``, are inputs: numbers, text (categories),
    lists of numbers or, where named in ``dates``, dates as numbers of days,
    which an :class:`Encoder` makes ``float32 [n, width]``. Other columns are not read. ``sep`` stands
    between the columns of a CSV file (``;``), ``encoding`` is that of its text and of JSONL. Only what
    is empty, or ``null`` in JSON, is missing: ``NA`` is a name. A ``target`` of several columns holds
    numbers, those of a regression or 0 and 1 of multi-label targets, empty where one is not told: y is
    ``float32 [n, columns]``, the classes are the columns' names. What it needs to know it learns from
    the training rows of the first task: ``scale`` is ``first`` (to that task's mean 0 and standard
    deviation 1) or ``none``; ``missing`` values are to ``refuse``, or become the ``mean``, or 0 with
    an ``indicator`` column. A given ``encoder``, a model's, knows all that already.

    The task of a row goes to a column of the samples, for :meth:`Dataset.by`: to the column ``by``
    where given; else, of a folder or a list, to ``task``, the file's name without its suffix.

    ``test`` is read in the same way; without it, 20 % of each class (and task) are held out, the
    same rows every time. Rows without an id are numbered through all files. Inputs of more than
    256 MB stay on disk, in the cache, whence batches are read. A JSONL file has
    ``most_columns`` different keys at most. Raises :class:`LifelongError` where a
    file cannot be read, columns are missing or differ between files, or a value is missing or not of
    its column's kind; rows are counted from 1, without the header.
    """
    how = Reading(
        sep, encoding, tuple(columns), tuple(drop), needs=encoder is None, most_columns=most_columns
    )
    rows, held = read_rows(path, target, by, how, encoder=encoder, dates=dates), None
    if test is not None:
        text, first_id = rows.sources[0].text, len(rows.id)
        how = replace(how, needs=False)
        held = read_rows(
            test, target, by, how, encoder=encoder, text=text, dates=dates, first_id=first_id
        )
        _same(rows.columns, held.columns, "the test set", "the training set")
    told: dict[str, Any] = {"target": target if isinstance(target, str) else list(target), "by": by}
    told |= {"sep": sep, "encoding": encoding, "columns": list(columns), "drop": list(drop)}
    made = encoded(
        name or title(path), rows, held, by or "task", scale, missing, encoder, dates=dates, how=told
    )
    return made if encoder is None else replace(made, unseen=rows.unseen(encoder))


def encoded(
    name: str,
    rows: Rows,
    held: Rows | None,
    column: str,
    scale: str,
    missing: str,
    encoder: Encoder | None = None,
    classes: Sequence[object] | None = None,
    dates: Collection[str] = (),
    how: dict[str, Any] | None = None,
) -> Dataset:
    """The data set of labelled rows; see :func:`table`."""
    if not rows.columns:
        raise LifelongError(f"{rows.sources[0].file} has no features: give columns beside the label")
    train, test, known = partition(name, rows, held, column=column, classes=classes)
    if rows.targets is not None:
        train = train.replace(y=rows.told(train.id))
        test, known = test.replace(y=(held or rows).told(test.id)), rows.outputs

    def data(encoder: Encoder, refit: Callable[[np.ndarray], Dataset] | None = None) -> Dataset:
        x, x_test = rows.encode(encoder, train.id), (held or rows).encode(encoder, test.id)
        parts = Samples(x=x, **train.columns), Samples(x=x_test, **test.columns)
        return Dataset(name, *parts, known, encoder, refit, rows.own_ids, how or {})

    def fit(ids: np.ndarray) -> Dataset:
        """Learn from these rows, unless a stream finds that its first task has others."""
        made = data(
            Encoder.fit(rows.chunks(np.isin(rows.id, ids)), scale, missing, dates),
            lambda others: made if np.array_equal(others, ids) else fit(others),
        )
        return made

    if encoder is not None:
        return data(encoder)
    first = slice(None) if rows.task is None else train.columns[column] == train.columns[column][0]
    return fit(train.id[first])


@dataclass(frozen=True)
class Source:
    """One table: a Parquet file, read in batches, or what is ``held`` in memory."""

    file: Path | str
    """Its path; else what errors call it."""
    schema: pyarrow.Schema
    rows: int
    held: pyarrow.Table | None = None

    @property
    def text(self) -> list[str]:
        """The columns of text."""
        return [field.name for field in self.schema if is_text(field.type)]

    def read(self, names: Sequence[str]) -> pyarrow.Table:
        """These columns, whole."""
        import pyarrow

        if self.held is not None:
            return self.held.select(names)
        parts = [chunk.table for chunk in self.chunks(names)]
        if sum(part.num_rows for part in parts) != self.rows:
            raise LifelongError(f"{self.file} is damaged: it holds other rows than it says")
        return pyarrow.concat_tables(parts)

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """These columns, some rows at a time."""
        if self.held is not None:
            held = self.held.select(names)
            step = max(1, self.rows * HELD // max(1, held.nbytes))
            for start in range(0, self.rows, step):
                rows = np.arange(start + 1, min(start + step, self.rows) + 1)
                yield Chunk(held.slice(start, step), self.file, rows)
            return
        start = 1
        lean = {"buffer_size": 2**20, "pre_buffer": False}  # else it reads the whole file ahead
        for table in parquet_tables(Path(self.file), BATCH, list(names), **lean):
            rows = np.arange(start, start := start + table.num_rows)
            yield Chunk(table, self.file, rows)


@dataclass(frozen=True)
class Rows(Table):
    """Rows whose inputs are still in their files."""

    sources: tuple[Source, ...] = ()
    columns: tuple[str, ...] = ()
    """The names of the inputs."""
    targets: np.ndarray | None = None
    """Where they are numbers: ``float32 [n, outputs]``; all labels are the same then."""
    outputs: tuple[str, ...] = ()

    def told(self, ids: np.ndarray) -> np.ndarray:
        """The targets of the rows with these ids."""
        assert self.targets is not None
        order = np.argsort(self.id)
        return self.targets[order[np.searchsorted(self.id, ids, sorter=order)]]

    def chunks(self, chosen: np.ndarray) -> Iterator[Chunk]:
        """The inputs of the rows that a mask chooses."""
        start = 0
        for source in self.sources:
            for table, file, rows in source.chunks(self.columns):
                mask = chosen[start : (start := start + len(rows))]
                if mask.any():
                    yield Chunk(table if mask.all() else table.filter(mask), file, rows[mask])

    def unseen(self, encoder: Encoder) -> dict[str, int]:
        """Of each column of categories, how many rows hold one that the encoder does not know."""
        found: Counter[str] = Counter()
        for chunk in self.chunks(np.ones(len(self.id), bool)):
            found.update(encoder.unseen(chunk))
        return dict(found)

    def encode(self, encoder: Encoder, ids: np.ndarray) -> np.ndarray:
        """The inputs of the rows with these ids, ``float32 [n, width]``."""
        chosen = np.isin(self.id, ids)
        files = [source.file for source in self.sources if isinstance(source.file, Path)]
        blocks = (encoder.transform(chunk) for chunk in self.chunks(chosen))
        shape = len(ids), len(encoder.names)
        if not files or 4 * shape[0] * shape[1] <= disk.IN_MEMORY:
            return disk.filled(shape, blocks)
        return disk.mapped(disk.key(files, encoder.to_json(), chosen), shape, blocks)


def read_rows(
    paths: AnyPath | Sequence[AnyPath],
    target: Target = "label",
    by: str | None = None,
    how: Reading = PLAIN,
    *,
    encoder: Encoder | None = None,
    text: Collection[str] = (),
    dates: Collection[str] = (),
    labelled: bool = True,
    first_id: int = 0,
    also: str | None = None,
) -> Rows:
    """The rows of the files, one file after another; see :func:`table`.

    Columns named in ``text`` and ``dates``, the class and the task of a CSV file are read as they are
    written; ``labelled=False`` allows files and rows without the target, and numbers the rows; rows
    without an id are numbered from ``first_id``. The column ``also`` is read, and is no input.
    """
    files, many = table_files(paths)
    if many and by is None:
        for stem, count in Counter(form(file)[0] for file in files).items():
            if count > 1:
                raise LifelongError(f"{count} files are called {stem!r}: give each task its own")
    fixed = [column for column in (target, by) if isinstance(column, str)]
    wanted = [*([target] if isinstance(target, str) else target), *([] if by is None else [by])]
    for column in wanted:
        if column in how.drop:
            raise LifelongError(f"column {column!r} is the target or the task: do not drop it")
    if encoder is not None:
        text = [column.name for column in encoder.columns if column.kind in ("category", "date")]
        dates = [column.name for column in encoder.columns if column.kind == "date"]
    inputs = how.columns
    if inputs:
        others = [*wanted, *([] if also is None else [also]), *([] if "id" in how.drop else ["id"])]
        how = replace(how, columns=(*inputs, *others), must=inputs)
    if not labelled:
        dropped = {*how.drop, "id"} - {also, *wanted}
        how = replace(how, drop=tuple(dropped), needs=False)
    fixed += [*text, *dates, *([] if also is None else [also])]
    sources = [_open(files[0], fixed, how)]
    _no_stray_text(sources[0], fixed)
    for column in dates:
        if column not in sources[0].schema.names:
            raise no_column(column, sources[0].schema.names, files[0])
    fixed += [] if text else sources[0].text
    sources += [_open(file, fixed, how) for file in files[1:]]
    task = None
    if many and by is None:
        pairs = zip(files, sources, strict=True)
        task = [form(file)[0] for file, source in pairs for _ in range(source.rows)]
    rows = gather(sources, target, by, task, labelled=labelled, first_id=first_id)
    if encoder is not None:
        learned = {column.name for column in encoder.columns}
        rows = replace(rows, columns=tuple(c for c in rows.columns if c != also or c in learned))
        _fits(encoder, rows.columns, files[0])
    return rows


def gather(
    sources: Sequence[Source],
    target: Target,
    by: str | None = None,
    task: list[str] | None = None,
    *,
    labelled: bool = True,
    first_id: int = 0,
) -> Rows:
    """The rows of all sources, which have the same columns; ``task`` where no column ``by`` tells it.

    Where they need not be ``labelled``, a label may be missing too: it is None then.
    """
    wanted = (target,) if isinstance(target, str) else tuple(target)
    if by in ("x", "y", "id", "weight", *wanted):
        raise LifelongError(f"by={by!r} has another meaning here: rename that column of the file")
    first = sources[0]
    names: list[str] = first.schema.names
    for source in sources:
        _same(names, source.schema.names, str(source.file), str(first.file))
    for column in (*(wanted if labelled else ()), *(() if by is None else (by,))):
        if column not in names:
            raise no_column(column, names, first.file)
    own_id = labelled and "id" in names and "id" not in wanted
    others = {*wanted, by} | ({"id"} if own_id else set())
    columns = [column for column in names if column not in others]
    labels = targets = None
    if isinstance(target, str):
        if target in names:
            labels = np.concatenate([names_of(s, target, empty=not labelled) for s in sources])
    elif set(wanted) <= set(names):
        targets = np.concatenate([numbers_of(source, wanted) for source in sources])
        labels = np.full(len(targets), "0", object)
    if by is not None:
        task = np.concatenate([names_of(source, by) for source in sources]).tolist()
    ids = np.arange(first_id, first_id + sum(source.rows for source in sources))
    if own_id:
        ids = np.concatenate([integers_of(source, "id") for source in sources])
        values, counts = np.unique(ids, return_counts=True)
        if counts.max() > 1:
            raise LifelongError(f"id {values[counts.argmax()]} occurs twice: make ids unique")
    return Rows(labels, task, ids, None, own_id, tuple(sources), tuple(columns), targets, wanted)


def unlabelled_rows(
    path: AnyPath,
    encoder: Encoder,
    target: Target = "label",
    how: Reading = PLAIN,
    also: str | None = None,
) -> tuple[Rows, list[Any] | None]:
    """Rows to predict from, their ``labels`` or ``targets`` where there are any (None: of that row).

    And the values of the column ``also``, which is no input of the model's unless it has learned it.
    """
    rows = read_rows(path, target, None, how, encoder=encoder, labelled=False, also=also)
    if also is None:
        return rows, None
    return rows, [v for source in rows.sources for v in column_of(source, also)]


def column_of(source: Source, name: str) -> list[Any]:
    """The values of a column, as they are."""
    if name not in source.schema.names:
        raise no_column(name, source.schema.names, source.file)
    return values_of(source.read([name]).column(name), name, source)


def _fits(encoder: Encoder, names: Sequence[str], file: Path) -> None:
    """Refuse columns that are not the model's."""
    learned = [column.name for column in encoder.columns]
    for name in learned:
        if name not in names:
            raise unknown(f"column in {file}: the model needs", name, names)
    for name in names:
        if name not in learned:
            raise LifelongError(f"{file} has a column {name!r} that the model has not learned: drop it")


def open_tables(
    paths: AnyPath | Sequence[AnyPath], text: Collection[str], how: Reading = PLAIN
) -> list[Source]:
    """The files, the columns named in ``text`` read as they are written."""
    return [_open(file, text, how) for file in table_files(paths)[0]]


def table_files(paths: AnyPath | Sequence[AnyPath]) -> tuple[list[Path], bool]:
    """The files, and whether each is a task."""
    many = True
    if not isinstance(paths, str | os.PathLike):
        files = [expanded(path) for path in paths]
    elif Path(paths) == STDIN:
        return [STDIN], False
    elif (folder := expanded(paths)).is_dir():
        found = (f for f in listed(folder) if form(f)[1] in FORMATS and f.name[0] not in "._")
        files = sorted(found, key=natural)
    else:
        files, many = [folder], False
    if not files:
        what = "one .csv, .tsv, .jsonl or .parquet file a task, or one folder of images a class"
        raise LifelongError(f"{paths} holds no files: give {what}")
    for file in files:
        regular(file)
        if form(file)[1] not in FORMATS:
            raise LifelongError(f"cannot read {file}: give a .csv, .tsv, .jsonl or .parquet file")
    return files, many


def is_tables(path: Path) -> bool:
    """Whether it is a table, or a folder in which there is one."""
    files = listed(path) if path.is_dir() else [path]
    return any(form(file)[1] in FORMATS for file in files)


def natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts numbers in a name by value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]


def title(path: AnyPath | Sequence[AnyPath]) -> str:
    if not isinstance(path, str | os.PathLike):
        return Path(path[0]).resolve().parent.name
    if Path(path) == STDIN:
        return "stdin"
    whole = Path(path).expanduser().resolve()
    return whole.name if whole.is_dir() else form(whole)[0]


def _open(file: Path, text: Collection[str], how: Reading = PLAIN) -> Source:
    """One file; of a CSV file, the columns named in ``text`` are read as they are written.

    Standard input is JSONL where its first sign is a brace, else CSV.
    """
    held, content = None, None
    kind, name = form(file)[1], file
    if file == STDIN:
        name, content = Path("standard input"), sys.stdin.buffer.read()
        kind = ".jsonl" if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else ".csv"
    if (regular(file).stat().st_size if content is None else len(content)) == 0:
        raise LifelongError(f"{name} is empty: give it a header and rows")
    if kind == ".parquet":
        schema, rows = parquet_rows(file, how)
    else:
        if kind == ".jsonl":
            held = json_table(name, how, content)
        else:
            held = csv_table(name, text, how, content)
        schema, rows = held.schema, held.num_rows
    if rows == 0:
        raise LifelongError(f"{name} holds no rows: give it at least one")
    return Source(name, schema, rows, held)


def _no_stray_text(source: Source, text: Collection[str]) -> None:
    """Refuse a CSV column that is text only because of a few values: most are numbers."""
    if source.held is None:
        return
    for name in source.text:
        column = source.held.column(name)
        if name in text:
            continue
        distinct = column.unique().drop_null().to_pylist()
        strange = {value for value in distinct if not is_number(value)}
        if strange and 2 * sum(map(reads_as_number, distinct)) > len(distinct):
            row, value = next((i, v) for i, v in enumerate(column.to_pylist(), 1) if v in strange)
            raise LifelongError(
                f"column {name!r} of {source.file} holds {value[:40]!r} (row {row}), not a number as "
                "most of its values: correct it (1000 or 0.5, not 1_000; nothing at all where it is "
                "missing), or write the numbers so that they read as text"
            )


def _same(names: Sequence[str], others: Sequence[str], where: str, first: str) -> None:
    """Refuse columns that differ; their order may."""
    for missing in [name for name in names if name not in others][:1]:
        raise LifelongError(f"{where} lacks the column {missing!r} of {first}: add it")
    for extra in [name for name in others if name not in names][:1]:
        raise LifelongError(f"{where} has a column {extra!r} that {first} has not: remove it")


def names_of(source: Source, name: str, first: int = 1, empty: bool = False) -> np.ndarray:
    """A column as names, ``object [n]``; whole numbers lose a trailing ".0".

    None where one is missing and that is allowed, ``empty``.
    """
    from pyarrow import types

    if name not in source.schema.names:
        raise no_column(name, source.schema.names, source.file)
    column = source.read([name]).column(name)
    if types.is_nested(column.type):
        raise LifelongError(
            f"column {name!r} of {source.file} holds {column.type}: give one value a row"
        )
    whole = column.combine_chunks()
    coded = whole if types.is_dictionary(whole.type) else whole.dictionary_encode()
    names = [*label_names(values_of(coded.dictionary, name, source)), None]
    codes = coded.indices.fill_null(len(names) - 1).to_numpy()
    short = [n and re.sub(r"^([+-]?[0-9]+)\.0+$", r"\1", n) for n in names]
    if not empty:
        _present(np.array([value is None for value in short])[codes], source, name, first)
    return np.array(short, object)[codes]


def values_of(column: pyarrow.Array, name: str, source: Source) -> list[Any]:
    """A column as values of Python, where they have such."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        what = "text that is not UTF-8: write it as UTF-8"
    except (ValueError, OverflowError):
        what = (
            "dates or times beyond the years 1 to 9999 or too fine: correct them, or write them as text"
        )
    raise LifelongError(f"column {name!r} of {source.file} holds {what}")


def numbers_of(source: Source, names: Sequence[str]) -> np.ndarray:
    """Columns of numbers, ``float32 [n, columns]``, NaN where a value is missing."""
    from pyarrow import compute, float32, types

    columns, table = [], source.read(list(names))
    for name in names:
        kind = table.schema.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise LifelongError(
                f"column {name!r} of {source.file} holds {kind}, not numbers: correct it"
            )
        values = compute.cast(table.column(name), float32(), safe=False).fill_null(np.nan).to_numpy()
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            raise LifelongError(
                f"column {name!r} of {source.file} {BEYOND[0]} in row {beyond.argmax() + 1}: {BEYOND[1]}"
            )
        columns.append(values)
    return np.stack(columns, 1)


def integers_of(source: Source, name: str) -> np.ndarray:
    """A column of integers from 0, as the ids of samples are: ``int64 [n]``."""
    from pyarrow import ArrowInvalid, int64, types

    if name not in source.schema.names:
        raise no_column(name, source.schema.names, source.file)
    values = source.read([name]).column(name)
    wrong = LifelongError(
        f"column {name!r} of {source.file} must hold integers from 0: change or rename it"
    )
    if not (types.is_integer(values.type) or types.is_null(values.type)):
        raise wrong
    _present(values.is_null(nan_is_null=True).to_numpy(), source, name)
    try:
        found = values.cast(int64()).to_numpy()
    except ArrowInvalid:
        raise wrong from None
    if found.min() < 0:
        raise wrong
    return found


def _present(missing: np.ndarray, source: Source, name: str, first: int = 1) -> None:
    """Refuse a column with gaps; ``first`` is the number of the first row."""
    if missing.any():
        row = int(missing.argmax()) + first
        raise LifelongError(
            f"column {name!r} of {source.file} has no value in row {row}: fill it or drop the row"
        )
