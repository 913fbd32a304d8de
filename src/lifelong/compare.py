"""Many runs in parallel, one thread each, in worker processes that die with their parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from .errors import LifelongError
from .result import Result
from .runner import TimeUp, collect
from .spec import Spec

PATIENCE = 5.0
"""Seconds in which a worker that is asked to end may write a checkpoint."""
Watch = Callable[[int, str, float, Result | None], None]
"""Told (index of the run, words, share done, its result once there is one)."""


def compare(
    specs: Sequence[Spec], out: str | Path, jobs: int | None = None, watch: Watch | None = None
) -> list[Result]:
    """Run them all and return their results, in order. Finished ones are read from ``out``.

    Args:
        jobs: worker processes; None: the processor's cores.

    Raises:
        LifelongError: with the first failing run's message; the finished ones stay on disk.
    """
    watch = watch or (lambda index, words, share, result: None)
    waiting: Queue[int] = Queue()
    for index in range(len(specs)):
        waiting.put(index)
    told: Queue[tuple[int, dict[str, Any]]] = Queue()
    count = max(1, min(jobs or os.cpu_count() or 1, len(specs)))
    workers = [_Worker(specs, str(out), waiting, told) for _ in range(count)]
    results: dict[int, Result] = {}
    stopped: list[str] = []
    try:
        while len(results) + len(stopped) < len(specs):
            index, message = told.get()
            if "error" in message:
                raise LifelongError(message["error"])
            if "stopped" in message:
                stopped.append(message["stopped"])
            elif "result" in message:
                results[index] = Result(message["result"])
                watch(index, "done", 1.0, results[index])
            else:
                watch(index, message["words"], message["share"], None)
    finally:
        for worker in workers:
            worker.ask()
        for worker in workers:
            worker.stop()
    collect(Path(out))
    if stopped:
        raise TimeUp(stopped[0])
    return [results[index] for index in range(len(specs))]


class _Worker:
    """A process that runs specs, one after another, and a thread that talks to it."""

    def __init__(
        self,
        specs: Sequence[Spec],
        out: str,
        waiting: Queue[int],
        told: Queue[tuple[int, dict[str, Any]]],
    ) -> None:
        self.specs, self.out, self.waiting, self.told = specs, out, waiting, told
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lifelong.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(max(spec.threads for spec in specs))},
        )
        threading.Thread(target=self._talk, daemon=True).start()

    def _talk(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        index = -1
        try:
            while True:
                index = self.waiting.get_nowait()
                self.process.stdin.write(json.dumps([self.specs[index].to_json(), self.out]) + "\n")
                self.process.stdin.flush()
                for line in self.process.stdout:
                    message = json.loads(line)
                    self.told.put((index, message))
                    if "words" not in message:
                        break
                else:
                    code = self.process.wait()
                    raise BrokenPipeError(f"a worker died with exit code {code}")
        except Empty:
            pass
        except (OSError, ValueError) as error:
            self.told.put((index, {"error": f"{error}: run the same command to continue"}))

    def ask(self) -> None:
        """Ask the process to end, behind a checkpoint."""
        self.process.terminate()

    def stop(self) -> None:
        """End the process, whatever it is doing: what it has not finished, it can continue."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
