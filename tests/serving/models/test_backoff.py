"""Backoff: pauses that double up to a bound, for one version at a time."""

from __future__ import annotations

import pytest

from serving.models.backoff import Backoff


def test_pauses_double_up_to_the_longest():
    assert [Backoff(first=1.0, longest=10.0).pause(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_first_pause_is_no_longer_than_the_longest():
    assert Backoff(first=1.0, longest=0.5).pause(1) == 0.5


@pytest.mark.parametrize("tries", [1_025, 100_000])
def test_something_that_stays_broken_for_days_is_still_tried(tries):
    assert Backoff().pause(tries) == 60.0


def test_a_failure_counts_for_its_own_version_only(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("serving.models.backoff.time.monotonic", lambda: clock[0])
    backoff = Backoff()
    first = backoff.after(None, "7", "broken")
    second = backoff.after(first, "7", "still broken")
    other = backoff.after(second, "8", "broken too")
    assert (first.tries, second.tries, other.tries) == (1, 2, 1)
    assert second.blocks("7")
    assert not second.blocks("8")
    clock[0] += 2.0
    assert not second.blocks("7")
