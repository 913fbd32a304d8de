"""Labels are names: renamed, merged, retired and admitted again, and all of it is state."""

import helpers
import numpy as np
import pytest

import lifelong as ll
from lifelong.errors import LifelongError
from lifelong.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("backend")


def learned(name="er", scenario="class", **options):
    met = helpers.tasks(helpers.stream(scenario, classes=6))
    made = helpers.learner(name, steps=40, **options)
    for task in met[:2]:
        made.learn(task)
    return made, met


def test_a_renamed_class_answers_by_its_new_name():
    made, met = learned()
    before = made.predict(met[0].test.x)
    old = str(before[0])
    made.rename(old, "zebra")
    after = made.predict(met[0].test.x)
    assert np.array_equal(np.where(before == old, "zebra", before), after)
    with pytest.raises(LifelongError, match="merge"):
        made.rename("zebra", next(name for name in made.classes if name != "zebra"))
    with pytest.raises(LifelongError, match="unknown class"):
        made.rename(old, "horse")


@pytest.mark.parametrize("output", ["seen", "all"])
def test_merged_classes_are_one(output, tmp_path):
    made, met = learned(output=output)
    a, b = met[0].classes[0], met[1].classes[2]
    before = made.predict(met[1].test.x)
    columns = [made.classes.index(name) for name in (a, b)]
    held = made.memories[0].samples.y
    count = np.isin(held, columns).sum()
    made.merge(b, into=a)
    after = made.predict(met[1].test.x)
    assert np.array_equal(np.where(before == b, a, before), after)
    assert (made.memories[0].samples.y == columns[0]).sum() == count
    # what is given by the second column counts as right for the first's label
    names = tuple(dict.fromkeys(made.classes))
    y = np.array(
        [names.index(a if met[1].classes[k] == b else met[1].classes[k]) for k in met[1].test.y]
    )
    test = met[1].test.replace(y=y)
    task = ll.Task("both", test, test, names, "class", (0, 1), None, 0)
    expected = (after == np.array(names)[y]).mean()
    assert evaluate(made, [task]).accuracy(False) == [pytest.approx(expected)]
    made.learn(met[2])  # and it learns on
    made.save(tmp_path / "model")
    loaded = ll.load(tmp_path / "model")
    assert loaded.predict(met[1].test.x).tolist() == made.predict(met[1].test.x).tolist()


@pytest.mark.parametrize("name", ["er", "icarl", "der", "er+ewc"])
@pytest.mark.parametrize("output", ["seen", "all"])
def test_a_retired_class_is_never_answered_until_it_comes_back(name, output, tmp_path):
    made, met = learned(name, output=output)
    x = met[0].test.x
    gone = str(made.predict(x)[0])
    made.retire(gone)
    assert gone not in made.predict(x)
    assert made.classes.index(gone) not in made.memories[0].samples.y
    made.save(tmp_path / "model")
    loaded = ll.load(tmp_path / "model")
    helpers.same_state(helpers.whole(made), helpers.whole(loaded))
    made.learn(met[2])
    assert gone not in made.predict(x)
    assert np.isfinite(helpers.theta(made)).all()
    made.readmit(gone)
    assert made.retired == []
    made.retire(gone)
    names, label = met[0].classes, met[0].classes.index(gone)
    source = next(task.train for task in met if label in task.labels)
    rows = source.take(source.y == label).replace(id=np.arange(1000, 1040), task=np.full(40, 3))
    made.learn(ll.Task("back", rows, rows, names, "class", (3, 4), None, 3))  # what is learned is back
    assert (made.predict(rows.x) == gone).mean() > 0.5


def test_a_head_answers_without_its_retired_class():
    made, met = learned("ewc", "task")
    gone = met[0].classes[0]
    made.retire(gone)
    assert set(made.predict(met[0].test.x, task=0)) == {met[0].classes[1]}
    with pytest.raises(LifelongError, match="different tasks"):
        made.merge(met[0].classes[1], into=met[1].classes[2])
    with pytest.raises(LifelongError, match="retired already"):
        made.retire(gone)
    with pytest.raises(LifelongError, match="not retired"):
        made.readmit(met[0].classes[1])


def test_what_is_done_to_a_merged_class_is_done_to_all_of_it():
    made, met = learned()
    x = np.concatenate([task.test.x for task in met[:2]])
    a, b, c = made.classes[:3]
    expected = np.where(np.isin(made.predict(x), [a, b, c]), "abc", made.predict(x))
    made.merge(b, into=a)
    made.merge(a, into=c)  # into the later column: all three are one
    made.rename(c, "abc")
    assert made.predict(x).tolist() == expected.tolist()
    assert set(made.classes) == {"abc", made.classes[3]}
    assert np.isin(made.memories[0].samples.y, [0, 3]).all()
    made.retire("abc")
    assert set(made.predict(x)) == {made.classes[3]}
    assert set(made.memories[0].samples.y) == {3}
    with pytest.raises(LifelongError, match="readmit"):
        made.merge(made.classes[3], into="abc")
    made.readmit("abc")
    assert made.predict(x).tolist() == expected.tolist()


def test_labels_change_between_tasks_only():
    made, met = learned()
    next(made.steps(met[2]))
    with pytest.raises(LifelongError, match="between tasks"):
        made.retire(met[0].classes[0])


def test_samples_are_removed_from_a_memory_by_their_ids():
    made, _ = learned()
    memory = made.memories[0]
    ids = memory.samples.id[:5].copy()
    keys = memory.keys[5:].copy()
    assert memory.remove([*ids.tolist(), -7]) == 5
    assert not np.isin(memory.samples.id, ids).any()
    assert np.array_equal(memory.keys, keys)
    assert memory.remove(ids) == 0
    assert ll.Memory(5).remove([1]) == 0
