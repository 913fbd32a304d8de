"""The page of reproduced figures says what the result files say; its cells can be run again."""

import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from lifelong.result import read

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks/results/split-mnist/runs").glob("*/run.json"))


def reproduce():
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "benchmarks/reproduce.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_of_the_result_files():
    results = [result for file in FILES for result in read(file)]
    page = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")
    assert page == reproduce().table(results)


def test_every_result_file_follows_the_schema_and_its_metrics_follow_from_R():
    schema = json.loads((ROOT / "src/lifelong/results.schema.json").read_text())
    assert FILES
    for file in FILES:
        content = json.loads(file.read_text())
        jsonschema.validate(content, schema)
        for run in content["runs"]:
            assert run["metrics"]["average_accuracy"] == pytest.approx(np.mean(run["R"][-1]))
            assert re.search(rf"--(seed|one-layer) {run['seed']}\b", run["command"])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "scenario"), [("naive", "class"), ("er", "class")])
def test_a_cell_comes_out_again(method, scenario, tmp_path):
    module = reproduce()
    spec = next(s for s in module.specs({method}) if s.scenario == scenario)
    accuracy = 100 * spec.run(tmp_path).metrics["average_accuracy"]
    _, low, high, _ = module.GOALS[method, scenario]
    assert low - 1 <= accuracy <= high + 1  # one seed: the band is for the mean of five
