"""Linear learners on the command line: the same verbs as for networks."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import lifelong as ll
from lifelong import cli
from lifelong.files import read_arrays, write_arrays
from lifelong.linear import PA1, TextClassifier, load, progressive_validation
from lifelong.linear.runner import run, run_flow
from lifelong.report.groups import groups

SCHEMA = json.loads((Path(ll.__file__).parent / "results.schema.json").read_text())


def rows(classes, n, seed=0):
    """Texts of a few words of their class among many that are common."""
    rng = np.random.default_rng(seed)
    found = []
    for c in rng.choice(classes, n):
        own = [f"own{c}x{rng.integers(8)}" for _ in range(3)]
        found.append(
            {"text": " ".join([*own, *(f"w{k}" for k in rng.integers(0, 60, 8))]), "label": f"c{c}"}
        )
    return found


def write(path, found):
    """One file of rows, by its suffix."""
    table = pa.Table.from_pylist(found)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    return str(path)


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run_it(*words):
        monkeypatch.setattr(sys, "argv", ["lifelong", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code, *capsys.readouterr()

    return run_it


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_run_predict_update_explain_diff(call, tmp_path, suffix):
    a, b = (write(tmp_path / f"{n}{suffix}", rows(c, 200)) for n, c in (("a", [0, 1]), ("b", [1, 2])))
    code, out, _ = call(
        "run", a, "--method", "cw", "--out", "m", "--set", "text.vocabulary=true", "--json"
    )
    assert code == 0
    content = json.loads(out)
    jsonschema.validate(content, SCHEMA)
    result = content["runs"][0]
    assert result["classes"] == ["c0", "c1"] or result["classes"] == ["c1", "c0"]
    assert result["metrics"]["average_accuracy"] > 0.9
    assert result["metrics"]["prequential_accuracy"] > 0.8

    code, out, _ = call("update", "m", b, "--json")
    assert code == 0
    done = json.loads(out)
    jsonschema.validate({"schema": done["schema"], "runs": done["runs"]}, SCHEMA)
    assert [g["task"] for g in done["guards"]] == ["a", "b"]
    assert done["guards"][1]["before"] < done["guards"][1]["after"]
    assert set(load(tmp_path / "m/model-2.safetensors").classes_) == {"c0", "c1", "c2"}
    assert json.loads(call("update", "m", b, "--json")[1])["repeated"]  # it has just learned that

    code, out, err = call("predict", "m", b, "--json")
    told = json.loads(out)
    assert len(told["predictions"]) == 200
    assert told["accuracy"] > 0.9
    assert "accuracy" in err

    code, out, _ = call("explain", "m", "--label", "c2", "--top", 3)
    assert out.splitlines()[0] == "c2"
    assert all(line.split()[0].startswith("own2") for line in out.splitlines()[1:])
    code, out, _ = call("diff", "m/model.safetensors", "m", b, "--json")
    found = json.loads(out)
    assert found["rows"] == 200
    assert len(found["flipped"]) == sum(p["rows"] for p in found["pairs"]) > 0
    assert found["fixed"] > found["broken"]


def test_class_by_class_with_a_memory(call, tmp_path):
    file = write(tmp_path / "all.jsonl", rows([0, 1, 2, 3], 400))
    same = ("run", file, "--method", "arow", "--classes-per-task", 1, "--json")
    _, out, _ = call(*same, "--out", "a")
    _, again, _ = call(*same, "--out", "b", "--memory", 80, "--set", "replay.replays=2")
    forgets, remembers = (json.loads(text)["runs"][0] for text in (out, again))
    assert len(forgets["R"]) == 4
    assert remembers["metrics"]["forgetting"] < forgets["metrics"]["forgetting"] - 0.3
    assert remembers["cost"]["memory_bytes"] > 0 == forgets["cost"]["memory_bytes"]


def test_standard_input_and_a_file_that_flows_by_give_the_same(call, monkeypatch, tmp_path):
    file = write(tmp_path / "all.jsonl", rows([0, 1], 300))
    _, out, _ = call("run", file, "--method", "cw", "--scenario", "free", "--out", "a", "--json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(file).read_bytes())))
    code, again, _ = call("run", "-", "--method", "cw", "--scenario", "free", "--out", "b", "--json")
    assert code == 0
    a, b = (json.loads(text)["runs"][0] for text in (out, again))
    assert a["metrics"] == b["metrics"]
    assert a["cost"]["steps"] == 285  # one of 20 is held out
    texts = [row["text"] for row in rows([0, 1], 300)]
    x, y = load(tmp_path / "a/model.safetensors"), load(tmp_path / "b/model.safetensors")
    np.testing.assert_array_equal(x.scores(texts), y.scores(texts))


def test_a_table_of_numbers(call, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) + 4 * np.array([[1, 0], [0, -1], [0, 0]])[np.arange(300) % 3]
    found = [{"a": a, "b": b, "label": f"k{i % 3}"} for i, (a, b) in enumerate(x)]
    file = write(tmp_path / "t.csv", found)
    assert call("run", file, "--method", "arow", "--out", "m")[0] == 0
    _, out, _ = call("predict", "m", file, "--json")
    assert json.loads(out)["accuracy"] > 0.85
    for method in ("svm", "lasvm"):
        setting = ("--method", method, "--set", f"{method}.gamma=0.3", "--memory", 50, "--epochs", 2)
        assert call("run", file, *setting, "--out", method)[0] == 0
        _, out, _ = call("predict", method, file, "--json")
        assert json.loads(out)["accuracy"] > 0.9
        assert call("update", method, file)[0] == 0
    code, out, _ = call(
        "compare", file, "--methods", "cw,arow", "--seeds", 2, "--jobs", 1, "--out", "c", "--json"
    )
    assert code == 0
    assert [run["method"] for run in json.loads(out)["runs"]] == ["cw", "arow", "cw", "arow"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "cw", "--scenario", "task"), "not told the task"),
        (("--method", "cw", "--target", "lable"), "did you mean 'label'"),
        (("--method", "cw", "--text", "label2"), "did you mean 'label'"),
        (("--method", "er", "--text", "text"), "choose a linear method"),
        (("--method", "cw", "--set", "cw.etta=0.8"), "did you mean 'eta'"),
        (("--method", "cw", "--set", "cw.eta=2"), "eta=2"),
        (("--method", "cw", "--set", "text.weight=tf"), "did you mean 'weighting'"),
        (("--method", "cw", "--set", "replay.batch=3"), "--memory"),
        (("--method", "cw", "--scenario", "free", "--epochs", 2), "one pass"),
        (("--method", "cw", "--epochs", 0), "epochs=0"),
        (("--method", "cw", "--scenario", "free", "--test", "b.jsonl"), "--test is for tasks"),
        (("--method", "cw", "--scenario", "free", "--time-limit", 5), "--time-limit is for tasks"),
        (("--method", "cw", "--missing", "mean"), "--missing is for tables"),
        (("--method", "cw", "--set", "cw.eta=abc"), "eta of cw is 'abc': give a number"),
        (("--method", "cw", "--set", "text.ngrams=2"), "ngrams of text is 2: give a list, as in"),
        (("--method", "cw", "--set", "text.ngrams=[1]"), "ngrams=(1,)"),
        (("--method", "cw", "--set", "text.weighting=foo"), "weighting 'foo'"),
        (("--method", "cw", "--memory", "1MB"), "give how many"),
        (("--method", "cw", "--memory", 5, "--set", "replay.batch=1.5"), "batch of replay is 1.5"),
        (("--method", "cw", "--lr", 0.1), "--lr is for networks: cw takes none"),
        (("--method", "cw", "--output-space", "all"), "--output-space is for networks"),
        (("--method", "cw", "--objective", "regression"), "cw tells classes apart"),
    ],
)
def test_what_makes_no_sense_is_one_line(call, tmp_path, words, told):
    file = write(tmp_path / "a.jsonl", rows([0, 1], 40))
    code, _, err = call("run", file, *words)
    assert code == 2
    assert told in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_text_that_is_missing_is_refused_with_its_row(call, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [*rows([0, 1], 30), {"text": None, "label": "c0"}]
    write(file, lines)
    for scenario in ("class", "free"):
        code, _, err = call("run", file, "--method", "cw", "--scenario", scenario)
        assert code == 2
        assert "row 31" in err


@pytest.mark.parametrize(("scenario", "delay"), [("class", 0), ("free", 0), ("free", 15)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, scenario, delay):
    texts = [row["text"] for row in rows([0, 1, 2, 3], 200)]
    labels = [row["label"] for row in rows([0, 1, 2, 3], 200)]
    file = write(
        tmp_path / "all.jsonl", [{"text": t, "label": y} for t, y in zip(texts, labels, strict=True)]
    )
    stream = ll.data.texts(file).split(2, scenario)
    whole = run(TextClassifier("cw"), stream, tmp_path / "a", delay=delay)

    class Killed(Exception):
        pass

    def kill(words, share):
        if share > 0.6:
            raise Killed

    with pytest.raises(Killed):
        run(TextClassifier("cw"), stream, tmp_path / "b", delay=delay, report=kill)
    assert list((tmp_path / "b/runs").glob("*/checkpoint.safetensors"))
    again = run(TextClassifier("cw"), stream, tmp_path / "b", delay=delay)
    assert again.data["R"] == whole.data["R"]
    assert ("progressive" in whole.data) == (scenario == "free")
    assert again.data.get("progressive") == whole.data.get("progressive")
    a, b = (load(next((tmp_path / d).glob("runs/*/model.safetensors"))) for d in "ab")
    np.testing.assert_array_equal(a.scores(texts), b.scores(texts))
    assert not list((tmp_path / "b/runs").glob("*/checkpoint.safetensors"))
    assert run(TextClassifier("cw"), stream, tmp_path / "b", delay=delay).data == again.data


@pytest.mark.parametrize("method", ["cw", "nb"])
def test_a_flow_is_judged_alike_whatever_its_blocks(method):
    found = rows([0, 1], 600)
    x, y = (np.array([row[name] for row in found], object) for name in ("text", "label"))
    scores = []
    for size in (100, 600):
        blocks = [(x[i : i + size], y[i : i + size].astype(str)) for i in range(0, 600, size)]
        data = run_flow(TextClassifier(method), blocks, "rows").data
        scores.append(data["progressive"]["scores"])
        mine = scores[-1][data["progressive"]["name"]]["accuracy"]
        assert mine == data["metrics"]["prequential_accuracy"] > 0.85
    if method == "cw":
        assert scores[0] == scores[1]


@pytest.mark.parametrize("delay", [0, 30])
def test_labels_come_late_as_in_progressive_validation(delay):
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 150), 8)
    x = (rng.normal(size=(1200, 3)) + (2 * y[:, None] - 1)).astype(np.float32)
    data = ll.data.arrays(x, y, x[:50], y[:50])
    found = run(PA1(), data.whole("free"), delay=delay).data["progressive"]
    how = {"delay": delay, "chunk": max(1, delay // 10), "window": found["window"]}
    direct = progressive_validation(PA1(), x, y.astype(str), **how)
    assert found["scores"]["pa1"]["accuracy"] == direct.scores["PA1"].accuracy
    assert found["scores"]["no-change"] == vars(direct.scores["no-change"])
    assert found["drifts"] == direct.drifts
    assert (found["rows"], found["windowed"]["row"][-1]) == (1200, 1199)
    np.testing.assert_array_equal(
        found["windowed"]["pa1"], direct.windowed["PA1"][found["windowed"]["row"]]
    )


def test_rows_keep_their_numbers_where_some_are_held_out(call, tmp_path):
    """Labels turn at row 1,000 of 2,000, of which 400 are held out: that is where the drift is."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    label = (x > 0) ^ (np.arange(2000) >= 1000)
    table = [{"a": float(a), "label": f"k{int(k)}"} for a, k in zip(x, label, strict=True)]
    file = write(tmp_path / "turn.csv", table)
    _, out, _ = call("run", file, "--method", "cw", "--scenario", "free", "--delay", 200, "--json")
    found = json.loads(out)["runs"][0]["progressive"]
    assert found["rows"] == 1600
    assert 1000 <= found["drifts"][0] < 1300
    assert found["windowed"]["row"][-1] >= 1990


def test_a_tables_own_ids_are_no_row_numbers(call, tmp_path):
    values = np.random.default_rng(0).normal(size=300)
    table = [{"id": 7000 + 10 * i, "a": float(a), "label": f"k{a > 0}"} for i, a in enumerate(values)]
    file = write(tmp_path / "own.csv", table)
    _, out, _ = call("run", file, "--method", "cw", "--scenario", "free", "--json")
    found = json.loads(out)["runs"][0]["progressive"]
    assert found["windowed"]["row"][-1] == found["rows"] - 1 == 239
    assert found["window"] == 48


def test_options_are_told_as_they_are_set_and_labels_stay_short(call, tmp_path):
    file = write(tmp_path / "all.jsonl", rows([0, 1], 300))
    common = ("run", file, "--scenario", "free", "--out", "m")
    call(*common, "--method", "cw")
    call(*common, "--method", "cw", "--memory", 50)
    call(*common, "--method", "nb", "--delay", 30)
    content = json.loads((tmp_path / "m/results.json").read_text())
    jsonschema.validate(content, SCHEMA)
    told = {
        run["key"][:2] + str("replay" in (h := run["hyperparameters"])): h for run in content["runs"]
    }
    assert told["cwTrue"]["replay"] == {"memory": 50, "admission": "balanced", "replays": 1, "batch": 32}
    assert told["cwFalse"]["learner"]["eta"] == told["cwTrue"]["learner"]["eta"] == 0.9
    assert told["cwFalse"]["text"]["ngrams"] == [1, 1]
    assert (told["nbFalse"]["delay"], told["nbFalse"]["learner"]["estimator"]) == (30, "MultinomialNB")
    (group,) = groups(content)
    assert {entry.label for entry in group.entries} == {"cw", "cw (memory=50)", "nb"}
    late = ["no-change (delay=30)", "majority (delay=30)"]
    assert [label for label, *_ in group.progressive()][-4:] == ["no-change", "majority", *late]
    code, out, _ = call("report", "m")
    assert code == 0
    assert "row by" in out
    assert "Row by row, before it learns each, cw" in out


def test_other_rows_of_standard_input_are_other_data(call, tmp_path, monkeypatch):
    for classes, n in (([0, 1], 200), ([2, 3], 100), ([0, 1], 200)):
        lines = "".join(json.dumps(row) + "\n" for row in rows(classes, n))
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert call("run", "-", "--method", "cw", "--out", "m")[0] == 0
    content = json.loads((tmp_path / "m/results.json").read_text())
    assert sorted(run["stream"]["rows"] for run in content["runs"]) == [100, 200]
    assert len({group.title for group in groups(content)}) == 2


def test_explain_names_columns_and_says_how_words_are_kept(call, tmp_path):
    values = np.random.default_rng(0).normal(size=100)
    table = [
        {"price": float(a), "town": "xy"[i % 2], "label": f"k{a > 0}"} for i, a in enumerate(values)
    ]
    call("run", write(tmp_path / "t.csv", table), "--method", "cw", "--out", "t")
    code, out, err = call("explain", "t")
    assert code == 0
    assert "price" in out
    assert "town=x" in out
    assert "vocabulary" not in err
    call("run", write(tmp_path / "a.jsonl", rows([0, 1], 60)), "--method", "cw", "--out", "a")
    assert "--set text.vocabulary=true" in call("explain", "a")[2]


def test_a_model_of_another_format_is_refused_by_every_command(call, tmp_path):
    file = write(tmp_path / "a.jsonl", rows([0, 1], 60))
    call("run", file, "--method", "cw", "--out", "m")
    arrays, whole = read_arrays(tmp_path / "m/model.safetensors")
    write_arrays(tmp_path / "m/model.safetensors", arrays, whole | {"format": 1})
    for words in (("predict", "m", file), ("update", "m", file), ("explain", "m"), ("show", "m")):
        assert "has format 1, this version reads" in call(*words)[2]


def test_an_update_says_which_classes_are_new(call, tmp_path):
    call("run", write(tmp_path / "a.jsonl", rows([0, 1], 60)), "--method", "cw", "--out", "m")
    more = write(tmp_path / "b.jsonl", rows([1, 2], 60, seed=1))
    assert "new classes: c2\n" in call("update", "m", more)[1]
    again = write(tmp_path / "c.jsonl", rows([1, 2], 60, seed=2))
    assert json.loads(call("update", "m", again, "--json")[1])["new_classes"] == []


def test_a_model_of_arrays_refuses_what_it_has_not_learned(call, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez("three.npz", x=x, y=(x[:, 0] > 0).astype(int))
    np.savez("two.npz", x=x[:, :2], y=(x[:, 0] > 0).astype(int))
    table = write(tmp_path / "t.csv", [{"a": 1.0, "label": "k"}])
    assert call("run", "three.npz", "--method", "cw", "--out", "m")[0] == 0
    for command in ("predict", "update"):
        assert "shape [2], where the model has learned [3]" in call(command, "m", "two.npz")[2]
        assert "is a table: this model has learned arrays" in call(command, "m", table)[2]


@pytest.mark.parametrize("words", [("--by", "label"), ("--set", "stream.blur=0.5"), ("--tasks", "2")])
def test_options_of_tasks_mean_nothing_to_what_is_read_once(call, words):
    code, _, err = call("run", "-", "--method", "cw", *words)
    assert (code, "is for tasks: this data is read once" in err) == (2, True)


def test_numbers_beside_words_in_a_column_are_told_so(call, tmp_path):
    lines = '{"text": "a b", "label": 1}\n{"text": "c d", "label": "x"}\n'
    (tmp_path / "mixed.jsonl").write_text(lines)
    err = call("run", "mixed.jsonl", "--method", "cw")[2]
    assert "column 'label' of mixed.jsonl holds a number in one row and a string in another" in err


def test_groups_have_a_table_each_and_those_below_the_bars_are_named(call, tmp_path):
    words = [{"text": f"w{i % 7} x{i % 5}", "label": f"c{i // 20 % 2}"} for i in range(400)]
    file = write(tmp_path / "sticky.jsonl", words)
    for more in ((), ("--memory", 10)):
        call("run", file, "--method", "cw", "--scenario", "free", "--out", "m", *more)
    call("run", file, "--method", "cw", "--scenario", "class", "--out", "m")
    _, out, _ = call("report", "m")
    assert out.count("method") == 2
    assert "sticky, free scenario" in out
    flat = " ".join(out.split())
    assert "cw and cw (memory=10) are no better than no-change, which is right 9" in flat


def test_learners_that_solve_for_answers_are_asked_some_rows_at_once(call, tmp_path):
    file = write(tmp_path / "a.jsonl", [{"text": f"w{i % 3}", "label": "one"} for i in range(100)])
    for method, chunk, right in (("nb", 32, 94), ("cw", 1, 94)):
        out = call("run", file, "--method", method, "--scenario", "free", "--json")[1]
        found = json.loads(out)["runs"][0]["progressive"]
        assert found["chunk"] == chunk
        assert round(found["rows"] * found["scores"][method]["accuracy"]) == right  # all but the first


def test_methods_tell_what_differs_for_texts(call):
    listed = {m["name"]: m for m in json.loads(call("methods", "--json")[1])["methods"]}
    assert (listed["nb"]["options"]["alpha"], listed["nb"]["of_texts"]) == (1.0, {"alpha": 0.001})
    assert listed["svm"]["of_texts"] == {}
    assert "did you mean 'cw'" in call("run", "digits", "--method", "CW")[2]


def test_what_belongs_to_linear_methods_alone_says_so(call):
    assert "standard input is for linear methods" in call("run", "-", "--method", "er")[2]
    assert "cw is a linear method" in call("run", "digits", "--method", "cw+er")[2]


def test_standard_input_is_not_compared_on(call):
    code, _, err = call("compare", "-", "--methods", "cw,arow")
    assert (code, "read once" in err) == (2, True)


def test_show_tells_what_a_linear_model_is(call, tmp_path):
    file = write(tmp_path / "a.jsonl", rows([0, 1], 40))
    call("run", file, "--method", "cw", "--memory", 10, "--out", "m")
    code, out, _ = call("show", "m")
    assert code == 0
    assert "Replay" in out
    assert "2 classes" in out
    with pytest.raises(ll.LifelongError, match=r"lifelong\.linear\.load"):
        ll.load("m/model.safetensors")


def test_a_flow_is_judged_row_by_row_and_reported(call, tmp_path):
    file = write(tmp_path / "all.jsonl", rows([0, 1], 300))
    words = ("run", file, "--method", "cw", "--scenario", "free", "--delay", 40, "--out", "m")
    code, out, _ = call(*words)
    assert code == 0
    assert "cw is above no-change and majority" in out
    page = (tmp_path / "m/report.html").read_text()
    assert "Row by row, in the order of time" in page
    assert (tmp_path / "m/figures/progressive.svg").exists()
    content = json.loads((tmp_path / "m/results.json").read_text())
    jsonschema.validate(content, SCHEMA)
    found = content["runs"][0]["progressive"]
    labels = np.array([row["label"] for row in rows([0, 1], 300)])
    labels = labels[np.arange(300) % 20 != 19]  # the others are held out
    assert (found["rows"], found["delay"]) == (285, 40)
    assert found["windowed"]["row"][-1] == 298
    assert found["scores"]["no-change"]["accuracy"] == (labels[41:] == labels[:-41]).sum() / 285
    assert call(*words[:-2], "--scenario", "class")[0] == 2
    assert "--delay is for linear methods" in call("run", "mnist-5k", "--delay", 3)[2]


def test_a_flow_too_short_to_judge_is_refused():
    with pytest.raises(ll.LifelongError, match="too few"):
        run_flow(
            TextClassifier(), [(np.array(["a b", "c d"], object), np.array(["x", "y"], object))], "tiny"
        )


def test_linear_learners_import_no_framework():
    heavy = ("torch", "tensorflow", "keras")
    code = f"import sys, lifelong.linear; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(
    "LIFELONG_DATA" not in os.environ, reason="needs the 20 news groups in LIFELONG_DATA"
)
def test_20_news_groups_in_one_pass():
    data = ll.data.published_texts("20newsgroups")
    order = np.random.default_rng(0).permutation(len(data.train))
    model = TextClassifier("cw").partial_fit(data.train.x[order], data.train.y[order])
    assert model.score(data.test.x, data.test.y) > 0.85
