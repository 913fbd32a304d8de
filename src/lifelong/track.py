"""The metrics of a run as they come, in MLflow or TensorBoard: a step for each task learned.

``R/task_1`` is the score on the first task, ``average``, ``forgetting`` and ``bwt`` are those of the
tasks learned so far; at the end come all metrics of the result, as ``final/...``.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import metrics
from .errors import LifelongError, one_of
from .result import Result

KINDS = ("mlflow", "tensorboard")
"""What a run can be followed in."""
EXPERIMENT = "lifelong"
"""The experiment of MLflow, unless MLFLOW_EXPERIMENT_NAME says another."""


def check(kind: str | None) -> None:
    """Refuse, in one line, what there is not or whose package is missing."""
    if kind is None:
        return
    one_of("track", kind, KINDS)
    if kind == "mlflow" and find_spec("mlflow") is None:
        raise LifelongError("--track mlflow needs a package: pip install 'lifelong[mlflow]'")


def make(kind: str | None, out: str | Path | None, about: Mapping[str, Any]) -> Tracker:
    """What follows a run.

    Args:
        kind: ``mlflow``, ``tensorboard``, or None: nothing follows it.
        out: the folder of the runs; TensorBoard's files are in ``out/tensorboard/KEY``, those of MLflow
            in ``out/mlruns`` unless MLFLOW_TRACKING_URI says where.
        about: ``key`` of the run, and what it is: its configuration.

    Raises:
        LifelongError: for another kind, and where the package is missing.
    """
    check(kind)
    made: dict[str | None, type[Tracker]] = {"mlflow": MLflow, "tensorboard": TensorBoard}
    return made.get(kind, Tracker)(Path(out or "."), about)


class Tracker:
    """Follows nothing."""

    fresh = False
    """Whether it has met nothing of this run yet."""

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        pass

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers that were measured behind so many tasks."""

    def close(self) -> None:
        """Nothing more comes."""

    def row(self, rows: Sequence[Sequence[float | None]]) -> None:
        """The rows of R so far, of which the last is new."""
        done = len(rows)
        R = metrics.matrix([list(row)[:done] for row in rows])
        values = {f"R/task_{j + 1}": float(score) for j, score in enumerate(R[-1])}
        summary = metrics.summarize(R, None, [])
        names = {"average_accuracy": "average", "forgetting": "forgetting", "bwt": "bwt"}
        values |= {name: value for key, name in names.items() if (value := summary.get(key)) is not None}
        self.log({name: value for name, value in values.items() if value == value}, done)

    def missed(self, rows: Sequence[Sequence[float | None]]) -> None:
        """The rows that there were before it began to follow."""
        if self.fresh:
            for done in range(1, len(rows) + 1):
                self.row(rows[:done])
            self.fresh = False

    def finish(self, result: Result) -> None:
        """All that was measured, at the end."""
        cost = {name: result.data["cost"][name] for name in ("seconds", "memory_bytes", "parameters")}
        values = {name: value for name, value in (result.metrics | cost).items() if value is not None}
        self.log({f"final/{name}": float(v) for name, v in values.items()}, len(result.data["R"]))
        self.close()


class TensorBoard(Tracker):
    """Event files in ``out/tensorboard/KEY``, which TensorBoard reads; they are written without it.

    A file is a sequence of records, each the length of an Event, its checksum, the Event and its
    checksum; an Event is a protocol buffer with the time (field 1), the step (2), and the version of the
    format (3) or a Summary (5) of Values (1): a tag (1) and a number (2).
    """

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        folder = out / "tensorboard" / str(about["key"])
        self.fresh = not list(folder.glob("events.out.tfevents.*"))
        self.path = folder / f"events.out.tfevents.{time.time_ns() // 10**9}.{os.getpid()}"

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = b"\x09" + struct.pack("<d", time.time())
        events = [now + _bytes(3, b"brain.Event:2")] if not self.path.exists() else []
        for name, value in values.items():
            held = _bytes(1, name.encode()) + b"\x15" + struct.pack("<f", value)
            events.append(now + b"\x10" + _varint(step) + _bytes(5, _bytes(1, held)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(map(_record, events)))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _bytes(field: int, content: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _checksum(content: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _crc_table()[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


class MLflow(Tracker):
    """A run of MLflow, found again by the tag ``lifelong.key`` and the folder."""

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default it tries for minutes
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (out / "mlruns").resolve().as_uri()
        tracking = import_module("mlflow.tracking")
        self.failed: type[Exception] = import_module("mlflow.exceptions").MlflowException
        self.entities = import_module("mlflow.entities")
        try:
            self.client = tracking.MlflowClient(uri)
            self._begin(about, str(out.resolve()))
        except self.failed as error:
            raise self._refused(error) from None

    def _begin(self, about: Mapping[str, Any], folder: str) -> None:
        name, key = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT), str(about["key"])
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            try:
                number = self.client.create_experiment(name)
            except self.failed:  # another process has made it meanwhile
                number = self.client.get_experiment_by_name(name).experiment_id
        else:
            number = experiment.experiment_id
        found = [
            run
            for run in self.client.search_runs([number], f"tags.`lifelong.key` = '{key}'")
            if run.data.tags.get("lifelong.folder") == folder
        ]
        self.fresh = not found
        if found:
            self.run = found[0].info.run_id
            return
        tags = {"lifelong.key": key, "lifelong.folder": folder}
        self.run = self.client.create_run(number, tags=tags, run_name=key).info.run_id
        from .report.groups import flatten

        told = {re.sub(r"[^\w\-. /]", "_", k)[:250]: v[:500] for k, v in flatten(dict(about)).items()}
        params = [self.entities.Param(k, v) for k, v in told.items() if k != "key"][:100]
        self.client.log_batch(self.run, params=params)

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        held = [self.entities.Metric(name, value, now, step) for name, value in values.items()]
        try:
            for start in range(0, len(held), 1000):
                self.client.log_batch(self.run, metrics=held[start : start + 1000])
        except self.failed as error:
            raise self._refused(error) from None

    def close(self) -> None:
        try:
            self.client.set_terminated(self.run)
        except self.failed as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> LifelongError:
        said = str(error).partition("\n")[0]
        return LifelongError(f"MLflow refuses ({said}): mend it, then the same command goes on")
