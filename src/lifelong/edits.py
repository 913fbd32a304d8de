"""Changes of a saved model that learn nothing: rows forgotten, labels, and which version answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LifelongError
from .files import read_arrays, read_manifest
from .update import in_use, read_model
from .versions import Folder, Move, Version, log, number_of, opened, result_in

VERBS = {"rename": 2, "merge": 2, "retire": 1, "readmit": 1}
"""What can be done to labels, and how many of them it names."""


@dataclass(frozen=True)
class Forgotten:
    """What a request to forget rows did to the files of a model."""

    stored: int
    """Rows that the model in use had stored."""
    judged: int
    """Rows of the sets that its updates are judged on."""
    files: list[Path]
    """The files that were written anew."""
    unknown: list[int]
    """Ids that no file held."""
    left: list[str] = field(default_factory=list)
    """What may still hold the rows, and what to do about it."""


def forget(path: str | Path, ids: Sequence[int] | np.ndarray) -> Forgotten:
    """Remove the rows with these ids from a saved model: from its memories and its guard sets.

    All versions in the folder and the models of its runs are written anew, each whole or not at all, so
    that going back brings nothing back; which version answers stays. Interrupted, the same call goes on.
    An exact SVM is what it would be without the rows; what other models learned from them stays in their
    parameters: train anew to undo that.

    Raises:
        LifelongError: where a file cannot be read, or another process changes the folder.
    """
    path, wanted = Path(path), _ids(ids)
    with opened(path if path.is_dir() else path.parent) as folder:
        number = folder.current.number if path.is_dir() else number_of(path)
        if number in folder.versions:
            files, left = _files(folder, folder.versions[number])
            base = folder.versions[number].path
        elif path.is_file():
            base, files, left = path, [path], []
        else:
            raise LifelongError(f"no model {path}: give a model file or the folder of a run")
        stored = judged = 0
        met, written = np.zeros(len(wanted), bool), []
        for file in files:
            try:
                model = read_model(file)
            except LifelongError:
                if file == base:
                    raise
                left.append(_unreadable(file))
                continue
            known = model.ids.among(wanted)
            rows, guards = model.forget(wanted)
            if file == base:
                stored, judged = rows, guards
            if rows or guards or known.any():
                model.save(file, model.version)
                written.append(file)
            met |= known
        if written and number in folder.versions:
            folder.promote(folder.current.number, f"forget {len(wanted)} ids")
    return Forgotten(stored, judged, written, wanted[~met].tolist(), left)


def _files(folder: Folder, base: Version) -> tuple[list[Path], list[str]]:
    """The model files of a folder in which an id means the row that it means in ``base``.

    And what else may hold rows, with what to do about it.
    """
    files, left = [], []
    runs = sorted((folder.path / "runs").glob("*/model.safetensors"))
    known = {v.path: v.result for v in folder.versions.values()}
    for file in [*sorted(p for p in folder.path.iterdir() if number_of(p) is not None), *runs]:
        try:
            result = known[file] if file in known else result_in(read_manifest(file))
        except LifelongError:
            left.append(_unreadable(file))
            continue
        if file == base.path or _same_rows(result, base.result):
            files.append(file)
        elif result:
            left.append(
                f"{file} learned other data, whose rows have ids of their own: it stays as it is"
            )
    for checkpoint in sorted((folder.path / "runs").glob("*/checkpoint.safetensors")):
        left.append(f"{checkpoint.parent} is not finished and keeps rows of its own: delete it")
    return files, left


def _unreadable(file: Path) -> str:
    return f"{file} cannot be read: delete it, it may hold these rows"


def _same_rows(result: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results are of one run and its updates, or of runs over the same data."""
    keys = [re.sub(r"(-[0-9]+-[0-9a-f]{12})\+.*", r"\1", str(r.get("key"))) for r in (result, other)]
    return keys[0] == keys[1] or result.get("fingerprint") == other.get("fingerprint") is not None


def _ids(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """``int64 [n]``, checked."""
    given = np.asarray(ids)
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "iu" or given.min() < 0:
        raise LifelongError(f"ids are {ids!r:.60}: give whole numbers from 0, at least one")
    if given.max() > np.iinfo(np.int64).max:
        raise LifelongError(f"id {given.max()} is beyond 2^63 - 1: no row has it")
    return np.unique(given).astype(np.int64)


def relabel(path: str | Path, verb: str, names: Sequence[str]) -> Version:
    """Change the labels of a saved model, as a new version that is put into use.

    Args:
        verb: ``rename`` and ``merge`` take two names, ``retire`` and ``readmit`` one; see
            :meth:`lifelong.Learner.rename` and those beside it.

    Raises:
        LifelongError: where the model cannot do that, in one line; nothing has changed then.
    """
    if verb not in VERBS or len(names) != VERBS.get(verb):
        usage = ", ".join(f"{v} {' '.join(['A', 'B'][:n])}" for v, n in VERBS.items())
        raise LifelongError(f"{verb} {' '.join(names)} makes no sense: give {usage}")
    path = Path(path)
    with opened(path if path.is_dir() else path.parent) as folder:
        base = in_use(folder, path)
        command = " ".join([verb, *map(repr, names)])
        made = base if base.about.get("label") == command else None
        waiting = [v for v in folder.versions.values() if v.about.get("label") == command]
        if made is None and base.number and waiting and waiting[-1].parent == base.number:
            made = waiting[-1]
        if made is None:
            model = read_model(base.path)
            model.relabel(verb, names)
            about = {"before": [], "after": [], "new": [], "warnings": [], "held": []} | base.about
            about |= {"kind": "label", "parent": base.number or None, "from": base.path.name}
            made = folder.add(model, about | {"label": command}, model.result)
        if not folder.is_live(made):
            folder.promote(made.number, f"label {command}")
        folder.settle()
    return made


def rollback(folder: str | Path, number: int | None = None) -> Version:
    """Put another version into use: the one given, or the one that the version in use goes on from.

    Given again it goes no further back: name the version for that. Its file is read and checked first.
    Nothing is deleted: going forward is a rollback too.

    Raises:
        LifelongError: where there is no such version, or its file is damaged.
    """
    return _use(folder, number, "rollback")


def promote(folder: str | Path, number: int | None = None) -> Version:
    """Put a version that was held back or staged into use: the one given, or the latest such.

    Raises:
        LifelongError: where there is none, or its file is damaged.
    """
    return _use(folder, number, "promote")


def _use(path: str | Path, number: int | None, why: str) -> Version:
    path = Path(path)
    if not path.is_dir():
        raise LifelongError(f"{path} is no folder: give the folder of a run")
    with opened(path, settled=False) as folder:
        moves = []
        try:
            moves = log(path)
        except LifelongError:
            if number is None:
                raise
        if number is None and moves and moves[-1].why == why:
            number = moves[-1].version  # given again, as behind an interruption: nothing more
        if number is None:
            number = _before(folder, moves) if why == "rollback" else _waiting(folder, moves)
        version = folder.version(number)
        read_arrays(version.path)
        if not moves or moves[-1].version != number or moves[-1].at is None:
            folder.promote(number, why, moves)
        folder.settle()
    return version


def _before(folder: Folder, moves: list[Move]) -> int:
    """The version that the one in use goes on from; else the one that was in use before it."""
    current = folder.current
    if current.parent is not None:
        return current.parent
    first = next((i for i, move in enumerate(moves) if move.version == current.number), 0)
    if not first:
        raise LifelongError(
            f"version {current.number} is the first in {folder.path}: there is none before"
        )
    return moves[first - 1].version


def _waiting(folder: Folder, moves: list[Move]) -> int:
    """The latest version that goes on from the one in use, and was never in use."""
    live = {move.version for move in moves}
    found = [v.number for v in folder.versions.values() if v.number not in live]
    found = [n for n in found if folder.versions[n].parent == folder.current.number]
    if not found:
        raise LifelongError(f"{folder.path} holds no version that waits to be promoted: see its history")
    return found[-1]
