"""Texts with labels: in CSV, JSONL and Parquet files, and published data sets."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import LifelongError, unknown
from ..samples import Dataset, Samples
from .download import given
from .own import Table, partition
from .tables import (
    AnyPath,
    Source,
    gather,
    is_tables,
    names_of,
    open_tables,
    reading,
    table_files,
    title,
)

BLOCK, LINES = 1 << 22, 1 << 14
"""Bytes of a CSV file, and lines of a JSONL file or rows of a Parquet file, that are read at once."""
PUBLISHED = {
    "20newsgroups": ("20newsgroups", "posts to 20 news groups, by date, 14 MB to download"),
    "banking77": ("banking77", "questions to a bank, 77 intents (LIFELONG_DATA)"),
    "clinc150": ("clinc150", "requests to an assistant, 150 intents and oos (LIFELONG_DATA)"),
    "sms-spam": ("sms_spam", "messages, ham or spam (LIFELONG_DATA)"),
    "thucnews-titles": ("thucnews_title_zh", "Chinese headlines of 10 topics (LIFELONG_DATA)"),
}
"""Name: (folder in LIFELONG_DATA, description)."""


def texts(
    path: AnyPath | Sequence[AnyPath],
    text: str = "text",
    target: str = "label",
    by: str | None = None,
    test: AnyPath | Sequence[AnyPath] | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set of texts: ``x`` is ``object [n]``, strings.

    ``path`` is a ``.csv``, ``.jsonl`` or ``.parquet`` file, or a folder or a list of them, one a task,
    whose columns ``text`` and ``target`` are read; the rest is as :func:`table` has it: ``by``, ``id``,
    ``test`` and what is held out without it.

    Raises :class:`LifelongError` where a file cannot be read, or a text or label is missing.
    """
    train = _rows(path, text, target, by, 0)
    held = None if test is None else _rows(test, text, target, by, int(train.id.max()) + 1)
    known = name or title(path)
    training, testing, classes = partition(known, train, held, column=by or "task")
    content = np.concatenate([t.x for t in (train, held) if t is not None])
    order = np.concatenate([t.id for t in (train, held) if t is not None])
    place = {number: i for i, number in enumerate(order.tolist())}

    def filled(samples: Samples) -> Samples:
        return samples.replace(x=content[[place[i] for i in samples.id.tolist()]])

    return Dataset(known, filled(training), filled(testing), classes)


def unlabelled_texts(
    path: AnyPath, text: str = "text", target: str = "label"
) -> tuple[np.ndarray, np.ndarray | None]:
    """(texts, labels where there is a column of them), ``object [n]`` each."""
    sources = open_tables(path, [text, target])
    x = np.concatenate([_content(source, text) for source in sources])
    if not all(target in source.schema.names for source in sources):
        return x, None
    return x, np.concatenate([names_of(source, target) for source in sources])


def published(name: str) -> Dataset:
    """A published set: from ``$LIFELONG_DATA``; 20newsgroups is else downloaded by scikit-learn."""
    if name not in PUBLISHED:
        raise unknown("data set of texts", name, PUBLISHED)
    folder = given(Path(PUBLISHED[name][0]))
    if folder is not None:
        return _folder(name, folder)
    if name != "20newsgroups":
        raise LifelongError(
            f"{name} is not here: put train.parquet and test.parquet (columns text, label) into "
            f"$LIFELONG_DATA/{PUBLISHED[name][0]}"
        )
    from sklearn.datasets import fetch_20newsgroups

    parts, first = [], 0
    for subset in ("train", "test"):
        try:
            found = fetch_20newsgroups(subset=subset, shuffle=False)
        except OSError as error:
            raise LifelongError(f"cannot download 20newsgroups: {error}") from None
        x, y = np.array(found.data, object), found.target.astype(np.int64)
        parts.append(Samples(x=x, y=y, id=first + np.arange(len(y))))
        first += len(y)
    return Dataset(name, parts[0], parts[1], tuple(found.target_names))


def _folder(name: str, folder: Path) -> Dataset:
    """``train.parquet`` and ``test.parquet``, their labels named in ``labels.json``."""
    found = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    names = found["label"] if isinstance(found, dict) else found
    sources = [open_tables(folder / f"{part}.parquet", ["text"])[0] for part in ("train", "test")]
    parts, first = [], 0
    for source in sources:
        y = source.read(["label"]).column("label").to_numpy().astype(np.int64)
        more = [name for name in source.schema.names if name not in ("text", "label", "id")]
        columns = {name: names_of(source, name) for name in more}
        parts.append(Samples(x=_content(source, "text"), y=y, id=first + np.arange(len(y)), **columns))
        first += len(y)
    return Dataset(name, parts[0], parts[1], tuple(names))


def blocks(
    path: str, text: str = "text", target: str = "label"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(texts, labels), ``object [n]`` each, some rows at a time: a file need not fit into memory.

    ``path`` is a ``.csv``, ``.jsonl`` or ``.parquet`` file, or ``-``: JSONL from standard input.
    """
    first = 1
    for source in _sources(path, [text, target]):
        yield _content(source, text, first), names_of(source, target, first)
        first += source.rows


def has_column(path: AnyPath, name: str) -> bool:
    """Whether ``path`` is a table, or tables, and the first has a column of this name.

    No more than a block of it is read: a file that flows by need not fit into memory.
    """
    where = Path(path).expanduser()
    if not where.exists() or not is_tables(where):
        return False
    first = next(_sources(str(table_files(where)[0][0]), []), None)
    return first is not None and name in first.schema.names


def _sources(path: str, columns: list[str]) -> Iterator[Source]:
    import pyarrow
    from pyarrow import csv, parquet

    file, suffix = Path(path).expanduser(), Path(path).suffix.lower()
    if path == "-":
        yield from _lines(sys.stdin.buffer, "standard input")
        return
    if not file.is_file():
        raise LifelongError(f"there is no file {path}: check the path")
    with reading(file):
        if suffix == ".jsonl":
            with file.open("rb") as lines:
                yield from _lines(lines, path)
        elif suffix == ".csv":
            types = csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pyarrow.string()), strings_can_be_null=True
            )
            with csv.open_csv(file, csv.ReadOptions(block_size=BLOCK), convert_options=types) as batches:
                for batch in batches:
                    yield _source(pyarrow.Table.from_batches([batch]), path)
        elif suffix == ".parquet":
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches(LINES):
                    yield _source(pyarrow.Table.from_batches([batch]), path)
        else:
            raise LifelongError(f"cannot read {path}: give a .csv, .jsonl or .parquet file, or -")


def _lines(lines: IO[bytes], name: str) -> Iterator[Source]:
    from pyarrow import json as arrow

    while some := list(islice(lines, LINES)):
        content = b"".join(some)
        if content.strip():
            with reading(name):
                whole = arrow.ReadOptions(block_size=len(content) + 1)
                table = arrow.read_json(io.BytesIO(content), whole)
            yield _source(table, name)


def _source(table, name: str) -> Source:
    return Source(name, table.schema, table.num_rows, table)


def _rows(
    paths: AnyPath | Sequence[AnyPath], text: str, target: str, by: str | None, first_id: int
) -> Table:
    """The rows of files: texts, labels, tasks, ids."""
    sources = open_tables(paths, [text, target] if by is None else [text, target, by])
    many = len(sources) > 1 or not isinstance(paths, str | Path) or Path(paths).is_dir()
    task = None
    if many and by is None:
        task = [Path(source.file).stem for source in sources for _ in range(source.rows)]
    x = np.concatenate([_content(source, text) for source in sources])
    rows = gather(sources, target, by, task, first_id=first_id)
    return Table(rows.labels, rows.task, rows.id, x)


def _content(source: Source, name: str, first: int = 1) -> np.ndarray:
    """A column of texts as they are, ``object [n]``."""
    from pyarrow import types

    if name not in source.schema.names:
        raise unknown("column", name, source.schema.names)
    column = source.read([name]).column(name)
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        raise LifelongError(f"column {name!r} of {source.file} holds {column.type}: name one of texts")
    if column.null_count:
        row = first + int(column.is_null().to_numpy().argmax())
        raise LifelongError(
            f"column {name!r} of {source.file} has no value in row {row}: fill it or drop the row"
        )
    held = np.empty(len(column), object)
    held[:] = column.to_pylist()
    return held
