"""Incremental support vector machines: exact ones against the conditions, a QP and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from lifelong.errors import LifelongError
from lifelong.linear import LASVM, ExactSVM, IncrementalSVC, KeepSupport, Replay, load

KERNELS = {
    "linear": {"kernel": "linear"},
    "rbf": {"kernel": "rbf", "gamma": 0.5},
    "poly": {"kernel": "poly", "gamma": 0.3, "degree": 2},
}


def clouds(n, seed=0, classes=2, features=4):
    """Overlapping clouds, with a constant column and a few examples twice, some with another label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = rng.normal(size=(n, features)) + 1.5 * np.eye(classes, features)[y]
    X[:, -1] = 1
    X[n // 4 : n // 4 + 5] = X[:5]
    y[n // 2 : n // 2 + 5] = (y[:5] + 1) % classes
    X[n // 2 : n // 2 + 5] = X[:5]
    return X, y


def conditions(svm):
    """The largest violation of the optimality conditions and the relative gap, from the definition.

    Everything is computed from the examples and alpha, nothing from what the machine keeps.
    """
    worst = gap = 0.0
    X = svm.X_[: len(svm.ids_)] + svm.origin_
    for machine in svm.machines_:
        rows, y, alpha, C = machine.rows_, machine.y_, machine.alpha_, svm.C
        K = svm._kernel(X[rows], X[rows])
        f = K @ (alpha * y) + machine.b_
        g = y * f - 1
        bounds = max(-alpha.min(), alpha.max() - C, abs(alpha @ y))
        kkt = max(np.where(alpha < C, -g, 0).max(), np.where(alpha > 0, g, 0).max(), bounds)
        quadratic = (alpha * y) @ K @ (alpha * y)
        dual, primal = alpha.sum() - quadratic / 2, quadratic / 2 + C * np.maximum(0, -g).sum()
        worst, gap = max(worst, kkt), max(gap, (primal - dual) / dual if dual > 0 else primal)
    return worst, gap


def qp(Q, y, C):
    """The dual by a primal-dual interior point method; returns alpha."""
    n = len(y)
    alpha, room, b, low, high = np.full(n, C / 2), np.full(n, C / 2), 0.0, np.ones(n), np.ones(n)
    for _ in range(200):
        mu = 0.1 * (alpha @ low + room @ high) / (2 * n)
        dual = Q @ alpha - 1 + y * b - mu / alpha + mu / room
        system = np.block(
            [[Q + np.diag(low / alpha + high / room), y[:, None]], [y[None], np.zeros((1, 1))]]
        )
        *move, db = np.linalg.solve(system, -np.append(dual, y @ alpha))
        d = np.array(move)
        dlow, dhigh = mu / alpha - low - low / alpha * d, mu / room - high + high / room * d
        ratios = [
            -v[dv < 0] / dv[dv < 0] for v, dv in ((alpha, d), (room, -d), (low, dlow), (high, dhigh))
        ]
        t = min(1.0, 0.99 * np.concatenate(ratios).min(initial=np.inf))
        alpha, room, b, low, high = (
            alpha + t * d,
            room - t * d,
            b + t * db,
            low + t * dlow,
            high + t * dhigh,
        )
        if mu < 1e-14:
            break
    return alpha


def churn(n, removals, kernel, seed):
    """Additions and removals in random order; the worst violation and gap on the way; what is left."""
    rng = np.random.default_rng(seed)
    X, y = clouds(n, seed)
    svm = IncrementalSVC(C=5, **KERNELS[kernel])
    worst, held, added = np.zeros(2), [], 0
    moves = rng.permutation(np.repeat([True, False], [n - 20, removals]))
    for add in [*np.full(20, True), *moves]:
        if add:
            svm.partial_fit(X[added : added + 1], y[added : added + 1])
            held.append(added)
            added += 1
        else:
            svm.remove(held.pop(rng.integers(len(held))))
        worst = np.maximum(worst, conditions(svm))
    return svm, worst, X, y, np.array(held)


def judge(svm, worst, X, y, held):
    assert worst[0] <= 1e-8
    assert worst[1] <= 1e-10
    assert sorted(svm.ids_) == sorted(held)
    rest = {k: getattr(svm, k) for k in ("C", "kernel", "gamma", "degree", "coef0")}
    rest["gamma"] = rest["gamma"] or "auto"
    reference = SVC(tol=1e-6, **rest).fit(X[held], y[held]).decision_function(X)
    turn = 1 if svm.classes_[1] == 1 else -1  # classes are ordered as they came
    f = turn * svm.decision_function(X)
    if svm.kernel != "poly":  # SVC computes kernels in float32: of large values it misses the optimum
        assert np.abs(f - reference).max() <= 1e-4
    clear = np.abs(reference) > (1e-4 if svm.kernel != "poly" else 1e-2)
    assert ((f > 0) == (reference > 0))[clear].all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_optimal_after_every_addition_and_removal(kernel):
    judge(*churn(150, 50, kernel, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kernel", KERNELS)
def test_optimal_after_each_of_1000_additions_and_300_removals(kernel, seed):
    judge(*churn(1000, 300, kernel, seed))


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_data_far_from_the_origin_lose_nothing(kernel):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
    near, far = (IncrementalSVC(kernel=kernel, gamma=0.5).fit(x, y) for x in (X, X + 2.0**20))
    np.testing.assert_allclose(far.decision_function(X + 2.0**20), near.decision_function(X), atol=1e-6)
    assert far.machines_[0].residual <= 1e-8
    far.remove(far.ids_[:20])
    near.remove(near.ids_[:20])
    np.testing.assert_allclose(far.decision_function(X + 2.0**20), near.decision_function(X), atol=1e-6)


def test_a_kernel_that_changes_from_differences_to_products_and_back():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(60, 3)) + 5, rng.integers(0, 2, 60)
    svm = IncrementalSVC(gamma=0.1).fit(X, y)
    for kernel in ("poly", "linear", "rbf"):
        svm.change(kernel=kernel)
        fresh = IncrementalSVC(kernel=kernel, gamma=0.1).fit(X, y)
        scale = np.abs(fresh.decision_function(X)).max()
        assert np.abs(svm.decision_function(X) - fresh.decision_function(X)).max() <= 1e-6 * scale


@pytest.mark.parametrize("C", [0.1, 1.0, 20.0])
def test_alpha_is_that_of_an_independent_qp(C):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
    svm = IncrementalSVC(C=C, gamma=1.0).fit(X[:1], y[:1])
    for i in range(1, 80):
        svm.partial_fit(X[i : i + 1], y[i : i + 1])
    (machine,) = svm.machines_
    signs = np.where(y == svm.classes_[1], 1.0, -1.0)
    Q = signs[:, None] * signs * svm._kernel(X, X)
    inside = Q[np.ix_(machine.rows_[machine.margin_], machine.rows_[machine.margin_])]
    assert np.linalg.eigvalsh(inside).min() > 1e-6  # so that alpha is unique
    alpha = np.empty(80)
    alpha[machine.rows_] = machine.alpha_
    assert np.abs(alpha - qp(Q, signs, C)).max() <= 1e-6


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.booleans()), min_size=2, max_size=25
    ),
    kernel=st.sampled_from(sorted(KERNELS)),
    C=st.sampled_from([0.01, 1.0, 100.0]),
    chosen=st.randoms(use_true_random=False),
)
def test_degenerate_examples(points, kernel, C, chosen):
    # a grid: exact duplicates, opposite labels on one point, columns that depend on each other
    X = np.array([[a, b, 1.0, a + b] for a, b, _ in points])
    y = np.array([label for *_, label in points])
    svm = IncrementalSVC(C=C, **KERNELS[kernel])
    for i in range(len(X)):
        svm.partial_fit(X[i : i + 1], y[i : i + 1])
        assert conditions(svm)[0] <= 1e-8
    gone = chosen.sample(range(len(X)), len(X) // 2)
    for i in gone:
        svm.remove(i)
        assert conditions(svm)[0] <= 1e-8
    left = np.setdiff1d(np.arange(len(X)), gone)
    if len(np.unique(y[left])) == 2:
        anew = IncrementalSVC(C=C, **KERNELS[kernel]).fit(X[left], y[left])
        both = [svm.machines_[0].objective[0], anew.machines_[0].objective[0]]
        np.testing.assert_allclose(*both, rtol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_removal_is_as_if_never_seen(kernel):
    X, y = clouds(120, 3)
    svm = IncrementalSVC(C=2, **KERNELS[kernel]).fit(X, y).remove(np.arange(40))
    never = IncrementalSVC(C=2, **KERNELS[kernel]).fit(X[40:], y[40:])
    sign = 1 if svm.classes_[1] == never.classes_[1] else -1  # classes are ordered as they came
    assert np.abs(svm.decision_function(X) - sign * never.decision_function(X)).max() <= 1e-7


def test_leave_one_out_equals_n_retrains():
    X, y = clouds(200, 4)
    svm = IncrementalSVC(C=3, gamma=0.5).fit(X, y)
    before = svm.decision_function(X)
    out = svm.leave_one_out()
    assert np.array_equal(svm.decision_function(X), before)
    order = np.argsort(svm.classes_)
    for i in range(200):
        rest = np.delete(np.arange(200), i)
        retrained = SVC(C=3, gamma=0.5, tol=1e-6).fit(X[rest], y[rest]).decision_function(X[i : i + 1])
        f = out[i, order]
        assert abs(f[1] - f[0] - retrained[0]) <= 1e-4


def test_changes_of_parameters_reach_the_optimum():
    X, y = clouds(150, 5)
    svm = IncrementalSVC(C=1, gamma=0.5).fit(X, y)
    steps = [{"C": 20.0}, {"C": 0.3}, {"gamma": 2.0}, {"kernel": "poly", "degree": 2, "C": 1.0}]
    for parameters in [*steps, {"kernel": "linear"}]:
        svm.change(**parameters)
        worst, gap = conditions(svm)
        assert worst <= 1e-8
        assert gap <= 1e-10
        anew = IncrementalSVC(**svm.get_params()).fit(X, y)
        assert np.abs(svm.decision_function(X) - anew.decision_function(X)).max() <= 1e-7


def test_precomputed_kernel_grows_and_shrinks_with_the_examples():
    X, y = clouds(90, 6)
    direct = IncrementalSVC(gamma=0.5).fit(X[:1], y[:1])
    direct.n_features_in_ = X.shape[1]
    K = direct._kernel(X, X)
    direct = IncrementalSVC(gamma=0.5).fit(X[:60], y[:60]).remove([3, 17]).partial_fit(X[60:], y[60:])
    given = IncrementalSVC(kernel="precomputed").fit(K[:60, :60], y[:60]).remove([3, 17])
    new = np.arange(60, 90)
    given.partial_fit(K[np.ix_(new, np.append(given.ids_, new))], y[60:])
    np.testing.assert_allclose(
        given.decision_function(K[:, given.ids_]), direct.decision_function(X), atol=1e-8
    )
    with pytest.raises(LifelongError, match="needs 89 columns"):
        given.partial_fit(K[:1, :5], y[:1])


@pytest.mark.parametrize("multiclass", ["ovr", "ovo"])
def test_classes_may_come_at_any_time(multiclass):
    X, y = clouds(200, 7, classes=4)
    order = np.argsort(y, kind="stable")
    X, y = X[order], np.array(list("abcd"))[y[order]]
    grown = IncrementalSVC(multiclass=multiclass, gamma=0.5)
    for part in np.array_split(np.arange(200), 11):
        grown.partial_fit(X[part], y[part])
    whole = IncrementalSVC(multiclass=multiclass, gamma=0.5).fit(X, y)
    np.testing.assert_allclose(grown.scores(X), whole.scores(X), atol=1e-7)
    if multiclass == "ovo":
        assert (grown.predict(X) == SVC(gamma=0.5, tol=1e-6, C=1).fit(X, y).predict(X)).mean() > 0.99


@pytest.mark.parametrize("kind", [IncrementalSVC, KeepSupport, LASVM])
def test_a_saved_machine_goes_on(kind, tmp_path):
    X, y = clouds(120, 8, classes=3)
    svm = kind(gamma=0.5).fit(X[:80], y[:80])
    svm.save(tmp_path / "svm")
    again = load(tmp_path / "svm")
    for machine in (svm, again):
        machine.partial_fit(X[80:], y[80:])
    assert np.array_equal(svm.scores(X), again.scores(X))


def test_a_mask_is_no_list_of_examples():
    X = np.random.default_rng(0).normal(size=(20, 2))
    svm = IncrementalSVC().fit(X, X[:, 0] > 0)
    with pytest.raises(LifelongError, match="true or false"):
        svm.remove(np.arange(20) >= 15)
    assert len(svm.ids_) == 20


@pytest.mark.parametrize(("options", "word"), [({"gamma": "scale"}, "gamma"), ({"C": "x"}, "C")])
def test_what_is_no_number_is_refused(options, word):
    X = np.eye(2)
    for kind in (IncrementalSVC, LASVM):
        with pytest.raises(LifelongError, match=f"{word}='.*': give a number"):
            kind(**options).fit(X, [0, 1])


def test_the_parameters_are_what_was_learned():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4))
    model = LASVM().fit(X, (X[:, 0] > 0).astype(int))
    assert model.parameters == np.count_nonzero(model.alpha_) + 1 < 152


@pytest.mark.parametrize(("gamma", "C"), [(None, 1.0), (0.01, 100.0)])
def test_a_class_of_copies_of_others_under_a_smooth_kernel(gamma, C):
    """f is flat and the margin block near to singular: its inverse drifts, and steps gain no more."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(480, 2)), np.eye(4)[rng.integers(0, 4, 480)]]
    svm = IncrementalSVC(C=C, gamma=gamma)
    svm.partial_fit(np.vstack([X, X[:80]]), np.repeat([0, 1], [480, 80]))
    for i in range(20):
        svm.partial_fit(X[[i]], [0]).remove([svm.ids_[7 * i]])
    (machine,) = svm.machines_
    dual, primal = machine.objective
    assert machine.residual <= 1e-8
    assert 0 <= (primal - dual) / dual <= 1e-10


def test_a_kernel_under_which_the_margin_set_is_dependent():
    X = np.array([[-2, 1], [1, 0], [0, 2], [1, 1], [1, -1], [1, -2], [0, 0], [-2, 0]], float)
    y = [0, 1, 0, 1, 0, 1, 1, 0]
    svm = IncrementalSVC(C=1.0, kernel="rbf", gamma=0.5).fit(X, y).change(kernel="linear")
    assert svm.machines_[0].residual < 1e-8
    fresh = IncrementalSVC(C=1.0, kernel="linear").fit(X, y)
    best = fresh.machines_[0].objective[0]
    assert abs(svm.machines_[0].objective[0] - best) < 1e-9


@pytest.mark.parametrize("kind", [LASVM, KeepSupport])
def test_replay_around_a_machine_learns_no_row_twice(kind):
    X, first = np.unique(clouds(200, 8)[0].astype(np.float32), axis=0, return_index=True)
    y = clouds(200, 8)[1][first]
    svm = Replay(kind(gamma=0.5), memory=50).fit(X, y).learner_
    held = svm.X_[: len(svm.codes_)]
    assert held.dtype == np.float64
    assert len(np.unique(held, axis=0)) == len(held)


@pytest.mark.parametrize("kind", [IncrementalSVC, LASVM])
def test_a_file_holds_what_is_known_and_no_room_to_grow(kind, tmp_path):
    X, y = clouds(120, 8, classes=3)
    svm = kind(gamma=0.5).fit(X, y)
    svm.save(tmp_path / "svm")
    again = load(tmp_path / "svm")
    again.save(tmp_path / "again")
    assert (tmp_path / "svm").read_bytes() == (tmp_path / "again").read_bytes()
    held = len(again.codes_)
    assert again.X_.shape == (held, X.shape[1])
    kernels = [m.K_ for m in again.machines_] if kind is IncrementalSVC else [again.K_]
    assert all(K.shape[1] == held and len(K) <= held for K in kernels)


@pytest.mark.parametrize("kind", [IncrementalSVC, KeepSupport, LASVM])
def test_rehearsing_rows_that_are_held_changes_nothing(kind):
    X, first = np.unique(clouds(120, 8, classes=3)[0], axis=0, return_index=True)
    y = clouds(120, 8, classes=3)[1][first]
    svm = kind(gamma=0.5).fit(X, y)
    before, held = svm.scores(X), svm.X_[: len(svm.codes_)].copy()
    if kind is not IncrementalSVC:
        svm.rehearse(held, svm.classes_[svm.codes_])
        assert np.array_equal(svm.scores(X), before)
    svm.rehearse(X, y)
    assert len(np.unique(svm.X_[: len(svm.codes_)], axis=0)) == len(svm.codes_)


@pytest.mark.parametrize(
    "svm", [IncrementalSVC(), IncrementalSVC(multiclass="ovo"), KeepSupport(), LASVM()], ids=repr
)
def test_scikit_learns_contract(svm):
    check_estimator(svm)


def test_keeping_support_vectors_of_one_batch_is_scikit_learns_svc():
    for classes in (2, 4):
        X, y = clouds(200, 9, classes)
        y = np.sort(y)
        reference = SVC(C=2, gamma=0.5, decision_function_shape="ovo").fit(X, y)
        svm = KeepSupport(C=2, gamma=0.5).fit(X, y)
        f = svm._of(X @ svm.X_.T, (X**2).sum(1), (svm.X_**2).sum(1)) @ svm.weights_ + svm.intercepts_
        expected = reference.decision_function(X).reshape(200, -1)
        np.testing.assert_allclose(f, -expected if classes == 2 else expected, atol=1e-9)
        reference.set_params(decision_function_shape="ovr", break_ties=True)
        assert np.array_equal(svm.predict(X), reference.predict(X))


def test_keeping_support_vectors_weights_the_past():
    X, y = clouds(300, 10)
    for weighted in (False, True):
        svm = KeepSupport(gamma=0.5, weighted=weighted).partial_fit(X[:200], y[:200])
        held, codes = svm.X_, svm.codes_
        svm.partial_fit(X[200:], y[200:])
        share = 200 / len(held) if weighted else 1
        weight = np.append(np.full(len(held), share), np.ones(100))
        new = np.array([svm.classes_.tolist().index(label) for label in y[200:]])
        reference = SVC(gamma=0.5).fit(np.concatenate([held, X[200:]]), np.append(codes, new), weight)
        np.testing.assert_allclose(svm.decision_function(X), reference.decision_function(X), atol=1e-9)
    assert len(held) < 200


def test_lasvm_finished_is_near_the_optimum():
    X, y = clouds(600, 11)
    online = LASVM(C=1, gamma=0.5).fit(X[:400], y[:400])
    exact = IncrementalSVC(C=1, gamma=0.5).fit(X[:400], y[:400])
    best = exact.machines_[0].objective[0]
    first = online.objective[0]
    last = online.finish().objective[0]
    assert first < last <= best + 1e-9
    assert last >= 0.99 * best
    assert abs(online.score(X[400:], y[400:]) - exact.score(X[400:], y[400:])) <= 0.02
    assert len(online.codes_) < 400
    # what it keeps is what follows from alpha
    n = len(online.codes_)
    K = online._kernel(online.X_[:n], online.X_[:n])
    np.testing.assert_allclose(online.g_, online._signs(online.codes_) - online.alpha_ @ K, atol=1e-10)
    np.testing.assert_allclose(online.alpha_.sum(1), 0, atol=1e-10)


def test_lasvm_keeps_its_budget():
    X, y = clouds(600, 12, classes=3)
    free = LASVM(gamma=0.5).fit(X[:400], y[:400])
    tight = LASVM(gamma=0.5, budget=60).fit(X[:400], y[:400])
    assert len(free.codes_) > 100
    assert len(tight.codes_) <= 60
    np.testing.assert_allclose(tight.alpha_.sum(1), 0, atol=1e-10)
    signs = tight._signs(tight.codes_)
    assert ((tight.alpha_ * signs >= 0) & (tight.alpha_ * signs <= 1)).all()
    assert tight.score(X[400:], y[400:]) >= free.score(X[400:], y[400:]) - 0.1


def test_what_cannot_be_says_so():
    X, y = clouds(20)
    for wrong in (
        {"C": 0},
        {"gamma": -1.0},
        {"kernel": "sigmoid"},
        {"multiclass": "all"},
        {"coef0": -1.0},
        {"degree": 2.5},
    ):
        with pytest.raises(LifelongError, match=next(iter(wrong))):
            IncrementalSVC(**wrong).fit(X, y)
    svm = IncrementalSVC().fit(X, y)
    with pytest.raises(LifelongError, match="99 is not held"):
        svm.remove([1, 99])
    with pytest.raises(LifelongError, match="fit anew"):
        svm.change(multiclass="ovo")
    for kind in (KeepSupport, LASVM):
        with pytest.raises(LifelongError, match="precomputed"):
            kind(kernel="precomputed").fit(X[:, :1] @ X[:, :1].T, y)
    with pytest.raises(LifelongError, match="budget"):
        LASVM(budget=1).fit(X, y)


ALONE = {**KERNELS, "cubic": {"kernel": "poly", "gamma": 1.0}, "given": {"kernel": "precomputed"}}


def history(kernel, multiclass, classes, C, size, seed):
    """A machine that met rows of that size among others, and lost them; one that never saw them.

    Returns both, the rows held, and what to ask of them: rows, or their kernel with those held.
    """
    rng = np.random.default_rng(seed)
    n, wild = 30, 8
    y = rng.integers(0, classes, n + wild)
    X = rng.normal(size=(n + wild, 3)) + 1.5 * np.eye(classes, 3)[y]
    strange = np.arange(wild) if seed % 2 else rng.permutation(n + wild)[:wild]
    X[strange] *= size
    K = X @ X.T
    known = np.arange(classes)
    given = kernel == "given"

    def machine():
        return IncrementalSVC(C=C, multiclass=multiclass, **ALONE[kernel])

    def learn(svm, rows):
        held = getattr(svm, "ids_", np.empty(0, int))
        x = K[np.ix_(rows, np.append(held, rows))] if given else X[rows]
        svm.partial_fit(x, y[rows], classes=known, ids=rows)

    svm, pending = machine(), []
    for i in range(n + wild):
        learn(svm, np.array([i]))
        if i in strange:
            pending.append(i)
        if rng.random() < 0.2:
            svm.remove([pending.pop() if pending else svm.ids_[rng.integers(len(svm.ids_))]])
        pending = [j for j in pending if j in svm.ids_]
    svm.remove(pending)
    assert not np.isin(strange, svm.ids_).any()
    never = machine()
    learn(never, np.sort(svm.ids_))
    asked = np.setdiff1d(np.arange(n + wild), strange)
    questions = [K[np.ix_(asked, m.ids_)] if given else X[asked] for m in (svm, never)]
    return svm, never, questions


@pytest.mark.parametrize("size", [1e-6, 1e3, 1e6, 1e8])
@pytest.mark.parametrize(("multiclass", "classes"), [("ovr", 2), ("ovr", 3), ("ovo", 3)])
@pytest.mark.parametrize("kernel", ALONE)
def test_removed_rows_of_any_size_leave_what_never_seen_gives(kernel, multiclass, classes, size):
    for seed, C in ((1, 1.0), (2, 0.01), (3, 100.0)):
        svm, never, (asked, same) = history(kernel, multiclass, classes, C, size, seed)
        expected = never.scores(same)
        largest = max(1.0, np.abs(expected).max())
        assert np.abs(svm.scores(asked) - expected).max() <= 1e-9 * largest


@pytest.mark.parametrize("kernel", KERNELS)
def test_leave_one_out_and_changes_are_right_after_a_large_row_went(kernel):
    X, y = clouds(60, 13)
    far = np.full((1, 4), 1e7)
    svm = IncrementalSVC(**KERNELS[kernel]).partial_fit(far, [1]).partial_fit(X, y).remove([0])
    never = IncrementalSVC(**KERNELS[kernel]).partial_fit(X, y, classes=[1, 0])
    order = [np.argsort(machine.ids_) for machine in (svm, never)]
    columns = [np.argsort(machine.classes_) for machine in (svm, never)]
    for change in ({}, {"C": 7.0}, {"kernel": "rbf", "gamma": 0.2}, {"kernel": "linear"}):
        out = [
            m.change(**change).leave_one_out()[rows][:, places]
            for m, rows, places in zip((svm, never), order, columns, strict=True)
        ]
        assert np.abs(out[0] - out[1]).max() <= 1e-8 * max(1.0, np.abs(out[1]).max())


def numbers(value):
    """All numbers that an object holds, with what its arrays are views of."""
    if isinstance(value, np.ndarray):
        return [*numbers(value.base), value.ravel()]
    if isinstance(value, list | tuple | dict):
        parts = value.values() if isinstance(value, dict) else value
        return [found for part in parts for found in numbers(part)]
    if isinstance(value, float | np.floating):
        return [np.array([value])]
    return numbers(vars(value)) if hasattr(value, "__dict__") else []


@pytest.mark.parametrize("kind", [IncrementalSVC, LASVM, KeepSupport])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("place", [0, 30, 59])
def test_nothing_of_a_forgotten_row_is_left(kind, kernel, place, tmp_path):
    X, y = clouds(60, 14, classes=3)
    X[place] = [31415.9, -27182.8, 57721.5, 16180.3]
    svm = kind(**KERNELS[kernel])
    for part in np.array_split(np.arange(60), 9):
        svm.partial_fit(X[part], y[part], ids=100 + part)
    svm.forget([100 + place])
    svm.save(tmp_path / "svm")
    for holder in (svm, load(tmp_path / "svm")):
        parts = [part for part in numbers(holder) if part.dtype.kind == "f"]
        largest = max(np.abs(part).max(initial=0) for part in parts)
        assert largest < 10000  # the row, its products and its distances are all above
        assert 100 + place not in holder.ids_


def test_no_row_sets_what_is_subtracted_from_all():
    far = np.full((1, 3), 1e8)
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.where(X[:, 0] > 0, "b", "a")
    y[0] = "a"
    svm = IncrementalSVC(gamma=0.5).partial_fit(far, ["a"]).partial_fit(X, y).remove([0])
    never = IncrementalSVC(gamma=0.5).partial_fit(X, y)
    assert svm.score(X, y) == never.score(X, y) > 0.9
    assert not svm.origin_.any()
    assert not svm.centre_.any()


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_rows_far_away_keep_their_digits_whatever_came_first(kernel):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    near = IncrementalSVC(**KERNELS[kernel]).partial_fit(X, y)
    far = IncrementalSVC(**KERNELS[kernel]).partial_fit(np.zeros((1, 3)), [y[0]], ids=[99])
    for part in np.array_split(np.arange(60), 20):
        far.partial_fit(X[part] + 2.0**20, y[part], ids=part)
    far.remove([99])
    difference = far.decision_function(X + 2.0**20) - near.decision_function(X)
    assert np.abs(difference).max() <= 1e-6  # X + 2^20 has lost ten digits itself


def test_distances_keep_their_digits_where_few_rows_lie_far_away():
    """A column of times with some missing: the middle of the rows is far from either part."""
    rng = np.random.default_rng(6)
    X, y = np.round(rng.normal(size=(60, 2)), 3), rng.integers(0, 2, 60)
    X[:20, 0] += 1.6e9
    svm = IncrementalSVC(gamma=0.5).partial_fit(X, y)
    K = np.exp(-0.5 * ((X[:, None] - X[None]) ** 2).sum(2))
    given = IncrementalSVC(kernel="precomputed").partial_fit(K, y)
    np.testing.assert_allclose(svm.decision_function(X), given.decision_function(K), atol=1e-9)


@pytest.mark.parametrize("multiclass", ["ovr", "ovo"])
def test_a_class_without_rows_is_no_answer(multiclass):
    X, y = clouds(90, 15, classes=3)
    svm = IncrementalSVC(kernel="linear", multiclass=multiclass).partial_fit(X, y, classes=[0, 1, 2])
    svm.forget(svm.ids_[y[svm.ids_] == 1])
    asked = 50 * np.random.default_rng(0).normal(size=(200, 4))
    never = IncrementalSVC(kernel="linear").partial_fit(X[y != 1], y[y != 1])
    assert np.array_equal(svm.predict(asked), never.predict(asked))
    svm.forget(svm.ids_)
    assert len(svm.predict(asked)) == 200
    assert not svm.leave_one_out().size
    svm.partial_fit(X, y)
    whole = IncrementalSVC(kernel="linear", multiclass=multiclass).partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(svm.scores(X), whole.scores(X), atol=1e-9)


def test_where_no_weight_is_free_the_intercept_does_not_tell_the_history():
    X, y = clouds(41, 16)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores = []
        for _ in range(2):
            svm = IncrementalSVC(C=0.01, kernel="linear")
            for i in rng.permutation(41):
                svm.partial_fit(X[[i]], y[[i]], classes=[0, 1], ids=[i])
            scores.append(svm.remove(np.arange(0, 41, 5)).decision_function(X))
        assert np.abs(scores[0] - scores[1]).max() <= 1e-9


@pytest.mark.parametrize("kind", [IncrementalSVC, LASVM, KeepSupport])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "cubic"])
def test_rows_whose_kernel_is_infinite_are_refused_and_nothing_changes(kind, kernel):
    X, y = clouds(40, 17)
    svm = kind(**ALONE[kernel]).partial_fit(X, y)
    before = svm.scores(X)
    for _ in range(2):
        with pytest.raises(LifelongError, match="scale"):
            svm.partial_fit(np.vstack([X[:1], np.full((1, 4), 1e160)]), [0, 1])
        assert np.array_equal(svm.scores(X), before)
        assert len(svm.ids_) == len(svm.codes_)


def test_a_refused_addition_leaves_an_exact_machine_as_it_was(monkeypatch):
    X, y = clouds(60, 18, classes=3)
    svm = IncrementalSVC(gamma=0.5).partial_fit(X[:50], y[:50])
    other = svm.copy()
    solve = ExactSVM._solve

    def fail(machine, *given, **named):
        solve(machine, *given, **named)
        if machine is svm.machines_[1]:
            raise LifelongError("the SVM did not converge")

    with monkeypatch.context() as patch:
        patch.setattr(ExactSVM, "_solve", fail)
        with pytest.raises(LifelongError, match="converge"):
            svm.partial_fit(X[50:], y[50:])
    assert np.array_equal(svm.ids_, other.ids_)
    assert np.abs(svm.scores(X) - other.scores(X)).max() <= 1e-12
    for machine in (svm, other):
        machine.partial_fit(X[50:], y[50:]).remove([3, 55])
    assert np.abs(svm.scores(X) - other.scores(X)).max() <= 1e-9
    given = IncrementalSVC(kernel="precomputed").partial_fit(X @ X.T, y)
    with pytest.raises(LifelongError, match="held already"):
        given.partial_fit(np.ones((1, 61)), [0], ids=[7])
    assert len(given.predict(X @ X.T)) == 60
    given.forget(range(60))
    assert len(given.predict(np.empty((2, 0)))) == 2
