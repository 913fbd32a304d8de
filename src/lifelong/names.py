"""Names from data - labels, tasks, columns, files - where people read them.

A name may hold anything: an ANSI escape that recolours a terminal, a line break that makes two rows
of one, an override that turns the text round, half of a surrogate pair that no encoding takes.
"""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters: ANSI escapes, tabs, line breaks
    r"\u2028\u2029"  # line and paragraph separators
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of text
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # lone surrogates; what XML does not allow
)


def printable(text: str) -> str:
    r"""The text with what a terminal or a page would act on shown as escapes: ``\x1b``, ``\u202e``.

    All other Unicode, and the backslash, stays as it is.
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def short(text: str, most: int = 120) -> str:
    """As :func:`printable`, of at most so many characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
