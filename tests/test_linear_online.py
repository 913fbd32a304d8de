"""Online linear classifiers: against the optima of their objectives, and against plain loops."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from lifelong import LifelongError
from lifelong.linear import (
    AROW,
    CW,
    NHERD,
    PA,
    PA1,
    PA2,
    SCW1,
    SCW2,
    Perceptron,
    load,
    updates,
)  # fmt: skip

KINDS = (Perceptron, PA, PA1, PA2, CW, AROW, SCW1, SCW2, NHERD)
CASES = [
    *(kind() for kind in KINDS),
    AROW(form="drop"),
    CW(covariance="full"),
    SCW1(rivals=None),
    PA(grow=True),
]
PHI = 1.2815515655446004  # of eta = 0.9


# ---- the closed forms: optima of the papers' objectives
def problem(seed):
    """(mu, Sigma, x, y): two features, a full covariance."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(2, 2))
    return rng.normal(size=2), a @ a.T + 0.3 * np.eye(2), rng.normal(size=2), rng.choice([-1.0, 1.0])


def updated(rule, mu, Sigma, x, y, a, b):
    """What the closed form makes of a full Gaussian."""
    v = x @ Sigma @ x
    alpha, c = updates.step(rule, y * mu @ x, v, a, b)
    along = Sigma @ x
    return mu + alpha * y * along, Sigma - c / (1 + c * v) * np.outer(along, along), alpha


def stationary(objective, constraint, start, multiplier):
    """Newton on the Lagrangian, from a start that is off: the optimum to rounding (all are convex)."""
    z = torch.tensor([*start, *([multiplier] if constraint else [])], dtype=torch.float64)

    def gradient(z):
        with torch.enable_grad():
            z = z.requires_grad_() if not z.requires_grad else z
            size = len(start)
            value = objective(z[:size])
            if constraint:
                value = value - z[size] * constraint(z[:size])
            return torch.autograd.grad(value, z, create_graph=True)[0]

    for _ in range(60):
        J = torch.autograd.functional.jacobian(gradient, z)
        step = torch.linalg.solve(J, gradient(z).detach())
        z = z.detach() - step
        if step.abs().max() < 1e-14:
            break
    assert gradient(z).abs().max() < 1e-10
    return z.detach().numpy()


def gaussian(z):
    """(mu, Sigma) of five numbers."""
    return z[:2], torch.stack([z[2], z[3], z[3], z[4]]).reshape(2, 2)


def kl(z, mu, Sigma):
    """KL(N(z) | N(mu, Sigma)), without its constant."""
    m, S = gaussian(z)
    P = torch.tensor(np.linalg.inv(Sigma))
    d = m - torch.tensor(mu)
    return (-torch.logdet(S) + torch.trace(P @ S) + d @ P @ d) / 2


seeds = st.integers(0, 10**6)
few = settings(max_examples=12, deadline=None)


@few
@given(
    seeds,
    st.sampled_from(["cw-variance", "cw-stdev", "scw-1", "scw-2", "arow"]),
    st.sampled_from([0.3, 1, 5]),
)
def test_a_gaussian_update_is_the_optimum_of_its_objective(seed, name, C):
    mu, Sigma, x, y = problem(seed)
    rules = {
        "cw-variance": (updates.CW_VARIANCE, PHI, 0.0),
        "cw-stdev": (updates.CW_STDEV, PHI, 0.0),
        "scw-1": (updates.SCW_1, PHI, C),
        "scw-2": (updates.SCW_2, PHI, C),
        "arow": (updates.AROW, C, 0.0),
    }
    new, spread, alpha = updated(rules[name][0], mu, Sigma, x, y, *rules[name][1:])
    at = torch.tensor(x)

    def margin(z):
        return y * gaussian(z)[0] @ at

    def variance(z):
        return at @ gaussian(z)[1] @ at

    violated = {
        "cw-variance": y * mu @ x < PHI * (x @ Sigma @ x),
        "arow": y * mu @ x < 1,
    }.get(name, y * mu @ x < PHI * math.sqrt(x @ Sigma @ x))
    if not violated:  # the old Gaussian is the best already
        np.testing.assert_array_equal(new, mu)
        return
    constraint = None

    def objective(z):
        return kl(z, mu, Sigma)

    if name == "cw-variance":
        constraint = lambda z: margin(z) - PHI * variance(z)  # noqa: E731
    elif name == "cw-stdev" or (name == "scw-1" and alpha < C):
        constraint = lambda z: margin(z) - PHI * variance(z).sqrt()  # noqa: E731
    elif name == "scw-1":  # the slack is in use, at its full price
        objective = lambda z: kl(z, mu, Sigma) + C * (PHI * variance(z).sqrt() - margin(z))  # noqa: E731
    elif name == "scw-2":
        objective = (  # noqa: E731
            lambda z: kl(z, mu, Sigma) + C * (PHI * variance(z).sqrt() - margin(z)).clamp(min=0) ** 2
        )
    else:
        objective = (  # noqa: E731
            lambda z: kl(z, mu, Sigma) + ((1 - margin(z)).clamp(min=0) ** 2 + variance(z)) / (2 * C)
        )
    found = [*new, spread[0, 0], spread[0, 1], spread[1, 1]]
    off = np.array(found) * 1.0003
    best = stationary(objective, constraint, off, alpha * 1.001)
    np.testing.assert_allclose(found, best[:5], rtol=1e-9, atol=1e-9)
    if constraint:
        np.testing.assert_allclose(alpha, best[5], rtol=1e-9, atol=1e-9)


@few
@given(seeds, st.sampled_from([0.3, 1.0, 5.0]))
def test_nherd_is_the_optimum_of_its_objective(seed, C):
    mu, Sigma, x, y = problem(seed)
    assume(y * mu @ x < 0.99)
    new, spread, _ = updated(updates.NHERD, mu, Sigma, x, y, C, 0.0)
    S, P, at = torch.tensor(Sigma), torch.tensor(np.linalg.inv(Sigma)), torch.tensor(x)

    def objective(z):
        d, A = z[:2] - torch.tensor(mu), z[2:].reshape(2, 2)
        change = A - torch.eye(2, dtype=torch.float64)
        loss = (1 - y * z[:2] @ at).clamp(min=0)
        return (
            d @ P @ d + torch.trace(change.T @ P @ change @ S) + C * (loss**2 + at @ A @ S @ A.T @ at)
        ) / 2

    best = stationary(objective, None, np.array([*(new * 1.001), 0.9, 0.01, 0.01, 0.9]), 0.0)
    A = best[2:].reshape(2, 2)
    np.testing.assert_allclose(new, best[:2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(spread, A @ Sigma @ A.T, rtol=1e-9, atol=1e-9)


@few
@given(seeds, st.sampled_from(["pa", "pa-1", "pa-2"]), st.sampled_from([0.05, 1.0]))
def test_a_passive_aggressive_update_is_the_optimum_of_its_objective(seed, name, C):
    mu, _, x, y = problem(seed)
    rule = {"pa": updates.PA, "pa-1": updates.PA_1, "pa-2": updates.PA_2}[name]
    new, _, alpha = updated(rule, mu, np.eye(2), x, y, C, 0.0)
    if y * mu @ x >= 1:
        np.testing.assert_array_equal(new, mu)
        return
    at, old = torch.tensor(x), torch.tensor(mu)
    constraint = None

    def loss(z):
        return (1 - y * z @ at).clamp(min=0)

    def near(z):
        return (z - old) @ (z - old) / 2

    objective = near
    if name == "pa-2":
        objective = lambda z: near(z) + C * loss(z) ** 2  # noqa: E731
    elif name == "pa-1" and alpha == C:  # the slack is in use, at its full price
        assert loss(torch.tensor(new)) > 0
        objective = lambda z: near(z) + C * (1 - y * z @ at)  # noqa: E731
    else:
        constraint = lambda z: y * z @ at - 1  # noqa: E731
    best = stationary(objective, constraint, new * 1.001, alpha * 1.001)
    np.testing.assert_allclose(new, best[:2], rtol=1e-9, atol=1e-9)


# ---- the passes: against plain loops over examples
def plain(learner, X, y, known, classes):
    """One pass in NumPy, diagonal: (mean, variance), a column for each class (or one of two)."""
    X = np.hstack([np.full((len(X), 1), float(learner.intercept)), X])
    two = classes == 2
    second = hasattr(learner, "form")
    rule, a, b = learner._constants()
    mean = np.zeros((X.shape[1], 1 if two else classes))
    variance = np.full(mean.shape, learner.variance if second else 1.0)

    def sharpen(s, x, c, v):
        if not second:
            return s
        return s - c / (1 + c * v) * s**2 * x**2 if learner.form == "drop" else 1 / (1 / s + c * x**2)

    for x, label in zip(X, y, strict=True):
        known = max(known, label + 1)
        if known < 2:
            continue
        if two:
            sign = 2 * label - 1
            s = variance[:, 0]
            v = (s * x**2).sum()
            alpha, c = updates.step(rule, sign * x @ mean[:, 0], v, a, b)
            mean[:, 0] += sign * alpha * s * x
            variance[:, 0] = sharpen(s, x, c if alpha else 0.0, v)
            continue
        scores = x @ mean
        rivals = sorted((r for r in range(known) if r != label), key=lambda r: (-scores[r], r))
        for r in rivals[: learner.rivals or classes]:
            own, other = variance[:, label], variance[:, r]
            v = ((own + other) * x**2).sum()
            alpha, c = updates.step(rule, x @ mean[:, label] - x @ mean[:, r], v, a, b)
            if alpha:
                mean[:, label] += alpha * own * x
                mean[:, r] -= alpha * other * x
                variance[:, label], variance[:, r] = sharpen(own, x, c, v), sharpen(other, x, c, v)
    return mean, variance


def rows(seed, classes, n=40, features=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features)) * (rng.random((n, features)) < 0.6)
    return X, rng.permutation(np.arange(n) % classes)


@settings(max_examples=40, deadline=None)
@given(
    seeds, st.sampled_from(KINDS), st.sampled_from([2, 4]), st.sampled_from([1, 2, None]),
    st.booleans(), st.sampled_from(["project", "drop"]),
)  # fmt: skip
def test_a_pass_is_the_plain_loop(seed, kind, classes, rivals, intercept, form):
    options = {"form": form} if hasattr(kind, "form") else {}
    learner = kind(rivals=rivals, intercept=intercept, dtype="float64", **options)
    X, y = rows(seed, classes)
    learner.partial_fit(X, y, classes=range(classes))
    mean, variance = plain(learner, X, y, classes, classes)
    slots = np.concatenate([[0], learner.slot_])
    held = slots >= 0
    np.testing.assert_allclose(learner.mean_[slots[held]], mean[held], rtol=1e-9, atol=1e-12)
    if hasattr(learner, "variance_"):
        np.testing.assert_allclose(learner.variance_[slots[held]], variance[held], rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", [CW, AROW, SCW1, SCW2, NHERD])
def test_a_full_covariance_is_the_closed_form(kind, classes):
    X, y = rows(1, classes)
    learner = kind(covariance="full", intercept=False, dtype="float64")
    learner.partial_fit(X, y, classes=range(classes))
    rule, a, b = learner._constants()
    d = X.shape[1]
    mean, S = np.zeros((d, classes)), np.array([np.eye(d)] * classes)
    w, Sigma = np.zeros(d), np.eye(d)
    for x, label in zip(X, y, strict=True):
        if classes == 2:
            w, Sigma, _ = updated(rule, w, Sigma, x, 2.0 * label - 1, a, b)
            continue
        scores = x @ mean
        r = max((k for k in range(classes) if k != label), key=lambda k: (scores[k], -k))
        along, against = S[label] @ x, S[r] @ x
        v = x @ along + x @ against
        alpha, c = updates.step(rule, scores[label] - scores[r], v, a, b)
        mean[:, label] += alpha * along
        mean[:, r] -= alpha * against
        for k, u in ((label, along), (r, against)):
            S[k] -= c / (1 + c * v) * np.outer(u, u)
    expected = w[:, None] if classes == 2 else mean
    np.testing.assert_allclose(learner.mean_[1:], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        learner.covariance_[0, 1:, 1:], Sigma if classes == 2 else S[0], atol=1e-10
    )


@settings(max_examples=25, deadline=None)
@given(
    seeds, st.sampled_from(KINDS), st.lists(st.integers(1, 15), min_size=1, max_size=6), st.booleans()
)
def test_a_batch_is_its_examples_one_by_one(seed, kind, cuts, full):
    options = {"covariance": "full"} if full and hasattr(kind, "covariance") else {}
    X, y = rows(seed, 4)
    y = np.sort(y) if seed % 2 else y  # classes that come up late, the third within a batch
    names = np.array(["a", "b", "c", "d"])[y]
    batch, single = kind(**options).partial_fit(X, names), kind(**options)
    start = 0
    for size in [*cuts, *[1] * len(X)]:
        if start < len(X):
            single.partial_fit(sp.csr_array(X[start : start + size]), names[start : start + size])
        start += size
    assert batch.classes_.tolist() == single.classes_.tolist()
    np.testing.assert_array_equal(batch.decision_function(X), single.decision_function(X))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_predicted_of_each_row_before_it_was_learned(kind):
    X, y = rows(3, 3)
    learner, one = kind(), kind()
    told = learner.progress(X, y)
    assert told[0] is None
    for i in range(len(X)):
        if i:
            assert told[i] == one.predict(X[i : i + 1])[0]
        one.partial_fit(X[i : i + 1], y[i : i + 1])
    assert learner.progress(X, y).dtype == y.dtype


@pytest.mark.parametrize("kind", [PA1, CW, AROW])
def test_a_third_class_changes_no_score_of_the_two(kind):
    X, y = rows(5, 2)
    learner = kind(dtype="float64").fit(X, y)
    before, gap = learner.decision_function(X), learner.mean_[1:, 0].copy()
    learner.partial_fit(np.zeros((1, 6)), [7])  # an empty row: only the intercepts move
    after = learner.decision_function(X)
    assert learner.classes_.tolist() == [0, 1, 7]
    assert after.shape == (40, 3)
    np.testing.assert_allclose(learner.mean_[1:, 1] - learner.mean_[1:, 0], gap, rtol=1e-12)
    moved = (after[:, 1] - after[:, 0]) - before
    np.testing.assert_allclose(moved, moved[0], atol=1e-12)


def test_new_features_come_where_growth_is_allowed():
    X, y = rows(6, 3)
    wide = np.hstack([X, np.ones((40, 2))])
    learner = CW(grow=True).fit(X, y).partial_fit(wide, y)
    assert learner.n_features_in_ == 8
    assert learner.slot_[6:].min() > 0
    assert CW(grow=True, covariance="full").fit(X, y).partial_fit(wide, y).mean_.shape == (9, 3)
    with pytest.raises(ValueError, match="8 features"):
        CW().fit(X, y).partial_fit(wide, y)


def test_memory_follows_the_features_met_not_the_width():
    X = sp.csr_array(([1.0, 2.0, 3.0], ([0, 1, 2], [7, 70_000, 900_000])), shape=(3, 1 << 20))
    learner = AROW().fit(X, [0, 1, 2])
    assert learner.mean_.shape == (4, 3)
    assert learner.predict(X).tolist() == [0, 1, 2]


def test_features_that_come_one_at_a_time_seldom_move_the_weights():
    learner, owners = CW(), []
    for i in range(600):
        row = sp.csr_array(([1.0], ([0], [i])), shape=(1, 1 << 16))
        learner.partial_fit(row, [i % 3])
        if not owners or owners[-1] is not learner.mean_.base:
            owners.append(learner.mean_.base)
    assert learner.mean_.shape == (601, 3)
    assert len(owners) < 30
    whole = CW().partial_fit(sp.eye_array(600, 1 << 16, format="csr"), np.arange(600) % 3)
    np.testing.assert_array_equal(whole.mean_, learner.mean_)
    again = learner.copy().partial_fit(sp.csr_array(([1.0], ([0], [999])), shape=(1, 1 << 16)), [0])
    assert len(again.mean_) == 602
    assert len(learner.mean_) == 601


def test_a_feature_twice_in_a_row_is_one_feature():
    twice = sp.csr_array(
        (np.array([1.0, 1.0, 1.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2)
    )
    once = np.array([[2.0, 0.0], [0.0, 1.0]])
    a, b = CW().fit(twice, [0, 1]), CW().fit(once, [0, 1])
    np.testing.assert_array_equal(a.decision_function(once), b.decision_function(once))
    assert twice.nnz == 3  # the input stays as it is


# ---- the contract
@parametrize_with_checks(CASES)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "learner", [*CASES, CW(constraint="stdev", intercept=False)], ids=lambda c: f"{c}"[:40]
)
@pytest.mark.parametrize("labels", [[0, 1, 2], ["b", "a", "c"], [True, False]])
def test_a_file_holds_all_of_it(learner, labels, tmp_path):
    X, y = rows(7, len(labels))
    y = np.array(labels)[y]
    learner = learner.__class__(**learner.get_params()).fit(X, y)
    learner.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.get_params() == learner.get_params()
    for model in (learner, again, copied := learner.copy()):
        model.partial_fit(X[::-1], y[::-1])
    for model in (again, copied):
        np.testing.assert_array_equal(model.decision_function(X), learner.decision_function(X))
        assert model.predict(X).tolist() == learner.predict(X).tolist()


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (CW(eta=0.4), "eta=0.4"),
        (AROW(r=0), "r=0"),
        (SCW1(C=-1), "C=-1"),
        (CW(constraint="sd"), "constraint"),
        (CW(form="projet"), "did you mean 'project'"),
        (PA(rivals=0), "rivals=0"),
        (PA(dtype="float16"), "dtype"),
        (AROW(variance=0), "variance=0"),
        (AROW(covariance="full"), "use covariance='diagonal'"),
    ],
)
def test_what_makes_no_sense_is_refused(learner, words):
    with pytest.raises(LifelongError, match=words):
        learner.fit(sp.csr_array((2, 5000)), [0, 1])


def test_labels_of_two_kinds_are_refused():
    with pytest.raises(LifelongError, match="another kind"):
        CW().fit([[1.0], [2.0]], [0, 1]).partial_fit([[1.0]], ["a"])
