import numpy as np
import pytest

from recstage.data.interactions import IdMap, Interactions
from recstage.data.kind import kind_of


def rows(users, items, each, *, ordered=True, weight=1.0):
    ids = [IdMap(np.array([f"{name}{i:05}" for i in range(n)], object)) for name, n in (("u", users), ("i", items))]
    user = np.repeat(np.arange(users), each)
    item = (user * 97 + np.tile(np.arange(each), users) * 31) % items
    times = np.arange(len(user))
    return Interactions.from_arrays(*ids, user, item, np.full(len(user), weight), times, ordered=ordered)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (rows(50, 100, 20), "dense"),
        (rows(300, 3000, 20), "sparse"),
        (rows(200, 60, 3), "sessions"),
        (rows(50, 100, 20, ordered=False), "unordered"),
        (rows(5, 40, 6, weight=0.0), "sparse"),
    ],
)
def test_kinds_follow_from_order_lengths_and_density(found, kind):
    assert kind_of(found) == kind
