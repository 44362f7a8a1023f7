"""The response of GET /api/recommendations: what is sent is what the schema declares."""

from __future__ import annotations

import json

import pytest

from serving.api.routes import ROUTERS
from serving.api.routes.recommendations.for_user import DIRECT_ROUTES
from serving.recommend.response import RankedItem, RecommendationsBody, SerializedList
from tests.serving.doubles import FakePointer


@pytest.fixture
def client(als, stage, serve):
    with serve(FakePointer(stage(als, "7"))) as client:
        yield client


def test_the_serialized_keys_are_those_of_the_schema(client):
    body = client.get(
        "/api/recommendations", params={"user_id": "u5", "explain": True, "limit": 3, "fields": "title", "cursor": "*"}
    ).json()
    assert set(body) == set(RecommendationsBody.model_fields) - {"unlearned"}
    assert [set(item) for item in body["items"]] == [set(RankedItem.model_fields)] * 3
    assert RecommendationsBody.model_validate(body, strict=True).model_dump(exclude={"unlearned"}) == body


def test_items_lack_only_what_was_not_asked_for(client):
    body = client.get("/api/recommendations", params={"user_id": "u5"}).json()
    assert set(RankedItem.model_fields) - set(body["items"][0]) == {"reason", "fields"}
    assert not any(RankedItem.model_fields[name].is_required() for name in ("reason", "fields"))


@pytest.mark.parametrize("user_id", ['quo"te', "back\\slash", "line\nbreak", "ünï ☃", "}"])
def test_any_user_id_is_escaped(user_id):
    made = SerializedList(b'{"items":[]', (), (), "als", "7")
    body = json.loads(made.with_request(user_id, "r-1", degraded=True))
    assert body == {"items": [], "degraded": True, "user_id": user_id, "request_id": "r-1"}


def test_a_packed_list_unpacks_to_itself():
    made = SerializedList(b'{"items":[]', ("i1", "i2"), (2.0, 0.1), "als", None)
    assert SerializedList.unpack(made.pack()) == made


def test_a_direct_route_is_a_documented_route_of_the_application_as_well(client):
    routes = {
        (method, route.path): route.endpoint
        for router in ROUTERS
        for route in router.routes
        for method in route.methods
    }
    for (method, path), endpoint in DIRECT_ROUTES.items():
        assert routes[method, path] is endpoint
        assert method.lower() in client.app.openapi()["paths"][path]
