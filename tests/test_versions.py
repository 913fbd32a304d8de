"""A model in use: which version answers, updates that do not go live, rows forgotten, labels changed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lifelong as ll
from lifelong.files import read_arrays, read_manifest, write_arrays
from lifelong.versions import find

OLD = Path(__file__).parent / "artifacts" / "0.1.0"
NETWORK = ("--method", "er", "--memory", "30", "--model", "mlp:16", "--epochs", "30", "--batch", "8")
METHODS = {
    "network": NETWORK,
    "linear": ("--method", "arow", "--memory", "30"),
    "svm": ("--method", "svm"),
}
CENTRES = {"x": (0, 4), "y": (4, 0), "z": (-4, -3), "spam": (0, 4), "ham": (4, 0)}


def table(path, names, n=60, first=None, called=None, seed=0):
    """A file of two columns that tell the classes apart; with ids from ``first``."""
    rng = np.random.default_rng([seed, len(path)])
    y = rng.choice(list(names), n)
    with open(path, "w") as file:
        file.write(("" if first is None else "id,") + "a,b,label\n")
        for i, name in enumerate(y):
            a, b = rng.normal(size=2) + CENTRES[name]
            file.write(("" if first is None else f"{first + i},") + f"{a:.3f},{b:.3f},")
            file.write(f"{(called or {}).get(name, name)}\n")
    return path


def asked(call, folder="m", data="march.csv"):
    """The model's answers."""
    code, out, err = call("predict", folder, data, "--json")
    assert code == 0, err
    return json.loads(out)["predictions"]


@pytest.fixture(params=METHODS)
def shop(request, lifelong):
    """A model of January in ``m``, and files of three months."""
    table("january.csv", "xy", first=1000)
    table("february.csv", "xyz", first=2000)
    table("march.csv", "xyz", 30)
    assert lifelong("run", "january.csv", *METHODS[request.param], "--out", "m")[0] == 0
    return lifelong


# ---- which version answers
def test_a_run_into_a_folder_with_updates_becomes_current(shop):
    shop("update", "m", "february.csv")
    updated = asked(shop)
    table("else.csv", "xy", called={"x": "left", "y": "right"})
    code, out, _ = shop("run", "else.csv", "--method", "arow", "--out", "m")
    assert (code, "version 3" in out) == (0, True)
    assert set(asked(shop)) == {"left", "right"}
    assert shop("rollback", "m")[0] == 0  # a run goes on from none: back to what was in use before
    assert asked(shop) == updated


def test_the_finished_run_again_does_not_undo_its_updates(shop, tmp_path):
    shop("update", "m", "february.csv")
    before = asked(shop), (tmp_path / "m" / "current").read_bytes()
    command = read_manifest(tmp_path / "m" / "model.safetensors")
    command = (command.get("result") or command["extra"]["result"])["command"].split()
    code, _, err = shop(*command[1:], "--out", "m")
    assert (code, err.count("\n")) == (2, 1)
    assert "lifelong rollback m 1" in err
    assert (asked(shop), (tmp_path / "m" / "current").read_bytes()) == before
    assert shop("rollback", "m", 1)[0] == 0
    assert shop(*command[1:], "--out", "m")[0] == 0


def test_files_that_look_like_versions_are_none(shop, tmp_path):
    shop("update", "m", "february.csv")
    answers, m = asked(shop), tmp_path / "m"
    table("else.csv", "xy", called={"x": "left", "y": "right"})
    shop("run", "else.csv", "--method", "arow", "--out", "other")
    for name in ("modelzoo", "model-20240101", "model-02", "model-4"):
        shutil.copy(tmp_path / "other" / "model.safetensors", m / f"{name}.safetensors")
    (m / "model-5.safetensors").write_bytes(b"not ours")
    assert asked(shop) == answers
    (m / "current").unlink()  # and without the pointer, as version 0.1.0 left its folders
    assert asked(shop) == answers
    table("april.csv", "xyz", seed=3)
    code, out, _ = shop("update", "m", "april.csv", "--json")
    assert (code, json.loads(out)["model"]) == (0, "m/model-3.safetensors")
    code, _, err = shop("rollback", "m", 5)
    assert (code, err.count("\n")) == (2, 1)


def test_history_rollback_and_forward_again(shop):
    answers = [asked(shop)]
    shop("update", "m", "february.csv")
    answers.append(asked(shop))
    found = json.loads(shop("history", "m", "--json")[1])["versions"]
    assert [(v["kind"], v["parent"], v["state"]) for v in found] == [
        ("run", None, "was in use"),
        ("update", 1, "in use"),
    ]
    assert shop("rollback", "m")[0] == 0
    assert asked(shop) == answers[0]
    code, out, _ = shop("rollback", "m")  # again: no further
    assert (code, "in use: version 1" in out) == (0, True)
    assert shop("rollback", "m", 2)[0] == 0
    assert asked(shop) == answers[1]
    code, _, err = shop("rollback", "m", 7)
    assert (code, "it has 1, 2" in err) == (2, True)
    table("april.csv", "xyz", seed=5)
    shop("rollback", "m", 1)
    assert shop("update", "m", "april.csv")[0] == 0
    found = json.loads(shop("history", "m", "--json")[1])["versions"]
    assert [(v["version"], v["parent"]) for v in found] == [(1, None), (2, 1), (3, 1)]
    shop("rollback", "m")
    assert asked(shop) == answers[0]
    assert "in use" in shop("history", "m")[1]


def test_a_rollback_that_was_interrupted_goes_back_once(shop, tmp_path, monkeypatch):
    shop("update", "m", "february.csv")
    table("april.csv", "xyz", first=4000)
    shop("update", "m", "april.csv")

    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lifelong.versions.Folder.settle", interrupted)
        assert shop("rollback", "m")[0] == 130
    assert "in use: version 2" in shop("rollback", "m")[1]
    assert "in use: version 2" in shop("rollback", "m")[1]
    assert "in use: version 1" in shop("rollback", "m", 1)[1]


def test_an_update_of_a_version_that_is_not_in_use_is_refused(shop):
    shop("update", "m", "february.csv")
    table("april.csv", "xyz", seed=5)
    code, _, err = shop("update", "m/model.safetensors", "april.csv")
    assert (code, "version 2 is in use" in err) == (2, True)
    assert asked(shop, "m/model.safetensors") != asked(shop)  # it can be asked all the same


@pytest.mark.parametrize("content", ["", "{}", '{"in use": []}', '{"in use": [{"version": "../2"}]}'])
def test_a_damaged_pointer_is_one_line_and_rollback_mends_it(shop, tmp_path, content):
    shop("update", "m", "february.csv")
    answers = asked(shop)
    (tmp_path / "m" / "current").write_text(content)
    code, out, err = shop("predict", "m", "march.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert shop("rollback", "m", 2)[0] == 0
    assert asked(shop) == answers


def test_a_version_that_is_gone_or_damaged_is_not_replaced_by_another(shop, tmp_path):
    shop("update", "m", "february.csv")
    file = tmp_path / "m" / "model-2.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-8] + b"12345678")
    code, out, err = shop("predict", "m", "march.csv")
    assert (code, out, err.count("\n"), "is damaged" in err) == (2, "", 1, True)
    file.unlink()
    code, out, err = shop("predict", "m", "march.csv")
    assert (code, out, err.count("\n"), "is gone" in err) == (2, "", 1, True)
    assert shop("rollback", "m", 1)[0] == 0
    file.write_bytes(whole[:-8] + b"12345678")
    code, _, err = shop("rollback", "m", 2)  # it is read first
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", ["predict", "update", "history", "run", "report"])
def test_a_name_that_is_too_long_is_one_line(lifelong, command):
    words = [command, "x" * 300, *(["y" * 300] if command in ("predict", "update") else [])]
    code, out, err = lifelong(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)


# ---- files of version 0.1.0
@pytest.mark.parametrize(
    ("name", "asked_of"), [("shop", "march.csv"), ("news", "news3.jsonl"), ("svm", "march.csv")]
)
def test_a_folder_of_version_0_1_0_answers_as_it_did(lifelong, tmp_path, name, asked_of):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    told = json.loads((OLD / f"{name}.json").read_text())
    assert asked(lifelong, name, asked_of) == told["predictions"]
    again = "news2.jsonl" if name == "news" else "february.csv"
    code, out, _ = lifelong("update", name, again, "--json")
    assert (code, json.loads(out)["repeated"]) == (0, True)
    new = "news3.jsonl" if name == "news" else "march.csv"
    code, out, err = lifelong("update", name, new, "--json")
    assert code == 0, err
    assert json.loads(out)["model"] == f"{name}/model-3.safetensors"
    assert lifelong("rollback", name)[0] == 0
    assert asked(lifelong, name, asked_of) == told["predictions"]
    assert lifelong("report", name)[0] == 0


def test_a_run_that_version_0_1_0_began_ends_in_the_same_bits(lifelong, tmp_path):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    words = "--method er+ewc --memory 20 --model mlp:8 --epochs 40 --batch 8 --classes-per-task 1"
    code, _, err = lifelong("run", "february.csv", *words.split(), "--out", "stopped", "--json")
    assert code == 0, err
    made, _ = read_arrays(tmp_path / "stopped" / "model.safetensors")
    expected, _ = read_arrays(OLD / "stopped" / "expected.safetensors")
    for name in expected:
        np.testing.assert_array_equal(made[name], expected[name], err_msg=name)


def test_a_new_model_beside_old_updates_of_another_is_asked_about(lifelong, tmp_path):
    """Version 0.1.0 went on answering from the updates of the model before."""
    shutil.copytree(OLD / "shop", tmp_path / "m")
    for file in ("march.csv", "january.csv"):
        shutil.copy(OLD / file, tmp_path)
    shutil.copy(OLD / "svm" / "model.safetensors", tmp_path / "m" / "model.safetensors")
    for words in (("predict", "m", "march.csv"), ("update", "m", "march.csv"), ("history", "m")):
        code, out, err = lifelong(*words)
        assert (code, out, err.count("\n")) == (2, "", 1), words
        assert "lifelong rollback m 1" in err
    assert lifelong("rollback", "m", 1)[0] == 0
    assert len(asked(lifelong)) == 30


# ---- updates that do not go live
def test_spoiled_labels_do_not_go_live(shop, tmp_path):
    table("april.csv", "xy", 200, first=4000, called={"x": "y", "y": "x"})
    before, files = asked(shop), sorted(p.name for p in (tmp_path / "m").glob("model*"))
    runs = json.loads((tmp_path / "m" / "results.json").read_text())
    code, out, err = shop("update", "m", "april.csv", "--max-drop", 5, "--json")
    told = json.loads(out)
    assert code == 4
    assert "not promoted" not in out
    assert told["promoted"] is False
    assert "january fell by" in told["held"][0]
    assert asked(shop) == before
    assert sorted(p.name for p in (tmp_path / "m").glob("model*")) == sorted(
        [*files, "model-2.safetensors"]
    )
    assert json.loads((tmp_path / "m" / "results.json").read_text()) == runs
    held = json.loads(shop("history", "m", "--json")[1])["versions"][1]
    assert held["state"].startswith("held back: january fell by")
    code, _, err = shop("update", "m", "april.csv", "--max-drop", 5)  # again: no third version
    assert code == 4
    assert "not promoted: january fell by" in err
    assert not (tmp_path / "m" / "model-3.safetensors").exists()
    assert shop("update", "m", "february.csv", "--max-drop", 5)[0] == 0
    assert shop("history", "m", "--json")[1].count('"parent": 1') == 2
    assert shop("promote", "m", 2)[0] == 0  # by hand it can be
    assert asked(shop, "m/model-2.safetensors") == asked(shop)


def test_without_a_bound_a_fall_is_a_loud_line(shop):
    table("april.csv", "xy", 200, first=4000, called={"x": "y", "y": "x"})
    code, _, err = shop("update", "m", "april.csv")
    assert code == 0
    assert "WARNING: january fell by" in err


def test_new_classes_can_be_refused(shop, tmp_path):
    code, out, err = shop("update", "m", "february.csv", "--refuse-new-classes")
    assert (code, out, err) == (4, "", "not promoted: february has new classes (z)\n")
    assert [p.name for p in (tmp_path / "m").glob("model*")] == ["model.safetensors"]
    table("april.csv", "xy", first=4000)
    assert shop("update", "m", "april.csv", "--refuse-new-classes")[0] == 0


def test_a_staged_version_waits(shop):
    before = asked(shop)
    code, out, _ = shop("update", "m", "february.csv", "--stage", "--json")
    assert (code, json.loads(out)["held"]) == (4, ["it is staged"])
    assert asked(shop) == before
    assert shop("promote", "m")[0] == 0
    assert asked(shop) == asked(shop, "m/model-2.safetensors") != before
    code, _, err = shop("promote", "m")
    assert (code, err) == (0, "")  # again: nothing more


def test_the_same_update_again_is_no_second_version(shop, tmp_path):
    code, out, _ = shop("update", "m", "february.csv", "--json")
    first, results = json.loads(out), (tmp_path / "m" / "results.json").read_bytes()
    code, out, _ = shop("update", "m", "february.csv", "--json")
    again = json.loads(out)
    assert (code, again["repeated"]) == (0, True)
    assert again | {"repeated": False} == first
    assert (tmp_path / "m" / "results.json").read_bytes() == results
    assert not (tmp_path / "m" / "model-3.safetensors").exists()


@pytest.mark.parametrize(
    ("called", "hint"),
    [
        ({"x": "X"}, "'X' looks like 'x'"),
        ({"x": " x "}, "' x ' looks like 'x'"),
        ({"x": "x."}, "'x.' looks like 'x'"),
        ({"x": "ｘ"}, "'ｘ' looks like 'x'"),
        ({"x": "true", "y": "false"}, "the labels are true or false (false, true), where"),
        ({"x": "True", "y": "False"}, "the labels are true or false"),
        ({"x": "0", "y": "1"}, "the labels are numbers (0, 1), where the model knows words (x, y)"),
    ],
)
def test_labels_that_look_wrong_are_warned_about(shop, called, hint):
    table("april.csv", "xy", first=4000, called=called)
    code, out, err = shop("update", "m", "april.csv", "--json")
    assert code == 0
    assert hint in json.loads(out)["warnings"][0]
    assert f"WARNING: {json.loads(out)['warnings'][0]}" in err


@pytest.mark.parametrize(("old", "new"), [("true", "True"), ("1", "1.5"), ("yes", "YES")])
def test_booleans_and_numbers_of_another_spelling(lifelong, old, new):
    table("january.csv", "xy", called={"x": old, "y": "other"})
    table("april.csv", "xy", called={"x": new, "y": "other"}, seed=2)
    lifelong("run", "january.csv", "--method", "arow", "--out", "m")
    code, out, _ = lifelong("update", "m", "april.csv", "--json")
    alike = [f"new classes that look like old ones: {new!r} looks like {old!r}"]
    told = [warning for warning in json.loads(out)["warnings"] if "classes" in warning]
    assert (code, told) == (0, alike if new != "1.5" else [])


# ---- rows are forgotten
def ids_in(path):
    """All ids that a model file holds of stored rows and of guard sets."""
    arrays, _ = read_arrays(path)
    found = [a for name, a in arrays.items() if a.dtype == np.int64 and ("id" in name.split("/")[-1])]
    guards = [a for n, a in arrays.items() if n.startswith("guards/") and n.endswith("/4")]
    return set(np.concatenate([np.ravel(a) for a in [*found, *guards]]).tolist())


def test_a_file_s_own_ids_stay_through_an_update(shop, tmp_path):
    shop("update", "m", "february.csv")
    held = ids_in(tmp_path / "m" / "model-2.safetensors")
    assert held & set(range(2000, 2060))
    assert held <= {*range(1000, 1060), *range(2000, 2060)}
    told = shop("show", "m")[1]
    assert "ids: january: 1000 to 1059, of its column id" in told
    assert "february: 2000 to 2059, of its column id" in told


def test_a_person_s_rows_are_gone_from_all_versions(shop, tmp_path):
    shop("update", "m", "february.csv")
    (tmp_path / "ids.txt").write_text("id\n" + "\n".join(map(str, [*range(1000, 1060), 77])))
    code, out, err = shop("forget", "m", "--ids", "ids.txt", "--json")
    done = json.loads(out)
    assert code == 0, err
    assert done["stored"] + done["guards"] > 10
    assert done["unknown"] == [77]
    assert done["left"] == []
    for file in tmp_path.glob("m/**/*.safetensors"):
        assert not ids_in(file) & set(range(1000, 1060)), file
    again = json.loads(shop("forget", "m", "--ids", "ids.txt", "--json")[1])
    assert (again["stored"], again["guards"], again["files"]) == (0, 0, [])
    assert set(asked(shop)) <= {"x", "y", "z"}
    shop("rollback", "m")
    assert len(asked(shop)) == 30
    table("april.csv", "xyz", first=4000)
    assert shop("update", "m", "april.csv")[0] == 0
    assert shop("report", "m")[0] == 0


def test_an_svm_is_what_it_would_be_without_the_rows(lifelong, tmp_path):
    table("january.csv", "xy", first=1000)
    table("march.csv", "xy", 30)
    lifelong("run", "january.csv", "--method", "svm", "--out", "m")
    from lifelong.linear import load

    model = load(tmp_path / "m" / "model.safetensors")
    gone = sorted(model.ids_.tolist())[:20]
    (tmp_path / "ids.txt").write_text("\n".join(map(str, gone)))
    X, y = model.X_[: len(model.ids_)] + model.origin_, model.classes_[model.codes_]
    kept = ~np.isin(model.ids_, gone)
    never = type(model)(**model.get_params()).partial_fit(X[kept], y[kept], model.classes_)
    assert lifelong("forget", "m", "--ids", "ids.txt")[0] == 0
    left = load(tmp_path / "m" / "model.safetensors")
    np.testing.assert_allclose(left.decision_function(X), never.decision_function(X), atol=1e-8)


@pytest.mark.parametrize("clash", ["february", "run"])
def test_ids_that_were_learned_before_are_refused(shop, tmp_path, clash):
    table("april.csv", "xyz", first=2030 if clash == "february" else 1059, seed=4)
    shop("update", "m", "february.csv")
    before = sorted(p.name for p in (tmp_path / "m").iterdir())
    code, _, err = shop("update", "m", "april.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "was learned before" in err
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == before


def test_rows_without_ids_are_numbered_on_and_show_tells_how(lifelong, tmp_path):
    table("january.csv", "xy", first=5 * 10**18)
    table("february.csv", "xyz")
    lifelong("run", "january.csv", *NETWORK, "--out", "m")
    assert lifelong("update", "m", "february.csv")[0] == 0
    first = 5 * 10**18 + 60
    held = ids_in(tmp_path / "m" / "model-2.safetensors")
    assert held <= {*range(5 * 10**18, first), *range(first, first + 60)}
    assert max(held) >= first
    assert (
        f"february: {first} to {first + 59}, row i, from 1, has id +{first - 1} + i"
        in lifelong("show", "m")[1]
    )
    table("march.csv", "xy", first=2**63 - 60)
    assert lifelong("update", "m", "march.csv")[0] == 0
    table("april.csv", "xy", seed=9)
    code, _, err = lifelong("update", "m", "april.csv")
    assert (code, err.count("\n"), "no ids above" in err) == (2, 1, True)


@pytest.mark.parametrize("line", ["-1", "1.5", "abc", "1_0", "１", str(2**63)])
def test_a_line_that_is_no_id_is_named(shop, tmp_path, line):
    (tmp_path / "ids.txt").write_text(f"1000\n{line}\n")
    code, _, err = shop("forget", "m", "--ids", "ids.txt")
    assert (code, err.count("\n"), "line 2 of ids.txt" in err) == (2, 1, True)


def test_ids_in_a_table_and_what_cannot_be_read_is_said(shop, tmp_path):
    shop("update", "m", "february.csv")
    (tmp_path / "people.csv").write_text("name,id\nann,1003\nbob,2004\n")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + b"12345678")
    write_arrays(tmp_path / "m" / "runs" / "else" / "checkpoint.safetensors", {}, {})
    (tmp_path / "m" / "model-9.safetensors").write_bytes(b"what is this")
    code, out, err = shop("forget", "m", "--ids", "people.csv", "--json")
    done = json.loads(out)
    assert (code, err.count("WARNING: ")) == (0, 3)
    assert done["unknown"] == []
    told = " ".join(done["left"])
    for what in (
        "m/model.safetensors cannot be read",
        "m/model-9.safetensors",
        "m/runs/else is not finished",
    ):
        assert what in told
    assert not ids_in(tmp_path / "m" / "model-2.safetensors") & {1003, 2004}


def test_load_and_save_lose_nothing(shop, tmp_path):
    from lifelong.linear import load as load_linear
    from lifelong.store import is_linear

    file = tmp_path / "m" / "model.safetensors"
    model = (load_linear if is_linear(file) else ll.load)(file)
    model.forget(list(range(1000, 1010)))
    model.save(file)
    before = asked(shop)
    code, _, err = shop("update", "m", "february.csv")
    assert code == 0, err
    model = (load_linear if is_linear(file) else ll.load)(find(tmp_path / "m"))
    (tmp_path / "n").mkdir()
    model.save(tmp_path / "n" / "copy.safetensors")
    assert asked(shop, "n/copy.safetensors") == asked(shop) != before
    table("april.csv", "xyz", first=4000)
    code, _, err = shop("update", "n/copy.safetensors", "april.csv")
    assert code == 0, err


def test_rows_that_flow_by_keep_the_ids_of_their_file(lifelong, tmp_path):
    draw = np.random.default_rng(0)
    with open("texts.jsonl", "w") as file:
        for i, c in enumerate(draw.choice(["a", "b"], 200)):
            file.write(json.dumps({"id": 7000 + i, "text": f"own{c} w{i % 5}", "label": str(c)}) + "\n")
    words = ("--method", "cw", "--memory", "50", "--scenario", "free", "--set", "text.bits=8")
    assert lifelong("run", "texts.jsonl", *words, "--out", "m")[0] == 0
    assert "texts: 7000 to 7199, of its column id" in lifelong("show", "m")[1]
    (tmp_path / "ids.txt").write_text("\n".join(str(i) for i in range(7000, 7200)))
    done = json.loads(lifelong("forget", "m", "--ids", "ids.txt", "--json")[1])
    assert (done["stored"], done["guards"], done["unknown"]) == (50, 10, [])


# ---- labels
def test_a_class_is_renamed(shop):
    before = asked(shop)
    assert shop("label", "m", "rename", "x", "[/bold] new")[0] == 0
    assert asked(shop) == ["[/bold] new" if name == "x" else name for name in before]
    assert shop("label", "m", "rename", "x", "[/bold] new")[0] == 0  # again: nothing more
    code, _, err = shop("label", "m", "rename", "y", "[/bold] new")
    assert (code, err.count("\n")) == (2, 1)
    shop("rollback", "m")
    assert asked(shop) == before
    assert shop("label", "m", "rename", "x", "q")[0] == 0
    table("april.csv", "xyz", first=4000, called={"x": "q"})
    code, out, _ = shop("update", "m", "april.csv", "--json")
    assert (code, json.loads(out)["new_classes"]) == (0, ["z"])
    assert shop("report", "m")[0] == 0


def test_classes_of_a_network_are_merged_retired_and_readmitted(lifelong):
    table("january.csv", "xyz")
    table("march.csv", "xyz", 30)
    lifelong("run", "january.csv", *NETWORK, "--out", "m")
    before = asked(lifelong)
    assert set(before) == {"x", "y", "z"}
    assert lifelong("label", "m", "retire", "z")[0] == 0
    assert set(asked(lifelong)) == {"x", "y"}
    assert lifelong("label", "m", "readmit", "z")[0] == 0
    assert asked(lifelong) == before
    assert lifelong("label", "m", "merge", "z", "y")[0] == 0
    assert asked(lifelong) == ["y" if name == "z" else name for name in before]
    table("april.csv", "xy", seed=3)
    assert lifelong("update", "m", "april.csv")[0] == 0
    for words in (("retire", "nobody"), ("merge", "x"), ("remove", "x")):
        code, _, err = lifelong("label", "m", *words)
        assert (code, err.count("\n")) == (2, 1), words
