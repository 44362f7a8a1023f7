"""Taste and activity of a history, by hand."""

from __future__ import annotations

import pytest

from serving.patterns.learned import learned

FRIDAY_18 = 1_795_197_600_000  # 2026-11-20T18:00:00Z
HOUR = 3_600_000
CATEGORIES = {"film": ("drama",), "show": ("drama", "comedy"), "book": ()}


def test_the_weight_of_an_item_is_shared_among_its_categories_and_a_dismissal_says_nothing():
    found = learned([("film", 1.0), ("show", 1.0), ("book", 5.0), ("bad", -1.0)], CATEGORIES.__getitem__, ())
    assert found.taste == {"drama": pytest.approx(0.75), "comedy": pytest.approx(0.25)}
    assert list(found.taste) == ["drama", "comedy"]
    assert found.liked == 3


def test_events_are_counted_by_type_hour_and_day_of_the_week():
    events = [(FRIDAY_18 + 6 * HOUR, "click"), (FRIDAY_18 + HOUR // 2, "view"), (FRIDAY_18, "view")]
    found = learned((), CATEGORIES.__getitem__, events)
    assert (found.events, found.by_type) == (3, {"click": 1, "view": 2})
    assert (found.by_hour[18], found.by_hour[0], sum(found.by_hour)) == (2, 1, 3)
    assert found.by_weekday == [0, 0, 0, 0, 2, 1, 0]
    assert (found.active_days, found.last_at) == (2, FRIDAY_18 + 6 * HOUR)


def test_a_user_without_anything_has_empty_patterns():
    found = learned((), CATEGORIES.__getitem__, ())
    assert (found.taste, found.events, found.last_at, len(found.by_hour)) == ({}, 0, None, 24)
