"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import LifelongError


def write(path: Path, content: bytes) -> None:
    """Write under a temporary name, sync, rename, sync the folder: a crash leaves old or new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(temporary, "wb")  # noqa: SIM115
    except OSError as error:
        raise LifelongError(f"cannot write {path}: {error.strerror}; choose another folder") from None
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LifelongError(f"cannot write {path}: {error.strerror}; make room") from None
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; NaN and infinity are refused."""
    write(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value; a broken file is one clear error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LifelongError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise LifelongError(f"{path} is not JSON: is it a file of this program?") from None


def write_arrays(path: Path, arrays: dict[str, np.ndarray], manifest: Any) -> None:
    """One safetensors file, the manifest as JSON inside."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write(path, save(whole, {"lifelong": json.dumps(manifest)}))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """(arrays, manifest) of :func:`write_arrays`. Nothing is unpickled."""
    with _opened(path) as (file, manifest):
        return {name: file.get_tensor(name) for name in file.keys()}, manifest  # noqa: SIM118


def read_manifest(path: Path) -> Any:
    """The manifest of :func:`write_arrays` alone: the arrays stay on the disk."""
    with _opened(path) as (_, manifest):
        return manifest


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """(the open file, its manifest)."""
    try:
        with safe_open(path, "numpy") as file:
            manifest = (file.metadata() or {}).get("lifelong")
            if manifest is None:
                raise LifelongError(f"{path} was not written by lifelong")
            yield file, json.loads(manifest)
    except FileNotFoundError:
        raise LifelongError(f"no file {path}") from None
    except (SafetensorError, OSError) as error:
        raise LifelongError(f"cannot read {path}: {error}") from None


@contextlib.contextmanager
def lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """One process at a time; the system releases it when the process dies, however it dies."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise LifelongError(f"cannot write {folder}: {error.strerror}; choose another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LifelongError(f"another process is running in {folder}: wait for it") from None
        for orphan in folder.glob(".*.[0-9]*"):  # of a process that was killed while it wrote
            if not wait:
                orphan.unlink(missing_ok=True)
        yield
