"""An impression is one row for the list, with its items as JSON, and each item has a count of its impressions.

Before, an impression was one row for each item: the most frequently written rows of all, in three indexes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.String(256)
LISTS_PER_STEP = 1_000
OF_A_LIST = ("request_id", "user_id", "method", "model_version", "shown_at")
SQLITE_VIEW = """
CREATE VIEW shown_items AS
SELECT request_id, item.key + 1 AS rank, json_extract(item.value, '$[0]') AS item_id,
    json_extract(item.value, '$[1]') AS score, json_extract(item.value, '$[2]') AS propensity,
    user_id, method, model_version, shown_at
FROM recommendation_impressions, json_each(recommendation_impressions.items) AS item
"""
POSTGRESQL_VIEW = """
CREATE VIEW shown_items AS
SELECT request_id, rank, item ->> 0 AS item_id, (item ->> 1)::double precision AS score,
    (item ->> 2)::double precision AS propensity, user_id, method, model_version, shown_at
FROM recommendation_impressions, json_array_elements(items) WITH ORDINALITY AS shown (item, rank)
"""


def upgrade() -> None:
    _rename_old()
    lists = op.create_table(
        "recommendation_impressions",
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=True),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_recommendation_impressions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_recommendation_impressions_user_id"),
    )
    exposures = op.create_table(
        "item_exposures",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("shown", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_item_exposures"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_exposures_item_id"),
    )
    exposed: Counter[str] = Counter()
    rows = _aside("request_id, rank")
    _put(lists, (_list(list(items), exposed) for _, items in groupby(rows, key=lambda row: row["request_id"])))
    _put(exposures, ({"item_id": item_id, "shown": number} for item_id, number in exposed.items()))
    _indexes()
    op.execute(SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_VIEW)
    op.drop_table("before")


def downgrade() -> None:
    op.execute("DROP VIEW shown_items")
    op.drop_table("item_exposures")
    _rename_old()
    items = op.create_table(
        "recommendation_impressions",
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=True),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "rank", name="pk_recommendation_impressions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_recommendation_impressions_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_recommendation_impressions_item_id"),
    )
    _put(items, (item for row in _aside("request_id") for item in _items(row)))
    _indexes()
    op.create_index("ix_recommendation_impressions_item_time", "recommendation_impressions", ["item_id", "shown_at"])
    op.drop_table("before")


def _list(items: list[dict[str, Any]], exposed: Counter[str]) -> dict[str, Any]:
    exposed.update(item["item_id"] for item in items)
    shown = [(item["item_id"], item["score"], item["propensity"]) for item in items]
    return {**{name: items[0][name] for name in OF_A_LIST}, "items": shown}


def _items(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shown = json.loads(row["items"]) if isinstance(row["items"], str) else row["items"]
    for rank, (item_id, score, propensity) in enumerate(shown, start=1):
        own = {"rank": rank, "item_id": item_id, "score": score, "propensity": propensity}
        yield {**{name: row[name] for name in OF_A_LIST}, **own}


def _rename_old() -> None:
    """The rows go to a table `before`; names of keys and indexes become free."""
    op.execute("CREATE TABLE before AS SELECT * FROM recommendation_impressions")
    op.drop_table("recommendation_impressions")


def _aside(order: str) -> Iterator[dict[str, Any]]:
    statement = sa.text(f"SELECT * FROM before ORDER BY {order}")
    found = op.get_bind().execute(statement, execution_options={"yield_per": LISTS_PER_STEP})
    return (dict(row) for row in found.mappings())


def _put(table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    rows = iter(rows)
    while some := list(islice(rows, LISTS_PER_STEP)):
        op.bulk_insert(table, some)


def _indexes() -> None:
    op.create_index("ix_recommendation_impressions_user_time", "recommendation_impressions", ["user_id", "shown_at"])
    op.create_index("ix_recommendation_impressions_time", "recommendation_impressions", ["shown_at", "model_version"])
