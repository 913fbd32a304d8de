"""Files of published data sets: found, or downloaded once, and always checked."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from ..budget import size
from ..errors import LifelongError
from .formats import first_line, regular

T = TypeVar("T")
TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""
MOST = 2**28
"""Bytes that a file of a published data set has at most, if its reader names no fewer."""
NAMES_MOST = 2**20
"""Bytes of a file of names."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$LIFELONG_CACHE``, or ``~/.cache/lifelong``."""
    given = os.environ.get("LIFELONG_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "lifelong"


def given(file: Path) -> Path | None:
    """The file or folder of this relative path under ``$LIFELONG_DATA``, if it is there."""
    data = os.environ.get("LIFELONG_DATA")
    path = Path(data).expanduser() / file if data else None
    return path if path is not None and path.exists() else None


def fetch(file: Path, sha256: str, source: str, most: int = MOST) -> bytes:
    """The uncompressed content of the ``.gz`` file ``file``, a relative path.

    Looked for under ``$LIFELONG_DATA``, then under :func:`cache_folder`, and else downloaded there
    from ``source``, a URL that ends with a slash. ``sha256`` is that of the uncompressed content, of
    ``most`` bytes at most. Raises :class:`LifelongError` where the file is damaged, or the download
    fails or is too large.
    """

    def check(path: Path) -> bytes | None:
        content = unpacked(path, most)
        fine = content is not None and hashlib.sha256(content).hexdigest() == sha256
        return content if fine else None

    return _find(file, source + file.name, check, most)[1]


def archive(file: Path, digest: str, source: str = "", *, url: str = "", most: int = MOST) -> Path:
    """Where the file ``file`` is, found or downloaded as by :func:`fetch`.

    ``digest`` is the SHA-256 of itself, or the MD5 where that is all that its makers publish; ``url`` is
    where it lies, if not in ``source``.
    """

    def check(path: Path) -> bool | None:
        kind = "sha256" if len(digest) == 64 else "md5"
        if path.stat().st_size > most:
            return None
        with path.open("rb") as content:
            return hashlib.file_digest(content, kind).hexdigest() == digest or None

    return _find(file, url or source + file.name, check, most)[0]


def unpacked(path: Path, most: int) -> bytes | None:
    """What a ``.gz`` file holds; None where it is damaged, or holds more bytes than ``most``."""
    content = io.BytesIO()
    try:
        with gzip.open(path) as packed:
            while block := packed.read(1 << 20):
                if content.tell() + len(block) > most:
                    return None
                content.write(block)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return None
    return content.getvalue()


def members(path: Path, most: int) -> dict[str, bytes]:
    """The files in a ``.tar.gz``, by their names in it; all of it takes ``most`` bytes at most.

    Nothing is written: no name in it becomes a path. Raises :class:`LifelongError` where it is damaged.
    """
    content = unpacked(path, most)
    damaged = LifelongError(f"{path} is no archive of at most {size(most)}: delete it and try again")
    if content is None:
        raise damaged
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                if member.isreg() and (file := tar.extractfile(member)) is not None:
                    found[member.name] = file.read()
    except (tarfile.TarError, EOFError, ValueError):
        raise damaged from None
    return found


def small_json(path: Path) -> Any:
    """What a small JSON file beside a data set holds. Raises :class:`LifelongError` where it is none."""
    if regular(path).stat().st_size > NAMES_MOST:
        raise LifelongError(f"{path} is larger than {size(NAMES_MOST)}: it should hold names")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LifelongError(f"{path} is not JSON ({first_line(error)}): write it anew") from None


def class_names(path: Path, key: str) -> tuple[str, ...]:
    """The names of the classes: a list in a JSON file, or one under ``key`` there."""
    found = small_json(path)
    names = found.get(key) if isinstance(found, dict) else found
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise LifelongError(f'{path} holds no list of names (of {key!r}): write one, as in ["a", "b"]')
    if len(set(names)) < len(names):
        raise LifelongError(f"{path} names a class twice: name each once")
    return tuple(names)


def _find(file: Path, url: str, check: Callable[[Path], T | None], most: int) -> tuple[Path, T]:
    """(the file, what ``check`` made of it); None means that it is damaged."""
    cached = cache_folder() / file
    for path in (given(file), cached):
        if path is not None and path.is_file():
            content = check(path)
            if content is None:
                raise LifelongError(f"{path} is damaged (wrong checksum): delete it and try again")
            return path, content
    return cached, _download(url, cached, check, most)


def _reply(url: str) -> http.client.HTTPResponse:
    """What a server answers. A redirect from https to anything else is refused."""
    import urllib.error
    import urllib.request

    class Safe(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            if newurl.split(":")[0].lower() not in ("https", req.type):
                raise urllib.error.URLError(f"it sends on to {newurl}, which is not https")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    if url.split(":")[0].lower() not in ("https", "http"):
        raise LifelongError(f"cannot download {url}: give a source that starts with https://")
    return urllib.request.build_opener(Safe).open(url, timeout=TIMEOUT)


def _download(url: str, path: Path, check: Callable[[Path], T | None], most: int) -> T:
    """Write ``url`` to ``path``, under another name until it is whole and checked."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _reply(url) as reply,
            tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as out,
        ):
            temporary = Path(out.name)
            _copy(reply, out, path.name, most)
            out.flush()
            os.fsync(out.fileno())
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


def _copy(reply: http.client.HTTPResponse, out: IO[bytes], name: str, most: int) -> None:
    """Copy all bytes, counting them on stderr where that is a terminal."""
    length, done, terminal = reply.headers.get("Content-Length") or "", 0, sys.stderr.isatty()
    total = int(length) if length.isdecimal() else 0
    while block := reply.read(1 << 16):
        done += len(block)
        if max(done, total) > most:
            raise OSError(f"it sends more than {size(most)}, too much for {name}")
        out.write(block)
        if terminal:
            of = f" of {total / 1e6:.1f}" if total else ""
            print(f"\r{name}: {done / 1e6:.1f}{of} MB", end="", file=sys.stderr, flush=True)
    if terminal:
        print(file=sys.stderr)
