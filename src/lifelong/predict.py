"""Files for a saved model: inputs to predict from, and data that fits what it has learned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import data as sets
from .data.encoder import Encoder
from .data.images import unlabelled
from .data.own import first_line, label_names, numbers, read_npz
from .data.tables import FORMATS, integers_of, open_tables, unlabelled_rows
from .errors import LifelongError
from .learner import Learner
from .samples import Dataset
from .store import is_linear, load
from .versions import find


def predict_rows(
    model: str | Path, data: str, target: str, task: int | None, text: str = "text"
) -> tuple[list[Any], float | None]:
    """(the predicted class of every row, the accuracy where the data has labels).

    Or the objective's other answers: lists of labels, numbers. Of a data set that has a name, its test
    set; of a folder of images, those in it or in its folders.
    """
    predicted, labels = _answers(find(model), data, target, task, text)
    if labels is None:
        return predicted, None
    return predicted, float(np.mean([p == y for p, y in zip(predicted, labels, strict=True)]))


def answers(
    models: Sequence[str | Path], data: str, target: str, text: str = "text"
) -> list[Sequence[Any] | np.ndarray | None]:
    """The predictions of each model for the same rows, and the labels where there are any."""
    found = [_answers(find(model), data, target, None, text) for model in models]
    return [*(predicted for predicted, _ in found), found[0][1]]


def _answers(
    path: Path, data: str, target: str, task: int | None, text: str
) -> tuple[list[Any], Sequence[str | None] | np.ndarray | None]:
    """(the predictions, the labels where there are any)."""
    if is_linear(path):
        return _linear(path, data, target, text)
    learner, extra = _network(path)
    x, labels = _inputs(learner, extra, data, target)
    return learner.predict(x, task).tolist(), labels if learner.objective.labels else None


def fitting(model: Path, data: str, target: str, test: str | None, text: str = "text") -> Dataset:
    """The data set, encoded as the model's was."""
    if is_linear(model):
        from .linear.runner import read_model

        linear, kept = read_model(model)
        scaling = kept.encoder
        if linear.takes_texts:
            named = data in sets.TEXTS
            return sets.published_texts(data) if named else sets.texts(data, text, target, test=test)
        if scaling is None:
            dataset = sets.load(_no_table(data))
            _fits(linear, dataset.train.x)
            return dataset
        return sets.table(data, target, test=test, encoder=scaling)
    learner, extra = _network(model)
    kind, encoder = _kind(data, extra), _encoder(extra)
    if kind == "tables":
        target = _target(learner, target)
        return sets.table(data, target, test=test, encoder=encoder, drop=_dropped(extra, encoder))
    if kind == "images":
        return sets.images(data, test, _size(learner))
    return sets.load(data, target=target, test=test)


def _network(path: Path) -> tuple[Learner, dict[str, Any]]:
    """The learner, and what its file holds beside it."""
    learner = load(path)
    assert learner.kept is not None
    return learner, learner.kept.extra


def _linear(
    path: Path, data: str, target: str, text: str
) -> tuple[list[Any], Sequence[str | None] | np.ndarray | None]:
    """Of a linear learner."""
    from .linear.runner import read_model

    learner, kept = read_model(path)
    encoder = kept.encoder
    labels: Sequence[str | None] | np.ndarray | None
    if encoder is not None:
        x, labels = unlabelled_rows(data, encoder, target)
    elif data in sets.TEXTS:
        dataset = sets.published_texts(data)
        x, labels = dataset.test.x, [dataset.classes[y] for y in dataset.test.y]
    elif learner.takes_texts:
        x, labels = sets.unlabelled_texts(data, text, target)
    else:
        x, labels = _arrays(Path(_no_table(data)).expanduser())
        _fits(learner, x)
    return learner.predict(x).tolist(), labels


def _no_table(data: str) -> str:
    """The data, for a model of arrays."""
    if sets.kind(data) == "tables":
        raise LifelongError(f"{data} is a table: this model has learned arrays; give it those")
    return data


def _fits(learner: Any, x: np.ndarray) -> None:
    """Refuse rows that are not as wide as those learned."""
    if x.shape[1:] != (learner.n_features_in_,):
        raise LifelongError(
            f"inputs have shape {list(x.shape[1:])}, where the model has learned "
            f"[{learner.n_features_in_}]: give it the same columns"
        )


def _inputs(
    learner: Learner, extra: dict[str, Any], data: str, target: str
) -> tuple[np.ndarray, Sequence[str | None] | np.ndarray | None]:
    """What the model is to answer, and the labels where there are any."""
    kind, encoder, path = _kind(data, extra), _encoder(extra), Path(data).expanduser()
    if encoder is not None:
        return unlabelled_rows(data, encoder, _target(learner, target), _dropped(extra, encoder))
    if kind == "images":
        return unlabelled(path, _size(learner))
    if kind == "arrays":
        return _arrays(path)
    dataset = sets.load(data)
    return dataset.test.x, [dataset.classes[y] for y in dataset.test.y]


def _arrays(path: Path) -> tuple[np.ndarray, Sequence[str | None] | None]:
    """Inputs in an ``.npz`` file, and the labels where there are any."""
    found = read_npz(path)
    return numbers(found["x"], "x"), label_names(found["y"].tolist()) if "y" in found else None


def read_ids(source: str) -> np.ndarray:
    """The ids in a file, ``int64 [n]``: one a line, or a table's column ``id``; ``-``: standard input.

    Raises :class:`LifelongError` where a line is no whole number from 0.
    """
    path = Path(source).expanduser()
    if source != "-" and not path.is_file():
        raise LifelongError(f"there is no file {source}: give one with an id a line")
    if path.suffix.lower() in FORMATS and sets.has_column(path, "id"):
        return np.concatenate([integers_of(table, "id") for table in open_tables(path, [])])
    try:
        text = sys.stdin.read() if source == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LifelongError(f"cannot read {source}: {first_line(error)}") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or (number == 1 and word == "id"):
            continue
        if not (word.isascii() and word.isdecimal() and len(word) < 20 and int(word) < 2**63):
            raise LifelongError(f"line {number} of {source} is {word[:40]!r}: give one id a line")
        found.append(int(word))
    if not found:
        raise LifelongError(f"{source} holds no ids: give one a line")
    return np.array(found, np.int64)


def _target(learner: Learner, target: str) -> Any:
    """The column of the class; or, of numbers, those that the model has learned."""
    return target if learner.objective.labels else learner.classes


def _encoder(extra: dict[str, Any]) -> Encoder | None:
    saved = extra.get("encoder")
    return None if saved is None else Encoder.from_json(saved)


def _kind(data: str, extra: dict[str, Any]) -> str:
    """The kind of data. A model of tables takes tables, and no other does."""
    kind, tables = sets.kind(data), extra.get("encoder") is not None
    if (kind == "tables") != tables:
        known = "tables" if tables else "arrays or images"
        raise LifelongError(f"{data} is of another kind: this model has learned {known}; give it those")
    return kind


def _size(learner: Learner) -> tuple[int, ...]:
    """Height, width and channels of the images that the model takes."""
    shape = tuple(() if learner.inputs is None else learner.inputs.shape[1:])
    if len(shape) not in (2, 3):
        raise LifelongError(f"this model takes inputs of shape {list(shape)}, not images")
    return shape if len(shape) == 3 else (*shape, 1)


def _dropped(extra: dict[str, Any], encoder: Encoder | None) -> list[str]:
    """The column that told the tasks, where it is not an input."""
    column = extra["result"]["stream"].get("column") if "result" in extra else None
    inputs = [] if encoder is None else [c.name for c in encoder.columns]
    return [column] if column and column not in inputs else []
