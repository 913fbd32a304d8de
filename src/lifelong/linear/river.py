"""An incremental estimator as a model of river: one example at a time, each a dictionary of features.

>>> from sklearn.linear_model import SGDRegressor
>>> model = to_river(SGDRegressor())
>>> model.learn_one({"rooms": 3, "town": "Turin"}, 210.0)
>>> isinstance(model.predict_one({"rooms": 2}), float)
True
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from functools import cache
from types import new_class
from typing import Any
from zlib import crc32

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from ..errors import LifelongError, at_least

WIDTHS = {True: 2**18, False: 64}
"""How many columns there are, where nobody says: for estimators that take sparse rows, and others."""


def to_river(estimator: Any, features: int | None = None) -> Any:
    """A copy of the estimator with river's ``learn_one``, ``predict_one`` and ``predict_proba_one``.

    With river installed it is one of river's own classifiers or regressors, for its pipelines and
    evaluation; without river it works by itself.

    Features may appear, and be absent (0), at any time. Each name is given the next free column, and
    once there is none left, shares one by its hash. Text is one-hot: ``{"town": "Turin"}`` is the
    feature ``town=Turin`` with the value 1. ``None`` is an absent feature. Which name has which column
    is the estimator's attribute ``river_columns``, which is saved and copied with it, so
    ``to_river(load(path))`` goes on where ``model.estimator.save(path)`` stopped.

    The first row alone is what a :class:`lifelong.LifelongClassifier` would standardise by: let it
    ``partial_fit`` a batch before, or give it ``scale=False`` behind river's ``StandardScaler``.

    Args:
        estimator: with ``partial_fit`` and ``predict``; one that takes new classes at any time. If it
            has learned already, its columns are its feature names, or 0, 1, 2 ...
        features: how many columns there are: 2^18 for estimators that take sparse rows, else 64.

    Raises:
        LifelongError: for an estimator without ``partial_fit``, or that has learned from other columns.
    """
    if not hasattr(estimator, "partial_fit"):
        raise LifelongError(f"{type(estimator).__name__} has no partial_fit: it cannot learn_one")
    at_least(1, features=features)
    learned = getattr(estimator, "n_features_in_", None)
    if None not in (features, learned) and features != learned:
        raise LifelongError(f"features={features}: this estimator has learned from {learned} columns")
    made = copy.deepcopy(estimator)
    if not hasattr(made, "river_columns"):
        names = vars(made).pop("feature_names_in_", range(learned or 0))
        made.river_columns = {name: i for i, name in enumerate(names)}
    return _kind("Regressor" if is_regressor(made) else "Classifier")(made, features)


class Adapter:
    """What both kinds share."""

    def __init__(self, estimator: Any, features: int | None = None) -> None:
        self.estimator = estimator
        self.features = features
        self._sparse = get_tags(estimator).input_tags.sparse
        self._width = getattr(estimator, "n_features_in_", None) or features or WIDTHS[self._sparse]

    def learn_one(self, x: Mapping[Hashable, Any], y: Any) -> None:
        """Learn one example."""
        self.estimator.partial_fit(self._row(x, learning=True), np.array([y]))

    def _row(self, x: Mapping[Hashable, Any], learning: bool = False) -> Any:
        """The features as ``[1, width]``."""
        if not isinstance(x, Mapping):
            raise LifelongError(
                f"an example is {str(x)[:40]!r}: give a dictionary of features (a text as its words: "
                "river's BagOfWords makes one)"
            )
        values: dict[int, float] = {}
        for name, value in x.items():
            if isinstance(value, str):
                name, value = f"{name}={value}", 1.0
            column = None if value is None else self._column(name, learning)
            if column is None:
                continue
            try:
                values[column] = values.get(column, 0.0) + float(value)
            except (TypeError, ValueError):
                raise LifelongError(f"feature {name!r} is {value!r}: give a number or text") from None
        if self._sparse:
            places = np.array(sorted(values), np.int32)  # estimators refuse 64 bits
            data = np.array([values[at] for at in places.tolist()], float)
            ends = np.array([0, len(places)], np.int32)
            return sp.csr_array((data, places, ends), (1, self._width))
        row = np.zeros((1, self._width))
        row[0, list(values)] = list(values.values())
        return row

    def _column(self, name: Hashable, learning: bool) -> int | None:
        """Where a feature lies; None for one that was never learned."""
        columns = self.estimator.river_columns
        full = len(columns) == self._width
        if learning and not full:
            columns.setdefault(name, len(columns))
        return columns.get(name, crc32(str(name).encode()) % self._width if full else None)

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Any:
        """Another that has learned nothing, or (``include_attributes``) the same; river asks for it."""
        if include_attributes:
            return copy.deepcopy(self)
        return to_river(
            **{"estimator": clone(self.estimator), "features": self.features, **(new_params or {})}
        )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return to_river, (self.estimator, self.features)


class RiverClassifier(Adapter):
    """A classifier of river."""

    _multiclass = True

    def predict_one(self, x: Mapping[Hashable, Any]) -> Any:
        """The label of an example; None before anything was learned."""
        try:
            return self.estimator.predict(self._row(x))[0].item()
        except NotFittedError:
            return None

    def predict_proba_one(self, x: Mapping[Hashable, Any]) -> dict[Any, float]:
        """Label -> probability; empty before anything was learned.

        Raises NotImplementedError where the estimator has no probabilities, as river's own do.
        """
        if not hasattr(self.estimator, "predict_proba"):
            raise NotImplementedError(f"{type(self.estimator).__name__} has no predict_proba")
        try:
            found = self.estimator.predict_proba(self._row(x))[0]
        except NotFittedError:
            return {}
        return dict(zip(self.estimator.classes_.tolist(), found.tolist(), strict=True))


class RiverRegressor(Adapter):
    """A regressor of river."""

    def predict_one(self, x: Mapping[Hashable, Any]) -> float:
        """The number; 0 before anything was learned."""
        try:
            return float(self.estimator.predict(self._row(x))[0])
        except NotFittedError:
            return 0.0


@cache
def _kind(name: str) -> Any:
    """The adapter's class: river's too, where river is installed."""
    own = {"Classifier": RiverClassifier, "Regressor": RiverRegressor}[name]
    try:
        from river import base
    except ImportError:
        return own
    return new_class(own.__name__, (own, getattr(base, name)))
