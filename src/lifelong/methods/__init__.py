"""The methods, one file each. Whatever file defines a named part is found: nothing to register."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from ..errors import accept, of_types, unknown
from ..method import Method, Part, part_names


@cache
def registry() -> dict[str, type[Part]]:
    """Command-line name -> part, for every file below this folder."""
    found = {}
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Part) and "name" in vars(value):
                found[value.name] = value
    return dict(sorted(found.items()))


def method(spec: str | Part | Method, options: Mapping[str, Mapping[str, Any]] | None = None) -> Method:
    """A method from its name (``er``, ``er+ewc``), a part or a method.

    Args:
        options: part name -> constructor arguments, for a name.

    Raises:
        LifelongError: for an unknown name or argument, or parts that cannot be combined.
    """
    if isinstance(spec, Method):
        return spec
    if isinstance(spec, Part):
        return Method([spec])
    parts = []
    for name in part_names(spec):
        if name not in registry():
            raise unknown("method", name, registry())
        kind, arguments = registry()[name], dict((options or {}).get(name, {}))
        accept(arguments, [field.name for field in fields(kind)], name)  # type: ignore[arg-type]
        of_types(arguments, kind, name)
        parts.append(kind(**arguments))
    return Method(parts)
