"""The order of events, and of the pairs that they are of."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.data.event_log import EventLog, _stable_order
from recstage.data.interactions import IdMap


@pytest.mark.parametrize("greatest", [0, 50, 1 << 40, 1 << 62], ids=["all equal", "small", "large", "beyond one word"])
def test_keys_are_sorted_and_equal_ones_stay_as_they_come(greatest: int) -> None:
    keys = np.random.default_rng(0).integers(0, 8, 500) * (greatest // 8)

    assert _stable_order(keys).tolist() == np.argsort(keys, kind="stable").tolist()


def test_no_keys_have_an_order_of_none() -> None:
    assert len(_stable_order(np.empty(0, np.int64))) == 0


def test_pairs_are_numbered_by_user_and_item_and_open_with_their_first_event() -> None:
    user, item = np.array([0, 0, 0, 1, 1], np.int32), np.array([2, 1, 2, 0, 2], np.int32)
    flat = np.zeros(5, np.int8)
    users, items = IdMap.of_size(2), IdMap.of_size(3)
    log = EventLog(users, items, user, item, np.ones(5, np.float32), flat == 1, np.arange(5), flat)

    assert log.pair_keys.tolist() == [1, 2, 3, 5]
    assert log.first.tolist() == [1, 0, 3, 4]
    assert log.pair.tolist() == [1, 0, 1, 2, 3]
