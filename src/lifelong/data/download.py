"""Files of published data sets: found, or downloaded once, and always checked."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from ..errors import LifelongError

T = TypeVar("T")
TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$LIFELONG_CACHE``, or ``~/.cache/lifelong``."""
    given = os.environ.get("LIFELONG_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "lifelong"


def given(file: Path) -> Path | None:
    """The file or folder of this relative path under ``$LIFELONG_DATA``, if it is there."""
    data = os.environ.get("LIFELONG_DATA")
    path = Path(data).expanduser() / file if data else None
    return path if path is not None and path.exists() else None


def fetch(file: Path, sha256: str, source: str) -> bytes:
    """The uncompressed content of the ``.gz`` file ``file``, a relative path.

    Looked for under ``$LIFELONG_DATA``, then under :func:`cache_folder`, and else downloaded there
    from ``source``, a URL that ends with a slash. ``sha256`` is that of the uncompressed content.
    Raises :class:`LifelongError` where the file is damaged or the download fails.
    """
    return _find(file, source, lambda path: _content(path, sha256))[1]


def archive(file: Path, md5: str, source: str) -> Path:
    """Where the file ``file`` is, found or downloaded as by :func:`fetch`; ``md5`` is that of itself."""

    def check(path: Path) -> bool | None:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "md5").hexdigest() == md5 or None

    return _find(file, source, check)[0]


def _find(file: Path, source: str, check: Callable[[Path], T | None]) -> tuple[Path, T]:
    """(the file, what ``check`` made of it); None means that it is damaged."""
    cached = cache_folder() / file
    for path in (given(file), cached):
        if path is not None and path.is_file():
            content = check(path)
            if content is None:
                raise LifelongError(f"{path} is damaged (wrong checksum): delete it and try again")
            return path, content
    return cached, _download(source + file.name, cached, check)


def _content(path: Path, sha256: str) -> bytes | None:
    """The uncompressed content, or None where it is not what it should be."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _download(url: str, path: Path, check: Callable[[Path], T | None]) -> T:
    """Write ``url`` to ``path``, under another name until it is whole and checked."""
    import urllib.request

    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT) as reply,
            tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as out,
        ):
            temporary = Path(out.name)
            _copy(reply, out, path.name)
        content = check(temporary)
        if content is None:
            raise LifelongError(
                f"{url} sent a damaged file (wrong checksum): try again, or put the right "
                f"{path.name} into {path.parent}"
            )
        os.replace(temporary, path)
        return content
    except (OSError, http.client.HTTPException) as error:
        raise LifelongError(
            f"cannot download {url} ({error}): put {path.name} into {path.parent}"
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _copy(reply: http.client.HTTPResponse, out: IO[bytes], name: str) -> None:
    """Copy all bytes, counting them on stderr where that is a terminal."""
    total, done, terminal = int(reply.headers.get("Content-Length") or 0), 0, sys.stderr.isatty()
    while block := reply.read(1 << 16):
        done += out.write(block)
        if terminal:
            of = f" of {total / 1e6:.1f}" if total else ""
            print(f"\r{name}: {done / 1e6:.1f}{of} MB", end="", file=sys.stderr, flush=True)
    if terminal:
        print(file=sys.stderr)
