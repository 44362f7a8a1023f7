"""The queries of live quality on each database: sessions by the pauses between a user's events, and no rows at all."""

from __future__ import annotations

import time

from serving.operations.quality import SESSION_GAP_MS, WINDOW_MS, Sessions, quality
from serving.store.db.reader import Reader
from tests.serving.store.factories import event, record

MINUTE = 60_000


def test_a_pause_of_half_an_hour_begins_another_session(url):
    now = int(time.time() * 1000)
    moments = {"u1": (0, 2, 50, 53), "u2": (10,)}
    record(url, *(event(user, occurred_at=now - at * MINUTE) for user, ats in moments.items() for at in ats))
    reader = Reader(url)
    try:
        assert SESSION_GAP_MS == 30 * MINUTE
        found = quality(reader, None, now - WINDOW_MS)
        assert found.sessions == Sessions(users=2, sessions=3, events=5, seconds=5 * 60)
        assert (found.lists, found.outcomes) == ({}, {})
        assert quality(reader, None, now + 1).sessions == Sessions()
    finally:
        reader.close()
