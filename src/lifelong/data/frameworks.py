"""Your own data: the data sets of PyTorch, TensorFlow and Hugging Face, read into memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..budget import afford
from ..errors import LifelongError, unknown
from ..samples import Dataset
from .formats import named, plain
from .images import GREY, eight_bits, stack
from .own import arrays, label_names, partition
from .tables import Source, encoded, gather

Pairs = tuple[np.ndarray, list[Any]]


def from_torch(
    train: Any, test: Any = None, *, name: str = "torch", classes: Sequence[object] | None = None
) -> Dataset:
    """A data set of map-style PyTorch data sets whose samples are pairs (x, y).

    ``x`` is a tensor, an array or a Pillow image, all of one shape and kind: ``uint8`` means pixels.
    A tensor ``[channels, height, width]`` of 1 or 3 channels, as torchvision makes them, becomes
    ``[height, width]`` or ``[height, width, 3]``. ``y`` is a label; or an index into ``classes``, or
    into the ``classes`` of its own data set, the training or the test set (those of a subset are the
    whole's). Without ``test``, 20 % of each class are held out. ``id`` is the place in ``train``, then
    ``test``. Raises :class:`LifelongError` as :func:`arrays`, and where a data set has no places or
    its samples are batches.
    """
    found = _pairs(_places(train))
    held = None if test is None else _pairs(_places(test))
    return _arrays(found, held, name, classes, *map(_classes, (train, test)))


def from_tensorflow(
    train: Any,
    test: Any = None,
    *,
    name: str = "tensorflow",
    classes: Sequence[object] | None = None,
) -> Dataset:
    """A data set of ``tf.data.Dataset`` whose elements are pairs (x, y), not batches of them.

    As :func:`from_torch`, images being ``[height, width, channels]``, and the names those in the data
    set's ``class_names``.
    """
    found = _pairs(_elements(train))
    held = None if test is None else _pairs(_elements(test))
    return _arrays(found, held, name, classes, *map(_classes, (train, test)))


def _places(data: Any) -> Iterator[Any]:
    """The samples of a map-style data set of PyTorch."""
    kind = type(data).__name__
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise LifelongError(
            f"{kind} has no length or places: give a map-style data set (of a DataLoader its .dataset)"
        )
    for i in range(len(data)):
        try:
            yield data[i]
        except NotImplementedError:
            raise LifelongError(
                f"{kind} is a stream without places: give a map-style data set"
            ) from None


def _elements(data: Any) -> Iterator[Any]:
    """The elements of a data set of TensorFlow."""
    if not hasattr(data, "as_numpy_iterator"):
        raise LifelongError(f"{type(data).__name__} is no tf.data.Dataset: make one of it")
    if int(data.cardinality()) == ENDLESS:
        raise LifelongError("this data set repeats without an end: give it before .repeat()")
    return data.as_numpy_iterator()


ENDLESS = -1
"""``tf.data.INFINITE_CARDINALITY``."""


def _classes(data: Any) -> list[Any] | None:
    """The names that a data set has for its labels; of a subset or a join, those of the whole."""
    for name in ("classes", "class_names"):
        if (found := getattr(data, name, None)) is not None:
            return list(found)
    if hasattr(data, "datasets"):
        parts = [_classes(part) for part in data.datasets]
        if any(part != parts[0] for part in parts):
            raise LifelongError("the joined data sets have other classes each: give labels by name")
        return parts[0]
    return _classes(data.dataset) if hasattr(data, "dataset") else None


def from_huggingface(
    data: Any,
    test: Any = None,
    *,
    target: str = "label",
    by: str | None = None,
    scale: str = "first",
    missing: str = "refuse",
    image_size: Sequence[int] | int | None = None,
    name: str = "huggingface",
) -> Dataset:
    """A data set of a Hugging Face ``Dataset``, or of ``train`` and ``test`` of a dict of them.

    With a column of images, that is ``x``, read as by :func:`images`; otherwise all columns but
    ``target``, ``by`` and ``id`` are inputs, encoded as by :func:`table`. The classes of a target
    with names (``ClassLabel``) keep their order. Without a test set, 20 % of each class (and task)
    are held out. Raises :class:`LifelongError` as those two.
    """
    if hasattr(data, "keys") and hasattr(data, "items"):
        if "train" not in data:
            raise LifelongError(f"the data sets are {', '.join(data)}: call the one to learn 'train'")
        data, test = data["train"], data.get("test") if test is None else test
    for part in (data,) if test is None else (data, test):
        if not all(hasattr(part, name) for name in ("__len__", "with_format", "features")):
            raise LifelongError(
                f"{type(part).__name__} is a stream or no data set: load it without streaming=True"
            )
    for column in (target,) if by is None else (target, by):
        if column not in data.column_names:
            raise unknown("column", column, data.column_names)
    pictures = [c for c, feature in data.features.items() if type(feature).__name__ == "Image"]
    if len(pictures) > 1:
        raise LifelongError(f"there are images in {', '.join(pictures)}: remove all columns but one")
    rows = gather([_source(data, "the training set", pictures)], target, by)
    held = None
    if test is not None:
        held = gather([_source(test, "the test set", pictures)], target, by, first_id=len(data))
    classes = getattr(data.features[target], "names", None)
    if classes is not None:
        used = {*rows.labels, *(() if held is None else held.labels)}  # type: ignore[misc]
        classes = [c for c in label_names(classes) if c in used]
    if not pictures:
        return encoded(name, rows, held, by or "task", scale, missing, classes=classes)
    x = stack(_Pictures([part for part in (data, test) if part is not None], pictures[0]), image_size)
    rows = replace(rows, x=x[: len(data)])
    held = None if held is None else replace(held, x=x[len(data) :])
    parts = partition(name, rows, held, column=by or "task", classes=classes)
    return Dataset(name, *parts, own_ids=rows.own_ids)


@dataclass(frozen=True)
class _Pictures(Collection[Any]):
    """The images in a column of Hugging Face data sets, each decoded when its turn comes."""

    parts: Sequence[Any]
    column: str

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Any]:
        return (image for part in self.parts for image in part.with_format(None)[self.column])

    def __contains__(self, image: object) -> bool:
        return any(image is each for each in self)


def _source(data: Any, name: str, pictures: Sequence[str]) -> Source:
    """All but the images, as an Arrow table; numbers that stand for names become them."""
    import pyarrow

    held = data.remove_columns(pictures).with_format("arrow")[:]
    for i, column in enumerate(held.column_names):
        names = getattr(data.features[column], "names", None)
        if names is not None:
            values = held.column(column).to_pylist()
            for row, value in enumerate(values, 1):
                if value is not None and value >= len(names):
                    raise LifelongError(
                        f"column {column!r} of {name} holds {value} in row {row}, where there are "
                        f"{len(names)} names: name them all"
                    )
            texts = [None if v is None or v < 0 else names[v] for v in values]
            held = held.set_column(i, column, pyarrow.array(texts, pyarrow.string()))
    named(held.schema.names, name)
    held = plain(held)
    return Source(name, held.schema, held.num_rows, held)


def _pairs(samples: Iterable[Any]) -> Pairs:
    """All inputs, and all labels."""
    x, y = [], []
    for i, sample in enumerate(samples):
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise LifelongError(f"sample {i} is {type(sample).__name__}, not a pair (x, y): make it one")
        label = sample[1].tolist() if hasattr(sample[1], "tolist") else sample[1]
        if isinstance(label, list | tuple):
            raise LifelongError(
                f"sample {i} has {len(label)} labels: give one a sample, not batches or one-hot rows "
                "(.unbatch() in TensorFlow, a DataLoader's .dataset in PyTorch)"
            )
        if sample[0] is None or label is None:
            what = "input" if sample[0] is None else "label"
            raise LifelongError(f"the {what} of sample {i} is missing (None): fill or drop it")
        x.append(_input(sample[0], i))
        y.append(label)
        if x[i].shape != x[0].shape or x[i].dtype != x[0].dtype:
            kinds = [f"{each.dtype}{list(each.shape)}" for each in (x[i], x[0])]
            raise LifelongError(f"sample {i} is {kinds[0]}, the first is {kinds[1]}: make them alike")
    if not x:
        raise LifelongError("the data set is empty: give it at least one sample")
    afford(len(x) * x[0].nbytes, f"{len(x):,} samples of shape {list(x[0].shape)}")
    return np.stack(x), y


def _input(x: Any, i: int) -> np.ndarray:
    """One input, images with the channels last and without the axis of a single one."""
    if hasattr(x, "convert"):  # a Pillow image
        eight_bits(x, f"image {i}")
        return np.asarray(x.convert("L" if x.mode in GREY else "RGB"))
    if hasattr(x, "detach"):  # a tensor of PyTorch
        x = x.detach().cpu().numpy()
        if x.ndim == 3 and x.shape[0] in (1, 3):
            x = np.moveaxis(x, 0, -1)
    x = np.asarray(x)
    return x[..., 0] if x.ndim == 3 and x.shape[-1] == 1 else x


def _arrays(
    train: Pairs,
    test: Pairs | None,
    name: str,
    classes: Sequence[object] | None,
    own: Sequence[object] | None,
    own_test: Sequence[object] | None,
) -> Dataset:
    """The data set, its labels by name where they are places in ``classes`` or in its own names."""

    def named(labels: list[Any], names: Sequence[object] | None) -> list[Any]:
        for i, label in enumerate(labels):
            if names is not None and isinstance(label, int) and not 0 <= label < len(names):
                raise LifelongError(
                    f"label {label} of sample {i} is none of the {len(names)} classes: name them all"
                )
        return [y if names is None or not isinstance(y, int) else names[y] for y in labels]

    x, y = train
    y = named(y, own if classes is None else classes)
    x_test, y_test = test or (None, None)
    if y_test is not None:
        y_test = named(y_test, (own_test or own) if classes is None else classes)
    return arrays(x, y, x_test, y_test, name=name, classes=own if classes is None else classes)
