"""What a retraining is told of the service's database: counts since the last training, windows of lists."""

from __future__ import annotations

import pytest

from recstage.config import ServiceSource
from recstage.data.snapshots import activity
from recstage.data.sources import service
from serving.interfaces import Impression
from serving.store.repositories.events import RecordEvents
from serving.store.repositories.feedback import ItemOutcome, RecordFeedback
from serving.store.repositories.impressions import WriteImpressions
from serving.store.repositories.users import PutProfile
from tests.serving.store.factories import event

AN_HOUR_MS = 3_600_000
NOW = 1_790_000_000_000


@pytest.fixture
def source(url, monkeypatch) -> ServiceSource:
    monkeypatch.setenv(service.URL_VARIABLE, url.render_as_string(hide_password=False))
    return ServiceSource()


def read(source, *, until: int | None, version: int | None = 3, windows: int = 4) -> activity.Activity:
    return activity.read(source, until=until, version=version, now_ms=NOW, hours=1.0, windows=windows)


def test_interactions_are_counted_then_and_now_without_users_who_opted_out(source, do):
    do(RecordEvents([event("ann", "film"), event("bob", "film"), event("eve", "book", "save")]))
    do(PutProfile("bob", role=None, categories=(), opted_out=True))
    found = read(source, until=1)
    assert (found.interactions, found.interactions_then) == (2, 1)
    assert found.items == {"film": (1, 1), "book": (0, 1)}
    assert found.types == {"click": (1, 1), "save": (0, 1)}
    assert read(source, until=None).items == {}


def test_windows_count_lists_of_production_and_those_that_led_to_something(source, do):
    def shown(request_id: str, hours_ago: float, version: str = "3") -> Impression:
        at = (NOW - int(hours_ago * AN_HOUR_MS)) // 1000
        return Impression(request_id, "ann", ("film", "book"), (1.0, 0.5), (1.0, 1.0), "als", version, at)

    of_production = [shown("r1", 0.5), shown("r2", 0.6), shown("r3", 1.5), shown("r4", 1.6), shown("r5", 9)]
    lists = [*of_production, shown("r6", 0.5, "2")]
    do(WriteImpressions(lists))
    do(RecordEvents([event("ann", "film", request_id="r1"), event("ann", "book", request_id="r1")]))
    do(RecordEvents([event("ann", "film", "dismiss", request_id="r2")]))
    found = read(source, until=0)
    assert [(one.age, one.shown, one.used) for one in found.windows] == [(0, 2, 1), (1, 2, 0)]
    assert found.windows[0].click_through == 0.5
    assert read(source, until=0, version=None).windows == ()
    assert read(source, until=0, windows=0).windows == ()


def test_feedback_counts_as_an_event_does(source, do):
    at = (NOW - AN_HOUR_MS // 2) // 1000
    shown = Impression("r1", "ann", ("film",), (1.0,), (1.0,), "als", "3", at)
    do(WriteImpressions([shown]))
    do(RecordFeedback("r1", "ann", [ItemOutcome("film", "click", NOW)]))
    assert [(one.shown, one.used) for one in read(source, until=0).windows] == [(1, 1)]


def test_an_empty_database_has_no_activity(source, do):
    found = read(source, until=None)
    assert (found.interactions, found.interactions_then, found.windows) == (0, 0, ())
