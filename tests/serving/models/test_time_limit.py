"""A model that does not answer in time: popularity answers, and no thread is lost for good."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from serving.models.time_limit import ModelCalls, ModelTimeout
from tests.serving.doubles import FakePointer

LIST = "/api/recommendations"


def test_a_call_that_takes_too_long_is_abandoned_and_others_go_on_until_too_many_hang():
    released = threading.Event()

    async def main() -> None:
        calls = ModelCalls(2, 0.1)
        for hanging in (1, 2):
            with pytest.raises(ModelTimeout):
                await calls.run(released.wait)
            assert calls.hanging == hanging
            if hanging == 1:
                assert await calls.run(lambda: 7) == 7
        with pytest.raises(ModelTimeout):  # at once: no third thread is started
            await calls.run(lambda: 7)
        assert "2 calls hang" in calls.trouble
        released.set()
        while calls.hanging:
            await asyncio.sleep(0.01)
        assert await calls.run(lambda: 8) == 8

    asyncio.run(main())


def test_a_call_that_waits_gets_the_place_of_one_that_hangs_and_one_that_waits_too_long_hangs_nowhere():
    released = threading.Event()

    async def main() -> None:
        calls = ModelCalls(1, 0.3)
        hanging = asyncio.create_task(calls.run(released.wait))
        await asyncio.sleep(0.1)
        assert await calls.run(lambda: 7) == 7
        with pytest.raises(ModelTimeout):
            await hanging
        released.set()
        while calls.hanging:
            await asyncio.sleep(0.01)
        await calls._slots.acquire()
        with pytest.raises(ModelTimeout):
            await calls.run(lambda: 7)
        assert calls.hanging == 0

    asyncio.run(main())


def test_what_a_call_raises_is_raised():
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ModelCalls(1, 5.0).run(fails))


def test_a_version_that_was_slow_on_the_event_loop_goes_to_threads_from_then_on():
    calls = ModelCalls(1, 5.0)
    calls.overran("recommender/1", 0.1)
    assert not calls.in_thread("recommender/1")
    calls.overran("recommender/1", 0.3)
    assert calls.in_thread("recommender/1")
    assert not calls.in_thread("recommender/2")


def test_popularity_answers_for_a_model_that_hangs_and_health_says_so(als, stage, serve, monkeypatch):
    released = threading.Event()
    with serve(FakePointer(stage(als, "1")), model_timeout_seconds=0.2) as client:
        versions = client.app.state.service.versions
        versions.served = replace(versions.served, slow=True)
        model = versions.served.chain[0]
        monkeypatch.setattr(model, "rank_scored", lambda *arguments: released.wait() and None)
        monkeypatch.setattr(model, "score", lambda *arguments: released.wait() and None)
        body = client.get(LIST, params={"user_id": "u5", "limit": 3}).json()
        predicted = client.post("/api/predict", json={"user_id": "u5", "item_ids": ["i1"]}).json()
        third = client.get(LIST, params={"user_id": "u5", "limit": 4}).json()
        names = [one["name"] for one in client.get("/health/ready").json()["conditions"]]
        exposed = client.get("/metrics").text
        released.set()
    assert (body["method_used"], body["degraded"], len(body["items"])) == ("popularity", True, 3)
    assert (predicted["method_used"], predicted["degraded"]) == ("popularity", True)
    assert (third["method_used"], third["degraded"]) == ("popularity", True)
    assert "model-timeout" in names
    assert 'recstage_fallbacks_total{reason="model-timeout"' in exposed
