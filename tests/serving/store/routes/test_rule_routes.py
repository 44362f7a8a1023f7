"""Business rules over HTTP: what an editor sets holds for the next list of every worker, and every mistake is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL

from recstage import bundle
from recstage.models.factorization.als import ALS, ALSParams
from serving.app import create_app
from serving.models.repository import ProductionVersion
from serving.store.repositories.events import now_ms
from serving.store.repositories.precomputed import PutLists, UserList
from tests.serving.rules.catalogues import catalogue, interactions
from tests.serving.store.factories import FixedPointer, settings_for

FUTURE, PAST = "2199-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> ProductionVersion:
    train = interactions()
    model = ALS(ALSParams(factors=4, iterations=3)).fit(train, catalogue=catalogue(train), seed=1)
    folder = tmp_path_factory.mktemp("bundle") / "7"
    bundle.save(model, folder, metadata={"data": "tiny"})
    return ProductionVersion("recommender", "7", folder)


@pytest.fixture
def open_worker(sqlite_url: URL, tmp_path: Path, staged: ProductionVersion) -> Iterator:
    """Starts services on one database, as several workers would be."""
    opened: list[TestClient] = []

    def start(**settings) -> TestClient:
        app = create_app(
            settings_for(sqlite_url, tmp_path, **settings),
            pointer=FixedPointer(staged),
            reverse_pointer=FixedPointer(),
        )
        opened.append(TestClient(app, raise_server_exceptions=False))
        return opened[-1].__enter__()

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(open_worker) -> TestClient:
    return open_worker()


def listed(client: TestClient, user_id: str = "new", **query) -> dict:
    response = client.get("/api/recommendations", params={"user_id": user_id, "limit": 5, **query})
    assert response.status_code == 200, response.text
    return response.json()


def ids(client: TestClient, user_id: str = "new", **query) -> list[str]:
    return [one["item_id"] for one in listed(client, user_id, **query)["items"]]


def add(client: TestClient, name: str, action: dict, **fields) -> None:
    response = client.post("/api/rules", json={"name": name, "action": action, **fields})
    assert response.status_code == 201, response.text


PIN = {"type": "pin", "item_id": "i9", "rank": 2}
EXCLUDE = {"type": "exclude", "filter": "category=c0"}


def test_a_rule_holds_for_the_next_list_of_every_worker(open_worker):
    one, other = open_worker(), open_worker()
    before = ids(other)
    add(one, "first", PIN)
    assert listed(other)["items"][1]["item_id"] == "i9"
    assert listed(other)["rules_applied"] == ["first"]
    one.delete("/api/rules/first")
    assert ids(other) == before
    assert listed(other)["rules_applied"] == []


def test_filters_and_rules_may_ask_for_any_attribute(client):
    assert set(ids(client, filter="price<=3 and regions=US")) == {"i0", "i2"}
    assert ids(client, filter=["price<=3", "regions=DE"]) == ["i1"]
    add(client, "germany", {"type": "include", "filter": "regions=DE"})
    assert set(ids(client, limit=10)) == {"i1", "i3", "i7", "i9", "i11"}


def test_what_is_posted_of_an_item_counts_from_the_next_list_on(open_worker):
    one, other = open_worker(), open_worker()
    assert ids(other, filter="regions=FR") == []
    assert one.post("/api/items", json={"item_id": "i5", "attributes": {"regions": ["FR"]}}).status_code == 201
    assert ids(other, filter="regions=FR") == ["i5"]
    one.patch("/api/items/i5", json={"attributes": {"regions": ["US"], "price": 2}})
    assert ids(other, filter="regions=FR") == []
    assert "i5" in ids(other, filter="price=2")
    posted = {"regions": ["US"], "price": 2.0}  # over what the version knows of the item
    assert one.get("/api/items/i5").json()["attributes"] == {"released": "2026-06-15", **posted}


def test_a_rule_may_name_what_is_known_of_the_user_and_of_the_request(open_worker):
    client, other = open_worker(cache_size=100), open_worker(cache_size=100)
    plain = ids(client, limit=12)
    add(client, "own-region", {"type": "include", "filter": "regions=@profile.region"})
    add(client, "budget", {"type": "exclude", "filter": "price>@context.budget"})
    assert ids(other, limit=12) == plain  # nothing is known: neither rule holds
    client.put("/api/users/ann/profile", json={"attributes": {"region": "US"}})
    everything = {"limit": 12, "exclude_seen": False}
    assert set(ids(other, "ann", **everything)) == {"i0", "i2", "i4", "i6", "i8", "i10"}
    told = listed(other, "ann", **everything, **{"context[budget]": "3"})
    assert {one["item_id"] for one in told["items"]} == {"i0", "i2"}
    assert told["rules_applied"] == ["budget", "own-region"]
    german = listed(other, "ann", **everything, **{"profile[region]": "DE"})  # the request counts more
    assert {one["item_id"] for one in german["items"]} == {"i1", "i3", "i7", "i9", "i11"}
    assert listed(other, "ann", **everything, **{"context[budget]": "much"})["rules_applied"] == ["own-region"]
    body = {"user_ids": ["ann", "new"], "limit": 12, "exclude_seen": False}
    lists = other.post("/api/recommendations/batch", json=body).json()["lists"]
    assert [one["rules_applied"] for one in lists] == [["own-region"], []]
    ranked = other.post("/api/rank", json={"user_id": "ann", "items": ["i0", "i1", "i2"]}).json()
    assert ranked["left_out"] == [{"item_id": "i1", "cause": "rule"}]
    session = {"items": [{"item_id": "i0"}], "limit": 12, "profile": {"region": "DE"}}
    answer = other.post("/api/recommendations/session", json=session).json()
    assert {one["item_id"] for one in answer["items"]} == {"i1", "i3", "i7", "i9", "i11"}


def test_a_profile_that_changes_changes_the_lists_that_rules_make_of_it(open_worker):
    client, other = open_worker(cache_size=100), open_worker(cache_size=100)
    add(client, "own-region", {"type": "include", "filter": "regions=@profile.region"})
    for region, expected in (("US", "i2"), ("AT", "i1"), ("US", "i2")):
        client.put("/api/users/eve/profile", json={"attributes": {"region": region}})
        assert expected in ids(other, "eve", limit=12)
        assert not {"i1", "i2"} - {expected} & set(ids(other, "eve", limit=12))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"action": {**EXCLUDE, "filter": "colour=@profile.colour"}}, "attribute 'colour': no item has it"),
        ({"action": {**EXCLUDE, "filter": "new<@profile.member"}}, "new"),
        ({"action": {**PIN, "item_id": "nothing"}}, "a pin of item 'nothing': neither the served version nor the"),
        ({"action": {**PIN, "rank": 0}}, "rank: Input should be greater than or equal to 1"),
        ({"action": {**PIN, "rank": 3}}, "the rule 'known' pins item 'i1' at that rank of the same lists"),
        ({"action": {**PIN, "item_id": "i1"}}, "the rule 'known' pins it at rank 3 of the same lists"),
        ({"action": EXCLUDE, "ends_at": PAST}, "ends_at 2020-01-01T00:00:00Z: the end is in the past"),
        ({"action": EXCLUDE, "starts_at": FUTURE, "ends_at": "2198-01-01T00:00:00Z"}, "it ends before"),
        ({"action": {**EXCLUDE, "filter": "colour=red"}}, "attribute 'colour': no item has it. Valid names: age_days"),
        ({"action": {**EXCLUDE, "filter": "price=red"}}, "it is a number, and 'red' is none"),
        ({"action": {**EXCLUDE, "filter": "price"}}, "there is no condition at character 1"),
        ({"action": {"type": "cap", "attribute": "colour", "most": 1}}, "attribute 'colour': no item has it"),
        ({"action": {"type": "cap", "attribute": "author", "most": 0}}, "most: Input should be greater than or equal"),
        ({"action": {"type": "boost", "filter": "price<3", "weight": 0}}, "weight: Input should be greater than 0"),
        (
            {"action": {"type": "boost", "filter": "price<3", "weight": 11}},
            "weight: Input should be less than or equal",
        ),
        ({"action": {"type": "objective", "attribute": "author", "weight": 1}}, "it weighs a number or a boolean"),
        ({"action": {"type": "objective", "attribute": "cost", "weight": 1}}, "attribute 'cost': no item has it"),
        ({"action": {"type": "floor", "share": 1.5}}, "share: Input should be less than or equal to 1"),
        ({"action": {"type": "hide"}}, "does not match any of the expected tags: 'exclude', 'include', 'cap'"),
        ({"action": EXCLUDE, "name": "With Spaces"}, "name: String should match pattern"),
        ({"action": EXCLUDE, "name": "versions"}, "The name 'versions' stands for something else"),
        ({"action": EXCLUDE, "target": {"lists": ["best"]}}, "target.lists.0: Input should be 'recommendations',"),
        ({"action": EXCLUDE, "target": {"segment": ["hot"]}}, "target.segment: Extra inputs are not permitted"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_mistake_in_a_rule_is_one_problem(client, body, sentence):
    add(client, "known", {"type": "pin", "item_id": "i1", "rank": 3})
    response = client.post("/api/rules", json={"name": "mine", **body})
    assert response.status_code == 422, response.text
    assert sentence in response.json()["detail"]
    assert [one["name"] for one in client.get("/api/rules").json()["rules"]] == ["known"]


@pytest.mark.parametrize("weight", ["Infinity", "NaN", "1e999"])
def test_a_weight_that_is_not_finite_is_refused(client, weight):
    text = json.dumps({"name": "b", "action": {"type": "boost", "filter": "price<3", "weight": 0}})
    text = text.replace('"weight": 0', f'"weight": {weight}')
    response = client.post("/api/rules", content=text, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert "weight" in response.json()["detail"]


def test_two_pins_at_one_rank_of_different_lists_are_no_mistake(client):
    add(client, "cold", PIN, target={"segments": ["cold"]})
    add(client, "hot", {**PIN, "item_id": "i1"}, target={"segments": ["hot"]})
    add(client, "later", {**PIN, "item_id": "i2"}, starts_at=FUTURE, target={"segments": ["warm"]})
    assert ids(client)[1] == "i9"  # a user of whom nothing is known is cold


def test_a_rule_of_a_category_holds_for_lists_of_it_alone(client):
    add(client, "drama", {**PIN, "item_id": "i10"}, target={"categories": ["c1"]})
    assert ids(client, category="c1")[1] == "i10"
    assert ids(client, category="c0").count("i10") == 0
    assert listed(client)["rules_applied"] == []


def test_a_rule_of_other_lists_or_one_that_is_disabled_or_not_yet_begun_does_nothing(client):
    before = ids(client)
    add(client, "similar", {"type": "exclude", "filter": "category=all"}, target={"lists": ["similar"]})
    add(client, "disabled", {"type": "exclude", "filter": "category=all"}, enabled=False)
    add(client, "scheduled", {"type": "exclude", "filter": "category=all"}, starts_at=FUTURE)
    assert ids(client) == before
    states = {one["name"]: one["state"] for one in client.get("/api/rules").json()["rules"]}
    assert states == {"similar": "active", "disabled": "disabled", "scheduled": "scheduled"}


def test_rules_hold_for_every_kind_of_list(client):
    add(client, "first", {**PIN, "item_id": "i10", "rank": 1})
    add(client, "out", {"type": "exclude", "filter": "item_id=i2"})
    add(client, "few", {"type": "cap", "attribute": "author", "most": 1})
    session = {"items": [{"item_id": "i0"}], "limit": 5}
    answers = [
        client.get("/api/items/i1/similar", params={"limit": 5, "explain": True}),
        client.post("/api/recommendations/session", json=session),
        client.get("/api/popular", params={"limit": 5}),
    ]
    batch = client.post("/api/recommendations/batch", json={"user_ids": ["new", "newer"], "limit": 5})
    lists = [*(answer.json() for answer in answers), *batch.json()["lists"]]
    assert len(lists) == 5
    for found in lists:
        listed = [one["item_id"] for one in found["items"]]
        assert listed[0] == "i10", found
        assert "i2" not in listed
        authors = [int(one[1:]) % 4 for one in listed if one != "i5"]
        assert len(set(authors)) == len(authors)
        assert {"first", "out"} <= set(found["rules_applied"])
    assert answers[0].json()["items"][0]["reason"] == "It was placed here by the rule 'first'."


def test_a_ranking_of_candidates_leaves_out_what_rules_leave_out(client):
    add(client, "out", {"type": "exclude", "filter": "item_id=i2"})
    answer = client.post("/api/rank", json={"user_id": "new", "items": ["i1", "i2", "i3"]}).json()
    assert {one["item_id"] for one in answer["items"]} == {"i1", "i3"}
    assert answer["rules_applied"] == ["out"]


def test_a_rule_ends_by_itself_in_cached_lists_too(client, monkeypatch):
    add(client, "short", PIN, ends_at=FUTURE)
    assert ids(client)[1] == "i9"
    rules = client.app.state.service.recommender
    until = rules._rules.ruleset.valid_until
    monkeypatch.setattr("serving.recommend.recommender.time.time", lambda: until / 1000 + 1)
    monkeypatch.setattr("serving.store.repositories.rules.now_ms", lambda: int(until) + 1000)
    assert "i9" not in ids(client)[:2]


def test_versions_tell_who_changed_what_and_a_revert_brings_it_back(client):
    add(client, "first", PIN, note="for the launch")
    client.put("/api/rules/first", json={"action": {**PIN, "rank": 4}})
    add(client, "second", EXCLUDE)
    client.delete("/api/rules/first")
    versions = client.get("/api/rules/versions").json()["versions"]
    changes = [(one["version"], one["changes"][0]["name"], one["changes"][0]["change"]) for one in versions]
    assert changes == [(4, "first", "delete"), (3, "second", "create"), (2, "first", "update"), (1, "first", "create")]
    assert {one["changed_by"] for one in versions} == {"open"}
    assert versions[3]["changes"][0]["rule"]["note"] == "for the launch"
    page = client.get("/api/rules/versions", params={"limit": 3}).json()
    assert page["next"] == 2
    assert client.get("/api/rules/versions", params={"before": 2}).json()["versions"] == versions[3:]
    assert [one["name"] for one in client.get("/api/rules/versions/2").json()["rules"]] == ["first"]
    assert client.post("/api/rules/versions/1/revert").json() == {"version": 5}
    rules = client.get("/api/rules").json()
    assert (rules["version"], [one["name"] for one in rules["rules"]]) == (5, ["first"])
    assert rules["rules"][0]["action"]["rank"] == 2
    assert ids(client)[1] == "i9"
    (latest,) = client.get("/api/rules/versions", params={"limit": 1}).json()["versions"]
    assert {one["name"]: one["change"] for one in latest["changes"]} == {"first": "revert", "second": "revert"}


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/rules/none", 404, "unknown-rule"),
        ("PUT", "/api/rules/none", 404, "unknown-rule"),
        ("DELETE", "/api/rules/none", 404, "unknown-rule"),
        ("GET", "/api/rules/versions/9", 404, "unknown-version"),
        ("POST", "/api/rules/versions/9/revert", 404, "unknown-rule"),
    ],
)
def test_what_is_not_there_is_not_found(client, method, path, status, kind):
    body = {"action": EXCLUDE} if method == "PUT" else None
    response = client.request(method, path, json=body)
    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{kind}")


def test_metrics_count_the_lists_of_each_rule_and_the_rules_that_fit_no_item(open_worker):
    client = open_worker(cache_size=100)
    client.post("/api/items", json={"item_id": "elsewhere", "attributes": {"stock": 3}})
    add(client, "first", PIN)
    add(client, "stocked", {"type": "boost", "filter": "stock>0", "weight": 1})
    for _ in range(3):  # two of them from the cache
        listed(client)
    client.delete("/api/items/elsewhere")  # the only one with the attribute
    listed(client)
    text = client.get("/metrics").text
    assert 'recstage_rules_applied_total{rule="first"} 4.0' in text
    assert 'rule="stocked"' not in text
    assert "recstage_rules_version 2.0" in text
    assert "recstage_rules_misfit 1.0" in text


def test_a_name_is_taken_once_and_there_are_at_most_so_many_rules(open_worker):
    client = open_worker(max_rules=2)
    add(client, "a", EXCLUDE)
    again = client.post("/api/rules", json={"name": "a", "action": EXCLUDE})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/rule-exists")
    add(client, "b", EXCLUDE)
    refused = client.post("/api/rules", json={"name": "c", "action": EXCLUDE})
    assert refused.status_code == 422
    assert "there may be 2" in refused.json()["detail"]


def test_a_hidden_item_wins_over_its_pin(client):
    add(client, "first", PIN)
    client.post("/api/items", json={"item_id": "i9", "hidden": True})
    assert "i9" not in ids(client, limit=12)
    assert listed(client)["rules_applied"] == []


def test_a_precomputed_list_keeps_every_rule(open_worker):
    client = open_worker(precomputed="always")
    stored = [f"i{item}" for item in range(12)]
    scores = [1.0 - 0.01 * place for place in range(12)]
    store = client.app.state.store
    best = UserList("new", stored, scores, "stored")
    store.writer.submit(PutLists("recommender", "7", [best], now_ms() + 60_000)).result()
    assert listed(client)["method_used"] == "stored"
    add(client, "a", {"type": "exclude", "filter": "item_id=i1"})
    add(client, "b", PIN)
    add(client, "c", {"type": "cap", "attribute": "author", "most": 2})
    answer = listed(client)
    assert answer["method_used"] == "stored"
    found = [one["item_id"] for one in answer["items"]]
    assert found[1] == "i9"
    assert "i1" not in found
    assert answer["rules_applied"] == ["a", "b"]
    add(client, "d", {"type": "boost", "filter": "item_id=i11", "weight": 2})
    assert listed(client)["method_used"] != "stored"  # what a boost does to items that were not stored is not known


def test_the_reason_of_a_pinned_item_is_its_rule(client):
    add(client, "first", PIN)
    answer = listed(client, explain=True)
    assert answer["items"][1]["reason"] == "It was placed here by the rule 'first'."


def test_an_attribute_has_one_kind(client):
    response = client.post("/api/items", json={"item_id": "x", "attributes": {"price": "dear"}})
    assert response.status_code == 422
    assert "it is a text, and elsewhere 'price' is a number" in response.json()["detail"]
    several = {"items": [{"item_id": "x", "attributes": {"stock": 1}}, {"item_id": "y", "attributes": {"stock": True}}]}
    assert "attribute 'stock' of item 'y': it is a boolean" in client.post("/api/items", json=several).json()["detail"]


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"title": "x"}, "'title' is a field of its own; give the attribute another name"),
        ({"1st": 1}, "String should match pattern"),
        ({"a": {"b": 1}}, "An attribute is a number, true, false, a text or a list of texts"),
        ({"a": None}, "An attribute is a number, true, false, a text or a list of texts"),
        ({"a": [1]}, "A list holds texts, at most 100"),
        ({"a": 2**60}, "A number is finite and at most 2^53"),
        ({"a": "x" * 501}, "A text has at most 500 characters"),
        ({f"a{place}": 1 for place in range(51)}, "at most 50"),
    ],
    ids=str,
)
def test_what_is_no_attribute_is_refused(client, attributes, sentence):
    response = client.post("/api/items", json={"item_id": "x", "attributes": attributes})
    assert response.status_code == 422, response.text
    assert sentence in response.json()["detail"]
