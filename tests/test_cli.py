"""The command line: the main jobs from files, and every error as one clear line."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from helpers import start, wait_for

import lifelong as ll
from lifelong import cli

SCHEMA = json.loads((files("lifelong") / "results.schema.json").read_text())


QUICK = ("--epochs", 1, "--model", "mlp:32")


def write_shop(folder, name, goods, n=150, label=True, seed=0, swapped=False):
    rng = np.random.default_rng([seed, len(name)])
    centres = {"bread": (0, 0, 2), "milk": (3, 0, 0), "wine": (0, 3, -1)}
    with open(folder / name, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["price", "weight", "age"] + ["label"] * label)
        for i in range(n):
            good = goods[i % len(goods)]
            row = [f"{v:.3f}" for v in rng.normal(centres[good], 0.4)]
            said = goods[::-1][i % len(goods)] if swapped else good
            table.writerow(row + [said] * label)


def test_run_writes_one_result_file_a_report_and_a_model(lifelong, tmp_path):
    code, out, _ = lifelong("run", "digits", "--method", "er", *QUICK, "--out", "here")
    assert code == 0
    assert "average accuracy" in out
    assert "report: here/report.html" in out
    assert [p.name for p in (tmp_path / "here").glob("*.json")] == ["results.json"]
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    (run,) = results["runs"]
    assert (tmp_path / "here" / "runs" / run["key"] / "run.json").exists()
    assert run["method"] == "er"
    assert run["output_space"] == "seen"
    assert np.shape(run["R"]) == (5, 5)


def test_the_recorded_command_gives_the_same_run(lifelong):
    words = ["run", "digits", "--method", "er", *QUICK, "--set", "er.admission=ring", "--json"]
    code, out, _ = lifelong(*words)
    run = json.loads(out)["runs"][0]
    assert code == 0
    again = lifelong(*run["command"].split()[1:], "--json", "--out", "elsewhere")
    repeated = json.loads(again[1])["runs"][0]
    assert repeated["key"] == run["key"]
    assert repeated["R"] == run["R"]


def test_json_is_the_only_thing_on_standard_output(lifelong):
    for words in (
        ("run", "digits", *QUICK),
        ("compare", "digits", "--methods", "naive,er", "--seeds", 2, "--jobs", 2, *QUICK),
    ):
        code, out, _ = lifelong(*words, "--json")
        assert code == 0
        jsonschema.validate(json.loads(out), SCHEMA)
    assert len(json.loads(out)["runs"]) == 4
    assert {run["seed"] for run in json.loads(out)["runs"]} == {1, 2}
    for words in (("methods",), ("datasets",)):
        code, out, _ = lifelong(*words, "--json")
        assert code == 0
        assert json.loads(out)


def test_compare_takes_finished_runs_from_their_files(lifelong, tmp_path):
    words = ("compare", "digits", "--methods", "naive,er", "--seeds", 1, *QUICK, "--out", "c")
    assert lifelong(*words)[0] == 0
    files = sorted(tmp_path.glob("c/runs/*/run.json"))
    before = [file.stat().st_mtime_ns for file in files]
    code, out, _ = lifelong(*words)
    assert code == 0
    assert [file.stat().st_mtime_ns for file in files] == before
    assert "naive" in out
    assert "report: c/report.html" in out


def test_four_commands_from_january_to_january_s_loss(lifelong, tmp_path):
    write_shop(tmp_path, "january.csv", ["bread", "milk"])
    write_shop(tmp_path, "february.csv", ["milk", "wine"])
    write_shop(tmp_path, "march.csv", ["bread", "milk", "wine"], n=30, label=False)
    assert lifelong("run", "january.csv", "--method", "er", "--out", "shop")[0] == 0
    old = (tmp_path / "shop" / "model.safetensors").read_bytes()

    code, out, _ = lifelong("update", "shop", "february.csv", "--json")
    assert code == 0
    update = json.loads(out)
    assert [g["task"] for g in update["guards"]] == ["january", "february"]
    january, february = update["guards"]
    assert january["before"] > 0.95
    assert january["after"] > 0.8
    assert february["before"] < 0.6  # half of its rows are of a class that did not exist
    assert february["after"] > 0.9
    assert (tmp_path / "shop" / "model.safetensors").read_bytes() == old
    jsonschema.validate({"schema": 1, "runs": update["runs"]}, SCHEMA)

    code, out, _ = lifelong("predict", "shop", "march.csv", "--json")
    expected = ["bread", "milk", "wine"] * 10
    agreement = np.mean([a == b for a, b in zip(json.loads(out)["predictions"], expected, strict=True)])
    assert code == 0
    assert agreement > 0.8

    code, out, _ = lifelong("report", "shop")
    assert code == 0
    assert "january" in out
    loss = json.loads((tmp_path / "shop" / "results.json").read_text())["runs"]
    updated = next(run for run in loss if len(run["tasks"]) == 2)
    assert updated["R"][1][0] == january["after"]
    assert updated["metrics"]["forgetting"] == pytest.approx(january["before"] - january["after"])


def test_under_task_an_update_has_a_head_of_its_own(lifelong, tmp_path):
    write_shop(tmp_path, "january.csv", ["bread", "milk"])
    write_shop(tmp_path, "february.csv", ["bread", "milk"], swapped=True)
    words = ("run", "january.csv", "--method", "packnet", "--scenario", "task", "--out", "shop")
    assert lifelong(*words)[0] == 0
    code, out, _ = lifelong("update", "shop", "february.csv", "--json")
    assert code == 0
    january, february = json.loads(out)["guards"]
    assert january["before"] > 0.95
    assert january["after"] == january["before"]
    assert february["before"] is None  # that task has no head yet
    assert february["after"] > 0.9
    code, out, _ = lifelong("predict", "shop", "february.csv", "--task", "1", "--json")
    assert code == 0
    assert set(json.loads(out)["predictions"]) == {"february: bread", "february: milk"}


def test_the_same_run_on_tensorflow(lifelong, tmp_path):
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    words = ("run", "digits", "--method", "er+ewc", "--precision", "float64", *QUICK)
    Rs = []
    for backend in ("torch", "tensorflow"):
        code, out, _ = lifelong(*words, "--backend", backend, "--json", "--out", backend)
        assert code == 0
        (run,) = json.loads(out)["runs"]
        assert backend in run["versions"]
        Rs.append(run["R"])
    assert Rs[0] == Rs[1]
    code, out, _ = lifelong("predict", "tensorflow", "digits", "--json")
    assert json.loads(out) == json.loads(lifelong("predict", "torch", "digits", "--json")[1])


def test_a_schedule_is_set_in_words(lifelong):
    words = ["--set", "schedule.kind=cosine", "--set", "schedule.warmup=0.1", "--json"]
    code, out, _ = lifelong("run", "digits", *QUICK, *words)
    assert code == 0
    (run,) = json.loads(out)["runs"]
    schedule = run["hyperparameters"]["optimizer"]["schedule"]
    assert (schedule["kind"], schedule["warmup"], schedule["per"]) == ("cosine", 0.1, "task")


@pytest.mark.parametrize(
    ("words", "weights"), [("balanced", "balanced"), ("3=5,8=0.5", {"3": 5, "8": 0.5})]
)
def test_class_weights_are_set_in_words(lifelong, words, weights):
    code, out, _ = lifelong("run", "digits", *QUICK, "--class-weights", words, "--json")
    assert code == 0
    assert json.loads(out)["runs"][0]["hyperparameters"]["class_weights"] == weights


def test_columns_of_a_new_file_are_found_by_name(lifelong, tmp_path):
    write_shop(tmp_path, "january.csv", ["bread", "milk"])
    assert lifelong("run", "january.csv", "--out", "shop")[0] == 0
    straight = lifelong("predict", "shop", "january.csv")[1]
    rows = list(csv.reader((tmp_path / "january.csv").read_text().splitlines()))
    with open(tmp_path / "turned.csv", "w", newline="") as file:
        csv.writer(file).writerows([row[::-1] for row in rows])
    assert lifelong("predict", "shop", "turned.csv")[1] == straight
    with open(tmp_path / "short.csv", "w", newline="") as file:
        csv.writer(file).writerows([row[1:] for row in rows])
    code, _, err = lifelong("predict", "shop", "short.csv")
    assert code == 2
    assert "price" in err


def write_orders(folder, name, goods, colours, n=150, gaps=True, label=True):
    """A table with a column of text; with ``gaps``, some prices and colours are missing."""
    rng = np.random.default_rng(len(name))
    centres = {"bread": (0, 900), "milk": (3, 500), "wine": (-3, 700)}
    with open(folder / name, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["price", "grams", "colour"] + ["label"] * label)
        for i in range(n):
            good = goods[i % len(goods)]
            price, grams = rng.normal(centres[good], (0.4, 40))
            row = [f"{price:.3f}", f"{grams:.1f}", colours[good]]
            if gaps and i % 7 == 3:
                row[0] = ""
            if gaps and i % 11 == 5:
                row[2] = ""
            table.writerow(row + [good] * label)


@pytest.mark.parametrize("missing", ["mean", "indicator"])
def test_gaps_a_new_category_and_a_new_label_go_through(lifelong, tmp_path, missing):
    colours = {"bread": "brown", "milk": "white", "wine": "red"}
    (tmp_path / "orders").mkdir()
    write_orders(tmp_path / "orders", "1.csv", ["bread", "milk"], colours)
    write_orders(tmp_path / "orders", "2.csv", ["milk", "bread"], colours, gaps=False)
    write_orders(tmp_path / "orders", "3.csv", ["milk", "wine"], colours)
    write_orders(tmp_path, "4.csv", ["bread", "milk", "wine"], colours | {"milk": "blue"}, label=False)

    code, _, err = lifelong("run", "orders", "--method", "er", "--out", "refused")
    assert (code, err.count("\n")) == (2, 1)
    assert "'price' of orders/1.csv has no value in row 4" in err
    assert "--missing mean" in err
    assert not (tmp_path / "refused").exists()

    words = ("--method", "er", "--epochs", 30, "--missing", missing)
    code, out, _ = lifelong("run", "orders", *words, "--out", "all", "--json")
    (run,) = json.loads(out)["runs"]
    assert code == 0
    assert run["tasks"] == ["1", "2", "3"]
    assert run["metrics"]["average_accuracy"] > 0.9

    (tmp_path / "orders" / "3.csv").rename(tmp_path / "3.csv")
    (tmp_path / "orders").rename(tmp_path / "begun")
    assert lifelong("run", "begun", *words, "--out", "shop")[0] == 0
    code, out, _ = lifelong("update", "shop", "3.csv", "--json")
    assert code == 0
    guards = {g["task"]: g for g in json.loads(out)["guards"]}
    assert guards["3"]["before"] < 0.6
    assert guards["3"]["after"] > 0.9
    assert guards["1"]["after"] > 0.7

    code, out, _ = lifelong("predict", "shop", "4.csv", "--json")
    right = np.equal(json.loads(out)["predictions"], ["bread", "milk", "wine"] * 50)
    assert code == 0
    assert right.mean() > 0.8

    lines = (tmp_path / "4.csv").read_text().splitlines()
    for content, hint in (
        (["price,grams", *(line.rsplit(",", 1)[0] for line in lines[1:])], "needs 'colour'"),
        ([lines[0], "1,heavy,brown"], "'heavy' (row 1), where the first task has a number"),
        ([lines[0] + ",size", lines[1] + ",3"], "a column 'size' that the model has not learned"),
    ):
        (tmp_path / "bad.csv").write_text("\n".join(content) + "\n")
        code, out, err = lifelong("predict", "shop", "bad.csv", "--out", "answers.csv")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert hint in err
        assert not (tmp_path / "answers.csv").exists()
    code, _, err = lifelong("predict", "shop", "digits")
    assert code == 2
    assert "this model has learned tables" in err


def write_columns(path, **columns):
    """A CSV file of columns of numbers; NaN is an empty field."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join("" if v != v else f"{v:.4f}" for v in row) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")


@pytest.mark.parametrize(
    ("objective", "target", "least"),
    [("regression", "price,size", 0.9), ("multi-label", "warm,wet", 0.95)],
)
def test_targets_that_are_numbers(lifelong, tmp_path, objective, target, least):
    """Run, update and predict, where the target is one or more columns of numbers."""
    for month in (0, 1):
        rng = np.random.default_rng(month)
        inputs = dict(zip("ab", rng.normal(size=(2, 300)), strict=True))
        a, b = inputs["a"], inputs["b"]
        size = np.where(np.arange(300) % 17 == 0, np.nan, a + b)
        numbers = {"price": 3 * a - b + month, "size": size, "warm": a > 0, "wet": b > 0}
        told = {name: numbers[name] for name in target.split(",")}
        write_columns(tmp_path / f"{month}.csv", **inputs, **told)
        write_columns(tmp_path / "inputs.csv", **inputs)
    words = ("--scenario", "domain", "--objective", objective, "--target", target, "--epochs", 20)
    code, out, _ = lifelong("run", "0.csv", *words, "--method", "er", "--out", "m", "--json")
    assert code == 0
    assert json.loads(out)["runs"][0]["metrics"]["average_accuracy"] > least
    code, out, _ = lifelong("update", "m", "1.csv", "--json")
    assert (code, json.loads(out)["guards"][-1]["after"] > least) == (0, True)
    answers = [json.loads(lifelong("predict", "m", f, "--json")[1]) for f in ("1.csv", "inputs.csv")]
    assert answers[0] == answers[1]
    assert len(answers[0]["predictions"]) == 300


def test_a_model_that_refuses_gaps_goes_on_refusing_them(lifelong, tmp_path):
    colours = {"bread": "brown", "milk": "white"}
    write_orders(tmp_path, "1.csv", ["bread", "milk"], colours, gaps=False)
    write_orders(tmp_path, "2.csv", ["bread", "milk"], colours)
    assert lifelong("run", "1.csv", "--out", "shop")[0] == 0
    for command in ("update", "predict"):
        code, out, err = lifelong(command, "shop", "2.csv")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "'price' of 2.csv has no value in row 4" in err
    assert not list((tmp_path / "shop").glob("model-*"))


def test_a_folder_of_images(lifelong, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    rng = np.random.default_rng(0)

    def draw(folder, shade, n, size=(9, 7)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(n):
            pixels = np.clip(rng.normal(shade, 10, (*size, 3)), 0, 255).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")

    for folder, shade in (("dark", 40), ("light", 220)):
        draw(f"photos/{folder}", shade, 40)
        draw(f"march/{folder}", shade, 5, size=(20, 20))
    draw("april/grey", 130, 40)
    draw("loose", 220, 3)
    assert lifelong("run", "photos", "--model", "cnn:4,4", "--method", "er", "--out", "m")[0] == 0
    code, out, _ = lifelong("predict", "m", "march", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == 1
    code, out, _ = lifelong("predict", "m", "loose", "--json")
    assert json.loads(out) == {"predictions": ["light"] * 3, "accuracy": None, "unseen": {}}
    code, out, _ = lifelong("update", "m", "april", "--json")
    assert code == 0
    assert json.loads(out)["guards"][-1]["before"] == 0  # its only class did not exist
    draw("photos/odd", 90, 2, size=(5, 5))
    (tmp_path / "photos").rename(tmp_path / "more")
    code, _, err = lifelong("run", "more", "--out", "n")
    assert (code, err.count("\n")) == (2, 1)
    assert "--image-size 9x7" in err
    assert lifelong("run", "more", "--image-size", "8x8", "--out", "n")[0] == 0


ERRORS = {
    "unknown data set": (["run", "mnist5k"], "mnist-5k"),
    "unknown method": (["run", "digits", "--method", "erx"], "'er'"),
    "unknown option": (["run", "digits", "--metod", "er"], "--method"),
    "unknown scenario": (["run", "digits", "--scenario", "klass"], "class"),
    "unsupported scenario": (["run", "digits", "--method", "packnet"], "task"),
    "memory of 0": (["run", "digits", "--method", "er", "--memory", "0"], "at least 1"),
    "memory of nonsense": (["run", "digits", "--method", "er", "--memory", "lots"], "500"),
    "slot owned twice": (["run", "digits", "--method", "icarl+joint"], "data"),
    "unknown part in --set": (["run", "digits", "--set", "ewc.strength=1"], "naive"),
    "unknown key in --set": (["run", "digits", "--set", "optimizer.momentm=1"], "betas"),
    "malformed --set": (["run", "digits", "--set", "momentum"], "part.key=value"),
    "unknown schedule": (["run", "digits", "--set", "schedule.kind=cosin"], "'cosine'"),
    "memory of no part": (["run", "digits", "--memory", "100"], "leave it out"),
    "tasks of a split": (["run", "digits", "--tasks", "5"], "classes_per_task"),
    "classes of a rotation": (
        ["run", "digits", "--stream", "rotated", "--classes-per-task", "2"],
        "angles",
    ),
    "column of no data set": (["run", "digits", "--by", "month"], "no column 'month'"),
    "missing values of no table": (["run", "digits", "--missing", "mean"], "is for tables"),
    "size of no folder": (["run", "digits", "--image-size", "8"], "is for images"),
    "malformed size": (["run", "digits", "--image-size", "8by8"], "as in 32x32"),
    "malformed weights": (["run", "digits", "--class-weights", "3:5"], "as in rare=5,spam=2"),
    "weights of no class": (["run", "digits", "--class-weights", "cat=5"], "'cat'"),
    "epochs and steps": (["run", "digits", "--epochs", "1", "--steps", "2"], "not both"),
    "no epochs": (["run", "digits", "--epochs", "0"], "at least 1"),
    "negative rate": (["run", "digits", "--lr", "-1"], "above 0"),
    "unknown device": (["run", "digits", "--device", "cudda"], "cpu"),
    "unknown precision": (["run", "digits", "--precision", "float16"], "float64"),
    "unknown backend": (["run", "digits", "--backend", "jax"], "torch"),
    "unwritable folder": (["run", "digits", "--out", "/proc/no/where"], "another folder"),
    "neither a file nor a folder": (["run", "/dev/null"], "check the path"),
    "no model": (["predict", "nowhere", "digits"], "model"),
    "no results": (["report", "nowhere"], "results.json"),
    "no methods": (["compare", "digits", "--methods", ","], "naive,er,joint"),
    "unknown method among several": (["compare", "digits", "--methods", "naive,ewcc"], "'ewc'"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input_is_one_clear_line_and_nothing_is_written(lifelong, tmp_path, case):
    words, hint = ERRORS[case]
    code, out, err = lifelong(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert hint in err
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_one_clear_line(lifelong, tmp_path):
    (tmp_path / "nan.csv").write_text("a,label\n1,x\nnan,y\n2,x\n3,y\n")
    (tmp_path / "empty.csv").write_text("a,label\n")
    (tmp_path / "words.csv").write_text("a,label\n1,x\nblue,y\n2,x\n3,y\n")
    (tmp_path / "policy.csv").write_text("a,label\n1,x\n2,y\n2,x\n3,y\n")
    for name, hint, *options in (
        ("nan.csv", "--missing mean"),
        ("empty.csv", "empty.csv"),
        ("words.csv", "'blue' (row 2)"),
        ("policy.csv", "'mean'", "--missing", "meen"),
        ("policy.csv", "'first'", "--scale", "frist"),
    ):
        code, _, err = lifelong("run", name, *options)
        assert code == 2, name
        assert err.count("\n") == 1
        assert hint in err
    assert not (tmp_path / "runs").exists()


LONG = ("run", "digits", "--steps", 3000, "--model", "mlp:32", "--checkpoint-every", 0.05, "--out", "r")


def test_ctrl_c_says_how_to_continue_and_the_same_command_does(tmp_path):
    process = start(*LONG, folder=tmp_path)
    wait_for(lambda: list(tmp_path.glob("r/runs/*/checkpoint.safetensors")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to continue" in err
    assert "Traceback" not in err
    again = start(*LONG, folder=tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "average accuracy" in out


def test_an_interrupt_that_python_drops_comes_again():
    code = """
import signal, time
from lifelong import cli

class Deaf:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, cli._interrupt)
started = time.monotonic()
try:
    Deaf()
    print("dropped")
    time.sleep(60)
except KeyboardInterrupt:
    print(f"after {time.monotonic() - started:.0f} s")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stdout.splitlines() == ["dropped", "after 1 s"]


def test_a_second_process_on_the_same_run_is_refused(tmp_path):
    process = start(*LONG, folder=tmp_path)
    try:
        wait_for(lambda: list(tmp_path.glob("r/runs/*/checkpoint.safetensors")))
        second = start(*LONG, folder=tmp_path)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "another process" in err
    finally:
        process.kill()
        process.communicate()


def test_a_time_limit_stops_behind_a_checkpoint(tmp_path):
    process = start(*LONG, "--time-limit", 0.2, folder=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "run the same command to continue" in err
    assert list(tmp_path.glob("r/runs/*/checkpoint.safetensors"))


def test_workers_die_with_their_parent(tmp_path):
    words = ("compare", "digits", "--methods", "naive,er", "--seeds", 1, "--jobs", 2)
    process = start(*words, "--steps", 20000, "--model", "mlp:32", "--out", "c", folder=tmp_path)
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    if not os.path.exists(children):
        process.kill()
        pytest.skip("this system does not list a process's children in /proc")
    wait_for(lambda: len(list(tmp_path.glob("c/runs/*/identity.json"))) == 2)
    workers = [int(pid) for pid in Path(children).read_text().split()]
    assert len(workers) == 2
    process.kill()
    process.communicate()

    def gone(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    wait_for(lambda: all(gone(pid) for pid in workers), seconds=20)


def test_the_version_and_the_exit_codes_are_told(lifelong):
    assert lifelong("--version") == (0, f"lifelong {ll.__version__}\n", "")
    code, out, _ = lifelong("--help")
    words = " ".join(out.split())
    assert code == 0
    for told in ("0 done", "2 the input", "3 the time limit", "4 an update", "130 and 143"):
        assert told in words


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_a_table_is_as_wide_as_the_terminal_and_cuts_nothing(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(cli.Console, "is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    table = cli._columns("method", "accuracy", "memory", folded=["method"])
    table.add_row("a-method with a long name of 46 letters, folded", "93.5 ± 0.6", "404.5 kB")
    cli.show_table(table)
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert "93.5 ± 0.6  404.5 kB" in lines[1]
    assert "…" not in "".join(lines)
    assert (
        "".join(line[: lines[0].index("accuracy")].strip() for line in lines[1:]).replace(" ", "")
        == "a-methodwithalongnameof46letters,folded"
    )
    assert max(map(len, map(str.rstrip, lines))) <= max(width, 34)


def test_what_a_program_reads_is_on_one_line(capsys):
    table = cli._columns("method", "memory", folded=["method"])
    table.add_row("x" * 300, "404.5 kB")
    cli.show_table(table)
    assert f"{'x' * 300}  404.5 kB" in capsys.readouterr().out


def test_tensorflow_says_nothing_of_its_own(tmp_path):
    pytest.importorskip("tensorflow")
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    code = "import lifelong.backends.tensorflow as t; t.tf.constant(1) + 1"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
