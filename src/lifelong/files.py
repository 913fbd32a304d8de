"""Files that are there whole or not at all, whose contents are checked, and one process at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import LifelongError

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.lifelong-part")
"""The names of files that are being written; a process that was killed leaves one."""
MANIFEST = "lifelong/manifest"
"""The array that holds the manifest, as bytes of JSON: the header of the format has a limit."""
VERSION = "2"
"""Of the layout of a file. In the first, the manifest was the header's, and nothing was checked."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""What systems say of a folder that cannot be synced at all."""


# ---- writing
def write(path: Path, content: bytes) -> None:
    """Write under a temporary name, sync, rename, sync the folder: a crash leaves old or new.

    Raises :class:`LifelongError` where the disk is full, or nothing may be written there.
    """
    if not path.name or path.is_dir():
        raise LifelongError(f"cannot write {path}: it is a folder; give the name of a file")
    temporary = None
    try:
        make_folder(path.parent)
        file, temporary = _temporary(path)
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError):
            _cannot_write(path, error)
        raise
    try:
        _sync(path.parent)
    except OSError as error:
        raise LifelongError(
            f"{path} is written, but may not outlast a power cut: {error.strerror} as its folder was "
            "synced; run the same command again"
        ) from None


def write_figure(path: Path, figure: Any) -> Path:
    """Write a figure of matplotlib, in the format that the name ends in."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.removeprefix(".") or "png", dpi=150)
    write(path, content.getvalue())
    return path


def delete(path: Path) -> None:
    """Let the file be there no more."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise LifelongError(f"cannot delete {path}: {error.strerror}; delete it by hand") from None


def make_folder(folder: Path) -> None:
    """Make the folder, and those that it lies in; each is synced in the one around it."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync(each.parent)
    if missing and not missing[0].is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(missing[0]))


def _temporary(path: Path) -> tuple[Any, Path]:
    """A new file beside ``path``, locked as long as its process lives, and where it is."""
    while True:
        temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.lifelong-part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        file = os.fdopen(os.open(temporary, flags, 0o666), "wb")
        if _claimed(file.fileno()) and temporary.exists():
            return file, temporary
        file.close()  # another process took it for an orphan in between


def sweep(folder: Path) -> None:
    """Delete what processes that were killed while they wrote have left in the folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not TEMPORARY.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        with contextlib.suppress(OSError), path.open("r+b") as file:
            if _claimed(file.fileno()):
                path.unlink()


def _claimed(file: int) -> bool:
    """Whether no other process holds the file: it is this one's then, while it is open."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Let the disk know which files the folder has; nothing where the system cannot."""
    if os.name != "posix":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def _cannot_write(path: Path, error: OSError) -> NoReturn:
    what = "make room" if error.errno in FULL else "choose another folder"
    raise LifelongError(f"cannot write {path}: {error.strerror or error}; {what}") from None


# ---- JSON
def write_json(path: Path, value: Any) -> None:
    """Indented JSON; NaN and infinity are refused."""
    write(path, as_json(value))


def as_json(value: Any) -> bytes:
    """Indented JSON in UTF-8; half of a surrogate pair is written as an escape."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def read_json(path: Path) -> Any:
    """The value; a broken file is one clear error."""
    if path.exists() and not path.is_file():
        raise LifelongError(f"{path} is no file: give one of this program")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LifelongError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise LifelongError(f"{path} is not JSON: is it a file of this program?") from None


# ---- arrays
def write_arrays(path: Path, arrays: dict[str, np.ndarray], manifest: Any) -> None:
    """One safetensors file: the arrays, the manifest as JSON, and digests of both."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = json.dumps(manifest).encode()
    about = f"{VERSION} {_hash(content)} {_digest(whole)}"  # one entry: the order of several is no order
    try:
        written = save(whole | {MANIFEST: np.frombuffer(content, np.uint8)}, {"lifelong": about})
    except SafetensorError as error:
        raise LifelongError(f"cannot write {path}: {error}; hold fewer arrays") from None
    write(path, written)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """(arrays, manifest) of :func:`write_arrays`. Nothing is unpickled.

    Raises :class:`LifelongError` where the contents are not those that were written.
    """
    with _opened(path) as (file, digest, manifest):
        names = [name for name in file.keys() if name != MANIFEST]  # noqa: SIM118
        arrays = {name: file.get_tensor(name) for name in names}
    if digest is not None and _digest(arrays) != digest:
        raise _damaged(path)
    return arrays, manifest


def read_manifest(path: Path) -> Any:
    """The manifest of :func:`write_arrays` alone: the arrays stay on the disk."""
    with _opened(path) as (_, _, manifest):
        return manifest


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, str | None, Any]]:
    """(the open file, the digest of its arrays, its manifest); the first layout has no digest."""
    if not path.is_file():
        raise LifelongError(f"{path} is no file" if path.exists() else f"no file {path}")
    try:
        with safe_open(path, "numpy") as file:
            about = (file.metadata() or {}).get("lifelong")
            if about is None:
                raise LifelongError(f"{path} was not written by lifelong")
            if about.startswith("{"):
                yield file, None, json.loads(about)
                return
            layout, *digests = about.split(" ")
            if layout != VERSION:
                raise LifelongError(f"{path} has layout {layout!r}, this version reads {VERSION}")
            content = file.get_tensor(MANIFEST).tobytes()
            if _hash(content) != digests[0]:
                raise _damaged(path)
            yield file, digests[1], json.loads(content)
    except (SafetensorError, OSError) as error:
        raise LifelongError(f"cannot read {path}: {error}") from None
    except LifelongError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        raise _damaged(path) from None


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """A hash of names, types, shapes and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        if array.size:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _damaged(path: Path) -> LifelongError:
    return LifelongError(
        f"{path} is damaged: its contents are not those that were written; restore a copy, or go back "
        "to another version (lifelong rollback)"
    )


# ---- one process at a time
@contextlib.contextmanager
def lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """One process at a time; the system releases it when the process dies, however it dies.

    It is the folder itself that is locked: no file of it can be deleted to let a second process in.
    """
    try:
        make_folder(folder)
        held = _locked(folder, wait)
    except BlockingIOError:
        raise LifelongError(f"another process is running in {folder}: wait for it") from None
    except OSError as error:
        _cannot_write(folder, error)
    try:
        sweep(folder)
        yield
    finally:
        os.close(held)


def _locked(folder: Path, wait: bool) -> int:
    """The folder, open and locked; over a network, where that cannot be, a file in it."""
    import fcntl

    how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, how)
    except BlockingIOError:
        os.close(opened)
        raise
    except OSError:
        os.close(opened)
        opened = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(opened, how)
        except BaseException:
            os.close(opened)
            raise
    return opened
