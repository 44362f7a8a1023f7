"""Items similar to one item or to a basket: of its own group, without hidden, excluded and given ones."""

from __future__ import annotations

import threading

import pytest

from serving.lists.similar_items import similar_items
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, stage, store, serve):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies()) as client:
        yield client


def similar(client, item_id: str, **params) -> dict:
    answer = client.get(f"/api/items/{item_id}/similar", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(body: dict) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def group(item_id: str) -> int:
    return int(item_id[1:]) % 3


def test_items_of_the_same_group_are_the_most_similar(client):
    body = similar(client, "i4", limit=6)
    assert [group(item_id) for item_id in ids(body)].count(1) >= 5
    assert (body["model_version"], body["method_used"]) == ("7", "item vectors")
    scores = [item["score"] for item in body["items"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1 + 1e-6


def test_the_given_items_are_never_listed(client):
    body = similar(client, "i4", basket=["i7", "i10"], limit=40)
    assert body["item_ids"] == ["i4", "i7", "i10"]
    assert not {"i4", "i7", "i10"} & set(ids(body))


def test_a_basket_of_two_groups_lists_both(client):
    found = {group(item_id) for item_id in ids(similar(client, "i4", basket="i5", limit=12))}
    assert {1, 2} <= found


def test_hidden_and_excluded_items_are_left_out(client, store):
    first, second = ids(similar(client, "i4", limit=2))
    store.hide(first)
    assert first not in ids(similar(client, "i4", limit=40))
    assert second not in ids(similar(client, "i4", limit=40, exclude=second))


def test_a_category_narrows_the_list(client, catalogue):
    name = catalogue.category_names[0]
    listed = ids(similar(client, "i4", limit=40, category=name))
    assert len(listed) < len(ids(similar(client, "i4", limit=40)))


def test_the_list_ends_where_the_limit_does_and_the_limit_where_the_setting_does(client):
    assert len(ids(similar(client, "i4", limit=3))) == 3
    assert client.get("/api/items/i4/similar", params={"limit": 500}).status_code == 422


def test_an_item_id_may_hold_slashes_and_nothing_else_answers_there(client):
    assert client.get("/api/items/a/b/similar").json()["detail"].endswith("does not know the item 'a/b'.")
    assert client.delete("/api/items/i4/similar").status_code == 405


def test_a_version_without_item_vectors_lists_by_categories(popularity, stage, serve):
    with serve(FakePointer(stage(popularity, "8"))) as client:
        body = similar(client, "i4", limit=5)
    assert (body["model_version"], body["method_used"]) == ("8", "categories")
    assert len(body["items"]) == 5


def test_reasons_fields_diversity_and_filters_are_those_of_lists(client):
    body = similar(client, "i4", basket=["i7"], explain=True, fields="categories", limit=5)
    assert all(
        one["reason"] in ("It is similar to 'Title of i4'.", "It is similar to 'Title of i7'.") for one in body["items"]
    )
    assert all(one["fields"]["categories"] == [f"c{group(one['item_id'])}"] for one in body["items"])
    varied = similar(client, "i4", limit=5, **{"lambda": 0.1})
    assert varied["diversity_score"] >= similar(client, "i4", limit=5)["diversity_score"]
    assert {group(item_id) for item_id in ids(similar(client, "i4", filter="category=c2"))} <= {2}


def test_a_list_is_computed_once_and_stored_where_it_is_shown_to_a_user(client, store, monkeypatch):
    first = similar(client, "i4")
    monkeypatch.setattr("serving.lists.service.similar_items", lambda *_: 1 / 0)
    again = similar(client, "i4", user_id="ann")
    assert ids(again) == ids(first)
    assert (first["user_id"], again["user_id"]) == (None, "ann")
    (shown,) = store.impressions
    assert (shown.request_id, shown.user_id, list(shown.item_ids)) == (again["request_id"], "ann", ids(again))


def test_a_large_catalogue_is_searched_in_a_thread_with_the_same_result(client, monkeypatch):
    found = similar(client, "i4", limit=6)["items"]
    monkeypatch.setattr("serving.lists.similar_items.INLINE_FLOATS", 1)
    threads = []
    monkeypatch.setattr(
        "serving.lists.service.similar_items",
        lambda *arguments: threads.append(threading.current_thread().name) or similar_items(*arguments),
    )
    assert similar(client, "i4", limit=5)["items"] == found[:5]
    assert threads
    assert "MainThread" not in threads
