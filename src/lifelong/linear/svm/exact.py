"""One support vector machine that stays exact while examples come and go."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ...errors import LifelongError
from .. import packed
from ..packed import ensure

Gram = Callable[[np.ndarray, np.ndarray], np.ndarray]
EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)
BALANCE = 1e-13
"""Up to this share of sum alpha, y'alpha counts as 0."""
SINGULAR = 1e-12
"""Below this share of its terms a pivot counts as 0: the margin block would become singular."""


class ExactSVM(BaseEstimator):
    """The dual of a binary SVM, kept at its optimum (Cauwenberghs & Poggio, NIPS 13, 2000).

    min_alpha max_b  alpha'Q alpha / 2 - sum alpha + b y'alpha,  0 <= alpha <= C, Q_ij = y_i y_j K_ij.
    Optimal is where g = Q alpha + y b - 1 is 0 within the bounds, at least 0 at alpha = 0, at
    most 0 at C. A set S of examples within the bounds is held at g_S = 0 by the inverse R of

        M = [0, y_S'; y_S, Q_SS]

    R drifts where M is near to singular, as smooth kernels make it: what it answers is refined by M.
    An example that violates the conditions is brought to them by moving its alpha while S gives way
    (sec. 2.2), until its g is 0 and it joins S, or it meets a bound; a member of S that meets one leaves
    (R changes by bordering and its inverse, sec. 2.4). As in the active-set method (Scheinberg, JMLR 7,
    2006), g of the others is brought up to date only then, and the worst violator is next: every step
    lowers the objective, and an example whose column depends on those of S never joins, so that R exists
    whatever the kernel. Kernel rows are stored for support vectors only (Laskov et al., JMLR 7, 2006).

    It holds no examples, only their numbers: ``gram(i, j)`` gives ``K [i, j]`` of two arrays of numbers.

    Attributes:
        rows_: ``[n]`` the number of each example, in no particular order.
        y_, alpha_, g_, bound_: ``[n]``: labels of -1 and 1, weights, gradient, upper bounds.
        b_: the intercept: f(x) = sum_i alpha_i y_i K(x_i, x) + b.
        slack_: by how much more than rounding the conditions may be violated: 1, 10 or 100 times.
        margin_: ``[s]`` the places of the margin set; ``M_`` and ``R_ [:s + 1, :s + 1]`` are M and R.
        cached_: the places whose rows of K are stored, ``K_[slot_[i], :n]`` for place ``i``.
    """

    roomy = ("K_", "slot_", "cached_", "M_", "R_")
    """What follows from the rest and the kernel; in room to grow anything may stand."""

    def __init__(self) -> None:
        self.rows_ = np.empty(0, np.int64)
        self.y_, self.alpha_, self.g_, self.bound_ = np.empty((4, 0))
        self.b_, self.slack_ = 0.0, 1.0
        self.margin_ = np.empty(0, np.int64)
        self.M_, self.R_ = np.zeros((2, 8, 8))
        self.cached_ = np.empty(0, np.int64)
        self.slot_ = np.empty(0, np.int64)
        self.K_ = np.zeros((8, 8))

    # ---- what changes
    def add(self, gram: Gram, rows: np.ndarray, y: np.ndarray, C: float) -> None:
        """Learn the examples of those numbers ``[m]``, whose labels ``y [m]`` are -1 or 1."""
        old, new = len(self.rows_), len(rows)
        self.rows_ = np.append(self.rows_, rows)
        self.y_ = np.append(self.y_, y)
        self.alpha_ = np.append(self.alpha_, np.zeros(new))
        self.bound_ = np.append(self.bound_, np.full(new, float(C)))
        self.slot_ = np.append(self.slot_, np.full(new, -1))
        self._room(len(self.cached_), old + new)
        f = np.full(new, self.b_)
        if len(self.cached_):
            K = gram(self.rows_[self.cached_], rows)
            self.K_[: len(K), old : old + new] = K
            f += (self.y_ * self.alpha_)[self.cached_] @ K
        self.g_ = np.append(self.g_, y * f - 1)
        self._solve(gram)

    def remove(self, gram: Gram, row: int) -> None:
        """Unlearn the example of that number: what is left is what the others alone would give."""
        i = self._place(row)
        still = self.alpha_[i] == 0
        self._release(gram, i)
        self._delete(i)
        self._solve(gram, fresh=still)

    def without(self, gram: Gram, row: int) -> float:
        """f of the example of that number, had it never been learned. Nothing changes."""
        i = self._place(row)
        if self.alpha_[i] == 0 and self._inside.any():
            return float(self.y_[i] * (self.g_[i] + 1))
        held = copy.deepcopy(
            {k: v for k, v in vars(self).items() if k not in ("K_", "slot_", "cached_")}
        )
        self._release(gram, i)
        self._solve(gram, fresh=False)
        f = float(self.y_[i] * (self.g_[i] + 1))
        for name, value in held.items():
            setattr(self, name, value)
        self._fetch(gram)
        return f

    def state(self) -> dict[str, Any]:
        """What it knows, for :meth:`back`."""
        n = max(8, len(self.margin_) + 1)
        inverse = {"M_": self.M_[:n, :n].copy(), "R_": self.R_[:n, :n].copy()}
        return inverse | {k: copy.copy(v) for k, v in vars(self).items() if k not in self.roomy}

    def back(self, gram: Gram, state: dict[str, Any]) -> None:
        """Know what it knew at that :meth:`state`, no more."""
        self.__dict__.update(state)
        self.slot_ = np.full(len(self.rows_), -1)
        self._drop_rows()
        self._fetch(gram)

    def limit(self, gram: Gram, C: float) -> None:
        """Change C for all examples. Where it falls, alpha shrinks in proportion: it stays feasible."""
        share = min(1.0, C / self.bound_.max(initial=0.0)) if len(self.bound_) else 1.0
        self.alpha_ = np.minimum(self.alpha_ * share, C)
        self.bound_ = np.full(len(self.bound_), float(C))
        self._refresh()
        self._solve(gram)

    def rekernel(self, gram: Gram) -> None:
        """Go on from the same alpha under another kernel."""
        self._anew(gram)
        self._refresh()
        self._solve(gram)

    # ---- what it says
    @property
    def support(self) -> np.ndarray:
        """The places of the examples with alpha above 0."""
        return np.flatnonzero(self.alpha_)

    @property
    def residual(self) -> float:
        """The largest violation of the optimality conditions."""
        return float(max(self._violations().max(initial=0.0), abs(self.y_ @ self.alpha_)))

    @property
    def objective(self) -> tuple[float, float]:
        """The dual's value, sum alpha - alpha'Q alpha / 2, and the primal's, which is never below it."""
        quadratic = self.alpha_ @ (self.g_ + 1)  # y'alpha = 0 takes b out
        loss = self.bound_ @ np.maximum(0, -self.g_)
        return float(self.alpha_.sum() - quadratic / 2), float(quadratic / 2 + loss)

    # ---- the way to the optimum
    def _solve(self, gram: Gram, fresh: bool = True) -> None:
        """Bring every violator to the conditions in turn, then check all of g computed anew.

        ``fresh`` is whether g has just been: then it need not be where nothing violates.

        Where 100 steps gain no more than rounding, so little of a violation as is left is let pass.
        """
        best, idle, self.slack_ = -np.inf, 0, 1.0
        for _ in range(1000 + 100 * len(self.rows_)):
            fresh &= not self._settle()
            c = self._violator(gram)
            if c is not None:
                s = -np.sign(self.g_[c])
                self._move(gram, c, s, self.bound_[c] if s > 0 else 0.0, join=True)
                fresh, value = False, self.objective[0]
                best, idle = (value, 0) if value > best + 4 * EPS * abs(best) else (best, idle + 1)
                if idle == 100 and self.slack_ < 100:
                    idle, self.slack_ = 0, 10 * self.slack_
            elif fresh:
                return
            else:
                self._refresh()
                fresh = True
        raise LifelongError(
            f"the SVM did not converge: kernel values reach {self._largest:.1g}; scale the features, "
            "or lower C"
        )

    def _violations(self) -> np.ndarray:
        low, high = self.alpha_ < self.bound_, self.alpha_ > 0
        return np.maximum(np.where(low, -self.g_, 0), np.where(high, self.g_, 0))

    @property
    def _largest(self) -> float:
        """The largest K_ii of the examples that count."""
        counts = self.bound_[self.cached_] > 0
        return float(self.K_[np.flatnonzero(counts), self.cached_[counts]].max(initial=1.0))

    @property
    def _tolerance(self) -> float:
        """What rounding leaves of g: it is a sum of alpha_j K_ij."""
        return self.slack_ * max(1e-12, 8 * EPS * self.alpha_.sum() * self._largest)

    def _violator(self, gram: Gram) -> int | None:
        """The place furthest from its condition, if any.

        Where no alpha is within the bounds, b is free: the middle of its range, whatever came before.
        """
        if len(self.margin_):
            violations = self._violations()
            violations[self.margin_] = 0
            c = int(violations.argmax())
            if violations[c] > self._tolerance:
                return c
            if self._inside.any():
                return None
        if not self._inside.any():
            self.margin_ = self.margin_[:0]
            self.alpha_ = np.where(self.alpha_ > self.bound_ / 2, self.bound_, 0.0)
        v = (
            self.b_ - self.y_ * self.g_
        )  # condition: v_i <= b where y alpha may rise, >= where it may fall
        up, down = self._movable(1), self._movable(-1)
        if not len(up) or not len(down):
            ends = [v[up].max()] if len(up) else [v[down].min()] if len(down) else [0.0]
            self._shift(float(ends[0]))
            return None
        i, j = up[v[up].argmax()], down[v[down].argmin()]
        if v[i] - v[j] <= self._tolerance:
            self._shift(float(v[i] + v[j]) / 2)
            return None
        self._anchor(gram, int(j), float(v[j]))
        return int(i)

    @property
    def _inside(self) -> np.ndarray:
        """Which alpha are within the bounds by more than rounding."""
        apart = np.minimum(self.alpha_, self.bound_ - self.alpha_)
        felt = np.zeros(len(apart))
        felt[self.cached_] = self.K_[np.arange(len(self.cached_)), self.cached_]
        return (apart > BALANCE * self.alpha_.sum()) | (apart * felt > self._tolerance)

    def _movable(self, sign: int) -> np.ndarray:
        """The places whose y alpha may still move to that side."""
        return np.flatnonzero(
            np.where(self.y_ == sign, self.alpha_ < self.bound_, (self.alpha_ > 0) & (self.bound_ > 0))
        )

    def _shift(self, b: float) -> None:
        self.g_ += self.y_ * (b - self.b_)
        self.b_ = b

    def _anchor(self, gram: Gram, j: int, b: float) -> None:
        """S = {j}, where b makes g_j = 0."""
        self._row(gram, j)
        self._shift(b)
        self._begin(j)

    def _move(self, gram: Gram, c: int, s: float, target: float, join: bool) -> None:
        """Move alpha_c to the side ``s`` up to ``target`` while S gives way; g_S stays 0.

        It ends early where S runs empty, and, with ``join``, where g_c = 0: then c joins S.
        """
        self._row(gram, c)
        before, b = self.alpha_.copy(), self.b_
        row, g = self.y_[c] * self.y_ * self.K_[self.slot_[c], : len(self.y_)], self.g_[c]
        while len(S := self.margin_):
            h = np.append(self.y_[c], row[S])
            beta = self._answer(h)  # how b and alpha_S answer a change of alpha_c
            kappa = row[c] + h @ beta  # how g_c does
            d = s * beta[1:]
            reach = np.full(len(S), np.inf)
            np.divide(np.where(d > 0, self.bound_[S] - self.alpha_[S], self.alpha_[S]), np.abs(d),
                      out=reach, where=d != 0)  # fmt: skip
            k = int(reach.argmin())
            bound = abs(target - self.alpha_[c])
            zero = -s * g / kappa if join and _free(kappa, row[c], h, beta) else np.inf
            t = min(zero, bound, reach[k])
            self.alpha_[S] += t * d
            self.alpha_[c] += s * t
            self.b_ += s * t * beta[0]
            g += s * t * kappa
            if t == bound:
                self.alpha_[c] = target
                break
            if t == zero:
                self._border(c, h, row[c], beta, kappa)
                break
            self.alpha_[S[k]] = self.bound_[S[k]] if d[k] > 0 else 0.0
            self._contract(k)
        self._follow(self.alpha_ - before, self.b_ - b)

    def _settle(self) -> bool:
        """Newton steps on S to g_S = 0 and y'alpha = 0 within the bounds; whether they were needed."""
        needed, last = False, np.inf
        while len(S := self.margin_):
            tolerance = self._tolerance
            balance = max(min(tolerance, BALANCE * self.alpha_.sum()), TINY)
            worst = max(np.abs(self.g_[S]).max() / tolerance, abs(self.y_ @ self.alpha_) / balance)
            if worst <= 0.1:
                break
            needed |= worst > 1
            if not np.isfinite(worst):
                raise LifelongError("the SVM lost its numbers: scale the features, or lower C")
            if worst > last / 2:  # R has drifted
                if not self._rebuild():
                    break
                last = np.inf
                continue
            last = worst
            r = np.append(self.y_ @ self.alpha_, self.g_[S])
            step = self._answer(r)
            d = step[1:]
            reach = np.full(len(S), np.inf)
            np.divide(np.where(d > 0, self.bound_[S] - self.alpha_[S], self.alpha_[S]), np.abs(d),
                      out=reach, where=d != 0)  # fmt: skip
            k = int(reach.argmin())
            t = min(1.0, reach[k])
            delta = np.zeros(len(self.alpha_))
            delta[S] = t * d
            before = self.alpha_.copy()
            self.alpha_ += delta
            if t < 1:
                self.alpha_[S[k]] = self.bound_[S[k]] if d[k] > 0 else 0.0
                self._contract(k)
                last = np.inf
            self.b_ += t * step[0]
            self._follow(self.alpha_ - before, t * step[0])
        return needed

    def _release(self, gram: Gram, i: int) -> None:
        """Bring alpha_i to 0, and keep it there: its bound is 0. The rest is yet to be solved.

        Where its kernel values are above the others', their numbers have lost digits beside them: what
        is kept is computed anew. So has g beside a b that was free, and may have been set by it.
        """
        if len(at := np.flatnonzero(self.margin_ == i)):
            self._contract(int(at[0]))
        while self.alpha_[i] > 0:
            if not len(self.margin_):
                sign = int(self.y_[i])
                others = self._movable(sign)
                others = others[others != i]
                if not len(others):  # y'alpha = 0 but for rounding: so is alpha_i
                    delta = np.zeros(len(self.alpha_))
                    delta[i], self.alpha_[i] = -self.alpha_[i], 0
                    self._follow(delta, 0.0)
                    break
                v = self.b_ - self.y_[others] * self.g_[others]
                at = (sign * v).argmax()
                self._anchor(gram, int(others[at]), float(v[at]))
            self._move(gram, i, -1.0, 0.0, join=False)
        self.bound_[i] = 0
        above = self.slot_[i] >= 0 and self.K_[self.slot_[i], i] > 2 * self._largest
        if above:
            self._rebuild()
        if above or (not len(self.margin_) and abs(self.b_) > 1):
            self.b_ = 0.0
            self._refresh()

    # ---- g
    def _follow(self, alpha: np.ndarray, b: float) -> None:
        """g after alpha and b changed by so much."""
        self.g_ += self.y_ * (self._weighted(alpha) + b)

    def _refresh(self) -> None:
        """g from nothing."""
        self.g_ = self.y_ * (self._weighted(self.alpha_) + self.b_) - 1

    def _weighted(self, alpha: np.ndarray) -> np.ndarray:
        """sum_j alpha_j y_j K_ij ``[n]``, from the stored rows."""
        return (self.y_ * alpha)[self.cached_] @ self.K_[: len(self.cached_), : len(alpha)]

    # ---- R
    def _answer(self, h: np.ndarray) -> np.ndarray:
        """-M^-1 h ``[s + 1]``, refined until what is left of h is rounding."""
        n = len(h)
        M, R = self.M_[:n, :n], self.R_[:n, :n]
        largest, most = np.abs(h).max(), max(1.0, M.diagonal().max())  # no entry of M is above it
        beta, rest, last, anew = np.zeros(n), h, np.inf, False
        while (size := np.abs(rest).max()) > 100 * EPS * (largest + most * np.abs(beta).sum()):
            if size > last / 2:  # R has drifted
                if anew:
                    break
                self._renew()
                beta, rest, last, anew = np.zeros(n), h, np.inf, True
                continue
            last = size
            beta = beta - R @ rest
            rest = h + M @ beta
        return beta

    def _renew(self) -> None:
        """R from M."""
        n = len(self.margin_) + 1
        with suppress(np.linalg.LinAlgError):
            self.R_[:n, :n] = np.linalg.inv(self.M_[:n, :n])

    def _begin(self, j: int) -> None:
        """S = {j}."""
        self.margin_, own, y = np.array([j]), self.K_[self.slot_[j], j], self.y_[j]
        self.M_[:2, :2] = [[0, y], [y, own]]
        self.R_[:2, :2] = [[-own, y], [y, 0]]

    def _border(self, c: int, h: np.ndarray, own: float, beta: np.ndarray, kappa: float) -> None:
        """c joins S, whose column is ``[h, own]``: the inverse of the bordered matrix."""
        s = len(beta)
        if s == len(self.R_):
            self.M_, self.R_ = (enlarged(A, (2 * s, 2 * s)) for A in (self.M_, self.R_))
        self.M_[s, :s] = self.M_[:s, s] = h
        self.M_[s, s] = own
        self.R_[s, : s + 1] = self.R_[: s + 1, s] = 0
        u = np.append(beta, 1.0)
        self.R_[: s + 1, : s + 1] += np.outer(u / kappa, u)
        self.margin_ = np.append(self.margin_, c)

    def _contract(self, k: int) -> None:
        """The k-th member leaves S; the last one takes its place."""
        s, k1 = len(self.margin_), k + 1
        M, R = self.M_[: s + 1, : s + 1], self.R_[: s + 1, : s + 1]
        for A in (M, R):
            A[[k1, s]] = A[[s, k1]]
            A[:, [k1, s]] = A[:, [s, k1]]
        if sound := bool(s > 1 and R[s, s] and np.isfinite(R[s, s])):
            R[:s, :s] -= np.outer(R[:s, s] / R[s, s], R[s, :s])
        for A in (self.M_, self.R_):
            A[s] = A[:, s] = 0
            if s == 1:
                A[0, 0] = 0
        self.margin_[k] = self.margin_[-1]
        self.margin_ = self.margin_[:-1]
        if not sound or not np.isfinite(R[:s, :s]).all():
            self._rebuild()

    def _rebuild(self) -> bool:
        """R anew, member by member; those whose columns depend on the others' leave S.

        Whether that changed R by more than rounding.
        """
        S, old = self.margin_, self.R_[: len(self.margin_) + 1, : len(self.margin_) + 1].copy()
        self.margin_ = S[:0]
        if not len(S):
            return False
        self._begin(S[0])
        for c in S[1:]:
            row = self.y_[c] * self.y_ * self.K_[self.slot_[c], : len(self.y_)]
            h = np.append(self.y_[c], row[self.margin_])
            beta = self._answer(h)
            kappa = row[c] + h @ beta
            if _free(kappa, row[c], h, beta):
                self._border(c, h, row[c], beta, kappa)
        self._renew()
        new = self.R_[: len(self.margin_) + 1, : len(self.margin_) + 1]
        return new.shape != old.shape or not np.allclose(new, old, rtol=1e-9, atol=0)

    # ---- places and rows of K
    def _trim(self) -> None:
        """Give up the room to grow, and with it what was left there."""
        margin = len(self.margin_) + 1
        self.K_ = self.K_[: len(self.cached_), : len(self.rows_)].copy()
        for name in ("M_", "R_"):
            trimmed = np.zeros((margin + 1, margin + 1))
            if margin > 1:
                trimmed[:margin, :margin] = getattr(self, name)[:margin, :margin]
            setattr(self, name, trimmed)

    def _place(self, row: int) -> int:
        return int(np.flatnonzero(self.rows_ == row)[0])

    def _anew(self, gram: Gram) -> None:
        """The kernel rows, M and R from nothing."""
        self._drop_rows()
        self.M_, self.R_ = np.zeros((2, *self.M_.shape))
        self._fetch(gram)
        self._rebuild()

    def _drop_rows(self) -> None:
        """Store no kernel row."""
        self.cached_ = np.empty(0, np.int64)
        self.slot_[:] = -1
        self.K_ = np.zeros(self.K_.shape)

    def _fetch(self, gram: Gram) -> None:
        """Store the kernel rows of all that counts."""
        for i in np.union1d(self.support, self.margin_).tolist():
            self._row(gram, i)

    def _row(self, gram: Gram, i: int) -> None:
        """Store the kernel row of place ``i``."""
        if self.slot_[i] >= 0:
            return
        if 0 < len(self.cached_) == len(self.K_):
            self._evict()
        slot = len(self.cached_)
        self._room(slot + 1, len(self.rows_))
        self.K_[slot, : len(self.rows_)] = gram(self.rows_[[i]], self.rows_)[0]
        self.cached_ = np.append(self.cached_, i)
        self.slot_[i] = slot

    def _evict(self) -> None:
        """Drop the rows of examples that no longer count, where they are many."""
        needed = self.alpha_ > 0
        needed[self.margin_] = True
        kept = needed[self.cached_]
        if kept.mean() < 0.75:
            self.K_[: kept.sum()] = self.K_[: len(kept)][kept]
            self.K_[kept.sum() : len(kept)] = 0
            self.cached_ = self.cached_[kept]
            self.slot_[:] = -1
            self.slot_[self.cached_] = np.arange(len(self.cached_))

    def _room(self, slots: int, places: int) -> None:
        rows, columns = self.K_.shape
        if slots > rows or places > columns:
            rows = rows if slots <= rows else max(slots, 2 * rows)
            columns = columns if places <= columns else max(places, columns + columns // 2)
            self.K_ = enlarged(self.K_, (rows, columns))

    def _delete(self, i: int) -> None:
        """Forget place ``i``, which weighs nothing; the last one takes its place."""
        last = len(self.rows_) - 1
        if (slot := self.slot_[i]) >= 0:
            end = len(self.cached_) - 1
            self.K_[slot] = self.K_[end]
            self.cached_[slot] = self.cached_[end]
            self.slot_[self.cached_[slot]] = slot
            self.cached_ = self.cached_[:end]
            self.K_[end] = 0
        self.K_[:, i] = self.K_[:, last]
        self.K_[:, last] = 0
        self.margin_[self.margin_ == last] = i
        self.cached_[self.cached_ == last] = i
        for name in ("rows_", "y_", "alpha_", "g_", "bound_", "slot_"):
            values = getattr(self, name)
            values[i] = values[last]
            setattr(self, name, values[:last].copy())

    def _verify(self) -> None:
        """Raise ValueError where what a file held is not what learning could have left."""
        packed.attributes(self, ExactSVM())
        n, s = len(self.rows_), len(self.margin_)
        for name in ("y_", "alpha_", "g_", "bound_", "slot_"):
            ensure(len(getattr(self, name)) == n, f"{name} is not as long as rows_")
        packed.places(self.rows_, np.iinfo(np.int64).max, "rows_", unique=True)
        ensure((np.abs(self.y_) == 1).all(), "y_ is not -1 or 1")
        ensure(((self.alpha_ >= 0) & (self.alpha_ <= self.bound_)).all(), "alpha_ is beyond its bounds")
        packed.places(self.margin_, n, "margin_", unique=True)
        packed.places(self.cached_, n, "cached_", unique=True)
        slot = np.full(n, -1)
        slot[self.cached_] = np.arange(len(self.cached_))
        ensure(np.array_equal(self.slot_, slot), "slot_ does not fit cached_")
        ensure((slot[np.union1d(self.support, self.margin_)] >= 0).all(), "K_ lacks support vectors")
        packed.matrix(self.K_, "float64", (len(self.cached_), n), "K_")
        for name in ("M_", "R_"):
            packed.matrix(getattr(self, name), "float64", (s + 2, s + 2), name)
        ensure(self.slack_ in (1, 10, 100), f"slack_ is {self.slack_}")


def _free(kappa: float, own: float, h: np.ndarray, beta: np.ndarray) -> bool:
    """Whether kappa = Q_cc + h'beta is more than rounding: c does not depend on S."""
    return bool(kappa > SINGULAR * (own + np.abs(h) @ np.abs(beta)))


def enlarged(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array with more room, which is 0: memory that was free could hold what was forgotten."""
    new: Any = np.zeros(shape, array.dtype)
    new[tuple(slice(0, n) for n in array.shape)] = array
    return new
