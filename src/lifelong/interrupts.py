"""Signals: the first asks for the end, behind a checkpoint where there is one; the second is the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SAYS = "interrupted: run the same command to continue"


class Signals:
    """What the process was asked by signals. There is one: :data:`signals`."""

    number: int | None = None
    """The first signal that came."""
    waiting = False
    """Whether somebody looks at :attr:`number` soon, and stops behind a checkpoint."""
    again = False
    """Whether the signal comes from our own clock."""

    def listen(self, handle: Callable[[int, Any], None]) -> None:
        """From now on, give the signals of Ctrl-C and of ``kill`` to :meth:`handle`, or its caller."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
        sys.unraisablehook = _unraisable

    def handle(self, number: int, frame: Any) -> None:
        """A signal has come.

        Python drops an interrupt that is raised within a destructor: so it is raised again in a second.
        """
        first, again = self.number is None, self.again
        self.number, self.again = self.number or number, False
        if not first and not again:
            leave(self.code)
        if self.waiting:
            return
        clock = threading.Timer(1.0, self._repeat)
        clock.daemon = True
        clock.start()
        raise KeyboardInterrupt

    def _repeat(self) -> None:
        self.again = True
        os.kill(os.getpid(), self.number or signal.SIGINT)

    @property
    def code(self) -> int:
        """What the process ends with: 130 behind Ctrl-C, 143 behind ``kill``."""
        return 128 + (self.number or signal.SIGINT)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Within, the first signal is only noted: :meth:`stop` is asked soon."""
        outside, self.waiting = self.waiting, True
        try:
            yield
        finally:
            self.waiting = outside

    @property
    def stop(self) -> bool:
        """Whether to stop now, behind a checkpoint."""
        return self.number is not None


signals = Signals()


def leave(code: int) -> None:
    """End the process at once, with one line; every file is whole or not there."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"{SAYS}\n".encode())
    os._exit(code)


def _unraisable(what: Any) -> None:
    """An interrupt that Python drops within a destructor is no news; all else is told as ever."""
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)
