"""Events of an item by hour and type are counted as they arrive; items are found by when they changed.

Before, nothing but all events said which items were popular lately.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.String(256)
MARK_FIRST = """
UPDATE user_interactions SET is_first = true
WHERE id IN (SELECT min(id) FROM user_interactions GROUP BY user_id, item_id, interaction_type)
"""
COUNT = """
INSERT INTO item_activity (hour, item_id, interaction_type, events, users)
SELECT occurred_at / 3600000, item_id, interaction_type, count(*), sum(CASE WHEN is_first THEN 1 ELSE 0 END)
FROM user_interactions GROUP BY occurred_at / 3600000, item_id, interaction_type
"""


def upgrade() -> None:
    op.add_column("user_interactions", sa.Column("is_first", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "item_activity",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("interaction_type", sa.String(16), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "item_id", "interaction_type", name="pk_item_activity"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_activity_item_id"),
    )
    op.create_index("ix_items_updated_at", "items", ["updated_at"])
    op.execute(MARK_FIRST)
    op.execute(COUNT)


def downgrade() -> None:
    op.drop_index("ix_items_updated_at", "items")
    op.drop_table("item_activity")
    op.drop_column("user_interactions", "is_first")
