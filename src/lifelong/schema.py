"""JSON values against a JSON schema (draft 2020-12): the keywords that ``results.schema.json`` uses."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from importlib import resources
from typing import Any

from .names import printable

KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
WORDS = {"object": "an object", "array": "a list", "integer": "a whole number", "null": "null"}
DEEPEST = 32
"""Levels of nesting that are taken."""
ROUNDING = 1e-9
"""How far beyond a bound a number may lie."""

Schema = dict[str, Any]


@cache
def load(name: str) -> Schema:
    """A schema of this package."""
    found: Schema = json.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return found


def fault(value: Any, schema: Schema, at: str = "", whole: Schema | None = None) -> str | None:
    """What is wrong first, as in ``runs[2].seed is "abc", not a whole number``; None: nothing.

    Whatever the schema says, numbers must be finite and whole ones fit into 64 bits, and nothing may
    be nested deeper than ``DEEPEST``. Lists of numbers are judged by their extremes.

    Args:
        value: of what :func:`json.loads` makes.
        at: where ``value`` stands.
        whole: the schema that ``schema`` is a part of; None: itself.
    """
    return _fault(value, schema, at, whole or schema, 0)


def _fault(value: Any, schema: Schema, at: str, whole: Schema, depth: int) -> str | None:
    schema = _resolved(schema, whole)
    if (problem := _problem(value, schema)) is not None:
        return f"{at or 'it'} is {_shown(value)}, {problem}"
    if not isinstance(value, dict | list):
        return None
    if depth == DEEPEST:
        return f"{_shown(at)} is nested too deep"
    if isinstance(value, dict):
        missing = [name for name in schema.get("required", ()) if name not in value]
        if missing:
            return f"{at or 'it'} has no {missing[0]}"
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts = ((f"{at}.{_name(k)}".lstrip("."), v, known.get(k, other)) for k, v in value.items())
    else:
        items = _resolved(schema.get("items", {}), whole)
        if _numbers(value, items):
            return None
        parts = ((f"{at}[{i}]", v, items) for i, v in enumerate(value))
    return next((f for place, v, s in parts if (f := _fault(v, s, place, whole, depth + 1))), None)


def _resolved(schema: Schema, whole: Schema) -> Schema:
    found: Schema = whole["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _kinds(schema: Schema) -> set[type] | None:
    """The types that are allowed; None: all."""
    names = schema.get("type")
    names = [names] if isinstance(names, str) else names
    return None if names is None else {kind for name in names for kind in KINDS[name]}


def _problem(value: Any, schema: Schema) -> str | None:
    """What is wrong with the value itself, not with what it holds."""
    kinds = _kinds(schema)
    if kinds is not None and type(value) not in kinds:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return f"not {' or '.join(WORDS.get(name, f'a {name}') for name in names)}"
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None and not any(type(value) is type(c) and value == c for c in choices):
        return f"not {' or '.join(map(str, choices))}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return "not a plain file name"
    if isinstance(value, list) and len(value) < schema.get("minItems", 0):
        return "too short"
    if type(value) in KINDS["number"] and not _within(value, value, schema):
        least, most = schema.get("minimum", "-"), schema.get("maximum", "-")
        return f"out of range ({least} to {most})" if least != most else "out of range"
    return None


def _within(low: float, high: float, schema: Schema) -> bool:
    """Whether numbers from ``low`` to ``high`` are allowed."""
    if not all(abs(v) < 2**63 if isinstance(v, int) else math.isfinite(v) for v in (low, high)):
        return False
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return bool(least - ROUNDING <= low and high <= most + ROUNDING)


def _numbers(values: list[Any], items: Schema) -> bool:
    """Whether these are numbers (and nulls) that ``items`` allows, as a whole."""
    kinds, found = _kinds(items), set(map(type, values))
    if kinds is None or not found <= kinds & {int, float, type(None)}:
        return False
    numbers = [v for v in values if v is not None] if type(None) in found else values
    return not numbers or _within(min(numbers), max(numbers), items)


def _name(key: str) -> str:
    return printable(key if len(key) <= 40 else f"{key[:39]}…")


def _shown(value: Any, most: int = 60) -> str:
    """The value as JSON, at most so long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a huge number"
    text = printable(json.dumps(value[:most] if isinstance(value, str) else value, ensure_ascii=False))
    return text if len(text) <= most else f"{text[: most - 1]}…"
