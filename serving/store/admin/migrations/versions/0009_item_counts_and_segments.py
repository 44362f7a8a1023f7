"""Events, users and values of an item are counted as they arrive; clicks that name their request have an index.
An impression of a contextual bandit says of which segment its user was when the list was drawn.

Before, the statistics of an item went through all of its events, and rewards were known by version only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

ID = sa.String(256)
IMPRESSIONS = "recommendation_impressions"
CLICKS = "interaction_type = 'click' AND request_id IS NOT NULL"
COUNT = """
INSERT INTO item_counts (item_id, interaction_type, events, users)
SELECT item_id, interaction_type, count(*), count(DISTINCT user_id) FROM user_interactions
GROUP BY item_id, interaction_type
UNION ALL SELECT item_id, '', count(*), count(DISTINCT user_id) FROM user_interactions GROUP BY item_id
"""
WHOLE = "CASE WHEN value >= 256 THEN 256 ELSE CAST({} AS INTEGER) END"
COUNT_VALUES = """
INSERT INTO item_value_counts (item_id, interaction_type, whole, events, total)
SELECT item_id, interaction_type, {0}, count(*), sum(value) FROM user_interactions
WHERE value IS NOT NULL GROUP BY item_id, interaction_type, {0}
"""


def upgrade() -> None:
    op.add_column(IMPRESSIONS, sa.Column("segment", sa.String(8), nullable=True))
    op.create_table(
        "item_counts",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("interaction_type", sa.String(16), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "interaction_type", name="pk_item_counts"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_counts_item_id"),
    )
    op.create_table(
        "item_value_counts",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("interaction_type", sa.String(16), nullable=False),
        sa.Column("whole", sa.Integer(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "interaction_type", "whole", name="pk_item_value_counts"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_value_counts_item_id"),
    )
    op.create_index(
        "ix_user_interactions_clicks",
        "user_interactions",
        ["item_id", "request_id"],
        sqlite_where=sa.text(CLICKS),
        postgresql_where=sa.text(CLICKS),
    )
    op.execute(COUNT)
    # a cast to INTEGER cuts on SQLite, which may lack floor(), and rounds on PostgreSQL
    whole = WHOLE.format("floor(value)" if op.get_bind().dialect.name == "postgresql" else "value")
    op.execute(COUNT_VALUES.format(whole))


def downgrade() -> None:
    op.drop_column(IMPRESSIONS, "segment")
    op.drop_index("ix_user_interactions_clicks", "user_interactions")
    op.drop_table("item_value_counts")
    op.drop_table("item_counts")
