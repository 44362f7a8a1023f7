"""Events: each stored at most once, a request as a whole or not at all, none of users who opted out."""

from __future__ import annotations

import time
from concurrent.futures import wait

import pytest

from serving.store.db.errors import StoreBusy, StoreUnavailable
from serving.store.db.tables import Item, User, UserInteraction
from serving.store.db.writer import Task, Writer
from serving.store.erasure.erasures import Erase
from serving.store.repositories import user_histories
from serving.store.repositories.events import KeyReused, RecordEvents, now_ms
from serving.store.repositories.users import PutProfile
from tests.serving.store.databases import count, locked
from tests.serving.store.factories import event


def test_events_are_stored_and_bring_their_users_and_items(store, do, url):
    statuses = do(RecordEvents([event("ann", "film"), event("bob", "film", "rate", value=4.5), event("ann", "book")]))
    assert statuses == ["stored"] * 3
    assert (count(url, UserInteraction), count(url, User), count(url, Item)) == (3, 2, 2)


def test_what_is_read_back_is_what_was_sent(store, do):
    moment = now_ms() - 5000
    context = {"page": "home", "n": 3}
    sent = event("ann", "film", "view", value=31.5, context=context, request_id="r1", occurred_at=moment)
    do(RecordEvents([sent]))
    (read,) = user_histories.events_of(store.reader, "ann", 10)
    assert (read.item_id, read.interaction_type, read.value) == ("film", "view", 31.5)
    assert (read.context, read.request_id, read.occurred_at) == (context, "r1", moment)


def test_a_key_that_is_known_stores_nothing_again(do, url):
    batch = [event("ann", "film", idempotency_key="a"), event("ann", "book", idempotency_key="b")]
    assert do(RecordEvents(batch)) == ["stored", "stored"]
    assert do(RecordEvents([*batch, event("ann", "song", idempotency_key="c")])) == ["duplicate", "duplicate", "stored"]
    assert count(url, UserInteraction) == 3


def test_a_key_twice_in_one_batch_counts_once(do, url):
    assert do(RecordEvents([event(idempotency_key="a"), event(idempotency_key="a")])) == ["stored", "duplicate"]
    assert count(url, UserInteraction) == 1


def test_a_key_used_for_something_else_is_refused_and_nothing_of_the_batch_is_stored(do, url):
    do(RecordEvents([event("ann", "film", idempotency_key="a")]))
    with pytest.raises(
        KeyReused, match="The idempotency key 'a' was used for another event; a new event needs a new key"
    ):
        do(RecordEvents([event("ann", "song"), event("ann", "book", idempotency_key="a")]))
    assert count(url, UserInteraction) == 1


def test_requests_that_share_a_commit_have_their_own_answers(store, url):
    """Many are handed in before the writer gets to them, so that they are written together."""
    store.writer.submit(RecordEvents([event("ann", "film", idempotency_key="a")])).result()
    tasks = [
        RecordEvents([event("ann", "film", idempotency_key="a")]),
        RecordEvents([event("bob", "book", idempotency_key="a")]),
        RecordEvents([event("bob", "book", idempotency_key="b"), event("eve", "book")]),
        RecordEvents([event("bob", "book", idempotency_key="b")]),
    ]
    futures = [store.writer.submit(task) for task in tasks]
    wait(futures)
    assert futures[0].result() == ["duplicate"]
    assert isinstance(futures[1].exception(), KeyReused)
    assert futures[2].result() == ["stored", "stored"]
    assert futures[3].result() == ["duplicate"]
    assert count(url, UserInteraction) == 3


class Broken(Task[None]):
    """Writes a row, then fails."""

    name = "broken"

    def run(self, connection):
        connection.execute(UserInteraction.__table__.delete())
        raise ValueError("broken")


def test_a_task_that_fails_is_undone_alone(store, url):
    futures = [store.writer.submit(task) for task in (RecordEvents([event()]), Broken(), RecordEvents([event()]))]
    wait(futures)
    assert [future.exception() is None for future in futures] == [True, False, True]
    assert count(url, UserInteraction) == 2


def test_every_task_that_was_accepted_is_written_before_the_writer_stops(url):
    writer = Writer(url)
    futures = [writer.submit(RecordEvents([event(idempotency_key=str(i))])) for i in range(200)]
    writer.close()
    assert all(future.result() == ["stored"] for future in futures)
    assert count(url, UserInteraction) == 200
    with pytest.raises(StoreUnavailable, match="the service is stopping"):
        writer.submit(RecordEvents([event()]))


def test_more_than_may_wait_is_refused_as_busy(sqlite_url):
    writer = Writer(sqlite_url, max_waiting=10)
    with locked(sqlite_url):
        accepted = [writer.submit(RecordEvents([event()]))]
        time.sleep(0.1)  # the writer has it and waits for the lock
        accepted += [writer.submit(RecordEvents([event()])) for _ in range(10)]
        with pytest.raises(StoreBusy, match="10 writes waiting: at most 10 may wait"):
            writer.submit(RecordEvents([event()]))
    assert all(future.result(timeout=10) == ["stored"] for future in accepted)
    writer.close()


def test_nothing_is_kept_of_users_who_opted_out(do, url):
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    assert do(RecordEvents([event("ann"), event("bob")])) == ["ignored", "stored"]
    assert count(url, UserInteraction) == 1


def test_an_event_from_before_an_erasure_does_not_bring_the_user_back(do, url):
    early = event("ann", occurred_at=now_ms() - 1000, idempotency_key="k")
    do(RecordEvents([early]))
    do(Erase("ann", drop_queued=lambda user_id: 0))
    assert do(RecordEvents([early])) == ["ignored"]
    assert count(url, User) == 0
    assert do(RecordEvents([event("ann", occurred_at=now_ms() + 1)])) == ["stored"]
    assert do(RecordEvents([early])) == ["ignored"]


def test_row_numbers_never_repeat_even_after_the_newest_was_erased(store, do):
    do(RecordEvents([event("ann"), event("bob")]))
    newest = user_histories.events_of(store.reader, "bob", 1)[0].number
    do(Erase("bob", drop_queued=lambda user_id: 0))
    do(RecordEvents([event("eve")]))
    assert user_histories.events_of(store.reader, "eve", 1)[0].number > newest


def test_ids_may_be_any_text(store, do):
    odd = "Zoë/…'\"; DROP TABLE users --%s ?:x"
    do(RecordEvents([event(odd, odd + "2", context={odd[:60]: odd}, idempotency_key=odd)]))
    assert user_histories.events_of(store.reader, odd, 5)[0].item_id == odd + "2"
    assert store.histories.history(odd).item_ids == (odd + "2",)
