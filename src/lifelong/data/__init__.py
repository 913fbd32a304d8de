"""Data sets: published ones and your own, each one function.

>>> digits().train
Samples(x: uint8[1438, 8, 8], y: int64[1438], id: int64[1438])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import LifelongError, unknown
from ..samples import Dataset
from .encoder import Encoder
from .formats import COLUMNS, STDIN, expanded
from .frameworks import from_huggingface, from_tensorflow, from_torch
from .images import images, is_images
from .own import arrays, npz
from .published import cifar10, cifar100, digits, fashion_mnist, mnist, mnist_5k, omniglot
from .tables import AnyPath, is_tables, table
from .texts import PUBLISHED as TEXTS
from .texts import blocks as text_blocks
from .texts import has_column, texts, unlabelled_texts
from .texts import published as published_texts

__all__ = [
    "DATASETS", "TEXTS", "Encoder", "Entry", "arrays", "cifar10", "cifar100", "digits",
    "fashion_mnist", "from_huggingface", "from_tensorflow", "from_torch", "has_column", "images",
    "load", "mnist", "mnist_5k", "omniglot", "published_texts", "table", "text_blocks", "texts",
    "unlabelled_texts",
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
    "cifar10": Entry(
        cifar10,
        "photos, 32 x 32 in colour, 170 MB to download (a part in LIFELONG_DATA is named cifar10-6k)",
        60_000,
        10,
    ),
    "cifar100": Entry(cifar100, "photos, 32 x 32 in colour, 169 MB to download", 60_000, 100),
    "omniglot": Entry(
        omniglot, "letters of 50 alphabets (--by alphabet), 105 x 105, 16 MB to download", 32_460, 1_623
    ),
}
"""The data sets that :func:`load` knows by name."""


OPTIONS: dict[str, tuple[str, ...]] = {
    "tables": (
        "target",
        "by",
        "test",
        "scale",
        "missing",
        "sep",
        "encoding",
        "columns",
        "drop",
        "dates",
        "most_columns",
    ),
    "images": ("test", "image_size"),
    "arrays": (),
    "data sets with a name": (),
}
"""What :func:`load` can be told of each kind of data."""


def kind(name_or_path: AnyPath) -> str:
    """The kind of data, a key of ``OPTIONS``. Raises :class:`LifelongError` where there is none."""
    given, path = str(name_or_path), expanded(name_or_path)
    if path == STDIN:
        return "tables"
    if given in DATASETS:
        return "data sets with a name"
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            names = ", ".join([*DATASETS, *TEXTS])
            raise LifelongError(f"there is no file {given!r}: check the path, or choose from {names}")
        raise unknown("data set or file", given, [*DATASETS, *TEXTS])
    if path.suffix.lower() == ".npz":
        return "arrays"
    return "tables" if is_tables(path) or not is_images(path) else "images"


def load(
    name_or_path: AnyPath,
    *,
    target: str | Sequence[str] = "label",
    by: str | None = None,
    test: AnyPath | None = None,
    scale: str = "first",
    missing: str = "refuse",
    image_size: Sequence[int] | int | None = None,
    most_columns: int | None = None,
    sep: str | None = None,
    encoding: str = "utf-8",
    columns: Sequence[str] = (),
    drop: Sequence[str] = (),
    dates: Sequence[str] = (),
) -> Dataset:
    """A data set by its name in ``DATASETS``, or of files.

    A path is a ``.csv`` or ``.parquet`` file or a folder of them (see :func:`table`, which takes all but
    ``image_size``), a folder with one folder of
    images a class (see :func:`images`, which takes ``test`` and ``image_size``), or an ``.npz`` file
    of arrays x, y and perhaps x_test, y_test, task and task_test (see :func:`arrays`). A name comes
    before a path: a folder called ``mnist`` is ``./mnist``. Raises :class:`LifelongError` where there
    is neither, or an option means nothing for this kind of data.
    """
    what = kind(name_or_path)
    options = {"by": by, "test": test, "image_size": image_size, "most_columns": most_columns} | {
        "target": None if target == "label" else target,
        "scale": None if scale == "first" else scale,
        "missing": None if missing == "refuse" else missing,
        "encoding": None if encoding == "utf-8" else encoding,
        "sep": sep,
        "columns": columns or None,
        "drop": drop or None,
        "dates": dates or None,
    }
    for option, value in options.items():
        if value is not None and option not in OPTIONS[what]:
            takers = " and ".join(k for k, known in OPTIONS.items() if option in known)
            raise LifelongError(f"{option} is for {takers}: {str(name_or_path)!r} takes none")
    if what == "tables":
        most = COLUMNS if most_columns is None else most_columns
        return table(
            name_or_path, target, by, test, scale=scale, missing=missing, most_columns=most, sep=sep,
            encoding=encoding, columns=columns, drop=drop, dates=dates,
        )  # fmt: skip
    if what == "images":
        return images(name_or_path, test, image_size)
    return npz(expanded(name_or_path)) if what == "arrays" else DATASETS[str(name_or_path)].load()
