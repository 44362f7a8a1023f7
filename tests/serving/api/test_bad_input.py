"""Every kind of bad input, at every route that can be given it: a 4xx problem with a clear sentence, within 200 ms."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient

from recstage import bundle
from serving.app import create_app
from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer

SECRET, HOOK = "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n", "hook-Vq7kT9xW2mZp4"
LARGE = 1_000_000
FUTURE = "2999-01-01T00:00:00Z"
KEYS = {role: f"a-key-for-the-role-{role}" for role in ("client", "service", "admin")}
EVENT = {"user_id": "ann", "item_id": "i1", "interaction_type": "view"}
OUTCOME = {"item_id": "i1", "outcome": "click"}
STREAM = "/api/recommendations/stream"
LISTS, USER_ROUTES = "/api/recommendations", "/api/items/i1/recommended-users"
PREDICT, EVENTS, FEEDBACK = "/api/predict", "/api/interactions", "/api/recommendations/feedback"
CATEGORIES, USER_STATISTICS = "/api/categories", "/api/users/ann/stats"
POPULAR, TRENDING, LATEST, RANK = "/api/popular", "/api/trending", "/api/latest", "/api/rank"
SESSION_LIST, BATCH = "/api/recommendations/session", "/api/recommendations/batch"
BATCH_PREDICT = "/api/predict/batch"
ITEMS, ITEM, STATISTICS = "/api/items", "/api/items/i1", "/api/items/i1/stats"
HISTORY, PROFILE, USER = "/api/users/ann/history", "/api/users/ann/profile", "/api/users/ann"
RULES, RULE, VERSIONS, REVERT = "/api/rules", "/api/rules/a", "/api/rules/versions", "/api/rules/versions/0/revert"
CLASSIFY, QUEUE, LABELS = "/api/classify", "/api/classifier/queue", "/api/classifier/labels"
MODEL, RELOAD, WEBHOOK = "/api/model", "/api/model/reload", "/api/model/webhook"
SESSION, OPERATIONS = "/api/session", "/api/operations"
PROMOTE, ROLLBACK, EXPERIMENT = (f"{OPERATIONS}/{what}" for what in ("promote", "rollback", "experiment"))

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", PREDICT): {"user_id": "ann", "item_ids": ["i1"]},
    ("POST", RANK): {"user_id": "ann", "items": ["i1"]},
    ("POST", SESSION_LIST): {"items": [{"item_id": "i1"}]},
    ("POST", BATCH): {"user_ids": ["ann"]},
    ("POST", BATCH_PREDICT): {"user_ids": ["ann"], "item_ids": ["i1"]},
    ("POST", EVENTS): EVENT,
    ("POST", FEEDBACK): {"request_id": "r", "outcomes": [OUTCOME]},
    ("POST", ITEMS): {"item_id": "i1"},
    ("PATCH", ITEM): {"title": "x"},
    ("POST", CLASSIFY): {"texts": ["a text"]},
    ("POST", LABELS): {"item_id": "i1", "categories": ["Drama"]},
    ("PUT", PROFILE): {"role": "editor"},
    ("POST", RULES): {"name": "a", "action": {"type": "exclude", "filter": "item_id=i1"}, "enabled": False},
    ("PUT", RULE): {"action": {"type": "exclude", "filter": "item_id=i1"}},
    ("POST", PROMOTE): {"version": "3", "reason": "better"},
    ("POST", ROLLBACK): {"reason": "worse"},
    ("POST", EXPERIMENT): {"share": 0.1},
}
TRENDS = (POPULAR, TRENDING, LATEST)
QUERIES = {
    LISTS: {"user_id": "ann"},
    STREAM: {"user_id": "ann"},
    USER_ROUTES: {},
    HISTORY: {},
    **{path: {} for path in TRENDS},
}
ROUTES = [
    *(
        ("GET", path)
        for path in (
            LISTS,
            STREAM,
            *TRENDS,
            CATEGORIES,
            USER_STATISTICS,
            USER_ROUTES,
            STATISTICS,
            ITEM,
            HISTORY,
            PROFILE,
            MODEL,
        )
    ),
    *(("GET", path) for path in (RULES, RULE, VERSIONS)),
    ("GET", QUEUE),
    *(("GET", path) for path in (SESSION, OPERATIONS, "/metrics")),
    *BODIES,
    ("DELETE", ITEM),
    ("DELETE", USER),
    ("POST", RELOAD),
    ("DELETE", RULE),
    ("POST", REVERT),
]
LEAST = {
    ("POST", BATCH): "service",
    ("POST", BATCH_PREDICT): "service",
    ("GET", USER_ROUTES): "service",
    ("GET", ITEM): "service",
    ("GET", HISTORY): "service",
    ("GET", USER_STATISTICS): "service",
    ("GET", PROFILE): "service",
    ("GET", "/metrics"): "service",
    ("POST", ITEMS): "service",
    ("PATCH", ITEM): "service",
    ("PUT", PROFILE): "service",
    ("DELETE", ITEM): "service",
    ("DELETE", USER): "admin",
    ("POST", RELOAD): "admin",
    **dict.fromkeys((("GET", RULES), ("GET", RULE), ("GET", VERSIONS), ("DELETE", RULE), ("POST", REVERT)), "admin"),
    ("GET", QUEUE): "admin",
    ("POST", LABELS): "admin",
    ("POST", RULES): "admin",
    ("PUT", RULE): "admin",
    ("GET", OPERATIONS): "service",
    ("POST", PROMOTE): "admin",
    ("POST", ROLLBACK): "admin",
    ("POST", EXPERIMENT): "admin",
}


@pytest.fixture(scope="module")
def client(als, tmp_path_factory) -> Iterator[TestClient]:
    """A guarded service with a version, a database, a user 'ann' and an item 'i1' in it."""
    folder = tmp_path_factory.mktemp("bad-input")
    bundle.save(als, folder / "bundle")
    settings = ServingSettings(
        bundle_dir=folder / "serving",
        follow_registry=False,
        database_url=f"sqlite:///{folder}/service.db",
        api_keys=[{"name": role, "role": role, "key": key} for role, key in KEYS.items()],
        jwt_secret=SECRET,
        auth_failures_per_minute=0,
        webhook_secret=HOOK,
        stream_seconds=0.01,
        stream_poll_seconds=0.01,
    )
    app = create_app(settings, pointer=FakePointer(ProductionVersion("recommender", "1", folder / "bundle")))
    with TestClient(app, raise_server_exceptions=False) as found:
        assert found.post(EVENTS, json=EVENT, headers=key("client")).status_code == 201
        yield found


def key(role: str) -> dict[str, str]:
    return {"x-api-key": KEYS[role]}


def token(**claims: object) -> dict[str, str]:
    known = {"role": "admin", "exp": time.time() + 3600, **claims}
    return {"authorization": f"Bearer {jwt.encode(known, SECRET, 'HS256')}"}


def refused(client: TestClient, method: str, path: str, status: int, sentence: str, **how: Any) -> None:
    """Sent twice: a refused request changes nothing."""
    how.setdefault("headers", key("admin"))
    for _ in range(2):
        response = client.request(method, path, **how)
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert sentence in problem["detail"], problem["detail"][:500]
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert len(response.content) < 10_000


def sent(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": {**key("admin"), "content-type": "application/json"}}


def with_body(path: str, **changes: Any) -> dict[str, Any]:
    """The body that `path` takes, changed."""
    return {**next(body for (_, taking), body in BODIES.items() if taking == path), **changes}


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({}, "Show an API key in X-API-Key, or a token as 'Authorization: Bearer <token>'."),
        ({"x-api-key": "wrong" * 5}, "The API key is unknown."),
        ({"authorization": "Bearer a.b.c"}, "The token is not valid"),
        (token(exp=time.time() - 5), "The token has expired."),
        (token(role=["admin"]), "The token's claim 'role' must be one of client, service, admin."),
        (token(role={}), "The token's claim 'role' must be one of client, service, admin."),
    ],
    ids=["none", "wrong key", "wrong token", "expired token", "roles", "no role"],
)
def test_whoever_is_not_known_is_refused_everywhere(client, method, path, headers, sentence):
    how = {"json": BODIES.get((method, path)), "params": QUERIES.get(path)}
    refused(client, method, path, 401, sentence, headers=headers, **how)


@pytest.mark.parametrize(("route", "least"), LEAST.items(), ids=" ".join)
def test_a_role_that_may_not_is_refused(client, route, least):
    method, path = route
    below = "client" if least == "service" else "service"
    sentence = f"This needs the role {least}; the caller has the role {below}."
    refused(client, method, path, 403, sentence, headers=key(below), json=BODIES.get(route))


# -- too much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [*BODIES, ("POST", WEBHOOK)])
def test_an_oversized_body_is_refused_everywhere(client, method, path):
    how = sent(b'{"user_id": "' + b"x" * LARGE + b'"}')
    refused(client, method, path, 413, "A request body has at most 1000000 bytes.", **how)


@pytest.mark.parametrize(("method", "path"), [*BODIES, ("POST", WEBHOOK)])
@pytest.mark.parametrize(
    "content",
    [
        b'{"a": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        b'{"a":' * 150_000,
        b"[" * 20 + b'"' + rb"\"" * 480_000,  # a string without an end: every quote of it could be a beginning
    ],
    ids=["lists", "objects", "quotes"],
)
def test_a_deeply_nested_body_is_refused_everywhere(client, method, path, content):
    refused(client, method, path, 413, "A JSON body has at most 16 levels of lists and objects.", **sent(content))


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        (PREDICT, b'{"user_id":"a","item_ids":[' + b"0," * 400_000 + b"0]}", "item_ids.0: Input should be a valid str"),
        (PREDICT, json.dumps(with_body(PREDICT, item_ids=["i1"] * 1001)).encode(), "at most 1000 items are scored"),
        (
            SESSION_LIST,
            json.dumps({"items": [{"item_id": "a"}] * 1001}).encode(),
            "at most 1000 items a session; this one",
        ),
        (SESSION_LIST, b'{"items":[' + b"{}," * 90_000 + b"{}]}", "items.0.item_id: Field required"),
        (BATCH, json.dumps({"user_ids": ["a"] * 201}).encode(), "at most 200 users a request; this one has 201"),
        (BATCH, b'{"user_ids":[' + b"0," * 400_000 + b"0]}", "user_ids.0: Input should be a valid string"),
        (
            BATCH_PREDICT,
            json.dumps({"user_ids": ["a"] * 201, "item_ids": ["a"]}).encode(),
            "at most 200 users a request",
        ),
        (
            BATCH_PREDICT,
            json.dumps({"user_ids": ["a"], "item_ids": ["a"] * 1001}).encode(),
            "at most 1000 items are sco",
        ),
        (RANK, json.dumps(with_body(RANK, items=["i1"] * 1001)).encode(), "at most 1000 candidates are ranked at once"),
        (EVENTS, b'{"events":[' + b"0," * 90_000 + b"0]}", "events.0: Input should be a valid dictionary"),
        (EVENTS, b'{"events":[' + b"{}," * 90_000 + b"{}]}", "events.0.user_id: Field required"),
        (EVENTS, json.dumps({"events": [EVENT] * 1001}).encode(), "A batch has at most 1000 events; this one has 1001"),
        (ITEMS, b'{"items":[' + b"{}," * 90_000 + b"{}]}", "items.0.item_id: Field required"),
        (ITEMS, json.dumps({"items": [{"item_id": "a"}] * 1001}).encode(), "At most 1000 items a request"),
        (FEEDBACK, b'{"request_id":"r","outcomes":[' + b"{}," * 90_000 + b"{}]}", "outcomes: List should have at most"),
    ],
    ids=lambda value: value[:30].decode() if isinstance(value, bytes) else "",
)
def test_a_list_of_too_many_is_refused(client, path, content, sentence):
    refused(client, "POST", path, 422, sentence, **sent(content))


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_an_object_of_too_many_fields_or_of_one_with_a_long_name_is_refused(client, method, path):
    many = b"{" + b",".join(b'"f%d":1' % i for i in range(80_000)) + b"}"
    refused(client, method, path, 422, "An object has at most 50 fields here; this one has 80000", **sent(many))
    long = json.dumps(with_body(path, **{"x" * 900_000: 1})).encode()
    refused(client, method, path, 422, "xxx: Extra inputs are not permitted", **sent(long))


@pytest.mark.parametrize("path", [LISTS, *TRENDS, USER_ROUTES, "/api/items/i1/similar"])
@pytest.mark.parametrize("limit", ["201", "9999"])
def test_a_limit_above_the_setting_names_the_setting(client, path, limit):
    user = "&user_id=ann" if path == LISTS else ""
    refused(client, "GET", f"{path}?limit={limit}{user}", 422, "query.limit: a list has at most 200")


@pytest.mark.parametrize("path", [LISTS, *TRENDS, USER_ROUTES, HISTORY])
@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ("-1", "query.limit: Input should be greater than or equal to 1"),
        ("0", "query.limit: Input should be greater than or equal to 1"),
        ("9" * 5000, "query.limit: Unable to parse input string as an integer"),
        ("NaN", "query.limit: Input should be a valid integer"),
        ("1.5", "query.limit: Input should be a valid integer"),
        ("\x00", "query.limit: Input should be a valid integer"),
    ],
    ids=lambda value: value[:8].replace("\x00", "NUL"),
)
def test_a_limit_that_is_none_is_refused(client, path, limit, sentence):
    refused(client, "GET", path, 422, sentence, params={**QUERIES[path], "limit": limit})


@pytest.mark.parametrize("path", [LISTS, USER_ROUTES])
def test_a_limit_above_that_of_the_settings_is_refused(client, path):
    sentence = "query.limit: a list has at most 200"
    refused(client, "GET", path, 422, sentence, params={**QUERIES[path], "limit": 201})


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"exclude": ["x"] * 101}, "query.exclude: Tuple should have at most 100 items"),
        ({"category": ["x"] * 21}, "query.category: Tuple should have at most 20 items"),
        ({"exclude": ["x"] * 2001}, "A query has at most 2000 parameters."),
        ({"exclude": "x" * 257}, "query.exclude.0: String should have at most 256 characters"),
        ({"exclude": "a\x00"}, "query.exclude.0: This must not hold control characters"),
        ({"category": "a\x00"}, "query.category.0: This must not hold control characters"),
        ({"filter": ["x=1"] * 11}, "query.filter: Tuple should have at most 10 items"),
        ({"filter": "x" * 501}, "query.filter.0: a filter of 501 characters: it has at most 500"),
        ({"filter": ""}, "query.filter.0: filter '': there is no condition at character 1"),
        ({"filter": "a=\x00"}, "query.filter.0: This must not hold control characters"),
        ({"filter": "price"}, "query.filter.0: filter 'price': there is no condition at character 1"),
        (
            {"filter": "colour=red"},
            "attribute 'colour': no item has it. Valid names: age_days, category, item_id, title",
        ),
        ({"category": ""}, "query.category.0: String should have at least 1 character"),
        ({"lambda": "-0.1"}, "query.lambda: Input should be greater than or equal to 0"),
        ({"lambda": "NaN"}, "query.lambda: Input should be"),
        ({"fields": "title,prize"}, "No item has the field 'prize'."),
        ({"fields": ",".join(f"f{n}" for n in range(21))}, "query.fields: Value should have at most 20 items"),
        ({"category": "nothing"}, "No item has the category 'nothing'."),
        ({"explain": "perhaps"}, "query.explain: Input should be a valid boolean"),
        ({"exclude_seen": ""}, "query.exclude_seen: Input should be a valid boolean"),
        ({"strategy": "x" * 65}, "query.strategy: String should have at most 64 characters"),
        ({"strategy": "alss"}, "There is no strategy 'alss'. Did you mean 'als'?"),
        ({"lamda": "0.5"}, "query.lamda: Extra inputs are not permitted"),
    ],
    ids=lambda value: str(value)[:30].replace("\x00", "NUL") if isinstance(value, dict) else "",
)
def test_a_wish_that_is_none_is_refused(client, params, sentence):
    refused(client, "GET", LISTS, 422, sentence, params={"user_id": "ann", **params})


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"segment": "lukewarm"}, "query.segment: Input should be 'cold', 'warm' or 'hot'"),
        ({"role": ""}, "query.role: String should have at least 1 character"),
        ({"role": "a\x00"}, "query.role: String should match pattern"),
        ({"exclude_known": "perhaps"}, "query.exclude_known: Input should be a valid boolean"),
    ],
    ids=["segment", "no role", "NUL", "flag"],
)
def test_an_invalid_filter_of_users_is_refused(client, params, sentence):
    refused(client, "GET", USER_ROUTES, 422, sentence, params=params)


@pytest.mark.parametrize(
    ("path", "params", "sentence"),
    [
        *(
            (path, {"window": "year"}, "query.window: Input should be 'hour', 'day', 'week' or 'month'")
            for path in TRENDS
        ),
        *((path, {"category": "nothing"}, "No item has the category 'nothing'.") for path in TRENDS),
        (POPULAR, {"exclude": ["x"] * 101}, "query.exclude: Tuple should have at most 100 items"),
        (POPULAR, {"category": "a\x00"}, "query.category.0: This must not hold control characters"),
        (TRENDING, {"user_id": "a\x00"}, "query.user_id: This must not hold control characters"),
        (LATEST, {"explain": "perhaps"}, "query.explain: Input should be a valid boolean"),
        (LATEST, {"fields": "prize"}, "No item has the field 'prize'."),
        (LATEST, {"windw": "day"}, "query.windw: Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_an_invalid_parameter_of_a_list_for_all_is_refused(client, path, params, sentence):
    refused(client, "GET", path, 422, sentence, params=params)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"items": []}, "body.items: List should have at least 1 item"),
        ({"items": [1]}, "body.items.0: Input should be a valid string"),
        ({"limit": 0}, "body.limit: Input should be greater than or equal to 1"),
        ({"limit": "2"}, "body.limit: Input should be a valid integer"),
        ({"lambda": 1.1}, "body.lambda: Input should be less than or equal to 1"),
        ({"category": ["x"] * 21}, "body.category: List should have at most 20 items"),
        ({"exclude": ["a\x00"]}, "body.exclude.0: This must not hold control characters"),
        ({"explain": 1}, "body.explain: Input should be a valid boolean"),
        ({"strategy": "best"}, "There is no strategy 'best'. Valid names: als, auto"),
    ],
    ids=str,
)
def test_an_invalid_request_for_a_ranking_is_refused(client, body, sentence):
    refused(client, "POST", RANK, 422, sentence, json=with_body(RANK, **body))


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        *((path, {"limit": 201}, "body.limit: a list has at most 200 items.") for path in (SESSION_LIST, BATCH)),
        *((path, {"lambda": "0.5"}, "body.lambda: Input should be a valid number") for path in (SESSION_LIST, BATCH)),
        *(
            (path, {"strategy": "best"}, "There is no strategy 'best'.")
            for path in (SESSION_LIST, BATCH, BATCH_PREDICT)
        ),
        (SESSION_LIST, {"items": []}, "body.items: List should have at least 1 item"),
        (SESSION_LIST, {"items": [{"item_id": "i1", "weight": True}]}, "weight: Input should be a valid number"),
        (SESSION_LIST, {"items": [{"item_id": "i1", "weight": 1e9}]}, "weight: Input should be less than or equal to"),
        (SESSION_LIST, {"items": [{"item_id": "i1", "occurred_at": FUTURE}]}, "This time is in the future"),
        (
            SESSION_LIST,
            {"items": [{"item_id": "a\x00"}]},
            "items.0.item_id: This must not hold control characters",
        ),
        (SESSION_LIST, {"store_as": "a\x00"}, "body.store_as: This must not hold control characters"),
        (SESSION_LIST, {"store_type": "buy"}, "body.store_type: Input should be 'view', 'click'"),
        (BATCH, {"user_ids": []}, "body.user_ids: List should have at least 1 item"),
        (BATCH, {"fields": ["prize"]}, "No item has the field 'prize'."),
        (SESSION_LIST, {"fields": "title"}, "body.fields: Input should be a valid list"),
        (BATCH, {"shown": "perhaps"}, "body.shown: Input should be a valid boolean"),
        (BATCH_PREDICT, {"item_ids": []}, "body.item_ids: List should have at least 1 item"),
    ],
    ids=str,
)
def test_an_invalid_request_for_a_session_or_for_many_is_refused(client, path, body, sentence):
    refused(client, "POST", path, 422, sentence, json=with_body(path, **body))


def test_an_unknown_item_cannot_be_scored_for_many(client):
    body = with_body(BATCH_PREDICT, item_ids=["i1", "nothing"])
    refused(client, "POST", BATCH_PREDICT, 404, "the served version does not know nothing.", json=body)


def test_a_token_of_a_user_stores_no_session_as_another(client):
    headers = token(role="client", user_id="bob")
    body = with_body(SESSION_LIST, store_as="ann")
    refused(client, "POST", SESSION_LIST, 403, "This token is for another user_id.", headers=headers, json=body)


@pytest.mark.parametrize("path", TRENDS)
def test_a_token_of_a_user_cannot_have_lists_stored_as_shown_to_another(client, path):
    headers = token(role="client", user_id="bob")
    assert client.get(path, headers=headers, params={"user_id": "bob"}).status_code == 200
    refused(client, "GET", path, 403, "This token is for another user_id.", headers=headers, params={"user_id": "ann"})


# -- what it holds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PREDICT, {"user_id": "a\x00"}),
        ("POST", PREDICT, {"item_ids": ["a\x00"]}),
        ("POST", RANK, {"user_id": "a\x00"}),
        ("POST", RANK, {"items": ["a\x00"]}),
        ("POST", EVENTS, {"user_id": "a\x00"}),
        ("POST", EVENTS, {"item_id": "a\x00"}),
        ("POST", EVENTS, {"context": {"a\x00": 1}}),
        ("POST", EVENTS, {"idempotency_key": "a\x00"}),
        ("POST", FEEDBACK, {"user_id": "a\x00"}),
        ("POST", FEEDBACK, {"request_id": "a\x00"}),
        ("POST", FEEDBACK, {"outcomes": [{**OUTCOME, "item_id": "a\x00"}]}),
        ("POST", ITEMS, {"item_id": "a\x00"}),
        ("POST", ITEMS, {"categories": ["a\x00"]}),
        ("PATCH", ITEM, {"title": "a\x00"}),
        ("PUT", PROFILE, {"role": "a\x00"}),
        ("PUT", PROFILE, {"categories": ["a\x00"]}),
        ("POST", RULES, {"note": "a\x00"}),
        ("POST", RULES, {"action": {"type": "exclude", "filter": "title=a\x00"}}),
        ("PUT", RULE, {"action": {"type": "pin", "item_id": "a\x00", "rank": 1}}),
        ("PUT", RULE, {"target": {"categories": ["a\x00"]}}),
        ("POST", ITEMS, {"attributes": {"a": "a\x00"}}),
    ],
    ids=str,
)
def test_nul_is_refused_in_every_text(client, method, path, body):
    said = "match pattern" if "request_id" in body else "NUL"
    refused(client, method, path, 422, said, json=with_body(path, **body))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/api/items/a%00b{rest}") for rest in ("", "/stats", "/recommended-users", "/similar")),
        *(("GET", f"/api/users/a%00b{rest}") for rest in ("/history", "/profile", "/erasure")),
        *(("DELETE", f"/api/{kind}/a%00b") for kind in ("items", "users")),
        ("PATCH", "/api/items/a%00b"),
        ("PUT", "/api/users/a%00b/profile"),
    ],
)
def test_nul_is_refused_in_every_path(client, method, path):
    body = {"title": "x"} if method == "PATCH" else {} if method == "PUT" else None
    refused(client, method, path, 422, "This must not hold control characters such as NUL", json=body)


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        (PREDICT, b'{"user_id":"a","item_ids":[NaN]}', "item_ids.0: Input should be a valid string"),
        (EVENTS, json.dumps({**EVENT, "value": float("nan")}).encode(), "value: Input should be a finite number"),
        (EVENTS, json.dumps({**EVENT, "context": {"a": float("nan")}}).encode(), "must be finite"),
        (EVENTS, json.dumps({**EVENT, "value": -1}).encode(), "value: Input should be greater than or equal to 0"),
        (
            FEEDBACK,
            json.dumps(with_body(FEEDBACK, outcomes=[{**OUTCOME, "value": float("nan")}])).encode(),
            "value: Input should be a finite number",
        ),
        (
            FEEDBACK,
            json.dumps(with_body(FEEDBACK, outcomes=[{**OUTCOME, "value": -1}])).encode(),
            "value: Input should be greater than or equal to 0",
        ),
    ],
    ids=lambda value: value[-40:].decode() if isinstance(value, bytes) else "",
)
def test_nan_and_negative_numbers_are_refused(client, path, content, sentence):
    refused(client, "POST", path, 422, sentence, **sent(content))


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        (EVENTS, {"interaction_type": "buy"}, "interaction_type: Input should be 'view', 'click', 'like', 'save'"),
        (FEEDBACK, {"outcomes": [{**OUTCOME, "outcome": "buy"}]}, "outcome: Input should be 'view', 'click', 'like'"),
        (PREDICT, {"strategy": "best"}, "There is no strategy 'best'. Valid names: als, auto"),
        (EVENTS, {"occurred_at": FUTURE}, "occurred_at: This time is in the future"),
        (FEEDBACK, {"outcomes": [{**OUTCOME, "occurred_at": FUTURE}]}, "occurred_at: This time is in the future"),
        (ITEMS, {"expires_at": "9999-01-01T00:00:00Z"}, "expires_at: This time must be between the years 1970 and"),
        (EVENTS, {"interaction_type": "rate", "value": 6}, "A rating has a value from 0.5 to 5 stars"),
        (FEEDBACK, {"outcomes": [{**OUTCOME, "outcome": "rate"}]}, "A rating has a value from 0.5 to 5 stars"),
    ],
    ids=str,
)
def test_unknown_types_and_future_times_are_refused(client, path, body, sentence):
    refused(client, "POST", path, 422, sentence, json=with_body(path, **body))


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("GET", "/api/users/nobody/history", "There is no user 'nobody' here."),
        ("GET", "/api/users/nobody/stats", "There is no user 'nobody' here."),
        ("GET", "/api/users/nobody/profile", "There is no user 'nobody' here."),
        ("GET", "/api/users/nobody/erasure", "The user 'nobody' was never erased here."),
        ("GET", "/api/items/nothing", "There is no item 'nothing' here."),
        ("GET", "/api/items/nothing/stats", "There is no item 'nothing' here."),
        ("GET", "/api/items/nothing/recommended-users", "Neither the served version nor the catalogue knows"),
        ("GET", "/api/items/no/thing/recommended-users", "knows the item 'no/thing'."),
        ("GET", "/api/items/nothing/similar", "The served version does not know the item 'nothing'."),
        ("GET", "/api/items/i1/similar?basket=nothing", "The served version does not know the item 'nothing'."),
        ("PATCH", "/api/items/nothing", "There is no item 'nothing' here."),
        ("DELETE", "/api/items/nothing", "There is no item 'nothing' here."),
        ("GET", "/api/nowhere", "There is nothing at /api/nowhere; /docs lists what there is."),
    ],
)
def test_unknown_users_items_and_paths_are_not_found(client, method, path, sentence):
    refused(client, method, path, 404, sentence, json={"title": "x"} if method == "PATCH" else None)


def test_an_unknown_item_cannot_be_scored(client):
    body = with_body(PREDICT, item_ids=["i1", "nothing"])
    refused(client, "POST", PREDICT, 404, "body.item_ids: the served version does not know nothing.", json=body)


# -- the webhook ------------------------------------------------------------------------------------------------------


def signed(sent_at: str) -> dict[bytes, bytes]:
    digest = hmac.new(HOOK.encode(), f"d.{sent_at}.".encode() + b"{}", hashlib.sha256).digest()
    return {
        b"x-mlflow-signature": b"v1," + base64.b64encode(digest),
        b"x-mlflow-delivery-id": b"d",
        b"x-mlflow-timestamp": sent_at.encode(),
    }


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({}, "The webhook's signature is wrong."),
        ({**signed("1"), b"x-mlflow-signature": b"v1,\xff"}, "The webhook's signature is wrong."),
        (signed("1"), "The webhook was sent more than 300 seconds ago."),
        (signed("9" * 5000), "The webhook was sent more than 300 seconds ago."),
        (signed("now"), "The webhook was sent more than 300 seconds ago."),
    ],
    ids=["none", "no text", "old", "long", "no number"],
)
def test_a_webhook_that_is_not_mlflows_or_not_new_is_refused(client, headers, sentence):
    refused(client, "POST", WEBHOOK, 401, sentence, content=b"{}", headers=headers)


def test_nothing_is_awaited_of_a_body_that_was_read_to_its_end(client, monkeypatch):
    monkeypatch.setattr("serving.security.middleware.drain_body", None)  # a call of it would be a 500
    refused(client, "POST", PREDICT, 413, "A JSON body has at most 16 levels", **sent(b"[" * 20 + b"]" * 20))
