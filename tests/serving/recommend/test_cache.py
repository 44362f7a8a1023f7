"""Cached lists, in process or in Redis: used while nothing they depend on has changed."""

from __future__ import annotations

import asyncio
import os
import socketserver
import threading
import time

import pytest

from serving.recommend.cache import LocalCache, RedisCache
from serving.recommend.request import RecommendationRequest
from serving.recommend.response import SerializedList
from serving.redis_connection import RedisConnection
from tests.serving.doubles import FakePointer, MemoryStore

ONE = SerializedList(b'{"items":[]', ("i1", "i2"), (2.0, 1.0), "als", "7")


def key(**parameters: object) -> tuple:
    return ("recommender/7", 1, 1, RecommendationRequest("a", **parameters))  # type: ignore[arg-type]


class RedisCommands(socketserver.StreamRequestHandler):
    """The commands of Redis that the cache uses: SET with PX, and GET. `server.kept` is the data."""

    def handle(self) -> None:
        while header := self.rfile.readline():
            words = []
            for _ in range(int(header[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2])
            self.wfile.write(self._answer(words))

    def _answer(self, words: list[bytes]) -> bytes:
        kept: dict[bytes, tuple[bytes, float]] = self.server.kept  # type: ignore[attr-defined]
        self.server.asked += 1  # type: ignore[attr-defined]
        match words[0].upper():
            case b"SET":
                kept[words[1]] = (words[2], time.monotonic() + int(words[4]) / 1000)
                return b"+OK\r\n"
            case b"GET":
                value, until = kept.get(words[1], (b"", 0.0))
                return b"$%d\r\n%s\r\n" % (len(value), value) if until > time.monotonic() else b"$-1\r\n"
            case b"CLIENT":
                return b"+OK\r\n"
            case _:
                return b"-ERR unknown command\r\n"


class FakeRedis(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RedisCommands)
        self.kept: dict[bytes, tuple[bytes, float]] = {}
        self.asked = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0?protocol=2"


@pytest.fixture
def redis(monkeypatch):
    monkeypatch.setattr("serving.redis_connection.TIMEOUT_SECONDS", 5.0)  # this one answers, however busy the machine
    server = FakeRedis()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_local_cache_forgets_what_was_asked_longest_ago_and_what_is_old():
    async def main() -> None:
        cache = LocalCache(size=2, seconds=0.05)
        await cache.put(key(), ONE)
        await cache.put(key(limit=2), ONE)
        assert await cache.get(key()) is ONE
        await cache.put(key(limit=3), ONE)
        assert await cache.get(key(limit=2)) is None
        assert await cache.get(key()) is ONE
        await asyncio.sleep(0.06)
        assert await cache.get(key()) is None

    asyncio.run(main())


def test_redis_gives_back_what_was_put_until_it_is_too_old_and_learns_no_ids(redis):
    async def main() -> None:
        cache = RedisCache(RedisConnection(redis.url), seconds=0.2)
        assert await cache.get(key()) is None
        await cache.put(key(), ONE)
        assert await cache.get(key()) == ONE
        assert await cache.get(key(limit=3)) is None
        assert all(len(name.rpartition(b":")[2]) == 64 for name in redis.kept)
        await asyncio.sleep(0.25)
        assert await cache.get(key()) is None
        await cache.close()

    asyncio.run(main())


def test_a_real_redis_keeps_a_list_no_longer_than_its_time():
    url = os.environ.get("RECSTAGE_TEST_REDIS_URL")
    if not url:
        pytest.skip("RECSTAGE_TEST_REDIS_URL is not set: there is no Redis to try this on")

    async def main() -> None:
        cache = RedisCache(RedisConnection(url), seconds=0.2)
        await cache.put(key(), ONE)
        assert await cache.get(key()) == ONE
        assert await cache.get(key(limit=3)) is None
        await asyncio.sleep(0.25)
        assert await cache.get(key()) is None
        await cache.close()

    asyncio.run(main())


def test_while_redis_is_unavailable_no_request_waits_for_it_and_it_is_tried_again_later(redis, monkeypatch):
    async def main() -> None:
        connection = RedisConnection(redis.url)
        cache = RedisCache(connection, seconds=10)
        await cache.put(key(), ONE)
        assert connection.trouble is None
        asked = redis.asked
        redis.shutdown()
        redis.server_close()
        await cache.close()
        for _ in range(50):
            assert await cache.get(key()) is None
            await cache.put(key(), ONE)
        assert redis.asked == asked
        assert connection.trouble

    asyncio.run(main())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["local", "redis"])
def client(request, redis, als, stage, store, serve):
    values = {"redis_url": redis.url} if request.param == "redis" else {}
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies(), **values) as client:
        yield client


def hits(client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith('recstage_cache_total{outcome="hit"}'))


def ask(client, user_id: str = "u5", **params) -> dict:
    return client.get("/api/recommendations", params={"user_id": user_id, **params}).json()


def test_a_repeated_request_is_served_from_the_cache_with_its_own_request_id(client, store):
    first, second = ask(client), ask(client)
    assert hits(client) == 1
    assert first.pop("request_id") != second.pop("request_id")
    assert first == second
    assert len(store.impressions) == 2  # an impression is an impression, cached or not


def test_anything_that_changes_the_list_misses_the_cache(client, store, popularity, stage):
    first = ask(client)["items"]
    ask(client, limit=3)
    ask(client, user_id="u6")
    assert hits(client) == 0
    store.interacted("u5", first[0]["item_id"])
    assert ask(client)["items"] != first
    store.hide(first[1]["item_id"])
    assert first[1]["item_id"] not in str(ask(client)["items"])
    service = client.app.state.service
    service.versions._pointer.staged = stage(popularity, "8")
    service.versions.step()
    assert ask(client)["model_version"] == "8"
    assert hits(client) == 0


def test_a_list_in_redis_names_no_user(client, redis):
    if not client.app.state.service.settings.redis_url:
        pytest.skip("this one keeps its lists in process")
    assert ask(client, user_id="u5")["user_id"] == "u5"
    ask(client, user_id="a-private-user")
    assert len(redis.kept) == 2
    kept = b"".join(name + value for name, (value, _) in redis.kept.items())
    assert b"Title of i0" in kept
    assert b"u5" not in kept
    assert b"a-private-user" not in kept


def test_a_fallback_is_counted_each_time_it_answers(client):
    for _ in range(3):
        assert ask(client, strategy="hybrid")["method_used"] == "als"
    assert hits(client) == 2
    assert 'recstage_fallbacks_total{reason="strategy",why="strategy"} 3.0' in client.get("/metrics").text


def test_degraded_lists_are_not_kept(client, store):
    store.unavailable = True
    ask(client)
    store.unavailable = False
    assert ask(client)["degraded"] is False
    assert hits(client) == 0


@pytest.mark.parametrize("stored", [b"[]", b"no json", b'{"of": "the future"}', b"[1, 2, 3, 4, 5, 6, 7, 8]"])
def test_what_another_version_of_the_code_stored_is_a_miss(redis, stored):
    async def main() -> None:
        connection = RedisConnection(redis.url)
        cache = RedisCache(connection, 60)
        await cache.put(key(), ONE)
        assert await cache.get(key()) == ONE
        (name,) = redis.kept
        redis.kept[name] = (stored, time.monotonic() + 60)
        assert await cache.get(key()) is None
        await cache.close()

    asyncio.run(main())
