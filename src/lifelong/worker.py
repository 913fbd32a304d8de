"""A worker process: reads runs from standard input, writes messages as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from queue import Queue
from typing import IO, Any

from .errors import KnownFailure, LifelongError
from .interrupts import signals
from .runner import TimeUp
from .spec import Spec


def main() -> None:
    """Run every spec that arrives; when the parent is gone, so is this process."""
    warnings.simplefilter("ignore", KnownFailure)  # the parent has said so
    signals.listen(signals.handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends this process
    lines: Queue[str] = Queue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    sys.stdout, out = sys.stderr, sys.stdout  # what else is printed must not reach the parent
    try:
        while True:
            spec, folder = json.loads(lines.get())
            _say(out, _run(Spec.from_json(spec), folder, out))
    except KeyboardInterrupt:  # asked to end, behind a checkpoint: the parent says so
        os._exit(signals.code)


def _listen(stream: IO[str], lines: Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    os._exit(0)  # the parent has closed the pipe, or died


def _run(spec: Spec, folder: str, out: IO[str]) -> dict[str, Any]:
    told = 0.0

    def report(words: str, share: float) -> None:
        nonlocal told
        if time.monotonic() - told > 0.2:
            told = time.monotonic()
            _say(out, {"words": words, "share": share})

    try:
        return {"result": spec.run(folder, report).data}
    except TimeUp as stop:
        return {"stopped": str(stop)}
    except LifelongError as error:
        return {"error": str(error)}
    except MemoryError as error:
        return {"error": f"too little memory ({error}): give it more, or fewer --jobs"}


def _say(out: IO[str], message: dict[str, Any]) -> None:
    try:
        print(json.dumps(message), file=out, flush=True)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
