"""CSV, JSONL and Parquet files as Arrow tables: what a file claims is checked before it is believed."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..budget import afford, size
from ..errors import LifelongError, intact, require, unknown

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
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
"""Tables, by the end of their names; behind all but the last may stand ``.gz``."""
STDIN = Path("-")
"""Standard input, where a file is asked for."""


@dataclass(frozen=True)
class Reading:
    """How tables are read. What is asked of a kind of file means nothing to the other kinds.

    Raises :class:`LifelongError` where there is no such encoding, or a separator is not one sign.
    """

    sep: str | None = None
    """Between the columns of a CSV file; None: a comma, in ``.tsv`` a tab."""
    encoding: str = "utf-8"
    """Of the text in CSV and JSONL files."""
    columns: tuple[str, ...] = ()
    """The columns that are read; (): all."""
    drop: tuple[str, ...] = ()
    """Columns that are not read."""
    needs: bool = True
    """Whether the columns to drop must be there."""
    must: tuple[str, ...] = ()
    """Columns without which nothing is read (JSONL: in its first lines)."""
    most_columns: int = COLUMNS
    """Different keys of a JSONL file that are read, at most."""

    def __post_init__(self) -> None:
        sep = self.sep
        if sep is not None and (len(sep) != 1 or sep in '"\r\n' or not sep.isascii()):
            raise LifelongError(f"sep={sep!r}: give one sign, as in --sep ';' (tab: --sep '\\t')")
        try:
            io.TextIOWrapper(io.BytesIO(), self.encoding)
        except (LookupError, ValueError):
            raise LifelongError(
                f"unknown encoding {self.encoding!r}: give one as utf-8, latin-1, cp1252 or gb18030"
            ) from None

    @property
    def recodes(self) -> bool:
        """Whether text has to be made UTF-8."""
        return codecs.lookup(self.encoding).name not in ("utf-8", "ascii")

    def keeps(self, name: str) -> bool:
        """Whether a column is read."""
        return name not in self.drop and (not self.columns or name in self.columns)

    def kept(self, names: Collection[str], file: Path | str) -> list[str]:
        """The columns of a file that are read, each with a name of its own."""
        for name in self.drop if self.needs else ():
            if name not in names:
                raise unknown(f"column to drop from {file}:", name, names)
        self.requires(names, file)
        kept = [name for name in names if self.keeps(name)]
        named(kept, file)
        return kept

    def requires(self, names: Collection[str], file: Path | str) -> None:
        """Refuse a file without a column that must be there."""
        for name in self.must:
            if name not in names:
                raise no_column(name, names, file)


PLAIN = Reading()


def no_column(name: str, names: Collection[str], file: Path | str) -> LifelongError:
    """The error for a column that is not there."""
    only = next(iter(names)) if len(names) == 1 else ""
    for sep in (";", "\t", ",", "|"):
        if sep in only:
            return LifelongError(
                f"{file} has the one column {only!r}: tell what separates columns, --sep {sep!r}"
            )
    return unknown("column", name, list(names)[:MOST_NAMES])


MOST_NAMES = 1000
"""Names of columns that an error looks through."""


def checked_how(how: Any, name: str) -> dict[str, Any]:
    """What a model remembers of how its files were read: {} where it does not.

    The columns ``target`` (one or several), ``text`` and ``by``; ``sep``, ``encoding``, ``columns`` and
    ``drop`` as :class:`Reading` has them. Raises :class:`LifelongError` where it is anything else.
    """
    lists = ("columns", "drop")
    with intact(name):
        require(isinstance(how, dict | None), "how its files were read is no object")
        for key, value in (how or {}).items():
            several = isinstance(value, list) and all(isinstance(part, str) for part in value)
            one = value is None or isinstance(value, str)
            fine = several if key in lists else one or (several and key == "target")
            require(fine and key in HOW, f"how its files were read: {key!r} cannot be so")
        return how or {}


HOW = ("target", "text", "by", "sep", "encoding", "columns", "drop")
"""What a model remembers."""


def form(path: str | os.PathLike[str]) -> tuple[str, str]:
    """(the name without it, the suffix of the format in lower case) of a file: ("week1", ".csv").

    So of ``week1.csv`` and of ``week1.csv.gz``.
    """
    name = Path(path).name
    packed = name.lower().endswith(".gz")
    inner = Path(name[:-3] if packed else name)
    suffix = inner.suffix.lower()
    return (inner.stem, suffix) if not packed or suffix in FORMATS[:-1] else (Path(name).stem, ".gz")


def opened(file: Path | bytes, how: Reading = PLAIN) -> IO[bytes]:
    """The content of a text file, or of what was read of one: unpacked, as UTF-8."""
    if isinstance(file, bytes):
        raw: IO[bytes] = io.BytesIO(file)
    else:
        raw = file.open("rb")
        if file.suffix.lower() == ".gz":
            raw = _Unpacked(fileobj=raw)  # type: ignore[assignment]
    return recoded(raw, how)


def recoded(raw: IO[bytes], how: Reading) -> IO[bytes]:
    """Text as UTF-8."""
    return io.BufferedReader(_Recoded(raw, how.encoding)) if how.recodes else raw


class _Unpacked(gzip.GzipFile):
    """What a file packed by gzip holds; closes the file too."""

    def close(self) -> None:
        packed: Any = self.fileobj
        super().close()
        if packed is not None:
            packed.close()


class _Recoded(io.RawIOBase):
    """Text of one encoding as UTF-8."""

    def __init__(self, raw: IO[bytes], encoding: str) -> None:
        self.text, self.rest = io.TextIOWrapper(raw, encoding, newline=""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.rest = self.rest or self.text.read(2**16).encode(errors="replace")
        count = min(len(buffer), len(self.rest))
        buffer[:count], self.rest = self.rest[:count], self.rest[count:]
        return count

    def close(self) -> None:
        self.text.close()
        super().close()


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


FAULTS = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)
NO_UTF8 = "is not UTF-8: give its encoding, as in --encoding latin-1, or save it as UTF-8"
"""What is said of a file, a line or a column."""


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """What goes wrong in a file, in one line."""
    import pyarrow

    try:
        yield
    except LifelongError:
        raise
    except (pyarrow.ArrowException, *FAULTS) as error:
        if "Empty CSV" in str(error):
            raise LifelongError(f"{file} holds no rows: give it a header and rows") from None
        if isinstance(error, MemoryError):
            raise LifelongError(f"{file} takes more memory than there is: split it") from None
        utf8 = getattr(error, "encoding", "") == "utf-8" or "invalid UTF8" in str(error)
        if isinstance(error, UnicodeError) and not utf8:
            raise LifelongError(f"{file} is of another encoding: give its own --encoding") from None
        if utf8:
            raise LifelongError(f"{file} {NO_UTF8}") from None
        raise LifelongError(f"cannot read {file}: {first_line(error)} (is it whole?)") from None


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
def csv_table(
    file: Path, text: Collection[str] = (), how: Reading = PLAIN, content: bytes | None = None
) -> pyarrow.Table:
    """A whole CSV file, or its ``content``; the columns named in ``text`` are read as they are written.

    The whole of a column decides its type, not its beginning. Only what is empty is missing.
    """
    from pyarrow import BufferReader, csv, string, types

    source: Any = file
    count = file.stat().st_size if content is None else 0
    with reading(file):
        if content is not None or how.recodes or file.suffix.lower() == ".gz":
            with opened(file if content is None else content, how) as stream:
                head = stream.read(LARGE + 1)
            source, count = BufferReader(head), len(head)
        if count > LARGE:
            return _large_csv(file, text, how, content)
        if count == 0:
            raise LifelongError(f"{file} is empty: give it a header and rows")
        afford(8 * count, f"reading {file}")
        parse = _parsing(file, how)
        names = None
        if how.columns or how.drop:
            several = csv.ReadOptions(block_size=BLOCK)
            with csv.open_csv(source, several, _parsing(file, how, True)) as batches:
                names = how.kept(batches.schema.names, file)
            if content is not None or source is not file:
                source = BufferReader(head)
        conversion = _conversion(dict.fromkeys(text, string()), names)
        table = csv.read_csv(source, csv.ReadOptions(block_size=count + 1), parse, conversion)
        named(table.schema.names, file)
        for field in table.schema:
            if types.is_binary(field.type):
                raise LifelongError(f"column {field.name!r} of {file} {NO_UTF8}")
    return table


def csv_tables(
    file: Path, how: Reading = PLAIN, content: bytes | None = None
) -> Iterator[pyarrow.Table]:
    """A CSV file, some rows at a time, all of its columns as text."""
    from pyarrow import Table, csv, string

    several = csv.ReadOptions(block_size=BLOCK), _parsing(file, how, True)
    given = file if content is None else content
    with reading(file):
        with opened(given, how) as stream, csv.open_csv(stream, *several) as batches:
            names = how.kept(batches.schema.names, file)
        conversion = _conversion(dict.fromkeys(names, string()), names)
        with opened(given, how) as stream, csv.open_csv(stream, *several, conversion) as batches:
            for batch in batches:
                yield Table.from_batches([batch])


def _parsing(file: Path, how: Reading, lines: bool = False) -> Any:
    """What stands between columns; ``lines``: whether a value that goes on over lines may be cut."""
    from pyarrow import csv

    tab = form(file)[1] == ".tsv"
    sep = how.sep if how.sep is not None else "\t" if tab else ","
    return csv.ParseOptions(delimiter=sep, newlines_in_values=lines)


def _conversion(types: dict[str, pyarrow.DataType], names: list[str] | None) -> Any:
    """Only what is empty is missing: ``NA``, ``null`` and ``nan`` are names."""
    from pyarrow import csv

    options = {"column_types": types, "strings_can_be_null": True, "null_values": [""]}
    return csv.ConvertOptions(**options, include_columns=names)


def _large_csv(file: Path, text: Collection[str], how: Reading, content: bytes | None) -> pyarrow.Table:
    """In two passes: the types of the columns, then the columns."""
    from pyarrow import compute, csv, string, types

    ladder, rows, count = _ladder(), 0, 0
    kinds: dict[str, list[pyarrow.DataType]] = {}
    for table in csv_tables(file, how, content):
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
    several = csv.ReadOptions(block_size=BLOCK), _parsing(file, how, True)
    with reading(file), opened(file if content is None else content, how) as stream:
        return csv.read_csv(stream, *several, _conversion(found, list(found)))


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
def json_table(file: Path, how: Reading = PLAIN, content: bytes | None = None) -> pyarrow.Table:
    """A whole JSONL file, or its ``content``."""
    import pyarrow

    with reading(file), opened(file if content is None else content, how) as lines:
        parts = list(json_tables(lines, file, how))
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


def json_tables(lines: IO[bytes], name: Path | str, how: Reading = PLAIN) -> Iterator[pyarrow.Table]:
    """A JSONL file, some rows at a time; errors call it ``name``. A lone surrogate becomes U+FFFD.

    Raises :class:`LifelongError` where a line is no JSON object in UTF-8, names a key twice, is nested
    deeper than ``DEPTH`` or longer than ``LONGEST`` bytes, or there are more than ``most_columns`` keys.
    """
    start, known, rows, columns = 1, dict[str, None](), 0, how.most_columns
    missing = set(how.drop if how.needs else ())
    while some := _some(lines, name, start):
        if start == 1:
            some[0] = some[0].removeprefix(b"\xef\xbb\xbf")
        numbered = [(i, line) for i, line in enumerate(some, start) if line.strip()]
        found = [_row(line, f"line {i} of {name}") for i, line in numbered]
        start, rows = start + len(some), rows + len(found)
        for row in found:
            missing.difference_update(row)
            known.update(dict.fromkeys(filter(how.keeps, row)))
        if rows == len(found) > 0:
            how.requires(dict.fromkeys(key for row in found for key in row), name)
        if len(known) > columns:
            raise LifelongError(
                f"{name} has more than {columns:,} different keys, each a column of all rows: "
                "put numbers that belong together into one list, or allow more columns"
            )
        afford(8 * rows * len(known), f"reading {name}, {rows:,} rows of {len(known):,} columns,")
        if found:
            yield _columns(found, name, how)
    if rows and missing:
        raise unknown(f"column to drop from {name}:", min(missing), known)


def _some(lines: IO[bytes], name: Path | str, start: int) -> list[bytes]:
    """The next lines."""
    some: list[bytes] = []
    held = 0
    while len(some) < LINES and held < PART and (line := _line(lines, name)):
        if len(line) > LONGEST:
            raise LifelongError(
                f"line {start + len(some)} of {name} is longer than {size(LONGEST)}: "
                "write one JSON object a line"
            )
        some.append(line)
        held += len(line)
    return some


def _line(lines: IO[bytes], name: Path | str) -> bytes:
    with reading(name):
        return lines.readline(LONGEST + 1)


def _row(line: bytes, where: str) -> dict[str, Any]:
    """One line of JSON, an object."""
    if line.count(b"[") + line.count(b"{") > DEPTH and _depth(line) > DEPTH:
        raise LifelongError(f"{where} is nested more than {DEPTH} deep: write numbers, text or lists")
    try:
        row = json.loads(line.decode(), object_pairs_hook=_object)
        row = _whole(row) if SURROGATE.search(line) else row
    except UnicodeDecodeError:
        raise LifelongError(f"{where} {NO_UTF8}") from None
    except ValueError as error:
        raise LifelongError(
            f"{where} is no JSON object ({first_line(error)}): write one a line"
        ) from None
    if not isinstance(row, dict):
        raise LifelongError(f"{where} is no JSON object: write one a line")
    return row


SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""One half of a character of UTF-16, as JSON may write it."""


def _whole(value: Any) -> Any:
    """What JSON held, halves of characters that stand alone replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return _object([(_whole(key), _whole(held)) for key, held in value.items()])
    return [_whole(held) for held in value] if isinstance(value, list) else value


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


def _columns(rows: list[dict[str, Any]], name: Path | str, how: Reading) -> pyarrow.Table:
    """Objects as a table; a key that one lacks is missing there."""
    import pyarrow

    keys = list(dict.fromkeys(key for row in rows for key in row if how.keeps(key)))
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
def parquet_rows(file: Path, how: Reading = PLAIN) -> tuple[pyarrow.Schema, int]:
    """(the columns that are read, as :func:`plain` makes them, the number of rows) of a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    with reading(file), parquet.ParquetFile(file) as whole:
        schema, rows = whole.schema_arrow, whole.metadata.num_rows
        groups = [whole.metadata.row_group(i).num_rows for i in range(whole.metadata.num_row_groups)]
        kept = {*how.kept(schema.names, file)}
        schema = pyarrow.schema([field for field in schema if field.name in kept])
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

    with reading(file), parquet.ParquetFile(file, **options) as whole:
        for batch in whole.iter_batches(rows, columns=columns):
            table = pyarrow.Table.from_batches([batch])
            table.validate(full=True)  # that text is UTF-8, that places lie within their lists
            yield plain(table if columns is None else table.select(columns))
