"""The one exception that means "your input, not our code"."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


class LifelongError(ValueError):
    """Bad input. The message is one line that says what is wrong and what to do."""


class NotPromoted(LifelongError):
    """An update was refused before anything was learned; the model in use is the one before."""


class KnownFailure(UserWarning):
    """A method is used where it is published to fail."""


NOT_FINITE = (
    "the parameters are no longer finite: lower the learning rate (--lr), or scale the inputs; "
    "nothing was saved"
)


def damaged(name: str, what: object) -> LifelongError:
    """The error for content that was read, and cannot be what this program wrote."""
    return LifelongError(f"{name} is damaged or was not written by lifelong: {what}")


def require(condition: object, what: str) -> None:
    """Within :func:`intact`: refuse content of which the condition does not hold."""
    if not condition:
        raise ValueError(what)


@contextmanager
def intact(name: str) -> Iterator[None]:
    """Around what uses content that was read: whatever fails there is one :class:`LifelongError`.

    A :class:`LifelongError` raised within is passed on as it is.
    """
    try:
        yield
    except LifelongError:
        raise
    except (KeyError, IndexError) as error:
        raise damaged(name, f"{error} is not there") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        said = str(error).partition("\n")[0]
        raise damaged(name, said or type(error).__name__) from None


def unknown(kind: str, name: object, choices: Iterable[str]) -> LifelongError:
    """The error for a name that does not exist, with the nearest one that does."""
    choices = sorted(choices)
    lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    hint = f"did you mean {lower[near[0]]!r}?" if near else f"choose from {', '.join(choices)}"
    return LifelongError(f"unknown {kind} {str(name)!r}: {hint}")


def accept(options: Iterable[str], accepted: Iterable[str], of: str) -> None:
    """Refuse an option that ``of`` does not take."""
    accepted = list(accepted)
    for option in options:
        if option not in accepted and not accepted:
            raise LifelongError(f"{of} takes no options, so {option!r} means nothing: leave it out")
        if option not in accepted:
            raise unknown(f"option of {of}", option, accepted)


TYPES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a word",
    tuple: "a list, as in [1,2]", type(None): "null",
}  # fmt: skip
"""What the types of options are called on the command line."""


def of_types(options: Mapping[str, Any], kind: type, of: str) -> None:
    """Refuse an option whose value is not of the type that ``kind``'s field of that name has."""
    hints = get_type_hints(kind)
    for name, value in options.items():
        hint = hints[name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kinds = tuple(get_origin(kind) or kind for kind in kinds)
        fine = isinstance(value, kinds) or (float in kinds and isinstance(value, int))
        if not fine or (isinstance(value, bool) and bool not in kinds):
            words = " or ".join(TYPES.get(kind, kind.__name__) for kind in kinds)
            raise LifelongError(f"{name} of {of} is {value!r}: give {words}")


def one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise unknown(name, value, choices)


def at_least(least: int, **values: int | None) -> None:
    """Refuse numbers that are too small; None passes."""
    for name, value in values.items():
        if value is not None and value < least:
            raise LifelongError(f"{name}={value}: give at least {least}")
