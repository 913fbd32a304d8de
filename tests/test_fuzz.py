"""Damaged files and random command lines: one line each, no other answer in silence, nothing left.

A few in every run of the tests; thousands with ``make slow``.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from lifelong.files import read_arrays, write_arrays

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("LIFELONG_FUZZ_SEED", "0"))
MEMORY = 2 * 10**9
COMMANDS = {
    "network": ["run", "january.csv", "--method", "er", "--memory", "12", "--model", "mlp:4",
                "--steps", "4", "--batch", "8", "--checkpoint-every", "0"],
    "texts": ["run", "a.jsonl", "--method", "cw", "--memory", "12", "--set", "text.bits=8"],
    "svm": ["run", "january.csv", "--method", "svm"],
    "bars": ["run", "january.csv", "--method", "slda"],
}  # fmt: skip
ASKED = {"texts": "c.jsonl"}
MORE = {"texts": "b.jsonl"}


@pytest.fixture(scope="session")
def models(attack, tmp_path_factory):
    """A folder with a model of each kind, updated once, and runs that were stopped: what they answer."""
    folder = tmp_path_factory.mktemp("fuzz") / "whole"
    folder.mkdir()
    attack.write_data(folder)
    answers = {}
    for name, command in COMMANDS.items():
        assert attack.call([*command, "--out", name, "--json"], folder).code == 0
        assert attack.call(["update", name, MORE.get(name, "february.csv"), "--json"], folder).code == 0
        done = attack.call(["predict", name, ASKED.get(name, "march.csv"), "--json"], folder)
        answers[name] = json.loads(done.out)["predictions"]
    words = [*COMMANDS["network"], "--classes-per-task", "1", "--out", "stopped", "--json"]
    done = attack.call([*words, "--time-limit", "0.000001"], folder)
    assert done.code == 3, done.err
    straight = folder.parent / "straight"
    shutil.copytree(folder, straight)
    assert attack.call(words, straight).code == 0
    return folder, answers, words, bits(straight / "stopped" / "model.safetensors")


def bits(path):
    """The arrays of a model file that are learned."""
    arrays, _ = read_arrays(path)
    return {name: array.tobytes() for name, array in arrays.items()}


def damage(content, draw):
    """The bytes, damaged in one of the ways that disks and people have."""
    content, way = bytearray(content), draw.randrange(8)
    at, size = draw.randrange(len(content)), draw.choice([1, 4, 64, 1024])
    if way == 0:
        content[at] ^= 1 << draw.randrange(8)
    elif way == 1:
        content[at : at + size] = bytes(len(content[at : at + size]))
    elif way == 2:
        del content[at:]
    elif way == 3:
        del content[at : at + size]
    elif way == 4:
        content[at:at] = draw.randbytes(size)
    elif way == 5:
        other = draw.randrange(len(content))
        content[at : at + size], content[other : other + size] = (
            content[other : other + size], content[at : at + size],
        )  # fmt: skip
    elif way == 6:
        content[at : at + size] = draw.randbytes(len(content[at : at + size]))
    else:
        digits = [i for i, c in enumerate(content) if 48 <= c <= 57]
        for i in draw.sample(digits, min(len(digits), draw.randint(1, 3))):
            content[i] = 48 + draw.randrange(10)
    return bytes(content)


def fine(done):
    """Whether a command ended as it should: done, or refused in one line; within its memory."""
    lines = done.err.strip().splitlines()
    refused = done.code in (2, 4) and lines and "Traceback" not in done.err
    told = [line for line in lines if not line.startswith(("WARNING:", "accuracy", "note:"))]
    return (done.code == 0 or (refused and len(told) == 1)) and done.peak < MEMORY


def damaged(attack, models, count, seed):
    """So many damaged files, each asked in its folder; what went wrong."""
    whole, answers, words, straight = models
    draw, wrong = random.Random(seed), []
    folder = whole.parent / f"damaged-{seed}"
    shutil.copytree(whole, folder)
    files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    files = [p for p in files if len(p.parts) > 1 and p.suffix in (".safetensors", ".json", "")]
    for i in range(count):
        file = draw.choice(files)
        name, path = file.parts[0], folder / file
        before = path.read_bytes()
        path.write_bytes(damage(before, draw))
        if name == "stopped":
            command, expected = words, None
        else:
            ask = ["predict", name, ASKED.get(name, "march.csv"), "--json"]
            others = [["report", name]] if file.suffix == ".json" else [ask, ["history", name, "--json"]]
            command = draw.choice([ask, *others])
            expected = answers[name] if command is ask else None
        done = attack.call(command, folder, seconds=60)
        if not fine(done):
            wrong.append((i, str(file), command, done.code, done.err[-300:]))
        elif done.code == 0 and expected is not None:
            if json.loads(done.out)["predictions"] != expected:
                wrong.append((i, str(file), command, "another answer"))
        elif (
            done.code == 0
            and name == "stopped"
            and bits(folder / name / "model.safetensors") != straight
        ):
            wrong.append((i, str(file), command, "other bits"))
        if command[0] in ("report", "run"):
            shutil.rmtree(folder / name)
            shutil.copytree(whole / name, folder / name)
        else:
            path.write_bytes(before)
    shutil.rmtree(folder)
    return wrong


def rewritten(attack, models, count, seed):
    """So many models whose content was changed and signed anew: no crash, no traceback."""
    whole, _, _, _ = models
    draw, wrong = random.Random(seed), []
    folder = whole.parent / f"rewritten-{seed}"
    shutil.copytree(whole, folder)
    for i in range(count):
        name = draw.choice(list(COMMANDS))
        path = folder / name / "model-2.safetensors"
        before = path.read_bytes()
        arrays, manifest = read_arrays(path)
        change(arrays, manifest, draw)
        write_arrays(path, arrays, manifest)
        again = MORE.get(name, "february.csv")
        ask = ["predict", name, ASKED.get(name, "march.csv"), "--json"]
        command = draw.choice([ask, ["show", name], ["update", name, again, "--stage", "--json"]])
        done = attack.call(command, folder, seconds=60)
        if not fine(done):
            wrong.append((i, command, done.code, done.err[-400:]))
        path.write_bytes(before)
        (folder / name / "model-3.safetensors").unlink(missing_ok=True)
    shutil.rmtree(folder)
    return wrong


ODD = [
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    20,
    10**12,
    -(2**63),
    1.5,
    float("nan"),
    "",
    "x",
    "../../x",
    [],
    {},
    [1],
]


def change(arrays, manifest, draw):
    """Change one thing of a file's content."""
    if arrays and draw.random() < 0.4:
        name = draw.choice(sorted(arrays))
        array = arrays[name]
        way = draw.randrange(5)
        if way == 0:
            del arrays[name]
        elif way == 1:
            arrays[name] = array[:-1] if array.ndim and len(array) else array.reshape(1, -1)
        elif way == 2:
            arrays[name] = array.astype(draw.choice(["float32", "int64", "uint8", "float64", "int32"]))
        elif way == 3 and array.size:
            arrays[name] = array = array.copy()
            array.reshape(-1)[draw.randrange(array.size)] = draw.choice([0, 1, 100, 127])
        else:
            arrays[name] = array.reshape(-1)
        return
    place = manifest
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw.choice(keys)
        inner = place[key]
        if isinstance(inner, dict | list) and inner and draw.random() < 0.85:
            place = inner
            continue
        if draw.random() < 0.2:
            del place[key]
        else:
            place[key] = draw.choice(ODD)
        return


def test_a_few_damaged_files(attack, models):
    assert damaged(attack, models, 15, SEED) == []


def test_a_few_rewritten_models(attack, models):
    assert rewritten(attack, models, 15, SEED) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_five_thousand_damaged_files(attack, models, part):
    assert damaged(attack, models, 400, 1000 + SEED + part) == []
    assert rewritten(attack, models, 100, 2000 + SEED + part) == []


# ---- command lines
WORDS = {
    "": [
        "run", "compare", "update", "predict", "report", "history", "rollback", "promote", "forget",
        "label", "show", "explain", "diff", "methods", "datasets",
    ],
    "data": [
        "january.csv", "february.csv", "a.jsonl", "digits", "nowhere.csv", "ids.txt", ".", "..",
        "m", "-", "model.npz", "", "/dev/null", "\x1b[31m", "x" * 300,
    ],
    "model": [
        "network", "texts", "svm", "bars", "nowhere", ".", "january.csv",
        "network/model.safetensors",
    ],
    "option": [
        "--method", "--scenario", "--stream", "--tasks", "--classes-per-task", "--by", "--target",
        "--text", "--test", "--objective", "--scale", "--missing", "--image-size", "--model",
        "--memory", "--optimizer", "--lr", "--batch", "--epochs", "--steps", "--boundaries",
        "--delay", "--seed", "--precision", "--threads", "--output-space", "--class-weights",
        "--evaluate-every", "--time-limit", "--set", "--out", "--json", "--max-drop", "--stage",
        "--refuse-new-classes", "--ids", "--task", "--top", "--label", "--methods", "--seeds",
        "--safe-csv", "--nonsense",
    ],
    "value": [
        "er", "ewc", "cw", "svm", "er+ewc", "naive", "icarl", "class", "task", "free", "domain",
        "split", "rotated", "0", "1", "2", "5", "-1", "1e9", "nan", "inf", "1.5", "label", "a",
        "mlp:4", "mlp:0", "mlp:1000000000", "cnn:4", "resnet18:2", "500", "2MB", "10/class",
        "10/task", "1B", "0x10", "er.admission=ring", "er.admission=fifo", "text.bits=4",
        "schedule.kind=cosine", "=", "a.b=c", "model.x=1", "loss", "drift", "1_000", "１", "[/foo]",
        "\x1b]0;x\x07", "x,y", "x=2", "ids.txt", "out", "../out", "100000x100000", "8x8",
        "balanced", "adam", "float64", "rename", "retire", "x", "y",
    ],
}  # fmt: skip


def line(draw):
    """A random command line."""
    words = [draw.choice(WORDS[""])]
    if words[0] in ("compare", "report") and draw.random() < 0.7:  # they take seconds
        words = ["run"]
    for kind in draw.choice([["data"], ["model"], ["model", "data"], [], ["data", "data"]]):
        words.append(draw.choice(WORDS[kind]))
    for _ in range(draw.randrange(5)):
        words.append(draw.choice(WORDS["option"]))
        if draw.random() < 0.8:
            words.append(draw.choice(WORDS["value"]))
    if words[0] in ("run", "compare"):
        words += ["--steps", "2", "--model", "mlp:4"] * (draw.random() < 0.7)
    return words


def lines(attack, models, count, seed):
    """So many random command lines, in a folder with models; what went wrong."""
    whole, _, _, _ = models
    draw, wrong = random.Random(seed), []
    outer = whole.parent / f"lines-{seed}"
    outer.mkdir()
    for i in range(count):
        folder = outer / "inner"
        if i % 50 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
        words = line(draw)
        done = attack.call(words, folder, seconds=120)
        told = done.err.strip().splitlines()
        if done.code not in (0, 2, 3, 4) or "Traceback" in done.err or done.peak > MEMORY:
            wrong.append((i, words, done.code, done.peak, done.err[-400:]))
        if done.code == 2 and not told:
            wrong.append((i, words, "refused without a word"))
        if any(ord(c) < 32 and c not in "\n\t" for c in done.err):
            wrong.append((i, words, "control characters"))
        strange = {p.name for p in outer.iterdir()} - {"inner"}
        if strange and "../out" not in words and ".." not in words:
            wrong.append((i, words, f"written outside: {strange}"))
        for name in strange:
            (shutil.rmtree if (outer / name).is_dir() else os.unlink)(outer / name)
    shutil.rmtree(outer)
    return wrong


def test_a_few_command_lines(attack, models):
    assert lines(attack, models, 15, SEED) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_two_thousand_command_lines(attack, models, part):
    assert lines(attack, models, 250, 3000 + SEED + part) == []
