"""Your own data: folders of images, one a class."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..budget import afford
from ..budget import size as in_words
from ..errors import LifelongError
from ..samples import Dataset
from .formats import expanded, first_line, listed, regular
from .own import arrays
from .tables import natural

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
GREY = ("1", "L", "LA")
"""Pillow's modes of images without colour and of 8 bits or fewer."""
ORIENTATION = 0x0112
"""The EXIF tag that tells how a camera was held: above 4, sideways."""
UNASKED = 2**31
"""Bytes (2 GB) that images take at most where no size is given for them."""
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError,
    MemoryError, NotImplementedError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises of files that are no whole images."""


def images(
    folder: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    size: Sequence[int] | int | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set of image files: ``folder/CLASS/*.png``, or jpg and other formats.

    The test set is in ``test``, of the same form; or in ``folder/test``, beside ``folder/train``;
    else 20 % of each class are held out. ``x`` is ``uint8 [n, height, width]`` where all images are
    grey, else ``[n, height, width, 3]``. ``size``, (height, width) or one number for both, is what
    they are resized to, without which they must have one size; a third number, 1 or 3, makes all
    grey or coloured. ``id`` counts the files by class and name. Raises :class:`LifelongError` where a
    file cannot be read, sizes differ, images are larger than Pillow's ``MAX_IMAGE_PIXELS``, all together
    take more memory than there is (or without ``size`` more than 2 GB), or Pillow is not installed.
    """
    root = expanded(folder)
    train = root
    if test is None and (root / "train").is_dir() and (root / "test").is_dir():
        train, test = root / "train", root / "test"
    files, labels = _labelled(train)
    held, held_labels = _labelled(expanded(test)) if test is not None else ([], [])
    x = stack([*files, *held], size)
    x_test, y_test = (x[len(files) :], held_labels) if held else (None, None)
    return arrays(x[: len(files)], labels, x_test, y_test, name=name or root.resolve().name)


def unlabelled(path: Path, size: Sequence[int]) -> tuple[np.ndarray, list[str] | None]:
    """Images to predict from, and their labels if ``path`` is a folder with one folder a class."""
    if not path.is_dir():
        return stack([path], size), None
    if files := _images(path):
        return stack(files, size), None
    files, labels = _labelled(path)
    return stack(files, size), labels


def is_images(path: Path) -> bool:
    """Whether it is an image file, or a folder of images or of folders of images."""
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES
    inner = [path, *_folders(path), *_folders(path / "train")]
    return any(_images(folder) for folder in inner)


def stack(images: Collection[Any], size: Sequence[int] | int | None = None) -> np.ndarray:
    """Files, by path or open, or Pillow images, as one array; see :func:`images` for its shape.

    They are gone through twice, one at a time.
    """
    try:
        from PIL import ImageOps
    except ImportError:
        raise LifelongError(
            "images are read by Pillow, not found: pip install 'lifelong[images]'"
        ) from None
    height, width, channels = _shape(size)
    for i, image in enumerate(images if channels is None else ()):
        with _opened(image, i) as opened:
            mode, found = opened.mode, opened.size[::-1]
            if opened.getexif().get(ORIENTATION, 1) > 4:
                found = found[::-1]
        if size is None and i and found != (height, width):
            raise LifelongError(
                f"{_name(image, i)} has {found[0]} x {found[1]} pixels, the first image {height} x "
                f"{width}: give the size that all should have, as in --image-size {height}x{width}"
            )
        if size is None:
            height, width = found
        if mode not in GREY:
            channels = 3
    grey = channels != 3
    shape = (len(images), height, width, *(() if grey else (3,)))
    x = _empty(shape, asked=size is not None)
    for i, image in enumerate(images):
        with _opened(image, i) as opened:
            turned = ImageOps.exif_transpose(opened).convert("L" if grey else "RGB")
            x[i] = turned if turned.size == (width, height) else turned.resize((width, height))
    return x


def _empty(shape: tuple[int, ...], asked: bool) -> np.ndarray:
    """Room for the images, and for one more while it is resized."""
    count = math.prod(shape)
    what = f"{shape[0]:,} images of {shape[1]} x {shape[2]} pixels"
    afford(count + count // max(1, shape[0]), what)
    if count > UNASKED and not asked:
        raise LifelongError(
            f"{what} would take {in_words(count)}: give the size that they should have, "
            "as in --image-size 224x224 (or their own, if that is meant)"
        )
    return np.empty(shape, np.uint8)


def eight_bits(image: Any, what: str) -> None:
    """Refuse a Pillow image whose pixels would be clipped to 255."""
    if image.mode[0] in "IF":
        raise LifelongError(
            f"{what} has pixels of more than 8 bits (mode {image.mode}): convert it to 8"
        )


def _name(image: Any, i: int) -> str:
    return str(image) if isinstance(image, Path) else f"image {i}"


@contextmanager
def _opened(image: Any, i: int) -> Iterator[Any]:
    """A file, by its path or already open; a Pillow image as it is."""
    from PIL import Image

    what = _name(image, i)
    if image is None:
        raise LifelongError(f"{what} is missing (None): fill it or drop the row")
    try:
        if isinstance(image, Path):
            regular(image)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            file = nullcontext(image) if isinstance(image, Image.Image) else Image.open(image)
        with file as opened:
            eight_bits(opened, what)
            yield opened
    except LifelongError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise LifelongError(
            f"{what} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller"
        ) from None
    except BROKEN as error:
        raise LifelongError(f"cannot read {what}: {first_line(error)}") from None


def _shape(size: Sequence[int] | int | None) -> tuple[int, int, int | None]:
    """Height, width (0 where the first image decides) and channels (None where all do)."""
    whole = (0, 0) if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(whole) not in (2, 3) or whole[2:] not in ((), (1,), (3,)) or (size and min(whole) < 1):
        raise LifelongError(f"an image size of {size}: give height and width in pixels, as in 32x32")
    return (*whole, None) if len(whole) == 2 else whole  # type: ignore[return-value]


def _labelled(folder: Path) -> tuple[list[Path], list[str]]:
    """The images in the folders of a folder, and the names of their folders."""
    files = [(file, each.name) for each in _folders(folder) for file in _images(each)]
    if not files:
        raise LifelongError(f"{folder} holds no images: give one folder of them a class")
    return [file for file, _ in files], [name for _, name in files]


def _folders(path: Path) -> list[Path]:
    found = listed(path) if path.is_dir() else ()
    return sorted((f for f in found if f.is_dir() and f.name[0] != "."), key=natural)


def _images(path: Path) -> list[Path]:
    files = (f for f in listed(path) if f.suffix.lower() in SUFFIXES and f.name[0] != ".")
    return sorted(files, key=natural)
