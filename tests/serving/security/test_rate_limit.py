"""Rate limits: one token bucket for each caller."""

from __future__ import annotations

import pytest

from serving.errors import Problem
from serving.security import rate_limit
from serving.security.rate_limit import RateLimiter
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
