"""Items that Production was not trained with are listed at the place of their content, and scored."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recstage.models.content.model import Content
from serving.app import create_app
from serving.catalogue.placement import NEIGHBOURS, place
from serving.interfaces import Item
from serving.models.loaded_model import LoadedModel
from tests.serving.doubles import FakePointer


@pytest.fixture
def serve_with(als, stage, settings_in, tmp_path):
    """A service with a database, as a context."""

    def make(**values) -> TestClient:
        settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db", **values)
        app = create_app(settings, pointer=FakePointer(stage(als, "7")))
        return TestClient(app, raise_server_exceptions=False)

    return make


@pytest.fixture
def client(serve_with):
    with serve_with() as found:
        yield found


def post(client, item_id: str, *categories: str, **more) -> None:
    body = {"item_id": item_id, "title": f"New {item_id}", "categories": categories, **more}
    assert client.post("/api/items", json=body).status_code == 201


def listed(client, user_id: str = "u5", **params) -> list[dict]:
    response = client.get("/api/recommendations", params={"user_id": user_id, **params})
    assert response.status_code == 200, response.text
    return response.json()["items"]


def ids(items: list[dict]) -> list[str]:
    return [one["item_id"] for one in items]


def test_a_new_item_gets_its_share_of_the_list_at_the_place_of_its_score(client):
    before = listed(client, limit=10)
    post(client, "new", "c2")  # the third of user u5
    after = listed(client, limit=10)
    assert ids(after).count("new") == 1
    assert [one for one in ids(after) if one != "new"] == ids(before)[:9]
    scores = [one["score"] for one in after]
    assert scores == sorted(scores, reverse=True)
    assert next(one for one in after if one["item_id"] == "new")["title"] == "New new"


def test_the_score_is_that_of_the_items_most_like_it_in_lists_and_in_predict(client):
    post(client, "new", "c2")
    score = next(one["score"] for one in listed(client) if one["item_id"] == "new")
    body = client.post("/api/predict", json={"user_id": "u5", "item_ids": ["new", "i2", "new"]}).json()
    assert [one["item_id"] for one in body["items"]] == ["new", "i2", "new"]
    assert [one["score"] for one in body["items"]][::2] == pytest.approx([score, score])
    group = sorted(f"i{n}" for n in range(2, 40, 3))[:NEIGHBOURS]  # equally similar: the first in the order of ids
    near = client.post("/api/predict", json={"user_id": "u5", "item_ids": group}).json()["items"]
    assert score == pytest.approx(np.mean([one["score"] for one in near]), rel=1e-4)


def test_no_more_than_the_share_are_listed_and_those_the_user_may_like_come_first(client, serve_with):
    for n in range(6):
        post(client, f"new{n}", f"c{n % 3}")
    assert sum(one.startswith("new") for one in ids(listed(client, limit=10))) == 1
    assert sum(one.startswith("new") for one in ids(listed(client, limit=9))) == 0
    chosen = [one for one in ids(listed(client, limit=20)) if one.startswith("new")]
    assert sorted(chosen) == ["new2", "new5"]
    with serve_with(new_item_share=0.0) as without:
        assert not any(one.startswith("new") for one in ids(listed(without, limit=20)))


def test_hidden_excluded_seen_and_filtered_ones_are_not_listed(client):
    post(client, "new", "c2")
    assert "new" not in ids(listed(client, exclude="new"))
    assert "new" not in ids(listed(client, category="c1"))
    assert "new" in ids(listed(client, category="c2"))
    assert "new" not in ids(listed(client, filter="category=c2"))
    client.post("/api/interactions", json={"user_id": "u5", "item_id": "new", "interaction_type": "like"})
    assert "new" not in ids(listed(client))
    assert "new" in ids(listed(client, "u8"))
    client.patch("/api/items/new", json={"hidden": True})
    assert "new" not in ids(listed(client, "u8"))


def test_an_item_of_which_nothing_is_known_is_not_listed_nor_scored(client):
    post(client, "blank")
    assert "blank" not in ids(listed(client, limit=20))
    response = client.post("/api/predict", json={"user_id": "u5", "item_ids": ["i1", "blank"]})
    assert response.status_code == 404
    assert response.json()["detail"] == "body.item_ids: the served version does not know blank."


def test_a_change_of_the_item_changes_its_place(client):
    post(client, "new", "c1")
    first = client.post("/api/predict", json={"user_id": "u5", "item_ids": ["new"]}).json()["items"][0]["score"]
    client.patch("/api/items/new", json={"categories": ["c2"]})
    second = client.post("/api/predict", json={"user_id": "u5", "item_ids": ["new"]}).json()["items"][0]["score"]
    assert second > first


def test_a_reason_fields_pages_and_impressions_hold_for_new_items(client):
    post(client, "new", "c2")
    one = next(one for one in listed(client, explain=True, fields="categories") if one["item_id"] == "new")
    assert one["reason"].startswith("It is new, and similar to 'Title of i")
    assert one["fields"] == {"categories": ["c2"]}
    body = client.get("/api/recommendations", params={"user_id": "u5", "cursor": "*"}).json()
    assert "new" in ids(body["items"])
    assert "new" not in ids(listed(client, cursor=body["next"]))
    outcome = {"request_id": body["request_id"], "outcomes": [{"item_id": "new", "outcome": "click"}]}
    assert client.post("/api/recommendations/feedback", json=outcome).status_code == 201


def test_lists_of_many_users_and_of_a_history_hold_them_too(client):
    post(client, "new", "c2")
    (one,) = client.post("/api/recommendations/batch", json={"user_ids": ["u5"]}).json()["lists"]
    assert one["items"] == listed(client)
    made = client.post("/api/recommendations/session", json={"items": [{"item_id": "i2"}, {"item_id": "i5"}]}).json()
    assert "new" in ids(made["items"])


def test_the_text_decides_where_the_version_has_a_content_model(interactions, catalogue, als):
    content = Content().fit(interactions, catalogue=catalogue)
    served = LoadedModel.fallback("test", [content, als], interactions, catalogue)
    (placed, nothing) = place(served, [Item("new", text="about group2 things"), Item("odd", text="zzz")])
    assert {int(one[1:]) % 3 for one in interactions.items.id_of(placed.neighbours)} == {2}
    assert placed.weights.sum() == pytest.approx(1)
    assert nothing is None
    assert np.linalg.norm(placed.vector(served.item_similarity.vectors)) == pytest.approx(1)
