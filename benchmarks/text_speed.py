"""Texts in, one pass, documents a second: beside river, Vowpal Wabbit and scikit-learn.

    pip install river vowpalwabbit
    python benchmarks/text_speed.py        # about ten minutes; leave the machine alone

20 news groups (by date, headers kept; needs LIFELONG_DATA), the same shuffled documents for all, one
thread. Each rival takes turns with ours, and what counts is the median of the paired ratios. Then: how
the speed follows the number of classes and of columns, and the memory of a pass over 24 million tokens.
Writes benchmarks/results/text_speed.json and docs/text-speed.svg.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

import lifelong as ll
from lifelong.linear import HashingText, TextClassifier, tokens

HERE = Path(__file__).parent
RESULT = HERE / "results" / "text_speed.json"
FIGURE = HERE.parent / "docs" / "text-speed.svg"
PAIRS = 5
SIGNS = str.maketrans(dict.fromkeys(":|\n\r\t", " "))
Pass = Callable[[], tuple[float, Callable[[], float]]]
"""Learns once: (documents a second, what tells the accuracy on the test set)."""


class News:
    """The documents, and a pass of each learner over them."""

    def __init__(self) -> None:
        data = ll.data.published_texts("20newsgroups")
        order = np.random.default_rng(0).permutation(len(data.train))
        self.x, self.y = data.train.x[order].tolist(), data.train.y[order]
        self.x_test, self.y_test = data.test.x.tolist(), data.test.y

    def ours(self, name: str, weighting: str = "tfidf", bits: int = 18) -> tuple[float, Any]:
        model = TextClassifier(name, HashingText(weighting, bits=bits))
        started = time.perf_counter()
        model.partial_fit(self.x, self.y)
        seconds = time.perf_counter() - started
        return len(self.x) / seconds, lambda: model.score(self.x_test, self.y_test)

    def vowpal_wabbit(self) -> tuple[float, Any]:
        """Documents in Python, handed over one by one: what its Python package is for."""
        import vowpalwabbit

        model = vowpalwabbit.Workspace("--oaa 20 -b 18 --quiet")
        labels = (self.y + 1).tolist()
        started = time.perf_counter()
        for x, y in zip(self.x, labels, strict=True):
            model.learn(f"{y} {line(x)}")
        seconds = time.perf_counter() - started
        return len(self.x) / seconds, lambda: self._judged(model)

    def vowpal_wabbit_itself(self) -> tuple[float, Any]:
        """Lines of words in lower case, made beforehand, which it reads from a file with a thread of
        its own: Python has no part in it."""
        import vowpalwabbit

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.vw"
            lines = zip(self.y, self.x, strict=True)
            file.write_text("".join(f"{y + 1} {line(x)}\n" for y, x in lines))
            started = time.perf_counter()
            model = vowpalwabbit.Workspace(f"--oaa 20 -b 18 --quiet -d {file}")
            seconds = time.perf_counter() - started
        return len(self.x) / seconds, lambda: self._judged(model)

    def _judged(self, model: Any) -> float:
        told = [model.predict(line(x)) for x in self.x_test]
        return float((np.array(told) - 1 == self.y_test).mean())

    def scikit_learn(self) -> tuple[float, Any]:
        """Batches of 100, so that it is a stream."""
        rows, model = HashingVectorizer(n_features=2**18), SGDClassifier(random_state=0)
        started = time.perf_counter()
        for i in range(0, len(self.x), 100):
            model.partial_fit(
                rows.transform(self.x[i : i + 100]), self.y[i : i + 100], classes=range(20)
            )
        seconds = time.perf_counter() - started
        return len(self.x) / seconds, lambda: model.score(rows.transform(self.x_test), self.y_test)

    def river(self, learner: str, count: int) -> tuple[float, Any]:
        """The first documents alone, where it is slow."""
        from river import feature_extraction, linear_model, multiclass, naive_bayes

        made = {
            "passive-aggressive": lambda: multiclass.OneVsRestClassifier(linear_model.PAClassifier()),
            "naive Bayes": naive_bayes.MultinomialNB,
        }
        model = feature_extraction.BagOfWords(lowercase=True) | made[learner]()
        started = time.perf_counter()
        for x, y in zip(self.x[:count], self.y[:count].tolist(), strict=True):
            model.learn_one(x, y)
        seconds = time.perf_counter() - started

        def accuracy() -> float:
            told = [model.predict_one(x) for x in self.x_test[:500]]
            return float((np.array(told) == self.y_test[:500]).mean())

        return count / seconds, accuracy


def line(text: str) -> str:
    """A document as Vowpal Wabbit reads it: what it takes for its own signs is blank."""
    return "| " + text.translate(SIGNS)


def beside(news: News) -> dict[str, Any]:
    """Every rival in turn with ours."""
    mine = {"cw": ("cw", "tfidf"), "arow": ("arow", "tfidf"), "cw, binary": ("cw", "binary")}
    for ours in mine.values():
        news.ours(*ours)  # compiled, or read from the cache
    rivals: dict[str, tuple[Callable[[], tuple[float, Any]], int]] = {
        "Vowpal Wabbit --oaa 20 -b 18": (news.vowpal_wabbit, PAIRS),
        "Vowpal Wabbit, reading a file": (news.vowpal_wabbit_itself, PAIRS),
        "scikit-learn SGDClassifier": (news.scikit_learn, PAIRS),
        "river naive Bayes": (lambda: news.river("naive Bayes", len(news.x)), PAIRS),
        "river passive-aggressive": (lambda: news.river("passive-aggressive", 1000), PAIRS),
    }
    found: dict[str, Any] = {}
    for name, (rival, pairs) in rivals.items():
        speeds: dict[str, list[float]] = {m: [] for m in [*mine, "rival"]}
        for _ in range(pairs):
            for own, ours in mine.items():
                speeds[own].append(news.ours(*ours)[0])
            speed, accuracy = rival()
            speeds["rival"].append(speed)
        found[name] = {
            "documents_per_second": statistics.median(speeds["rival"]),
            "accuracy": accuracy(),
            "ratio": {
                m: statistics.median(a / b for a, b in zip(speeds[m], speeds["rival"], strict=True))
                for m in mine
            },
            "pairs": pairs,
        }
        print(name, found[name], flush=True)
    for method in ("cw", "arow"):
        for weighting in ("tfidf", "binary"):
            speeds_, accuracy = zip(*(news.ours(method, weighting) for _ in range(PAIRS)), strict=True)
            found[f"lifelong {method}, {weighting}"] = {
                "documents_per_second": statistics.median(speeds_),
                "accuracy": accuracy[0](),
            }
            print(method, weighting, found[f"lifelong {method}, {weighting}"], flush=True)
    return found


def scaling(news: News) -> dict[str, Any]:
    """Documents a second by classes (intents of CLINC150) and by columns (20 news groups)."""
    data = ll.data.published_texts("clinc150")
    classes, columns = {}, {}
    for count in (2, 5, 10, 20, 50, 100, 150):
        rows = data.train.take(data.train.y < count)
        order = np.resize(np.random.default_rng(0).permutation(len(rows)), 20_000)
        x, y = rows.x[order].tolist(), rows.y[order]
        speeds = []
        for _ in range(3):
            model, started = TextClassifier("cw"), time.perf_counter()
            model.partial_fit(x, y)
            speeds.append(len(x) / (time.perf_counter() - started))
        classes[count] = statistics.median(speeds)
    for bits in (14, 16, 18, 20, 22):
        columns[bits] = statistics.median(news.ours("cw", bits=bits)[0] for _ in range(3))
    print(classes, columns, flush=True)
    return {"classes": classes, "bits": columns}


def memory(news: News) -> dict[str, int]:
    """Resident bytes after so many million tokens of JSONL, read and learned in blocks."""
    text, ends = np.frombuffer("".join(news.x).encode(), np.uint8), np.cumsum([0, *map(len, news.x)])
    per_pass = count_tokens(text, ends)
    resident: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "news.jsonl"
        passes = -(-24_000_000 // per_pass)
        names = [f"g{y}" for y in news.y]
        with file.open("w") as out:
            for _ in range(passes):
                for x, y in zip(news.x, names, strict=True):
                    out.write(json.dumps({"text": x, "label": y}) + "\n")
        model, met = TextClassifier("cw"), 0
        for x, y in ll.data.text_blocks(str(file)):
            model.progress(x, y)
            met += len(x)
            tokens_met = int(met / len(news.x) * per_pass)
            resident[f"{tokens_met / 1e6:.1f}"] = (
                int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
            )
        print(per_pass, passes, resident, flush=True)
    return resident


def count_tokens(text: np.ndarray, ends: np.ndarray) -> int:
    """How many words there are."""
    most = len(text) // 3 + len(ends)
    values = np.empty(most, np.float32)
    columns, spans = np.empty(most, np.int32), np.empty((0, 2), np.int64)
    ends_of_rows, place = np.zeros(len(ends), np.int64), np.empty(2**20, np.int32)
    last = np.uint64(2**20 - 1)
    size = tokens.features(text, ends, False, 1, 1, last, place, columns, values, ends_of_rows, spans)
    return int(values[:size].sum())


def draw(found: dict[str, Any]) -> None:
    """The scaling, as a figure."""
    from matplotlib.figure import Figure

    from lifelong.report.figures import PALETTE, style

    with style():
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=False)
        panels = {"classes": "classes (CLINC150)", "bits": "columns, powers of 2 (20 news groups)"}
        for axes, (key, label) in zip((left, right), panels.items(), strict=True):
            at = [int(k) for k in found[key]]
            axes.plot(at, [v / 1000 for v in found[key].values()], "o-", color=PALETTE[0])
            axes.set_xlabel(label)
            axes.set_ylim(0)
        left.set_ylabel("thousand documents a second")
        figure.savefig(FIGURE)


def main() -> None:
    news = News()
    result = {
        "beside": beside(news),
        "scaling": scaling(news),
        "resident_bytes_by_million_tokens": memory(news),
        "versions": {"python": platform.python_version()}
        | {
            p: version(p)
            for p in ("lifelong", "numpy", "numba", "scikit-learn", "river", "vowpalwabbit")
        },
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "command": "python benchmarks/text_speed.py",
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    draw(result["scaling"])


if __name__ == "__main__":
    main()
