"""What is learned of users is stored: taste by category and activity.

Before, it was computed for each request.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "user_patterns",
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("patterns", sa.JSON(), nullable=False),
        sa.Column("made_from", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_patterns"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_patterns_user_id"),
    )


def downgrade() -> None:
    op.drop_table("user_patterns")
