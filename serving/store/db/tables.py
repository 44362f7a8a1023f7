"""The tables of the service's database, one class each, with the indexes that the queries need.

Ids of users and items are the caller's own (text). Times are milliseconds since 1970, UTC, so that they sort, index and
compare the same on SQLite and PostgreSQL. `docs/database.md` has a diagram; `migrations/` creates the tables.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    column,
    false,
    table,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from serving.interfaces import ID_LENGTH

InteractionType = Literal["view", "click", "like", "save", "share", "rate", "implement", "dismiss"]
INTERACTION_TYPES: tuple[str, ...] = get_args(InteractionType)

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
_ONE_OF_THE_TYPES = f"interaction_type IN ({', '.join(repr(name) for name in INTERACTION_TYPES)})"
Id = String(ID_LENGTH)
RowNumber = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself in INTEGER columns only
Milliseconds = BigInteger()


def _only(condition: str, of_postgresql: str = "") -> dict[str, Any]:
    """Options of a partial index. SQLite has no booleans: the condition must be written as in the queries."""
    return {"sqlite_where": text(condition), "postgresql_where": text(of_postgresql or condition)}


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)


class User(Table):
    """A user: created by the first event or profile. `history_version` never repeats, even after an erasure."""

    __tablename__ = "users"

    user_id: Mapped[str] = mapped_column(Id, primary_key=True)
    created_at: Mapped[int] = mapped_column(Milliseconds)
    history_version: Mapped[int] = mapped_column(Milliseconds)
    opted_out: Mapped[bool] = mapped_column(server_default=false())
    forgotten_at: Mapped[int | None] = mapped_column(Milliseconds)
    """When this user was last erased: what older models learnt must not be used."""

    __table_args__ = (Index("ix_users_opted_out", "user_id", **_only("opted_out = 1", "opted_out")),)


class UserProfile(Table):
    """What is declared of a user: role, preferred categories, and attributes of any name."""

    __tablename__ = "user_profiles"

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"), primary_key=True)
    role: Mapped[str | None] = mapped_column(String(64))
    categories: Mapped[list[str]] = mapped_column(JSON)
    updated_at: Mapped[int] = mapped_column(Milliseconds)
    attributes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Texts, numbers and truth values by name."""

    __table_args__ = (Index("ix_user_profiles_role", "role", "user_id"),)


class UserPattern(Table):
    """What was learned of a user, and from what: history, version and catalogue."""

    __tablename__ = "user_patterns"

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"), primary_key=True)
    patterns: Mapped[dict[str, Any]] = mapped_column(JSON)
    made_from: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[int] = mapped_column(Milliseconds)


class Item(Table):
    """An item: created by the first event that names it, or through the catalogue."""

    __tablename__ = "items"

    item_id: Mapped[str] = mapped_column(Id, primary_key=True)
    title: Mapped[str] = mapped_column(Text, server_default="")
    text: Mapped[str] = mapped_column(Text, server_default="")
    hidden: Mapped[bool] = mapped_column(server_default=false())
    expires_at: Mapped[int | None] = mapped_column(Milliseconds)
    deleted_at: Mapped[int | None] = mapped_column(Milliseconds)
    created_at: Mapped[int] = mapped_column(Milliseconds)
    updated_at: Mapped[int] = mapped_column(Milliseconds)
    attributes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Numbers, booleans, texts and lists of texts by name."""
    posted_version: Mapped[int | None] = mapped_column(BigInteger)
    """The counter `posted` when its attributes or categories were last posted."""

    __table_args__ = (
        Index("ix_items_updated_at", "updated_at"),
        Index("ix_items_posted_version", "posted_version", **_only("posted_version IS NOT NULL")),
        Index(
            "ix_items_withheld",
            "item_id",
            **_only(
                "hidden = 1 OR deleted_at IS NOT NULL OR expires_at IS NOT NULL",
                "hidden OR deleted_at IS NOT NULL OR expires_at IS NOT NULL",
            ),
        ),
    )


class ItemCategory(Table):
    """A category of an item; `position` keeps the order in which they were given."""

    __tablename__ = "item_categories"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    category: Mapped[str] = mapped_column(Id, primary_key=True)
    position: Mapped[int] = mapped_column(Integer)


class ItemClassification(Table):
    """That the categories of an item are predicted: an item has a row until a person gives it categories.

    `categories`: confidences by name; `confidence`: how sure they are as a whole; `needs_label`: it is in the queue.
    """

    __tablename__ = "item_classifications"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    categories: Mapped[dict[str, float]] = mapped_column(JSON(none_as_null=True))
    confidence: Mapped[float] = mapped_column(Double)
    model_version: Mapped[str] = mapped_column(String(64))
    needs_label: Mapped[bool] = mapped_column()
    classified_at: Mapped[int] = mapped_column(Milliseconds)

    __table_args__ = (
        Index(
            "ix_item_classifications_needs_label",
            "confidence",
            "item_id",
            **_only("needs_label = 1", "needs_label"),
        ),
    )


class UserInteraction(Table):
    """One event of a user with an item. The row number never repeats, so a greater one is a newer event."""

    __tablename__ = "user_interactions"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"))
    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"))
    interaction_type: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column(Double)
    context: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    request_id: Mapped[str | None] = mapped_column(String(64))
    """The request id (`X-Request-ID`) of the list that led to it."""
    idempotency_key: Mapped[str | None] = mapped_column(String(160))
    is_first: Mapped[bool] = mapped_column(server_default=false())
    """Whether it was the user's first event of its type with the item: what `item_activity.users` counts."""
    occurred_at: Mapped[int] = mapped_column(Milliseconds)
    received_at: Mapped[int] = mapped_column(Milliseconds)

    __table_args__ = (
        CheckConstraint(_ONE_OF_THE_TYPES, "known_type"),
        CheckConstraint("value >= 0", "value_not_negative"),
        # the live history of a request is read from this index alone
        Index("ix_user_interactions_user_time", "user_id", "occurred_at", "id", "item_id", "interaction_type", "value"),
        Index("ix_user_interactions_item_user", "item_id", "user_id", "interaction_type", "value"),
        Index("ix_user_interactions_time", "occurred_at"),
        Index(
            "ix_user_interactions_idempotency_key",
            "idempotency_key",
            unique=True,
            **_only("idempotency_key IS NOT NULL"),
        ),
        Index("ix_user_interactions_request", "request_id", "item_id", **_only("request_id IS NOT NULL")),
        Index(
            "ix_user_interactions_clicks",
            "item_id",
            "request_id",
            **_only("interaction_type = 'click' AND request_id IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )


class ItemActivity(Table):
    """Events of an item in an hour, by type: stored, because popular lists would have to count all events.

    `hour`: hours since 1970 in which the events occurred; `users`: those of the events that were a user's first of
    their type with the item, so that no user makes an item popular alone.
    """

    __tablename__ = "item_activity"

    hour: Mapped[int] = mapped_column(Integer, primary_key=True)
    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    interaction_type: Mapped[str] = mapped_column(String(16), primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)
    users: Mapped[int] = mapped_column(BigInteger)


class ItemCount(Table):
    """Events and distinct users of an item by type, and of all types under the empty one: kept, because statistics
    would have to go through all events of the item."""

    __tablename__ = "item_counts"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    interaction_type: Mapped[str] = mapped_column(String(16), primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)
    users: Mapped[int] = mapped_column(BigInteger)


class ItemValueCount(Table):
    """Events of an item by the whole part of their value, at most `activity.HIGHEST`, and the sum of these values: a
    mean weight is made of them, whatever the weights are."""

    __tablename__ = "item_value_counts"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    interaction_type: Mapped[str] = mapped_column(String(16), primary_key=True)
    whole: Mapped[int] = mapped_column(Integer, primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[float] = mapped_column(Double)


class RecommendationImpression(Table):
    """A recommended list as it was returned, and the model version that made it.

    `items`, best first: [[item_id, score, propensity], ...]; the view `shown_items` has a row for each.
    """

    __tablename__ = "recommendation_impressions"

    request_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"))
    items: Mapped[list[tuple[str, float, float]]] = mapped_column(JSON)
    method: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str | None] = mapped_column(String(64))
    shown_at: Mapped[int] = mapped_column(Milliseconds)
    experiment: Mapped[str | None] = mapped_column(String(64))
    arm: Mapped[str | None] = mapped_column(String(16))
    chance: Mapped[float | None] = mapped_column(Double)
    """Probability with which the experiment gave this arm."""
    teams: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    """Of an interleaved list: 0 or 1 for each item, the ranking that contributed it."""
    milliseconds: Mapped[float | None] = mapped_column(Double)
    """Time to make the list."""
    segment: Mapped[str | None] = mapped_column(String(8))
    """Of the user, where the experiment drew the arm by it."""

    __table_args__ = (
        Index("ix_recommendation_impressions_user_time", "user_id", "shown_at"),
        Index("ix_recommendation_impressions_time", "shown_at", "model_version"),
        Index(
            "ix_recommendation_impressions_experiment",
            "experiment",
            "shown_at",
            **_only("experiment IS NOT NULL"),
        ),
    )


SHOWN_ITEMS = table(
    "shown_items",
    *(column(name) for name in ("request_id", "rank", "item_id", "score", "propensity")),
    *(column(name) for name in ("user_id", "method", "model_version", "shown_at", "experiment", "arm", "chance")),
)
"""The view with one row for each item of each impression; rank 1 is the best."""


class ItemExposure(Table):
    """How many impressions hold an item: stored, because counting would need an index entry for each item of a list."""

    __tablename__ = "item_exposures"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    shown: Mapped[int] = mapped_column(BigInteger)


class RecommendationFeedback(Table):
    """Feedback on one item of a list; joined to its impression by the request id."""

    __tablename__ = "recommendation_feedback"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    request_id: Mapped[str] = mapped_column(String(64))
    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"))
    user_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.user_id"))
    outcome: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column(Double)
    occurred_at: Mapped[int] = mapped_column(Milliseconds)
    received_at: Mapped[int] = mapped_column(Milliseconds)

    __table_args__ = (
        CheckConstraint("value >= 0", "value_not_negative"),
        Index("ix_recommendation_feedback_request", "request_id", "item_id", "outcome", unique=True),
        Index("ix_recommendation_feedback_item", "item_id", "outcome"),
        Index("ix_recommendation_feedback_user", "user_id"),
        Index("ix_recommendation_feedback_time", "received_at"),
        {"sqlite_autoincrement": True},
    )


class UserRecommendation(Table):
    """One item of a precomputed list, valid for its registered model and version, and until it expires."""

    __tablename__ = "user_recommendations"

    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Double)
    method: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(Milliseconds)
    expires_at: Mapped[int] = mapped_column(Milliseconds)

    __table_args__ = (
        Index("ix_user_recommendations_user_score", "user_id", "model_name", "model_version", "score"),
        Index("ix_user_recommendations_item", "item_id"),
        Index("ix_user_recommendations_expires_at", "expires_at"),
    )


class ItemAudience(Table):
    """One user of an item's precomputed audience, valid for its registered model and version, and until it expires."""

    __tablename__ = "item_audiences"

    item_id: Mapped[str] = mapped_column(Id, ForeignKey("items.item_id"), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.user_id"), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Double)
    method: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[int] = mapped_column(Milliseconds)

    __table_args__ = (
        Index("ix_item_audiences_user", "user_id"),
        Index("ix_item_audiences_expires_at", "expires_at"),
    )


class Erasure(Table):
    """The erasure of a user, and when; `person` is a keyed digest, the id itself is not stored.

    Without `finished_at` its slow part is not done: emptying the log, and searching the registered versions.
    """

    __tablename__ = "erasures"

    person: Mapped[bytes] = mapped_column(LargeBinary(8), primary_key=True)
    erased_at: Mapped[int] = mapped_column(Milliseconds)
    finished_at: Mapped[int | None] = mapped_column(Milliseconds)
    trained_versions: Mapped[list[tuple[str, str]] | None] = mapped_column(JSON)
    """Registered versions trained on the user: [[name, version], ...]."""
    incomplete_because: Mapped[str | None] = mapped_column(Text)


class TrainedUsers(Table):
    """The users a registered version was trained on: sorted keyed digests of their ids, eight bytes each."""

    __tablename__ = "trained_users"

    model_name: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    n_users: Mapped[int] = mapped_column(Integer)
    digests: Mapped[bytes] = mapped_column(LargeBinary)
    recorded_at: Mapped[int] = mapped_column(Milliseconds)


class RuleChange(Table):
    """One change of a business rule: the rules at a version are the last change of each name up to it.

    `definition` null: the rule was deleted. A revert changes several rules in one version.
    """

    __tablename__ = "rule_changes"

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    change: Mapped[str] = mapped_column(String(16))
    definition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    changed_at: Mapped[int] = mapped_column(Milliseconds)
    changed_by: Mapped[str] = mapped_column(String(128))

    __table_args__ = (Index("ix_rule_changes_name_version", "name", "version"),)


class Counter(Table):
    """Counters that move with each change of hidden items, items, users and rules: how other processes notice."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class Secret(Table):
    """Keys of this database, made when it was created: `digests` is the key of the id digests."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
