"""Inputs larger than memory: written to the cache once, then read where they lie."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LifelongError
from .download import cache_folder

IN_MEMORY = 2**28
"""Inputs of more bytes (256 MB) than these are mapped from a file."""


def key(files: Sequence[Path], encoder: dict[str, Any], chosen: np.ndarray) -> str:
    """A short hash of the files (their paths, sizes and times), their encoder and the rows chosen."""
    stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    digest = hashlib.blake2b(json.dumps([stats, encoder]).encode(), digest_size=12)
    digest.update(chosen.data)
    return digest.hexdigest()


def filled(shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The blocks, rows one after another, as ``float32`` of ``shape``."""
    x, start = np.empty(shape, np.float32), 0
    for block in blocks:
        x[start : start + len(block)] = block
        start += len(block)
    return x


def mapped(name: str, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> np.memmap:
    """The same, read-only in ``tables/<name>.npy`` of the cache, written if it is not there.

    The file may be deleted at any time. Raises :class:`LifelongError` where it cannot be written.
    """
    path = cache_folder() / "tables" / f"{name}.npy"
    if not path.exists():
        _write(path, shape, blocks)
    return np.load(path, mmap_mode="r")


def _write(path: Path, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> None:
    """Under another name until it is whole."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as out:
            temporary = Path(out.name)
            np.lib.format.write_array_header_1_0(out, header)
            for block in blocks:
                out.write(np.ascontiguousarray(block, "<f4").data)
        os.replace(temporary, path)
    except OSError as error:
        raise LifelongError(
            f"cannot write {path}: {error.strerror}; make room, or set LIFELONG_CACHE to another folder"
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
