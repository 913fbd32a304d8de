"""Your own data: tables in CSV and Parquet files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import LifelongError, unknown
from ..samples import Dataset
from .own import Table, assemble, first_line, label_names, numbers, read_npz

if TYPE_CHECKING:
    import pyarrow

FORMATS = (".csv", ".parquet")
AnyPath = str | os.PathLike[str]


def table(
    path: AnyPath | Sequence[AnyPath],
    target: str = "label",
    by: str | None = None,
    test: AnyPath | Sequence[AnyPath] | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set of CSV or Parquet files.

    ``path`` is a file; or, one file a task, a folder (its files in the order of their names,
    ``task2`` before ``task10``) or a list of files (in its own order). Each row is a sample: the
    column ``target`` holds its class, an optional column of integers ``id`` its id, and all other
    columns are features, numbers or booleans: ``x`` is ``float32 [n, features]`` in file order.

    The task of a row goes to a column of the samples, for :meth:`Dataset.by`: to the column ``by``
    where given; else, of a folder or a list, to ``task``, the file's name without its suffix.

    ``test`` is read in the same way; without it, 20 % of each class (and task) are held out, the
    same rows every time. Rows without an id are numbered through all files. Raises
    :class:`LifelongError` where a file cannot be read, columns are missing or differ between
    files, or a value is missing or not a number; rows are counted from 1, without the header.
    """
    train, held = read_table(path, target, by), None
    if test is not None:
        held = read_table(test, target, by, first_id=int(train.id.max()) + 1)
        _same(train.columns, held.columns, "the test set", "the training set")
        order = [held.columns.index(column) for column in train.columns]
        held = Table(held.x[:, order], held.labels, held.task, held.id, train.columns)
    return assemble(name or _title(path), train, held, column=by or "task")


def features(
    path: AnyPath | Sequence[AnyPath], target: str = "label", drop: Collection[str] = ()
) -> tuple[np.ndarray, list[str] | None, tuple[str, ...]]:
    """What a model needs to predict: inputs, labels or None, and the names of the features.

    Reads as :func:`table` does, but the column ``target`` may be absent and the columns ``drop``
    (such as the one that tells the task) are left out where there are any. Of an ``.npz`` file,
    returns the arrays x and y, and no names.
    """
    if isinstance(path, str | os.PathLike) and Path(path).suffix.lower() == ".npz":
        found = read_npz(Path(path))
        y = label_names(found["y"].tolist()) if "y" in found else None
        return numbers(found["x"], "x"), y, ()  # type: ignore[return-value]
    read = read_table(path, target, drop=drop, labelled=False)
    return read.x, read.labels, read.columns


def read_table(
    paths: AnyPath | Sequence[AnyPath],
    target: str = "label",
    by: str | None = None,
    *,
    drop: Collection[str] = (),
    labelled: bool = True,
    first_id: int = 0,
) -> Table:
    """The rows of the files, one file after another; see :func:`table`.

    ``drop`` names columns to leave out where there are any; ``labelled=False`` allows files
    without the column ``target``; rows without an id are numbered from ``first_id``.
    """
    if by in ("x", "y", "id", "weight", target):
        raise LifelongError(f"by={by!r} has another meaning here: rename that column of the file")
    files, many = _files(paths)
    if many and by is None:
        for stem, count in Counter(file.stem for file in files).items():
            if count > 1:
                raise LifelongError(f"{count} files are called {stem!r}: give each task its own")
    tables = [_read(file, text=[target] if by is None else [target, by]) for file in files]
    names: list[str] = tables[0].column_names
    for file, each in zip(files, tables, strict=True):
        _same(names, each.column_names, str(file), str(files[0]))
    for column in ([target] if labelled else []) + ([] if by is None else [by]):
        if column not in names:
            raise _no_column(column, names, files[0])
    own_id = "id" in names and "id" not in (target, *drop)
    others = {target, by, *drop} | ({"id"} if own_id else set())
    columns = [column for column in names if column not in others]
    if not columns:
        raise LifelongError(f"{files[0]} has no features: give columns other than {target!r}")

    pairs = list(zip(tables, files, strict=True))
    x = np.concatenate([_numbers(each, columns, file) for each, file in pairs])
    labels = task = None
    if target in names:
        labels = [label for each, file in pairs for label in _text(each, target, file)]
    if by is not None:
        task = [value for each, file in pairs for value in _text(each, by, file)]
    elif many:
        task = [file.stem for each, file in pairs for _ in range(each.num_rows)]
    ids = np.arange(first_id, first_id + len(x))
    if own_id:
        ids = np.concatenate([_ids(each, file) for each, file in pairs])
        values, counts = np.unique(ids, return_counts=True)
        if counts.max() > 1:
            raise LifelongError(f"id {values[counts.argmax()]} occurs twice: make ids unique")
    return Table(x, labels, task, ids, tuple(columns))


def _files(paths: AnyPath | Sequence[AnyPath]) -> tuple[list[Path], bool]:
    """The files, and whether each is a task."""
    many = True
    if not isinstance(paths, str | os.PathLike):
        files = [Path(path).expanduser() for path in paths]
    elif (folder := Path(paths).expanduser()).is_dir():
        found = (f for f in folder.iterdir() if f.suffix.lower() in FORMATS and f.name[0] not in "._")
        files = sorted(found, key=_natural)
    else:
        files, many = [folder], False
    if not files:
        raise LifelongError(f"{paths} holds no files: give one .csv or .parquet file a task")
    for file in files:
        if not file.is_file():
            raise LifelongError(f"there is no file {file}: check the path")
        if file.suffix.lower() not in FORMATS:
            raise LifelongError(f"cannot read {file}: give a .csv or .parquet file")
    return files, many


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts numbers in a name by value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]


def _title(path: AnyPath | Sequence[AnyPath]) -> str:
    if not isinstance(path, str | os.PathLike):
        return Path(path[0]).resolve().parent.name
    whole = Path(path).expanduser().resolve()
    return whole.name if whole.is_dir() else whole.stem


def _read(file: Path, text: Collection[str]) -> pyarrow.Table:
    """The columns of one file, those named in ``text`` as they are written."""
    import pyarrow
    from pyarrow import csv, parquet

    try:
        size = file.stat().st_size
        if size == 0:
            raise LifelongError(f"{file} is empty: give it a header and rows")
        if file.suffix.lower() == ".csv":
            read = csv.read_csv(
                file,
                # One block, so that the whole of a column decides its type.
                csv.ReadOptions(block_size=min(size + 1, 2**31 - 1)),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(text, pyarrow.string()), strings_can_be_null=True
                ),
            )
        else:
            read = parquet.ParquetFile(file).read()
        names = Counter(read.column_names)
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        if "Empty CSV" in str(error):
            raise LifelongError(f"{file} holds no rows: give it a header and rows") from None
        raise LifelongError(
            f"cannot read {file}: {first_line(error)} (is it whole, and is its text UTF-8?)"
        ) from None
    for name, count in names.items():
        if not name or name.startswith("__index_level_"):
            raise LifelongError(
                f"{file} has a column without a name: give it one, "
                "or save it without the index (index=False in pandas)"
            )
        if count > 1:
            raise LifelongError(f"{file} has {count} columns called {name!r}: rename them")
    if read.num_rows == 0:
        raise LifelongError(f"{file} holds no rows: give it at least one")
    return read


def _same(names: Sequence[str], others: Sequence[str], where: str, first: str) -> None:
    """Refuse columns that differ; their order may."""
    for missing in [name for name in names if name not in others][:1]:
        raise LifelongError(f"{where} lacks the column {missing!r} of {first}: add it")
    for extra in [name for name in others if name not in names][:1]:
        raise LifelongError(f"{where} has a column {extra!r} that {first} has not: remove it")


def _no_column(name: str, names: list[str], file: Path) -> LifelongError:
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        return LifelongError(f"{file} has the one column {names[0]!r}: separate columns by commas")
    return unknown("column", name, names)


def _present(missing: np.ndarray, name: str, file: Path) -> None:
    if missing.any():
        row = int(missing.argmax()) + 1
        raise LifelongError(
            f"column {name!r} of {file} has no value in row {row}: fill it or drop the row"
        )


def _numbers(read: pyarrow.Table, columns: list[str], file: Path) -> np.ndarray:
    """The features, ``float32 [n, features]``."""
    from pyarrow import float64, types

    kinds = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    x = np.empty((read.num_rows, len(columns)), np.float32)
    for j, name in enumerate(columns):
        values = read.column(name)
        if not any(is_kind(values.type) for is_kind in kinds):
            raise LifelongError(
                f"column {name!r} of {file} holds {_example(values)}: encode it as numbers, remove "
                "it, or name it as the target or the task column"
            )
        _present(values.is_null(nan_is_null=True).to_numpy(), name, file)
        with np.errstate(over="ignore"):
            x[:, j] = values.cast(float64(), safe=False).to_numpy()
        wrong = ~np.isfinite(x[:, j])
        if wrong.any():
            row = int(wrong.argmax()) + 1
            raise LifelongError(
                f"column {name!r} of {file} is infinite or beyond float32 in row {row}: "
                "rescale or drop it"
            )
    return x


def _example(values: pyarrow.ChunkedArray) -> str:
    """What is not a number in a column, in words."""
    for row, value in enumerate(values.to_pylist(), start=1):
        try:
            float(0 if value is None else value)
        except (TypeError, ValueError):
            return f"{str(value)[:40]!r} (row {row}), not a number"
    return f"{values.type}, not numbers"


def _text(read: pyarrow.Table, name: str, file: Path) -> list[str]:
    """A column as names; whole numbers lose a trailing ".0"."""
    from pyarrow import types

    column = read.column(name)
    if types.is_nested(column.type):
        raise LifelongError(f"column {name!r} of {file} holds {column.type}: give one value a row")
    values = column.to_pylist()
    distinct = list(set(values))
    names = dict(zip(distinct, label_names(distinct), strict=True))
    _present(np.array([names[value] is None for value in values]), name, file)
    short = {v: re.sub(r"^([+-]?[0-9]+)\.0+$", r"\1", str(known)) for v, known in names.items()}
    return [short[value] for value in values]


def _ids(read: pyarrow.Table, file: Path) -> np.ndarray:
    """The column ``id``: integers from 0, ``int64 [n]``."""
    from pyarrow import ArrowInvalid, int64, types

    values = read.column("id")
    _present(values.is_null(nan_is_null=True).to_numpy(), "id", file)
    wrong = LifelongError(f"column 'id' of {file} must hold integers from 0: change or rename it")
    if not types.is_integer(values.type):
        raise wrong
    try:
        ids = values.cast(int64()).to_numpy()
    except ArrowInvalid:
        raise wrong from None
    if ids.min() < 0:
        raise wrong
    return ids
