"""POST /api/interactions and /api/recommendations/feedback: what is taken, and what is refused and why."""

from __future__ import annotations

import time

import jwt
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.interfaces import Impression
from serving.settings import ApiKey
from serving.store.db.tables import RecommendationFeedback, UserInteraction
from tests.serving.store.databases import count
from tests.serving.store.factories import settings_for

CLICK = {"user_id": "ann", "item_id": "film", "interaction_type": "click"}
FEEDBACK = {"request_id": "r", "outcomes": [{"item_id": "film", "outcome": "click"}]}
KEY = "a-key-for-tests-0123456789"


def refused(response, status: int, sentence: str) -> None:
    """A problem with this sentence, within 200 ms (as the client of the same process sees it: with room)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert sentence in problem["detail"]
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]


# -- interactions: taken ----------------------------------------------------------------------------------------------


def test_one_event_is_acknowledged_and_on_disk(client, sqlite_url):
    response = client.post("/api/interactions", json=CLICK)
    assert (response.status_code, response.json()) == (201, {"stored": 1, "duplicates": 0, "ignored": 0})
    assert count(sqlite_url, UserInteraction) == 1


def test_a_batch_is_acknowledged_whole(client, sqlite_url):
    batch = [{**CLICK, "item_id": f"i{i}", "occurred_at": "2026-01-01T12:00:00+02:00"} for i in range(50)]
    response = client.post("/api/interactions", json={"events": batch})
    assert (response.status_code, response.json()["stored"]) == (201, 50)
    history = client.get("/api/users/ann/history", params={"limit": 1}).json()
    assert history["events"][0]["occurred_at"] == "2026-01-01T10:00:00Z"
    assert count(sqlite_url, UserInteraction) == 50


@pytest.mark.parametrize("kind", ["view", "click", "like", "save", "share", "rate", "implement", "dismiss"])
def test_every_type_is_taken_with_its_value(client, kind):
    response = client.post("/api/interactions", json={**CLICK, "interaction_type": kind, "value": 4})
    assert response.status_code == 201
    assert client.get("/api/items/film/stats").json()["counts"] == {kind: 1}


def test_a_retry_with_the_same_key_stores_nothing_twice(client, sqlite_url):
    for body in (CLICK, {"events": [CLICK, {**CLICK, "item_id": "book"}]}):
        key = {"Idempotency-Key": f"retry-{len(body)}"}
        first = client.post("/api/interactions", json=body, headers=key).json()
        again = client.post("/api/interactions", json=body, headers=key).json()
        assert again == {"stored": 0, "duplicates": first["stored"], "ignored": 0}
    assert count(sqlite_url, UserInteraction) == 3


def test_each_event_may_carry_its_own_key(client, sqlite_url):
    one, other = {**CLICK, "idempotency_key": "a"}, {**CLICK, "idempotency_key": "b"}
    assert client.post("/api/interactions", json={"events": [one]}).json()["stored"] == 1
    assert client.post("/api/interactions", json={"events": [one, other]}).json() == {
        "stored": 1,
        "duplicates": 1,
        "ignored": 0,
    }


def test_the_counts_reach_the_metrics(client):
    client.post("/api/interactions", json={**CLICK, "idempotency_key": "a"})
    client.post("/api/interactions", json={**CLICK, "idempotency_key": "a"})
    text = client.get("/metrics").text
    assert 'recstage_events_total{outcome="stored",type="click"} 1.0' in text
    assert 'recstage_events_total{outcome="duplicate",type="click"} 1.0' in text
    assert "ann" not in text


# -- interactions: refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"interaction_type": "buy"}, "interaction_type: Input should be 'view', 'click', 'like'"),
        ({"user_id": ""}, "user_id: String should have at least 1 character"),
        ({"user_id": "a" * 257}, "user_id: String should have at most 256 characters"),
        ({"user_id": "a\x00b"}, "user_id: This must not hold control characters such as NUL or a line break"),
        ({"item_id": "a\nb"}, "item_id: This must not hold control characters such as NUL or a line break"),
        ({"user_id": 42}, "user_id: Input should be a valid string"),
        ({"user_id": None}, "user_id: Input should be a valid string"),
        ({"value": -1}, "value: Input should be greater than or equal to 0"),
        ({"value": 1e10}, "value: Input should be less than or equal to 1000000000"),
        ({"value": "7"}, "value: Input should be a valid number"),
        ({"value": True}, "value: Input should be a valid number"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "occurred_at: This time is in the future"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at: This time is before 1970"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "occurred_at: A time needs its offset from UTC"),
        ({"occurred_at": 1767225600}, "occurred_at: A time is text such as 2026-11-20T18:15:00Z"),
        ({"occurred_at": "1767225600"}, "occurred_at: A time is text such as 2026-11-20T18:15:00Z"),
        ({"occurred_at": "yesterday"}, "occurred_at: A time is text such as 2026-11-20T18:15:00Z"),
        ({"occurred_at": "2026-13-01T00:00:00Z"}, "occurred_at: Input should be a valid datetime"),
        ({"interaction_type": "rate"}, "A rating has a value from 0.5 to 5 stars"),
        ({"interaction_type": "rate", "value": 6}, "A rating has a value from 0.5 to 5 stars"),
        ({"typo": 1}, "typo: Extra inputs are not permitted"),
        ({"context": {"a": [1]}}, "The context holds texts, numbers, true, false and null, and nothing nested"),
        ({"context": {"a": {"b": 1}}}, "The context holds texts, numbers, true, false and null, and nothing nested"),
        ({"context": {str(i): i for i in range(21)}}, "context: Dictionary should have at most 20 items"),
        ({"context": {"a": "x" * 501}}, "A text in the context has at most 500 characters"),
        ({"context": {"a": "x\x00"}}, "This must not hold the character NUL"),
        ({"context": {"a": 2**60}}, "A whole number in the context is at most 2^53"),
        ({"context": {"": 1}}, "String should have at least 1 character"),
        ({"context": [1]}, "context: Input should be a valid dictionary"),
        ({"request_id": "no spaces"}, "request_id: String should match pattern"),
        ({"idempotency_key": "x" * 129}, "idempotency_key: String should have at most 128 characters"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_an_event_that_breaks_a_rule_is_refused_with_a_sentence(client, sqlite_url, change, sentence):
    refused(client.post("/api/interactions", json={**CLICK, **change}), 422, sentence)
    refused(client.post("/api/interactions", json={"events": [CLICK, {**CLICK, **change}]}), 422, sentence)
    assert count(sqlite_url, UserInteraction) == 0


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (
            b'{"user_id":"a","item_id":"b","interaction_type":"view","value":NaN}',
            422,
            "Input should be a finite number",
        ),
        (b'{"user_id":"a","item_id":"b","interaction_type":"view","value":-Infinity}', 422, "Input should be"),
        (b'{"user_id":"a","item_id":"b","interaction_type":"view","value":1e999}', 422, "finite number"),
        (b'{"user_id":"a","item_id":"b","interaction_type":"view","context":{"a":NaN}}', 422, "must be finite"),
        (b'{"user_id":"\\ud800","item_id":"b","interaction_type":"view"}', 422, "as a unicode string"),
        (b'{"user_id":"a","item_id":"b","interaction_type":"view","context":{"a":"\\udfff"}}', 422, "lone surrogates"),
        (b"[1]", 422, "The body must be a JSON object; several go into one as a list"),
        (b"null", 422, "The body must be a JSON object"),
        (b'"text"', 422, "The body must be a JSON object"),
        (b"{", 400, "JSON decode error"),
        (b"", 422, "Field required"),
        (b'{"events":[]}', 422, "List should have at least 1 item"),
        (b'{"events":{}}', 422, "Input should be a valid list"),
        (b'{"events":' + b"[" * 60 + b"]" * 60 + b"}", 413, "levels of lists and objects"),
        (b'{"user_id":"a","x":' + b"9" * 5000 + b"}", 400, "There was an error parsing the body"),
        (b"\xff\xfe", 400, "JSON decode error"),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else "",
)
def test_an_invalid_body_is_refused_with_a_sentence(client, body, status, sentence):
    response = client.post("/api/interactions", content=body, headers={"content-type": "application/json"})
    refused(response, status, sentence)


def test_a_batch_beyond_the_limit_is_refused(client):
    refused(client.post("/api/interactions", json={"events": [CLICK] * 1001}), 422, "A batch has at most 1000 events")


def test_an_oversized_body_is_refused(client):
    body = {**CLICK, "context": {"a": "x" * 2_000_000}}
    refused(client.post("/api/interactions", json=body), 413, "A request body has at most 1000000 bytes")


def test_a_key_that_was_used_for_something_else_is_refused(client):
    client.post("/api/interactions", json=CLICK, headers={"Idempotency-Key": "k"})
    response = client.post("/api/interactions", json={**CLICK, "item_id": "book"}, headers={"Idempotency-Key": "k"})
    refused(response, 409, "was used for another event; a new event needs a new key")


@pytest.mark.parametrize("key", ["", "with space", "x" * 129])
def test_an_invalid_key_is_refused(client, key):
    response = client.post("/api/interactions", json=CLICK, headers={"Idempotency-Key": key})
    refused(response, 422, "Idempotency-Key")


def test_without_a_database_events_are_refused_plainly(tmp_path, sqlite_url):
    settings = settings_for(sqlite_url, tmp_path).model_copy(update={"database_url": ""})
    with TestClient(create_app(settings)) as client:
        refused(client.post("/api/interactions", json=CLICK), 503, "This service runs without a database")


# -- who may --------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(sqlite_url, tmp_path):
    keys = tuple(ApiKey(name=role, role=role, key=f"{KEY}-{role}") for role in ("client", "service", "admin"))
    with TestClient(create_app(settings_for(sqlite_url, tmp_path, api_keys=keys))) as found:
        yield found


@pytest.mark.parametrize(
    ("method", "path", "body", "least"),
    [
        ("POST", "/api/interactions", CLICK, "client"),
        (
            "POST",
            "/api/recommendations/feedback",
            {"request_id": "r", "outcomes": [{"item_id": "film", "outcome": "click"}]},
            "client",
        ),
        ("GET", "/api/items/film/stats", None, "client"),
        ("POST", "/api/items", {"item_id": "film"}, "service"),
        ("GET", "/api/items/film", None, "service"),
        ("PATCH", "/api/items/film", {"title": "x"}, "service"),
        ("DELETE", "/api/items/film", None, "service"),
        ("GET", "/api/users/ann/history", None, "service"),
        ("GET", "/api/users/ann/profile", None, "service"),
        ("PUT", "/api/users/ann/profile", {}, "service"),
        ("DELETE", "/api/users/ann", None, "admin"),
    ],
)
def test_each_route_asks_for_its_role(guarded, method, path, body, least):
    guarded.post("/api/interactions", json=CLICK, headers={"X-API-Key": f"{KEY}-client"})
    refused(guarded.request(method, path, json=body), 401, "X-API-Key")
    refused(guarded.request(method, path, json=body, headers={"X-API-Key": "wrong" * 5}), 401, "unknown")
    order = ["client", "service", "admin"]
    for role in order:
        response = guarded.request(method, path, json=body, headers={"X-API-Key": f"{KEY}-{role}"})
        if order.index(role) < order.index(least):
            refused(response, 403, f"This needs the role {least}")
        else:
            assert response.status_code < 300, response.text
            return


def token(user_id: str, secret: str = "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n") -> dict[str, str]:
    claims = {"role": "client", "user_id": user_id, "exp": time.time() + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}


def test_the_token_of_a_user_is_valid_for_that_user_only(sqlite_url, tmp_path):
    settings = settings_for(sqlite_url, tmp_path, jwt_secret="Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n")
    with TestClient(create_app(settings)) as client:
        assert client.post("/api/interactions", json=CLICK, headers=token("ann")).status_code == 201
        refused(client.post("/api/interactions", json=CLICK, headers=token("bob")), 403, "is for another user_id")
        assert client.get("/api/users/ann/history", headers=token("ann")).status_code == 200
        assert client.put("/api/users/ann/profile", json={}, headers=token("ann")).status_code == 200
        refused(client.get("/api/users/ann/history", headers=token("bob")), 403, "This needs the role service")
        refused(client.put("/api/users/ann/profile", json={}, headers=token("bob")), 403, "This needs the role service")
        refused(client.delete("/api/users/ann", headers=token("ann")), 403, "This needs the role admin")
        feedback = {"request_id": "r", "user_id": "ann", "outcomes": [{"item_id": "film", "outcome": "click"}]}
        refused(
            client.post("/api/recommendations/feedback", json=feedback, headers=token("bob")), 403, "another user_id"
        )


# -- feedback ---------------------------------------------------------------------------------------------------------


def show(client, request_id="r1") -> None:
    client.app.state.store.impressions.record(
        Impression(request_id, "ann", ("film", "book"), (0.9, 0.8), (1.0, 1.0), "als", "7", int(time.time()) + 1)
    )


def outcomes(*items: str, **values) -> dict:
    return {"request_id": "r1", "outcomes": [{"item_id": item, "outcome": "click"} for item in items], **values}


def test_feedback_is_joined_to_the_list_that_was_shown(client, sqlite_url):
    show(client)
    response = client.post("/api/recommendations/feedback", json=outcomes("film"))
    assert response.status_code == 201
    assert response.json() == {"matched": True, "model_version": "7", "stored": 1, "duplicates": 0, "ignored": 0}
    assert client.post("/api/recommendations/feedback", json=outcomes("film")).json()["duplicates"] == 1
    assert count(sqlite_url, RecommendationFeedback) == 1
    statistics = client.get("/api/items/film/stats").json()
    assert (statistics["shown"], statistics["clicked"], statistics["click_through_rate"]) == (1, 1, 1.0)


def test_feedback_on_an_unknown_list_is_kept_unmatched(client):
    response = client.post("/api/recommendations/feedback", json=outcomes("film"))
    assert (response.status_code, response.json()["matched"]) == (201, False)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (outcomes("song"), "Item 'song' was not in the list of request 'r1'"),
        (outcomes("film", user_id="bob"), "The list of request 'r1' was shown to another user"),
        (outcomes(), "List should have at least 1 item"),
        ({"request_id": "r1", "outcomes": [{"item_id": "film", "outcome": "maybe"}]}, "Input should be 'view'"),
        ({"request_id": "a b", "outcomes": [{"item_id": "film", "outcome": "click"}]}, "should match pattern"),
        ({"outcomes": [{"item_id": "film", "outcome": "click"}]}, "request_id: Field required"),
    ],
)
def test_feedback_that_breaks_a_rule_is_refused_with_a_sentence(client, body, sentence):
    show(client)
    refused(client.post("/api/recommendations/feedback", json=body), 422, sentence)


# -- the document -----------------------------------------------------------------------------------------------------


def test_the_openapi_names_every_answer_of_the_routes(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path, method, success in (
        ("/api/interactions", "post", "201"),
        ("/api/recommendations/feedback", "post", "201"),
        ("/api/items", "post", "201"),
        ("/api/items/{item_id}", "patch", "200"),
        ("/api/items/{item_id}", "delete", "204"),
        ("/api/items/{item_id}/stats", "get", "200"),
        ("/api/users/{user_id}/history", "get", "200"),
        ("/api/users/{user_id}/profile", "put", "200"),
        ("/api/users/{user_id}", "delete", "200"),
    ):
        operation = paths[path][method]
        assert operation["summary"], path
        assert operation["description"], path
        assert success in operation["responses"]
        for status in ("401", "403", "422", "503"):
            assert "application/problem+json" in operation["responses"][status]["content"], (path, status)
    examples = paths["/api/interactions"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert client.post("/api/interactions", json=example["value"]).status_code == 201
    for example in paths["/api/items"]["post"]["requestBody"]["content"]["application/json"]["examples"].values():
        assert client.post("/api/items", json=example["value"]).status_code == 201
