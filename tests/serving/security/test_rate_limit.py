"""Rate limits: one token bucket for each caller."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time

import pytest

from serving.errors import Problem
from serving.redis_connection import RedisConnection
from serving.security import rate_limit
from serving.security.rate_limit import RateLimiter, SharedRateLimiter
from tests.serving.security.credentials import ADMIN, CLIENT, KEYS, LIST, SECRET, token


def test_each_key_has_its_own_rate(pointer, serve):
    with serve(pointer, api_keys=KEYS, rate_limit=0.001, rate_burst=3) as client:
        statuses = [client.get(LIST, headers=CLIENT).status_code for _ in range(4)]
        refused = client.get(LIST, headers=CLIENT)
        other = client.get(LIST, headers=ADMIN).status_code
    assert statuses == [200, 200, 200, 429]
    assert int(refused.headers["retry-after"]) > 900
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert other == 200


def test_tokens_without_a_subject_have_their_own_rates(pointer, serve):
    with serve(pointer, jwt_secret=SECRET, rate_limit=0.001, rate_burst=1) as client:
        anonymous, another = token(jti="a"), token(jti="b")
        named = [token(sub="shop", jti=name) for name in "ab"]
        statuses = [client.get(LIST, headers=one).status_code for one in (anonymous, anonymous, another, *named)]
    assert statuses == [200, 429, 200, 200, 429]


@pytest.fixture
def redis_url(tmp_path, monkeypatch):
    """A Redis of this test alone, on a socket in its folder."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server")
    monkeypatch.setattr("serving.redis_connection.TIMEOUT_SECONDS", 5.0)
    socket = tmp_path / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not socket.exists():
        assert time.monotonic() < until, "Redis did not start"
        time.sleep(0.01)
    yield f"unix://{socket}"
    process.terminate()
    process.wait(timeout=60)


def test_workers_share_one_bucket_where_redis_is_set(redis_url):
    async def main() -> None:
        connections = [RedisConnection(redis_url) for _ in range(2)]
        workers = [SharedRateLimiter(rate=0.001, burst=3, redis=one) for one in connections]
        for worker in (workers[0], workers[1], workers[0]):
            await worker.take("key shop", 0.0)
        for worker in workers:
            with pytest.raises(Problem) as refused:
                await worker.take("key shop", 0.0)
            assert 900 < int(refused.value.headers["retry-after"]) <= 1000
        await workers[1].take("key another", 0.0)
        (name, _) = sorted(await connections[0].run(lambda client: client.keys("*")))
        assert b"shop" not in name
        for one in connections:
            await one.close()

    asyncio.run(main())


def test_a_shared_bucket_refills_at_its_rate(redis_url):
    async def main() -> None:
        connection = RedisConnection(redis_url)
        limiter = SharedRateLimiter(rate=2, burst=1, redis=connection)
        await limiter.take("a", 0.0)
        with pytest.raises(Problem):
            await limiter.take("a", 0.0)
        await asyncio.sleep(0.55)
        await limiter.take("a", 0.0)
        await connection.close()

    asyncio.run(main())


def test_while_redis_is_away_each_worker_limits_by_itself_and_says_so(pointer, serve, tmp_path):
    away = f"unix://{tmp_path}/no.sock"
    with serve(pointer, api_keys=KEYS, rate_limit=0.001, rate_burst=3, redis_url=away) as client:
        statuses = [client.get(LIST, headers=CLIENT).status_code for _ in range(4)]
        degraded = client.get("/health/ready").json()["degraded"]
    assert statuses == [200, 200, 200, 429]
    assert any("Redis does not answer" in line for line in degraded)


def test_a_bucket_refills_at_its_rate():
    limiter = RateLimiter(rate=10, burst=2)
    limiter.take("a", now=0.0)
    limiter.take("a", now=0.0)
    with pytest.raises(Problem):
        limiter.take("a", now=0.05)
    limiter.take("a", now=0.11)
    with pytest.raises(Problem):
        limiter.take("a", now=0.12)


def test_a_bucket_keeps_no_more_than_its_burst_however_long_it_is_unused():
    limiter = RateLimiter(rate=10, burst=2)
    limiter.take("a", now=0.0)
    for _ in range(2):
        limiter.take("a", now=3600.0)
    with pytest.raises(Problem):
        limiter.take("a", now=3600.0)


def test_no_more_buckets_are_kept_than_the_bound_and_the_least_recently_used_is_dropped(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_CALLERS", 3)
    limiter = RateLimiter(rate=0.001, burst=1)
    for caller in "abc":
        limiter.take(caller, now=0.0)
    with pytest.raises(Problem):  # refused, which is a use as well: b is the least recently used
        limiter.take("a", now=1.0)
    limiter.take("d", now=1.0)
    assert len(limiter._buckets) == 3
    for caller in "acd":
        with pytest.raises(Problem):
            limiter.take(caller, now=1.0)
    limiter.take("b", now=1.0)
    assert len(limiter._buckets) == 3
