"""Many rows by one statement, or few: each row arrives once, whatever their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, delete, event, func, select

from serving.store.db.bulk import BLOCKS, BulkInsert, Lookup, among
from serving.store.db.connection import open_tool_engine
from serving.store.db.tables import Erasure, Item

# not in the order of the table's columns
INSERT = BulkInsert(Item, ("updated_at", "item_id", "created_at"))
PUT_ERASURES = BulkInsert(Erasure, ("person", "erased_at"))


def rows(n: int) -> list[tuple]:
    return [(2 * i, f"item {i:04}", i) for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 9, 10, 99, 100, 101, 234])
def test_rows_of_any_number_are_all_inserted_with_their_own_values(url, n):
    with open_tool_engine(url).begin() as connection:
        INSERT(connection, rows(n))
        INSERT(connection, rows(n))
        stored = connection.execute(select(Item.updated_at, Item.item_id, Item.created_at).order_by(Item.item_id))
        assert [tuple(row) for row in stored] == rows(n)


@contextmanager
def sent_by(engine: Engine) -> Iterator[Counter[int]]:
    """Numbers of INSERTs by the rows that their text has places for; 0: any number."""
    sent: Counter[int] = Counter()

    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        if statement.startswith("INSERT"):
            sent[statement.count("(?") - statement.count("json_each(?")] += len(parameters) if executemany else 1

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_sqlite_is_given_texts_and_whole_numbers_by_one_statement(sqlite_url):
    engine = open_tool_engine(sqlite_url)
    with sent_by(engine) as sent, engine.begin() as connection:
        INSERT(connection, rows(234))
    assert sent == {0: 1}


def test_sqlite_is_given_anything_else_by_blocks_not_row_after_row(sqlite_url):
    engine = open_tool_engine(sqlite_url)
    with sent_by(engine) as sent, engine.begin() as connection:
        PUT_ERASURES(connection, [(b"%08d" % i, i) for i in range(234)])
    assert BLOCKS == (100, 10)
    assert sent == {100: 2, 10: 3, 1: 4}


def test_what_json_would_change_is_stored_as_it_is(url):
    """Numbers up to 63 bits, characters beyond the first plane, quotes, nothing, and on SQLite a NUL."""
    names = ["a\"b\\c'd", "\U0001f3a5 \u2028", "", *(["a\x00b"] if url.get_backend_name() == "sqlite" else [])]
    stored = [(2**62 + i, name, None) for i, name in enumerate(names)]
    insert = BulkInsert(Item, ("created_at", "item_id", "expires_at", "updated_at"))
    with open_tool_engine(url).begin() as connection:
        for number, name, nothing in stored:  # each alone: one that JSON cannot represent changes how all are sent
            insert(connection, [(number, name, nothing, 0)])
        found = connection.execute(select(Item.created_at, Item.item_id, Item.expires_at).order_by(Item.created_at))
        assert [tuple(row) for row in found] == stored


def test_many_texts_are_asked_for_as_one_parameter(url):
    wanted = Lookup(lambda given: select(Item.item_id).where(Item.item_id.in_(select(given.c.value))))
    with open_tool_engine(url).begin() as connection:
        INSERT(connection, rows(2_000))
        names = [name for _, name, _ in rows(3_000)[1_000:]]
        assert sorted(name for (name,) in wanted(connection, names)) == names[:1_000]
        assert wanted(connection, []) == ()
        connection.execute(delete(Item).where(among(connection, Item.item_id, names)))
        assert connection.execute(select(func.count()).select_from(Item)).scalar_one() == 1_000
