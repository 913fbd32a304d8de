"""Incremental classifiers on elec2 in the order of time: writes benchmarks/results/elec2.json.

    python benchmarks/elec2.py                      # about two minutes
    python benchmarks/elec2.py --figures FOLDER     # a picture of each beside it

45,312 half hours of the New South Wales electricity market (Harries, 1999; LIFELONG_DATA/elec2): is the
price above its mean of the last 24 hours? Each example is predicted, then learned, one by one. Labels
come in runs, so repeating the last one is right more often than most learners (Zliobaite, 2013).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet
import sklearn
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB

import lifelong as ll
from lifelong.linear import Progressive, make, progressive_validation

RESULT = Path(__file__).parent / "results" / "elec2.json"
DELAYS = (0, 48)
"""Half hours until a label is known: at once, and a day later."""


def learners() -> dict[str, Any]:
    """What is measured, each with every option at its default but the seed.

    Online learners weigh features by how often and how far they vary: these are all between 0 and 1.
    """
    mine = ("perceptron", "pa-1", "cw", "cw-stdev", "arow", "scw-1", "nherd")
    own = {name: make(name) for name in mine} | {"arow-full": make("arow", covariance="full")}
    return own | {"sgd": SGDClassifier(random_state=0), "gaussian-nb": GaussianNB()}


def data() -> tuple[np.ndarray, np.ndarray]:
    """Six features ``float64 [n, 6]`` and labels 0 or 1 ``[n]``."""
    folder = os.environ.get("LIFELONG_DATA")
    if folder is None:
        sys.exit("elec2 is read from LIFELONG_DATA/elec2/data.parquet: set LIFELONG_DATA")
    table = pyarrow.parquet.read_table(Path(folder) / "elec2" / "data.parquet")
    y = table.column("class").to_numpy()
    return np.stack([c.to_numpy() for c in table.drop_columns(["class"]).columns], axis=1), y


def summary(found: Progressive) -> dict[str, Any]:
    """What the result file keeps."""
    names = {found.name: "learner", "no-change": "no-change", "majority": "majority"}
    return {
        **{kind: vars(found.scores[name]) for name, kind in names.items()},
        "verdict": found.verdict,
        "windowed": [
            round(float(a), 4) for a in found.windowed[found.name][found.window - 1 :: found.window]
        ],
        "drifts": found.drifts,
        "seconds": round(found.seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--figures", type=Path, help="a folder for figures of the runs without delay")
    arguments = parser.parse_args()
    X, y = data()
    results: dict[str, dict[str, Any]] = {}
    for delay in DELAYS:
        for name, made in learners().items():
            with np.errstate(all="ignore"):  # naive Bayes divides by its first variances, which are 0
                found = progressive_validation(made, X, y, classes=[0, 1], delay=delay, name=name)
            print(found, flush=True, end="\n\n")
            results.setdefault(name, {})[f"delay {delay}"] = summary(found)
            if arguments.figures and not delay:
                arguments.figures.mkdir(parents=True, exist_ok=True)
                found.draw(arguments.figures / f"elec2-{name}.png")
    record = {
        "command": "python benchmarks/elec2.py",
        "versions": {
            "lifelong": ll.__version__,
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "rows": len(y),
        "window": found.window,
        "learners": results,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
