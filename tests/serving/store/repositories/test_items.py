"""The catalogue: a hidden, expired or deleted item is out of every worker's reach from that moment."""

from __future__ import annotations

import time

import pytest

from serving.store.db.tables import ItemCategory, UserRecommendation
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.items import ChangeItem, DeleteItem, IngestItems, NewItem, item_state
from serving.store.repositories.precomputed import PutLists, UserList
from tests.serving.store.databases import count
from tests.serving.store.factories import event


@pytest.fixture
def film(do) -> str:
    do(IngestItems([NewItem("film", "A film", "about something", ("Drama", "Comedy"))]))
    return "film"


def test_an_item_is_read_as_it_was_ingested(store, film):
    item = store.dependencies().items.item("film")
    assert (item.title, item.text, item.categories) == ("A film", "about something", ("Drama", "Comedy"))
    assert store.dependencies().items.item("nothing") is None


def test_ingesting_again_replaces_everything_of_the_item(store, do, film, url):
    assert do(IngestItems([NewItem("film", "Another"), NewItem("book")])) == (1, 1)
    state = item_state(store.reader, "film")
    assert (state.title, state.text, state.categories) == ("Another", "", ())
    assert count(url, ItemCategory) == 0


def test_an_item_that_an_event_named_first_counts_as_known(do):
    do(RecordEvents([event(item_id="film")]))
    assert do(IngestItems([NewItem("film", "A film")])) == (0, 1)


@pytest.mark.parametrize(
    "hide",
    [
        ChangeItem("film", {"hidden": True}),
        ChangeItem("film", {"expires_at": 1000}),
        DeleteItem("film"),
        IngestItems([NewItem("film", hidden=True)]),
    ],
    ids=["hidden", "expired", "deleted", "ingested hidden"],
)
def test_the_next_read_of_every_worker_lacks_an_item_that_was_withdrawn(open_store, hide):
    one, other = open_store(), open_store()
    one.writer.submit(IngestItems([NewItem("film"), NewItem("book")])).result()
    before = other.hidden_items.hidden()
    assert before.item_ids == frozenset()
    one.writer.submit(hide).result()
    after = other.hidden_items.hidden()
    assert after.item_ids == {"film"}
    assert after.version != before.version
    assert one.hidden_items.hidden() == after


def test_an_item_expires_by_itself(store, do):
    do(IngestItems([NewItem("film", expires_at=now_ms() + 300), NewItem("book")]))
    before = store.hidden_items.hidden()
    assert before.item_ids == frozenset()
    time.sleep(0.35)
    after = store.hidden_items.hidden()
    assert after.item_ids == {"film"}
    assert after.version != before.version


def test_an_item_can_be_shown_again(store, do, film):
    do(ChangeItem("film", {"hidden": True}))
    do(ChangeItem("film", {"hidden": False}))
    assert store.hidden_items.hidden().item_ids == frozenset()
    do(DeleteItem("film"))
    do(IngestItems([NewItem("film")]))
    assert store.hidden_items.hidden().item_ids == frozenset()


def test_nothing_is_read_again_while_nothing_changed(store, do, film):
    do(ChangeItem("film", {"hidden": True}))
    first = store.hidden_items.hidden()
    do(RecordEvents([event(item_id="book")]))
    assert store.hidden_items.hidden() is first
    do(ChangeItem("film", {"title": "Other"}))
    after = store.hidden_items.hidden()
    assert after.item_ids is first.item_ids
    assert after.catalogue != first.catalogue


def test_changing_keeps_what_is_not_named(store, do, film):
    assert do(ChangeItem("film", {"categories": ["Horror"]}))
    state = item_state(store.reader, "film")
    assert (state.title, state.categories, state.hidden) == ("A film", ("Horror",), False)


def test_an_unknown_or_deleted_item_cannot_be_changed(store, do, film):
    assert not do(ChangeItem("nothing", {"hidden": True}))
    assert not do(DeleteItem("nothing"))
    assert do(DeleteItem("film"))
    assert not do(DeleteItem("film"))
    assert not do(ChangeItem("film", {"hidden": False}))
    state = item_state(store.reader, "film")
    assert (state.deleted, state.title, state.categories) == (True, "", ())


def test_a_hidden_item_leaves_precomputed_lists_at_once(store, do, url):
    do(IngestItems([NewItem("film"), NewItem("book", expires_at=now_ms() + 60_000), NewItem("song")]))
    do(
        PutLists(
            "recommender", "7", [UserList("ann", ["film", "book", "song"], [0.9, 0.8, 0.7], "als")], now_ms() + 60_000
        )
    )
    do(ChangeItem("film", {"hidden": True}))
    assert store.precomputed.precomputed("ann", "recommender", "7").item_ids == ("book", "song")
    assert count(url, UserRecommendation) == 2
    do(ChangeItem("book", {"expires_at": now_ms() - 1}))
    assert store.precomputed.precomputed("ann", "recommender", "7").item_ids == ("song",)
