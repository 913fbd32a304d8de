"""A year of a model in use: 52 weekly updates from real files, three of them spoiled."""

import json
import os
import random
import shutil
import signal

import numpy as np
import pytest

import lifelong as ll
from lifelong.files import TEMPORARY, read_arrays

SPOILED = (10, 25, 41)
KILLED = (4, 14, 15, 33, 34, 48)
WEEKS, ROWS = 53, 800
RUN = ["run", "0.csv", "--method", "er", "--memory", "1000", "--model", "mlp:100", "--epochs", "4",
       "--batch", "32", "--lr", "0.003", "--out", "m", "--json"]  # fmt: skip


def write_weeks(folder):
    """Handwritten digits, 7 x 7 pixels: the run's file, 52 weeks, three with shuffled labels."""
    data = ll.data.mnist()
    draw = np.random.default_rng(0)
    rows = draw.permutation(len(data.train))[: WEEKS * ROWS]
    x = data.train.x.reshape(-1, 7, 4, 7, 4).mean((2, 4))[rows].round().astype(int)
    y = data.train.y[rows]
    names = ",".join(["id", *(f"p{i}" for i in range(49)), "label"])
    for week in range(WEEKS):
        part = slice(week * ROWS, (week + 1) * ROWS)
        labels = draw.permutation(y[part]) if week in SPOILED else y[part]
        ids = np.arange(part.start, part.stop) + 10_000
        table = np.column_stack([ids, x[part].reshape(ROWS, 49), labels])
        np.savetxt(folder / f"{week}.csv", table, "%d", ",", header=names, comments="")
    test = data.test.x[:1000].reshape(-1, 7, 4, 7, 4).mean((2, 4)).round().astype(int)
    table = np.column_stack([test.reshape(1000, 49), data.test.y[:1000]])
    np.savetxt(folder / "test.csv", table, "%d", ",", header=names[3:], comments="")


@pytest.mark.skipif("LIFELONG_DATA" not in os.environ, reason="MNIST is read from LIFELONG_DATA")
def test_a_year_with_three_spoiled_weeks(attack, tmp_path):
    folder = tmp_path / "year"
    folder.mkdir()
    write_weeks(folder)
    draw = random.Random(0)

    def call(*words, **disturbed):
        return attack.call(list(words), folder, **disturbed)

    def state():
        """(the version in use, the share of the test that its model gets right)."""
        versions = json.loads(call("history", "m", "--json").out)["versions"]
        (current,) = [v["version"] for v in versions if v["state"] == "in use"]
        done = call("predict", "m", "test.csv", "--json")
        assert done.code == 0, done.err
        return current, json.loads(done.out)["accuracy"]

    assert call(*RUN).code == 0
    version, right = state()
    assert right > 0.8
    live, refused = [], []
    for week in range(1, WEEKS):
        words = ["update", "m", f"{week}.csv", "--max-drop", "5", "--json"]
        if week in KILLED:
            done = call(*words, at=draw.randrange(1, 22), mode="killed")
            assert done.code == -signal.SIGKILL
            found = state()  # it answers, from a whole version
            assert found[0] >= version
            assert found[1] > 0.8
        done = call(*words)
        told = json.loads(done.out)
        assert done.code == (0 if told["promoted"] else 4), done.err
        (live if told["promoted"] else refused).append(week)
        if told["promoted"]:
            version, right = state()
            assert told["model"] == f"m/model-{version}.safetensors"
        else:
            assert state() == (version, right)
        assert right > 0.8, week
        if week == 20:
            assert call("rollback", "m").code == 0
            assert state()[0] < version
            assert json.loads(call(*words).out)["repeated"]
            assert state() == (version, right)
        if week == 30:
            gone = set(range(10_000 + 7 * ROWS, 10_000 + 8 * ROWS))
            (folder / "ids.txt").write_text("\n".join(map(str, gone)))
            done = call("forget", "m", "--ids", "ids.txt", at=9, mode="killed")
            assert done.code == -signal.SIGKILL
            assert state() == (version, right)
            done = call("forget", "m", "--ids", "ids.txt", "--json")
            assert (done.code, json.loads(done.out)["left"]) == (0, []), done.err
            assert state() == (version, right)
            for file in folder.glob("m/**/*.safetensors"):
                arrays, _ = read_arrays(file)
                ids = [a for name, a in arrays.items() if name.rpartition("/")[2] == "id"]
                assert not gone & set(np.concatenate(ids).tolist()), file
    assert not set(SPOILED) & set(live)
    assert set(refused) == set(SPOILED)
    assert right > 0.88
    results = json.loads((folder / "m" / "results.json").read_text())["runs"]
    assert max(len(run["tasks"]) for run in results) == len(live) + 1
    assert not {str(week) for week in SPOILED} & {task for run in results for task in run["tasks"]}
    assert not [p for p in folder.rglob("*") if TEMPORARY.fullmatch(p.name)]
    shutil.rmtree(folder)
