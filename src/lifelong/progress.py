"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, float], None]
"""Told (what is being done, share done)."""


@contextmanager
def bar() -> Iterator[Report]:
    """What to tell; quiet where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda words, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from .names import printable

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda words, share: progress.update(task, description=printable(words), completed=share)
