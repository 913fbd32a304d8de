"""What a file says of ids is checked before anything is done with it."""

import numpy as np
import pytest

from lifelong import LifelongError
from lifelong.ids import LARGEST, Ids


def ids(last=7):
    met = Ids()
    met.take("january", np.array([3, last]), own=True)
    return met


@pytest.mark.parametrize("last", [7, LARGEST])
def test_ids_come_back_from_a_file(last):
    back = Ids.of(ids(last).to_json(), ids(last).ranges)
    assert (back.next, back.told) == (last + 1, ids(last).told)
    np.testing.assert_array_equal(back.ranges, [[3, 3], [last, last]])


@pytest.mark.parametrize("name", ["data", "own", "first", "last", "rows"])
@pytest.mark.parametrize("value", [None, [], 1.5, "gone"])
def test_a_damaged_entry_is_refused(name, value):
    manifest, entry = ids().to_json(), dict(ids().told[0])
    if value == "gone":
        del entry[name]
    else:
        entry[name] = value
    with pytest.raises(LifelongError, match="damaged"):
        Ids.of(manifest | {"told": [entry]}, ids().ranges)


WRONG = (
    [],
    {},
    {"next": 8},
    {"next": -1, "told": []},
    {"next": True, "told": []},
    {"next": LARGEST + 2, "told": []},
    {"next": 8, "told": {}},
)


@pytest.mark.parametrize("manifest", WRONG)
def test_a_damaged_manifest_is_refused(manifest):
    with pytest.raises(LifelongError, match="damaged"):
        Ids.of(manifest, ids().ranges)
