"""The users for popular items can be computed ahead of time: one row a user of an item's list.

Before, only the items for users could.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TABLE = "item_audiences"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("model_name", sa.String(128), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "model_name", "model_version", "user_id", name="pk_item_audiences"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_audiences_item_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_item_audiences_user_id"),
    )
    op.create_index("ix_item_audiences_user", TABLE, ["user_id"])
    op.create_index("ix_item_audiences_expires_at", TABLE, ["expires_at"])


def downgrade() -> None:
    op.drop_table(TABLE)
