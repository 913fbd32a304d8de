"""What the incremental estimators share: labels that may grow, checked inputs, files without pickle."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted, column_or_1d, validate_data

from ..errors import LifelongError
from ..files import write_arrays
from . import finite, packed
from .ids import named, wanted
from .packed import FORMAT, ensure, pack


class Incremental(ClassifierMixin, BaseEstimator):
    """A classifier that learns a batch at a time and takes classes that it has never seen.

    A subclass says how it starts (:meth:`_start`), makes room for more classes (:meth:`_widen`), learns
    a batch (:meth:`_update`) and scores one (:meth:`_scores`). Everything it knows lies in attributes
    that are arrays, sparse matrices, plain JSON values, or estimators of this kind: that is what makes
    it savable, copyable and mergeable. Its constructor only stores its arguments.
    """

    classes_: np.ndarray
    n_features_in_: int
    next_id_: int
    by_row = False
    """Whether it goes row by row, so that :meth:`_update` knows what was predicted of each."""
    solves = False
    """Whether it solves anew for answers once it has learned, so that many at once are cheaper."""
    sparse = True
    """Whether inputs may be sparse; they come as CSR then."""
    dtypes: tuple[type, ...] = (np.float64, np.float32)
    """What numbers it takes as they are; others become the first."""
    takes_texts = False
    """Whether inputs are strings, not rows of numbers."""
    keeps_rows = False
    """Whether it holds rows, by their ids: they can be forgotten then (:meth:`forget`)."""
    former: tuple[str, ...] = ()
    """Attributes of version 0.1.0, which ``_complete`` turns into those of today."""
    roomy: tuple[str, ...] = ()
    """What it holds in arrays with room to grow, where anything may stand behind what is held."""

    # ---- what a subclass defines
    def _start(self) -> None:
        """Allocate for ``n_features_in_`` features and no class; check the hyper-parameters."""

    def _widen(self, classes: int) -> None:
        """Make room for so many classes; those known keep what they have learned."""

    def _update(self, X: Any, codes: np.ndarray, known: int) -> np.ndarray | None:
        """Learn rows ``X [n, features]`` whose labels are ``classes_[codes]``.

        ``known`` of the classes were there before; the others are ordered by their first row. A learner
        that goes row by row returns the codes that it predicted of each row before it learned it.
        """
        raise NotImplementedError

    def _rehearse(self, X: Any, codes: np.ndarray, known: int) -> None:
        """Learn rows again that were learned before."""
        self._update(X, codes, known)

    def _update_rows(
        self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None
    ) -> np.ndarray | None:
        """As :meth:`_update`, with the rows' ids: for a learner that ``keeps_rows``."""
        return self._update(X, codes, known)

    def _rehearse_rows(self, X: Any, codes: np.ndarray, known: int, ids: np.ndarray | None) -> None:
        """As :meth:`_rehearse`, with the rows' ids: for a learner that ``keeps_rows``."""
        self._rehearse(X, codes, known)

    def _held(self) -> np.ndarray:
        """The ids of the rows held, in no particular order."""
        return np.empty(0, np.int64)

    def _complete(self) -> None:
        """Add what a file of version 0.1.0 lacks of a learner that ``keeps_rows``."""

    def _drop_rows(self, ids: np.ndarray) -> None:
        """Forget those rows, some of which are held."""

    def _scores(self, X: Any) -> np.ndarray:
        """``[n, classes]``, the largest wins."""
        raise NotImplementedError

    def _merge(
        self, others: list[tuple[Self, np.ndarray]], base: tuple[Self, np.ndarray] | None
    ) -> None:
        """Take in what others know, for :func:`lifelong.linear.merge`. ``classes_`` are united already.

        Each of ``others``, and ``base``, comes with the places of its classes in ``classes_``.
        """
        raise LifelongError(f"{type(self).__name__} cannot be merged: train one on all data")

    # ---- scikit-learn's contract
    def fit(self, X: Any, y: Any) -> Self:
        """Learn from nothing: ``X [n, features]``, ``y [n]``. What was learned before is forgotten."""
        before = dict(vars(self))
        self._reset()
        _bounds.pop(self, None)
        try:
            self._learn(X, y, column_or_1d(y, warn=True))
        except Exception:
            self._become(before)
            raise
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, ids: Any = None) -> Self:
        """Go on learning: ``X [n, features]``, ``y [n]``, whose labels may be new.

        Args:
            classes: labels that will come, if they are known. Not needed.
            ids: ``int64 [n]``, the rows' names for :meth:`forget`, each unique; None: counted on from
                the largest so far, from 0. A learner that holds no rows needs none.

        Raises:
            LifelongError: where rows and labels do not fit each other or what was learned before, or
                an id is no whole number from 0, comes twice, or is that of a row held already.
        """
        self._learn(X, y, classes, ids)
        return self

    def forget(self, ids: Any) -> int:
        """Forget the rows with these ids, of those that are held; returns how many were.

        An id that is not held is no error. A learner that holds no rows has none to forget: what it
        learned from them stays, here and in what a memory rehearsed. Classes stay known.

        Raises:
            LifelongError: where an id is no whole number, or the ids of some rows are not known: SVMs of
                version 0.1.0 that drop rows kept none.
        """
        gone = wanted(ids)
        if (kept := packed.KEPT.get(self)) is not None:
            kept.forget(gone)
        if not hasattr(self, "classes_"):
            return 0
        held = self._held()
        if held.min(initial=0) < 0:
            raise LifelongError(
                "it holds rows from a file of version 0.1.0, whose ids are not known: fit it anew"
            )
        gone = np.intersect1d(gone, held)
        if len(gone):
            self._drop_rows(gone)
        return len(gone)

    def progress(self, X: Any, y: Any, ids: Any = None) -> np.ndarray:
        """Learn as :meth:`partial_fit` does, and return what was predicted of each row before.

        That is progressive validation (Blum, Kalai & Langford, 1999): every row is a test first. A
        learner that does not go row by row predicts all of them, then learns them.
        """
        known = len(getattr(self, "classes_", ()))
        ahead = self.predict(X) if known and not self.by_row else None
        codes = self._learn(X, y, None, ids)
        if known:
            return self.classes_[codes] if ahead is None else ahead
        unknown = np.full(len(y), None, object)
        if codes is not None:
            unknown[1:] = self.classes_[codes[1:]]  # of the very first row there was no answer
        return unknown

    def rehearse(self, X: Any, y: Any, ids: Any = None) -> Self:
        """Learn rows again that were learned before: one more pass. Texts are not counted anew.

        By their ``ids [n]`` an SVM knows the rows that it holds; without them, by their numbers.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        labels = column_or_1d(y, warn=True)
        if len(labels) != _num_samples(X):
            raise LifelongError(
                f"X has {_num_samples(X)} rows and y {len(labels)} labels: give one a row"
            )
        if not np.isin(labels, self.classes_).all():
            raise LifelongError("rehearse is for rows learned before: there are new labels among them")
        if ids is not None:
            ids = named(ids, len(labels), np.empty(0, np.int64), 0)
        with self._safely(X):
            self._rehearse_rows(X, self._encode(labels), len(self.classes_), ids)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores ``[n, classes]`` in the order of ``classes_``; of two classes ``[n]``, the second's."""
        scores = self.scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def scores(self, X: Any) -> np.ndarray:
        """``[n, classes]``, however many classes there are; the largest wins."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self._scores(X)
        fine = scores < np.inf  # of classes never seen it is -inf
        if not fine.all():
            row = int((~fine.all(1)).argmax())
            raise LifelongError(f"row {row} of X has scores beyond all numbers: scale it, or drop it")
        return scores

    def predict(self, X: Any) -> np.ndarray:
        """The labels ``[n]`` of rows ``X [n, features]``."""
        best = self.scores(X).argmax(1)
        return self.classes_[best]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.sparse
        return tags

    def checked(self) -> Self:
        """Itself, where its hyper-parameters make sense; :meth:`fit` finds out too, but later."""
        self._fresh()
        return self

    def _fresh(self) -> Self:
        """One made alike that starts to learn, of one feature."""
        made = clone(self)
        made.n_features_in_ = 1
        made._start()
        return made

    # ---- learning
    def _reset(self) -> None:
        """Drop all that was learned: what ends with an underscore."""
        for name in [n for n in vars(self) if n.endswith("_")]:
            delattr(self, name)

    def _learn(self, X: Any, y: Any, classes: Any, ids: Any = None) -> np.ndarray | None:
        first = not hasattr(self, "classes_")
        X = self._checked(X, reset=first)
        y = column_or_1d(y, warn=True)
        if len(y) != _num_samples(X):
            raise LifelongError(f"X has {_num_samples(X)} rows and y {len(y)} labels: give one a row")
        if y.dtype == object:
            kinds = set(map(type, y.tolist()))
            if type(None) in kinds or (str in kinds and len(kinds) > 1):
                raise LifelongError(
                    "y holds None, or strings beside other labels: give labels of one kind"
                )
        check_classification_targets(y)
        ids = self._named(ids, len(y))
        with self._safely(X):
            if first:
                self._start()
                self.classes_ = np.empty(0, y.dtype)
            if classes is not None:
                self._encode(np.unique(np.asarray(classes)))
            known = len(self.classes_)
            found = self._update_rows(X, self._encode(y), known, ids)
        if (kept := packed.KEPT.get(self)) is not None:
            kept.result = {}  # it would tell of another model
        return found

    def _named(self, ids: Any, rows: int) -> np.ndarray | None:
        """The ids of rows to come, counted on where none are given; None where no rows are held."""
        if not self.keeps_rows:
            return None if ids is None else named(ids, rows, self._held(), 0)
        started = hasattr(self, "classes_")
        held = self._held() if started else np.empty(0, np.int64)
        return named(ids, rows, held, self.next_id_ if started else 0)

    def _count(self, ids: np.ndarray) -> None:
        """Let ids that are counted on go on behind these."""
        self.next_id_ = max(self.next_id_, int(ids.max()) + 1)

    def _checked(self, X: Any, reset: bool) -> Any:
        finite.refuse_broken(X)
        kinds = {"accept_sparse": "csr"} if self.sparse else {}
        try:
            X = validate_data(self, X, reset=reset, dtype=self.dtypes, **kinds)
        except OverflowError:
            raise LifelongError("X has a number beyond float64: scale it, or drop its row") from None
        self._refuse(X)
        return X

    def _refuse(self, X: Any) -> None:
        """Raise :class:`LifelongError` where a row of ``X [n, features]`` cannot be computed with."""
        finite.refuse_large(X, float(np.finfo(self._numbers).max), self._numbers)

    # ---- numbers stay finite
    @property
    def _numbers(self) -> str:
        """The dtype of what is learned."""
        return "float64"

    def _bound(self) -> float:
        """No number that was learned is larger; after an ordinary batch it need not be up to date."""
        bound = _bounds.get(self)
        if bound is None:
            self._measure()
            return _bounds[self]
        return bound

    def _measure(self) -> None:
        """Find :meth:`_bound` anew."""
        _bounds[self] = finite.largest(self)

    def _widen_bound(self, by: float) -> None:
        """What was learned may have become larger by so much."""
        _bounds[self] = self._bound() + by

    @contextmanager
    def _safely(self, X: Any) -> Iterator[None]:
        """Learn rows within, or leave all as it was where that fails or ends in no finite numbers.

        Before ordinary rows nothing is copied: they cannot end in such numbers.
        """
        first = not hasattr(self, "classes_")
        calm = finite.ordinary(X) and self._bound() <= finite.MOST[self._numbers]
        before = dict(vars(self))
        if not (first or calm):
            before |= copy.deepcopy({k: v for k, v in before.items() if k.endswith("_")})
        try:
            with nullcontext() if calm else np.errstate(over="ignore", invalid="ignore"):
                yield
            if not calm or not self._bound() <= finite.MOST[self._numbers]:
                self._measure()
                if not self._bound() < np.inf:
                    raise LifelongError(
                        "these rows would make what is learned infinite: scale them, or drop them"
                    )
        except Exception:
            if first or not calm:
                self._become(before)
            raise

    def _become(self, held: dict[str, Any]) -> None:
        self.__dict__ = held
        _bounds.pop(self, None)

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """The places of the labels in ``classes_``, to which new ones are added as they come up."""
        coming, first, inverse = np.unique(y, return_index=True, return_inverse=True)
        known = {label: i for i, label in enumerate(self.classes_.tolist())}
        new = [label for label in coming[np.argsort(first)].tolist() if label not in known]
        if new:
            first_known = next(iter(known), new[0])
            if any(isinstance(new[0], kind) != isinstance(first_known, kind) for kind in (str, bool)):
                raise LifelongError(f"label {new[0]!r} is of another kind than {first_known!r}")
            known |= {label: len(known) + i for i, label in enumerate(new)}
            self.classes_ = np.array(list(known))
            self._widen(len(known))
        return np.array([known[label] for label in coming.tolist()], np.int64)[inverse]

    # ---- what it holds
    @property
    def parameters(self) -> int:
        """How many numbers it has learned."""
        held = [v for name, v in vars(self).items() if name.endswith("_") and name != "classes_"]
        sizes = [v.size for v in held if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        return sum(sizes) + sum(v.parameters for v in held if isinstance(v, Incremental))

    @property
    def memory_bytes(self) -> int:
        """Bytes of stored examples."""
        return 0

    # ---- files
    def save(self, path: str | Path) -> None:
        """Write it to one safetensors file, from which :func:`load` makes it again."""
        if (kept := packed.KEPT.get(self)) is not None:
            kept.save(self, Path(path))
            return
        arrays: dict[str, np.ndarray] = {}
        manifest = pack(self, "", arrays)
        write_arrays(Path(path), arrays, {"format": FORMAT, "linear": manifest})

    def _verify(self) -> None:
        """Raise ValueError where what a file held is not what learning could have left.

        A subclass adds how its attributes must fit each other, so that nothing is used unchecked.
        """
        packed.options(self)
        columns = vars(self).get(packed.COLUMNS, {})
        ensure(isinstance(columns, dict), "the columns of features are no dictionary")
        if not hasattr(self, "classes_"):
            held = packed.learned(self)
            ensure(not held, f"{type(self).__name__} holds {sorted(held)}, but no classes")
            return
        packed.labels(self.classes_)
        self._verify_kinds()
        width: Any = getattr(self, "n_features_in_", 0 if self.takes_texts else None)
        ensure(packed.whole(width), f"n_features_in_ is {width!r}")
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            ensure(isinstance(names, np.ndarray) and names.dtype == object, "features have no names")
            ensure(names.shape == (width,), f"{width} features have {names.shape} names")
        packed.places(np.array([*columns.values()], np.int64), width, "river_columns", unique=True)

    def _verify_kinds(self) -> None:
        """Raise ValueError where its attributes are not those of one that starts to learn."""
        packed.attributes(self, self._fresh())

    def copy(self) -> Self:
        """Another with the same knowledge, that learns on its own."""
        return copy.deepcopy(self)


_bounds: WeakKeyDictionary[Incremental, float] = WeakKeyDictionary()
"""The largest magnitude of what each has learned: outside the learner, so never copied or saved."""


def as_csr(X: Any, dtype: str) -> sp.csr_array:
    """CSR, no feature twice in a row (their values are added), zeros left out."""
    rows = sp.csr_array(X, dtype=dtype)
    if not getattr(X, "distinct", rows.has_canonical_format):
        rows = rows.copy()
        rows.sum_duplicates()
    return rows
