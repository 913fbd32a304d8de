"""The package as a whole: what importing it costs, and that examples and documents are true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import lifelong as ll
from lifelong.methods import registry

ROOT = Path(__file__).parent.parent


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_lifelong_imports_no_framework():
    heavy = [
        "torch",
        "tensorflow",
        "keras",
        "jax",
        "matplotlib",
        "sklearn",
        "scipy",
        "pandas",
        "pyarrow",
    ]
    code = f"import sys, lifelong; print([m for m in {heavy} if m in sys.modules])"
    assert python(code) == "[]"


def test_run_stays_a_function_after_use():
    assert python(
        "import lifelong as ll, lifelong.runner; print(callable(ll.run), callable(ll.load))"
    ) == ("True True")


def test_every_public_name_is_there_and_documented():
    for name in dir(ll):
        assert getattr(ll, name) is not None
    for part in registry().values():
        assert part.__doc__
        assert getattr(ll, part.__name__) is part


def code_lines(path: Path, start: str) -> int:
    """Lines of code from the line that starts with ``start``: no blanks, comments or docstrings."""
    text = path.read_text()
    body = text[text.index(start) :]
    body = re.sub(r'"""(?:.|\n)*?"""', "", body)
    return len([line for line in body.splitlines() if line.strip() and not line.strip().startswith("#")])


@pytest.mark.parametrize(
    ("file", "start", "most"),
    [
        ("replay/er.py", "@dataclass", 30),
        ("regularization/ewc.py", "@dataclass", 45),
        ("prototype/icarl.py", "@dataclass", 120),
        ("isolation/packnet.py", "@dataclass", 80),
        ("replay/derpp.py", "@dataclass", 35),
        ("replay/gem.py", "@dataclass", 80),
        ("regularization/si.py", "@dataclass", 45),
        ("regularization/mas.py", "@dataclass", 45),
        ("regularization/lwf.py", "@dataclass", 40),
        ("isolation/hat.py", "@dataclass", 120),
    ],
)
def test_a_method_is_short(file, start, most):
    assert 5 < code_lines(ROOT / "src/lifelong/methods" / file, start) <= most


def test_no_two_methods_share_six_lines():
    seen: dict[tuple[str, ...], Path] = {}
    for path in sorted((ROOT / "src/lifelong/methods").rglob("*.py")):
        lines = [line.strip() for line in path.read_text().splitlines()]
        code = [
            x for x in lines if x and not x.startswith(("#", "from ", "import ", "if TYPE_CHECKING"))
        ]
        for i in range(len(code) - 5):
            run = tuple(code[i : i + 6])
            assert seen.setdefault(run, path) == path, run


def test_no_method_names_a_framework():
    for path in (ROOT / "src/lifelong/methods").rglob("*.py"):
        assert not re.search(r"\b(torch|tensorflow|keras)\b", path.read_text()), path


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run_without_a_warning(path):
    out = python(path.read_text())
    assert "average accuracy" in out
    assert "after \\ on" in out


def test_the_first_example_is_eight_lines():
    lines = [s for s in (ROOT / "examples/er_and_ewc.py").read_text().splitlines() if s.strip()]
    assert len(lines) <= 8
    assert sum(line.startswith(("import", "from")) for line in lines) == 1
