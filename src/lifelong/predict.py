"""Files for a saved model: inputs to predict from, and data that fits what it has learned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from . import data as sets
from .data.encoder import Encoder
from .data.formats import FORMATS, Reading, form
from .data.images import unlabelled
from .data.own import first_line, label_names, numbers, read_npz
from .data.tables import integers_of, open_tables, unlabelled_rows
from .errors import LifelongError
from .evaluation import answerable
from .learner import Learner
from .samples import Dataset
from .store import is_linear, load
from .versions import find


@dataclass(frozen=True)
class Asked:
    """What is said of the files; None: as the model remembers it of those that it learned."""

    target: str | None = None
    text: str | None = None
    sep: str | None = None
    encoding: str | None = None
    drop: tuple[str, ...] = ()
    """Columns that are not read, beside those of the run."""
    id: str | None = None
    """A column to pass through."""

    def after(self, how: dict[str, Any]) -> Asked:
        """With what the model remembers."""
        target = how.get("target") if isinstance(how.get("target"), str) else None
        return Asked(
            self.target or target or "label",
            self.text or how.get("text") or "text",
            self.sep or how.get("sep"),
            self.encoding or how.get("encoding") or "utf-8",
            (*how.get("drop", ()), *self.drop),
            self.id,
        )

    def reading(self, columns: Sequence[str] = (), also: Sequence[str] = ()) -> Reading:
        """How the files are read; ``also`` are more columns that are not."""
        drop = tuple(name for name in (*self.drop, *also) if name not in (self.target, self.id))
        return Reading(self.sep, self.encoding or "utf-8", tuple(columns), drop, needs=False)

    def refuse(self, data: str) -> None:
        """Refuse what means something to tables alone."""
        for option in ("sep", "encoding", "drop", "id"):
            if getattr(self, option):
                raise LifelongError(f"--{option} is for tables: {data} is none; leave it out")


@dataclass(frozen=True)
class Predicted:
    """Answers to n rows."""

    predictions: list[Any]
    """Classes; or, as the objective has it, lists of labels or numbers."""
    labels: Sequence[str | None] | np.ndarray | None
    """What the data says, None where it says nothing."""
    ids: list[Any] | None = None
    """The column that was to be passed through."""
    unseen: dict[str, int] = field(default_factory=dict)
    """By column, how many rows hold a category that the model does not know."""
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    """``[n, classes]``."""

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return 0 if self.labels is None else sum(label is not None for label in self.labels)

    @property
    def accuracy(self) -> float | None:
        """The share of the labelled rows that were answered right; None without any."""
        if self.labels is None or not self.labelled:
            return None
        pairs = zip(self.predictions, self.labels, strict=True)
        return float(np.mean([p == y for p, y in pairs if y is not None]))


def predict_rows(
    model: str | Path,
    data: str,
    task: int | None = None,
    asked: Asked | None = None,
    proba: bool = False,
) -> Predicted:
    """The predicted class of every row, and with ``proba`` the probability of each.

    Of a data set that has a name, its test set; of a folder of images, those in it or in its folders.
    Raises :class:`LifelongError` where the data does not fit the model, or a model has no probabilities.
    """
    path, asked = find(model), asked or Asked()
    if is_linear(path):
        if task is not None:
            raise LifelongError("a linear learner is told no task id: leave --task out")
        return _linear(path, data, asked, proba)
    learner, extra = _network(path)
    x, labels, ids, unseen = _inputs(learner, extra, data, asked)
    classes, shares = _probabilities(learner, x, task) if proba else ((), None)
    known = labels if learner.objective.labels else None
    return Predicted(learner.predict(x, task).tolist(), known, ids, unseen, classes, shares)


def answers(
    models: Sequence[str | Path], data: str, asked: Asked | None = None
) -> list[Sequence[Any] | np.ndarray | None]:
    """The predictions of each model for the same rows, and the labels where there are any."""
    found = [predict_rows(model, data, None, asked) for model in models]
    return [*(each.predictions for each in found), found[0].labels if found[0].labelled else None]


def _probabilities(
    learner: Learner, x: np.ndarray, task: int | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """(classes, their probabilities ``[n, classes]``): softmax; of multi-label targets, sigmoid.

    A class that others were merged into has the sum of all.
    """
    if not learner.objective.labels and learner.objective.name != "multi-label":
        raise LifelongError(f"{learner.objective.name} answers with numbers: leave --proba out")
    owner = learner.method.owner("readout")
    if owner is not None and owner.name == "icarl":
        raise LifelongError(
            "icarl answers by the nearest mean, which gives no probabilities: leave --proba"
        )
    scores = learner.decision(x, task).astype(float)
    columns = learner.answers(answerable(learner) if task is None else learner.heads[task])
    scores = scores[:, columns]
    shares = softmax(scores, axis=1) if learner.objective.labels else expit(scores)
    found = [learner.classes[c] for c in columns]
    names = tuple(dict.fromkeys(found))
    if len(names) < len(found):
        shares = np.stack([shares[:, [f == n for f in found]].sum(1) for n in names], 1)
    return names, shares


def fitting(model: Path, data: str, test: str | None = None, asked: Asked | None = None) -> Dataset:
    """The data set, encoded as the model's was."""
    asked = asked or Asked()
    if is_linear(model):
        from .linear.runner import read_model

        linear, kept = read_model(model)
        asked, scaling = asked.after(kept.how), kept.encoder
        if linear.takes_texts:
            if data in sets.TEXTS:
                return sets.published_texts(data)
            lines: dict[str, Any] = {"sep": asked.sep, "encoding": asked.encoding, "drop": asked.drop}
            return sets.texts(data, asked.text or "text", asked.target or "label", test=test, **lines)
        if scaling is None:
            dataset = sets.load(_no_table(data))
            _fits(linear, dataset.train.x)
            return dataset
        return _table(data, asked.target, test, asked, scaling, kept.how, kept.result)
    learner, extra = _network(model)
    kind, encoder, how = _kind(data, extra), _encoder(extra), extra.get("how") or {}
    if kind == "tables":
        assert encoder is not None
        asked = asked.after(how)
        target = _target(learner, asked.target)
        return _table(data, target, test, asked, encoder, how, extra.get("result"))
    asked.refuse(data)
    if kind == "images":
        return sets.images(data, test, _size(learner))
    return sets.load(data, target=asked.target or "label", test=test)


def _table(
    data: str, target: Any, test: str | None, asked: Asked, encoder: Encoder, how: Any, result: Any
) -> Dataset:
    """A table for a model of tables."""
    read = _reading(asked, how, result, encoder)
    return sets.table(
        data, target, test=test, encoder=encoder, sep=read.sep, encoding=read.encoding,
        columns=read.columns, drop=read.drop,
    )  # fmt: skip


def _network(path: Path) -> tuple[Learner, dict[str, Any]]:
    """The learner, and what its file holds beside it."""
    learner = load(path)
    assert learner.kept is not None
    return learner, learner.kept.extra


def _linear(path: Path, data: str, asked: Asked, proba: bool) -> Predicted:
    """Of a linear learner."""
    from .linear.runner import read_model

    learner, kept = read_model(path)
    labels: Any
    encoder, ids, unseen = kept.encoder, None, dict[str, int]()
    known = asked.after(kept.how)
    if encoder is not None:
        read = _reading(known, kept.how, kept.result, encoder)
        rows, ids = unlabelled_rows(data, encoder, known.target or "label", read, known.id)
        x, labels, unseen = rows.encode(encoder, rows.id), rows.labels, rows.unseen(encoder)
    elif data in sets.TEXTS:
        asked.refuse(data)
        dataset = sets.published_texts(data)
        x, labels = dataset.test.x, [dataset.classes[y] for y in dataset.test.y]
    elif learner.takes_texts:
        text, target = known.text or "text", known.target or "label"
        x, labels, ids = sets.unlabelled_texts(data, text, target, known.reading(), known.id)
    else:
        asked.refuse(data)
        x, labels = _arrays(Path(_no_table(data)).expanduser())
        _fits(learner, x)
    classes: tuple[str, ...] = ()
    shares = None
    if proba:
        if not hasattr(learner, "predict_proba"):
            name = kept.result.get("method") or type(learner).__name__
            raise LifelongError(
                f"{name} knows scores, not probabilities: leave --proba, or learn with {PROBABLE}"
            )
        classes = tuple(str(name) for name in learner.classes_.tolist())
        shares = learner.predict_proba(x)
    return Predicted(learner.predict(x).tolist(), labels, ids, unseen, classes, shares)


PROBABLE = "nb, slda or a network, as er"
"""What has probabilities."""


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
    learner: Learner, extra: dict[str, Any], data: str, asked: Asked
) -> tuple[np.ndarray, Sequence[str | None] | np.ndarray | None, list[Any] | None, dict[str, int]]:
    """What the model is to answer, the labels where there are any, the ids, what was not seen."""
    kind, encoder, path = _kind(data, extra), _encoder(extra), Path(data).expanduser()
    if encoder is not None:
        how = extra.get("how") or {}
        asked = asked.after(how)
        read = _reading(asked, how, extra.get("result"), encoder)
        rows, ids = unlabelled_rows(data, encoder, _target(learner, asked.target), read, asked.id)
        return rows.encode(encoder, rows.id), rows.labels, ids, rows.unseen(encoder)
    asked.refuse(data)
    if kind == "images":
        return *unlabelled(path, _size(learner)), None, {}
    if kind == "arrays":
        return *_arrays(path), None, {}
    dataset = sets.load(data)
    return dataset.test.x, [dataset.classes[y] for y in dataset.test.y], None, {}


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
    if form(path)[1] in FORMATS and sets.has_column(path, "id"):
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


def _target(learner: Learner, target: str | None) -> Any:
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


def _reading(
    asked: Asked, how: dict[str, Any], result: dict[str, Any] | None, encoder: Encoder
) -> Reading:
    """How tables are read; without the column that told the tasks, where it is not an input."""
    column = how.get("by") or (result or {}).get("stream", {}).get("column")
    tasks = [column] if column and column not in [c.name for c in encoder.columns] else []
    return asked.reading(how.get("columns", ()), tasks)
