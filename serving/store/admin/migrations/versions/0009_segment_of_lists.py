"""An impression of a contextual bandit says of which segment its user was when the list was drawn.

Before, rewards were known by version only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TABLE = "recommendation_impressions"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("segment", sa.String(8), nullable=True))


def downgrade() -> None:
    op.drop_column(TABLE, "segment")
