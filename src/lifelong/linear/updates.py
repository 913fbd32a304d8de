"""The closed forms: how far one example moves the weights, and how much surer it makes them.

The weights are Gaussian, N(mu, Sigma). An example's margin is then Gaussian too, of mean ``m`` = y mu x
and variance ``v`` = x' Sigma x. Every method below answers with ``(alpha, c)``:

    mu       <- mu + alpha y Sigma x
    Sigma^-1 <- Sigma^-1 + c x x'

which in terms of Sigma is Sigma <- Sigma - beta (Sigma x)(Sigma x)' with beta = c / (1 + c v). The
perceptron and the passive-aggressive methods have Sigma = I for ever: their v is |x|^2, their c is 0.
``a`` and ``b`` are the method's hyper-parameters; phi is the normal quantile of the confidence eta.
"""

from __future__ import annotations

from math import sqrt

from numba import njit

compiled = njit(cache=True, inline="never", error_model="numpy")


@compiled
def perceptron(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """Rosenblatt (1958): a step of 1 where the sign is wrong."""
    return (1.0 if m <= 0 else 0.0), 0.0


@compiled
def pa(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min |w - w_t|^2 / 2 with margin >= 1 (Crammer et al., JMLR 2006, eq. 8)."""
    return max(0.0, 1 - m) / v, 0.0


@compiled
def pa_1(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min |w - w_t|^2 / 2 + C loss (JMLR 2006, PA-I); a = C."""
    return min(a, max(0.0, 1 - m) / v), 0.0


@compiled
def pa_2(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min |w - w_t|^2 / 2 + C loss^2 (JMLR 2006, PA-II); a = C."""
    return max(0.0, 1 - m) / (v + 1 / (2 * a)), 0.0


@compiled
def cw_variance(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min KL with m >= phi v (Dredze, Crammer & Pereira, ICML 2008); a = phi."""
    p = 1 + 2 * a * m
    alpha = max(0.0, (-p + sqrt(p * p - 8 * a * (m - a * v))) / (4 * a * v))
    return alpha, 2 * alpha * a


@compiled
def _confidence(alpha: float, v: float, phi: float) -> float:
    """c of the methods whose constraint is m >= phi sqrt(v): alpha phi / sqrt(u)."""
    root_u = (-alpha * v * phi + sqrt(alpha * alpha * v * v * phi * phi + 4 * v)) / 2
    if root_u <= 0:  # what is left of a difference that rounding took: it is v / (alpha v phi)
        root_u = 1 / (alpha * phi)
    return alpha * phi / root_u


@compiled
def _exact(m: float, v: float, phi: float) -> float:
    """alpha of min KL with m >= phi sqrt(v)."""
    psi, xi = 1 + phi * phi / 2, 1 + phi * phi
    return max(0.0, (-m * psi + sqrt(m * m * phi**4 / 4 + v * phi * phi * xi)) / (v * xi))


@compiled
def cw_stdev(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min KL with m >= phi sqrt(v) (Crammer, Dredze & Pereira, NIPS 2008); a = phi."""
    alpha = _exact(m, v, a)
    return alpha, _confidence(alpha, v, a)


@compiled
def arow(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """min KL + loss^2 / 2r + v / 2r (Crammer, Kulesza & Dredze, NIPS 2009); a = r."""
    if m >= 1:
        return 0.0, 0.0
    return (1 - m) / (v + a), 1 / a


@compiled
def scw_1(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """CW-stdev with its step capped (Wang, Zhao & Hoi, ICML 2012, prop. 1); a = phi, b = C."""
    alpha = min(b, _exact(m, v, a))
    return alpha, _confidence(alpha, v, a)


@compiled
def scw_2(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """CW-stdev with a squared slack (Wang, Zhao & Hoi, ICML 2012, prop. 2); a = phi, b = C."""
    p, n = a * a, v + 1 / (2 * b)
    gamma = a * sqrt(p * m * m * v * v + 4 * n * v * (n + v * p))
    alpha = max(0.0, (-(2 * m * n + p * m * v) + gamma) / (2 * (n * n + n * v * p)))
    return alpha, _confidence(alpha, v, a)


@compiled
def nherd(m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """Gaussian herding: moves every weight vector of N(mu, Sigma) at once; a = C.

    min over A, d of (d - mu)' Sigma^-1 (d - mu) / 2 + tr((A - I)' Sigma^-1 (A - I) Sigma) / 2
    + C (loss(d)^2 + x' A Sigma A' x) / 2; the new Sigma is A Sigma A' (Crammer & Lee, NIPS 2010).
    """
    if m >= 1:
        return 0.0, 0.0
    return (1 - m) / (v + 1 / a), 2 * a + a * a * v


RULES = (perceptron, pa, pa_1, pa_2, cw_variance, cw_stdev, arow, scw_1, scw_2, nherd)
PERCEPTRON, PA, PA_1, PA_2, CW_VARIANCE, CW_STDEV, AROW, SCW_1, SCW_2, NHERD = range(len(RULES))


@compiled
def step(rule: int, m: float, v: float, a: float, b: float) -> tuple[float, float]:
    """``(alpha, c)`` of a rule; an example without features (v = 0) teaches nothing."""
    if v <= 0:
        return 0.0, 0.0
    if rule == PERCEPTRON:
        return perceptron(m, v, a, b)
    if rule == PA:
        return pa(m, v, a, b)
    if rule == PA_1:
        return pa_1(m, v, a, b)
    if rule == PA_2:
        return pa_2(m, v, a, b)
    if rule == CW_VARIANCE:
        return cw_variance(m, v, a, b)
    if rule == CW_STDEV:
        return cw_stdev(m, v, a, b)
    if rule == AROW:
        return arow(m, v, a, b)
    if rule == SCW_1:
        return scw_1(m, v, a, b)
    if rule == SCW_2:
        return scw_2(m, v, a, b)
    return nherd(m, v, a, b)
