"""A method around a loop of one's own does what it does inside a learner."""

import helpers
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lifelong as ll
from lifelong.attached import Attached
from lifelong.errors import LifelongError
from lifelong.methods import registry

METHODS = ["naive", "er", "ewc", "er+ewc", "si", "online-ewc", "mas", "rwalk", "l2", "lwf", "der",
           "der++", "a-gem", "gem", "dgr"]  # fmt: skip
needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in helpers.BACKENDS,
    reason="TensorFlow is not installed: pip install 'lifelong[all]'",
)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(36, 16), nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(x.flatten(1)).relu())


def floats(stream: ll.Stream) -> list[ll.Task]:
    """Tasks whose inputs are what the model itself takes."""
    from dataclasses import replace

    scaled = lambda s: s.replace(x=s.x.astype(np.float32) / 255)  # noqa: E731
    return [replace(t, train=scaled(t.train), test=scaled(t.test)) for t in stream]


def learned(name: str, model, tasks: list[ll.Task], **options):
    """A learner that has learned the tasks, and the rows of every step, task by task."""
    method = helpers.parts(name)
    made = helpers.learner(method + helpers.probe(lambda *_: None), model, **options)
    rows: list[list[np.ndarray]] = []
    for task in tasks:
        rows.append([])
        place = {int(i): k for k, i in enumerate(task.train.id)}

        def see(hook, learner, given, place=place):
            if hook == "batch":
                rows[-1].append(np.array([place[int(i)] for i in given.samples.id]))

        next(p for p in made.method if p.name == "probe").see = see
        made.learn(task)
    return made, rows


def plain_loop(name: str, model: nn.Module, tasks, rows, scenario: str = "class") -> Attached:
    """The loop of the documentation."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    keeper = ll.attach(model, optimizer, helpers.parts(name), scenario=scenario, seed=1)
    for task, steps in zip(tasks, rows, strict=True):
        x_all, y_all = torch.from_numpy(task.train.x), torch.from_numpy(task.train.y)
        with keeper.task(x_all, y_all):
            for at in steps:
                batch = keeper.batch(x_all[at], y_all[at], at)
                scores = model(batch.x)
                loss = keeper.loss(
                    batch, scores, F.cross_entropy(keeper.seen(scores), batch.y, reduction="none")
                )
                optimizer.zero_grad()
                loss.backward()
                keeper.step()
    return keeper


@pytest.mark.parametrize("name", [n for n in METHODS if n != "dgr"])  # its generator has an optimizer
def test_a_loop_of_ones_own_ends_where_a_learner_does(name):
    scenario = "class"
    tasks = floats(helpers.stream(scenario, classes=6))
    made, rows = learned(name, helpers.own(Own), tasks, optimizer=ll.AdamW(0.01))
    model = helpers.own(Own)
    before = [p.detach().clone() for p in model.parameters()]
    plain_loop(name, model, tasks, rows, scenario)
    theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()
    assert not np.allclose(theta, torch.cat([p.reshape(-1) for p in before]).numpy())
    np.testing.assert_allclose(theta, helpers.theta(made), rtol=0, atol=2e-4)


def test_it_makes_a_difference():
    tasks = floats(helpers.stream("class", classes=6))
    _, rows = learned("naive", helpers.own(Own), tasks, optimizer=ll.AdamW(0.01))
    thetas = []
    for name in METHODS:
        model = helpers.own(Own)
        plain_loop(name, model, tasks, rows)
        thetas.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy().tobytes())
    assert len(set(thetas)) == len(METHODS)


@pytest.mark.parametrize(
    "name", sorted(n for n, p in registry().items() if p.slots or "phases" in vars(p))
)
def test_what_replaces_the_loop_is_refused(name):
    model = helpers.own(Own)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(LifelongError, match=rf"{name} replaces .* use ll.Learner"):
        ll.attach(model, optimizer, name)


def test_saved_and_loaded_it_goes_on(tmp_path):
    tasks = floats(helpers.stream("class", classes=6))
    _, rows = learned("er+ewc", helpers.own(Own), tasks, optimizer=ll.AdamW(0.01))
    straight, stopped, resumed = (helpers.own(Own) for _ in range(3))
    plain_loop("er+ewc", straight, tasks[:2], rows[:2])
    keeper = plain_loop("er+ewc", stopped, tasks[:1], rows[:1])
    keeper.save(tmp_path / "keeper")
    optimizer = torch.optim.AdamW(resumed.parameters(), lr=0.01, weight_decay=0.01)
    again = ll.attach(resumed, optimizer, helpers.parts("er+ewc"), seed=1)
    again.load(tmp_path / "keeper")
    optimizer.load_state_dict(keeper.optimizer.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(stopped.parameters(), resumed.parameters(), strict=True)
    )
    task = tasks[1]
    with again.task(task.train.x, task.train.y):
        for at in rows[1]:
            batch = again.batch(task.train.x[at], task.train.y[at])
            scores = resumed(batch.x)
            loss = again.loss(
                batch, scores, F.cross_entropy(again.seen(scores), batch.y, reduction="none")
            )
            optimizer.zero_grad()
            loss.backward()
            again.step()
    assert all(
        torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True)
    )


def test_statistics_and_frozen_layers_of_the_model_stay_its_own():
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.norm, self.out = nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Linear(8, 6)
            self.hidden.weight.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.norm(self.hidden(x.flatten(1))).relu())

    tasks = floats(helpers.stream("domain", classes=6))
    rows = [[np.arange(16)] * 3 for _ in tasks]
    model = helpers.own(Normed)
    held, mean = model.hidden.weight.clone(), model.norm.running_mean.clone()
    plain_loop("ewc", model, tasks, rows, "domain")
    assert torch.equal(held, model.hidden.weight)
    assert not torch.equal(mean, model.norm.running_mean)
    assert model.training


def test_wrong_use_is_one_clear_line():
    model = helpers.own(Own)
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), "er")
    x, y = np.zeros((4, 6, 6), np.float32), np.array([0, 1, 2, 9])
    with pytest.raises(LifelongError, match="no task has begun"):
        keeper.batch(x, y)
    with pytest.raises(LifelongError, match="ends in 6 scores"), keeper.task(x, y):
        pass
    with pytest.raises(LifelongError, match="whole numbers"), keeper.task(x, y / 2):
        pass
    with pytest.raises(LifelongError, match=r"keeper\.loss"):
        keeper.step()


@needs_tensorflow
@pytest.mark.parametrize("name", ["naive", "er+ewc", "si", "lwf", "der", "gem"])
def test_a_keras_train_step_ends_where_a_learner_does(name):
    helpers.one_tensorflow_thread()
    import keras
    import tensorflow as tf

    def build(kind=keras.Sequential):
        keras.utils.set_random_seed(3)
        layers = keras.layers
        return kind([layers.Input((6, 6)), layers.Flatten(), layers.Dense(16, "relu"), layers.Dense(6)])

    class Kept(keras.Sequential):
        def train_step(self, data):
            batch = self.keeper.batch(*data[:2], self.at)
            with tf.GradientTape() as tape:
                scores = self(batch.x, training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    batch.y, self.keeper.seen(scores)
                )
                loss = self.keeper.loss(batch, scores, losses)
            self.keeper.step(tape.gradient(loss, self.trainable_variables))
            return {"loss": loss}

    scenario = "class"
    tasks = floats(helpers.stream(scenario, classes=6))
    made, rows = learned(name, build(), tasks, optimizer=ll.SGD(0.01), backend="tensorflow")
    model = build(Kept)
    model.compile(optimizer=keras.optimizers.SGD(0.01), run_eagerly=True)
    model.keeper = ll.attach(model, model.optimizer, helpers.parts(name), scenario=scenario, seed=1)
    for task, steps in zip(tasks, rows, strict=True):
        with model.keeper.task(task.train.x, task.train.y):
            for at in steps:
                model.at = at
                model.train_on_batch(task.train.x[at], task.train.y[at])
    theta = np.concatenate([np.asarray(v).reshape(-1) for v in model.trainable_variables])
    np.testing.assert_allclose(theta, helpers.theta(made), rtol=0, atol=1e-4)


# --- what fails has not happened ----------------------------------------------------------------


def one_task(keeper: Attached, task: ll.Task, fail=None, spoil=None) -> None:
    """One pass over a task in batches of 16; ``spoil(x)`` changes a batch, ``fail()`` ends the block."""
    model, optimizer = keeper.model, keeper.optimizer
    x_all, y_all = torch.from_numpy(task.train.x), torch.from_numpy(task.train.y)
    with keeper.task(x_all, y_all):
        for start in range(0, len(x_all), 16):
            x = x_all[start : start + 16].clone()
            if spoil is not None:
                spoil(x)
            batch = keeper.batch(x, y_all[start : start + 16])
            scores = model(batch.x)
            loss = keeper.loss(
                batch, scores, F.cross_entropy(keeper.seen(scores), batch.y, reduction="none")
            )
            optimizer.zero_grad()
            loss.backward()
            keeper.step()
        if fail is not None:
            fail()


def everything(keeper: Attached):
    """A copy of all that may change."""
    held = keeper.model.state_dict() | {
        f"{i} {name}": value
        for i, state in keeper.optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    arrays = {name: value.detach().numpy().copy() for name, value in held.items()}
    arrays, manifest = ({}, {}) if keeper.learner.inputs is None else helpers.whole(keeper.learner)
    return arrays | {f"own {n}": v.detach().numpy().copy() for n, v in held.items()}, manifest


def interrupted() -> None:
    raise KeyboardInterrupt


def diverges(x: torch.Tensor) -> None:
    x *= 1e18


def not_finite(x: torch.Tensor) -> None:
    x[5, 0] = float("nan")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("message", "fail", "spoil"),
    [
        ("no longer finite", None, diverges),
        ("row 5 of the inputs", None, not_finite),
        ("", interrupted, None),
    ],
)
@pytest.mark.parametrize("name", ["er", "ewc"])
def test_a_task_that_fails_has_not_happened(name, message, fail, spoil, first):
    tasks = floats(helpers.stream(classes=6))

    def keeper():
        model = helpers.own(Own)
        return ll.attach(model, torch.optim.SGD(model.parameters(), 0.5, 0.9), helpers.parts(name))

    straight, other = keeper(), keeper()
    if not first:
        one_task(straight, tasks[0])
        one_task(other, tasks[0])
    before = everything(other)
    with pytest.raises(KeyboardInterrupt if fail else LifelongError, match=message):
        one_task(other, tasks[1], fail, spoil)
    helpers.same_state(before, everything(other))
    one_task(straight, tasks[1])
    one_task(other, tasks[1])
    helpers.same_state(everything(straight), everything(other))


def test_a_damaged_file_is_refused_and_changes_nothing(tmp_path):
    from lifelong.files import read_arrays, write_arrays

    tasks = floats(helpers.stream(classes=6))
    model = helpers.own(Own)
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), helpers.parts("er"))
    one_task(keeper, tasks[0])
    keeper.save(tmp_path / "keeper")
    arrays, manifest = read_arrays(tmp_path / "keeper")
    before = everything(keeper)
    short = arrays | {"backend/theta": arrays["backend/theta"][:-1]}
    for spoiled, told in (
        (short, manifest),
        (arrays, {"met": 40}),
        (arrays, manifest | {"met": -1}),
        (arrays, manifest | {"met": "40"}),
        (arrays, []),
    ):
        write_arrays(tmp_path / "spoiled", spoiled, told)
        with pytest.raises(LifelongError, match="damaged or was not written by lifelong"):
            keeper.load(tmp_path / "spoiled")
        helpers.same_state(before, everything(keeper))


# --- where the method edits nothing, it is the plain loop --------------------------------------


class Heads(nn.Module):
    """A head for each task; the loop says which is in use."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.heads = nn.Linear(6, 8), nn.ModuleList(nn.Linear(8, 4) for _ in range(2))
        self.task = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.heads[self.task](self.body(x).relu())


def samples(rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(rows, 6, generator=drawn), torch.arange(rows) % 4


def pass_over(keeper: Attached, x: torch.Tensor, y: torch.Tensor) -> None:
    for start in range(0, len(x), 8):
        batch = keeper.batch(x[start : start + 8], y[start : start + 8])
        scores = keeper.model(batch.x)
        losses = F.cross_entropy(keeper.seen(scores), batch.y, reduction="none")
        keeper.optimizer.zero_grad()
        keeper.loss(batch, scores, losses).backward()
        keeper.step()


OPTIMIZERS = [
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    lambda p: torch.optim.Adam(p, 0.01),
    lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("name", ["naive", "er", "si"])
def test_a_head_that_a_task_does_not_use_stays(name, make):
    model, (x, y) = helpers.own(Heads), samples()
    keeper = ll.attach(model, make(model.parameters()), name)
    for model.task in (0, 1):
        before = [p.detach().clone() for p in model.parameters()]
        with keeper.task(x, y):
            pass_over(keeper, x, y)
        used = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert used == [False, False, model.task == 1, model.task == 1, model.task == 0, model.task == 0]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_naive_is_the_plain_loop_to_the_bit(make, dtype):
    mine, theirs = helpers.own(Heads).to(dtype), helpers.own(Heads).to(dtype)
    x, y = samples()
    x = x.to(dtype)
    optimizer = make(mine.parameters())
    keeper = ll.attach(theirs, make(theirs.parameters()), "naive")
    for mine.task in (0, 1):
        theirs.task = mine.task
        for start in range(0, len(x), 8):
            optimizer.zero_grad()
            F.cross_entropy(mine(x[start : start + 8]), y[start : start + 8]).backward()
            optimizer.step()
        with keeper.task(x, y):
            pass_over(keeper, x, y)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("name", ["naive", "er", "ewc", "lwf"])
def test_tokens_come_back_as_they_were_given(name, dtype):
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(256, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.table(x.long()[:, 0])

    model = helpers.own(Tokens)
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), name)
    x = torch.tensor([[200], [7], [0], [255]], dtype=dtype)
    for _ in range(2):
        with keeper.task(x, torch.arange(4)):
            batch = keeper.batch(x, torch.arange(4))
            assert batch.x.dtype == dtype
            assert torch.equal(batch.x[:4], x)
            scores = model(batch.x)
            losses = F.cross_entropy(scores, batch.y, reduction="none")
            keeper.loss(batch, scores, losses).backward()
            keeper.step()


@pytest.mark.parametrize("name", ["naive", "er", "ewc", "si", "a-gem"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.SparseAdam])
def test_sparse_gradients(name, kind):
    def make():
        return helpers.own(lambda: nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten()))

    x, y = torch.arange(8)[:, None], torch.arange(8) % 4
    mine, theirs = make(), make()
    optimizer = kind(mine.parameters(), 0.1)
    keeper = ll.attach(theirs, kind(theirs.parameters(), 0.1), name)
    with keeper.task(x, y):
        pass_over(keeper, x, y)
    F.cross_entropy(mine(x), y).backward()
    optimizer.step()
    torch.testing.assert_close(mine[0].weight, theirs[0].weight)  # in the first task nothing is edited
    with keeper.task(x, y):
        pass_over(keeper, x, y)


@pytest.mark.parametrize("name", ["der++", "der", "lwf", "ewc", "er", "si", "gem"])
def test_autocast(name):
    model, (x, y) = helpers.own(Own), samples()
    x = torch.cat([x] * 6, 1)
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), name)
    before = model.out.weight.detach().clone()
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16), keeper.task(x, y):
            pass_over(keeper, x, y)
    assert torch.isfinite(model.out.weight).all()
    assert not torch.equal(before, model.out.weight)


def test_what_a_loop_cannot_be_is_one_line():
    model = helpers.own(Own)
    with pytest.raises(LifelongError, match="LBFGS computes the loss several times"):
        ll.attach(model, torch.optim.LBFGS(model.parameters()), "naive")
    half = helpers.own(Own).bfloat16()
    with pytest.raises(LifelongError, match=r"bfloat16 on cpu; .*use torch\.autocast"):
        ll.attach(half, torch.optim.SGD(half.parameters(), 0.1), "naive")
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), "naive")
    x, y = torch.zeros(4, 36), torch.arange(4)
    for wrong in (x.to_sparse(), x.bfloat16(), {"a": x}, [object()] * 4):
        with pytest.raises(LifelongError, match="give dense arrays"), keeper.task(wrong, y):
            pass
    with pytest.raises(LifelongError, match="no class has come yet"):
        keeper.seen(torch.zeros(4, 6))


def test_classes_that_have_not_come_are_left_out():
    model, (x, y) = helpers.own(Own), samples()
    x = torch.cat([x] * 6, 1)
    keeper = ll.attach(model, torch.optim.SGD(model.parameters(), 0.1), "naive")
    bias = model.out.bias.detach().clone()
    with keeper.task(x, y):
        pass_over(keeper, x, y)
    assert torch.equal(model.out.bias[4:], bias[4:])
    assert not torch.equal(model.out.bias[:4], bias[:4])
    shown = keeper.seen(torch.tensor([[0.0, 1, 2, 3, 9, 9]]))
    assert shown.tolist() == [[0, 1, 2, 3, -1e9, -1e9]]


@needs_tensorflow
@pytest.mark.parametrize("name", ["naive", "er", "si"])
def test_a_keras_head_that_a_task_does_not_use_stays(name):
    helpers.one_tensorflow_thread()
    import keras
    import tensorflow as tf

    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.heads, self.task = [keras.layers.Dense(4), keras.layers.Dense(4)], 0
            for head in self.heads:
                head.build((None, 6))

        def call(self, x):
            return self.heads[self.task](tf.cast(x, "float32"))

    keras.utils.set_random_seed(1)
    model, (x, y) = Two(), samples()
    model(x.numpy())
    keeper = ll.attach(model, keras.optimizers.Adam(0.01, weight_decay=0.1), name)
    numbers = (x.numpy() * 50).clip(0, 255).astype(np.uint8)
    for model.task in (0, 1):
        before = model.get_weights()
        with keeper.task(numbers, y.numpy()):
            for start in range(0, 40, 8):
                rows = slice(start, start + 8)
                batch = keeper.batch(numbers[rows], y.numpy()[rows])
                np.testing.assert_array_equal(batch.x[:8], numbers[rows])
                with tf.GradientTape() as tape:
                    scores = model(batch.x)
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, scores)
                    loss = keeper.loss(batch, scores, losses)
                keeper.step(tape.gradient(loss, model.trainable_variables))
        same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
        assert same == [model.task == 1] * 2 + [model.task == 0] * 2
