"""TensorFlow beside PyTorch: the same numbers, one's files in the other, neither importing the other."""

import os
import subprocess
import sys
from dataclasses import dataclass

import helpers
import numpy as np
import pytest
from helpers import METHODS

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.evaluation import evaluate

needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in helpers.BACKENDS,
    reason="TensorFlow is not installed: pip install 'lifelong[all]'",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread_there_too():
    if "tensorflow" in helpers.BACKENDS:
        helpers.one_tensorflow_thread()


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment
    )


def both(name: str, **options) -> list[ll.Learner]:
    """The same learner on both backends."""
    return [helpers.learner(name, backend=backend, **options) for backend in helpers.BACKENDS]


# --- apart --------------------------------------------------------------------------------------


@needs_tensorflow
@pytest.mark.parametrize(("used", "other"), [("torch", "tensorflow"), ("tensorflow", "torch")])
def test_one_backend_never_imports_the_other(used, other):
    code = (
        "import sys, lifelong as ll;"
        f"made = ll.Learner(ll.models.mlp(8), 'er', steps=2, backend='{used}');"
        "ll.run(made, ll.data.digits().split(5, 'class'));"
        f"print('{used}' in sys.modules, '{other}' in sys.modules)"
    )
    done = python(code)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize(("name", "extra"), [("torch", "torch"), ("tensorflow", "tensorflow")])
def test_without_the_framework_one_line_says_what_to_install(name, extra):
    done = python(
        f"import sys; sys.modules['{name}'] = None; import lifelong as ll;"
        f"ll.Learner(ll.models.mlp(8), backend='{name}')"
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("lifelong.errors.LifelongError: ")
    assert f"pip install 'lifelong[{extra}]'" in last


@needs_tensorflow
def test_keras_on_another_backend_is_one_clear_line():
    code = (
        "import keras, lifelong as ll;"
        "layers = [keras.layers.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)];"
        "own = keras.Sequential(layers);"
        "made = ll.Learner(own, steps=2, backend='tensorflow');"
        "made.learn(ll.data.digits().split(5, 'class')[0])"
    )
    done = python(code, KERAS_BACKEND="torch")
    assert "set KERAS_BACKEND=tensorflow" in done.stderr.strip().splitlines()[-1]


# --- the same -----------------------------------------------------------------------------------


@needs_tensorflow
@pytest.mark.parametrize(
    "optimizer", [ll.SGD(0.1, momentum=0.9, weight_decay=1e-3), ll.Adam(), ll.AdamW()]
)
@pytest.mark.parametrize("name", [*METHODS, "er+ewc"])
def test_in_float64_theta_is_the_same(name, optimizer):
    scenario = helpers.scenario_of(name, "class")
    thetas = []
    for made in both(name, precision="float64", steps=10, optimizer=optimizer):
        for task in helpers.stream(scenario, classes=6):
            made.learn(task)
        thetas.append(helpers.theta(made))
    a, b = thetas
    assert np.abs(a - b).max() < 1e-10 * np.abs(a).max()


@needs_tensorflow
@pytest.mark.parametrize(
    "model", [ll.models.mlp(16, 16), ll.models.cnn(3, features=8)], ids=["mlp", "cnn"]
)
def test_weights_are_exchanged_and_outputs_and_moments_are_the_same(model, tmp_path):
    made, _ = both("ewc", model=model, precision="float64")
    stream = helpers.stream("class")
    made.learn(stream[0])
    made.save(tmp_path / "model")
    other = ll.load(tmp_path / "model", backend="tensorflow")
    samples = made.encode(stream[0].train, stream[0].classes)
    for of in (lambda m: m.outputs(samples).scores, lambda m: m.features(samples)):
        np.testing.assert_allclose(
            made.ops.numpy(of(made)), other.ops.numpy(of(other)), rtol=1e-12, atol=1e-12
        )
    from lifelong.methods.regularization.fisher import fisher

    a, b = (m.ops.numpy(fisher(m, samples, "true")) for m in (made, other))
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)
    for m in (made, other):
        m.learn(stream[1])
    np.testing.assert_allclose(helpers.theta(made), helpers.theta(other), rtol=0, atol=1e-10)


@needs_tensorflow
@pytest.mark.parametrize("name", ["er", "icarl", "packnet", "dgr"])
def test_a_run_begun_on_one_backend_goes_on_on_the_other(name):
    straight, other = both(name, precision="float64")
    stream = list(helpers.stream(helpers.scenario_of(name, "class")))
    stepping = straight.steps(stream[0])
    for _ in range(5):
        next(stepping)
    other.restore(*helpers.whole(straight))
    for _ in stepping:
        pass
    straight.learn(stream[1])
    for task in stream:
        other.learn(task)
    np.testing.assert_allclose(helpers.theta(straight), helpers.theta(other), rtol=0, atol=1e-10)


@dataclass(eq=False)
class Ramp(ll.Part):
    """Pulls towards a point ever harder: a number and a vector that change at every step."""

    name = "ramp"
    family = "regularization"
    paper = "none"

    def start(self, learner):
        self.pull = self.scalar(0)
        self.mean = self.vector(0.0)

    def gradient(self, learner, batch, g):
        return g + 0.01 * self.pull * (learner.theta - self.mean)

    def observe(self, learner, step):
        self.pull = self.pull + 1
        self.mean = 0.9 * self.mean + 0.1 * learner.theta - step.d


@dataclass(eq=False)
class Clip(ll.Part):
    """Shortens the gradient to a length that NumPy computes; weighs its own loss by a stored vector."""

    name = "clip"
    family = "regularization"
    paper = "none"
    host = True

    def start(self, learner):
        self.sum = self.vector(0.0)

    def loss(self, learner, batch, out):
        return 0.01 * learner.ops.mean(out.scores**2)

    def gradient(self, learner, batch, g):
        length = float(np.linalg.norm(learner.ops.numpy(g)))
        return g * min(1.0, 0.5 / length) + 0.01 * self.sum

    def observe(self, learner, step):
        self.sum = 0.5 * self.sum + step.g


@needs_tensorflow
@pytest.mark.parametrize("other", ["naive", "er", "ewc", "icarl", "dgr"])
def test_a_part_that_needs_numbers_runs_between_compiled_pieces(other):
    thetas = []
    for backend in helpers.BACKENDS:
        method = Clip() + helpers.parts(other).parts[0]
        made = helpers.learner(method, backend=backend, precision="float64")
        for task in helpers.stream("class"):
            made.learn(task)
        thetas.append(helpers.theta(made))
    assert np.abs(thetas[0] - thetas[1]).max() < 1e-10


@needs_tensorflow
def test_a_part_that_asks_for_numbers_without_saying_so_is_told():
    part = Clip()
    part.host = False
    made = helpers.learner(part, backend="tensorflow")
    with pytest.raises(LifelongError, match="host = True"):
        made.learn(helpers.stream("class")[0])


@needs_tensorflow
def test_state_that_changes_at_every_step_never_goes_stale_in_a_compiled_one():
    thetas = []
    for made in [helpers.learner(Ramp(), backend=b, precision="float64") for b in helpers.BACKENDS]:
        made.learn(helpers.stream("class")[0])
        thetas.append(helpers.theta(made))
    assert np.abs(thetas[0] - thetas[1]).max() < 1e-10


# --- a user's own Keras model -------------------------------------------------------------------


def own():
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Input((6, 6)),
            keras.layers.Flatten(),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(4),
        ]
    )


@needs_tensorflow
def test_an_own_keras_model_is_taken_as_it_is_and_left_as_it_was():
    model = own()
    before = [v.numpy().copy() for v in model.variables]
    made = helpers.learner("er", model, backend="tensorflow", steps=40)
    result = ll.run(made, helpers.stream("class"))
    assert result.metrics["learning_accuracy"] > 0.7
    assert made.width == 4
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


@needs_tensorflow
def test_its_statistics_move_and_a_copy_of_theta_holds_them():
    made, stream = helpers.learner("naive", own(), backend="tensorflow"), helpers.stream("class")
    made.learn(stream[0])
    (name,) = (n for n in made.backend.statistics if n.endswith("moving_mean"))
    segment = made.backend.segments[name]
    assert helpers.theta(made)[segment.start : segment.stop].any()
    copy, before = made.snapshot(), made.ops.numpy(made.outputs(stream[0].test).scores)
    made.learn(stream[1])
    assert not np.array_equal(made.ops.numpy(made.outputs(stream[0].test).scores), before)
    assert np.array_equal(made.ops.numpy(made.outputs(stream[0].test, at=copy).scores), before)


@needs_tensorflow
def test_its_dropout_is_resumed_to_the_same_bits():
    stream = helpers.stream("class")
    straight = helpers.learner("er", own(), backend="tensorflow", steps=6)
    relay = helpers.learner("er", own(), backend="tensorflow", steps=6)
    for task in stream:
        straight.learn(task)
        place = relay.position.task
        while relay.position.task == place:
            next(relay.steps(task), None)
            state = helpers.whole(relay)
            relay = helpers.learner("er", own(), backend="tensorflow", steps=6)
            relay.restore(*state)
            if relay.ready:
                evaluate(relay, list(stream))
    helpers.same_state(helpers.whole(straight), helpers.whole(relay))


# --- refused ------------------------------------------------------------------------------------


@needs_tensorflow
def test_threads_that_can_no_longer_be_had_are_refused_with_the_way_out():
    made = helpers.learner("naive", backend="tensorflow")
    made.start(helpers.stream("class")[0].train, "class")  # TensorFlow has computed something
    fresh = helpers.learner("naive", backend="tensorflow")
    with pytest.raises(LifelongError, match="pass threads=1, or before"):
        ll.run(fresh, helpers.stream("class"), threads=3)


@needs_tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "precision"),
        ({"device": "cuda:7"}, "not available"),
        ({"device": "abacus"}, "not available"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(options, message):
    with pytest.raises(LifelongError, match=message):
        helpers.learner("naive", backend="tensorflow", **options)


def odd():
    """A Keras model with a frozen layer, a dense one with a call of its own, and one used twice."""
    import keras

    class Threefold(keras.layers.Dense):
        def call(self, x):
            return 3 * keras.ops.matmul(x, self.kernel) + self.bias

    keras.utils.set_random_seed(0)
    still = keras.layers.Dense(6, activation="tanh")
    still.trainable = False
    twice = keras.layers.Dense(6, activation="tanh")
    return keras.Sequential(
        [
            keras.layers.Input((6, 6)),
            keras.layers.Flatten(),
            keras.layers.Dense(6, activation="tanh"),
            still,
            twice,
            twice,
            Threefold(4),
        ]
    )


@needs_tensorflow
@pytest.mark.parametrize("power", [1, 2])
def test_moments_of_an_odd_keras_model_equal_a_loop_over_samples(power):
    import tensorflow as tf

    made = helpers.learner("naive", odd(), backend="tensorflow", steps=4)
    stream = helpers.stream("class")
    made.learn(stream[0])
    samples = made.encode(stream[0].train, stream[0].classes).take(slice(20))

    def terms(out, batch):
        log_p = tf.nn.log_softmax(out.scores)
        return [(tf.exp(tf.stop_gradient(log_p[:, c])), log_p[:, c]) for c in range(4)]

    found = made.ops.numpy(made.moment(samples, terms, power))
    backend = made.backend
    expected = np.zeros(backend.size)
    for i in range(len(samples)):
        row = helpers.batch(made, samples.take([i]))
        with tf.GradientTape(persistent=True) as tape:
            theta = tf.constant(backend.theta)
            tape.watch(theta)
            for weight, value in (pairs := terms(backend._call(row.x, {}, theta, False), row)):
                assert weight.shape == value.shape
        for weight, value in pairs:
            expected += weight.numpy()[0] * np.abs(tape.gradient(value, theta).numpy()) ** power
    np.testing.assert_allclose(found, expected / 20, rtol=1e-3, atol=1e-6 * expected.max())
    kernels = [found[s.start : s.stop] for s in backend.segments.values() if len(s.shape) == 2]
    held = [s for name, s in backend.segments.items() if name in backend.frozen]
    assert len(held) == 2
    assert all((found[s.start : s.stop] == 0).all() for s in held)
    assert sum(piece.max() > 0 for piece in kernels) == 3
