"""Users have attributes beside role and categories: free names, with texts, numbers and truth values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("user_profiles", sa.Column("attributes", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("user_profiles", "attributes")
