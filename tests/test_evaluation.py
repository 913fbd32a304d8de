"""What an evaluation counts, and how much memory it takes for it."""

import helpers
import numpy as np
import pytest

import lifelong as ll
from lifelong.evaluation import evaluate
from lifelong.objectives import classification


def learned(scenario: str = "class", **options):
    made = helpers.learner("er", **options)
    met = helpers.stream(scenario)
    for task in met:
        made.learn(task)
    return made, list(met)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_recall_is_that_of_the_predictions(scenario, monkeypatch):
    """With a confusion matrix and, where there are too many classes for one, without."""
    made, tests = learned(scenario)
    right, total = np.zeros(4), np.zeros(4)
    for task in tests:
        told = task.id if scenario == "task" else None
        names = np.array(task.classes)[task.test.y]
        predicted = made.predict(task.test.x, told)
        for name in set(names):
            column = made.classes.index(name)
            total[column] += (names == name).sum()
            right[column] += ((names == name) & (predicted == name)).sum()
    whole = evaluate(made, tests)
    monkeypatch.setattr(classification, "CONFUSED", 3)
    bounded = evaluate(made, tests)
    expected = [r / t if t else None for r, t in zip(right, total, strict=True)][: made.width]
    assert whole.recall == bounded.recall == expected
    known = [r for r in expected if r is not None]
    assert whole.balanced_accuracy == bounded.balanced_accuracy == pytest.approx(np.mean(known))
    assert np.diag(whole.confusion).tolist() == right[: made.width].tolist()
    assert (bounded.confusion is None) == (made.width > 3)
    assert (whole.rows, whole.summary) == (bounded.rows, bounded.summary)


def test_numbers_have_no_recall():
    rng = np.random.default_rng(0)
    x = rng.random((40, 3), np.float32)
    samples = ll.Samples(x=x, y=x[:, :1] * 2, id=np.arange(40))
    data = ll.Dataset("line", samples, samples, ("out",))
    made = helpers.learner("naive", objective="regression")
    (task,) = data.whole("domain")
    made.learn(task)
    found = evaluate(made, [task])
    assert (found.recall, found.balanced_accuracy, found.confusion) == ([], None, None)


def test_many_classes_and_many_tasks_take_little_memory():
    """2,000 classes in 20 tasks: a tally of pairs for each task would take 1.3 GB."""
    classes, tasks = 2000, 20
    rng = np.random.default_rng(0)
    y = np.arange(classes)
    samples = ll.Samples(x=rng.random((classes, 4), np.float32), y=y, id=y)
    data = ll.Dataset("many", samples, samples, tuple(map(str, y)))
    made = helpers.learner("naive", ll.models.mlp(8), output="all", steps=1)
    met = list(data.split(classes // tasks, "class"))
    made.learn(met[0])
    numbers = tasks * 2 * made.objective.nothing(made).shape[0] + made.objective.counted(made)
    assert numbers < 10_000
    found = evaluate(made, met)
    assert found.confusion is None
    assert len(found.recall) == classes
