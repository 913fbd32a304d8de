"""How much memory there is, so that too large a request is one line and not a killed process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .errors import LifelongError


def available() -> int | None:
    """Bytes that this process can still allocate; None where the system does not tell.

    The least of what the machine has free, what the control groups (versions 1 and 2) leave and what
    the process's own limits on its address space and its data leave.
    """
    return min((max(left, 0) for left in (*_machine(), *_groups(), *_limits())), default=None)


def afford(count: int, what: str) -> None:
    """Raise :class:`LifelongError` where ``count`` bytes, for ``what``, are more than there are."""
    free = available()
    if free is not None and count > free:
        raise LifelongError(
            f"{what} would take {size(count)}, and {size(free)} are free: "
            "choose it smaller, or give this process more memory"
        )


def size(count: int) -> str:
    """Bytes in words: ``74.5 GB``, ``20.1 MB``, ``12 kB``."""
    for unit, power in (("PB", 15), ("TB", 12), ("GB", 9), ("MB", 6)):
        if count >= 10**power:
            return f"{count / 10**power:,.1f} {unit}"
    return f"{count / 1000:.0f} kB"


def _machine() -> Iterator[int]:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _groups() -> Iterator[int]:
    """What is left in the control group of this process and in those around it."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, usage, cache = names if controllers else ("memory.max", "memory.current", "inactive_file")
        inner = root / place.strip("/")
        for folder in (inner, *inner.parents):
            most, used = (_number(_lines(folder / name)) for name in (limit, usage))
            if most is not None and used is not None:
                freed = (each for each in _lines(folder / "memory.stat") if each.startswith(f"{cache} "))
                yield most - used + (_number(each.split()[1] for each in freed) or 0)
            if folder == root:
                break


def _limits() -> Iterator[int]:
    """What the limits of this process leave."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    status = (line.partition(":") for line in _lines(Path("/proc/self/status")))
    used = {name: rest for name, _, rest in status}
    for field, limit in (("VmSize", resource.RLIMIT_AS), ("VmData", resource.RLIMIT_DATA)):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY and field in used:
            yield most - 1024 * int(used[field].split()[0])


def _lines(path: Path) -> list[str]:
    """The lines of a file of the system; none where it has none or may not be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _number(words: Iterator[str] | list[str]) -> int | None:
    """The first word as a number; None where it is none, as the ``max`` of no limit."""
    first = next(iter(words), "")
    return int(first) if first.isdecimal() and first.isascii() else None
