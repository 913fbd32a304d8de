"""Data sets: four published ones and your own, each one function.

>>> digits().train
Samples(x: uint8[1438, 8, 8], y: int64[1438], id: int64[1438])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import LifelongError, unknown
from ..samples import Dataset
from .own import Table, arrays, npz
from .published import digits, fashion_mnist, mnist, mnist_5k
from .tables import AnyPath, features, read_table, table

__all__ = [
    "DATASETS", "Entry", "Table", "arrays", "digits", "fashion_mnist", "features", "load", "mnist",
    "mnist_5k", "read_table", "table",
]  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A registered data set."""

    load: Callable[[], Dataset]
    description: str
    images: int
    """Training and test images together."""
    classes: int


DATASETS: dict[str, Entry] = {
    "mnist-5k": Entry(mnist_5k, "handwritten digits, 28 x 28, no download", 5_000, 10),
    "digits": Entry(digits, "handwritten digits, 8 x 8, no download", 1_797, 10),
    "mnist": Entry(mnist, "handwritten digits, 28 x 28, 12 MB to download", 70_000, 10),
    "fashion-mnist": Entry(fashion_mnist, "clothes, 28 x 28, 31 MB to download", 70_000, 10),
}
"""The data sets that :func:`load` knows by name."""


def load(
    name_or_path: AnyPath,
    *,
    target: str = "label",
    by: str | None = None,
    test: AnyPath | None = None,
) -> Dataset:
    """A data set by its name in ``DATASETS``, or of files.

    A path is a ``.csv`` or ``.parquet`` file, a folder of them (see :func:`table`, which takes
    ``target``, ``by`` and ``test``), or an ``.npz`` file of arrays x, y and perhaps x_test, y_test,
    task and task_test (see :func:`arrays`). A name comes before a path: a folder called ``mnist``
    is ``./mnist``. Raises :class:`LifelongError` where there is neither.
    """
    given, path = str(name_or_path), Path(name_or_path).expanduser()
    if given in DATASETS or path.suffix.lower() == ".npz":
        if (target, by, test) != ("label", None, None):
            raise LifelongError(f"target, by and test are for tables: {given!r} needs none of them")
        if given in DATASETS:
            return DATASETS[given].load()
    if path.exists():
        return npz(path) if path.suffix.lower() == ".npz" else table(path, target, by, test)
    if path.suffix or len(path.parts) > 1:
        names = ", ".join(DATASETS)
        raise LifelongError(f"there is no file {given!r}: check the path, or choose from {names}")
    raise unknown("data set or file", given, DATASETS)
