"""The versions of a model in a folder, and which of them answers.

``model.safetensors`` is version 1, ``model-2.safetensors`` version 2, and so on: a version is never
written over. Where each comes from stands in the file itself. The file ``current`` says which one is in
use, and which ones were; it is replaced last, so that whatever is interrupted before has not happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import LifelongError
from .files import (
    as_json,
    delete,
    lock,
    read_arrays,
    read_json,
    read_manifest,
    sweep,
    write,
    write_arrays,
    write_json,
)
from .result import Result, bundle, read

POINTER = "current"
PATTERN = re.compile(r"model(?:-([1-9][0-9]{0,8}))?\.safetensors")


@dataclass(frozen=True)
class Version:
    """A model file of a folder, and what its manifest says of where it comes from."""

    number: int
    path: Path
    kind: str
    """What made it: ``run``, ``update`` or ``label``."""
    parent: int | None
    """The version that it goes on from."""
    about: dict[str, Any] = field(repr=False)
    """What else is known: the data, scores before and after, warnings, why it was held back."""
    result: dict[str, Any] = field(repr=False)
    """The entry of a result file."""

    @property
    def learned(self) -> str | None:
        """The fingerprint of the data that the last update learned."""
        return self.about.get("learned")


@dataclass(frozen=True)
class Move:
    """When a version came into use, and by which command."""

    version: int
    why: str
    at: str | None


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def file_of(folder: Path, number: int) -> Path:
    """Where a version lies."""
    return folder / ("model.safetensors" if number == 1 else f"model-{number}.safetensors")


def number_of(path: Path) -> int | None:
    """2 of ``model-2.safetensors``, 1 of ``model.safetensors``; None of any other name."""
    match = PATTERN.fullmatch(path.name)
    number = None if match is None else int(match[1] or 1)
    return None if number is None or file_of(path.parent, number).name != path.name else number


def result_in(manifest: dict[str, Any]) -> dict[str, Any]:
    """The result that a model's manifest holds; {} where no run wrote it."""
    found = manifest.get("result") or (manifest.get("extra") or {}).get("result")
    return found if isinstance(found, dict) else {}


def versions(folder: Path) -> dict[int, Version]:
    """Those of the folder, by number. Files that only look like versions are none."""
    found: dict[int, Version] = {}
    paths = {n: p for p in folder.iterdir() if (n := number_of(p)) is not None and p.is_file()}
    for number in sorted(paths):
        try:
            manifest = read_manifest(paths[number])
        except LifelongError:
            continue  # damaged, or somebody else's: asked for by number it says so
        if (version := _version(number, paths[number], manifest, found)) is not None:
            found[number] = version
    return found


def _version(
    number: int, path: Path, manifest: dict[str, Any], known: dict[int, Version]
) -> Version | None:
    """What a file is; None where it was not written as this version of this folder."""
    about, result = manifest.get("version"), result_in(manifest)
    if isinstance(about, dict) and about.get("number") == number and _sound(about, result):
        parent, kind = about.get("parent"), str(about.get("kind"))
        parent = parent if type(parent) is int and 0 < parent < number else None
        return Version(number, path, kind, parent, about, result)
    if number == 1:
        return Version(1, path, "run", None, {}, result)
    before = known.get(number - 1)  # version 0.1.0 kept no record: an update's key goes on from another
    if before is None or not before.result or about is not None:
        return None
    if not str(result.get("key")).startswith(f"{before.result.get('key')}+"):
        return None
    about = {"learned": (manifest.get("extra") or {}).get("learned") or result.get("fingerprint")}
    about |= {"data": result["tasks"][-1], "before": result["R"][-2], "after": result["R"][-1]}
    about |= {"new": [], "warnings": [], "held": []}
    return Version(number, path, "update", number - 1, about, result)


def _sound(about: dict[str, Any], result: dict[str, Any]) -> bool:
    """Whether what a manifest says of a version has the types that it is written with."""
    needed = set() if about.get("kind") == "run" else {"before", "after", "new", "warnings", "held"}
    if not needed <= about.keys():
        return False
    lists = [about.get(name, []) for name in ("new", "warnings", "held")]
    words = [about.get(name, "") or "" for name in ("kind", "at", "data", "learned", "label", "from")]
    scores = about.get("before", []), about.get("after", [])
    fine = all(isinstance(found, list) for found in [*lists, *scores])
    if not fine or not all(isinstance(w, str) for w in [*words, *(w for some in lists for w in some)]):
        return False
    numbers = all(s is None or type(s) in (int, float) for some in scores for s in some)
    tasks = len(result.get("tasks", [])) if isinstance(result.get("tasks"), list) else -1
    return numbers and len(scores[0]) == len(scores[1]) and len(scores[0]) in (0, tasks)


def find(path: str | Path) -> Path:
    """The model file: the path itself, or the version in use in a folder.

    Raises :class:`LifelongError` where there is none, or which is in use cannot be said.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise LifelongError(f"no model {path}: give a model file or the folder of a run")
        return path
    if (moves := log(path)) and moves[-1].at is not None:
        file = file_of(path, moves[-1].version)
        if not file.is_file():
            raise LifelongError(
                f"{path} is at version {moves[-1].version}, and {file.name} is gone: restore it, or go "
                f"back to another, lifelong rollback {path} VERSION"
            )
        return file
    found = versions(path)
    if moves:
        return found[moves[-1].version].path
    if file_of(path, 1).is_file():
        return file_of(path, 1)
    raise LifelongError(f"no model in {path}: make one with lifelong run DATA --out {path}")


def log(folder: Path) -> list[Move]:
    """Which versions were in use, in the order of time: the last one is. [] before the first.

    Of a folder of version 0.1.0, which kept no log, the chain of its updates. Raises
    :class:`LifelongError` where that chain is broken: which model is meant cannot be said.
    """
    pointer = folder / POINTER
    if pointer.exists():
        return _moves(pointer)
    found = versions(folder)
    paths = [p for p in folder.iterdir() if number_of(p) == 2]
    if paths and 2 not in found and 1 in found and result_in(_manifest(paths[0])).get("key"):
        raise LifelongError(
            f"{folder} holds a new model.safetensors beside updates of another: say which answers, "
            f"lifelong rollback {folder} 1 (or 2 ...)"
        )
    chain = [n for n in sorted(found) if found[n].result]
    whys = ["run" if n == 1 else "update" for n in chain]
    return [Move(n, why, None) for n, why in zip(chain, whys, strict=True)]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return read_manifest(path)
    except LifelongError:
        return {}


def _moves(pointer: Path) -> list[Move]:
    content = read_json(pointer)
    try:
        moves = [Move(m["version"], str(m["why"]), str(m["at"])) for m in content["in use"]]
        if not moves or not all(type(m.version) is int and 0 < m.version < 10**9 for m in moves):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise LifelongError(
            f"{pointer} is damaged: say which version answers, "
            f"lifelong rollback {pointer.parent} VERSION"
        ) from None
    return moves


class Folder:
    """A folder of versions, locked: made by :func:`opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions = versions(path)

    @property
    def current(self) -> Version:
        """The version in use."""
        file = find(self.path)
        return self.version(number_of(file) or 1)

    def version(self, number: int) -> Version:
        """One by its number. Raises :class:`LifelongError` where there is no such version."""
        if number in self.versions:
            return self.versions[number]
        file = file_of(self.path, number)
        if file.is_file():
            read_manifest(file)  # says what is wrong with it
            raise LifelongError(f"{file} is no version of the model in {self.path}: move it away")
        have = ", ".join(map(str, self.versions)) or "none"
        raise LifelongError(f"{self.path} has no version {number}: it has {have}")

    @property
    def next(self) -> int:
        """The number of the next version: no file of that name is there."""
        number = max(self.versions, default=0) + 1
        while file_of(self.path, number).exists():
            number += 1
        return number

    def descends(self, version: Version, other: Version) -> bool:
        """Whether ``version`` goes on from ``other``."""
        while version.parent is not None and version.parent in self.versions:
            version = self.versions[version.parent]
            if version.number == other.number:
                return True
        return False

    def is_live(self, version: Version) -> bool:
        """Whether it is in use."""
        moves = log(self.path)
        return bool(moves) and moves[-1].version == version.number

    def add(self, model: Any, about: dict[str, Any], result: dict[str, Any]) -> Version:
        """Write a model as the next version, which is not in use yet; ``about`` says what made it."""
        number = self.next
        about = about | {"number": number, "at": now()}
        path = file_of(self.path, number)
        model.save(path, about)
        version = Version(number, path, about["kind"], about["parent"], about, result)
        self.versions[number] = version
        return version

    def promote(self, number: int, why: str, moves: list[Move] | None = None) -> None:
        """Put a version into use; :meth:`settle` follows."""
        moves = log(self.path) if moves is None else moves
        whole = [*moves, Move(number, why, now())]
        content = {"in use": [{"version": m.version, "why": m.why, "at": m.at or ""} for m in whole]}
        write_json(self.path / POINTER, content)

    def install(self, source: Path, key: str) -> Version:
        """Put the model of a finished run into use, as the next version if it is none yet.

        Raises :class:`LifelongError` where the version in use was updated from it: nothing changes then.
        """
        mine = [v for v in self.versions.values() if v.kind == "run" and v.result.get("key") == key]
        moves = log(self.path)
        if mine and moves:
            current = self.version(moves[-1].version)
            if self.descends(current, mine[-1]):
                raise LifelongError(
                    f"{self.path} is at version {current.number}, which goes on from this finished run: "
                    f"go back to it with lifelong rollback {self.path} {mine[-1].number}, or give "
                    "another --out"
                )
        if mine:
            version = mine[-1]
        else:
            arrays, manifest = read_arrays(source)
            number = self.next
            about = {"number": number, "at": now(), "kind": "run", "parent": None}
            version = Version(
                number, file_of(self.path, number), "run", None, about, result_in(manifest)
            )
            write_arrays(version.path, arrays, manifest | {"version": about})
            self.versions[number] = version
        if not moves or moves[-1].version != version.number or moves[-1].at is None:
            self.promote(version.number, "run", moves)
        return version

    def settle(self) -> list[Result]:
        """Let the results be those of the versions that were in use, and of finished runs."""
        live = {move.version for move in log(self.path)}
        runs = self.path / "runs"
        for folder in sorted(p for p in runs.glob("*") if p.is_dir()):
            sweep(folder)
            if not folder.name.startswith("update-"):
                continue
            number = folder.name.removeprefix("update-")
            if not number.isdecimal() or int(number) not in live:
                delete(folder / "run.json")
                if not any(folder.iterdir()):
                    folder.rmdir()
        for version in (self.versions[n] for n in sorted(live & set(self.versions))):
            record = runs / f"update-{version.number}" / "run.json"
            if version.kind == "update" and not _holds(record, version.result):
                Result(version.result).save(record)
        return gather(self.path)


def _holds(record: Path, result: dict[str, Any]) -> bool:
    """Whether a result file is there and holds this result."""
    try:
        return [run.data for run in read(record)] == [result]
    except LifelongError:
        return False


@contextmanager
def opened(folder: Path, wait: bool = False, settled: bool = True) -> Iterator[Folder]:
    """The folder, while no other process may change it; what an interrupted command left is settled.

    Raises :class:`LifelongError` where another process changes it now, or its results cannot be read.
    """
    with lock(folder, wait):
        found = Folder(folder)
        if settled:
            found.settle()
        yield found


def gather(folder: Path) -> list[Result]:
    """Write the finished runs below ``folder/runs`` into ``folder/results.json``, if they changed."""
    files = sorted((folder / "runs").glob("*/run.json"))
    results = [result for file in files for result in read(file)]
    content = bundle(results)
    target = folder / "results.json"
    whole = as_json(content)
    if (files or target.exists()) and not (target.is_file() and target.read_bytes() == whole):
        write(target, whole)
    return results


def history(folder: Path) -> list[dict[str, Any]]:
    """What is known of every version, as JSON; ``state``: whether it is or was in use, or why not."""
    if not folder.is_dir():
        raise LifelongError(f"{folder} is no folder: give the folder of a run")
    moves, told = log(folder), []
    live = {move.version for move in moves}
    for number, version in versions(folder).items():
        about = version.about
        changes = [
            after - before
            for before, after in zip(about.get("before") or [], about.get("after") or [], strict=False)
            if before is not None and after is not None
        ]
        state = "was in use" if number in live else f"held back: {'; '.join(about.get('held') or ['-'])}"
        if moves and moves[-1].version == number:
            state = "in use"
        data = about.get("label") or about.get("data") or version.result.get("data", "-")
        told.append(
            {
                "version": number,
                "file": version.path.name,
                "kind": version.kind,
                "parent": version.parent,
                "data": str(data),
                "at": about.get("at"),
                "worst": min(changes, default=None),
                "state": state,
                "warnings": about.get("warnings") or [],
            }
        )
    if not told:
        raise LifelongError(f"no model in {folder}: make one with lifelong run DATA --out {folder}")
    return told
