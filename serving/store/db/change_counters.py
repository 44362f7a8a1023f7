"""Counters in the database that move with each change: how processes notice each other's changes."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, bindparam, case, or_, select, update

from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Counter

Name = Literal["hidden", "items", "people", "rules", "posted"]
HIDDEN: Name = "hidden"
ITEMS: Name = "items"
USERS: Name = "people"
RULES: Name = "rules"
POSTED: Name = "posted"
"""Moves with the attributes and categories of posted items."""

_CATALOGUE = Query(
    "catalogue_counters", select(Counter.name, Counter.value).where(or_(Counter.name == HIDDEN, Counter.name == ITEMS))
)
_VALUE = Query("counter", select(Counter.value).where(Counter.name == bindparam("name")))


def read(reader: Reader, name: Name) -> int:
    """The value of a counter. Raises `StoreError`."""
    row = reader.row(_VALUE, {"name": name})
    return 0 if row is None else int(row[0])


def read_catalogue(reader: Reader) -> tuple[int, int]:
    """The values of `HIDDEN` and of `ITEMS`, by one query. Raises `StoreError`."""
    values = {name: int(value) for name, value in reader.rows(_CATALOGUE)}
    return values.get(HIDDEN, 0), values.get(ITEMS, 0)


def bump(connection: Connection, name: Name, now: int) -> None:
    """Set a counter to a value it never had, also after a backup was restored: `now`, or one more than it was."""
    later = case((Counter.value >= now, Counter.value + 1), else_=now)
    connection.execute(update(Counter).where(Counter.name == name).values(value=later))


def bumped(connection: Connection, name: Name, now: int) -> int:
    """`bump`, and the new value: greater than that of every change committed before."""
    bump(connection, name, now)
    return int(connection.execute(select(Counter.value).where(Counter.name == name)).scalar_one())
