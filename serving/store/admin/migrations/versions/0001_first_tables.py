"""The first tables: users, items, events, impressions, feedback, precomputed lists, lineage."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(256)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TYPES = "'view', 'click', 'like', 'save', 'share', 'rate', 'implement', 'dismiss'"


def upgrade() -> None:
    _users()
    _items()
    _events()
    _recommendations()
    _bookkeeping()


def downgrade() -> None:
    for table in (
        "secrets",
        "counters",
        "trained_users",
        "erasures",
        "user_recommendations",
        "recommendation_feedback",
        "recommendation_impressions",
        "user_interactions",
        "item_categories",
        "items",
        "user_profiles",
        "users",
    ):
        op.drop_table(table)


def _partial(
    name: str, table: str, columns: list[str], where: str, of_postgresql: str = "", *, unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(of_postgresql or where),
    )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("history_version", sa.BigInteger(), nullable=False),
        sa.Column("opted_out", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("forgotten_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    _partial("ix_users_opted_out", "users", ["user_id"], "opted_out = 1", "opted_out")
    op.create_table(
        "user_profiles",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role", sa.String(64), nullable=True),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_profiles"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_profiles_user_id"),
    )
    op.create_index("ix_user_profiles_role", "user_profiles", ["role", "user_id"])


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("hidden", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_items"),
    )
    withheld = "deleted_at IS NOT NULL OR expires_at IS NOT NULL"
    _partial("ix_items_withheld", "items", ["item_id"], f"hidden = 1 OR {withheld}", f"hidden OR {withheld}")
    op.create_table(
        "item_categories",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("category", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "category", name="pk_item_categories"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_item_categories_item_id"),
    )


def _events() -> None:
    op.create_table(
        "user_interactions",
        sa.Column("id", ROW_NUMBER, nullable=False, autoincrement=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("interaction_type", sa.String(16), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("context", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=True),
        sa.Column("idempotency_key", sa.String(160), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_interactions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_interactions_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_user_interactions_item_id"),
        sa.CheckConstraint(f"interaction_type IN ({TYPES})", name="ck_user_interactions_known_type"),
        sa.CheckConstraint("value >= 0", name="ck_user_interactions_value_not_negative"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_user_interactions_user_time",
        "user_interactions",
        ["user_id", "occurred_at", "id", "item_id", "interaction_type", "value"],
    )
    op.create_index(
        "ix_user_interactions_item_user", "user_interactions", ["item_id", "user_id", "interaction_type", "value"]
    )
    op.create_index("ix_user_interactions_time", "user_interactions", ["occurred_at"])
    _partial(
        "ix_user_interactions_idempotency_key",
        "user_interactions",
        ["idempotency_key"],
        "idempotency_key IS NOT NULL",
        unique=True,
    )
    _partial("ix_user_interactions_request", "user_interactions", ["request_id", "item_id"], "request_id IS NOT NULL")


def _recommendations() -> None:
    op.create_table(
        "recommendation_impressions",
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=True),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "rank", name="pk_recommendation_impressions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_recommendation_impressions_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_recommendation_impressions_item_id"),
    )
    op.create_index("ix_recommendation_impressions_user_time", "recommendation_impressions", ["user_id", "shown_at"])
    op.create_index("ix_recommendation_impressions_item_time", "recommendation_impressions", ["item_id", "shown_at"])
    op.create_index("ix_recommendation_impressions_time", "recommendation_impressions", ["shown_at", "model_version"])
    op.create_table(
        "recommendation_feedback",
        sa.Column("id", ROW_NUMBER, nullable=False, autoincrement=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recommendation_feedback"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_recommendation_feedback_item_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_recommendation_feedback_user_id"),
        sa.CheckConstraint("value >= 0", name="ck_recommendation_feedback_value_not_negative"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_recommendation_feedback_request",
        "recommendation_feedback",
        ["request_id", "item_id", "outcome"],
        unique=True,
    )
    op.create_index("ix_recommendation_feedback_item", "recommendation_feedback", ["item_id", "outcome"])
    op.create_index("ix_recommendation_feedback_user", "recommendation_feedback", ["user_id"])
    op.create_index("ix_recommendation_feedback_time", "recommendation_feedback", ["received_at"])
    op.create_table(
        "user_recommendations",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "model_version", "item_id", name="pk_user_recommendations"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_recommendations_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_user_recommendations_item_id"),
    )
    op.create_index("ix_user_recommendations_user_score", "user_recommendations", ["user_id", "model_version", "score"])
    op.create_index("ix_user_recommendations_item", "user_recommendations", ["item_id"])
    op.create_index("ix_user_recommendations_expires_at", "user_recommendations", ["expires_at"])


def _bookkeeping() -> None:
    op.create_table(
        "erasures",
        sa.Column("person", sa.LargeBinary(8), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_erasures"),
    )
    op.create_table(
        "trained_users",
        sa.Column("model_name", sa.String(128), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("n_users", sa.Integer(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "model_version", name="pk_trained_users"),
    )
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    secrets = op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("hidden", "items", "people")])
    op.bulk_insert(secrets, [{"name": "digests", "value": os.urandom(32)}])
