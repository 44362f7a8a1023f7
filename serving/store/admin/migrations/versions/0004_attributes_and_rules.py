"""Items have attributes, and business rules are kept with their history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COUNTERS = ("rules", "posted")


def upgrade() -> None:
    op.add_column("items", sa.Column("attributes", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("items", sa.Column("posted_version", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_items_posted_version",
        "items",
        ["posted_version"],
        sqlite_where=sa.text("posted_version IS NOT NULL"),
        postgresql_where=sa.text("posted_version IS NOT NULL"),
    )
    op.create_table(
        "rule_changes",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("definition", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("version", "name", name="pk_rule_changes"),
    )
    op.create_index("ix_rule_changes_name_version", "rule_changes", ["name", "version"])
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in COUNTERS])


def downgrade() -> None:
    op.execute("DELETE FROM counters WHERE name IN ('rules', 'posted')")
    op.drop_table("rule_changes")
    op.drop_index("ix_items_posted_version", "items")
    op.drop_column("items", "posted_version")
    op.drop_column("items", "attributes")
