"""Lists as Server-Sent Events: one at once, one after each event, comments between, limits, and an end."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import ExitStack

from fastapi.testclient import TestClient

from serving.app import create_app
from serving.errors import Problem
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings
from serving.streams.updates import KEEP_ALIVE, Streams
from tests.serving.doubles import FakePointer

PATH = "/api/recommendations/stream"
QUICK = {"stream_seconds": 1.5, "stream_poll_seconds": 0.02}


def lists_in(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_an_event_that_another_worker_took_brings_a_new_list_without_the_item(als, stage, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db", **QUICK)
    with ExitStack() as workers:
        one, other = (
            workers.enter_context(TestClient(create_app(settings, pointer=FakePointer(stage(als, "7")))))
            for _ in range(2)
        )
        best = one.get("/api/recommendations", params={"user_id": "u1"}).json()["items"][0]["item_id"]
        event = {"user_id": "u1", "item_id": best, "interaction_type": "like"}
        later = threading.Timer(0.4, lambda: other.post("/api/interactions", json=event))
        later.start()
        answer = one.get(PATH, params={"user_id": "u1", "limit": 5}, headers={"x-request-id": "mine"})
        later.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 2000\nid: 0\nevent: recommendations\n")
    first, second = lists_in(answer.text)
    assert (first["request_id"], second["request_id"]) == ("mine-0", "mine-1")
    assert first["items"][0]["item_id"] == best
    assert best not in [item["item_id"] for item in second["items"]]
    assert len(second["items"]) == 5


def test_a_stream_is_refused_before_it_begins_where_the_list_would_be(als, stage, serve):
    pointer = FakePointer(stage(als, "7"))
    keys = [{"name": "shop", "role": "client", "key": "a-Strong-one-4-tests9"}]
    with serve(pointer, api_keys=keys, max_streams=0) as client:
        mine = {"x-api-key": "a-Strong-one-4-tests9"}
        answers = [
            client.get(PATH, params={"user_id": "u1"}),
            client.get(PATH, params={"user_id": "u1", "cursor": "*"}, headers=mine),
            client.get(PATH, params={"user_id": "u1", "limit": 100_000}, headers=mine),
            client.get(PATH, params={"user_id": "u1"}, headers=mine),
        ]
    assert [one.status_code for one in answers] == [401, 422, 422, 503]
    assert answers[-1].json()["type"] == "/problems/too-many-streams"
    assert answers[-1].headers["retry-after"] == "5"


def test_a_stream_holds_no_slot_of_the_other_requests_and_its_life_is_no_time_of_an_answer(als, stage, serve):
    with serve(FakePointer(stage(als, "7")), max_concurrency=1, **QUICK) as client:
        found = []
        streaming = threading.Thread(target=lambda: found.append(client.get(PATH, params={"user_id": "u1"})))
        streaming.start()
        while not client.app.state.metrics.streams._value.get():
            assert streaming.is_alive()
        during = [client.get("/api/recommendations", params={"user_id": "u1"}).status_code for _ in range(20)]
        streaming.join()
        metrics = client.get("/metrics").text
    assert set(during) == {200}
    assert found[0].status_code == 200
    assert f'route="{PATH}"' not in metrics
    assert "recstage_streams 0.0" in metrics


async def collect(streams: Streams, states: list[int], *, leaves_after: int = 10_000) -> list[bytes]:
    looks = 0

    async def state() -> int:
        return states.pop(0) if len(states) > 1 else states[0]

    async def made(number: int) -> bytes:
        return b'{"n":%d}' % number

    async def left() -> bool:
        nonlocal looks
        looks += 1
        return looks > leaves_after

    return [part async for part in streams.events(b'{"n":0}', 0, state, made, left)]


def test_a_silent_stream_is_kept_alive_and_ends_when_its_caller_leaves():
    settings = ServingSettings(stream_poll_seconds=0.001, stream_keep_alive_seconds=0.001)
    metrics = Metrics()
    parts = asyncio.run(collect(Streams(settings, metrics), [0], leaves_after=3))
    assert parts[1:] == [KEEP_ALIVE] * 3
    assert metrics.streams._value.get() == 0
    parts = asyncio.run(collect(Streams(settings, metrics), [0, 1, 1, 2], leaves_after=4))
    assert [part.split(b"data: ")[1] for part in parts if b"data" in part] == [
        b'{"n":0}\n\n',
        b'{"n":1}\n\n',
        b'{"n":2}\n\n',
    ]


def test_a_list_that_cannot_be_made_ends_the_stream():
    streams = Streams(ServingSettings(stream_poll_seconds=0.001), Metrics())

    async def refused() -> int:
        raise Problem(503, "no-model", "There is none.")

    async def unused(number: int) -> bytes:
        raise AssertionError

    async def here() -> bool:
        return False

    async def run() -> list[bytes]:
        return [part async for part in streams.events(b"{}", 0, refused, unused, here)]

    assert len(asyncio.run(run())) == 1


def test_a_server_that_wants_varied_lists_makes_them_by_default(als, stage, serve):
    """The setting `diversity` holds where a request names no lambda."""
    pointer = FakePointer(stage(als, "7"))

    def listed(**values):
        with serve(pointer, **values) as client:
            plain = client.get("/api/recommendations", params={"user_id": "u1"}).json()["items"]
            own = client.get("/api/recommendations", params={"user_id": "u1", "lambda": 1}).json()["items"]
            batch = client.post("/api/recommendations/batch", json={"user_ids": ["u1"]}).json()["lists"][0]["items"]
            session = {"items": [{"item_id": "i1"}, {"item_id": "i4"}]}
            made = client.post("/api/recommendations/session", json=session).json()["items"]
        return plain, own, batch, made

    plain, own, batch, session = listed()
    assert plain == own == batch
    varied, own_again, varied_batch, varied_session = listed(diversity=0.0)
    assert own_again == own
    assert [one["item_id"] for one in varied] != [one["item_id"] for one in own]
    assert [one["item_id"] for one in varied_batch] == [one["item_id"] for one in varied]
    assert varied_session != session


def test_a_lambda_out_of_range_is_refused(als, stage, serve):
    with serve(FakePointer(stage(als, "7"))) as client:
        for wrong in ("1.5", "-1", "nan", "x"):
            assert client.get("/api/recommendations", params={"user_id": "u1", "lambda": wrong}).status_code == 422
        body = {"items": [{"item_id": "i1"}], "lambda": "0.5"}
        assert client.post("/api/recommendations/session", json=body).status_code == 422
