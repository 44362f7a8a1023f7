"""The store and recommendations together: what is posted changes what is recommended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL

from recstage import bundle
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.models.neighborhood.knn import Knn, KnnParams
from serving.app import create_app
from serving.interfaces import Impression
from serving.models.repository import ProductionVersion
from serving.store.db.connection import sqlite_path
from serving.store.db.tables import RecommendationImpression, User
from serving.store.repositories.events import now_ms
from serving.store.repositories.precomputed import PutLists, UserList
from tests.serving.store.databases import count
from tests.serving.store.factories import FixedPointer, settings_for, wait_until

GROUPS, ITEMS = 3, 36


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> ProductionVersion:
    """Item-KNN over 60 users of three groups, each of which likes its own third of 36 items; ann is of group 0."""
    chance = np.random.default_rng(5)
    rows = []
    for user in range(60):
        own = [item for item in range(ITEMS) if item % GROUPS == user % GROUPS]
        rows += [(f"u{user}", f"i{item}", rank) for rank, item in enumerate(chance.choice(own, 7, replace=False))]
    rows += [("ann", f"i{item}", item) for item in (0, 3, 6, 9)]
    train = Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))
    model = Knn(KnnParams(by="item", neighbors=20)).fit(train, catalogue=Catalogue.empty(train.items))
    folder = tmp_path_factory.mktemp("bundle") / "7"
    bundle.save(model, folder, metadata={"data": "tiny"})
    return ProductionVersion("recommender", "7", folder)


@pytest.fixture
def answering(sqlite_url: URL, tmp_path: Path, staged: ProductionVersion) -> Iterator[TestClient]:
    app = create_app(
        settings_for(sqlite_url, tmp_path, precomputed="always"),
        pointer=FixedPointer(staged),
        reverse_pointer=FixedPointer(),
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def lists(client: TestClient, user_id: str, **query) -> dict:
    response = client.get("/api/recommendations", params={"user_id": user_id, **query})
    assert response.status_code == 200, response.text
    return response.json()


def items(client: TestClient, user_id: str, **query) -> list[str]:
    return [one["item_id"] for one in lists(client, user_id, **query)["items"]]


def post(client: TestClient, user_id: str, item_id: str, kind: str = "like") -> None:
    body = {"user_id": user_id, "item_id": item_id, "interaction_type": kind}
    assert client.post("/api/interactions", json=body).status_code == 201


def group_of(item_id: str) -> int:
    return int(item_id[1:]) % GROUPS


def test_the_next_list_of_a_cold_start_user_reflects_the_clicks(answering):
    assert lists(answering, "new")["method_used"] == "popularity"
    post(answering, "new", "i1")
    post(answering, "new", "i4")
    answer = lists(answering, "new", limit=5)
    assert answer["method_used"] == "knn"
    found = [one["item_id"] for one in answer["items"]]
    assert {group_of(item_id) for item_id in found} == {1}
    assert not {"i1", "i4"} & set(found)


def test_what_was_dismissed_is_not_shown_again(answering):
    first = items(answering, "ann")[0]
    post(answering, "ann", first, "dismiss")
    assert first not in items(answering, "ann", limit=ITEMS)


def test_a_hidden_item_is_in_no_list_from_that_moment(answering):
    hidden = items(answering, "ann")[0]
    assert answering.post("/api/items", json={"item_id": hidden, "hidden": True}).status_code == 201
    for user_id in ("ann", "new", "u1", "u2"):
        assert hidden not in items(answering, user_id, limit=ITEMS, exclude_seen=False)
    answering.patch(f"/api/items/{hidden}", json={"hidden": False})
    assert hidden in items(answering, "ann")
    answering.delete(f"/api/items/{hidden}")
    assert hidden not in items(answering, "ann", limit=ITEMS)


def test_a_hidden_item_leaves_precomputed_lists_from_that_moment(answering):
    store = answering.app.state.store
    best = [f"i{3 * i}" for i in range(4, 12)] + ["i1", "i2", "i4", "i5"]
    scores = [1.0 - 0.01 * i for i in range(len(best))]
    store.writer.submit(
        PutLists("recommender", "7", [UserList("ann", best, scores, "stored")], now_ms() + 60_000)
    ).result()
    answer = lists(answering, "ann")
    assert answer["method_used"] == "stored"
    assert best[0] in [one["item_id"] for one in answer["items"]]
    answering.post("/api/items", json={"item_id": best[0], "hidden": True})
    assert best[0] not in items(answering, "ann")


def test_a_user_who_opted_out_gets_what_unknown_users_get_and_nothing_is_recorded(answering, sqlite_url):
    assert lists(answering, "ann")["method_used"] == "knn"
    wait_until(lambda: count(sqlite_url, RecommendationImpression) > 0)
    answering.put("/api/users/ann/profile", json={"opted_out": True})
    before = count(sqlite_url, RecommendationImpression)
    answer = lists(answering, "ann")
    assert answer["method_used"] == "popularity"
    assert [one["item_id"] for one in answer["items"]] == items(answering, "unknown")
    wait_until(lambda: count(sqlite_url, RecommendationImpression) > before)  # of the unknown user, after ann's
    with answering.app.state.store.writer._engine.connect() as connection:
        shown = connection.exec_driver_sql(
            "SELECT user_id, count(*) FROM recommendation_impressions GROUP BY user_id"
        ).all()
    assert dict(shown)["ann"] == before


def test_a_history_shows_what_the_served_version_was_trained_on_until_the_user_is_erased(answering):
    history = answering.get("/api/users/u1/history", params={"limit": 3}).json()
    served = answering.app.state.service.versions.served
    user = served.trained_user("u1")
    trained = {served.item_ids[item] for item in user.items.tolist()}
    assert history["events"] == []
    assert len(history["trained"]) == min(3, len(trained))
    assert {one["item_id"] for one in history["trained"]} <= trained
    times = [one["occurred_at"] for one in history["trained"]]
    assert times == sorted(times, reverse=True)
    answering.put("/api/users/u2/profile", json={"opted_out": True})
    assert answering.get("/api/users/u2/history").json()["trained"] == []
    answering.delete("/api/users/u1")
    assert answering.get("/api/users/u1/history").status_code == 404
    post(answering, "u1", "i1")
    assert answering.get("/api/users/u1/history").json()["trained"] == []


def test_an_erased_user_is_an_unknown_user_although_the_model_was_trained_on_them(answering):
    assert lists(answering, "ann")["method_used"] == "knn"
    erased = answering.delete("/api/users/ann")
    assert erased.status_code == 200, erased.text
    answer = lists(answering, "ann")
    assert answer["method_used"] == "popularity"
    assert [one["item_id"] for one in answer["items"]] == items(answering, "unknown")


def test_a_shown_list_is_kept_and_its_outcome_joined(answering, sqlite_url):
    answer = lists(answering, "ann", limit=5)
    body = {
        "request_id": answer["request_id"],
        "outcomes": [{"item_id": answer["items"][1]["item_id"], "outcome": "click"}],
    }
    receipt = answering.post("/api/recommendations/feedback", json=body).json()
    assert (receipt["matched"], receipt["model_version"], receipt["stored"]) == (True, "7", 1)
    wait_until(lambda: count(sqlite_url, RecommendationImpression) == 1)


def test_while_the_database_is_unavailable_lists_come_degraded_and_afterwards_as_before(answering, sqlite_url):
    post(answering, "new", "i1")
    before = items(answering, "new")
    answering.post("/api/items", json={"item_id": before[0], "hidden": True})
    without = items(answering, "new")
    path = sqlite_path(sqlite_url)
    moved = [(file, file.with_name("renamed-" + file.name)) for file in path.parent.glob("service.db*")]
    time.sleep(0.02)  # a reader looks at the file at most every ten milliseconds
    for file, renamed in moved:
        file.rename(renamed)
    for user_id in ("ann", "new", "unknown"):
        answer = lists(answering, user_id)
        assert answer["degraded"]
        assert before[0] not in [one["item_id"] for one in answer["items"]]  # still hidden
    assert items(answering, "new") == without  # what was last read of this user
    assert answering.get("/health/ready").status_code == 200
    assert "the database is unavailable" in " ".join(answering.get("/health/ready").json()["degraded"])
    for file, renamed in moved:
        renamed.rename(file)
    assert not lists(answering, "ann")["degraded"]


def test_without_any_model_the_service_answers_from_what_it_collected(sqlite_url, tmp_path):
    app = create_app(
        settings_for(sqlite_url, tmp_path, fallback_refresh_seconds=0.1),
        pointer=FixedPointer(),
        reverse_pointer=FixedPointer(),
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post("/api/items", json={"items": [{"item_id": f"i{i}", "categories": [f"c{i % 3}"]} for i in range(9)]})
        for user in range(6):
            for item in range(user % 3, 9, 3):
                post(client, f"u{user}", f"i{item}")
        wait_until(lambda: client.get("/api/recommendations", params={"user_id": "unknown"}).status_code == 200)
        assert lists(client, "unknown")["items"]


def test_what_was_shown_before_the_service_stopped_is_kept(sqlite_url, tmp_path, staged):
    app = create_app(settings_for(sqlite_url, tmp_path), pointer=FixedPointer(staged), reverse_pointer=FixedPointer())
    with TestClient(app) as client:
        for i in range(20):
            lists(client, f"n{i}", limit=3)
    assert count(sqlite_url, RecommendationImpression) == 20
    assert count(sqlite_url, User) == 20


def test_recording_a_list_takes_the_request_no_time(sqlite_url, tmp_path, staged):
    app = create_app(settings_for(sqlite_url, tmp_path), pointer=FixedPointer(staged), reverse_pointer=FixedPointer())
    with TestClient(app) as client:
        impressions = client.app.state.store.impressions
        one = Impression(
            "r", "ann", tuple(f"i{i}" for i in range(10)), (1.0,) * 10, (1.0,) * 10, "knn", "7", int(time.time())
        )
        began = time.thread_time()
        for _ in range(1000):
            impressions.record(one)
        assert time.thread_time() - began < 0.1


def test_an_erased_user_is_not_recommended_although_the_model_was_trained_on_them(answering):
    def named() -> list[str]:
        answer = answering.get("/api/items/i12/recommended-users", params={"limit": 200, "exclude_known": False})
        assert answer.status_code == 200, answer.text
        return [user["user_id"] for user in answer.json()["users"]]

    before = named()
    assert "ann" in before
    answering.put("/api/users/ann/profile", json={"opted_out": True})
    erased = answering.delete("/api/users/ann")
    assert erased.status_code == 200, erased.text
    assert named() == [user_id for user_id in before if user_id != "ann"]
