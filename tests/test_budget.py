"""How much memory there is, and what is said where it is too little."""

import subprocess
import sys
from pathlib import Path

import pytest

from lifelong import budget
from lifelong.errors import LifelongError


def test_the_tightest_of_all_limits_counts(monkeypatch):
    for name, left in (("_machine", [8]), ("_groups", [5, 9]), ("_limits", [])):
        monkeypatch.setattr(budget, name, lambda left=left: iter(left))
    assert budget.available() == 5
    monkeypatch.setattr(budget, "_limits", lambda: iter([-3]))
    assert budget.available() == 0


def test_where_the_system_tells_nothing_nothing_is_refused(monkeypatch):
    for name in ("_machine", "_groups", "_limits"):
        monkeypatch.setattr(budget, name, lambda: iter(()))
    assert budget.available() is None
    budget.afford(10**18, "a giant")


def test_too_much_is_one_line_with_the_bytes(monkeypatch):
    monkeypatch.setattr(budget, "available", lambda: 20_100_000_000)
    budget.afford(20_100_000_000, "the network")
    with pytest.raises(LifelongError) as error:
        budget.afford(74_500_000_000, "the network")
    assert "the network would take 74.5 GB, and 20.1 GB are free: " in str(error.value)


@pytest.mark.parametrize(
    ("count", "words"),
    [(900, "1 kB"), (2**20, "1.0 MB"), (10**12, "1.0 TB"), (10**18, "1,000.0 PB")],
)
def test_bytes_in_words(count, words):
    assert budget.size(count) == words


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits as Linux has them")
def test_a_limit_of_the_process_is_seen():
    code = (
        "import resource; from lifelong.budget import available\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33)); print(available())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 2**33


def test_the_groups_around_a_process_are_read(tmp_path, monkeypatch):
    files = {
        "/proc/self/cgroup": ["0::/a/b", "4:cpu:/x"],
        "/sys/fs/cgroup/a/b/memory.max": ["max"],
        "/sys/fs/cgroup/a/memory.max": ["1000"],
        "/sys/fs/cgroup/a/memory.current": ["700"],
        "/sys/fs/cgroup/a/memory.stat": ["anon 500", "inactive_file 150"],
    }
    monkeypatch.setattr(budget, "_lines", lambda path: files.get(str(path), []))
    assert list(budget._groups()) == [450]
