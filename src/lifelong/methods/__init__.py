"""The methods, one file each. Whatever file defines a named part is found: nothing to register.

An installed package adds its own under the entry points of the group ``lifelong.methods``; the command
line takes others from a file, ``own.py:Anchor``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from ..errors import LifelongError, accept, of_types, unknown
from ..method import Method, Part, part_names
from ..sources import blamed, is_file, load

GROUP = "lifelong.methods"
"""The group of entry points whose objects are parts."""
SCENARIOS = ("task", "domain", "class", "free")


@cache
def built_in() -> dict[str, type[Part]]:
    """Command-line name -> part, for every file below this folder."""
    found = {}
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Part) and "name" in vars(value):
                found[value.name] = value
    return dict(sorted(found.items()))


@cache
def registry() -> dict[str, type[Part]]:
    """Command-line name -> part: the library's, and those that installed packages add.

    Of a package that cannot be used, a warning says why.
    """
    found = dict(built_in())
    for point in entry_points(group=GROUP):
        where = f"{point.value} of the entry points {GROUP}"
        try:
            kind = checked(point.load(), where)
            if kind.name in found:
                raise LifelongError(f"{where} is called {kind.name!r}, as another method is")
            found[kind.name] = kind
        except Exception as error:
            warnings.warn(f"{where} is left out: {error}", stacklevel=2)
    return dict(sorted(found.items()))


def checked(kind: Any, where: str) -> type[Part]:
    """A part of the user's own, if it is one that can be run.

    Raises:
        LifelongError: where it is no dataclass that extends ``ll.Part``, or lacks a name of its own.
    """
    if not (isinstance(kind, type) and issubclass(kind, Part)):
        raise LifelongError(f"{where} is no method: give a class that extends ll.Part")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise LifelongError(f"{where} has no name: write in the class, as in name = 'anchor'")
    if not is_dataclass(kind):
        raise LifelongError(f"{where} is no dataclass: write @dataclass(eq=False) above the class")
    if built_in().get(name, kind) is not kind:
        raise LifelongError(f"{where} is called {name!r}, as a method is: give it a name of its own")
    if not kind.scenarios or not set(kind.scenarios) <= set(SCENARIOS):
        raise LifelongError(f"{where} has the scenarios {kind.scenarios!r}: of {', '.join(SCENARIOS)}")
    return kind


def kinds(spec: str) -> list[type[Part]]:
    """The parts of a method by its name: ``er+ewc``, ``er+own.py:Anchor``.

    Raises:
        LifelongError: for one that does not exist.
    """
    found = []
    for name in part_names(spec):
        if is_file(name):
            found.append(checked(load(name), name))
        elif name in registry():
            found.append(registry()[name])
        else:
            raise unknown("method", name, registry())
    return found


def method(spec: str | Part | Method, options: Mapping[str, Mapping[str, Any]] | None = None) -> Method:
    """A method from its name (``er``, ``er+ewc``, ``er+own.py:Anchor``), a part or a method.

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
    for kind in kinds(spec):
        name, arguments = kind.name, dict((options or {}).get(kind.name, {}))
        accept(arguments, [field.name for field in fields(kind)], name)  # type: ignore[arg-type]
        of_types(arguments, kind, name)
        for field in fields(kind):  # type: ignore[arg-type]
            if field.default is MISSING is field.default_factory and field.name not in arguments:
                raise LifelongError(
                    f"{name} needs a value of {field.name}: --set {name}.{field.name}=..."
                )
        with blamed(spec):
            parts.append(kind(**arguments))
    return Method(parts)
