"""What the incremental estimators share: labels that may grow, checked inputs, files without pickle."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ..errors import LifelongError, unknown
from ..files import read_arrays, write_arrays

FORMAT = 1


class Incremental(ClassifierMixin, BaseEstimator):
    """A classifier that learns a batch at a time and takes classes that it has never seen.

    A subclass says how it starts (:meth:`_start`), makes room for more classes (:meth:`_widen`), learns
    a batch (:meth:`_update`) and scores one (:meth:`_scores`). Everything it knows lies in attributes
    that are arrays, sparse matrices, plain JSON values, or estimators of this kind: that is what makes
    it savable, copyable and mergeable. Its constructor only stores its arguments.
    """

    sparse = True
    """Whether inputs may be sparse; they come as CSR then."""

    # ---- what a subclass defines
    def _start(self) -> None:
        """Allocate for ``n_features_in_`` features and no class; check the hyper-parameters."""

    def _widen(self, classes: int) -> None:
        """Make room for so many classes; those known keep what they have learned."""

    def _update(self, X: Any, codes: np.ndarray) -> None:
        """Learn rows ``X [n, features]`` whose labels are ``classes_[codes]``."""
        raise NotImplementedError

    def _scores(self, X: Any) -> np.ndarray:
        """``[n, classes]``, the largest wins."""
        raise NotImplementedError

    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Take in what others know, for :func:`lifelong.linear.merge`. ``classes_`` are united already.

        Each of ``others``, and ``base``, comes with the places ``[its classes]`` of its classes in ``classes_``.
        """
        raise LifelongError(f"{type(self).__name__} cannot be merged: train one on all data")

    # ---- scikit-learn's contract
    def fit(self, X: Any, y: Any) -> Self:
        """Learn from nothing: ``X [n, features]``, ``y [n]``. What was learned before is forgotten."""
        self._forget()
        return self._learn(X, y, np.unique(column_or_1d(y, warn=True)))

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go on learning: ``X [n, features]``, ``y [n]``, whose labels may be new.

        Args:
            classes: labels that will come, if they are known. Not needed.

        Raises:
            LifelongError: where rows and labels do not fit each other or what was learned before.
        """
        return self._learn(X, y, classes)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores ``[n, classes]`` in the order of ``classes_``; ``[n]`` of the second where there are two."""
        check_is_fitted(self)
        scores = self._scores(self._checked(X, reset=False))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The labels ``[n]`` of rows ``X [n, features]``."""
        check_is_fitted(self)
        return self.classes_[self._scores(self._checked(X, reset=False)).argmax(1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.sparse
        return tags

    # ---- learning
    def _forget(self) -> None:
        """Drop what was learned: the attributes whose names end in an underscore."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _learn(self, X: Any, y: Any, classes: Any) -> Self:
        first = not hasattr(self, "classes_")
        X = self._checked(X, reset=first)
        y = column_or_1d(y, warn=True)
        if len(y) != X.shape[0]:
            raise LifelongError(f"X has {X.shape[0]} rows and y {len(y)} labels: give one a row")
        check_classification_targets(y)
        if first:
            self._start()
            self.classes_ = np.empty(0, y.dtype)
        self._update(X, self._encode(y, classes))
        return self

    def _checked(self, X: Any, reset: bool) -> Any:
        kinds = {"accept_sparse": "csr"} if self.sparse else {}
        return validate_data(self, X, reset=reset, dtype=(np.float64, np.float32), **kinds)

    def _encode(self, y: np.ndarray, classes: Any) -> np.ndarray:
        """The places of the labels in ``classes_``, to which new ones are added as they come up."""
        coming, first, inverse = np.unique(y, return_index=True, return_inverse=True)
        order = np.argsort(first)
        labels = (
            coming[order] if classes is None else np.concatenate([np.unique(classes), coming[order]])
        )
        known = {label: i for i, label in enumerate(self.classes_.tolist())}
        new = [label for label in dict.fromkeys(labels.tolist()) if label not in known]
        if new:
            if known and isinstance(new[0], str) != isinstance(next(iter(known)), str):
                raise LifelongError(f"label {new[0]!r} is of another kind than {self.classes_[0]!r}")
            known |= {label: len(known) + i for i, label in enumerate(new)}
            self.classes_ = np.array(list(known))
            self._widen(len(known))
        return np.array([known[label] for label in coming.tolist()], np.int64)[inverse]

    # ---- files
    def save(self, path: str | Path) -> None:
        """Write it to one safetensors file, from which :func:`load` makes it again."""
        arrays: dict[str, np.ndarray] = {}
        manifest = _pack(self, "", arrays)
        write_arrays(Path(path), arrays, {"format": FORMAT, "linear": manifest})

    def copy(self) -> Self:
        """Another with the same knowledge, that learns on its own."""
        return copy.deepcopy(self)


def load(path: str | Path) -> Any:
    """The estimator that :meth:`Incremental.save` wrote. Nothing is unpickled.

    Raises:
        LifelongError: where the file is missing, broken, or holds no estimator.
    """
    arrays, whole = read_arrays(Path(path))
    if "linear" not in whole:
        raise LifelongError(f"{path} holds no linear learner: read it with ll.load")
    if whole["format"] != FORMAT:
        raise LifelongError(f"{path} has format {whole['format']}, this version reads {FORMAT}")
    return _unpack(whole["linear"], "", arrays)


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON; its arrays go to ``arrays`` under ``name``."""
    if isinstance(value, BaseEstimator):
        held = {key: _pack(v, f"{name}/{key}", arrays) for key, v in vars(value).items()}
        return {"estimator": type(value).__name__, "holds": held}
    if isinstance(value, sp.csr_array | sp.csr_matrix):
        arrays |= {f"{name}/{key}": getattr(value, key) for key in ("data", "indices", "indptr")}
        return {"csr": list(value.shape)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "USO":
        return {"names": value.tolist()}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {"dict": [[k, _pack(v, f"{name}/{i}", arrays)] for i, (k, v) in enumerate(value.items())]}
    if isinstance(value, list | tuple):
        packed = [_pack(v, f"{name}/{i}", arrays) for i, v in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise LifelongError(f"{name.lstrip('/')} is {value!r}, which a file without pickle cannot hold")


def _unpack(packed: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(packed, dict):
        return packed
    kind, content = next(iter(packed.items()))
    if kind == "estimator":
        made = estimator(content)
        vars(made).update({k: _unpack(v, f"{name}/{k}", arrays) for k, v in packed["holds"].items()})
        return made
    if kind == "csr":
        return sp.csr_array(tuple(arrays[f"{name}/{k}"] for k in ("data", "indices", "indptr")), content)
    if kind == "names":
        return np.array(content)
    if kind == "array":
        return arrays[name]
    if kind == "dict":
        return {k: _unpack(v, f"{name}/{i}", arrays) for i, (k, v) in enumerate(content)}
    found: Sequence[Any] = [_unpack(v, f"{name}/{i}", arrays) for i, v in enumerate(content)]
    return found if kind == "list" else tuple(found)


def estimator(name: str) -> Any:
    """A fresh estimator of ``lifelong.linear`` by its class name."""
    from .. import linear

    if name not in linear.__all__ or not isinstance(kind := getattr(linear, name), type):
        raise unknown("estimator", name, linear.__all__)
    return kind()
