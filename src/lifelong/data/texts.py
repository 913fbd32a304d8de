"""Texts with labels: in CSV, JSONL and Parquet files, and published data sets."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LifelongError, unknown
from ..samples import Dataset, Samples
from .download import archive, class_names, given, members
from .formats import (
    COLUMNS,
    PLAIN,
    STDIN,
    Reading,
    csv_tables,
    expanded,
    form,
    json_tables,
    no_column,
    opened,
    parquet_rows,
    parquet_tables,
    recoded,
    regular,
)
from .own import Table, partition
from .tables import (
    AnyPath,
    Source,
    column_of,
    gather,
    integers_of,
    is_tables,
    names_of,
    open_tables,
    table_files,
    title,
    values_of,
)

if TYPE_CHECKING:
    import pyarrow

PUBLISHED = {
    "20newsgroups": ("20newsgroups", "posts to 20 news groups, by date, 14 MB to download"),
    "banking77": ("banking77", "questions to a bank, 77 intents (LIFELONG_DATA)"),
    "clinc150": ("clinc150", "requests to an assistant, 150 intents and oos (LIFELONG_DATA)"),
    "sms-spam": ("sms_spam", "messages, ham or spam (LIFELONG_DATA)"),
    "thucnews-titles": ("thucnews_title_zh", "Chinese headlines of 10 topics (LIFELONG_DATA)"),
}
"""Name: (folder in LIFELONG_DATA, description)."""
NEWS = "https://ndownloader.figshare.com/files/5975967"
NEWS_SHA256 = "8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610"
NEWS_MOST = 2**27
"""Bytes that the archive of news groups may hold."""


def texts(
    path: AnyPath | Sequence[AnyPath],
    text: str = "text",
    target: str = "label",
    by: str | None = None,
    test: AnyPath | Sequence[AnyPath] | None = None,
    name: str | None = None,
    most_columns: int = COLUMNS,
    *,
    sep: str | None = None,
    encoding: str = "utf-8",
    drop: Collection[str] = (),
) -> Dataset:
    """A data set of texts: ``x`` is ``object [n]``, strings.

    ``path`` is a ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file, or a folder or a list of them, one
    a task, whose columns ``text`` and ``target`` are read, and no others; the rest is as :func:`table`
    has it: ``by``, ``id`` (unless it is in ``drop``), ``test`` and what is held out without it, ``sep``,
    ``encoding``, and ``most_columns``.

    Raises :class:`LifelongError` where a file cannot be read, or a text or label is missing.
    """
    how = Reading(sep, encoding, (), tuple(drop), most_columns=most_columns)
    train = _rows(path, text, target, by, 0, how)
    held = None if test is None else _rows(test, text, target, by, len(train.id), how)
    known = name or title(path)
    training, testing, classes = partition(known, train, held, column=by or "task")
    content = np.concatenate([t.x for t in (train, held) if t is not None])
    order = np.concatenate([t.id for t in (train, held) if t is not None])
    place = {number: i for i, number in enumerate(order.tolist())}

    def filled(samples: Samples) -> Samples:
        return samples.replace(x=content[[place[i] for i in samples.id.tolist()]])

    told: dict[str, Any] = {"target": target, "text": text, "by": by}
    told |= {"sep": sep, "encoding": encoding, "drop": list(drop)}
    parts = filled(training), filled(testing)
    return Dataset(known, *parts, classes, own_ids=train.own_ids, how=told)


def unlabelled_texts(
    path: AnyPath,
    text: str = "text",
    target: str = "label",
    how: Reading = PLAIN,
    also: str | None = None,
) -> tuple[np.ndarray, np.ndarray | None, list[Any] | None]:
    """(texts, labels where there is a column of them, the values of the column ``also``).

    Each is ``[n]``; a label that is empty is None.
    """
    names = [text, target] + ([] if also is None else [also])
    sources = open_tables(path, names, _only(how, [text, *names[2:]], target))
    x = np.concatenate([_content(source, text) for source in sources])
    passed = None if also is None else [v for source in sources for v in column_of(source, also)]
    if not all(target in source.schema.names for source in sources):
        return x, None, passed
    labels = np.concatenate([names_of(source, target, empty=True) for source in sources])
    return x, labels, passed


def _only(how: Reading, must: Sequence[str], *others: str) -> Reading:
    """To read these columns alone, and to refuse a file that lacks one that must be there."""
    more = (name for name in others if name not in how.drop)
    return replace(how, columns=(*must, *more), drop=(), needs=False, must=tuple(must))


def published(name: str) -> Dataset:
    """A published set: from ``$LIFELONG_DATA``; 20newsgroups is else downloaded, once, to the cache.

    Its posts are in the order in which scikit-learn's ``fetch_20newsgroups(shuffle=False)`` has them.
    Raises :class:`LifelongError` where a set is not here, or damaged.
    """
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
    path = archive(Path("20newsgroups/20news-bydate.tar.gz"), NEWS_SHA256, url=NEWS, most=NEWS_MOST)
    return _news(members(path, NEWS_MOST))


def _news(files: dict[str, bytes]) -> Dataset:
    """The data set of the posts' files, in the order that scikit-learn gives them.

    The files are called ``20news-bydate-train/GROUP/NUMBER``, and ``-test``.
    """
    places = sorted(tuple(name.split("/")) for name in files if name.count("/") == 2)
    groups = sorted({group for _, group, _ in places})
    parts, first = [], 0
    for part in ("train", "test"):
        mine = [place for place in places if place[0] == f"20news-bydate-{part}"]
        order = np.arange(len(mine))
        np.random.RandomState(0).shuffle(order)
        x, y = np.empty(len(mine), object), np.empty(len(mine), np.int64)
        for row, place in enumerate(order):
            x[row] = files["/".join(mine[place])].decode("latin1")
            y[row] = groups.index(mine[place][1])
        parts.append(Samples(x=x, y=y, id=first + np.arange(len(y))))
        first += len(y)
    return Dataset("20newsgroups", parts[0], parts[1], tuple(groups))


def _folder(name: str, folder: Path) -> Dataset:
    """``train.parquet`` and ``test.parquet``, their labels named in ``labels.json``."""
    names = class_names(folder / "labels.json", "label")
    sources = [open_tables(folder / f"{part}.parquet", ["text"])[0] for part in ("train", "test")]
    parts, first = [], 0
    for source in sources:
        y = integers_of(source, "label")
        more = [name for name in source.schema.names if name not in ("text", "label", "id")]
        columns = {name: names_of(source, name) for name in more}
        parts.append(Samples(x=_content(source, "text"), y=y, id=first + np.arange(len(y)), **columns))
        first += len(y)
    return Dataset(name, parts[0], parts[1], names)


def blocks(
    path: str,
    text: str = "text",
    target: str = "label",
    most_columns: int = COLUMNS,
    *,
    sep: str | None = None,
    encoding: str = "utf-8",
    drop: Collection[str] = (),
) -> Iterator[tuple[np.ndarray, ...]]:
    """(texts, labels), ``object [n]`` each, some rows at a time: a file need not fit into memory.

    And the rows' ids, ``int64 [n]``, where the file has a column ``id``.

    ``path`` is a ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file, or ``-``: JSONL from standard
    input. The rest is as :func:`texts` has it, and so are the errors.
    """
    first = 1
    how = Reading(sep, encoding, (), tuple(drop), most_columns=most_columns)
    for source in _sources(path, _only(how, (text, target), "id")):
        rows = _content(source, text, first), names_of(source, target, first)
        own = "id" in source.schema.names and "id" not in (text, target)
        yield (*rows, integers_of(source, "id")) if own else rows
        first += source.rows


def has_column(path: AnyPath, name: str, how: Reading = PLAIN) -> bool:
    """Whether ``path`` is a table, or tables, and the first has a column of this name.

    No more than a block of it is read: a file that flows by need not fit into memory.
    """
    where = expanded(path)
    if not where.exists() or not is_tables(where):
        return False
    how = replace(how, columns=(), drop=())
    first = next(_sources(str(table_files(where)[0][0]), how), None)
    return first is not None and name in first.schema.names


def _sources(path: str, how: Reading = PLAIN) -> Iterator[Source]:
    file, suffix = expanded(path), form(path)[1]
    if Path(path) == STDIN:
        lines = recoded(sys.stdin.buffer, how)
        tables = json_tables(lines, "standard input", how)
        yield from (_source(table, "standard input") for table in tables)
        return
    regular(file)
    if suffix == ".jsonl":
        with opened(file, how) as lines:
            yield from (_source(table, path) for table in json_tables(lines, path, how))
    elif suffix in (".csv", ".tsv"):
        yield from (_source(table, path) for table in csv_tables(file, how))
    elif suffix == ".parquet":
        names = parquet_rows(file, how)[0].names
        yield from (_source(table, path) for table in parquet_tables(file, columns=names))
    else:
        raise LifelongError(f"cannot read {path}: give a .csv, .tsv, .jsonl or .parquet file, or -")


def _source(table: pyarrow.Table, name: str) -> Source:
    return Source(name, table.schema, table.num_rows, table)


def _rows(
    paths: AnyPath | Sequence[AnyPath],
    text: str,
    target: str,
    by: str | None,
    first_id: int,
    how: Reading,
) -> Table:
    """The rows of files: texts, labels, tasks, ids."""
    names = [text, target] if by is None else [text, target, by]
    sources = open_tables(paths, names, _only(how, names, "id"))
    many = len(sources) > 1 or not isinstance(paths, str | Path) or expanded(paths).is_dir()
    task = None
    if many and by is None:
        task = [form(source.file)[0] for source in sources for _ in range(source.rows)]
    x = np.concatenate([_content(source, text) for source in sources])
    rows = gather(sources, target, by, task, first_id=first_id)
    return Table(rows.labels, rows.task, rows.id, x, rows.own_ids)


def _content(source: Source, name: str, first: int = 1) -> np.ndarray:
    """A column of texts as they are, ``object [n]``."""
    from pyarrow import types

    if name not in source.schema.names:
        raise no_column(name, source.schema.names, source.file)
    column = source.read([name]).column(name)
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        raise LifelongError(f"column {name!r} of {source.file} holds {column.type}: name one of texts")
    if column.null_count:
        row = first + int(column.is_null().to_numpy().argmax())
        raise LifelongError(
            f"column {name!r} of {source.file} has no value in row {row}: fill it or drop the row"
        )
    held = np.empty(len(column), object)
    held[:] = values_of(column, name, source)
    return held
