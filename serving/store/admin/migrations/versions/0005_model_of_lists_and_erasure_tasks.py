"""Precomputed lists are keyed by their model's name too; an erasure records what is left to do and what was found.

Before, lists of two registered models with equal version numbers replaced each other, and an erasure whose slow part
was interrupted was not finished.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.String(256)
DEFAULT_MODEL = "recommender"
COLUMNS = "user_id, model_version, item_id, rank, score, method, created_at, expires_at"


def upgrade() -> None:
    _rename_old()
    _create(["user_id", "model_name", "model_version"], sa.Column("model_name", sa.String(128), nullable=False))
    op.execute(
        f"INSERT INTO user_recommendations (model_name, {COLUMNS}) SELECT '{DEFAULT_MODEL}', {COLUMNS} FROM before"
    )
    op.drop_table("before")
    op.add_column("erasures", sa.Column("finished_at", sa.BigInteger(), nullable=True))
    op.add_column("erasures", sa.Column("trained_versions", sa.JSON(), nullable=True))
    op.add_column("erasures", sa.Column("incomplete_because", sa.Text(), nullable=True))
    op.execute("UPDATE erasures SET finished_at = erased_at, trained_versions = '[]'")
    op.execute(
        "UPDATE erasures SET incomplete_because = 'the versions were told when the user was erased, and not recorded'"
    )


def downgrade() -> None:
    for column in ("incomplete_because", "trained_versions", "finished_at"):
        op.drop_column("erasures", column)
    _rename_old()
    _create(["user_id", "model_version"])
    op.execute(
        f"INSERT INTO user_recommendations ({COLUMNS}) SELECT {COLUMNS} FROM before "
        f"WHERE model_name = '{DEFAULT_MODEL}'"
    )
    op.drop_table("before")


def _rename_old() -> None:
    """The rows go to a table `before`; names of keys and indexes become free."""
    op.execute("CREATE TABLE before AS SELECT * FROM user_recommendations")
    op.drop_table("user_recommendations")


def _create(key: list[str], *more: sa.Column) -> None:
    op.create_table(
        "user_recommendations",
        sa.Column("user_id", ID, nullable=False),
        *more,
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*key, "item_id", name="pk_user_recommendations"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_recommendations_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_user_recommendations_item_id"),
    )
    op.create_index("ix_user_recommendations_user_score", "user_recommendations", [*key, "score"])
    op.create_index("ix_user_recommendations_item", "user_recommendations", ["item_id"])
    op.create_index("ix_user_recommendations_expires_at", "user_recommendations", ["expires_at"])
