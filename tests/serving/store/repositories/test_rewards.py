"""What came of the lists of an experiment, by version: what the bandit draws from."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import bindparam, select

from serving.interfaces import Impression
from serving.store.db.reader import Query
from serving.store.db.tables import UserInteraction
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.feedback import ItemOutcome, RecordFeedback
from serving.store.repositories.impressions import WriteImpressions
from tests.serving.store.factories import event


def shown(request_id: str, version: str, experiment: str | None = "trial", segment: str | None = None) -> Impression:
    at = int(time.time()) + 1
    about = {"experiment": experiment, "arm": "challenger", "segment": segment}
    return Impression(request_id, "ann", ("film",), (1.0,), (1.0,), "als", version, at, **about)


def test_lists_that_led_to_more_than_a_view_are_rewarded_once_each_by_version_and_segment(store, do):
    lists = [
        shown("r1", "7"),
        shown("r2", "7", segment="cold"),
        shown("r3", "8"),
        shown("r4", "8"),
        shown("r5", "8", "other"),
    ]
    do(WriteImpressions(lists))
    do(RecordEvents([event("ann", "film", "click", request_id="r1"), event("ann", "film", "save", request_id="r1")]))
    do(RecordEvents([event("ann", "film", "view", request_id="r2"), event("ann", "film", "click", request_id="r5")]))
    do(RecordFeedback("r3", "ann", [ItemOutcome("film", "click", now_ms())]))
    do(RecordFeedback("r4", "ann", [ItemOutcome("film", "dismiss", now_ms())]))
    assert store.rewards.rewards("trial") == {("7", None): (1, 1), ("7", "cold"): (1, 0), ("8", None): (2, 1)}
    assert store.rewards.rewards("nothing") == {}


def test_a_query_whose_in_would_be_expanded_at_each_execution_is_refused(store):
    query = Query(
        "odd",
        select(UserInteraction.id).where(
            UserInteraction.interaction_type.in_(("view", "click")), UserInteraction.user_id == bindparam("user_id")
        ),
    )
    with pytest.raises(ValueError, match="query 'odd': IN with a list"):
        store.reader.rows(query, {"user_id": "ann"})
