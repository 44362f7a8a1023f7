"""Keys, tokens, roles, limits, headers: who may ask, what, how often, and how much at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import Message

from recstage.errors import ConfigError
from serving.errors import Problem
from serving.monitoring.logging import JsonFormatter
from serving.monitoring.metrics import Metrics
from serving.security import authentication, rate_limit
from serving.security.load_shedding import LoadShedder
from serving.security.middleware import GuardMiddleware
from serving.security.rate_limit import RateLimiter
from serving.security.request_body import deeper_than
from serving.settings import ServingSettings
from tests.serving.doubles import HandPointer, MemoryStore

KEYS = [
    {"name": "web", "role": "client", "key": "a-client-key-of-24-chars"},
    {"name": "shop", "role": "service", "sha256": hashlib.sha256(b"a-service-key-of-25-chars").hexdigest()},
    {"name": "ops", "role": "admin", "key": "an-admin-key-of-24-chars"},
]
CLIENT = {"x-api-key": "a-client-key-of-24-chars"}
SERVICE = {"x-api-key": "a-service-key-of-25-chars"}
ADMIN = {"x-api-key": "an-admin-key-of-24-chars"}
SECRET = "s" * 40
ASK = "/api/recommendations?user_id=u5"


def token(secret: object = SECRET, algorithm: str = "HS256", headers: dict | None = None, **claims: object) -> dict:
    claims = {"role": "client", "exp": time.time() + 3600, **claims}
    made = jwt.encode({key: value for key, value in claims.items() if value is not None}, secret, algorithm, headers)
    return {"authorization": f"Bearer {made}"}


@pytest.fixture
def pointer(als, stage) -> HandPointer:
    return HandPointer(stage(als, "1"))


@pytest.fixture
def guarded(pointer, serve):
    with serve(pointer, api_keys=KEYS, jwt_secret=SECRET, max_body_bytes=2000, max_depth=4) as client:
        yield client


# -- who --------------------------------------------------------------------------------------------------------------


def test_without_a_key_nobody_is_answered(guarded):
    answered = guarded.get(ASK)
    assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer")
    assert "X-API-Key" in answered.json()["detail"]
    assert guarded.get("/health/live").status_code == 200
    assert guarded.get("/health/ready").status_code == 200


@pytest.mark.parametrize("headers", [CLIENT, SERVICE, ADMIN, token(), token(role="admin")])
def test_a_key_or_token_opens(guarded, headers):
    assert guarded.get(ASK, headers=headers).status_code == 200


def test_a_key_may_come_as_a_bearer(guarded):
    assert guarded.get(ASK, headers={"authorization": "Bearer a-client-key-of-24-chars"}).status_code == 200


def test_one_token_is_verified_once_and_remembered_until_it_expires(guarded, monkeypatch):
    verified = []
    decode = jwt.decode
    monkeypatch.setattr(
        "serving.security.authentication.jwt.decode", lambda *given, **how: verified.append(1) or decode(*given, **how)
    )
    headers = token(exp=time.time() + 1.5)
    assert guarded.get(ASK, headers=headers).status_code == 200
    assert guarded.get(ASK, headers=headers).status_code == 200
    assert len(verified) == 1
    time.sleep(1.6)
    assert guarded.get(ASK, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"x-api-key": "wrong"}, "The API key is unknown"),
        ({"authorization": "Basic abc"}, "must read 'Bearer <token>'"),
        ({"authorization": "Bearer a.b.c"}, "The token is not valid"),
        (token(exp=time.time() - 5), "The token has expired"),
        (token(exp=None), "The token is not valid"),
        (token("x" * 40), "The token is not valid"),
        (token(role="root"), "claim 'role' must be one of client, service, admin"),
        (token(nbf=time.time() + 3000), "The token is not valid"),
        (token("x" * 64, "HS512"), "Tokens are signed with HS256"),
        (token("", "none"), "Tokens are signed with HS256"),
    ],
)
def test_a_wrong_key_or_token_is_refused_within_two_hundred_milliseconds(guarded, headers, says):
    took = []
    for _ in range(3):
        began = time.perf_counter()
        answered = guarded.get(ASK, headers=headers)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.2
    assert answered.status_code == 401
    assert answered.headers["content-type"] == "application/problem+json"
    assert says in answered.json()["detail"]


def test_rs256_tokens_are_checked_against_the_public_key_and_its_audience(pointer, serve, tmp_path):
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    pem = tmp_path / "public.pem"
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem.write_bytes(public)
    with serve(pointer, jwt_public_key=str(pem), jwt_audience="recstage") as client:
        statuses = [
            client.get(ASK, headers=headers).status_code
            for headers in (
                token(key, "RS256", aud="recstage"),
                token(key, "RS256", aud="another"),
                token(key, "RS256"),
                token(other, "RS256", aud="recstage"),
                # the classic: the public key used as the secret of a symmetric signature
                {"authorization": "Bearer " + _forged(public)},
            )
        ]
    assert statuses == [200, 401, 401, 401, 401]


def _forged(public: bytes) -> str:
    import base64
    import hmac

    def part(value: dict) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"role": "admin", "exp": 4e9, "aud": "recstage"})
    signature = base64.urlsafe_b64encode(hmac.new(public, signed, "sha256").digest()).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("get", ASK, {"client", "service", "admin"}),
        ("get", "/api/model", {"client", "service", "admin"}),
        ("get", "/api/items/i1/recommended-users", {"service", "admin"}),
        ("get", "/metrics", {"service", "admin"}),
        ("post", "/api/model/reload", {"admin"}),
    ],
)
def test_roles_open_what_is_theirs(guarded, method, path, allowed):
    for role, headers in (("client", CLIENT), ("service", SERVICE), ("admin", ADMIN)):
        answered = guarded.request(method, path, headers=headers)
        assert (answered.status_code < 300) == (role in allowed), (role, answered.text)
        if role not in allowed:
            assert answered.status_code == 403
            assert f"the caller has the role {role}" in answered.json()["detail"]


def test_a_token_for_one_person_asks_for_nobody_else(guarded):
    mine = token(user_id="u5")
    assert guarded.get(ASK, headers=mine).status_code == 200
    assert guarded.get("/api/recommendations?user_id=u6", headers=mine).status_code == 403
    body = {"user_id": "u6", "item_ids": ["i1"]}
    assert guarded.post("/api/predict", json=body, headers=mine).status_code == 403


def test_an_unguarded_service_answers_to_local_names_only(pointer, serve):
    with serve(pointer) as client:
        assert client.get(ASK, headers={"host": "localhost:8000"}).status_code == 200
        assert client.get(ASK, headers={"host": "[::1]:8000"}).status_code == 200
        answered = client.get(ASK, headers={"host": "evil.example"})
    assert answered.status_code == 403
    assert "localhost and 127.0.0.1 only" in answered.json()["detail"]


def test_an_open_address_needs_a_key():
    with pytest.raises(ConfigError, match="binds to loopback only"):
        ServingSettings(host="0.0.0.0").check_binding()
    with pytest.raises(ConfigError, match="binds to loopback only"):
        ServingSettings(host="my-host").check_binding()
    ServingSettings(host="0.0.0.0", api_keys=KEYS).check_binding()
    ServingSettings(host="::1").check_binding()


# -- how often, how much ----------------------------------------------------------------------------------------------


def test_each_key_has_its_own_rate(pointer, serve):
    with serve(pointer, api_keys=KEYS, rate_limit=0.001, rate_burst=3) as client:
        statuses = [client.get(ASK, headers=CLIENT).status_code for _ in range(4)]
        refused = client.get(ASK, headers=CLIENT)
        other = client.get(ASK, headers=ADMIN).status_code
    assert statuses == [200, 200, 200, 429]
    assert int(refused.headers["retry-after"]) > 900
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert other == 200


def test_tokens_that_name_nobody_have_rates_of_their_own(pointer, serve):
    with serve(pointer, jwt_secret=SECRET, rate_limit=0.001, rate_burst=1) as client:
        nobody, nobody_else = token(jti="a"), token(jti="b")
        named = [token(sub="shop", jti=name) for name in "ab"]
        statuses = [client.get(ASK, headers=one).status_code for one in (nobody, nobody, nobody_else, *named)]
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


def test_a_bucket_keeps_no_more_than_its_burst_however_long_it_rests():
    limiter = RateLimiter(rate=10, burst=2)
    limiter.take("a", now=0.0)
    for _ in range(2):
        limiter.take("a", now=3600.0)
    with pytest.raises(Problem):
        limiter.take("a", now=3600.0)


def test_no_more_callers_are_remembered_than_the_bound_and_the_longest_silent_is_forgotten(monkeypatch):
    monkeypatch.setattr(rate_limit, "REMEMBERED_CALLERS", 3)
    limiter = RateLimiter(rate=0.001, burst=1)
    for caller in "abc":
        limiter.take(caller, now=0.0)
    with pytest.raises(Problem):  # refused, and remembered anew: b has been silent the longest
        limiter.take("a", now=1.0)
    limiter.take("d", now=1.0)
    assert len(limiter._buckets) == 3
    for caller in "acd":
        with pytest.raises(Problem):
            limiter.take(caller, now=1.0)
    limiter.take("b", now=1.0)
    assert len(limiter._buckets) == 3


def test_a_million_strange_tokens_take_no_more_room_than_the_bound(monkeypatch):
    monkeypatch.setattr(authentication, "_REMEMBERED_TOKENS", 3)
    verified = []
    decode = jwt.decode
    monkeypatch.setattr(
        "serving.security.authentication.jwt.decode", lambda *given, **how: verified.append(1) or decode(*given, **how)
    )
    recognise = authentication.Authenticator(ServingSettings(jwt_secret=SECRET))
    tokens = [token(sub=f"s{n}")["authorization"].encode() for n in range(5)]
    for one in tokens:
        assert recognise(None, one).bucket
    assert (len(recognise._tokens), len(verified)) == (3, 5)
    recognise(None, tokens[4])
    assert len(verified) == 5, "the last is remembered"
    recognise(None, tokens[0])
    assert len(verified) == 6, "the first was forgotten"
    assert len(recognise._tokens) == 3


class Clocked:
    """An admission on a clock of its own; each request that is taken costs `each` seconds."""

    def __init__(self, monkeypatch, **bounds) -> None:
        self.now = 100.0
        monkeypatch.setattr("serving.security.load_shedding.time.perf_counter", lambda: self.now)
        self.admission = LoadShedder(max_concurrency=1000, **bounds)

    async def turn(self, requests: int, each: float) -> int:
        """How many of the requests that are ready together are taken."""

        async def handle() -> bool:
            try:
                self.admission.enter()
            except Problem:
                return False
            self.now += each
            self.admission.leave()
            return True

        return sum(await asyncio.gather(*(handle() for _ in range(requests))))


def test_requests_that_would_wait_too_long_are_shed_and_the_next_turn_is_free(monkeypatch):
    clocked = Clocked(monkeypatch, max_lag_ms=20, queue_lag_ms=20)

    async def main() -> None:
        assert await clocked.turn(20, each=0.003) == 7
        assert await clocked.turn(3, each=0.003) == 3
        assert clocked.admission.under_way == 0

    asyncio.run(main())


def test_what_piled_up_in_a_stall_is_answered_but_a_standing_queue_is_shed_until_it_is_gone(monkeypatch):
    clocked = Clocked(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        assert await clocked.turn(80, each=0.003) == 80  # 240 ms: a stall
        assert await clocked.turn(80, each=0.003) == 7  # and there are as many again: it is none
        assert await clocked.turn(80, each=0.003) == 7
        assert await clocked.turn(5, each=0.003) == 5  # caught up
        assert await clocked.turn(60, each=0.003) == 60

    asyncio.run(main())


def test_after_a_pause_no_queue_stands(monkeypatch):
    clocked = Clocked(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        for _ in range(20):
            await clocked.turn(60, each=0.003)
        assert await clocked.turn(60, each=0.003) == 7
        clocked.now += 1
        assert await clocked.turn(60, each=0.003) == 60

    asyncio.run(main())


def test_a_queue_behind_something_that_passes_is_answered_and_does_not_stand_when_it_is_over(monkeypatch):
    excused = True
    clocked = Clocked(monkeypatch, max_lag_ms=1000, queue_lag_ms=20, excused=lambda: excused)

    async def main() -> None:
        nonlocal excused
        for _ in range(20):
            assert await clocked.turn(60, each=0.003) == 60
        excused = False
        assert await clocked.turn(60, each=0.003) == 60
        assert await clocked.turn(60, each=0.003) == 24  # until it has lasted for 250 ms
        assert await clocked.turn(60, each=0.003) == 7

    asyncio.run(main())


def test_no_more_than_max_concurrency_are_under_way():
    async def main() -> None:
        admission = LoadShedder(max_concurrency=2, max_lag_ms=1000, queue_lag_ms=1000)
        admission.enter()
        admission.enter()
        with pytest.raises(Problem, match="more to do than it can"):
            admission.enter()
        admission.leave()
        admission.enter()

    asyncio.run(main())


def test_who_sends_slowly_holds_no_place_and_is_told_to_hurry():
    async def inner(scope, receive, send) -> None:
        raise AssertionError("nothing has arrived")

    async def main() -> None:
        settings = ServingSettings(max_concurrency=1, body_timeout_seconds=0.1)
        gate = GuardMiddleware(inner, settings, Metrics(), {})
        sent = []

        async def never() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", b"100")]
        scope = {"type": "http", "method": "POST", "path": "/api/model/webhook", "headers": headers}
        asked = asyncio.create_task(gate({**scope}, never, send))
        await asyncio.sleep(0.02)
        assert gate._admission.under_way == 0
        await asked
        assert sent[0]["status"] == 408
        assert b"arrives within 0.1 seconds" in sent[1]["body"]

    asyncio.run(main())


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(guarded):
    big = {"user_id": "u1", "item_ids": ["i" * 50] * 100}
    declared = guarded.post("/api/predict", json=big, headers=CLIENT)

    def pieces():
        yield from (json.dumps(big)[i : i + 500].encode() for i in range(0, 5000, 500))

    chunked = guarded.post("/api/predict", content=pieces(), headers={**CLIENT, "content-type": "application/json"})
    for answered in (declared, chunked):
        assert answered.status_code == 413
        assert answered.json()["detail"] == "A request body has at most 2000 bytes."


def test_a_body_that_is_too_deep_is_refused(guarded):
    body = '{"user_id": "u1", "item_ids": ' + "[" * 500 + "]" * 500 + "}"
    headers = {**CLIENT, "content-type": "application/json"}
    answered = guarded.post("/api/predict", content=body, headers=headers)
    assert (answered.status_code, answered.json()["type"]) == (413, "/problems/too-deep")


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[[[[1]]]]", True),
        (b"[[[1]]]", False),
        (b'[{"a": [1]}]', False),
        (b'[{"a": [{}]}]', True),
        (b'["[[[[[[[[", "\\"[[[[[["]', False),
        (b"[" + b"{}," * 1000 + b"{}]", False),
        (b'["\\\\", [[[1]]]]', True),
    ],
)
def test_depth_is_told_without_parsing(body, deep):
    assert deeper_than(body, 3) is deep


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"[]", 422),
        (b'{"user_id": "u1"}', 422),
        (b'{"user_id": "u1", "item_ids": []}', 422),
        (b'{"user_id": "u1", "item_ids": "i1"}', 422),
        (b'{"user_id": 5, "item_ids": ["i1"]}', 422),
        (b'{"user_id": "u1", "item_ids": [NaN]}', 422),
        (b'{"user_id": "u1", "item_ids": ["i\\u0000"]}', 422),
        (b'{"user_id": "u1", "item_ids": ["i1"], "extra": 1}', 422),
        (b'{"user_id": "u1", "item_ids": ["no-such-item"]}', 404),
        (b'{"user_id": "u1", "item_ids": ["i1"], "strategy": "nonsense"}', 422),
        (b"\xff\xfe", 400),
    ],
)
def test_a_bad_body_is_a_problem(guarded, content, status):
    headers = {**CLIENT, "content-type": "application/json"}
    answered = guarded.post("/api/predict", content=content, headers=headers)
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    assert len(answered.json()["detail"]) > 10


# -- headers, logs ----------------------------------------------------------------------------------------------------


def test_security_headers_are_on_answers_and_problems(guarded):
    for answered in (guarded.get(ASK, headers=CLIENT), guarded.get(ASK), guarded.get("/api/nothing", headers=CLIENT)):
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["content-security-policy"] == "default-src 'none'"
        assert answered.headers["cache-control"] == "no-store"
        assert "server" not in answered.headers


def test_browsers_may_call_from_the_origins_of_the_setting_only(pointer, serve):
    preflight = {"access-control-request-method": "GET", "access-control-request-headers": "x-api-key"}
    with serve(pointer, api_keys=KEYS, cors_origins=["https://shop.example"]) as client:
        ours = client.options(ASK, headers={"origin": "https://shop.example", **preflight})
        theirs = client.options(ASK, headers={"origin": "https://evil.example", **preflight})
        read = client.get(ASK, headers={"origin": "https://shop.example", **CLIENT})
    assert ours.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in theirs.headers
    assert read.headers["access-control-allow-origin"] == "https://shop.example"


def test_logs_carry_the_request_id_and_no_person(pointer, serve, caplog):
    store = MemoryStore()
    with serve(pointer, dependencies=store.dependencies(), log_requests=True, slow_request_ms=1e-6) as client:
        with caplog.at_level(logging.INFO, logger="serving"):
            client.get("/api/recommendations?user_id=private-person", headers={"x-request-id": "abc"})
            store.away = True
            client.get("/api/recommendations?user_id=private-person")
        metrics = client.get("/metrics").text
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert {"request", "slow-recommendation", "degraded"} <= {line["event"] for line in lines if "event" in line}
    request = next(line for line in lines if line.get("event") == "request")
    assert (request["route"], request["status"]) == ("/api/recommendations", 200)
    assert "private-person" not in json.dumps(lines) + metrics
    assert "recstage_slow_recommendations_total 2.0" in metrics
