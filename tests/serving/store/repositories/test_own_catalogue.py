"""The service's own catalogue in memory: brought up to date by what changed, the same in every process."""

from __future__ import annotations

from serving.store.repositories.events import RecordEvents
from serving.store.repositories.items import ChangeItem, DeleteItem, IngestItems, NewItem
from tests.serving.store.factories import event


def own(store) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = store.own_catalogue.at(store.hidden_items.hidden().catalogue)
    return {item_id: (one.title, one.categories) for item_id, one in found.items.items()}


def test_described_items_are_in_it_with_their_categories_in_order_and_items_of_events_alone_are_not(store, do):
    do(RecordEvents([event(item_id="seen")]))
    do(IngestItems([NewItem("film", "A film", categories=("Drama", "Art")), NewItem("book", text="Words")]))
    assert own(store) == {"film": ("A film", ("Drama", "Art")), "book": ("", ())}


def test_a_change_is_followed_and_a_deleted_item_leaves(store, do):
    do(IngestItems([NewItem("film", "A film", categories=("Drama",)), NewItem("book", "A book")]))
    assert len(own(store)) == 2
    do(ChangeItem("film", {"categories": ["Horror", "Art"]}))
    do(DeleteItem("book"))
    assert own(store) == {"film": ("A film", ("Horror", "Art"))}


def test_another_process_sees_the_change_with_its_next_read(open_store):
    one, other = open_store(), open_store()
    one.writer.submit(IngestItems([NewItem("film", "A film")])).result(timeout=20)
    assert own(other) == {"film": ("A film", ())}
    one.writer.submit(ChangeItem("film", {"title": "Another"})).result(timeout=20)
    assert own(other) == own(one) == {"film": ("Another", ())}


def test_nothing_is_read_while_nothing_changed_and_what_stays_equal_is_kept(store, do):
    do(IngestItems([NewItem("film", "A film")]))
    counter = store.hidden_items.hidden().catalogue
    first = store.own_catalogue.at(counter)
    assert store.own_catalogue.at(counter) is first
    do(ChangeItem("film", {"hidden": True}))
    assert store.own_catalogue.at(store.hidden_items.hidden().catalogue).items["film"].title == "A film"


def test_a_database_of_an_older_day_replaces_everything(store, do):
    do(IngestItems([NewItem("film", "A film")]))
    counter = store.hidden_items.hidden().catalogue
    store.own_catalogue.at(counter + 5)
    do(DeleteItem("film"))
    assert store.own_catalogue.at(counter).items == {}
