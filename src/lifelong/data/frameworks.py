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
from .images import GREY, stack
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
    the data set's own ``classes``. Without ``test``, 20 % of each class are held out. ``id`` is the
    place in ``train``, then ``test``. Raises :class:`LifelongError` as :func:`arrays`.
    """
    for data in (train,) if test is None else (train, test):
        if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            raise LifelongError(
                f"{type(data).__name__} has no length or places: give a map-style data set"
            )
    classes = getattr(train, "classes", None) if classes is None else classes
    found = _pairs(train[i] for i in range(len(train)))
    held = None if test is None else _pairs(test[i] for i in range(len(test)))
    return _arrays(found, held, name, classes)


def from_tensorflow(
    train: Any,
    test: Any = None,
    *,
    name: str = "tensorflow",
    classes: Sequence[object] | None = None,
) -> Dataset:
    """A data set of ``tf.data.Dataset`` whose elements are pairs (x, y), not batches of them.

    As :func:`from_torch`, images being ``[height, width, channels]``.
    """
    found = _pairs(train.as_numpy_iterator())
    held = None if test is None else _pairs(test.as_numpy_iterator())
    return _arrays(found, held, name, classes)


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
    if hasattr(data, "keys"):
        if "train" not in data:
            raise LifelongError(f"the data sets are {', '.join(data)}: call the one to learn 'train'")
        data, test = data["train"], data.get("test") if test is None else test
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
        return (image for part in self.parts for image in part[self.column])

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
        x.append(_input(sample[0]))
        y.append(sample[1].tolist() if hasattr(sample[1], "tolist") else sample[1])
        if x[i].shape != x[0].shape or x[i].dtype != x[0].dtype:
            kinds = [f"{each.dtype}{list(each.shape)}" for each in (x[i], x[0])]
            raise LifelongError(f"sample {i} is {kinds[0]}, the first is {kinds[1]}: make them alike")
    if not x:
        raise LifelongError("the data set is empty: give it at least one sample")
    afford(len(x) * x[0].nbytes, f"{len(x):,} samples of shape {list(x[0].shape)}")
    return np.stack(x), y


def _input(x: Any) -> np.ndarray:
    """One input, images with the channels last and without the axis of a single one."""
    if hasattr(x, "convert"):  # a Pillow image
        return np.asarray(x.convert("L" if x.mode in GREY else "RGB"))
    if hasattr(x, "detach"):  # a tensor of PyTorch
        x = x.detach().cpu().numpy()
        if x.ndim == 3 and x.shape[0] in (1, 3):
            x = np.moveaxis(x, 0, -1)
    x = np.asarray(x)
    return x[..., 0] if x.ndim == 3 and x.shape[-1] == 1 else x


def _arrays(train: Pairs, test: Pairs | None, name: str, classes: Sequence[object] | None) -> Dataset:
    """The data set, its labels by name where they are places in ``classes``."""

    def named(label: Any) -> Any:
        if classes is None or not isinstance(label, int):
            return label
        if not 0 <= label < len(classes):
            raise LifelongError(f"label {label} is none of the {len(classes)} classes: name them all")
        return classes[label]

    (x, y), (x_test, y_test) = train, test or (None, None)
    y_test = None if y_test is None else [named(label) for label in y_test]
    return arrays(x, [named(label) for label in y], x_test, y_test, name=name, classes=classes)
