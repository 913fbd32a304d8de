"""What people read in their language: ``LIFELONG_LANG``, or the locale. English, or Chinese."""

from __future__ import annotations

import os

from .chinese import CHINESE


def language() -> str:
    """``zh`` or ``en``: by the first of LIFELONG_LANG, LC_ALL, LC_MESSAGES and LANG that is set."""
    names = ("LIFELONG_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    said = next(filter(None, map(os.environ.get, names)), "en")
    return "zh" if said.lower().startswith("zh") else "en"


def tr(text: str) -> str:
    """The text in the reader's language; in English where there is no other."""
    return CHINESE.get(text, text) if language() == "zh" else text
