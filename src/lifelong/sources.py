"""Methods and networks of one's own, from a file: ``own.py:Anchor``, ``own.py:network``.

The file is run, as ``import`` would. What it is, by a digest, is part of the identity of a run: a
changed file is another run. Nothing but the command line or the caller names a file that is run; a saved
model notes which one it needs and never runs it.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import LifelongError, accept

DIGEST = "__lifelong_digest__"
"""What a module that was run from a file holds: the digest of the file."""
MADE_BY = "lifelong_source"
"""What a network that was made by a function of a file holds: its source."""
TOLD = ("shape", "classes")
"""The parameters of such a function that it is told: the shape of one sample, the number of outputs."""
Source = dict[str, Any]
"""``file`` (or ``package``), ``name`` and ``digest``; of a network its ``arguments`` too."""


def is_file(text: str) -> bool:
    """Whether ``text`` names something in a file: ``own.py:Anchor``."""
    return re.search(r"\.py(:|$)", text) is not None


def load(text: str) -> Any:
    """What ``own.py:Anchor`` names.

    Raises:
        LifelongError: where there is no such file or name, or the file fails, with the line.
    """
    file, name = _parts(text)
    module = _run(file)
    own = [n for n, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    if name not in vars(module):
        said = f"there is no {name!r} in {file}" if name else f"say what of {file} is meant"
        raise LifelongError(f"{said}: write {file}:NAME, of {', '.join(own) or 'what it defines'}")
    return vars(module)[name]


def _parts(text: str) -> tuple[Path, str]:
    """(the file, the name in it) of ``own.py:Anchor``."""
    path, _, name = text.rpartition(".py")
    return Path(f"{path}.py").expanduser(), name.removeprefix(":")


def _run(file: Path) -> types.ModuleType:
    """The module of a file, run once as long as it stays the same."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise LifelongError(f"cannot read {file}: {error.strerror}; check the path") from None
    digest = _digest(content)
    name = f"lifelong_own_{re.sub(r'[^0-9a-zA-Z]', '_', file.stem)}_{digest}"
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__file__ = str(file.resolve())
        setattr(module, DIGEST, digest)
        sys.modules[name] = module
        try:
            exec(compile(content, module.__file__, "exec"), vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise LifelongError(_told(error, {module.__file__: file.name})) from error
    return sys.modules[name]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def source(kind: type) -> Source | None:
    """Where a class that is not the library's own comes from; None: of the library, or not known.

    Of a class that was not loaded from a file, the digest is that of its own lines.
    """
    module = sys.modules.get(kind.__module__)
    if kind.__module__.startswith("lifelong.") or module is None:
        return None
    file, digest = getattr(module, "__file__", None), getattr(module, DIGEST, None)
    if digest is None:
        try:
            digest = _digest(inspect.getsource(kind).encode(errors="replace"))
        except (OSError, TypeError):  # it was typed into an interpreter
            return None
    return {"file": Path(file or "").name, "name": kind.__qualname__, "digest": digest}


def make(
    text: str, told: Callable[[str], Any], options: Mapping[str, Any], backend: str, seed: int
) -> Any:
    """The network that the function ``own.py:network`` returns; random numbers it draws follow ``seed``.

    Args:
        told: gives ``shape`` or ``classes``, if the function has a parameter of that name.
        options: its other arguments.
    """
    function = load(text)
    if not callable(function):
        raise LifelongError(f"{text} is no function: give one that returns a network")
    parameters = inspect.signature(function).parameters
    accept(options, [name for name in parameters if name not in TOLD], text)
    arguments = {name: told(name) for name in parameters if name in TOLD} | dict(options)
    with blamed(text), _seeded(backend, seed):
        network = function(**arguments)
    recipe = type(network).__module__.startswith("lifelong.models.")
    if not (recipe or hasattr(network, "named_parameters") or hasattr(network, "variables")):
        raise LifelongError(
            f"{text} gave {network!r:.60}: return a torch.nn.Module, a keras.Model or a recipe"
        )
    file, name = _parts(text)
    made_by = {"file": file.name, "name": name, "digest": getattr(_run(file), DIGEST)}
    object.__setattr__(network, MADE_BY, made_by | {"arguments": arguments})
    return network


@contextmanager
def _seeded(backend: str, seed: int) -> Iterator[None]:
    """Within, a framework draws as ``seed`` says."""
    if backend == "torch":
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
        return
    import random

    import keras
    import numpy as np

    before, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)  # noqa: NPY002


@contextmanager
def blamed(*texts: str) -> Iterator[None]:
    """Within, what fails in the code of these files is one line that says where it failed."""
    named = [part for text in texts for part in re.findall(r"[^+]*?\.py", text)]
    files = {str(Path(name).expanduser().resolve()): Path(name).name for name in named}
    if not files:
        yield
        return
    try:
        yield
    except (LifelongError, MemoryError, OSError):
        raise
    except Exception as error:
        raise LifelongError(_told(error, files)) from error


def _told(error: BaseException, files: Mapping[str, str]) -> str:
    """One line: where in these files it failed, and how."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = f"{type(error).__name__}: {said[-1] if said else 'no message'}"
    if isinstance(error, SyntaxError) and (error.filename or "") in files:
        return f"{files[error.filename or '']}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename in files]
    for file, line, function in re.findall(r'File "([^"]+)", line (\d+), in (\w+)', str(error)):
        if file in files:  # a framework compiled the function, and tells where it was
            return f"{files[file]}, line {line}, in {function}: {said[-1]}"
    if own:
        return f"{files[own[-1].filename]}, line {own[-1].lineno}, in {own[-1].name}: {what}"
    at = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"
    return f"{' and '.join(files.values())} does not go with the rest: {what} ({at})"
