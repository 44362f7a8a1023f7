"""One catalogue: what was posted to the service over what the version was trained with, in lists and by item."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.catalogue.merged import MergedCatalogues
from serving.interfaces import OwnCatalogue, OwnItem
from serving.models.loaded_model import LoadedModel
from tests.serving.doubles import FakePointer


@pytest.fixture
def client(als, stage, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    app = create_app(settings, pointer=FakePointer(stage(als, "7")))
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


def listed(client, user_id: str = "u5", **params) -> list[dict]:
    response = client.get("/api/recommendations", params={"user_id": user_id, "exclude_seen": False, **params})
    assert response.status_code == 200, response.text
    return response.json()["items"]


def test_an_item_that_only_the_version_knows_is_shown_as_lists_show_it(client):
    body = client.get("/api/items/i4").json()
    assert (body["title"], body["text"], body["categories"]) == ("Title of i4", "about group1 things", ["c1"])
    assert (body["hidden"], body["deleted"], body["expires_at"]) == (False, False, None)


def test_an_item_named_by_an_event_alone_has_the_title_of_the_version(client):
    event = {"user_id": "ann", "item_id": "i4", "interaction_type": "like"}
    assert client.post("/api/interactions", json=event).status_code == 201
    assert client.get("/api/items/i4").json()["title"] == "Title of i4"


def test_what_is_posted_counts_field_by_field_in_lists_and_by_item(client):
    first = listed(client)[0]["item_id"]
    assert client.post("/api/items", json={"item_id": first, "title": "Another"}).status_code == 201
    assert listed(client)[0] == {**listed(client)[0], "item_id": first, "title": "Another"}
    body = client.get(f"/api/items/{first}").json()
    assert (body["title"], body["categories"]) == ("Another", [f"c{int(first[1:]) % 3}"])
    changed = client.patch(f"/api/items/{first}", json={"title": "A third"}).json()
    assert changed["title"] == listed(client)[0]["title"] == "A third"


def test_an_item_that_only_the_version_knows_has_statistics_and_can_be_hidden_and_deleted(client):
    counted = client.get("/api/items/i5/stats")
    assert (counted.status_code, counted.json()["total"], counted.json()["users"]) == (200, 0, 0)
    assert client.patch("/api/items/i5", json={"hidden": True}).json()["hidden"]
    assert client.delete("/api/items/i6").status_code == 204
    listed = client.get("/api/recommendations", params={"user_id": "u1", "limit": 100, "exclude_seen": False}).json()
    assert not {"i5", "i6"} & {item["item_id"] for item in listed["items"]}
    assert client.patch("/api/items/i6", json={"hidden": True}).status_code == 404  # it is deleted
    assert client.get("/api/items/nobody-knows-it/stats").status_code == 404


def test_a_user_whom_only_the_version_knows_has_statistics_until_they_are_erased(client):
    assert client.get("/api/users/u1/stats").json()["total"] == 0
    assert client.get("/api/users/nobody/stats").status_code == 404
    assert client.delete("/api/users/u1").status_code == 200
    assert client.get("/api/users/u1/stats").status_code == 404


def test_an_unknown_and_a_deleted_item_are_not_found(client):
    assert client.get("/api/items/strange").status_code == 404
    client.post("/api/items", json={"item_id": "i4", "title": "Another"})
    client.delete("/api/items/i4")
    assert client.get("/api/items/i4").status_code == 404


def test_a_list_of_a_category_holds_items_by_the_category_that_was_posted(client):
    client.post("/api/items", json={"item_id": "i4", "categories": ["Fresh"]})
    assert [one["item_id"] for one in listed(client, category="Fresh")] == ["i4"]
    assert "i4" not in [one["item_id"] for one in listed(client, category="c1", limit=40)]


def test_a_category_that_no_item_has_is_refused_by_lists_with_near_spellings(client):
    response = client.get("/api/recommendations", params={"user_id": "u5", "category": "c11"})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/unknown-category")
    assert "Did you mean 'c1'" in response.json()["detail"]
    for path, body in (
        ("/api/rank", {"user_id": "a", "items": ["i1"]}),
        ("/api/recommendations/batch", {"user_ids": ["a"]}),
    ):
        assert client.post(path, json={**body, "category": ["nothing"]}).status_code == 422


def test_categories_are_counted_without_hidden_and_unavailable_items(client):
    body = client.get("/api/categories").json()
    assert {one["name"]: one["items"] for one in body["categories"]} == {"c0": 13, "c1": 13, "c2": 13}
    assert body["model_version"] == "7"
    client.post("/api/items", json={"item_id": "i4", "hidden": True})
    client.post("/api/items", json={"item_id": "new", "categories": ["c1", "Fresh"]})
    client.post("/api/items", json={"item_id": "i5", "categories": ["Fresh"]})
    counts = {one["name"]: one["items"] for one in client.get("/api/categories").json()["categories"]}
    assert counts == {"c0": 13, "c1": 13, "c2": 12, "Fresh": 2}


@pytest.mark.parametrize("path", ["/api/recommendations?user_id=u5&exclude_seen=false", "/api/popular?limit=5"])
def test_a_list_carries_the_fields_it_is_asked_for(client, path):
    assert not any("fields" in one for one in client.get(path).json()["items"])
    attributes = {"price": 9.5, "tags": ["a", "b"]}
    client.post("/api/items", json={"item_id": "i0", "title": "Zero", "text": "Words", "attributes": attributes})
    found = client.get(f"{path}&fields=title,text,categories,price,tags").json()["items"]
    own = next(one for one in found if one["item_id"] == "i0")
    assert own["fields"] == {"title": "Zero", "text": "Words", "categories": ["c0"], "price": 9.5, "tags": ["a", "b"]}
    other = next(one for one in found if one["item_id"] != "i0")
    number = int(other["item_id"][1:]) % 3
    assert other["fields"] == {
        "title": f"Title of {other['item_id']}",
        "text": f"about group{number} things",
        "categories": [f"c{number}"],
        "price": None,
        "tags": None,
    }


def test_a_field_that_no_item_has_is_refused_by_name(client):
    response = client.get("/api/recommendations", params={"user_id": "u5", "fields": "title,prize"})
    assert response.status_code == 422
    assert response.json()["detail"] == ("No item has the field 'prize'. Valid names: categories, text, title.")


def test_bodies_take_fields_as_a_list(client):
    body = client.post("/api/rank", json={"user_id": "u5", "items": ["i1"], "fields": ["categories"]}).json()
    assert body["items"][0]["fields"] == {"categories": ["c1"]}
    lists = client.post("/api/recommendations/batch", json={"user_ids": ["u5"], "fields": ["title"]}).json()["lists"]
    assert all(one["fields"]["title"] == one["title"] for one in lists[0]["items"])
    made = client.post("/api/recommendations/session", json={"items": [{"item_id": "i1"}], "fields": ["title"]}).json()
    assert made["items"][0]["fields"]["title"] == made["items"][0]["title"]


def test_a_merged_catalogue_is_kept_until_either_side_changes(als, interactions, catalogue):
    served = LoadedModel.fallback("one", [als], interactions, catalogue)
    kept = MergedCatalogues()
    own = OwnCatalogue({"i1": OwnItem("Own")}, 5, 5)
    first = kept.of(served, own)
    assert kept.of(served, OwnCatalogue(own.items, 6, 5)) is first
    assert kept.of(served, OwnCatalogue({}, 7, 7)) is not first
    assert kept.of(None, own).title("i1") == "Own"
    assert kept.of(LoadedModel.fallback("one", [als], interactions, catalogue), own).title("i1") == "Own"
