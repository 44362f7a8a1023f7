"""What happened after a training, read from the service's database: events, and the lists of one version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pandas as pd
from sqlalchemy import Connection, text

from recstage.data.schema import ITEM, TYPE, USER, VALUE

MOST_EVENTS, MOST_LISTS = 500_000, 20_000
"""The newest of the window; more would say the same."""
_EVENTS = text(
    "SELECT x.user_id, x.item_id, x.interaction_type, x.value, x.occurred_at FROM user_interactions x"
    " JOIN users u ON u.user_id = x.user_id"
    " WHERE x.id > :after AND x.occurred_at >= :since AND NOT u.opted_out ORDER BY x.id DESC LIMIT :most"
)
_LISTS = text(
    "SELECT CAST(x.items AS TEXT) FROM recommendation_impressions x JOIN users u ON u.user_id = x.user_id"
    " WHERE x.shown_at >= :since AND x.model_version = :version AND x.method <> 'error' AND NOT u.opted_out"
    " ORDER BY x.shown_at DESC LIMIT :most"
)
_CATEGORIES = text("SELECT item_id, category FROM item_categories ORDER BY item_id, position")
COLUMNS = [USER, ITEM, TYPE, VALUE, "occurred_at"]


def events_after(connection: Connection, after: int, since: int) -> pd.DataFrame:
    """Events newer than number `after` that happened since a moment (milliseconds since 1970), of users who may be
    used: user_id, item_id, interaction_type, value, occurred_at."""
    rows = connection.execute(_EVENTS, {"after": after, "since": since, "most": MOST_EVENTS}).fetchall()
    return pd.DataFrame(rows, columns=COLUMNS).astype({VALUE: "float64"})


def lists_since(connection: Connection, version: str, since: int) -> list[list[tuple[str, float]]]:
    """Items and scores of the lists of one version, best first."""
    rows: Sequence[Any] = connection.execute(
        _LISTS, {"version": version, "since": since, "most": MOST_LISTS}
    ).fetchall()
    return [[(entry[0], float(entry[1])) for entry in orjson.loads(items)] for (items,) in rows]


def categories_of(connection: Connection) -> dict[str, list[str]]:
    """The categories of each item that has some."""
    found: dict[str, list[str]] = {}
    for item_id, category in connection.execute(_CATEGORIES):
        found.setdefault(item_id, []).append(category)
    return found
