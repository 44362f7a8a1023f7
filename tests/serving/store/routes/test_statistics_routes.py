"""Statistics of users and items: totals, counts by type, rates and means."""

from __future__ import annotations

import pytest


@pytest.fixture
def known(client):
    events = [
        {"user_id": "ann", "item_id": "i1", "interaction_type": "click", "occurred_at": "2026-11-20T18:00:00Z"},
        {"user_id": "ann", "item_id": "i1", "interaction_type": "implement", "occurred_at": "2026-11-20T19:00:00Z"},
        {"user_id": "ann", "item_id": "i2", "interaction_type": "like", "occurred_at": "2026-11-20T20:00:00Z"},
        {"user_id": "bob", "item_id": "i1", "interaction_type": "view", "value": 60},
    ]
    assert client.post("/api/interactions", json={"events": events}).status_code == 201
    return client


def test_a_user_has_a_total_counts_rates_and_a_span(known):
    body = known.get("/api/users/ann/stats").json()
    assert body == {
        "user_id": "ann",
        "total": 3,
        "counts": {"click": 1, "implement": 1, "like": 1},
        "items": 2,
        "implementation_rate": 0.5,
        "mean_engagement": pytest.approx(0.7),
        "first_at": "2026-11-20T18:00:00Z",
        "last_at": "2026-11-20T20:00:00Z",
    }


def test_a_user_without_events_has_zeros_and_no_rates(known):
    known.put("/api/users/cid/profile", json={"role": "editor"})
    body = known.get("/api/users/cid/stats").json()
    assert (body["total"], body["counts"], body["items"]) == (0, {}, 0)
    assert (body["implementation_rate"], body["mean_engagement"], body["first_at"]) == (None, None, None)


def test_an_item_has_a_total(known):
    body = known.get("/api/items/i1/stats").json()
    assert (body["total"], body["counts"]) == (3, {"click": 1, "implement": 1, "view": 1})
    assert body["mean_label"] == pytest.approx((0.4 + 1.0 + 0.4) / 3)


def test_an_erased_user_is_unknown(known):
    assert known.delete("/api/users/ann").status_code == 200
    assert known.get("/api/users/ann/stats").status_code == 404
