"""Every query of the service finds its rows by an index, according to the query plans of both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, text

from serving.operations import click_through, drift
from serving.store.admin import retention, revision
from serving.store.audiences import stored
from serving.store.classification import tasks
from serving.store.db import change_counters
from serving.store.db.connection import is_sqlite, open_engine
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import (
    SHOWN_ITEMS,
    ItemAudience,
    RecommendationFeedback,
    RecommendationImpression,
    Table,
    UserInteraction,
    UserRecommendation,
)
from serving.store.db.writer import Writer
from serving.store.patterns import stored as patterns
from serving.store.repositories import (
    activity,
    hidden_items,
    items,
    own_catalogue,
    precomputed,
    rules,
    statistics,
    user_histories,
    users,
)
from serving.store.repositories.statistics import ItemStatisticsReader, UserStatisticsReader
from serving.store.repositories.user_histories import Weighting
from serving.store.training import lineage, snapshot

USER = {"user_id": "ann"}
PAGE = USER | {"before": 9, "before_id": 9, "limit": 5}
LIST = USER | {"model_version": "7", "now": 1, "made_after": 0}
ITEM = {"item_id": "film"}
EXPERIMENT = {"experiment": "trial"}
BY_KEY = "pk_"
"""The primary key: SQLite calls its index sqlite_autoindex or, for whole numbers, the table itself."""

READ = [
    ("history", user_histories._EVENTS, USER | {"limit": 10}, "ix_user_interactions_user_time"),
    ("user", user_histories._USER, USER, BY_KEY),
    ("user and counters", user_histories._MOMENT, USER, BY_KEY),
    ("declared", user_histories._DECLARED, USER, BY_KEY),
    (
        "history page",
        user_histories._PAGE,
        USER | {"before": 9, "before_id": 9, "limit": 5},
        "ix_user_interactions_user_time",
    ),
    ("categories of a history", user_histories._CATEGORIES, USER, "ix_user_interactions_user_time"),
    ("known user", user_histories._KNOWN, USER, BY_KEY),
    ("profile", users._PROFILE, USER, BY_KEY),
    ("by role", users._WITH_ROLE, {"role": "editor"}, "ix_user_profiles_role"),
    ("opted out", users._OPTED_OUT, {}, "ix_users_opted_out"),
    ("erasure", users._ERASURE, {"person": b"12345678"}, BY_KEY),
    ("hidden items", hidden_items._HIDDEN_ITEMS, {}, "ix_items_withheld"),
    ("item", items._ITEM, ITEM, BY_KEY),
    ("patterns", patterns._PATTERNS, USER, BY_KEY),
    ("events of patterns", patterns._EVENTS, USER | {"limit": 9}, "ix_user_interactions_user_time"),
    ("counts of an item", statistics._COUNTS, ITEM, BY_KEY),
    ("values of an item", statistics._VALUES, ITEM, BY_KEY),
    ("lists of an experiment", statistics._LISTS, EXPERIMENT, "ix_recommendation_impressions_experiment"),
    ("rewards of an experiment", statistics._REWARDED, EXPERIMENT, "ix_recommendation_impressions_experiment"),
    ("changed items", own_catalogue._CHANGED_ITEMS, {"since": 5}, "ix_items_updated_at"),
    ("categories of changed items", own_catalogue._CHANGED_CATEGORIES, {"since": 5}, "ix_items_updated_at"),
    ("activity", activity.ActivityReader(None, {"like": 1.0}).query, {"now": 9, "hours": 2, "since": 5}, BY_KEY),
    ("lists by version", click_through.LISTS_BY_VERSION, {"since": 5}, "ix_recommendation_impressions_time"),
    ("clicked by version", click_through.CLICKED_BY_VERSION, {"since": 5}, "ix_user_interactions_time"),
    ("events by item", drift.EVENTS_BY_ITEM, {"since": 5}, BY_KEY),
    ("categories of an item", items._CATEGORIES, ITEM, BY_KEY),
    (
        "precomputed list",
        precomputed._LIST,
        USER | {"model_name": "recommender", "model_version": "7", "now": 1, "made_after": 0},
        "ix_user_recommendations_user_score",
    ),
    ("label queue", tasks._QUEUE, {"most": 5}, "ix_item_classifications_needs_label"),
    ("prediction for an item", tasks._OF_ITEM, ITEM, BY_KEY),
    ("items to classify", tasks._TO_CLASSIFY, {"after": "", "version": "7", "most": 5}, BY_KEY),
    (
        "audience",
        stored._AUDIENCE,
        ITEM | {"model_name": "recommender-reverse", "model_version": "7", "now": 1},
        BY_KEY,
    ),
    ("counter", change_counters._VALUE, {"name": "hidden"}, BY_KEY),
    ("rules", rules._RULES, {"until": 9}, "ix_rule_changes_name_version"),
    ("version of the rules", rules._VERSION, {}, BY_KEY),
    ("changes of the rules", rules._CHANGES, {"before": 9, "limit": 5}, BY_KEY),
    ("posted items", rules._POSTED, {"after": 9}, "ix_items_posted_version"),
    ("categories of posted items", rules._POSTED_CATEGORIES, {"after": 9}, "ix_items_posted_version"),
    ("newest event", snapshot._NEWEST, {}, BY_KEY),
    ("lineage", lineage._DIGESTS, {"name": "recommender", "version": "7"}, BY_KEY),
]
COUNTED = [
    ("_weight_of_type", "ix_user_interactions_item_user"),
    ("_shown", BY_KEY),
    ("_clicked", "ix_recommendation_feedback_item"),
    ("_clicked", "ix_user_interactions_clicks"),
]
Event, Impression, Feedback, Lists = (
    UserInteraction,
    RecommendationImpression,
    RecommendationFeedback,
    UserRecommendation,
)
WRITTEN = [
    ("old events", retention.old_events(5, 10), "ix_user_interactions_time"),
    ("old feedback", retention.old_feedback(5, 10), "ix_recommendation_feedback_time"),
    ("old impressions", retention.old_impressions(5, 10), "ix_recommendation_impressions_time"),
    ("expired lists", delete(Lists).where(Lists.expires_at <= 5), "ix_user_recommendations_expires_at"),
    ("lists with an item", delete(Lists).where(Lists.item_id == "film"), "ix_user_recommendations_item"),
    ("expired audiences", delete(ItemAudience).where(ItemAudience.expires_at <= 5), "ix_item_audiences_expires_at"),
    ("audiences of a user", delete(ItemAudience).where(ItemAudience.user_id == "ann"), "ix_item_audiences_user"),
    ("known keys", select(Event.id).where(Event.idempotency_key == "k"), "ix_user_interactions_idempotency_key"),
    ("events of a list", select(Event.id).where(Event.request_id == "r"), "ix_user_interactions_request"),
    (
        "impressions of a user",
        delete(Impression).where(Impression.user_id == "ann"),
        "ix_recommendation_impressions_user_time",
    ),
    ("feedback of a user", delete(Feedback).where(Feedback.user_id == "ann"), "ix_recommendation_feedback_user"),
    ("feedback of a list", select(Feedback.id).where(Feedback.request_id == "r"), "ix_recommendation_feedback_request"),
    ("a list", select(SHOWN_ITEMS.c.item_id).where(SHOWN_ITEMS.c.request_id == "r"), BY_KEY),
]


def plan(url, query: Query, parameters=None) -> str:
    """What the planner is going to do, in its own words."""
    engine = open_engine(url, pooled=False)
    sql, constants = query.sql(engine)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        if is_sqlite(engine.dialect):
            rows = driver.execute(f"EXPLAIN QUERY PLAN {sql}", {**constants, **(parameters or {})}).fetchall()
            return "\n".join(row[3] for row in rows)
        driver.execute("SET enable_seqscan = off")  # on tables this small it would win
        driver.execute("SET enable_bitmapscan = off")
        rows = driver.execute(f"EXPLAIN {sql}", {**constants, **(parameters or {})}).fetchall()
        return "\n".join(row[0] for row in rows)


def assert_uses(found: str, index: str) -> None:
    keys = ("sqlite_autoindex_", "INTEGER PRIMARY KEY", "SEARCH user_interactions", BY_KEY)
    assert any(name in found for name in (keys if index == BY_KEY else (index,))), found
    assert "Seq Scan" not in found, found
    whole = [line for line in found.splitlines() if line.startswith("SCAN ") and "INDEX" not in line]
    assert not any(line.split()[1] in Table.metadata.tables for line in whole), found


@pytest.mark.parametrize(("query", "parameters", "index"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_reads_are_searches(url, query, parameters, index):
    assert_uses(plan(url, query, parameters), index)


@pytest.mark.parametrize(("attribute", "index"), COUNTED)
def test_statistics_of_an_item_are_searches(url, data, attribute, index):
    reader = Reader(url)
    query = getattr(ItemStatisticsReader(reader, Weighting.of(data)), attribute)
    assert_uses(plan(url, query, ITEM | {"type": "view"}), index)
    reader.close()


@pytest.mark.parametrize("attribute", ["_by_type", "_items"])
def test_statistics_of_a_user_are_read_from_an_index(url, data, attribute):
    reader = Reader(url)
    query = getattr(UserStatisticsReader(reader, Weighting.of(data)), attribute)
    assert_uses(plan(url, query, USER), "ix_user_interactions_user_time")
    reader.close()


@pytest.mark.parametrize(("statement", "index"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
def test_writes_find_their_rows_by_index(url, statement, index):
    assert_uses(plan(url, Query("written", statement)), index)


def test_the_live_history_is_read_from_its_index_alone(sqlite_url, postgres_url):
    assert "COVERING INDEX ix_user_interactions_user_time" in plan(
        sqlite_url, user_histories._EVENTS, USER | {"limit": 10}
    )
    with open_engine(postgres_url, pooled=False).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM user_interactions"))
    assert "Index Only Scan Backward using ix_user_interactions_user_time" in plan(
        postgres_url, user_histories._EVENTS, USER | {"limit": 10}
    )


def test_the_live_history_of_sqlite_needs_no_sorting(sqlite_url):
    assert "TEMP B-TREE" not in plan(sqlite_url, user_histories._EVENTS, USER | {"limit": 10})


def test_every_index_of_the_schema_is_used_by_a_query_of_this_file():
    """An index that no query needs only slows down writing."""
    tested = {row[-1] for row in (*READ, *COUNTED, *WRITTEN)}
    indexes = {index.name for table in Table.metadata.tables.values() for index in table.indexes}
    assert indexes == tested - {BY_KEY}


def test_no_query_of_the_service_is_left_out():
    """A new query must be added here, with its index."""
    modules = (items, change_counters, snapshot, user_histories, lineage, users, precomputed, revision, hidden_items)
    modules += (own_catalogue, rules, click_through, drift, statistics, tasks, stored, patterns)
    found = {value.name for module in modules for value in vars(module).values() if isinstance(value, Query)}
    # one row, or all of them by purpose
    whole = {"revision", "counters", "catalogue_counters", "lineage_versions", "digest_key", "digest_key_if_needed"}
    made_for_weights = {"item_activity"}
    assert found - whole == {query.name for _, query, _, _ in READ} - made_for_weights


def test_the_writer_and_the_reader_use_the_same_settings(sqlite_url):
    writer, reader = Writer(sqlite_url), Reader(sqlite_url)
    assert reader.rows(Query("sync", text("PRAGMA synchronous"))) == [(2,)]
    with writer._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    writer.close()
    reader.close()
