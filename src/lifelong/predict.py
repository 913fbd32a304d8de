"""Files for a saved model: inputs to predict from, and data that fits what it has learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import data as sets
from .errors import LifelongError, unknown
from .samples import Dataset
from .store import load_all
from .update import find


def predict_rows(
    model: str | Path, data: str, target: str, task: int | None
) -> tuple[list[Any], float | None]:
    """(the predicted class of every row, the accuracy where the data has labels).

    Or the objective's other answers: lists of labels, numbers. Of a data set that has a name, its
    test set.
    """
    learner, extra, _ = load_all(find(model))
    if data in sets.DATASETS:
        dataset = sets.load(data)
        x, labels = dataset.test.x, [dataset.classes[y] for y in dataset.test.y]
    else:
        x, found, names = sets.features(data, target, _dropped(extra))
        labels, x = found or [], x[:, _order(names, extra.get("features") or [], data)]
    predicted = learner.predict(x, task).tolist()
    if not learner.objective.labels:
        return predicted, None
    accuracy = (
        float(np.mean([p == y for p, y in zip(predicted, labels, strict=True)])) if labels else None
    )
    return predicted, accuracy


def fitting(model: Path, data: str, target: str, test: str | None) -> Dataset:
    """The data set, its columns in the order in which the model learned them."""
    _, extra, _ = load_all(model)
    dataset = sets.load(data, target=target, test=test)
    order = _order(dataset.features, extra.get("features") or [], data)
    train, testing = (s.replace(x=s.x[:, order]) for s in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=testing, features=tuple(extra.get("features") or ()))


def _dropped(extra: dict[str, Any]) -> list[str]:
    """The column that told the tasks, which is not a feature."""
    column = extra["result"]["stream"].get("column") if "result" in extra else None
    return [column] if column else []


def _order(names: tuple[str, ...], learned: list[str], data: str) -> list[int] | slice:
    """Where the model's columns are in the file."""
    if not learned or not names:
        return slice(None)
    for name in learned:
        if name not in names:
            raise unknown(f"column in {data}: the model needs", name, names)
    extra = [name for name in names if name not in learned]
    if extra:
        raise LifelongError(f"{data} has a column {extra[0]!r} that the model has not learned: drop it")
    return [names.index(name) for name in learned]
