"""CSV, JSONL and Parquet files as Arrow tables: what a file claims is checked before it is believed."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..budget import afford, size
from ..errors import LifelongError

if TYPE_CHECKING:
    import pyarrow

LARGE = 2**26
"""A CSV file of more bytes (64 MB) is read in two passes, in a third of the memory."""
BLOCK, LINES = 2**22, 2**14
"""Bytes of a CSV file, and lines of a JSONL file or rows of a Parquet file, that are read at once."""
PART, LONGEST = 2**28, 2**26
"""Bytes of JSONL lines that are read at once at most, and of one of them."""
DEPTH = 64
"""Lists and objects within one another, in a line of JSON."""
COLUMNS = 10_000
"""Different keys in a JSONL file: each is a column of all its rows."""


def regular(path: Path) -> Path:
    """The path of a file that can be read to its end: no folder, pipe or device.

    Raises :class:`LifelongError` where it is none.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise LifelongError(f"there is no file {path}: check the path") from None
    except (OSError, ValueError) as error:
        raise LifelongError(f"cannot read {path}: {first_line(error)}") from None
    if stat.S_ISDIR(mode):
        raise LifelongError(f"{path} is a folder: give a file")
    if not stat.S_ISREG(mode):
        raise LifelongError(f"{path} is a pipe or a device, not a file: check the path")
    return path


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, ``~`` being the home folder, of what may be there or not.

    Raises :class:`LifelongError` where nobody can tell.
    """
    try:
        whole = Path(path).expanduser()
        whole.exists()
    except (OSError, RuntimeError) as error:
        raise LifelongError(f"cannot read {path}: {first_line(error)}") from None
    return whole


def listed(folder: Path) -> list[Path]:
    """What is in a folder. Raises :class:`LifelongError` where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise LifelongError(f"cannot read {folder}: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """An error of another library, fit for a message of one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """What goes wrong in a file, in one line."""
    import pyarrow

    try:
        yield
    except LifelongError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        if "Empty CSV" in str(error):
            raise LifelongError(f"{file} holds no rows: give it a header and rows") from None
        if isinstance(error, MemoryError):
            raise LifelongError(f"{file} takes more memory than there is: split it") from None
        raise LifelongError(
            f"cannot read {file}: {first_line(error)} (is it whole, and is its text UTF-8?)"
        ) from None


def named(names: Collection[str], file: Path | str) -> None:
    """Refuse columns without a name, and two of one name."""
    for name, count in Counter(names).items():
        if not name or name.startswith("__index_level_"):
            raise LifelongError(
                f"{file} has a column without a name: give it one, "
                "or save it without the index (index=False in pandas)"
            )
        if count > 1:
            raise LifelongError(f"{file} has {count} columns called {name!r}: rename them")


def plain(table: pyarrow.Table) -> pyarrow.Table:
    """The same, its dictionaries decoded and its views of text or bytes made ordinary columns."""
    from pyarrow import large_binary, large_string, types

    for i, field in enumerate(table.schema):
        kind = field.type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_string_view(kind):
            kind = large_string()
        elif types.is_binary_view(kind):
            kind = large_binary()
        if kind != field.type:
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    return table


# ---- CSV
def csv_table(file: Path, text: Collection[str] = ()) -> pyarrow.Table:
    """A whole CSV file; the columns named in ``text`` are read as they are written.

    The whole of a column decides its type, not its beginning.
    """
    from pyarrow import csv, string

    count = file.stat().st_size
    if count > LARGE:
        return _large_csv(file, text)
    afford(8 * count, f"reading {file}")
    with reading(file):
        table = csv.read_csv(
            file,
            csv.ReadOptions(block_size=count + 1),
            convert_options=_conversion(dict.fromkeys(text, string())),
        )
        named(table.schema.names, file)
    return table


def csv_tables(file: Path) -> Iterator[pyarrow.Table]:
    """A CSV file, some rows at a time, all of its columns as text."""
    from pyarrow import Table, csv, string

    several = csv.ReadOptions(block_size=BLOCK), csv.ParseOptions(newlines_in_values=True)
    with reading(file):
        with csv.open_csv(file, *several) as batches:
            names = batches.schema.names
            named(names, file)
        with csv.open_csv(
            file, *several, convert_options=_conversion(dict.fromkeys(names, string()))
        ) as batches:
            for batch in batches:
                yield Table.from_batches([batch])


def _conversion(types: dict[str, pyarrow.DataType]) -> Any:
    from pyarrow import csv

    return csv.ConvertOptions(column_types=types, strings_can_be_null=True)


def _large_csv(file: Path, text: Collection[str]) -> pyarrow.Table:
    """In two passes: the types of the columns, then the columns."""
    from pyarrow import compute, csv, string, types

    ladder, rows, count = _ladder(), 0, 0
    kinds: dict[str, list[pyarrow.DataType]] = {}
    for table in csv_tables(file):
        rows += table.num_rows
        for name in table.column_names:
            column = table.column(name)
            count += column.nbytes
            left = kinds.setdefault(name, [] if name in text else ladder)
            if left:
                trimmed = compute.utf8_trim(column, " \t")
                kinds[name] = [kind for kind in left if _holds(trimmed, kind)]
    found = {name: left[0] if left else string() for name, left in kinds.items()}
    numbers = sum(not types.is_string(kind) for kind in found.values())
    afford(8 * rows * numbers + count * (numbers < len(found)), f"reading {file}")
    several = csv.ReadOptions(block_size=BLOCK), csv.ParseOptions(newlines_in_values=True)
    with reading(file):
        return csv.read_csv(file, *several, _conversion(found))


def _ladder() -> list[pyarrow.DataType]:
    """The types that the values of a column may have, the first that fits all of them being its own."""
    from pyarrow import bool_, date32, float64, int64, null, time32, timestamp

    moments = [timestamp(unit, zone) for zone in (None, "UTC") for unit in ("s", "ns")]
    return [null(), int64(), bool_(), date32(), time32("s"), *moments, float64()]


def _holds(column: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> bool:
    """Whether all values of a column of text are of this type."""
    from pyarrow import ArrowException, compute, types

    if types.is_null(kind):
        return column.null_count == len(column)
    if types.is_time(kind):
        times = compute.match_substring_regex(column, "^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$")
        return compute.all(times).as_py() is not False
    try:
        column.cast(kind)
    except ArrowException:
        return False
    return True


# ---- JSONL
def json_table(file: Path, columns: int = COLUMNS) -> pyarrow.Table:
    """A whole JSONL file."""
    import pyarrow

    with reading(file), file.open("rb") as lines:
        parts = list(json_tables(lines, file, columns))
    if not parts:
        raise LifelongError(f"{file} holds no rows: give it a JSON object a line")
    try:
        return pyarrow.concat_tables(parts, promote_options="permissive")
    except pyarrow.ArrowException:
        kinds: dict[str, pyarrow.DataType] = {}
        for part in parts:
            for field in part.schema:
                _alike(field, kinds.setdefault(field.name, field.type), file)
                if pyarrow.types.is_null(kinds[field.name]):
                    kinds[field.name] = field.type
        raise


def json_tables(lines: IO[bytes], name: Path | str, columns: int = COLUMNS) -> Iterator[pyarrow.Table]:
    """A JSONL file, some rows at a time; errors call it ``name``.

    Raises :class:`LifelongError` where a line is no JSON object in UTF-8, names a key twice, is nested
    deeper than ``DEPTH`` or longer than ``LONGEST`` bytes, or there are more than ``columns`` keys.
    """
    start, known, rows = 1, dict[str, None](), 0
    while some := _some(lines, name, start):
        if start == 1:
            some[0] = some[0].removeprefix(b"\xef\xbb\xbf")
        numbered = [(i, line) for i, line in enumerate(some, start) if line.strip()]
        found = [_row(line, f"line {i} of {name}") for i, line in numbered]
        start, rows = start + len(some), rows + len(found)
        for row in found:
            known.update(dict.fromkeys(row))
        if len(known) > columns:
            raise LifelongError(
                f"{name} has more than {columns:,} different keys, each a column of all rows: "
                "put numbers that belong together into one list, or allow more columns"
            )
        afford(8 * rows * len(known), f"reading {name}, {rows:,} rows of {len(known):,} columns,")
        if found:
            yield _columns(found, name)


def _some(lines: IO[bytes], name: Path | str, start: int) -> list[bytes]:
    """The next lines."""
    some: list[bytes] = []
    held = 0
    while len(some) < LINES and held < PART and (line := lines.readline(LONGEST + 1)):
        if len(line) > LONGEST:
            raise LifelongError(
                f"line {start + len(some)} of {name} is longer than {size(LONGEST)}: "
                "write one JSON object a line"
            )
        some.append(line)
        held += len(line)
    return some


def _row(line: bytes, where: str) -> dict[str, Any]:
    """One line of JSON, an object."""
    if line.count(b"[") + line.count(b"{") > DEPTH and _depth(line) > DEPTH:
        raise LifelongError(f"{where} is nested more than {DEPTH} deep: write numbers, text or lists")
    try:
        row = json.loads(line.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise LifelongError(f"{where} is not UTF-8: save the file as UTF-8") from None
    except ValueError as error:
        raise LifelongError(
            f"{where} is no JSON object ({first_line(error)}): write one a line"
        ) from None
    if not isinstance(row, dict):
        raise LifelongError(f"{where} is no JSON object: write one a line")
    return row


def _depth(line: bytes) -> int:
    """How many lists and objects lie within one another."""
    depth = deepest = 0
    for mark in re.findall(rb'[][{}]|"(?:[^"\\]|\\.)*"', line):
        depth += (mark in b"[{") - (mark in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each key once."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return made


def _columns(rows: list[dict[str, Any]], name: Path | str) -> pyarrow.Table:
    """Objects as a table; a key that one lacks is missing there."""
    import pyarrow

    keys = list(dict.fromkeys(key for row in rows for key in row))
    made = {key: _column([row.get(key) for row in rows], key, name) for key in keys}
    named(keys, name)
    return pyarrow.table(made) if made else pyarrow.table({"": pyarrow.nulls(len(rows))}).select([])


def _column(values: list[Any], key: str, name: Path | str) -> pyarrow.Array:
    """Values of JSON as an Arrow array; whole numbers beyond 64 bits become floating ones."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        first, then = sorted(KINDS.get(kind, kind.__name__) for kind in kinds)[:2]
        raise LifelongError(
            f"column {key!r} of {name} holds a {first} in one row and a {then} in another: "
            "write all of them alike"
        )
    try:
        if kinds <= {int, float} and (float in kinds or _beyond(values)):
            return pyarrow.array([None if value is None else float(value) for value in values])
        return pyarrow.array(values)
    except OverflowError:
        raise LifelongError(
            f"column {key!r} of {name} holds a number that is too large: write it as text"
        ) from None
    except (pyarrow.ArrowException, UnicodeError) as error:
        raise LifelongError(
            f"column {key!r} of {name} cannot be read ({first_line(error)}): write its values alike"
        ) from None


KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
"""What the types of JSON are called."""


def _beyond(values: list[Any]) -> bool:
    """Whether whole numbers do not fit into 64 bits."""
    return any(value is not None and not -(2**63) <= value < 2**63 for value in values)


def _alike(field: pyarrow.Field, kind: pyarrow.DataType, file: Path | str) -> None:
    """Refuse columns whose parts cannot be joined."""
    import pyarrow

    parts = [pyarrow.schema([(field.name, each)]) for each in (kind, field.type)]
    try:
        pyarrow.unify_schemas(parts, promote_options="permissive")
    except pyarrow.ArrowException:
        raise LifelongError(
            f"column {field.name!r} of {file} holds {kind} in one row and {field.type} in another: "
            "write all of them alike"
        ) from None


# ---- Parquet
def parquet_rows(file: Path) -> tuple[pyarrow.Schema, int]:
    """(the schema as :func:`plain` makes it, the number of rows) of a Parquet file."""
    from pyarrow import parquet

    with reading(file), parquet.ParquetFile(file) as opened:
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
        groups = [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
        named(schema.names, file)
        schema = plain(schema.empty_table()).schema
    if rows < 0 or min(groups, default=0) < 0 or sum(groups) != rows:
        raise LifelongError(f"{file} is damaged: its parts hold other rows than it says; write it anew")
    afford(40 * rows, f"reading the {rows:,} rows of {file}")
    return schema, rows


def parquet_tables(
    file: Path, rows: int = LINES, columns: list[str] | None = None, **options: Any
) -> Iterator[pyarrow.Table]:
    """A Parquet file, some rows at a time."""
    import pyarrow
    from pyarrow import parquet

    with reading(file), parquet.ParquetFile(file, **options) as opened:
        for batch in opened.iter_batches(rows, columns=columns):
            table = pyarrow.Table.from_batches([batch])
            table.validate(full=True)  # that text is UTF-8, that places lie within their lists
            yield plain(table if columns is None else table.select(columns))
