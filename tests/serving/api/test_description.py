"""The OpenAPI document describes each route, its parameters and responses, with examples, refusals and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.settings import ServingSettings

TABLE = {
    "/api/recommendations": {"get"},
    "/api/recommendations/stream": {"get"},
    "/api/items/{item_id}/recommended-users": {"get"},
    "/api/items/{item_id}/similar": {"get"},
    "/api/popular": {"get"},
    "/api/trending": {"get"},
    "/api/latest": {"get"},
    "/api/rank": {"post"},
    "/api/categories": {"get"},
    "/api/users/{user_id}/stats": {"get"},
    "/api/users/{user_id}/patterns": {"get"},
    "/api/recommendations/session": {"post"},
    "/api/recommendations/batch": {"post"},
    "/api/predict/batch": {"post"},
    "/api/predict": {"post"},
    "/api/interactions": {"post"},
    "/api/recommendations/feedback": {"post"},
    "/api/items/{item_id}/stats": {"get"},
    "/api/users/{user_id}/history": {"get"},
    "/api/users/{user_id}/profile": {"get", "put"},
    "/api/users/{user_id}": {"delete"},
    "/api/users/{user_id}/erasure": {"get"},
    "/api/items": {"post"},
    "/api/items/{item_id}": {"get", "patch", "delete"},
    "/api/classify": {"post"},
    "/api/classifier/queue": {"get"},
    "/api/classifier/labels": {"post"},
    "/api/rules": {"get", "post"},
    "/api/rules/{name}": {"get", "put", "delete"},
    "/api/rules/versions": {"get"},
    "/api/rules/versions/{version}": {"get"},
    "/api/rules/versions/{version}/revert": {"post"},
    "/api/model": {"get"},
    "/api/model/reload": {"post"},
    "/api/model/webhook": {"post"},
    "/api/session": {"get"},
    "/api/operations": {"get"},
    "/api/operations/promote": {"post"},
    "/api/operations/rollback": {"post"},
    "/api/operations/experiment": {"post"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/metrics": {"get"},
}
OPEN = {"/health/live", "/health/ready", "/api/model/webhook"}
NESTED = {"BatchBody", "LabelQueueBody", "ItemsBody", "ListsBody"}
"""Bodies whose example is that of the route, or of what they hold."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    keys = [{"name": "a", "role": "admin", "key": "a-Strong-one-4-tests9"}]
    return create_app(ServingSettings(database_url="", follow_registry=False, api_keys=keys)).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_in_it(document):
    assert {path: set(methods) for path, methods in document["paths"].items()} == TABLE


def test_every_route_and_every_parameter_has_a_description(document):
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (path, parameter["name"])


def test_every_route_has_a_summary_of_its_own_that_says_what_it_does(document):
    summaries = [operation["summary"] for _, _, operation in operations(document)]
    assert [one for one in summaries if len(one.split()) < 3 or one.istitle()] == []
    assert len(set(summaries)) == len(summaries)


def test_every_answer_has_a_model_and_every_refusal_is_a_problem(document):
    for path, method, operation in operations(document):
        assert min(operation["responses"]).startswith("2"), (path, method)
        for status, response in operation["responses"].items():
            kinds = response.get("content", {})
            if status == "204":
                assert not kinds
            elif status.startswith("2"):
                assert all(content["schema"] for content in kinds.values()), (path, method)
                assert kinds, (path, method)
            else:
                problem = {"$ref": "#/components/schemas/ProblemBody"}
                assert kinds["application/problem+json"]["schema"] == problem, (path, method, status)
                assert set(kinds) == {"application/problem+json"}, (path, method, status)


def test_every_response_declares_the_request_id_and_a_temporary_one_when_to_retry(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"], (path, method, status)
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503")), (path, method, status)


def test_every_guarded_route_declares_its_security_and_its_refusals(document):
    for path, method, operation in operations(document):
        if path in OPEN:
            assert "security" not in operation, (path, method)
        else:
            assert operation["security"] == [{"key": []}, {"token": []}], (path, method)
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), (path, method)


def test_every_model_has_an_example(document):
    for name, schema in document["components"]["schemas"].items():
        if name in NESTED or "properties" not in schema:
            continue
        without = [
            field
            for field, about in schema["properties"].items()
            if not (about.get("examples") or about.get("description") or "$ref" in about or "$ref" in str(about))
        ]
        assert without == [], name
        assert any(about.get("examples") for about in schema["properties"].values()), name


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_that_describe_the_service_need_no_other_server(page):
    client = TestClient(create_app(ServingSettings(database_url="", follow_registry=False)))
    text = client.get(page).text
    parts = re.findall(r"""(?:src|href)="([^"]+)""", text)
    assert any(part.endswith(".js") for part in parts)
    for part in parts:
        assert part.startswith("/")
        found = client.get(part)
        assert found.status_code == 200
        assert found.content
