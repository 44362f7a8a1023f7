"""What was shown and what came of it: impressions, feedback, precomputed lists, statistics."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from serving.interfaces import Impression
from serving.monitoring.metrics import Metrics
from serving.store.db.connection import open_tool_engine
from serving.store.db.tables import (
    SHOWN_ITEMS,
    RecommendationFeedback,
    RecommendationImpression,
    User,
    UserRecommendation,
)
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.feedback import ItemOutcome, ListOfAnotherUser, NotShown, RecordFeedback
from serving.store.repositories.impressions import ImpressionQueue, WriteImpressions
from serving.store.repositories.items import IngestItems, NewItem
from serving.store.repositories.precomputed import DeleteStaleLists, PutLists, UserList
from serving.store.repositories.user_histories import events_of, preferences_of
from serving.store.repositories.users import PutProfile
from serving.store.store import Store
from tests.serving.store.databases import count, locked
from tests.serving.store.factories import event, settings_for, wait_until


def shown(request_id="r1", user_id="ann", item_ids=("film", "book"), **values) -> Impression:
    n = len(item_ids)
    scores = values.pop("scores", tuple(1.0 - 0.1 * i for i in range(n)))
    return Impression(
        request_id, user_id, tuple(item_ids), scores, (1.0,) * n, "als", "7", int(time.time()) + 1, **values
    )


def store_shown(do, *lists: Impression) -> None:
    do(WriteImpressions(lists))


def outcome(item_id="film", name="click", value=None) -> ItemOutcome:
    return ItemOutcome(item_id, name, now_ms(), value)


# -- impressions ------------------------------------------------------------------------------------------------------


def test_a_list_is_stored_soon_as_one_row_best_first(store, url):
    store.impressions.record(shown(scores=(0.9, float("nan"))))
    wait_until(lambda: count(url, RecommendationImpression) == 1)
    with open_tool_engine(url).connect() as connection:
        held = SHOWN_ITEMS.c
        rows = connection.execute(
            select(held.rank, held.item_id, held.score, held.propensity, held.user_id, held.model_version)
        ).all()
    assert rows == [(1, "film", 0.9, 1.0, "ann", "7"), (2, "book", 0.0, 1.0, "ann", "7")]
    assert store.metrics.impressions.labels("kept")._value.get() == 1


def test_lists_that_a_full_disk_makes_wait_are_counted_once_when_they_are_committed(sqlite_url, open_store):
    store = open_store(busy_timeout=0.05)
    if not store.fast:
        pytest.skip("a lock of SQLite")
    with locked(store.url):
        store.impressions.record(shown())
        wait_until(lambda: store.writer.failure is not None)
        time.sleep(0.2)  # several tries
        assert store.metrics.impressions.labels("kept")._value.get() == 0
    wait_until(lambda: store.metrics.impressions.labels("kept")._value.get() == 1)


def test_lists_beyond_the_bound_are_dropped_and_counted():
    counted = {"kept": 0, "dropped": 0}

    def note(name, number):
        counted[name] += number

    queue = ImpressionQueue(lambda: None, note, max_size=3)
    for i in range(5):
        queue.record(shown(f"r{i}"))
    assert (len(queue), counted["dropped"]) == (3, 2)
    task = queue.take()
    assert [one.request_id for one in task.impressions] == ["r0", "r1", "r2"]
    assert queue.take() is None
    queue.record(shown("r9"))
    queue.failed(task)  # the database refused: what still fits waits again, in order, newest kept
    assert [one.request_id for one in queue.take().impressions] == ["r1", "r2", "r9"]
    assert counted["dropped"] == 3


def test_lists_survive_a_database_that_is_locked_for_a_while(sqlite_url, data, tmp_path):
    store = Store(sqlite_url, data, settings_for(sqlite_url, tmp_path), Metrics(), busy_timeout=0.05)
    with locked(sqlite_url):
        store.impressions.record(shown())
        time.sleep(0.4)
    wait_until(lambda: count(sqlite_url, RecommendationImpression) == 1)
    store.close()


def test_nothing_is_kept_of_lists_for_users_who_opted_out(do, url):
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    store_shown(do, shown("r1", "ann"), shown("r2", "bob"))
    assert count(url, RecommendationImpression) == 1


def test_a_request_id_that_comes_twice_keeps_its_first_list(do, url):
    store_shown(do, shown("r1", "ann", ("film",)))
    store_shown(do, shown("r1", "bob", ("song", "book")))
    assert count(url, RecommendationImpression) == 1
    assert count(url, User) == 1


# -- feedback ---------------------------------------------------------------------------------------------------------


def test_an_outcome_is_joined_to_its_list(do, url):
    store_shown(do, shown())
    receipt = do(RecordFeedback("r1", None, [outcome("film"), outcome("book", "dismiss")]))
    assert (receipt.matched, receipt.stored, receipt.model_version) == (True, 2, "7")
    with open_tool_engine(url).connect() as connection:
        user_ids = connection.execute(select(RecommendationFeedback.user_id)).scalars().all()
    assert user_ids == ["ann", "ann"]


def test_an_outcome_counts_once(do, url):
    store_shown(do, shown())
    do(RecordFeedback("r1", None, [outcome("film")]))
    receipt = do(RecordFeedback("r1", None, [outcome("film"), outcome("film", "like"), outcome("film", "like")]))
    assert (receipt.stored, receipt.duplicates) == (1, 2)
    assert count(url, RecommendationFeedback) == 2


def test_a_list_that_still_waits_to_be_stored_is_matched(store, do, url):
    store.impressions._wake = lambda: None
    store.writer._backlog = None  # it is not stored in the background
    store.impressions.record(shown())
    assert do(RecordFeedback("r1", "ann", [outcome()], queued=store.impressions.queued)).matched
    do(store.impressions.take())
    assert count(url, RecommendationImpression) == 1


def test_an_unknown_list_is_accepted_unmatched(do, url):
    receipt = do(RecordFeedback("lost", "ann", [outcome()]))
    assert (receipt.matched, receipt.stored, receipt.model_version) == (False, 1, None)
    assert do(RecordFeedback("lost", None, [outcome("song")])).stored == 1


def test_an_item_that_was_not_shown_is_refused(do, url):
    store_shown(do, shown())
    with pytest.raises(NotShown, match="Item 'song' was not in the list of request 'r1'"):
        do(RecordFeedback("r1", None, [outcome("film"), outcome("song")]))
    assert count(url, RecommendationFeedback) == 0


def test_the_list_of_another_user_is_refused(do):
    store_shown(do, shown())
    with pytest.raises(ListOfAnotherUser, match="The list of request 'r1' was shown to another user"):
        do(RecordFeedback("r1", "bob", [outcome()]))


def test_feedback_of_users_who_opted_out_is_not_kept(do, url):
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    receipt = do(RecordFeedback("r1", "ann", [outcome()]))
    assert (receipt.stored, receipt.ignored) == (0, 1)
    assert count(url, RecommendationFeedback) == 0


# -- precomputed lists ------------------------------------------------------------------------------------------------


def put(do, version="7", items=("film", "book"), scores=(0.9, 0.8), *, seconds=60.0) -> int:
    return do(PutLists("recommender", version, [UserList("ann", items, scores, "als")], now_ms() + int(seconds * 1000)))


def test_a_list_is_read_best_first_for_its_version_only(store, do):
    put(do, items=("book", "film"), scores=(0.1, 0.9))
    found = store.precomputed.precomputed("ann", "recommender", "7")
    assert (found.item_ids, found.scores, found.method) == (("film", "book"), (0.9, 0.1), "als")
    assert store.precomputed.precomputed("ann", "recommender", "8") is None
    assert store.precomputed.precomputed("bob", "recommender", "7") is None


def test_a_promotion_voids_lists_and_a_rollback_finds_its_own(store, do):
    put(do, "7")
    put(do, "8", ("song",), (0.5,))
    assert store.precomputed.precomputed("ann", "recommender", "8").item_ids == ("song",)
    assert store.precomputed.precomputed("ann", "recommender", "7").item_ids == ("film", "book")


def test_a_list_from_before_the_version_was_made_is_of_another_registry(store, do):
    put(do)
    now = now_ms()
    assert store.precomputed.precomputed("ann", "recommender", "7", now - 1000) is not None
    assert store.precomputed.precomputed("ann", "recommender", "7", now + 1000) is None


def test_a_new_list_replaces_the_old_one_of_the_same_version(store, do):
    put(do)
    put(do, items=("song",), scores=(0.5,))
    assert store.precomputed.precomputed("ann", "recommender", "7").item_ids == ("song",)


def test_an_expired_list_is_not_read_and_can_be_cleared(store, do, url):
    put(do, seconds=-1)
    put(do, "8")
    put(do, "9")
    assert store.precomputed.precomputed("ann", "recommender", "7") is None
    assert do(DeleteStaleLists()) == 2
    assert do(DeleteStaleLists("recommender", keep="9")) == 2
    assert count(url, UserRecommendation) == 2
    assert store.precomputed.precomputed("ann", "recommender", "9") is not None


# -- statistics -------------------------------------------------------------------------------------------------------


def test_what_became_of_an_item_by_hand(store, do):
    """Shown 4 times, clicked twice (once by feedback, once by an event that names its list, once by both ways)."""
    store_shown(do, *(shown(f"r{i}", f"u{i}", ("film", "book")) for i in range(4)))
    do(RecordFeedback("r0", None, [outcome("film"), outcome("book", "dismiss")]))
    do(
        RecordEvents(
            [
                event("u0", "film", request_id="r0"),
                event("u1", "film", request_id="r1"),
                event("u2", "film", request_id="elsewhere"),
                event("u2", "film", "rate", value=5.0),
                event("u3", "film", "implement"),
                event("u3", "film", "view", value=30.0),
                event("u3", "film", "view", value=600.0),
            ]
        )
    )
    found = store.item_statistics.of("film")
    assert found.counts == {"click": 3, "implement": 1, "rate": 1, "view": 2}
    assert (found.users, found.shown, found.clicked) == (4, 4, 2)
    assert found.click_through_rate == pytest.approx(2 / 4)
    assert found.implementation_rate == pytest.approx(1 / 4)
    assert found.mean_label == pytest.approx((3 * 0.4 + 1.0 + 1.0 + 0.25 + 0.4) / 7)


def test_an_item_without_events_has_empty_statistics(store, do):
    do(IngestItems([NewItem("film")]))
    found = store.item_statistics.of("film")
    assert (found.counts, found.users, found.shown, found.clicked) == ({}, 0, 0, 0)
    assert (found.click_through_rate, found.implementation_rate, found.mean_label) == (None, None, None)


def test_preferences_share_an_items_weight_among_its_categories(store, do):
    do(IngestItems([NewItem("film", categories=("drama", "comedy")), NewItem("book", categories=("drama",))]))
    do(RecordEvents([event("ann", "film"), event("ann", "book"), event("ann", "song")]))
    found = preferences_of(store.reader, "ann", [("film", 1.0), ("book", 1.0), ("song", 1.0), ("no", -1.0)])
    assert found == pytest.approx({"drama": 0.75, "comedy": 0.25})
    assert list(found) == ["drama", "comedy"]


def test_pages_of_a_history_neither_repeat_nor_miss_events(store, do):
    moment = now_ms() - 1000
    do(RecordEvents([event("ann", f"i{i}", occurred_at=moment + i // 4) for i in range(23)]))
    seen, before = [], None
    while True:
        page = events_of(store.reader, "ann", 5, *([] if before is None else [before]))
        if not page:
            break
        seen += [one.item_id for one in page]
        before = (page[-1].occurred_at, page[-1].number)
    assert seen == [f"i{i}" for i in reversed(range(23))]


def test_a_snapshot_is_what_retraining_would_read(store, do):
    do(IngestItems([NewItem("film", "A film", "text", ("drama",)), NewItem("gone", hidden=True)]))
    do(RecordEvents([event("ann", "film"), event("ann", "film", "like"), event("bob", "film", "dismiss")]))
    do(RecordEvents([event("eve", "film")]))
    do(PutProfile("eve", role=None, categories=(), opted_out=True))
    before = store.training_snapshot.version()
    snapshot = store.training_snapshot.snapshot()
    rows = {(row.user_id, row.item_id): row.weight for row in snapshot.interactions.itertuples()}
    assert rows == pytest.approx({("ann", "film"): 1.1, ("bob", "film"): 0.0})
    items = snapshot.items.set_index("item_id")
    assert items.loc["film", ["title", "categories", "available"]].tolist() == ["A film", ["drama"], True]
    assert not items.loc["gone", "available"]
    assert snapshot.version == before == store.training_snapshot.version()
    do(RecordEvents([event("ann", "book")]))
    assert store.training_snapshot.version() != before


def test_a_snapshot_of_nothing_is_empty(store):
    snapshot = store.training_snapshot.snapshot()
    assert list(snapshot.interactions.columns) == ["user_id", "item_id", "weight", "timestamp"]
    assert len(snapshot.interactions) == len(snapshot.items) == 0
    assert "available" in snapshot.items
