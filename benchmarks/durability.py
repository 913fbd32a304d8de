"""Every file operation of a command interrupted, and failing with a full disk: docs/durability.md.

A child process runs the command with the functions that change files replaced. Before the n-th change it
is killed (a write is cut in half), or the change fails as on a full disk; n counts up until the command
ends undisturbed. Behind each, the folder is looked at, and the same command is given again.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MODES = ("killed", "full disk")
CHANGES = (
    "replace",
    "rename",
    "mkdir",
    "unlink",
    "remove",
    "rmdir",
    "link",
    "symlink",
    "fsync",
    "truncate",
)


# ---- disturbing
class Disturbed:
    """The functions that change files, replaced: the n-th call (from 1) is the one that does not."""

    def __init__(self, at: int, mode: str) -> None:
        self.at, self.mode, self.count = at, mode, 0
        for name in CHANGES:
            setattr(os, name, self._watched(getattr(os, name)))
        os.open, self.inner_open = self._opening(os.open), os.open
        os.fdopen, self.inner_fdopen = self._fdopening(os.fdopen), os.fdopen
        builtins.open = io.open = self._named(builtins.open)

    def _strike(self) -> None:
        """Count a change; at the n-th, be killed or fail."""
        self.count += 1
        if self.count == self.at:
            self._now()

    def _now(self) -> None:
        if self.mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._strike()
            return function(*args, **options)

        return call

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, flags: int, *args: Any, **options: Any) -> Any:
            if flags & (os.O_WRONLY | os.O_RDWR) and str(path) != os.devnull:
                self._strike()
            return function(path, flags, *args, **options)

        return call

    def _fdopening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return self._cut(function(*args, **options))

        return call

    def _named(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+") or isinstance(file, int) or str(file).startswith("/proc"):
                return function(file, mode, *args, **options)
            self._strike()
            return self._cut(function(file, mode, *args, **options))

        return call

    def _cut(self, file: Any) -> Any:
        """The file, whose next write may stop half-way."""
        write = file.write

        def half(content: Any) -> int:
            self.count += 1
            if self.count == self.at:
                write(content[: len(content) // 2])
                file.flush()
                self._now()
            return write(content)

        with contextlib.suppress(AttributeError):
            file.write = half
            return file
        return _File(file, half)


class _File:
    """A file whose ``write`` is another."""

    def __init__(self, file: Any, write: Callable[[Any], int]) -> None:
        self.file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str
    changes: int
    """How often it changed files."""
    peak: int
    """Bytes of memory that its process held at most."""


def call(words: list[str], folder: Path, at: int = 0, mode: str = "", seconds: int = 300) -> Done:
    """Run the command line in a child, in this folder; it is ended after so many seconds."""
    files = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err", "count")]
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        _child(words, folder, files, at, mode)
    _, status, used = os.wait4(child, 0)
    out, err, count = (file.read_text(errors="replace") if file.exists() else "" for file in files)
    for file in files:
        file.unlink(missing_ok=True)
    return Done(os.waitstatus_to_exitcode(status), out, err, int(count or 0), 1024 * used.ru_maxrss)


def _child(words: list[str], folder: Path, files: list[Path], at: int, mode: str) -> None:
    from lifelong import cli

    code = 1
    try:
        os.chdir(folder)
        for number, file in zip((1, 2), files, strict=False):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o666), number)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w") for n in (1, 2))
        cli.errors.file = sys.stderr
        sys.argv = ["lifelong", *words]
        counter = os.open(files[2], os.O_WRONLY | os.O_CREAT, 0o666)
        disturbed = Disturbed(at, mode) if mode else None
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        if disturbed is not None:
            os.write(counter, str(disturbed.count).encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


# ---- the commands
@dataclass
class Case:
    """A command, what is there before it, and which questions show the model that answers."""

    name: str
    before: list[list[str]]
    command: list[str]
    ask: list[str] | None = None
    """None: the command makes no model."""
    same_versions: bool = True
    """Whether the versions that were there stay as they were, to the bit."""
    wrong: Counter[str] = field(default_factory=Counter)
    """What was found, by mode and fault."""
    tried: Counter[str] = field(default_factory=Counter)


NETWORK = ["--method", "er", "--memory", "12", "--model", "mlp:4", "--steps", "4", "--batch", "8"]
ASK = ["predict", "m", "march.csv", "--json"]
TEXTS = ["predict", "m", "c.jsonl", "--json"]


def cases() -> list[Case]:
    """All that change a folder of models."""
    run = ["run", "january.csv", *NETWORK, "--checkpoint-every", "0", "--out", "m", "--json"]
    cw = ["run", "a.jsonl", "--method", "cw", "--memory", "12", "--set", "text.bits=8", "--out", "m",
          "--json"]  # fmt: skip
    svm = ["run", "january.csv", "--method", "svm", "--out", "m", "--json"]
    update, more = ["update", "m", "february.csv", "--json"], ["update", "m", "b.jsonl", "--json"]
    return [
        Case("run (network)", [], run, ASK),
        Case("run (linear)", [], cw, TEXTS),
        Case("run into a folder with updates", [run, update], [*run[:-1], "--seed", "5", "--json"], ASK),
        Case("update (network)", [run], update, ASK),
        Case("update (linear)", [cw], more, TEXTS),
        Case("update --max-drop", [run], [*update, "--max-drop", "100"], ASK),
        Case("rollback", [run, update], ["rollback", "m"], ASK),
        Case("promote", [run, [*update, "--stage"]], ["promote", "m"], ASK),
        Case("label", [run], ["label", "m", "rename", "x", "xx"], ASK),
        Case("forget (network)", [run, update], ["forget", "m", "--ids", "ids.txt"], ASK, False),
        Case("forget (svm)", [svm, update], ["forget", "m", "--ids", "ids.txt"], ASK, False),
    ]


def write_data(folder: Path) -> None:
    """The files that the commands read."""
    rng = np.random.default_rng(0)
    centres = {"x": (0, 4), "y": (4, 0), "z": (-4, -3)}
    for name, classes, first in (
        ("january", "xy", 100),
        ("february", "xyz", 200),
        ("march", "xyz", 300),
    ):
        with (folder / f"{name}.csv").open("w") as file:
            file.write("id,a,b,label\n")
            for i, c in enumerate(rng.choice(list(classes), 40)):
                a, b = rng.normal(size=2) + centres[c]
                file.write(f"{first + i},{a:.3f},{b:.3f},{c}\n")
    for name, classes in (("a", "xy"), ("b", "yz"), ("c", "xyz")):
        with (folder / f"{name}.jsonl").open("w") as file:
            for c in rng.choice(list(classes), 40):
                words = [f"own{c}{rng.integers(4)}", *(f"w{k}" for k in rng.integers(0, 20, 4))]
                file.write(json.dumps({"text": " ".join(words), "label": str(c)}) + "\n")
    (folder / "ids.txt").write_text("\n".join(str(i) for i in range(100, 120)) + "\n")
    (folder / ".env.1backup").write_text("mine")


# ---- judging
def answers(case: Case, folder: Path) -> Any:
    """What the model in use answers; None where there is none."""
    assert case.ask is not None
    done = call(case.ask, folder)
    if done.code == 0:
        return json.loads(done.out)["predictions"]
    if done.code == 2 and done.err.startswith("error: no model"):
        return None
    return f"exit {done.code}: {done.err}"


def results(folder: Path) -> list[dict[str, Any]]:
    """The runs of the folder, without what the clock says."""
    file = folder / "m" / "results.json"
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    for run in runs:
        for name in ("cost", "digest", "plasticity"):
            run.pop(name, None)
    return sorted(runs, key=lambda run: run["key"])


def held(folder: Path) -> dict[str, bytes]:
    """The files in the folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def judge(
    case: Case, mode: str, at: int, start: Path, straight: Path, place: Path, old: Any, new: Any
) -> bool:
    """Disturb the n-th change, look at the folder, repeat; False where the command was done before."""
    folder = place / f"{at}"
    shutil.copytree(start, folder)
    done = call(case.command, folder, at, mode)
    if mode != "killed" and done.code == 0 and done.changes < at:
        shutil.rmtree(folder)
        return False
    if mode == "killed" and done.code != -signal.SIGKILL:
        shutil.rmtree(folder)
        return False
    case.tried[mode] += 1

    def wrong(what: str) -> None:
        case.wrong[f"{mode}: {what}"] += 1
        print(f"{case.name}, change {at}, {mode}: {what}", file=sys.stderr)

    if mode != "killed" and (done.code not in (0, 2) or len(done.err.strip().splitlines()) > 1):
        wrong(f"exit {done.code}, {done.err.strip()[-200:]}")
    now = answers(case, folder)
    if now not in (old, new):
        wrong(f"answers of no whole version: {now!r:.200}")
    before, after = held(start), held(folder)
    if case.same_versions:
        lost = [
            n for n, content in before.items() if n.endswith("safetensors") and after.get(n) != content
        ]
        lost = [n for n in lost if not n.endswith("checkpoint.safetensors")]
    else:
        lost = [n for n in before if n not in after]
    if lost or after.get(".env.1backup") != b"mine":
        wrong(f"lost {lost}")
    known = {run["key"] for run in results(start)}
    shown = {run["key"] for run in results(folder)} - known
    if now == old != new and any("+" in key.rpartition("-")[2] for key in shown):
        wrong(f"a phantom in the results: {shown}")
    done = call(case.command, folder)
    if done.code != 0:
        wrong(f"the repeat is refused: {done.err.strip()[-300:]}")
    if answers(case, folder) != new:
        wrong("the repeat ends elsewhere")
    if results(folder) != results(straight):
        wrong("the repeat leaves other results")
    left = [name for name in held(folder) if name.endswith("lifelong-part")]
    if left:
        wrong(f"temporaries are left: {left}")
    shutil.rmtree(folder)
    return True


def attack(case: Case, mode: str, every: int = 1) -> None:
    """All changes of a case in turn, or every so many of them."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        start, straight = place / "start", place / "straight"
        start.mkdir()
        write_data(start)
        for words in case.before:
            done = call(words, start)
            assert done.code in (0, 4), done.err
        shutil.copytree(start, straight)
        done = call(case.command, straight)
        assert done.code == 0, done.err
        old, new, at = answers(case, start), answers(case, straight), 1
        while judge(case, mode, at, start, straight, place, old, new):
            at += every


def warm() -> None:
    """Import and compile everything once, so that children start at once."""
    from lifelong import cli, edits, report, update  # noqa: F401
    from lifelong.linear import runner  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        for case in cases()[:2]:
            call(case.command, folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """One thread, and no terminal."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    yield


def page(found: dict[str, Any]) -> str:
    """The table of docs/durability.md."""
    lines = [
        "| command | killed before a change | wrong | changes failed | wrong |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, case in found.items():
        cells = [name]
        for mode in MODES if case else ():
            bad = sum(n for what, n in case["wrong"].items() if what.startswith(mode))
            cells += [str(case["tried"].get(mode, 0)), str(bad)]
        lines.append(f"| {' | '.join(cells if case else [name, *['-'] * 4])} |")
    return "\n".join(lines)


def main() -> None:
    """Attack all of them, or those whose name begins with a word; write the result and the page."""
    import platform

    import lifelong

    result = Path(__file__).parent / "results" / "durability.json"
    content = json.loads(result.read_text()) if result.exists() else {"cases": {}}
    chosen = [case for case in cases() if case.name.startswith(" ".join(sys.argv[1:]))]
    with quiet():
        warm()
        for case in chosen:
            for mode in MODES:
                attack(case, mode)
            content["cases"][case.name] = {"tried": case.tried, "wrong": case.wrong}
            print(case.name, dict(case.tried), dict(case.wrong), flush=True)
    content |= {
        "command": "python benchmarks/durability.py",
        "versions": {"lifelong": lifelong.__version__, "python": platform.python_version()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
    }
    result.write_text(json.dumps(content, indent=1) + "\n")
    target = Path(__file__).parent.parent / "docs" / "durability.md"
    head, _, rest = target.read_text().partition("<!-- table -->")
    table = page({case.name: content["cases"].get(case.name) for case in cases()})
    target.write_text(
        f"{head}<!-- table -->\n\n{table}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    )


if __name__ == "__main__":
    main()
