"""Your own data: arrays in memory and in ``.npz`` files."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..budget import afford
from ..errors import LifelongError, unknown
from ..samples import Dataset, Samples
from .encoder import LARGEST
from .formats import first_line, regular

BEYOND = "holds a number that is beyond float32, or whose square is: scale it down or drop it"
NPZ = ("x", "y", "x_test", "y_test", "task", "task_test")
"""The arrays of an ``.npz`` file."""


@dataclass(frozen=True)
class Table:
    """What was read, before labels become numbers: n rows."""

    labels: Sequence[str] | np.ndarray | None
    """The name of each row's class; None where there is no target column."""
    task: Sequence[Any] | None
    """The task of each row: strings, or the integers given to :func:`arrays`."""
    id: np.ndarray
    """``int64 [n]``, unique."""
    x: np.ndarray | None = None
    """Inputs ``[n, ...]``; None where they are encoded later."""
    own_ids: bool = False
    """Whether ``id`` is a column of the file; else the rows were numbered."""


def arrays(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    task: Any = None,
    task_test: Any = None,
    weight: Any = None,
    name: str = "arrays",
    classes: Sequence[object] | None = None,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """A data set of arrays.

    ``x`` is ``[n, ...]``: ``uint8`` means pixels and stays, other numbers become ``float32``. ``y``
    holds n labels of any kind; the classes are ``classes``, or the names in ``y``, sorted (whole
    numbers by value). Or ``y`` is numbers ``[n, outputs]``, multi-label targets or those of a
    regression, NaN where one is not told; the outputs are then called ``classes``, or 0, 1, 2 ...
    ``weight`` (n numbers from 0) multiplies the losses of the rows of ``x``. ``task`` (n strings or
    integers) becomes the column ``task``, for :meth:`Dataset.by`. Without ``x_test`` and ``y_test``,
    the share ``test`` of each class (and task) is held out, drawn from ``seed``: at least one sample
    of two or more. ``id`` is the row, counting through ``x`` and then ``x_test``.

        >>> data = arrays(np.eye(4), ["cat", "dog", "cat", "dog"])
        >>> data.classes, len(data.train), len(data.test)
        (('cat', 'dog'), 2, 2)

    Raises :class:`LifelongError` where lengths or shapes differ, a value is missing or not a
    number, or a label is none of the classes.
    """
    if (x_test is None) != (y_test is None):
        raise LifelongError("x_test and y_test belong together: give both or neither")
    if task_test is not None and (task is None or x_test is None):
        raise LifelongError("task_test needs task, x_test and y_test")
    targets, names = _targets(y, y_test), classes
    if targets is not None:  # one label for all, until they are held out
        names = range(targets.shape[1]) if classes is None else classes
        classes, y, y_test = None, [0] * len(y), None if y_test is None else [0] * len(y_test)
    train = _rows(x, y, task, "", 0)
    held = None if x_test is None else _rows(x_test, y_test, task_test, "_test", len(train.id))
    training, testing, known = partition(name, train, held, classes=classes, share=test, seed=seed)
    if targets is not None:
        training, testing = (s.replace(y=targets[s.id]) for s in (training, testing))
        known = tuple(map(str, names or ()))
    if weight is not None:
        weight = np.asarray(weight)
        if weight.shape != (len(train.id),):
            raise LifelongError(f"weight has shape {list(weight.shape)}: give one number a row of x")
        if weight.dtype.kind in "fiu" and (weight > LARGEST).any():
            raise LifelongError(f"weight[{(weight > LARGEST).argmax()}] {BEYOND}")
        training = training.replace(weight=weight[training.id])
    return Dataset(name, training, testing, known)


def _targets(y: Any, y_test: Any) -> np.ndarray | None:
    """Numbers ``[n, outputs]``, training then test, as ``float32``; None where y is labels."""
    found = []
    for name, part in (("y", y), ("y_test", y if y_test is None else y_test)):
        try:
            part = np.asarray(part)
        except ValueError:  # ragged
            return None
        if part.ndim != 2 or part.dtype.kind not in "fiub" or not part.shape[1]:
            return None
        with np.errstate(over="ignore"):
            part = part.astype(np.float32)
        beyond = (np.isfinite(part) & (np.abs(part) > LARGEST)).any(1)
        if beyond.any():
            raise LifelongError(f"{name}[{beyond.argmax()}] {BEYOND}")
        found.append(part)
    if found[0].shape[1] != found[1].shape[1]:
        raise LifelongError(f"y has {found[0].shape[1]} columns, y_test {found[1].shape[1]}")
    return np.concatenate(found)


def read_npz(path: Path, needed: str = "x") -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file. Raises :class:`LifelongError` where it cannot be read.

    What an array says of its size is checked against the file, and against the memory there is.
    """
    try:
        with zipfile.ZipFile(regular(path)) as file:
            parts = file.infolist()
            afford(2 * sum(part.file_size for part in parts), f"reading {path}")
            names = [part.filename.removesuffix(".npy") for part in parts]
            if len(set(names)) < len(names):
                raise LifelongError(f"{path} holds two arrays of one name: save it anew")
            found = {name: _part(file, part, path) for name, part in zip(names, parts, strict=True)}
    except LifelongError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise LifelongError(f"cannot read {path} as .npz: {first_line(error)}") from None
    if needed not in found:
        raise LifelongError(f"{path} has no array {needed}: save the inputs under that name")
    for name, array in found.items():
        rows = found.get("x_test" if name.endswith("_test") else "x")
        if rows is not None and name in NPZ and array.shape[:1] != rows.shape[:1]:
            raise LifelongError(
                f"{path}: {name} has shape {list(array.shape)} for inputs {list(rows.shape)}: "
                "give one value a sample"
            )
    return found


def _part(file: zipfile.ZipFile, part: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array of an ``.npz`` file."""
    from numpy.lib import format as npy

    if part.flag_bits & 1:
        raise LifelongError(f"{path} is encrypted: save it without a password")
    with file.open(part) as content:
        version = npy.read_magic(content)
        if version not in HEADERS:
            raise LifelongError(f"{path} has an array of an unknown version: save it with np.savez")
        shape, fortran, dtype = getattr(npy, HEADERS[version])(content)
        if dtype.hasobject:
            raise LifelongError(
                f"{path} holds an object array, which is not read for safety: "
                "save numbers and strings, as in y.astype(str)"
            )
        count = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or count != part.file_size - content.tell():
            raise LifelongError(f"{path}: {part.filename} is not of the size that it says: save it anew")
        array = np.frombuffer(bytearray(content.read()), np.uint8)
    if array.nbytes != count:
        raise LifelongError(f"{path}: {part.filename} is cut short: save it anew")
    return array.view(dtype).reshape(shape, order="F" if fortran else "C")


HEADERS = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}
"""What reads the headers of NumPy's files, by their version."""


def npz(path: Path) -> Dataset:
    """The data set of an ``.npz`` file: x, y and perhaps x_test, y_test, task, task_test."""
    found = read_npz(path)
    for key in found:
        if key not in NPZ:
            raise unknown("array", key, NPZ)
    if "y" not in found:
        raise LifelongError(f"{path} has no array y: save the labels under that name")
    return arrays(**found, name=path.stem)  # type: ignore[arg-type]


def partition(
    name: str,
    train: Table,
    test: Table | None,
    *,
    classes: Sequence[object] | None = None,
    column: str = "task",
    share: float = 0.2,
    seed: int = 0,
) -> tuple[Samples, Samples, tuple[str, ...]]:
    """Training set, test set and classes of labelled rows, whose tasks go to ``column``.

    See :func:`arrays`. The samples have no ``x`` where the rows have none.
    """
    if classes is None:
        known = _sorted(set(() if train.labels is None else train.labels))
    else:
        known = tuple(c for c in label_names(classes) if c is not None)
        if len(set(known)) < len(classes):
            raise LifelongError("classes holds a missing or repeated name: name each class once")
    if test is not None:
        _ids_apart(train, test)
        if train.x is not None and test.x is not None:
            _alike(train.x, test.x)
        if (train.task is None) != (test.task is None):
            raise LifelongError(
                "the training and the test set must both tell tasks: give task_test with task, "
                "and a folder with the same file names to test a folder"
            )
        parts = _samples(train, known, column, "training"), _samples(test, known, column, "test")
    else:
        if not 0 < share < 1:
            raise LifelongError(f"test={share}: give the share to hold out, between 0 and 1")
        if seed < 0:
            raise LifelongError(f"seed={seed}: give a whole number from 0")
        rows = _samples(train, known, column, "training")
        groups = rows.y
        if train.task is not None:
            groups = groups + len(known) * np.unique(rows.columns[column], return_inverse=True)[1]
        held = _hold_out(groups, share, seed)
        if not held.any():
            raise LifelongError(f"{name!r} has too few samples to hold some out: give a test set")
        parts = rows.take(~held), rows.take(held)
    if train.task is not None:
        tasks, tested = (set(part.columns[column].tolist()) for part in parts)
        for task in sorted(tasks ^ tested, key=str):
            where = "test" if task in tasks else "training"
            how = "give it some" if test is not None else "give two of a class, or a test set"
            raise LifelongError(f"task {task!r} has no samples in the {where} set: {how}")
    return *parts, known


def _ids_apart(train: Table, test: Table) -> None:
    """Refuse a sample of both sets, and ids that one set has and the other has not."""
    if train.own_ids != test.own_ids:
        has, lacks = ("training", "test") if train.own_ids else ("test", "training")
        raise LifelongError(
            f"the {has} set has a column 'id' and the {lacks} set has none: give it to both or neither"
        )
    both = np.intersect1d(train.id, test.id)
    if len(both):
        raise LifelongError(
            f"id {both[0]} is in the training and in the test set: make ids unique, "
            "or take the sample out of one"
        )


def _alike(x: np.ndarray, x_test: np.ndarray) -> None:
    if x.shape[1:] != x_test.shape[1:]:
        shapes = f"{list(x.shape[1:])} and {list(x_test.shape[1:])}"
        raise LifelongError(f"training and test inputs differ in shape: {shapes}")
    if x.dtype != x_test.dtype:
        raise LifelongError(f"training and test inputs differ in kind: {x.dtype} and {x_test.dtype}")


def label_names(values: Iterable[Any]) -> list[str | None]:
    """Labels of any kind as strings: 3.0 is "3"; None where one is missing (None, NaN, "")."""
    return [_name(value) for value in values]


def numbers(x: Any, name: str) -> np.ndarray:
    """``x`` as ``uint8`` or ``float32 [n, ...]``; errors call it ``name``."""
    try:
        x = np.asarray(x)
    except ValueError:
        raise LifelongError(f"{name} is ragged: give all samples the same shape") from None
    if x.dtype.kind not in "fiub":
        raise LifelongError(f"{name} holds {x.dtype}, not numbers: convert it first")
    if x.ndim < 2 or 0 in x.shape:
        raise LifelongError(f"{name} has shape {list(x.shape)}: give [n, ...], at least [1, 1]")
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32, copy=False)
        flat = x.reshape(len(x), -1)
        bad = ~np.isfinite(flat).all(1)
        if bad.any():
            raise LifelongError(f"{name}[{bad.argmax()}] holds NaN or infinity: fill or drop it")
        beyond = (np.abs(flat) > LARGEST).any(1)
        if beyond.any():
            raise LifelongError(f"{name}[{beyond.argmax()}] {BEYOND}")
    return x


def _rows(x: Any, y: Any, task: Any, suffix: str, first_id: int) -> Table:
    """Arrays as a table; ``suffix`` tells the test set's in errors."""
    x = numbers(x, f"x{suffix}")
    labels = _names(_values(y, len(x), f"y{suffix}"), f"y{suffix}")
    tasks: list[Any] | None = None
    if task is not None:
        tasks = _values(task, len(x), f"task{suffix}")
        if not all(type(value) is int for value in tasks):
            tasks = _names(tasks, f"task{suffix}")
    return Table(labels, tasks, np.arange(first_id, first_id + len(x)), x)


def _values(values: Any, n: int, name: str) -> list[Any]:
    """One plain Python value a sample."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise LifelongError(f"{name} is {values!r}: give one value a sample")
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    if len(values) != n:
        raise LifelongError(f"{name} has {len(values)} values for {n} samples: give one a sample")
    if any(isinstance(v, list | tuple | dict | set | np.ndarray) for v in values):
        raise LifelongError(f"{name} holds more than one value a sample: give one, as in [0, 2, 1]")
    return values


def _names(values: list[Any], name: str) -> list[str]:
    names = label_names(values)
    if None in names:
        raise LifelongError(f"{name}[{names.index(None)}] is missing: fill or drop it")
    return cast(list[str], names)


def _name(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Whole numbers by value, anything else as text."""
    if all(re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", name, re.ASCII) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _samples(table: Table, classes: tuple[str, ...], column: str, part: str) -> Samples:
    """Labelled rows, the labels as indices into ``classes``."""
    index = {name: i for i, name in enumerate(classes)}
    labels = () if table.labels is None else table.labels
    for label in labels:
        if label not in index:
            known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
            raise LifelongError(f"label {label!r} of the {part} set is none of the classes {known}")
    y = np.array([index[label] for label in labels], np.int64)
    columns = {} if table.x is None else {"x": table.x}
    columns |= {"y": y, "id": table.id}
    return Samples(**columns if table.task is None else columns | {column: np.array(table.task)})


def _hold_out(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A mask of ``share`` of each group: at least one of two or more, never all."""
    rng, mask = np.random.default_rng(seed), np.zeros(len(groups), bool)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        mask[rng.permutation(rows)[:count]] = True
    return mask
