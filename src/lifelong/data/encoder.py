"""Columns of a table as numbers.

What they depend on (categories, means, standard deviations) is learned from the training rows of the
first task, is kept with the model, and never changes: later files are encoded as the first was.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import LifelongError, one_of

if TYPE_CHECKING:
    import pyarrow

SCALES = ("first", "none")
MISSING = ("refuse", "mean", "indicator")
CATEGORIES = 256
"""More different texts than these, in one column of the first task, are taken for free text or ids."""
LARGEST = float(np.sqrt(np.finfo(np.float32).max))
"""Some 1.8e19: the square of a larger number is beyond float32, and training squares its inputs."""
CONSTANT = 2.0**-23
"""A deviation below so much of the mean, a step of float32 there, is taken for rounding."""
WIDEST = 2**24
"""More numbers than these are in no vector."""


class Chunk(NamedTuple):
    """Rows of a file; for errors, the file's name and the rows' numbers in it, from 1."""

    table: pyarrow.Table
    file: str | Path
    rows: np.ndarray


@dataclass(frozen=True)
class Column:
    """A column of a table, and how it becomes columns of ``x``.

    ========  ======================  ========================================================
    kind      the column holds        columns of ``x``
    ========  ======================  ========================================================
    number    numbers or booleans     (value - mean) / sd
    vector    lists of ``size``       the entries, all with one mean and sd, which keeps their
              numbers (embeddings)    geometry
    category  text                    0 or 1 for each category, and for "none of them"
    date      dates or times, or      days since 1970, scaled as numbers are
              text in ISO 8601
    ========  ======================  ========================================================

    Where the first task's values are all but equal, ``sd`` is their magnitude; see :func:`deviation`.
    """

    name: str
    kind: str
    size: int = 1
    mean: float = 0.0
    sd: float = 1.0
    fill: float = 0.0
    """What stands in ``x`` for a missing number."""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """Tables to ``float32 [n, width]``; made by :meth:`fit`, saved with the model as JSON."""

    columns: tuple[Column, ...]
    missing: str = "refuse"
    """A missing value is refused; or is the first task's ``mean``; or 0, with an ``indicator``: a
    column of ``x`` for each number and vector that is 1 where it is missing. A missing text is a
    category not seen."""

    @staticmethod
    def fit(
        chunks: Iterable[Chunk],
        scale: str = "first",
        missing: str = "refuse",
        dates: Collection[str] = (),
    ) -> Encoder:
        """Learn from rows, all with the same columns; ``scale="none"`` keeps numbers as they are.

        The columns named in ``dates`` are dates.

        Raises :class:`LifelongError` where a column is of no kind that :class:`Column` lists, holds
        nothing or a number beyond ``LARGEST``, or holds more than ``CATEGORIES`` texts (or 20, if that
        is for half of the rows).
        """
        one_of("scale", scale, SCALES)
        one_of("missing", missing, MISSING)
        kinds: dict[str, str] = {}
        sizes: dict[str, int] = {}
        moments: dict[str, _Moments] = defaultdict(_Moments)
        texts: dict[str, set[str]] = defaultdict(set)
        n = 0
        for chunk in chunks:
            n += len(chunk.rows)
            for name in chunk.table.column_names:
                kind = "date" if name in dates else _kind(chunk, name)
                if kinds.setdefault(name, kind) == "category":
                    known = _texts(chunk, name, missing)
                    texts[name] |= set(known.unique().drop_null().to_pylist())
                    _bounded(texts[name], CATEGORIES, n, chunk, name)
                else:
                    date = kinds[name] == "date"
                    size = sizes.setdefault(name, 1 if date else _size(chunk, name))
                    values = _numbers(chunk, name, size, missing, date)
                    moments[name].add(values[~np.isnan(values)])
        columns = []
        for name, kind in kinds.items():
            if not (moments[name].n or texts[name]):
                raise LifelongError(f"column {name!r} has no value in the first task: drop it")
            if kind == "category":
                _bounded(texts[name], max(20, n // 2), n, chunk, name)
                columns.append(Column(name, kind, categories=tuple(sorted(texts[name]))))
                continue
            mean, sd = moments[name].mean, moments[name].sd
            scaled = (mean, sd, 0.0) if scale == "first" else (0.0, 1.0, mean)
            if missing == "indicator":
                scaled = (*scaled[:2], 0.0)
            columns.append(Column(name, kind, sizes[name], *scaled))
        return Encoder(tuple(columns), missing)

    @property
    def names(self) -> list[str]:
        """The names of the columns of ``x``: ``price``, ``price is missing``, ``colour=red``."""
        names: list[str] = []
        for c in self.columns:
            if c.kind == "category":
                names += [f"{c.name}={value}" for value in c.categories] + [f"{c.name} not seen"]
                continue
            names += [c.name] if c.kind != "vector" else [f"{c.name}[{i}]" for i in range(c.size)]
            names += [f"{c.name} is missing"] * (self.missing == "indicator")
        return names

    def transform(self, chunk: Chunk) -> np.ndarray:
        """The rows as ``float32 [n, len(names)]``; the order of the table's columns is no matter.

        Raises :class:`LifelongError` where a value is missing, is not of its column's kind, or is beyond
        ``LARGEST`` as it is or scaled.
        """
        from pyarrow import array, compute, string

        blocks = []
        for c in self.columns:
            if c.kind == "category":
                texts = _texts(chunk, c.name, self.missing)
                known = compute.index_in(texts, value_set=array(c.categories, string()))
                codes = known.fill_null(len(c.categories)).to_numpy()
                blocks.append(codes[:, None] == np.arange(len(c.categories) + 1))
                continue
            values = _numbers(chunk, c.name, c.size, self.missing, c.kind == "date")
            missing = np.isnan(values)
            scaled = np.where(missing, c.fill, (values - c.mean) / c.sd)
            _refuse((np.abs(scaled) > LARGEST).any(axis=1), chunk, c.name, *BEYOND)
            blocks.append(scaled)
            if self.missing == "indicator":
                blocks.append(missing[:, :1])
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="unsafe")

    def unseen(self, chunk: Chunk) -> dict[str, int]:
        """Of each column of categories, how many rows hold one that was not seen, if any does."""
        from pyarrow import array, compute, string

        found = {}
        for c in self.columns:
            if c.kind == "category":
                texts = _texts(chunk, c.name, self.missing).drop_null()
                known = compute.is_in(texts, value_set=array(c.categories, string()))
                if count := len(known) - (compute.sum(known).as_py() or 0):
                    found[c.name] = count
        return found

    def to_json(self) -> dict[str, Any]:
        """For a model's file."""
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> Encoder:
        """What :meth:`to_json` wrote. Raises :class:`LifelongError` where it is anything else."""
        if not isinstance(value, dict) or set(value) != {"columns", "missing"}:
            raise _damaged("it has not the parts 'columns' and 'missing'")
        if not isinstance(value["missing"], str) or value["missing"] not in MISSING:
            raise _damaged("its rule for missing values is unknown")
        if not isinstance(value["columns"], list) or not value["columns"]:
            raise _damaged("it has no columns")
        columns = tuple(_column(column) for column in value["columns"])
        if len({column.name for column in columns}) < len(columns):
            raise _damaged("two columns have one name")
        return Encoder(columns, value["missing"])


def deviation(mean: Any, sd: Any) -> Any:
    """What to divide by: ``sd``; where the values were all but equal 1, or 1 % of them if that is more.

    Arrays or numbers of one shape. A column that was 5.0000001 and 5 has a deviation of rounding alone:
    by it, a later 4 would be a million deviations away. A deviation below ``CONSTANT`` times the mean
    is such. Then a later value that is twice as large, or 0, is at most a hundred deviations away.
    """
    size = np.abs(mean)
    return np.where(sd > CONSTANT * size, sd, np.maximum(size / 100, 1.0))


def _column(value: Any) -> Column:
    """A column as :meth:`Encoder.to_json` writes it."""
    if not isinstance(value, dict) or set(value) != {f.name for f in fields(Column)}:
        raise _damaged("a column has other parts than a column has")
    name, kind, size = value["name"], value["kind"], value["size"]
    if not isinstance(name, str) or not name:
        raise _damaged("a column has no name")
    if kind not in ("number", "vector", "category", "date"):
        raise _damaged(f"column {name!r} is of no known kind")
    if type(size) is not int or not 1 <= size <= (WIDEST if kind == "vector" else 1):
        raise _damaged(f"column {name!r} cannot be of size {size!r}")
    mean, sd, fill = (value[part] for part in ("mean", "sd", "fill"))
    if not all(type(v) in (int, float) and abs(v) <= sys.float_info.max for v in (mean, sd, fill)):
        raise _damaged(f"a statistic of column {name!r} is no finite number")
    if sd <= 0:
        raise _damaged(f"the deviation of column {name!r} is not above 0")
    categories = value["categories"]
    if not isinstance(categories, list | tuple) or not all(isinstance(c, str) for c in categories):
        raise _damaged(f"the categories of column {name!r} are no texts")
    if len(set(categories)) < len(categories) or bool(categories) != (kind == "category"):
        raise _damaged(f"the categories of column {name!r} are not what its kind asks for")
    return Column(name, kind, size, float(mean), float(sd), float(fill), tuple(categories))


def _damaged(what: str) -> LifelongError:
    return LifelongError(f"the encoder of this model is damaged ({what}): take another copy of the file")


class _Moments:
    """Mean and standard deviation of values that come in parts (Chan, Golub & LeVeque, 1979)."""

    n, mean, squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        if values.size:
            total, gap = self.n + values.size, float(values.mean()) - self.mean
            self.squares += float(values.var()) * values.size + gap**2 * self.n * values.size / total
            self.n, self.mean = total, self.mean + gap * values.size / total

    @property
    def sd(self) -> float:
        """As :func:`deviation` has it."""
        return float(deviation(self.mean, np.sqrt(self.squares / self.n)))


def _kind(chunk: Chunk, name: str) -> str:
    """Number, vector or category."""
    from pyarrow import types

    kind = chunk.table.column(name).type
    if is_text(kind):
        return "category"
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    value = kind.value_type if lists else kind
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    if not any(is_kind(value) for is_kind in numeric):
        raise LifelongError(
            f"column {name!r} of {chunk.file} holds {kind}, neither numbers nor text nor lists of "
            f"numbers: drop it (--drop {name}), or name it as the target or the task column; dates "
            f"become numbers of days by --dates {name}"
        )
    return "vector" if lists else "number"


def _size(chunk: Chunk, name: str) -> int:
    """How many numbers the first row with a value holds."""
    from pyarrow import compute

    if _kind(chunk, name) == "number":
        return 1
    lengths = compute.list_value_length(chunk.table.column(name)).drop_null()
    if not len(lengths) or not lengths[0].as_py():
        raise LifelongError(f"column {name!r} of {chunk.file} has no value in its first rows: drop it")
    return lengths[0].as_py()


def _days(chunk: Chunk, name: str) -> pyarrow.ChunkedArray:
    """A column of dates or times as days since 1970, in the time of their zone, or UTC, ``float64``."""
    from pyarrow import ArrowException, compute, float64, int64, scalar, string, timestamp, types

    column = chunk.table.column(name)
    kind = column.type
    if types.is_null(kind):
        return column.cast(float64())
    if is_text(kind):
        column = compute.utf8_trim_whitespace(column.cast(string()))
        column = compute.if_else(compute.equal(column, ""), scalar(None, string()), column)
    elif not (types.is_date(kind) or types.is_timestamp(kind)):
        raise LifelongError(f"column {name!r} of {chunk.file} holds {kind}, no dates: leave --dates")
    if types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(timestamp(kind.unit, "UTC"))
    for zone in (None, "UTC"):
        try:
            times = column.cast(timestamp("us", zone), safe=False).cast(int64())
        except ArrowException:
            continue
        return compute.divide(times.cast(float64()), 86_400e6)
    numbered = [(i, v) for i, v in zip(chunk.rows, column.to_pylist(), strict=True) if v is not None]
    row, value = next((pair for pair in numbered if _odd(pair[1])), numbered[0])
    raise LifelongError(
        f"column {name!r} of {chunk.file} holds {str(value)[:40]!r} (row {row}), no date as 2026-01-31 "
        "or 2026-01-31 08:30, or one with a zone beside others without: write all of them alike"
    )


def _odd(value: Any) -> bool:
    """Whether a text is no date or time without a zone."""
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return True


def _numbers(chunk: Chunk, name: str, size: int, missing: str, date: bool = False) -> np.ndarray:
    """A column as ``float64 [n, size]``; all of a row is NaN where a part of it is missing."""
    from pyarrow import ArrowException, compute, float64, types

    column = _days(chunk, name) if date else chunk.table.column(name)
    x = np.full((len(chunk.rows), size), np.nan)
    lengths, needs = np.ones(len(x)), "a number" if size == 1 else f"{size} numbers"
    try:
        if types.is_nested(column.type):
            lengths = compute.list_value_length(column).cast(float64()).to_numpy()
            column = compute.list_flatten(column)
        values = column.cast(float64(), safe=False).to_numpy()
    except (ArrowException, NotImplementedError):
        raise LifelongError(
            f"column {name!r} of {chunk.file} holds {_strange(chunk, name)}, where the first task "
            f"has {needs}: correct or remove it"
        ) from None
    present = ~np.isnan(lengths)
    _refuse(present & (lengths != size), chunk, name, f"does not hold {needs}", "correct or drop it")
    x[present] = values.reshape(-1, size)
    _refuse((np.abs(x) > LARGEST).any(1), chunk, name, *BEYOND)
    gone = np.isnan(x).any(1)
    if missing == "refuse":
        _present(gone, chunk, name)
    x[gone] = np.nan
    return x


def _texts(chunk: Chunk, name: str, missing: str) -> pyarrow.ChunkedArray:
    """A column as strings, null where one is missing."""
    from pyarrow import ArrowException, compute, scalar, string

    try:
        texts = chunk.table.column(name).cast(string())
    except ArrowException:
        kind = chunk.table.column(name).type
        raise LifelongError(f"column {name!r} of {chunk.file} holds {kind}: give text") from None
    texts = compute.if_else(compute.equal(texts, ""), scalar(None, string()), texts)
    if missing == "refuse":
        _present(texts.is_null().to_numpy(), chunk, name)
    return texts


def _bounded(texts: set[str], most: int, n: int, chunk: Chunk, name: str) -> None:
    if len(texts) > most:
        raise LifelongError(
            f"column {name!r} of {chunk.file} holds {len(texts)} different texts in {n:,} rows, such as "
            f"{min(texts)[:40]!r}: that is free text or an id; remove it, give vectors made from it, "
            f"or let a linear method read it: --method cw --text {name}"
        )


def _present(gone: np.ndarray, chunk: Chunk, name: str) -> None:
    what = "fill it, drop the row, or train with --missing mean or --missing indicator"
    _refuse(gone, chunk, name, "has no value", what)


BEYOND = "is infinite or beyond float32", "rescale or drop it (its square must be a float32 too)"
"""What :func:`_refuse` says of a number that is too large."""


def _refuse(bad: Any, chunk: Chunk, name: str, says: str, what: str) -> None:
    if bad.any():
        row = chunk.rows[bad.argmax()]
        raise LifelongError(f"column {name!r} of {chunk.file} {says} in row {row}: {what}")


def _strange(chunk: Chunk, name: str) -> str:
    """The first value that is no number, in words."""
    for row, value in zip(chunk.rows, chunk.table.column(name).to_pylist(), strict=True):
        if not is_number(value):
            return f"{str(value)[:40]!r} (row {row})"
    return str(chunk.table.column(name).type)


def is_text(kind: pyarrow.DataType) -> bool:
    """Whether a column of this type holds text."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_number(value: Any) -> bool:
    """Whether it reads as a number, as Arrow reads; None does. ``1_000`` and other digits do not."""
    if isinstance(value, str) and not re.fullmatch(r"[ \t]*[-+.0-9A-Za-z]+[ \t]*", value):
        return False
    return reads_as_number(value)


def reads_as_number(value: Any) -> bool:
    """Whether Python makes a number of it, in whatever digits; None is one."""
    try:
        float(0 if value is None else value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
