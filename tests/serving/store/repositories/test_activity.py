"""What happened to items lately: counted as events come and go, each user once a type, on both databases."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import delete, func, select

from recstage.config import ValueWeight
from serving.store.admin import migrate, retention
from serving.store.db.connection import open_tool_engine
from serving.store.db.tables import ItemActivity, ItemCount, ItemValueCount, UserInteraction
from serving.store.erasure.erasures import Erase
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.statistics import ItemStatisticsReader
from serving.store.repositories.user_histories import Weighting
from tests.serving.store.factories import event, record

HOUR, DAY = 3_600_000, 86_400_000


def counted(url) -> dict[tuple[str, str], tuple[int, int]]:
    """Events and users by item and type, over all hours."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    with open_tool_engine(url).connect() as connection:
        for one in connection.execute(select(ItemActivity.__table__)):
            events, users = found.get((one.item_id, one.interaction_type), (0, 0))
            found[one.item_id, one.interaction_type] = (events + one.events, users + one.users)
    return found


def recent(store, hours: int = 24) -> dict[str, tuple[float, float, float]]:
    return {one.item_id: (one.decayed, one.recent, one.before) for one in store.activity.recent(hours)}


def test_a_user_counts_once_for_an_item_and_type_however_often_they_come(do, url):
    do(RecordEvents([event("ann"), event("ann"), event("bob")]))
    do(RecordEvents([event("ann"), event("ann", interaction_type="like")]))
    assert counted(url) == {("i1", "click"): (4, 2), ("i1", "like"): (1, 1)}


def test_a_duplicate_and_an_ignored_event_are_not_counted(do, url):
    do(RecordEvents([event("ann", idempotency_key="k")]))
    do(RecordEvents([event("ann", idempotency_key="k")]))
    assert counted(url) == {("i1", "click"): (1, 1)}


def test_erasure_and_retention_subtract_what_they_delete(do, url):
    old = now_ms() - 40 * DAY
    do(RecordEvents([event("ann"), event("ann"), event("bob"), event("cid", occurred_at=old), event("cid")]))
    do(Erase("ann", drop_queued=lambda user: 0))
    assert counted(url) == {("i1", "click"): (3, 2)}
    retention.prune(url, now_ms() - 30 * DAY)
    assert counted(url) == {("i1", "click"): (2, 1)}
    do(Erase("bob", drop_queued=lambda user: 0))
    do(Erase("cid", drop_queued=lambda user: 0))
    assert counted(url) == {}


def test_a_window_counts_its_own_events_more_the_newer_they_are_and_those_of_the_window_before(store, do):
    now = now_ms()
    do(
        RecordEvents(
            [
                event("ann", "new", "like"),
                event("bob", "new", "like", occurred_at=now - 23 * HOUR),
                event("cid", "old", "like", occurred_at=now - 30 * HOUR),
                event("dan", "older", "like", occurred_at=now - 49 * HOUR),
                event("eve", "disliked", "dismiss"),
            ]
        )
    )
    found = recent(store)
    assert set(found) == {"new", "old"}
    decayed, total, before = found["new"]
    assert (total, before) == (pytest.approx(1.4), 0)
    assert 0.7 * 1.25 < decayed < 0.7 * 1.3  # the older one counts somewhat more than a quarter
    assert found["old"] == (0, 0, pytest.approx(0.7))
    assert set(recent(store, 24 * 7)) == {"new", "old", "older"}


def test_an_upgrade_counts_the_events_that_are_there(url, tmp_path):
    record(url, event("ann"), event("ann"), event("bob", occurred_at=now_ms() - DAY))
    before = counted(url)
    try:
        migrate.downgrade(url, "0002", to=tmp_path / "down")
        migrate.upgrade(url, to=tmp_path / "up")
        assert counted(url) == before == {("i1", "click"): (3, 2)}
        record(url, event("ann"))
        assert counted(url) == {("i1", "click"): (4, 2)}
    finally:
        migrate.upgrade(url, with_backup=False)


def test_an_activity_without_events_is_nothing(store, url):
    with open_tool_engine(url).begin() as connection:
        connection.execute(delete(ItemActivity))
    assert recent(store) == {}


def scanned(url, weighting, item_id: str) -> tuple[dict[str, int], int, int, float | None]:
    """Counts by type, users, users who implemented, and the mean weight of an item, from all of its events."""
    with open_tool_engine(url).connect() as connection:
        rows = connection.execute(
            select(UserInteraction.user_id, UserInteraction.interaction_type, UserInteraction.value).where(
                UserInteraction.item_id == item_id
            )
        ).all()
    counts = Counter(kind for _, kind, _ in rows)
    weights = [weighting.weight(kind, value) for _, kind, value in rows]
    implementers = {user for user, kind, _ in rows if kind == "implement"}
    mean = None if not rows else sum(weights) / len(rows)
    return dict(counts), len({user for user, _, _ in rows}), len(implementers), mean


def agree(store, url, weighting) -> None:
    reader = ItemStatisticsReader(store.reader, weighting)
    for item_id in ("i1", "i2", "i3"):
        found, (counts, users, implementers, mean) = reader.of(item_id), scanned(url, weighting, item_id)
        assert (found.counts, found.total, found.users) == (counts, sum(counts.values()), users)
        assert found.implementation_rate == (None if not users else pytest.approx(implementers / users))
        assert found.mean_label == (None if mean is None else pytest.approx(mean))


def test_the_statistics_of_items_are_those_of_all_their_events_whatever_comes_and_goes(store, do, url, data):
    rng = np.random.default_rng(5)
    odd = Weighting(
        {"view": ValueWeight(low=0.2, high=0.9, full=7.5), "rate": ValueWeight(full=300)}, frozenset(), "sum"
    )

    def some(number: int, moment: int) -> list:
        kinds = rng.choice(["view", "rate", "click", "implement", "dismiss"], number).tolist()
        return [
            event(
                f"u{rng.integers(4)}",
                f"i{rng.integers(1, 4)}",
                kind,
                value=[None, 0.0, 0.5, 4.5, 5.0, 59.9, 60.0, 300.5][rng.integers(8)],
                occurred_at=moment,
            )
            for kind in kinds
        ]

    old = now_ms() - 40 * DAY
    for moment in (old, now_ms() - DAY, old, now_ms()):
        do(RecordEvents(some(40, moment)))
        agree(store, url, Weighting.of(data))
    agree(store, url, odd)
    do(Erase("u1", drop_queued=lambda user: 0))
    agree(store, url, Weighting.of(data))
    retention.prune(url, now_ms() - 30 * DAY)
    agree(store, url, Weighting.of(data))
    agree(store, url, odd)
    for user in ("u0", "u2", "u3"):
        do(Erase(user, drop_queued=lambda user: 0))
    with open_tool_engine(url).connect() as connection:
        left = [connection.scalar(select(func.count()).select_from(table)) for table in (ItemCount, ItemValueCount)]
    assert left == [0, 0]


def test_an_upgrade_counts_the_statistics_of_items(store, url, tmp_path, data):
    record(url, event("ann", "i1", "view", value=30.7), event("ann", "i1", "view", value=900.0), event("bob", "i1"))
    try:
        migrate.downgrade(url, "0008", to=tmp_path / "down")
        migrate.upgrade(url, to=tmp_path / "up")
        agree(store, url, Weighting.of(data))
        record(url, event("ann", "i1"), event("cid", "i2", "rate", value=4.5))
        agree(store, url, Weighting.of(data))
    finally:
        migrate.upgrade(url, with_backup=False)
