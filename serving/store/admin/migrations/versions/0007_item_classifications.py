"""Which items have categories that the classifier predicted, how sure they are, and which wait for a person's label.

An item without a row has the categories that a person gave.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

ID = sa.String(256)
TABLE = "item_classifications"
INDEX = "ix_item_classifications_needs_label"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("item_id", ID, nullable=False),
        sa.Column("categories", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("needs_label", sa.Boolean(), nullable=False),
        sa.Column("classified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_item_classifications"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_classifications_item_id"),
    )
    op.create_index(
        INDEX,
        TABLE,
        ["confidence", "item_id"],
        sqlite_where=sa.text("needs_label = 1"),
        postgresql_where=sa.text("needs_label"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.drop_table(TABLE)
