"""What files hold is what is read: separators, encodings, dates, what is missing; and what comes out."""

import csv
import gzip
import io
import json
import sys
from datetime import date, timedelta
from types import SimpleNamespace

import helpers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import Pairs
from PIL import Image

import lifelong as ll
from lifelong import cli
from lifelong.data import formats, from_huggingface, from_tensorflow, from_torch, load, table, texts
from lifelong.data.formats import checked_how
from lifelong.errors import LifelongError
from lifelong.linear import HashingText

DATA = "city,when,size,label\n" + "".join(
    f"{'NA' if i % 3 else 'Köln'},2026-01-{1 + i % 28:02},{i % 5}.5,{'null' if i % 2 else 'nan'}\n"
    for i in range(40)
)
"""Names that other programs take for missing, a city in another alphabet, dates."""


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run_it(*words, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["lifelong", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code, *capsys.readouterr()

    return run_it


def refused(read, *words, **options):
    with pytest.raises(LifelongError) as error:
        read(*words, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def alike(a, b):
    assert a.encoder == b.encoder
    assert a.classes == b.classes
    for part in ("train", "test"):
        for name in ("x", "y", "id"):
            np.testing.assert_array_equal(
                getattr(getattr(a, part), name), getattr(getattr(b, part), name)
            )


# --- one table, written in many ways -----------------------------------------------------------


WAYS = {
    "data.tsv": ({}, lambda text: text.replace(",", "\t").encode()),
    "data.csv": ({"sep": ";"}, lambda text: text.replace(",", ";").encode()),
    "latin.csv": ({"encoding": "latin-1"}, lambda text: text.encode("latin-1")),
    "wide.csv": ({"encoding": "utf-16"}, lambda text: text.encode("utf-16")),
    "data.csv.gz": ({}, lambda text: gzip.compress(text.encode())),
    "latin.tsv.gz": (
        {"encoding": "cp1252"},
        lambda text: gzip.compress(text.replace(",", "\t").encode("cp1252")),
    ),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", WAYS)
def test_a_table_is_the_same_however_it_is_written(tmp_path, monkeypatch, name, large):
    if large:
        monkeypatch.setattr(formats, "LARGE", 100)
        monkeypatch.setattr(formats, "BLOCK", 200)
    (tmp_path / "plain.csv").write_text(DATA)
    options, written = WAYS[name]
    (tmp_path / name).write_bytes(written(DATA))
    expected = load(tmp_path / "plain.csv", dates=["when"])
    assert "city=Köln" in expected.encoder.names
    assert expected.classes == ("nan", "null")
    alike(load(tmp_path / name, dates=["when"], **options), expected)


def test_jsonl_packed_and_in_another_encoding(tmp_path):
    rows = "".join(json.dumps({"text": f"café {i}", "label": "xy"[i % 2]}, ensure_ascii=False) + "\n"
                   for i in range(20))  # fmt: skip
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode("latin-1")))
    data = texts(tmp_path / "a.jsonl.gz", encoding="latin-1")
    assert sorted(data.train.x.tolist() + data.test.x.tolist()) == sorted(f"café {i}" for i in range(20))
    assert data.name == "a"
    said = refused(texts, tmp_path / "a.jsonl.gz")
    assert "line 1 of" in said
    assert "--encoding latin-1" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sep": ";;"}, "give one sign"),
        ({"encoding": "klingon"}, "unknown encoding 'klingon'"),
        ({"encoding": "hex"}, "unknown encoding 'hex'"),
        ({"encoding": "utf-16"}, "is of another encoding"),
        ({"drop": ["cty"]}, "did you mean 'city'?"),
        ({"columns": ["cty"]}, "did you mean 'city'?"),
        ({"dates": ["wen"]}, "did you mean 'when'?"),
        ({"drop": ["label"]}, "do not drop it"),
        ({"columns": ["when"]}, "become numbers of days by --dates when"),
        ({"dates": ["city"]}, "column 'city' of"),
    ],
)
def test_options_that_do_not_fit_the_file_are_one_line(tmp_path, options, says):
    (tmp_path / "a.csv").write_text(DATA.replace("Köln", "Bonn"))
    assert says in refused(load, tmp_path / "a.csv", **options)


def test_a_broken_archive_is_one_line(tmp_path):
    whole = gzip.compress(DATA.encode())
    for content in (whole[:-9], whole[:40], b"no archive"):
        for name in ("a.csv.gz", "a.jsonl.gz"):
            (tmp_path / name).write_bytes(content)
            assert name in refused(load, tmp_path / name)


def test_columns_that_nobody_reads_are_not_read(tmp_path):
    odd = b"text,label,note,a\n" + b"".join(
        b"t%d,%s,%s,%d\n" % (i, b"xy"[i % 2 : i % 2 + 1], b"\xff\xfe", i) for i in range(20)
    )
    (tmp_path / "a.csv").write_bytes(odd)
    assert len(texts(tmp_path / "a.csv").train) == 16
    assert load(tmp_path / "a.csv", columns=["a"]).encoder.names == ["a"]
    assert load(tmp_path / "a.csv", drop=["note", "text"]).encoder.names == ["a"]
    assert "column 'note' of" in refused(load, tmp_path / "a.csv", drop=["text"])
    rows = [{"text": "t", "label": "xy"[i % 2], "note": [1, "a"][i % 2], "a": i} for i in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(texts(tmp_path / "a.jsonl").train) == 16
    assert load(tmp_path / "a.jsonl", drop=["note", "text"]).encoder.names == ["a"]
    assert "'note' of" in refused(load, tmp_path / "a.jsonl")


def test_only_what_is_empty_is_missing(tmp_path):
    rows = "".join(f"{['NA', 'null', 'nan', ''][i % 4]},{i},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("c,a,label\n" + rows)
    assert "column 'c' of" in refused(table, tmp_path / "a.csv")
    names = table(tmp_path / "a.csv", missing="mean").encoder.names
    assert names == ["c=NA", "c=nan", "c=null", "c not seen", "a"]
    (tmp_path / "b.csv").write_text("a,label\n1,x\nNA,y\n2,y\n3,x\n")
    assert "'NA' (row 2), not a number" in refused(table, tmp_path / "b.csv")
    words = ["NA", "null", "nan", "#N/A"] * 10
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"{w},{w}\n" for w in words))
    assert texts(tmp_path / "t.csv").classes == ("#N/A", "NA", "nan", "null")


def test_a_lone_surrogate_is_replaced_and_a_pair_is_not(tmp_path):
    lines = [f'{{"text": "a\\ud800{i} \\ud83d\\ude00", "label": "{"xy"[i % 2]}"}}\n' for i in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    data = texts(tmp_path / "a.jsonl")
    assert set(data.train.x) | set(data.test.x) == {f"a\ufffd{i} 😀" for i in range(20)}


def test_a_list_that_begins_with_null_stays_in_its_row(tmp_path):
    lists = [[None, 1.0], *([10.0 * i, 10.0 * i + 1] for i in range(1, 20))]
    labels = ["x", "y"] * 10
    rows = zip(lists, labels, strict=True)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"v": v, "label": y}) + "\n" for v, y in rows))
    pq.write_table(pa.table({"v": lists, "label": labels}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert "has no value in row 1" in refused(table, tmp_path / name)
        data = table(tmp_path / name, missing="indicator", scale="none")
        whole = ll.Samples.concat([data.train, data.test])
        for x, i in zip(whole.x, whole.id.tolist(), strict=True):
            assert x.tolist() == ([0, 0, 1] if i == 0 else [*lists[i], 0])


# --- dates -----------------------------------------------------------------------------------


def test_dates_are_numbers_of_days_in_every_format(tmp_path):
    days = [date(2026, 1, 1) + timedelta(i) for i in range(20)]
    labels = ["x", "y"] * 10
    content = {"when": days, "label": labels}
    pq.write_table(pa.table(content), tmp_path / "a.parquet")
    pq.write_table(pa.table({**content, "when": pa.array(days).cast(pa.timestamp("ns"))}),
                   tmp_path / "b.parquet")  # fmt: skip
    pairs = list(zip(days, labels, strict=True))
    (tmp_path / "a.csv").write_text("when,label\n" + "".join(f"{d},{y}\n" for d, y in pairs))
    (tmp_path / "b.csv").write_text("when,label\n" + "".join(f"{d}T00:00:00Z,{y}\n" for d, y in pairs))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"when": str(d), "label": y}) + "\n" for d, y in pairs)
    )
    for name in ("a.parquet", "b.parquet", "a.csv", "b.csv", "a.jsonl"):
        data = load(tmp_path / name, dates=["when"], scale="none")
        expected = 20454 + data.train.id  # of 2026-01-01
        np.testing.assert_array_equal(data.train.x[:, 0], expected)
        again = ll.data.Encoder.from_json(json.loads(json.dumps(data.encoder.to_json())))
        assert again == data.encoder


def test_dates_of_other_kinds_are_one_line_with_their_row(tmp_path):
    for value in ("31.12.2026", "2026-02-30", "2026-01-01T08:00:00+01:00", "soon"):
        (tmp_path / "a.csv").write_text(f"when,label\n2026-01-01,x\n{value},y\n2026-01-03,x\n")
        assert f"{value!r} (row 2), no date" in refused(load, tmp_path / "a.csv", dates=["when"])
    (tmp_path / "a.csv").write_text("when,label\n2026-01-01,x\n,y\n2026-01-03,x\n")
    assert "has no value in row 2" in refused(load, tmp_path / "a.csv", dates=["when"])


# --- data sets of the frameworks ---------------------------------------------------------------


X = np.arange(10 * 4, dtype=np.float32).reshape(10, 4)


def test_labels_of_a_test_set_go_by_its_own_names():
    train, test = Pairs(X, [0, 1] * 5, ["cat", "dog"]), Pairs(X[:3], [0, 1, 0], ["dog", "cat"])
    data = from_torch(train, test)
    assert data.classes == ("cat", "dog")
    assert data.test.y.tolist() == [1, 0, 1]
    only = from_torch(train, Pairs(X[:2], [0, 0], ["dog"]))
    assert only.test.y.tolist() == [1, 1]
    part = SimpleNamespace(dataset=train)
    part = type(
        "Part", (), {"dataset": train, "__len__": lambda s: 6, "__getitem__": lambda s, i: train[i]}
    )()
    assert from_torch(part).classes == ("cat", "dog")
    assert "none of the 1 classes" in refused(from_torch, train, Pairs(X[:2], [0, 1], ["dog"]))
    assert "label -1 of sample 2" in refused(from_torch, Pairs(X, [0, 1, -1, *[0] * 7], ["a", "b"]))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pictures_that_would_be_clipped_are_refused(mode):
    pictures = [Image.new(mode, (3, 2))] * 10
    assert "pixels of more than 8 bits" in refused(from_torch, Pairs(pictures, [0, 1] * 5))
    assert "pixels of more than 8 bits" in refused(ll.data.images.__globals__["stack"], pictures)


def test_samples_that_are_none_and_batches_are_one_line():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    holes = list(X)
    holes[3] = None
    assert "the input of sample 3 is missing" in refused(from_torch, Pairs(holes, [0, 1] * 5))
    assert "the label of sample 1 is missing" in refused(from_torch, Pairs(X, [0, None] * 5))
    loader = torch.utils.data.DataLoader(Pairs(X, [0, 1] * 5), batch_size=5)
    assert ".dataset" in refused(from_torch, loader)
    assert "not batches" in refused(from_torch, list(loader))

    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(Pairs(X, [0, 1] * 5))

        def __len__(self):
            return 10

    assert "map-style" in refused(from_torch, Endless())
    assert "streaming=True" in refused(from_huggingface, iter([]))
    assert "is missing (None)" in refused(ll.data.images.__globals__["stack"], [None])


def test_tensorflow_batches_repeats_and_names():
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    helpers.one_tensorflow_thread()
    data = tf.data.Dataset.from_tensor_slices((X, np.arange(10) % 2))
    assert "not batches" in refused(from_tensorflow, data.batch(5))
    assert "not batches" in refused(from_tensorflow, data.batch(1))
    assert "repeats without an end" in refused(from_tensorflow, data.repeat())
    assert "no tf.data.Dataset" in refused(from_tensorflow, X)
    data.class_names = ["cat", "dog"]
    assert from_tensorflow(data).classes == ("cat", "dog")


# --- predict and update --------------------------------------------------------------------------


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def shop(rows, first=0, city="Bonn"):
    """A table with a target, an own id, a date and a city."""
    lines = ["order;when;city;size;bought"]
    for i in range(first, first + rows):
        day = date(2026, 1, 5) + timedelta(i % 50)
        place, bought = ("Ulm", "no") if i % 2 else (city, "yes")
        lines.append(f"A-{i};{day};{place};{i % 2 * 4 + i % 3};{bought}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("method", [("nb", "--scale", "none"), ("slda",), ("er", "--steps", "60")])
@pytest.mark.parametrize("memory", [False, True])
def test_probabilities_come_with_predictions(call, tmp_path, method, memory):
    (tmp_path / "a.csv").write_text(
        "a,b,label\n" + "".join(f"{i % 2 * 5 + i % 3},{i % 4},{'xyz'[i % 3]}\n" for i in range(60))
    )
    more = ("--memory", "20") if memory else ()
    assert call("run", "a.csv", "--method", *method, *more, "--out", "m")[0] == 0
    code, out, _ = call("predict", "m", "a.csv", "--proba", "--json")
    assert code == 0
    told = json.loads(out)
    shares = np.array(told["probabilities"])
    assert sorted(told["classes"]) == ["x", "y", "z"]
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert [told["classes"][i] for i in shares.argmax(1)] == told["predictions"]
    found = rows_of(call("predict", "m", "a.csv", "--proba")[1])
    assert list(found[0]) == ["row", "prediction", *(f"p({name})" for name in told["classes"])]
    written = [[float(row[f"p({name})"]) for name in told["classes"]] for row in found]
    np.testing.assert_allclose(written, shares, rtol=1e-5, atol=1e-6)


def test_multi_label_targets_have_a_probability_each_and_numbers_none(call, tmp_path):
    (tmp_path / "a.csv").write_text("a,p,q\n" + "".join(f"{i % 2},{i % 2},1\n" for i in range(40)))
    words = ("--method", "er", "--target", "p,q", "--steps", "60")
    done = call("run", "a.csv", *words, "--objective", "multi-label", "--out", "m")
    assert done[0] == 0, done
    told = json.loads(call("predict", "m", "a.csv", "--proba", "--json")[1])
    given = [[n for n, p in zip("pq", row, strict=True) if p > 0.5] for row in told["probabilities"]]
    assert given == told["predictions"]
    done = call(
        "run", "a.csv", *words, "--objective", "regression", "--scenario", "domain", "--out", "r"
    )
    assert done[0] == 0, done
    code, _, err = call("predict", "r", "a.csv", "--proba")
    assert (code, err.count("\n")) == (2, 1)
    assert "leave --proba out" in err


def test_a_learner_that_knows_scores_alone_says_so(call, tmp_path):
    (tmp_path / "a.csv").write_text("a,label\n" + "".join(f"{i % 2},{'xy'[i % 2]}\n" for i in range(40)))
    assert call("run", "a.csv", "--method", "cw", "--out", "m")[0] == 0
    code, _, err = call("predict", "m", "a.csv", "--proba")
    assert (code, err.count("\n")) == (2, 1)
    assert "cw knows scores, not probabilities" in err


def test_an_engineer_learns_each_week_and_asks_for_probabilities(call, tmp_path):
    """The example of the README: dates and an id column in, weekly updates, probabilities out."""
    for week, (rows, city) in enumerate([(80, "Bonn"), (60, "Bonn"), (40, "Jena")], 1):
        (tmp_path / f"week{week}.csv").write_text(shop(rows, 100 * week, city))
    asked = "\n".join(line.rpartition(";")[0] + ";" for line in shop(6, 900, "Jena").splitlines()[1:])
    (tmp_path / "new.csv").write_text("order;when;city;size;bought\n" + asked + "\n")
    words = ("--target", "bought", "--dates", "when", "--drop", "order", "--sep", ";", "--memory", "200")
    done = call("run", "week1.csv", "--method", "er", *words, "--out", "shop")
    assert done[0] == 0, done
    done = call("update", "shop", "week2.csv", "--max-drop", "5")
    assert done[0] == 0, done
    code, _, err = call("update", "shop", "-", stdin=(tmp_path / "week3.csv").read_bytes())
    assert code == 0
    assert "column 'city' holds a category that the model has not seen in 20 of 40 rows" in err
    code, _, err = call("predict", "shop", "new.csv", "--proba", "--id", "order", "--out", "answers.csv")
    assert code == 0
    assert "accuracy" not in err  # no row has a label
    assert "in 3 of 6 rows" in err
    found = rows_of((tmp_path / "answers.csv").read_text())
    assert list(found[0]) == ["row", "order", "prediction", "p(no)", "p(yes)"]
    assert [row["order"] for row in found] == [f"A-{i}" for i in range(900, 906)]
    assert [row["prediction"] for row in found] == ["yes", "no"] * 3
    for row in found:
        assert abs(float(row["p(no)"]) + float(row["p(yes)"]) - 1) < 1e-4
        assert float(row[f"p({row['prediction']})"]) > 0.5
    piped = call("predict", "shop", "-", "--json", stdin=(tmp_path / "new.csv").read_bytes())[1]
    assert json.loads(piped)["predictions"] == ["yes", "no"] * 3
    assert json.loads(piped)["unseen"] == {"city": 3}


def test_a_label_that_is_empty_is_answered_and_ids_are_not_needed(call, tmp_path):
    rows = "".join(f"{i},{i % 2 * 3},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("id,a,label\n" + rows)
    (tmp_path / "half.csv").write_text("id,a,label\nq,0,x\nq,3,\n,3,x\n")
    (tmp_path / "bare.csv").write_text("a\n0\n3\n")
    for method in ("er", "cw"):
        assert call("run", "a.csv", "--method", method, "--out", method)[0] == 0
        code, out, err = call("predict", method, "half.csv", "--json", "--id", "id")
        assert code == 0
        assert "on 2 labelled rows" in err
        told = json.loads(out)
        assert (told["predictions"], told["accuracy"]) == (["x", "y", "y"], 0.5)
        assert told["ids"] == ["q", "q", None]
        assert json.loads(call("predict", method, "bare.csv", "--json")[1])["predictions"] == ["x", "y"]
        code, _, err = call("predict", method, "bare.csv", "--id", "order")
        assert (code, err.count("\n")) == (2, 1)


def test_a_model_of_texts_remembers_its_columns(call, tmp_path):
    words = ["see you", "win cash"]
    rows = [{"body": f"{words[i % 2]} {i}", "kind": "hs"[i % 2], "who": f"u{i % 2}"} for i in range(40)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    words = ("--method", "arow", "--text", "body", "--target", "kind", "--out")
    assert call("run", "a.jsonl", *words, "m", "--by", "who", "--scenario", "domain")[0] == 0
    assert call("run", "-", *words, "flow", stdin=lines.encode())[0] == 0
    for model in ("m", "flow"):
        told = json.loads(call("predict", model, "a.jsonl", "--json", "--id", "who")[1])
        assert told["accuracy"] == 1
        assert told["ids"] == [row["who"] for row in rows]
    more = "".join(json.dumps(row | {"body": row["body"] + " b"}) + "\n" for row in rows)
    assert call("update", "m", "-", stdin=more.encode())[0] == 0


def test_a_model_remembers_the_column_of_its_tasks(call, tmp_path):
    rows = "".join(f"{i % 2 * 3},m{i % 4 // 2},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("a,month,label\n" + rows)
    for method in ("er", "arow"):
        words = ("--by", "month", "--scenario", "domain", "--out", method)
        assert call("run", "a.csv", "--method", method, *words)[0] == 0
        assert json.loads(call("predict", method, "a.csv", "--json")[1])["accuracy"] == 1
        (tmp_path / "b.csv").write_text("a,label\n" + "3.5,y\n0.5,x\n" * 10)
        assert call("update", method, "b.csv")[0] == 0


def test_what_a_model_remembers_is_checked():
    fine = {"target": ["a", "b"], "text": None, "by": "c", "sep": ";", "columns": [], "drop": ["d"]}
    assert checked_how(fine, "m") == fine
    assert checked_how(None, "m") == {}
    for bad in ([], {"target": 3}, {"drop": "a"}, {"drop": [1]}, {"sep": [";"]}, {"other": "a"}):
        assert "m is damaged" in refused(checked_how, bad, "m")


def test_the_names_that_a_vocabulary_keeps_are_in_lower_case():
    rows = HashingText("count", vocabulary=True)
    rows.fit(["Win CASH now", "WIN Ärger"])
    plain = HashingText("count", vocabulary=True).fit(["win cash now", "win ärger"])
    assert rows.names_ == plain.names_
    assert set(rows.names_.values()) == {"win", "cash", "now", "ärger"}
