"""Filters and business rules hold for popular, trending and latest lists too, for items that no model knows as well."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.serving.doubles import FakePointer


@pytest.fixture
def client(als, stage, settings_in, tmp_path):
    """A service with a version of 40 items, and an item and prices that were posted since."""
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with TestClient(create_app(settings, pointer=FakePointer(stage(als, "1")))) as found:
        items = [
            {"item_id": f"i{number}", "title": f"Title {number}", "attributes": {"price": number}}
            for number in range(10)
        ]
        items.append({"item_id": "posted", "title": "New", "categories": ["c1"], "attributes": {"price": 3.5}})
        assert found.post("/api/items", json={"items": items}).status_code == 201
        yield found


def add(client, name: str, action: dict, **fields) -> None:
    response = client.post("/api/rules", json={"name": name, "action": action, **fields})
    assert response.status_code == 201, response.text


def ids(client, path: str = "/api/latest", **query) -> list[str]:
    response = client.get(path, params={"limit": 5, **query})
    assert response.status_code == 200, response.text
    return [one["item_id"] for one in response.json()["items"]]


def test_a_filter_looks_at_trained_and_posted_items(client):
    assert set(ids(client, filter="price>=3 and price<=5")) == {"i3", "i4", "i5", "posted"}
    assert ids(client, filter=["price>3", "price<4"]) == ["posted"]
    assert ids(client, "/api/popular", filter="price=4") == ["i4"]
    refused = client.get("/api/popular", params={"filter": "colour=red"})
    assert refused.status_code == 422
    assert "attribute 'colour': no item has it" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/api/latest", "/api/popular", "/api/trending"])
def test_no_list_breaks_a_rule(client, path):
    first = ids(client, path)
    add(client, "out", {"type": "exclude", "filter": f"item_id={first[0]}"})
    add(client, "second", {"type": "pin", "item_id": "i38", "rank": 2})
    add(client, "price", {"type": "pin", "item_id": "i7", "rank": 3})
    found = client.get(path, params={"limit": 5, "explain": True}).json()
    listed = [one["item_id"] for one in found["items"]]
    assert first[0] not in listed
    assert listed[2] == "i7"
    assert "out" in found["rules_applied"]
    assert "price" in found["rules_applied"]
    pinned = found["items"][listed.index("i7")]
    assert pinned["reason"] == "It was placed here by the rule 'price'."
    client.post("/api/items", json={"item_id": "i7", "hidden": True})
    assert "i7" not in ids(client, path, limit=40)


def test_an_item_that_no_model_knows_may_be_pinned_and_counts_for_caps(client):
    add(client, "new", {"type": "pin", "item_id": "posted", "rank": 1})
    add(client, "few", {"type": "cap", "attribute": "category", "most": 1})
    found = ids(client, "/api/popular")
    assert found[0] == "posted"
    categories = ["c1" if one == "posted" else f"c{int(one[1:]) % 3}" for one in found]
    assert sorted(categories) == ["c0", "c1", "c2"]


def test_rules_of_segments_or_of_other_lists_do_not_hold_here(client):
    before = ids(client)
    add(client, "cold", {"type": "exclude", "filter": "price>=0"}, target={"segments": ["cold"]})
    add(client, "other", {"type": "exclude", "filter": "price>=0"}, target={"lists": ["popular"]})
    assert ids(client) == before
    assert not {f"i{number}" for number in range(10)} & set(ids(client, "/api/popular", limit=40))


def test_without_a_model_rules_look_at_what_was_posted(settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with TestClient(create_app(settings, pointer=FakePointer())) as client:
        items = [
            {"item_id": name, "title": name, "attributes": {"price": price}}
            for name, price in (("a", 1), ("b", 2), ("c", 3))
        ]
        client.post("/api/items", json={"items": items})
        assert set(ids(client, filter="price<=2")) == {"a", "b"}
        add(client, "out", {"type": "exclude", "filter": "price=2"})
        assert ids(client, filter="price<=2") == ["a"]
