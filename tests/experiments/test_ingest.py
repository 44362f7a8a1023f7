"""The ingest benchmark counts what a real service acknowledged."""

from __future__ import annotations

import pytest

from experiments.benchmarks import ingest
from serving.store.admin import backup
from serving.store.db.connection import parse_url

pytestmark = pytest.mark.integration


def test_every_counted_event_is_in_the_database(tmp_path, monkeypatch):
    counted = []
    post = ingest.post_events

    def recorded(service, **load):
        counted.append(post(service, **load))
        return counted[-1]

    monkeypatch.setattr(ingest, "LOADS", ((50, 2), (1, 4)))
    monkeypatch.setattr(ingest, "post_events", recorded)
    measurements = list(ingest.ingest(tmp_path, seconds=0.4))
    assert [row.name for row in measurements if row.goal is None and "events" in row.name] == [
        "events a second, 50 a request, on disk",
        "events a second, 1 a request, on disk",
    ]
    assert all(found.events > 0 and found.refused == 0 for found in counted)
    stored = backup.verify(parse_url(f"sqlite:///{tmp_path}/ingest.db")).rows["user_interactions"]
    assert stored == sum(found.events for found in counted)
