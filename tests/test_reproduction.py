"""The page of reproduced figures says what the result files say; its cells can be run again."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from lifelong.result import read

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks/results").glob("*/runs/*/run.json"))


def reproduce():
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "benchmarks/reproduce.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_of_the_result_files():
    module = reproduce()
    results = {name: [r for f in FILES if name in f.parts for r in read(f)] for name in module.ABOUT}
    page = (ROOT / "docs/verification.md").read_text(encoding="utf-8")
    assert page == module.table(results)


def test_every_result_file_follows_the_schema_and_its_metrics_follow_from_R():
    schema = json.loads((ROOT / "src/lifelong/results.schema.json").read_text())
    assert FILES
    for file in FILES:
        content = json.loads(file.read_text())
        jsonschema.validate(content, schema)
        for run in content["runs"]:
            assert run["metrics"]["average_accuracy"] == pytest.approx(np.mean(run["R"][-1]))
            assert re.search(rf"(--seed|--one-layer|naive|gem) {run['seed']}\b", run["command"])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "scenario"), [("naive", "class"), ("er", "class")])
def test_a_cell_comes_out_again(method, scenario, tmp_path):
    module = reproduce()
    goal = next(g for g in module.GOALS if g.name == f"split-mnist/{method}/{scenario}")
    accuracy = 100 * goal.specs()[0].run(tmp_path).metrics["average_accuracy"]
    low, high = goal.band
    assert low - 1 <= accuracy <= high + 1  # one seed: the band is for the mean of five
