"""What a request says of the user and of its moment: it reaches the features, and what no version learned is named."""

from __future__ import annotations

import pytest

from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from serving.interfaces import History
from serving.models.user import columns_of
from serving.recommend.ranking import recommend
from serving.recommend.request import RecommendationRequest
from serving.rules.query import bound, parse, references
from tests.models.features.test_attributes import SMALL, tastes
from tests.serving.doubles import FakePointer

PHONE = (("context.device", "phone"), ("profile.role", "reader"))
DESK = (("context.device", "desk"), ("profile.role", "editor"))


@pytest.fixture(scope="module")
def by_attributes() -> LambdaRank:
    rows, catalogue = tastes()
    declared = LambdaRankParams(**SMALL, user_attributes=("role", "age"), context=("device",))
    return LambdaRank(declared).fit(rows, seed=1, catalogue=catalogue)


@pytest.fixture
def client(by_attributes, stage, serve):
    with serve(FakePointer(stage(by_attributes, "7"))) as client:
        yield client


def items(body) -> list[int]:
    return [int(item["item_id"][1:]) for item in body["items"]]


def test_the_query_decides_what_is_listed_first(client):
    found = {}
    for device in ("phone", "desk"):
        asked = {"user_id": "u001", "limit": 5, "context[device]": device, "profile[age]": "30"}
        answer = client.get("/api/recommendations", params=asked)
        assert answer.status_code == 200, answer.text
        assert "unlearned" not in answer.json()
        found[device] = items(answer.json())
    assert sum(one < 14 for one in found["phone"]) > sum(one < 14 for one in found["desk"])


def test_names_and_values_that_the_version_did_not_learn_are_told(client):
    asked = {"user_id": "u001", "context[device]": "fridge", "context[page]": "home", "profile[age]": "old"}
    body = client.get("/api/recommendations", params=asked).json()
    assert set(body["unlearned"]) == {"context.page", "context.device=fridge", "profile.age=old"}
    plain = client.get("/api/recommendations", params={"user_id": "u001"}).json()
    assert items(plain) == items(body)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("recommendations/session", {"items": [{"item_id": "i02"}]}),
        ("rank", {"user_id": "u001", "items": ["i00", "i01"]}),
        ("recommendations/batch", {"user_ids": ["u001", "u002"]}),
    ],
)
def test_bodies_are_told_what_the_version_did_not_learn(client, route, body):
    def answers(**given) -> list[dict]:
        found = client.post(f"/api/{route}", json={**body, **given})
        assert found.status_code == 200, found.text
        return found.json().get("lists", [found.json()])

    for one in answers(context={"device": "fridge", "page": "home"}, profile={"age": 30}):
        assert one["unlearned"] == ["context.page", "context.device=fridge"]
    for one in answers(context={"device": "phone"}):
        assert "unlearned" not in one


def test_bad_context_is_refused_in_one_line(client):
    for asked, what in (
        ({"context[device]": "x" * 501}, "context"),
        ({f"context[k{i}]": "x" for i in range(21)}, "context"),
        ({"context": "phone"}, "context"),
        ({"context": "phone", "context[device]": "phone"}, "context"),
        ({"colour[device]": "phone"}, "colour"),
        ({"context[]": "phone"}, "context"),
    ):
        answer = client.get("/api/recommendations", params={"user_id": "u001", **asked})
        assert answer.status_code == 422, asked
        assert what in answer.json()["detail"]


def test_a_body_may_hold_numbers_and_truth_values(client):
    body = {"user_ids": ["u001"], "context": {"device": "phone", "kiosk": True}, "profile": {"age": 30}, "limit": 5}
    answer = client.post("/api/recommendations/batch", json=body)
    assert answer.status_code == 200, answer.text
    alone = client.get(
        "/api/recommendations",
        params={"user_id": "u001", "limit": 5, "context[device]": "phone", "profile[age]": "30"},
    )
    assert items(answer.json()["lists"][0]) == items(alone.json())
    nested = client.post("/api/recommendations/batch", json={**body, "context": {"device": {"kind": "phone"}}})
    assert nested.status_code == 422


def test_what_a_version_does_not_look_at_divides_no_cache(client):
    for page in ("home", "search", "cart"):
        client.get("/api/recommendations", params={"user_id": "u002", "context[page]": page})
    metrics = client.get("/metrics").text
    assert 'recstage_cache_total{outcome="hit"} 2.0' in metrics


def test_a_live_history_keeps_the_trained_profile_and_the_declared_role_counts_more(client, by_attributes):
    served = client.app.state.service.versions.served
    assert served.request_keys == {"profile.role", "profile.age", "context.device"}
    live = History(("i00", "i02"), (1.0, 1.0), (10, 20), version=1)
    user = served.user_context("u001", live)
    assert user.users.index[0] == -1
    assert user.users.profile_rows[0] == served.train.users.find("u001")
    declared = served.user_context("u001", History(profile=(("profile.role", "editor"),)), PHONE)
    assert declared.users.given["profile.role"].tolist() == ["reader"]
    assert served.user_context("u001", History(personal=False), ()).users.given == {}
    first = [
        int(item[1:]) for item in recommend(served, RecommendationRequest("new", limit=5, given=DESK), live).item_ids
    ]
    assert sum(one % 2 == 0 for one in first) >= 3


def test_a_filter_may_name_what_is_known_of_the_user_and_of_the_request(client):
    asked = {"user_id": "u001", "limit": 5, "filter": "category=@profile.taste"}
    odd = client.get("/api/recommendations", params={**asked, "profile[taste]": "odd"}).json()
    even = client.get("/api/recommendations", params={**asked, "profile[taste]": "even"}).json()
    assert all(one % 2 for one in items(odd))
    assert not any(one % 2 for one in items(even))
    unknown = client.get("/api/recommendations", params=asked).json()
    assert items(unknown) == items(client.get("/api/recommendations", params={"user_id": "u001", "limit": 5}).json())
    body = {"user_ids": ["u001"], "limit": 5, "filter": ["category=@profile.taste"], "profile": {"taste": "even"}}
    assert items(client.post("/api/recommendations/batch", json=body).json()["lists"][0]) == items(even)


def test_references_are_bound_one_by_one():
    both = parse("region=@profile.region|EU and price<=@context.budget")
    assert references([both]) == {"profile.region", "context.budget"}
    (whole,) = bound([both], {"profile.region": "DE", "context.budget": 20.0})
    assert str(whole) == "region=DE|EU and price<=20"
    assert [str(one) for one in bound([both], {"context.budget": 20.0})] == ["price<=20"]
    assert bound([parse("region=@profile.region")], {}) == ()
    assert references([parse("handle=@nickname")]) == frozenset()


def test_the_hour_is_that_of_now_where_a_version_looks_at_it():
    assert columns_of((), {"profile.role"}) == {}
    found = columns_of((), {"context.hour"})
    assert 0 <= found["context.hour"][0] < 24
    assert columns_of((("context.hour", 3.0),), {"context.hour"})["context.hour"][0] == 3
