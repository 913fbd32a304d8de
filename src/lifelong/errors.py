"""The one exception that means "your input, not our code"."""

import difflib
from collections.abc import Iterable


class LifelongError(ValueError):
    """Bad input. The message is one line that says what is wrong and what to do."""


def unknown(kind: str, name: object, choices: Iterable[str]) -> LifelongError:
    """The error for a name that does not exist, with the nearest one that does."""
    choices = sorted(choices)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
    return LifelongError(f"unknown {kind} {str(name)!r}: {hint}")
