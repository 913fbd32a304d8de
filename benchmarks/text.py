"""Online linear learners on texts: accuracy, label noise, spam, classes in order, shards merged.

    python benchmarks/text.py                    # all parts; about half an hour on one core
    python benchmarks/text.py --only accuracy    # one part; the others' results stay

Needs LIFELONG_DATA. Every figure is a mean over three orders of the training set. Hyper-parameters are
picked, for each data set and weighting, on a fifth of the training set; the test set decides nothing.
Writes benchmarks/results/text.json and docs/text.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import shlex
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, recall_score
from sklearn.svm import LinearSVC

import lifelong as ll
from lifelong.linear import HashingText, make

RESULTS = Path(__file__).parent / "results" / "text.json"
PAGE = Path(__file__).parent.parent / "docs" / "text.md"
ORDERS = (0, 1, 2)
PACKAGES = ("lifelong", "numpy", "numba", "scikit-learn")
GRID: dict[str, list[dict[str, float]]] = {
    "perceptron": [{}],
    "pa": [{}],
    "pa-1": [{"C": c} for c in (0.001, 0.01, 0.1, 1.0)],
    "pa-2": [{"C": c} for c in (0.001, 0.01, 0.1, 1.0)],
    "cw": [{"eta": e} for e in (0.7, 0.9, 0.99)],
    "cw-stdev": [{"eta": e} for e in (0.7, 0.9, 0.99)],
    "arow": [{"r": r} for r in (0.1, 1.0, 10.0, 100.0)],
    "scw-1": [{"eta": e, "C": c} for e in (0.7, 0.9) for c in (0.1, 1.0)],
    "scw-2": [{"eta": e, "C": c} for e in (0.7, 0.9) for c in (0.1, 1.0)],
    "nherd": [{"C": c} for c in (0.01, 0.1, 1.0)],
}
SETS = {
    "20newsgroups": "20newsgroups",
    "20newsgroups, no headers": "20newsgroups",
    "banking77": "banking77",
    "clinc150": "clinc150",
    "sms-spam": "sms-spam",
    "thucnews-titles": "thucnews-titles",
}
CHARACTERS = ("thucnews-titles",)
"""The sets of which single characters and pairs of them are counted; of the others, words."""
Texts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def texts(name: str) -> Texts:
    """(training texts, their labels, test texts, their labels)."""
    data = ll.data.published_texts(SETS[name])
    train, test = data.train, data.test
    if SETS[name] == "clinc150":  # its 150 intents, without what is out of scope
        oos = data.classes.index("oos")
        train, test = train.take(train.y != oos), test.take(test.y != oos)
    x, x_test = train.x, test.x
    if "no headers" in name:  # what stands before the first empty line
        x, x_test = (
            np.array([re.split(r"\n\s*\n", t, maxsplit=1)[-1] for t in part], object)
            for part in (x, x_test)
        )
    return x, train.y, x_test, test.y


class Features:
    """The rows of a data set in one order: those learned, and the test set's as weighed afterwards."""

    def __init__(
        self, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, weighting: str, name: str, seed: int
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(y))
        rows = HashingText(weighting, "char", (1, 2)) if name in CHARACTERS else HashingText(weighting)
        self.weighting, self.y = weighting, y[order]
        self.train, self.test = rows.learn(x[order]), rows.transform(x_test)
        self.train.sort_indices()

    def accuracy(
        self, method: str, options: dict[str, float], y_test: np.ndarray, passes: int = 1
    ) -> list[float]:
        """On the test set, after each pass."""
        return [float((p == y_test).mean()) for p in self.answers(method, options, passes)]

    def answers(self, method: str, options: dict[str, float], passes: int = 1) -> list[np.ndarray]:
        """The predictions for the test set after each pass."""
        learner = make(method, self.weighting, **options)
        return [learner.partial_fit(self.train, self.y).predict(self.test) for _ in range(passes)]


def picked(
    x: np.ndarray, y: np.ndarray, weighting: str, name: str, passes: int = 1
) -> dict[str, dict[str, float]]:
    """The hyper-parameters of each method, by a fifth of the training set, on average over orders.

    The default stays, unless another is better by a standard error of that accuracy.
    """
    held = np.random.default_rng(99).random(len(y)) < 0.2
    split = [Features(x[~held], y[~held], x[held], weighting, name, 90 + seed) for seed in ORDERS]

    def score(method: str, options: dict[str, float]) -> float:
        return float(np.mean([rows.accuracy(method, options, y[held], passes)[-1] for rows in split]))

    chosen = {}
    for method, grid in GRID.items():
        usual = {o: v for o, v in vars(make(method, weighting)).items() if o in grid[0]}
        best, least = max(grid, key=lambda options, m=method: score(m, options)), score(method, usual)
        error = np.sqrt(least * (1 - least) / held.sum())
        chosen[method] = best if score(method, best) > least + error else usual
    return chosen


def accuracy() -> dict[str, Any]:
    """Every learner on every set, on binary counts and tf-idf, after one pass and three."""
    found: dict[str, Any] = {}
    for name in SETS:
        x, y, x_test, y_test = texts(name)
        analyzer = {"analyzer": "char", "ngram_range": (1, 2)} if name in CHARACTERS else {}
        batch = TfidfVectorizer(sublinear_tf=True, **analyzer)
        svc = LinearSVC().fit(batch.fit_transform(x), y).score(batch.transform(x_test), y_test)
        found[name] = {"train": len(y), "test": len(y_test), "LinearSVC": svc}
        for weighting in ("binary", "tfidf"):
            rows = [Features(x, y, x_test, weighting, name, seed) for seed in ORDERS]
            found[name][weighting] = {method: {} for method in GRID}
            for passes in (1, 3):
                for method, options in picked(x, y, weighting, name, passes).items():
                    each = [r.accuracy(method, options, y_test, passes)[-1] for r in rows]
                    found[name][weighting][method][f"passes {passes}"] = {
                        "accuracy": float(np.mean(each)),
                        "sd": float(np.std(each, ddof=1)),
                        "options": options,
                    }
                    words = f"{name} {weighting} {passes} {method} {options}"
                    print(f"{words} {100 * np.mean(each):.2f} (LinearSVC {100 * svc:.2f})", flush=True)
    return found


def noise() -> dict[str, Any]:
    """20 news groups with a share of the training labels replaced by others; one pass."""
    x, y, x_test, y_test = texts("20newsgroups")
    found: dict[str, Any] = {}
    for weighting, share in itertools.product(("binary", "tfidf"), (0.0, 0.1, 0.2, 0.3)):
        rng = np.random.default_rng(7)
        wrong = rng.random(len(y)) < share
        noisy = np.where(wrong, (y + rng.integers(1, 20, len(y))) % 20, y)
        chosen = picked(x, noisy, weighting, "20newsgroups")
        rows = [Features(x, noisy, x_test, weighting, "20newsgroups", seed) for seed in ORDERS]
        for method, options in chosen.items():
            mean = float(np.mean([r.accuracy(method, options, y_test)[0] for r in rows]))
            found.setdefault(weighting, {}).setdefault(method, {})[f"{share:.0%}"] = mean
        print(
            weighting,
            share,
            {m: round(100 * f[f"{share:.0%}"], 1) for m, f in found[weighting].items()},
            flush=True,
        )
    return found


def spam() -> dict[str, Any]:
    """SMS spam, where 87 of 100 are no spam: F1 and recall of the spam."""
    x, y, x_test, y_test = texts("sms-spam")
    found: dict[str, Any] = {}
    for weighting in ("binary", "tfidf"):
        chosen = picked(x, y, weighting, "sms-spam")
        rows = [Features(x, y, x_test, weighting, "sms-spam", seed) for seed in ORDERS]
        for method, options in chosen.items():
            answers = [r.answers(method, options)[0] for r in rows]
            found.setdefault(weighting, {})[method] = {
                "f1": float(np.mean([f1_score(y_test, a) for a in answers])),
                "recall": float(np.mean([recall_score(y_test, a) for a in answers])),
            }
        print(weighting, found[weighting], flush=True)
    return found


def page(found: dict[str, Any]) -> str:
    """The page in docs/, made of the result files."""
    speed, bars, elec2 = (other(name) for name in ("text_speed", "bars", "elec2"))
    lines = [
        "# Linear learners on texts",
        "",
        "Test accuracy in %, mean of three orders of the training set; texts are hashed words (2^20",
        "columns), of thucnews-titles single characters and pairs of them. `binary`: a word is there or",
        "not; `tfidf`: its idf counts the texts before it. Hyper-parameters are picked on a fifth of",
        "the training set, the default staying unless another is better by a standard error. LinearSVC",
        "sees all at once, on scikit-learn's tf-idf (sublinear) of the same words.",
        "",
        "## Accuracy after one pass, and after three",
    ]
    for weighting in ("binary", "tfidf"):
        sets = list(found["accuracy"])
        lines += ["", f"| {weighting} | " + " | ".join(sets) + " |", "|---|" + "--:|" * len(sets)]
        for method in GRID:
            cells = []
            for name in sets:
                runs = found["accuracy"][name][weighting][method]
                one, three = (100 * runs[f"passes {n}"]["accuracy"] for n in (1, 3))
                cells.append(f"{one:.1f} / {three:.1f}")
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        batch = (f"{100 * found['accuracy'][name]['LinearSVC']:.1f}" for name in sets)
        lines.append("| LinearSVC, batch | " + " | ".join(batch) + " |")
    lines += ["", "## Wrong labels: a share of 20 news groups' training set, one pass"]
    shares = ("0%", "10%", "20%", "30%")
    for weighting, methods in found["noise"].items():
        lines += ["", f"| {weighting} | " + " | ".join(shares) + " |", "|---|" + "--:|" * 4]
        for method, at in methods.items():
            lines.append(f"| {method} | " + " | ".join(f"{100 * at[s]:.1f}" for s in shares) + " |")
    lines += ["", "## SMS spam, of which there is 13 %: F1 and recall of the spam, one pass", ""]
    lines += ["| | binary F1 | recall | tf-idf F1 | recall |", "|---|--:|--:|--:|--:|"]
    for method in GRID:
        cells = [
            f"{100 * found['spam'][w][method][k]:.1f}"
            for w in ("binary", "tfidf")
            for k in ("f1", "recall")
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += bars_lines(bars) if bars else []
    lines += elec2_lines(elec2) if elec2 else []
    lines += speed_lines(speed) if speed else []
    scripts = ", ".join(f"`python benchmarks/{n}.py`" for n in ("text", "bars", "elec2", "text_speed"))
    lines += ["", f"Made by {scripts}."]
    return "\n".join(lines) + "\n"


def other(name: str) -> dict[str, Any] | None:
    """The result of another script, if it was run."""
    file = RESULTS.with_name(f"{name}.json")
    return json.loads(file.read_text()) if file.exists() else None


def bars_lines(bars: dict[str, Any]) -> list[str]:
    """Classes in order, embeddings, shards."""
    news, embedded, merged = bars["newsgroups"], bars["embeddings"], bars["merged"]
    rows = {
        f"{name}, {news[name]['picked']}, no memory": news[name][news[name]["picked"]]["accuracy"]
        for name in ("nb", "cnb", "ncm")
    }
    keeper = news["cw, memory of 1,000"]
    rehearsal = " ".join(f"--set replay.{name}={value}" for name, value in keeper["options"].items())
    command = "lifelong run 20newsgroups --classes-per-task 4 --set stream.natural_order=true"
    rows["cw, no memory"] = news["cw, no memory"]["accuracy"]
    rows[
        "cw, memory of 1,000 texts, {replays} replays a text, {batch} texts at a time".format(
            **keeper["options"]
        )
    ] = keeper["accuracy"]
    lines = [
        "",
        "## Classes in order: 20 news groups as five tasks of four, nothing from the future",
        "",
    ]
    lines += ["| | accuracy on all at the end |", "|---|--:|"]
    lines += [f"| {name} | {100 * value:.1f} |" for name, value in rows.items()]
    lines += [
        "",
        "The first three do not depend on any order: what they know is sums. On MiniLM embeddings of",
        "CLINC150, ten tasks of fifteen intents: "
        + ", ".join(f"{name} {100 * of['accuracy']:.1f}" for name, of in embedded.items())
        + ".",
        "",
        "On the command line, where the average over tasks counts each task the same:",
        "",
        "```console",
        f"$ {command} --method ncm --set text.weighting={news['ncm']['picked']}",
        f"$ {command} --method cw --memory 1000 {rehearsal}",
        "```",
        "",
        "## Four shards, merged",
        "",
        "| 20 news groups, one pass | one stream | mean of the weights | product of the posteriors |",
        "|---|--:|--:|--:|",
    ]
    for name, of in merged.items():
        cells = (f"{100 * of[k]:.1f}" for k in ("one stream", "mean", "product"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def elec2_lines(elec2: dict[str, Any]) -> list[str]:
    """Learners on a stream in which repeating the last label is hard to beat."""
    runs = elec2["learners"] if "learners" in elec2 else elec2["results"]
    bars = next(iter(runs.values()))["delay 0"]
    lines = ["", "## elec2, one by one in the order of time", ""]
    lines += [
        "All rows in turn; `lifelong run --scenario free` holds a fifth of a table out, so that its",
        "bars and figures differ.",
        "",
    ]
    lines += ["| | accuracy | kappa | kappa-temporal |", "|---|--:|--:|--:|"]
    shown = {name: run["delay 0"]["learner"] for name, run in runs.items()}
    for name, of in {"no-change": bars["no-change"], "majority": bars["majority"], **shown}.items():
        below = " (below no-change)" if of["kappa_temporal"] < 0 else ""
        cells = f"{100 * of['accuracy']:.1f} | {of['kappa']:.3f} | {of['kappa_temporal']:.3f}"
        lines.append(f"| {name}{below} | {cells} |")
    return lines


def speed_lines(speed: dict[str, Any]) -> list[str]:
    """The part about speed."""
    lines = [
        "",
        "## Speed: text in, one pass over 20 news groups",
        "",
        "| | documents a second | accuracy | cw, tf-idf, is faster by | cw, binary, by |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, of in speed["beside"].items():
        ratio = " | ".join(f"{of['ratio'][m]:.1f}" if "ratio" in of else "" for m in RIVALLED)
        accuracy = f"{100 * of['accuracy']:.1f}"
        lines.append(f"| {name} | {of['documents_per_second']:,.0f} | {accuracy} | {ratio} |")
    resident = speed["resident_bytes_by_million_tokens"]
    first, *_, last = resident.items()
    lines += [
        "",
        "Ratios are medians of pairs run in turn. Ours counts words in a second thread. Reading a file,",
        "Vowpal Wabbit parses lines that were made for it beforehand, in a thread of its own. river's",
        "one-vs-rest was given 1,000 documents, and its accuracies are on 500.",
        "",
        "![documents a second by classes and by columns](text-speed.svg)",
        "",
        f"A JSONL file read and learned in blocks: {first[1] / 1e6:.0f} MB resident after {first[0]} "
        f"million tokens, {last[1] / 1e6:.0f} MB after {last[0]} million.",
    ]
    return lines


RIVALLED = ("cw", "cw, binary")
PARTS = {"accuracy": accuracy, "noise": noise, "spam": spam}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--only", choices=[*PARTS, "page"], help="one part; page: write docs/text.md alone"
    )
    only = parser.parse_args().only
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in PARTS if only is None else [only] if only in PARTS else []:
        started = time.monotonic()
        result[name] = PARTS[name]()
        result[name + " seconds"] = round(time.monotonic() - started)
        result |= {
            "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
            "command": shlex.join(["python", "benchmarks/text.py"]),
        }  # fmt: skip
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    PAGE.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
