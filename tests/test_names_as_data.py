"""Names are data: no label, file or column acts on a terminal, a table, a page or a spreadsheet."""

import csv
import io
import json

import numpy as np
import pytest

NAMES = [
    "[/foo]",
    "\x1b[31mred",
    "a\rb",
    "=1+1",
    "[bold]x",
    "a\nb",
    '"',
    "\u202egnirts",
    "Ünïcode 汉字",
    "-1",
]


def rows(path, names, n=120, seed=0):
    """JSONL with these labels, told apart by one column each."""
    rng = np.random.default_rng(seed)
    with open(path, "w") as file:
        for i in range(n):
            x = rng.normal(size=len(NAMES)) / 4
            x[NAMES.index(names[i % len(names)])] += 3
            row = {f"f{j}": float(v) for j, v in enumerate(x)} | {"label": names[i % len(names)]}
            file.write(json.dumps(row) + "\n")
    return path


def harmless(text):
    """Whether nothing in it acts on a terminal."""
    return all(c == "\n" or (ord(c) >= 32 and ord(c) != 127 and c != "\u202e") for c in text)


@pytest.mark.parametrize("method", ["er", "arow"])
def test_labels_that_would_act(lifelong, tmp_path, method):
    rows("a[b]\x1b.jsonl", NAMES[:5])
    rows("b[b].jsonl", NAMES, seed=1)
    options = ("--method", method, "--memory", "60", *(("--epochs", "20") if method == "er" else ()))
    for words in (
        ("run", "a[b]\x1b.jsonl", *options, "--out", "m"),
        ("update", "m", "b[b].jsonl"),
        ("history", "m"),
        ("report", "m"),
        ("show", "m"),
        ("label", "m", "rename", "[/foo]", "[/bar]\x1b"),
        ("rollback", "m"),
        *([("explain", "m")] if method == "arow" else []),
        ("diff", "m/model.safetensors", "m", "b[b].jsonl"),
    ):
        code, out, err = lifelong(*words)
        assert code == 0, (words, err)
        assert harmless(out + err), words
    code, out, err = lifelong("explain", "m", "--label", "no\x1bsuch\rname")
    assert (code, err.count("\n"), harmless(err)) == (2, 1, True)


def test_predictions_are_one_row_each_and_no_formulas_if_asked(lifelong, tmp_path):
    rows("a.jsonl", NAMES, 200)
    assert lifelong("run", "a.jsonl", "--method", "arow", "--out", "m")[0] == 0
    answers = json.loads(lifelong("predict", "m", "a.jsonl", "--json")[1])["predictions"]
    assert set(answers) == set(NAMES)
    for words, expected in (((), answers), (("--safe-csv",), None)):
        assert lifelong("predict", "m", "a.jsonl", "--out", "p.csv", *words)[0] == 0
        content = (tmp_path / "p.csv").read_bytes().decode()
        found = list(csv.reader(io.StringIO(content, newline="")))
        assert found[0] == ["row", "prediction"]
        assert [row for row, _ in found[1:]] == [str(i) for i in range(1, 201)]
        if expected is not None:
            assert [label for _, label in found[1:]] == expected
        else:
            assert {label for _, label in found[1:]} == {"'=1+1" if n == "=1+1" else n for n in NAMES}
    code, out, err = lifelong("predict", "m", "a.jsonl", "--out", ".")
    assert (code, out, err.count("\n")) == (2, "", 2)
    assert "is a folder" in err
