"""What the first routes answer, well and badly asked."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from serving.models.repository import PollResult
from tests.serving.doubles import FakePointer


@pytest.fixture
def client(als, stage, serve):
    staged = stage(als, "7", since="2026-11-20T18:18:01.123Z", promoted_by="alex", reason="better", previous="6")
    with serve(FakePointer(staged)) as client:
        yield client


def test_a_list_is_what_the_model_itself_recommends(client, als):
    body = client.get("/api/recommendations", params={"user_id": "u5", "limit": 4}).json()
    wanted = als.recommend("u5", 4)
    assert [item["item_id"] for item in body["items"]] == wanted.item_ids
    assert [item["score"] for item in body["items"]] == pytest.approx(wanted.scores)
    assert body["items"][0]["title"] == f"Title of {wanted.item_ids[0]}"
    assert (body["method_used"], body["model_version"], body["user_id"]) == ("als", "7", "u5")


def test_an_unknown_user_gets_the_most_popular(client):
    body = client.get("/api/recommendations", params={"user_id": "unknown"}).json()
    assert body["method_used"] == "popularity"
    assert body["items"][0]["item_id"] == "i0"


def test_seen_and_unavailable_items_are_left_out(client, interactions):
    body = client.get("/api/recommendations", params={"user_id": "u5", "limit": 100}).json()
    listed = {item["item_id"] for item in body["items"]}
    seen = set(interactions.items.id_of(interactions.of([interactions.users.find("u5")]).items))
    assert listed == set(interactions.items.ids) - seen - {"i39"}


def test_the_model_endpoint_reports_the_version_its_start_and_its_promotion(client):
    body = client.get("/api/model").json()
    assert (body["name"], body["version"], body["algorithm"]) == ("recommender", "7", "als")
    assert body["promotion"] == {
        "at": "2026-11-20T18:18:01.123Z",
        "by": "alex",
        "reason": "better",
        "previous_version": "6",
    }


def test_the_model_endpoint_is_short_and_has_the_rest_behind_a_parameter(client):
    short, long = (client.get("/api/model", params=params).json() for params in ({}, {"details": True}))
    more = {"methods", "registry_looked_at", "trained_until", "data", "reverse"}
    assert set(long) - set(short) == more
    assert set(short) < set(long)
    assert "als" in long["methods"]
    assert client.get("/api/model", params={"details": "perhaps"}).status_code == 422


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "query.user_id"),
        ({"user_id": ""}, "query.user_id"),
        ({"user_id": "a\x00b"}, "query.user_id"),
        ({"user_id": "x" * 300}, "query.user_id"),
        ({"user_id": "u1", "limit": 0}, "query.limit"),
        ({"user_id": "u1", "limit": -3}, "query.limit"),
        ({"user_id": "u1", "limit": 10**9}, "query.limit"),
        ({"user_id": "u1", "limit": "NaN"}, "query.limit"),
    ],
)
def test_a_bad_request_is_a_problem_that_names_the_field(client, params, where):
    answer = client.get("/api/recommendations", params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["errors"][0]["where"] == where
    assert where in body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]


def test_each_field_that_broke_a_rule_is_named_at_once(client):
    answer = client.get("/api/recommendations", params={"user_id": "", "limit": 0, "lambda": 7}).json()
    assert {one["where"] for one in answer["errors"]} == {"query.user_id", "query.limit", "query.lambda"}
    assert all(f"{one['where']}: {one['rule']}" in answer["detail"] for one in answer["errors"])


def test_of_many_invalid_fields_twenty_are_listed_and_three_are_in_the_detail(client):
    extra = {f"extra{n}": 1 for n in range(30)}
    answer = client.post("/api/predict", json={"user_id": "u1", "item_ids": ["i1"], **extra}).json()
    assert [one["where"] for one in answer["errors"]] == [f"body.extra{n}" for n in range(20)]
    assert answer["detail"].count("body.extra") == 3


def test_unknown_paths_and_wrong_methods_are_problems(client):
    missing, wrong = client.get("/api/nothing"), client.post("/api/model")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "/problems/method-not-allowed")
    assert "POST is not allowed here; use GET." in wrong.json()["detail"]


def test_a_request_id_is_given_back_and_a_strange_one_replaced(client):
    kept = client.get("/health/live", headers={"x-request-id": "my-id.1"})
    replaced = client.get("/health/live", headers={"x-request-id": "<script>"})
    assert kept.headers["x-request-id"] == "my-id.1"
    assert re.fullmatch("[0-9a-f]{19}", replaced.headers["x-request-id"])


def test_an_unexpected_error_is_a_problem_without_internal_details(client, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("a secret inside")

    monkeypatch.setattr("serving.recommend.recommender.recommend", broken)
    answer = client.get("/api/recommendations", params={"user_id": "u1"})
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert "secret" not in answer.text
    (logged,) = [record for record in caplog.records if getattr(record, "event", "") == "unforeseen"]
    assert "a secret inside" in str(logged.exc_info[1])


def test_an_unexpected_error_behind_the_framework_is_the_same_problem_logged_once(client, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("a secret inside")

    monkeypatch.setattr("serving.recommend.recommender.placed_scores", broken)
    answer = client.post("/api/predict", json={"user_id": "u1", "item_ids": ["i1"]})
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len([record for record in caplog.records if getattr(record, "event", "") == "unforeseen"]) == 1


def test_metrics_count_requests_by_route_and_never_name_users(client):
    client.get("/api/recommendations", params={"user_id": "u5"})
    text = client.get("/metrics").text
    assert 'recstage_request_seconds_count{method="GET",route="/api/recommendations",status="200"} 1.0' in text
    assert 'recstage_model_info{algorithm="als",name="recommender",version="7"} 1.0' in text
    assert 'recstage_recommendations_total{method_used="als"} 1.0' in text
    assert "u5" not in text


def test_without_production_the_service_is_live_but_not_ready_and_gives_the_reason(serve):
    pointer = FakePointer()
    pointer.poll_result = PollResult(1.0, None)
    with serve(pointer) as client:
        assert client.get("/health/live").status_code == 200
        for path in ("/health/ready", "/api/model", "/api/recommendations?user_id=u1"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "No version of 'recommender' is staged Production" in answer.json()["detail"]


def test_serving_imports_neither_mlflow_nor_torch():
    script = (
        "import sys, serving.app, recstage.models.factorization.als; "
        "print('mlflow' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
