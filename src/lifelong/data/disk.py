"""Inputs larger than memory: written to the cache once, then read where they lie."""

from __future__ import annotations

import hashlib
import io
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
DIGEST = 32
"""Bytes of the digest of such a file."""


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
    if start != len(x):
        raise LifelongError(f"{start} rows came where {len(x)} were told: is a file being written?")
    return x


def mapped(name: str, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> np.memmap:
    """The same, read-only in ``tables/<name>.npy`` of the cache, written if it is not there.

    Behind the numbers of the file stands a digest of them, so that a file that is not what was written
    is found out and written anew. It may be deleted at any time. Raises :class:`LifelongError` where it
    cannot be read or written.
    """
    path, header = cache_folder() / "tables" / f"{name}.npy", _header(shape)
    try:
        if not _sound(path, header, shape):
            _write(path, header, shape, blocks)
        return np.memmap(path, "<f4", "r", len(header), shape)
    except OSError as error:
        raise LifelongError(
            f"cannot write {path}: {error.strerror}; make room, or set LIFELONG_CACHE to another folder"
        ) from None


def _header(shape: tuple[int, int]) -> bytes:
    """Of NumPy's files."""
    out = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue()


def _sound(path: Path, header: bytes, shape: tuple[int, int]) -> bool:
    """Whether the file holds this header, numbers of this shape, and the digest of both."""
    end = len(header) + 4 * shape[0] * shape[1]
    if not path.is_file() or path.stat().st_size != end + DIGEST:
        return False
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return False
        digest, left = hashlib.blake2b(header, digest_size=DIGEST), end - len(header)
        while left and (block := file.read(min(left, 1 << 24))):
            digest.update(block)
            left -= len(block)
        return file.read() == digest.digest()


def _write(path: Path, header: bytes, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> None:
    """Under another name until it is whole."""
    temporary, rows = None, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as out:
            temporary = Path(out.name)
            digest = hashlib.blake2b(header, digest_size=DIGEST)
            out.write(header)
            for block in blocks:
                content = np.ascontiguousarray(block, "<f4").data
                out.write(content)
                digest.update(content)
                rows += len(block)
            out.write(digest.digest())
            out.flush()
            os.fsync(out.fileno())
        if rows != shape[0]:
            raise LifelongError(f"{rows} rows came where {shape[0]} were told: is a file being written?")
        os.replace(temporary, path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
