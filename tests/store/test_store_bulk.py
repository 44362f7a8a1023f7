"""Many rows by few statements: each row arrives once, whatever their number."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import event, select

from serving.store.bulk import BLOCKS, BulkInsert
from serving.store.connection import open_tool_engine
from serving.store.tables import Item

# not in the order of the table's columns
INSERT = BulkInsert(Item, ("updated_at", "item_id", "created_at"))


def rows(n: int) -> list[tuple]:
    return [(2 * i, f"item {i:04}", i) for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 9, 10, 99, 100, 101, 234])
def test_rows_of_any_number_are_all_inserted_with_their_own_values(url, n):
    with open_tool_engine(url).begin() as connection:
        INSERT(connection, rows(n))
        INSERT(connection, rows(n))
        stored = connection.execute(select(Item.updated_at, Item.item_id, Item.created_at).order_by(Item.item_id))
        assert [tuple(row) for row in stored] == rows(n)


def test_sqlite_is_given_blocks_not_row_after_row(sqlite_url):
    engine = open_tool_engine(sqlite_url)
    sent: Counter[int] = Counter()

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        if statement.startswith("INSERT"):
            sent[statement.count("(?")] += len(parameters) if executemany else 1

    with engine.begin() as connection:
        INSERT(connection, rows(234))
    assert BLOCKS == (100, 10)
    assert sent == {100: 2, 10: 3, 1: 4}
