"""Estimators as arrays and JSON, and back: nothing is unpickled, and nothing is used unchecked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from ..errors import LifelongError, damaged, intact, of_types, unknown
from ..files import read_arrays
from ..memory import ADMISSIONS, Memory
from ..samples import Samples
from ..versions import find

FORMAT = 3
BESIDES = ("classes_", "n_features_in_", "feature_names_in_")
"""What is learned outside ``_start``."""
COLUMNS = "river_columns"
"""The one attribute besides hyper-parameters and what is learned: see :mod:`lifelong.linear.river`."""


KEPT: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Loaded learner: what its file held beside it, a :class:`lifelong.linear.runner.Kept`."""


# ---- writing
def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON; its arrays go to ``arrays`` under ``name``."""
    if isinstance(value, BaseEstimator):
        if hasattr(value, "_trim") and any(name.endswith("_") for name in vars(value)):
            value._trim()
        held = {key: pack(v, f"{name}/{key}", arrays) for key, v in vars(value).items()}
        return {"estimator": type(value).__name__, "holds": held}
    if isinstance(value, sp.csr_array | sp.csr_matrix):
        arrays |= {f"{name}/{key}": getattr(value, key) for key in ("data", "indices", "indptr")}
        return {"csr": list(value.shape)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "USO":
        return {"names": value.tolist(), "kind": value.dtype.kind}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.Generator):
        return {"rng": value.bit_generator.state}
    if isinstance(value, Memory):
        columns = None if value.samples is None else dict(value.samples.columns)
        return {"memory": pack(vars(value) | {"samples": columns}, name, arrays)}
    if isinstance(value, dict):
        return {"dict": [[k, pack(v, f"{name}/{i}", arrays)] for i, (k, v) in enumerate(value.items())]}
    if isinstance(value, list | tuple):
        packed = [pack(v, f"{name}/{i}", arrays) for i, v in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise LifelongError(f"{name.lstrip('/')} is {value!r}, which a file without pickle cannot hold")


# ---- reading
def load(path: str | Path) -> Any:
    """The estimator that :meth:`Incremental.save` wrote. Nothing is unpickled.

    All of it is checked before it is used: hyper-parameters, names, types, shapes, ranges. What else a
    run wrote into the file (its result, guard sets, the encoder) is kept, and written again by ``save``.

    Args:
        path: a file, or the folder of a run: the version in use.

    Raises:
        LifelongError: where the file is missing, damaged, or holds no estimator.
    """
    from .runner import kept_of

    path = find(path) if Path(path).is_dir() else Path(path)
    learner, arrays, whole = load_all(path)
    if "guards" in whole:
        KEPT[learner] = kept_of(path, learner, arrays, whole)
    return learner


def load_all(path: str | Path) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """(the estimator, the arrays, the manifest) of a file, which may hold more; as :func:`load`."""
    with intact(str(path)):
        arrays, whole = read_arrays(Path(path))
        if "linear" not in whole:
            raise LifelongError(f"{path} holds no linear learner: read it with ll.load")
        if whole["format"] != FORMAT:
            raise LifelongError(f"{path} has format {whole['format']}, this version reads {FORMAT}")
    learner = unpack(whole["linear"], "", arrays, path)
    if not isinstance(learner, BaseEstimator):
        raise damaged(str(path), "it holds no estimator")
    return learner, arrays, whole


def unpack(packed: Any, name: str, arrays: dict[str, np.ndarray], path: str | Path) -> Any:
    """What :func:`pack` packed, checked; ``path`` is what an error calls it.

    Raises:
        LifelongError: where it is not what :func:`pack` could have made of what was learned.
    """
    with intact(str(path)):
        try:
            return _unpacked(packed, name, arrays)
        except LifelongError as error:  # a class's own check: here it speaks of the file
            raise ValueError(str(error)) from None


def _unpacked(packed: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if packed is None or isinstance(packed, bool | int | float | str):
        return packed
    ensure(isinstance(packed, dict) and len(packed) > 0, f"{name} is no packed value")
    kind, content = next(iter(packed.items()))
    beside = {"estimator": {"holds"}, "names": {"kind"}}.get(kind, set())
    ensure(packed.keys() == {kind} | beside, f"{name} has keys {list(packed)}")
    if kind == "estimator":
        return _estimator(content, packed["holds"], name, arrays)
    if kind == "csr":
        return _csr([arrays[f"{name}/{k}"] for k in ("data", "indices", "indptr")], content, name)
    if kind == "names":
        return _names(content, packed["kind"], name)
    if kind == "array":
        ensure(arrays[name].dtype.str == content, f"{name} is {arrays[name].dtype.str}, not {content}")
        return arrays[name]
    if kind == "rng":
        return _generator(content)
    if kind == "memory":
        return _memory(_unpacked(content, name, arrays))
    if kind == "dict":
        made = {k: _unpacked(v, f"{name}/{i}", arrays) for i, (k, v) in enumerate(content)}
        ensure(len(made) == len(content), f"{name} has a key twice")
        return made
    ensure(kind in ("list", "tuple") and isinstance(content, list), f"{name} has keys {list(packed)}")
    found = [_unpacked(v, f"{name}/{i}", arrays) for i, v in enumerate(content)]
    return found if kind == "list" else tuple(found)


def _estimator(kind: Any, holds: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The estimator, checked by itself."""
    made = estimator(kind)
    options = made.get_params(deep=False).keys()
    ensure(isinstance(holds, dict), f"{name} holds {holds!r}")
    for key in holds:
        taken = hasattr(type(made), key) and key not in getattr(type(made), "former", ())
        public = key.endswith("_") and not key.startswith("_") and not taken
        ensure(key in options or public or key == COLUMNS, f"{kind} has no {key!r}")
    ensure(options <= holds.keys(), f"{kind} lacks {sorted(options - holds.keys())}")
    vars(made).clear()
    vars(made).update({k: _unpacked(v, f"{name}/{k}", arrays) for k, v in holds.items()})
    if getattr(made, "keeps_rows", False) and hasattr(made, "classes_"):
        made._complete()
    made._verify()
    return made


def estimator(name: Any) -> Any:
    """A fresh estimator of ``lifelong.linear`` by its class name."""
    from .. import linear

    kind = getattr(linear, name) if name in linear.__all__ else None
    if not isinstance(kind, type) or not hasattr(kind, "_verify"):
        raise ValueError(str(unknown("estimator", name, linear.__all__)))
    return kind()


def _csr(parts: list[np.ndarray], shape: Any, name: str) -> sp.csr_array:
    """Checked before SciPy sees it, which reads out of bounds where ``indptr`` is wrong."""
    data, indices, indptr = parts
    ensure(len(shape) == 2 and whole(shape[0]) and whole(shape[1]), f"{name} is of shape {shape}")
    ensure(data.ndim == 1 and len(data) == len(indices), f"{name} has entries without a column")
    places(indices, shape[1], f"a column of {name}")
    places(indptr, len(indices) + 1, f"a row of {name}")
    ends = len(indptr) == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == len(indices)
    ensure(ends and (np.diff(indptr) >= 0).all(), f"{name} has no {shape[0]} rows")
    return sp.csr_array((data, indices, indptr), tuple(shape))


def _names(content: Any, kind: Any, name: str) -> np.ndarray:
    words = isinstance(content, list) and all(isinstance(word, str) for word in content)
    numbers = isinstance(content, list) and all(type(word) is int for word in content)
    ensure(words or (numbers and kind == "O"), f"{name} are no names")
    ensure(kind in ("U", "O"), f"{name} are of kind {kind!r}")
    return np.array(content, object if kind == "O" else str)


def _generator(state: Any) -> np.random.Generator:
    made = np.random.default_rng()
    made.bit_generator.state = state
    ensure(state.keys() == made.bit_generator.state.keys(), "a generator's state is incomplete")
    inner = state["state"]
    ensure(inner["inc"] % 2 == 1 and state["has_uint32"] in (0, 1), "a generator's state cannot be")
    return made


def _memory(held: Any) -> Memory:
    memory = Memory(None)
    needed = {"admission", "group", "limit", "each", "samples", "keys", "offered"}
    ensure(isinstance(held, dict) and needed <= held.keys() <= vars(memory).keys(), "it is no memory")
    columns = held["samples"]
    vars(memory).update(held | {"samples": None if columns is None else Samples(**columns)})
    limit = memory.limit
    if limit is not None:
        ensure(isinstance(limit, tuple) and whole(limit[0], 1), f"a memory's limit is {limit!r}")
        ensure(limit[1] in ("samples", "a class", "bytes"), f"a memory's limit is {limit!r}")
    each = limit is not None and limit[1] == "a class"
    ensure(memory.each is each and memory.group == "y", "a memory's groups are not its limit's")
    ensure(memory.admission in ADMISSIONS, f"a memory's admission is {memory.admission!r}")
    vector(memory.keys, "float64", len(memory), "the memory's keys")
    ensure(whole(memory.offered, len(memory)), f"a memory was offered {memory.offered!r} samples")
    return memory


# ---- checking, in the words of the classes' ``_verify``
def ensure(fact: Any, what: str) -> None:
    """Raise ValueError with ``what`` is wrong, where a fact is none."""
    if not fact:
        raise ValueError(what)


def whole(value: Any, least: int = 0) -> bool:
    """Whether it is a whole number from ``least``."""
    return type(value) is int and value >= least


def finite(array: np.ndarray) -> bool:
    """Whether all numbers are finite, at no more than a pass."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def vector(array: Any, dtype: str, length: int, name: str) -> None:
    """Ensure an array ``[length]`` of finite numbers."""
    matrix(array, dtype, (length,), name)


def matrix(array: Any, dtype: str, shape: tuple[int, ...], name: str) -> None:
    """Ensure an array of that shape, of finite numbers."""
    fits = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape
    ensure(fits and finite(array), f"{name} is no array of finite {dtype} {list(shape)}")


def places(array: Any, count: int, name: str, unique: bool = False) -> None:
    """Ensure whole numbers from 0 to below ``count``, with ``unique`` each at most once."""
    ensure(array.dtype.kind == "i" and array.ndim == 1, f"{name} is no list of whole numbers")
    inside = not len(array) or (array.min() >= 0 and array.max() < count)
    ensure(inside, f"{name} is outside 0 to {count - 1}")
    ensure(not unique or len(np.unique(array)) == len(array), f"{name} has a place twice")


def ids(array: Any, following: Any) -> None:
    """Ensure different ids of rows, below the one from which others are counted on.

    Rows of a file of version 0.1.0 may have ids below 0: nobody knows them.
    """
    fits = isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1
    ensure(fits and len(np.unique(array)) == len(array), "ids_ are no different whole numbers")
    ensure(whole(following, int(array.max(initial=-1)) + 1), f"next_id_ is {following!r}")


def alike(held: Any, fresh: Any, of: str) -> None:
    """Ensure that an attribute is of the kind that it has when learning starts: type, dtype, axes."""
    if isinstance(fresh, np.ndarray):
        fits = isinstance(held, np.ndarray) and held.dtype == fresh.dtype
        ensure(fits and held.ndim == fresh.ndim, f"{of} is no array of {fresh.dtype}")
        ensure(finite(held), f"{of} is not finite")
    elif type(fresh) is int:
        ensure(whole(held), f"{of} is {held!r}")
    elif type(fresh) is float:
        ensure(type(held) is float and np.isfinite(held), f"{of} is {held!r}")
    else:
        ensure(type(held) is type(fresh), f"{of} is no {type(fresh).__name__}")


def attributes(made: Any, fresh: Any) -> None:
    """Ensure that an estimator holds what a fresh one does, of the same kinds, and nothing else."""
    expected = learned(fresh)
    ensure(learned(made) == expected, f"it differs in {sorted(learned(made) ^ expected)}")
    for name in expected:
        alike(getattr(made, name), getattr(fresh, name), f"{name} of {type(made).__name__}")


def learned(made: BaseEstimator) -> set[str]:
    """The names of what it has learned itself."""
    return vars(made).keys() - {*made.get_params(deep=False), *BESIDES, COLUMNS}


def options(made: BaseEstimator) -> None:
    """Ensure that the hyper-parameters are of the types of their fields, or stand for such.

    A whole number may stand for true or false, a number without a fraction for a whole one, a list for
    a tuple; NumPy's numbers are numbers.
    """
    kind = type(made)
    found = {}
    for name, hint in get_type_hints(kind).items():
        if name not in made.get_params(deep=False) or hint is Any:
            continue
        kinds, value = get_args(hint) or (hint,), getattr(made, name)
        if isinstance(value, np.generic):
            value = value.item()
        if bool in kinds and value in (0, 1):
            value = bool(value)
        if int in kinds and isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, list):
            value = tuple(value)
        ensure(not isinstance(value, float) or not np.isnan(value), f"{name} of {kind.__name__} is NaN")
        found[name] = value
    of_types(found, kind, kind.__name__)


def labels(classes: Any) -> None:
    """Ensure that ``classes_`` are labels of one kind, each once."""
    fine = isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes) > 0
    ensure(fine and classes.dtype.kind in "bifuUO" and finite(classes), "classes_ are no labels")
    ensure(len(set(classes.tolist())) == len(classes), "classes_ has a label twice")
