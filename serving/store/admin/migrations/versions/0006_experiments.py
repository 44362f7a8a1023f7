"""An impression says which arm of which experiment it was, with which chance, and how long the list took.

Before, nothing told the lists of two versions that were served at once for an experiment from those of a promotion.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TABLE = "recommendation_impressions"
INDEX = "ix_recommendation_impressions_experiment"
COLUMNS: dict[str, Any] = {
    "experiment": sa.String(64),
    "arm": sa.String(16),
    "chance": sa.Double(),
    "teams": sa.JSON(none_as_null=True),
    "milliseconds": sa.Double(),
}
OF_A_LIST = "user_id, method, model_version, shown_at"
SQLITE_VIEW = """
CREATE VIEW shown_items AS
SELECT request_id, item.key + 1 AS rank, json_extract(item.value, '$[0]') AS item_id,
    json_extract(item.value, '$[1]') AS score, json_extract(item.value, '$[2]') AS propensity, {columns}
FROM recommendation_impressions, json_each(recommendation_impressions.items) AS item
"""
POSTGRESQL_VIEW = """
CREATE VIEW shown_items AS
SELECT request_id, rank, item ->> 0 AS item_id, (item ->> 1)::double precision AS score,
    (item ->> 2)::double precision AS propensity, {columns}
FROM recommendation_impressions, json_array_elements(items) WITH ORDINALITY AS shown (item, rank)
"""


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(TABLE, sa.Column(name, kind, nullable=True))
    condition = sa.text("experiment IS NOT NULL")
    columns = ["experiment", "shown_at"]
    op.create_index(INDEX, TABLE, columns, sqlite_where=condition, postgresql_where=condition)
    _view(f"{OF_A_LIST}, experiment, arm, chance")


def downgrade() -> None:
    _view(OF_A_LIST)
    op.drop_index(INDEX, TABLE)
    for name in reversed(COLUMNS):
        op.drop_column(TABLE, name)


def _view(columns: str) -> None:
    op.execute("DROP VIEW shown_items")
    view = SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_VIEW
    op.execute(view.format(columns=columns))
