"""Methods and networks from a file, tables for a paper, metrics as they come."""

import copy
import csv
import io
import json
import re
import shlex
import struct
import sys
from pathlib import Path

import helpers
import numpy as np
import pytest

import lifelong as ll
from lifelong import methods, sources, track
from lifelong.report import tables
from lifelong.result import read

DOCS = (Path(__file__).parent.parent / "docs/research.md").read_text()
OWN, SCRIPT = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
KERAS = """
import os
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras

def network(shape, classes, width=64):
    return keras.Sequential([
        keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(width, "relu"),
        keras.layers.Dense(classes),
    ])
"""
QUICK = ("--epochs", 2, "--set", "anchor.strength=50", "--set", "model.width=16", "--seed", 3)


@pytest.fixture
def own(tmp_path, backend):
    """The file of the documentation, where the command line runs, for this framework."""
    text = OWN
    if backend == "tensorflow":
        text = text.partition("\n\n\ndef network")[0].replace("from torch import nn\n", "") + KERAS
    (tmp_path / "own.py").write_text(text)
    return tmp_path / "own.py"


def the_run(lifelong, *words):
    code, out, err = lifelong("run", "digits", *words, "--json", "--out", "here")
    assert code == 0, err
    return json.loads(out)["runs"][0]


def test_the_documented_path_of_a_researcher(lifelong, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    commands = re.findall(r"^\$ (.*)$", DOCS, re.MULTILINE)
    assert 3 <= len(commands) <= 10
    for command in commands:
        words, _, file = command.partition(" > ")
        name, *rest = shlex.split(words)
        if name != "lifelong":
            continue
        code, out, err = lifelong(*rest)
        assert code == 0, err
        if file:
            (tmp_path / file).write_text(out)
    results = read(tmp_path / "study/results.json")
    assert {r.data["method"] for r in results} == {"naive", "er", "anchor+er", "joint"}
    assert all(
        r.data["hyperparameters"]["sources"]["model"]["arguments"]["width"] == 32 for r in results
    )
    assert r"\toprule" in (tmp_path / "table.tex").read_text()
    assert "| anchor+er | 2 |" in (tmp_path / "table.md").read_text()
    found = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    mean = np.mean([r.metrics["average_accuracy"] for r in results if r.data["method"] == "er"])
    assert next(float(row["average_accuracy"]) for row in found if row["method"] == "er") == mean
    assert len(list((tmp_path / "study/tensorboard").iterdir())) == 8


def test_the_documented_script_finds_the_same_runs(lifelong, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lifelong.comparison.run_all", one_after_another)
    exec(SCRIPT, {"__name__": "__main__"})
    assert r"\begin{tabular}" in capsys.readouterr().out
    found = ll.compare("digits", "er", 1, "study", model="own.py:network", epochs=2, memory=100,
                       set=["model.width=32"])  # fmt: skip
    assert [row.method for row in found.rows] == ["er"]
    assert len(read(tmp_path / "study/results.json")) == 8  # it was run before
    assert "naive" not in found.verdict().partition("(")[0]


def one_after_another(specs, out, jobs=None, watch=None):
    return [spec.run(out, lambda words, share: None) for spec in specs]


def test_a_changed_file_is_another_run(lifelong, own, backend):
    words = ("--method", "own.py:Anchor", "--model", "own.py:network", "--backend", backend, *QUICK)
    first = the_run(lifelong, *words)
    assert first["key"] == the_run(lifelong, *words)["key"]
    own.write_text(own.read_text().replace("self.tasks + 1", "self.tasks + 1000"))
    second = the_run(lifelong, *words)
    assert second["key"] != first["key"]
    assert second["R"] != first["R"]
    assert first["method"] == second["method"] == "anchor"
    code, out, _ = lifelong("report", "here", "--table", "csv")
    labels = [row["label"] for row in csv.DictReader(io.StringIO(out))]
    assert code == 0
    assert all("digest=" in label for label in labels)
    assert len(set(labels)) == 2


def test_an_own_method_acts_and_its_network_follows_the_seed(lifelong, own, backend):
    words = ("--model", "own.py:network", "--backend", backend, *QUICK[:2], *QUICK[4:6])
    plain, again, other = (the_run(lifelong, *words, "--seed", seed) for seed in (3, 3, 4))
    held = the_run(lifelong, "--method", "own.py:Anchor", "--backend", backend, *words[:2], *QUICK)
    assert plain["R"] == again["R"] != other["R"]
    assert plain["R"] != held["R"]
    assert plain["R"][0] == held["R"][0]  # nothing is held in the first task


def test_a_saved_model_says_which_file_it_needs(lifelong, own, backend, tmp_path):
    words = ("--method", "own.py:Anchor", "--model", "own.py:network", "--backend", backend, *QUICK)
    key = the_run(lifelong, *words)["key"]
    code, _, err = lifelong("predict", "here", "digits")
    assert code == 2
    assert "own.py" in err
    assert "ll.load(path, method='own.py:Anchor', model='own.py:network')" in err
    path = tmp_path / "here/runs" / key / "model.safetensors"
    with pytest.raises(ll.LifelongError, match=r"model='own\.py:network'"):
        ll.load(path, method="own.py:Anchor")
    with pytest.raises(ll.LifelongError, match="made with the method anchor, not er"):
        ll.load(path, method="er", model="own.py:network")
    given = {"method": "own.py:Anchor", "model": "own.py:network"}
    learner = ll.load(path, **given)
    assert learner.method.hyperparameters == {"anchor": {"strength": 50}}
    twin = copy.deepcopy(learner)
    x = ll.data.digits().test.x[:50]
    assert learner.predict(x).tolist() == twin.predict(x).tolist()
    own.write_text(own.read_text() + "# a remark\n")
    with pytest.warns(UserWarning, match=r"own\.py is not what this learner was made with"):
        changed = ll.load(path, **given)
    assert changed.predict(x).tolist() == learner.predict(x).tolist()


PART = """from dataclasses import dataclass
import lifelong as ll
@dataclass(eq=False)
class Mine(ll.Part):
"""
BAD = {
    "syntax": ("def (", "own.py:Mine", r"own\.py, line 1: "),
    "raises": ("x = 1\n1 / 0\n", "own.py:Mine", r"own\.py, line 2, in <module>: ZeroDivisionError"),
    "no name": (PART + "    name = 'mine'\n", "own.py:Other", "there is no 'Other' in own.py.*Mine"),
    "no colon": (PART + "    name = 'mine'\n", "own.py", "say what of own.py is meant.*Mine"),
    "no file": ("", "other.py:Mine", "cannot read other.py"),
    "no part": ("Mine = 3\n", "own.py:Mine", "is no method: give a class that extends ll.Part"),
    "unnamed": (PART + "    pass\n", "own.py:Mine", "has no name"),
    "taken": (PART + "    name = 'er'\n", "own.py:Mine", "called 'er', as a method is"),
    "no dataclass": (
        PART.replace("@dataclass(eq=False)\n", "") + "    name = 'mine'\n",
        "own.py:Mine", "no dataclass",
    ),
    "scenario": (PART + "    name, scenarios = 'mine', ('all',)\n", "own.py:Mine", "has the scenarios"),
    "a value": (PART + "    name = 'mine'\n    a: int\n", "own.py:Mine", "--set mine.a="),
    "a hook": (
        PART + "    name = 'mine'\n    def gradient(self, learner, batch, g):\n        batch.no\n",
        "own.py:Mine", r"own\.py, line 7, in gradient: .*no",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_in_a_file_is_one_line(lifelong, tmp_path, case):
    text, name, told = BAD[case]
    (tmp_path / "own.py").write_text(text)
    code, _, err = lifelong("run", "digits", "--method", name, "--epochs", 1, "--out", "here")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert re.search(told, err), err
    assert case == "a hook" or not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (
            "def network():\n    raise ValueError('why')\n",
            (),
            r"own\.py, line 2, in network: ValueError: why",
        ),
        ("def network(width=3):\n    return 3\n", ("--set", "model.with=3"), "did you mean 'width'"),
        ("network = 3\n", (), "is no function"),
        ("def network():\n    return 3\n", (), "gave 3"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_line(lifelong, tmp_path, text, words, told):
    (tmp_path / "own.py").write_text(text)
    code, _, err = lifelong("run", "digits", "--model", "own.py:network", *words, "--out", "here")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert re.search(told, err), err


class Point:
    def __init__(self, value, found):
        self.value, self.found = value, found

    def load(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_installed_packages_add_methods(monkeypatch, tmp_path, lifelong):
    (tmp_path / "own.py").write_text(OWN)
    kind = methods.load(str(tmp_path / "own.py:Anchor"))
    points = [Point("mine:Anchor", kind), Point("old:Gone", ImportError("no module old"))]
    monkeypatch.setattr(
        methods, "entry_points", lambda group: points if group == "lifelong.methods" else []
    )
    methods.registry.cache_clear()
    try:
        with pytest.warns(UserWarning, match="old:Gone .* is left out: no module old"):
            assert methods.registry()["anchor"] is kind
        run = the_run(lifelong, "--method", "er+anchor", "--epochs", 1)
        assert run["hyperparameters"]["sources"]["anchor"]["name"] == "Anchor"
        assert "anchor" in lifelong("methods")[1]
        assert lifelong("predict", "here", "digits")[0] == 0  # it is found by its name
    finally:
        methods.registry.cache_clear()


# ---- tables
ODD = "a_b & 50% #1 $x$ {y} ~^\\ | <b> *c* `d` [e] --f"


def test_latex_shows_names_as_they_are():
    assert tables.in_latex(ODD) == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textasciitilde{}\textasciicircum{}\textbackslash{} \textbar{} "
        r"\textless{}b\textgreater{} {*}c{*} \textasciigrave{}d\textasciigrave{} {[}e{]} -{}-f"
    )
    assert tables.in_latex("---") == "-{}-{}-"
    assert tables.in_latex("\n\x1b") == r"\textbackslash{}n\textbackslash{}x1b"


def test_markdown_shows_names_as_they_are():
    shown = tables.in_markdown(ODD)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown) == ODD
    assert not re.search(r"(?<!\\)[|*_<>`$\[\]#]", shown)
    assert tables.in_markdown("mnist-5k, class scenario") == "mnist-5k, class scenario"
    assert tables.in_markdown("- x") == r"\- x"


def test_tables_of_odd_names_have_a_cell_for_each_column():
    stream = helpers.stream()
    runs = [ll.run(helpers.learner("er", seed=seed), stream) for seed in (1, 2)]
    odd = [
        ll.Result(r.data | {"method": name, "data": ODD}) for r in runs for name in (ODD, "=1+1", "é\n")
    ]
    found = ll.Comparison(odd)
    for line in found.to_latex().splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == 6
    marked = [line for line in found.to_markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in marked} == {8}
    assert len(marked) == 5
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert {row["method"] for row in rows} == {ODD, "=1+1", r"é\n"}
    mean = np.mean([r.metrics["average_accuracy"] for r in runs])
    assert {float(row["average_accuracy"]) for row in rows} == {mean}
    assert f"{100 * mean:.1f} \\pm" in found.to_latex()


def test_safe_csv_and_refusals(lifelong, tmp_path):
    run = ll.run(helpers.learner("er"), helpers.stream())
    ll.Result(run.data | {"method": "=1+1"}).save(tmp_path / "results.json")
    assert ",=1+1," in lifelong("report", ".", "--table", "csv")[1]
    assert ",'=1+1," in lifelong("report", ".", "--table", "csv", "--safe-csv")[1]
    assert not (tmp_path / "report.html").exists()
    assert "did you mean 'latex'" in lifelong("report", ".", "--table", "latx")[2]
    assert "is for --table csv" in lifelong("report", ".", "--safe-csv")[2]


# ---- metrics as they come
def events(path: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of the Events of a file, whose checksums are right."""
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = content[12 : 12 + length]
        assert content[8:12] == masked(content[:8])
        assert content[12 + length : 16 + length] == masked(event)
        content = content[16 + length :]
        if b"brain.Event:2" in event:
            continue
        assert event[0] == 9
        assert event[9] == 16
        assert event[11] == 42  # the Summary
        size = event[16] if event[13] == 10 else None
        value = event[15 : 15 + event[14]]
        assert size is not None or value
        tag = value[2 : 2 + value[1]].decode()
        (number,) = struct.unpack("<f", value[3 + value[1] :])
        found.append((tag, event[10], number))
    return found


def masked(content: bytes) -> bytes:
    """CRC-32C bit by bit, masked as TFRecord files are."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | (crc << 17 & 0xFFFFFFFF)) + 0xA282EAD8) % 2**32)


def test_the_checksum_is_crc_32c():
    unmasked = (struct.unpack("<I", track._checksum(b"123456789"))[0] - 0xA282EAD8) % 2**32
    assert (unmasked >> 17 | unmasked << 15) & 0xFFFFFFFF == 0xE3069283


def test_tensorboard_gets_every_row_once(backend, tmp_path):
    result = ll.run(helpers.learner("er"), helpers.stream(), tmp_path, track="tensorboard")
    (file,) = tmp_path.glob("tensorboard/*/events.out.tfevents.*")
    assert file.parent.name == result.data["key"]
    found = {(tag, step): value for tag, step, value in events(file)}
    for i, row in enumerate(result.data["R"]):
        for j, score in enumerate(row):
            assert found.get((f"R/task_{j + 1}", i + 1)) == (pytest.approx(score) if j <= i else None)
    assert found["average", 2] == pytest.approx(result.metrics["average_accuracy"])
    assert found["forgetting", 2] == pytest.approx(result.metrics["forgetting"])
    assert found["final/average_accuracy", 2] == found["average", 2]
    before = file.read_bytes()
    ll.run(helpers.learner("er"), helpers.stream(), tmp_path, track="tensorboard")  # it is finished
    assert [f.read_bytes() for f in file.parent.iterdir()] == [before]


def test_rows_from_before_it_followed_are_told(tmp_path):
    ll.run(helpers.learner("er"), helpers.stream(), tmp_path)
    assert not (tmp_path / "tensorboard").exists()
    ll.run(helpers.learner("er"), helpers.stream(), tmp_path, track="tensorboard")
    (file,) = tmp_path.glob("tensorboard/*/*")
    assert [step for tag, step, _ in events(file) if tag == "average"] == [1, 2]


def test_linear_learners_are_followed_too(lifelong, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{u:.3f},{v:.3f},{'ab'[int(u > v)]}" for u, v in rng.normal(size=(100, 2))]
    (tmp_path / "t.csv").write_text("\n".join(["u,v,label", *rows]))
    assert lifelong("run", "t.csv", "--method", "cw", "--track", "tensorboard", "--out", "here")[0] == 0
    (file,) = tmp_path.glob("here/tensorboard/*/*")
    (result,) = read(tmp_path / "here/results.json")
    assert ("R/task_1", 1, pytest.approx(result.R[0, 0])) in events(file)


def test_mlflow_that_is_not_there_is_one_line(lifelong, tmp_path, monkeypatch):
    monkeypatch.setattr(track, "find_spec", lambda name: None)
    code, _, err = lifelong("run", "digits", "--track", "mlflow", "--out", "here")
    assert code == 2
    assert err.strip() == "error: --track mlflow needs a package: pip install 'lifelong[mlflow]'"
    assert not (tmp_path / "here").exists()
    assert "did you mean 'tensorboard'" in lifelong("run", "digits", "--track", "tensorbord")[2]


def test_mlflow_gets_every_row_once(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):
        result = ll.run(helpers.learner("er"), helpers.stream(), tmp_path, track="mlflow")
    client = tracking.MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("lifelong")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["learner.method"] == "er"
    history = client.get_metric_history(run.info.run_id, "R/task_1")
    assert [(m.step, m.value) for m in history] == [(1, result.R[0, 0]), (2, result.R[1, 0])]
    assert run.data.metrics["final/average_accuracy"] == result.metrics["average_accuracy"]
    assert "mlflow" not in sys.modules["lifelong"].__dict__


# ---- row by row, under free
def test_networks_are_held_against_what_needs_no_learning(backend, tmp_path):
    result = ll.run(helpers.learner("er", steps=None), helpers.stream("free"), tmp_path)
    found = result.data["progressive"]
    labels = helpers.stream("free").flow().train.y
    assert found["rows"] == len(labels)
    assert found["chunk"] == 16
    assert found["scores"]["er"]["accuracy"] == pytest.approx(result.metrics["prequential_accuracy"])
    assert found["scores"]["no-change"]["accuracy"] == pytest.approx(
        np.mean(labels[1:] == labels[:-1]), abs=0.01
    )
    assert {"no-change", "majority"} <= set(found["windowed"])
    assert found["verdict"] in result.summary()
    assert "before it learned each" in ll.Comparison([result]).verdict()


def test_a_folder_may_be_called_as_a_file_is(tmp_path):
    (tmp_path / "my.pyfiles").mkdir()
    (tmp_path / "my.pyfiles" / "own.py").write_text("answer = 42\n")
    assert sources.load(f"{tmp_path}/my.pyfiles/own.py:answer") == 42
