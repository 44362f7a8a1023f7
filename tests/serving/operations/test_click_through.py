"""Click-through by version, counted from lists, feedback and events; and its interval."""

from __future__ import annotations

import time

import httpx
import pytest

from serving.operations.click_through import ClickThrough, click_through
from serving.operations.operations import Kept
from tests.serving.doubles import FakePointer


def test_the_interval_is_wilsons():
    low, high = ClickThrough("7", 100, 10).interval
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert ClickThrough("7", 10, 0).interval[0] == 0
    assert ClickThrough("7", 10, 10).interval[1] == pytest.approx(1)


def test_a_list_counts_once_however_often_it_is_clicked_and_views_and_dismissals_do_not(als, stage, serve, tmp_path):
    url = f"sqlite:///{tmp_path}/service.db"
    with serve(FakePointer(stage(als, "7")), database_url=url) as client:
        lists = [client.get("/api/recommendations", params={"user_id": f"u{n}"}).json() for n in range(5)]
        act(client, lists[0], "click", "like")
        act(client, lists[1], "save")
        act(client, lists[2], "view", "dismiss")
        feedback = {"request_id": lists[3]["request_id"], "outcomes": [outcome(lists[3], "click")]}
        assert client.post("/api/recommendations/feedback", json=feedback).status_code == 201
        found = settled(client)
        assert [(one.version, one.lists, one.clicked) for one in found] == [("7", 5, 3)]
        assert client.app.state.operations.click_through(client.app.state.store.reader) == found
        assert click_through(client.app.state.store.reader, int(time.time() * 1000) + 1000) == []


def settled(client) -> list[ClickThrough]:
    """Impressions are stored in batches: wait until all five are."""
    deadline = time.monotonic() + 20
    while True:
        found = click_through(client.app.state.store.reader, 0)
        if found and found[0].lists == 5:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.02)


def act(client: httpx.Client, shown: dict, *kinds: str) -> None:
    for kind in kinds:
        event = {"user_id": shown["user_id"], "item_id": shown["items"][0]["item_id"], "interaction_type": kind}
        answer = client.post("/api/interactions", json={**event, "request_id": shown["request_id"]})
        assert answer.status_code == 201


def outcome(shown: dict, kind: str) -> dict[str, str]:
    return {"item_id": shown["items"][0]["item_id"], "outcome": kind}


def test_a_kept_value_is_computed_again_for_another_key(monkeypatch):
    kept, computed = Kept(), []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    assert [kept.get("a", compute), kept.get("a", compute), kept.get("b", compute)] == [1, 1, 2]
    monkeypatch.setattr("serving.operations.operations.KEPT_SECONDS", -1.0)
    assert kept.get("b", compute) == 3
