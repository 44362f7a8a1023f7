"""Users for an item: by the reverse model, and by content where too few users liked the item."""

from __future__ import annotations

import pandas as pd
import pytest

from recstage.data.interactions import Interactions
from recstage.models.factorization.als import ALS, ALSParams
from serving.interfaces import Audience, Item
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture(scope="session")
def reverse_als(interactions) -> ALS:
    frame = interactions.to_frame().rename(columns={"user_id": "item_id", "item_id": "user_id"})
    return ALS(ALSParams(factors=8, regularization=1.0, iterations=5)).fit(Interactions.from_frame(frame), seed=1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, reverse_als, stage, tmp_path, store, settings_in):
    from fastapi.testclient import TestClient

    from serving.app import create_app

    forward, reverse = FakePointer(stage(als, "7")), FakePointer(stage(reverse_als, "2"))
    app = create_app(settings_in(), dependencies=store.dependencies(), pointer=forward, reverse_pointer=reverse)
    with TestClient(app) as client:
        yield client


def users_for(client, item_id: str, **params) -> dict:
    answered = client.get(f"/api/items/{item_id}/recommended-users", params=params)
    assert answered.status_code == 200, answered.text
    return answered.json()


def group(user_id: str) -> int:
    return int(user_id[1:]) % 3


def test_the_reverse_model_finds_the_users_whose_taste_the_item_meets(client):
    body = users_for(client, "i4", limit=8)
    assert (body["method_used"], body["model_name"], body["model_version"]) == ("als", "recommender-reverse", "2")
    assert [group(user["user_id"]) for user in body["users"]].count(1) >= 7


def test_users_who_know_the_item_are_left_out_unless_wanted(client, interactions):
    index = interactions.items.find("i4")
    know = set(interactions.users.id_of(interactions.user_index[interactions.item_index == index]))
    listed = {user["user_id"] for user in users_for(client, "i4", limit=60)["users"]}
    assert not listed & know
    assert know <= {user["user_id"] for user in users_for(client, "i4", limit=60, exclude_known=False)["users"]}


def test_a_role_and_opting_out_narrow_the_users(client, store):
    store.roles["nurse"] = frozenset({"u1", "u2", "u4", "unknown-user"})
    store.opted_out_users = frozenset({"u4"})
    assert {user["user_id"] for user in users_for(client, "i3", limit=60, role="nurse")["users"]} <= {"u1", "u2"}
    assert users_for(client, "i3", role="no-such-role")["users"] == []


def test_segments_narrow_the_users(client):
    assert users_for(client, "i3", segment="hot")["users"] == []
    assert users_for(client, "i3", segment="warm")["users"]
    assert client.get("/api/items/i3/recommended-users", params={"segment": "tepid"}).status_code == 422


def test_the_thresholds_of_the_evaluation_file_reach_the_service(als, reverse_als, stage, serve, tmp_path, monkeypatch):
    """Each user has seven training interactions: warm by the repository's file, hot by this one."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "evaluation.yaml").write_text("cold_below: 2\nhot_from: 7\n")
    monkeypatch.setattr("recstage.config.root", lambda: tmp_path)
    with serve(FakePointer(stage(als, "7"))) as client:
        assert users_for(client, "i3", segment="warm")["users"] == []
        assert users_for(client, "i3", segment="hot")["users"]


def test_dismissals_count_as_interactions_for_the_segment_as_they_do_in_the_evaluation(interactions, stage, serve):
    rows = interactions.to_frame()
    dismissed = pd.DataFrame({"user_id": "u1", "item_id": [f"i{i}" for i in range(20)], "weight": 0.0, "timestamp": 1})
    rows = pd.concat([rows[rows.user_id != "u1"], dismissed])
    with serve(FakePointer(stage(ALS(ALSParams(factors=4)).fit(Interactions.from_frame(rows)), "1"))) as client:
        body = users_for(client, "i38", segment="hot", limit=60)
    assert [user["user_id"] for user in body["users"]] == ["u1"]


def test_an_item_that_fewer_than_five_users_liked_is_judged_by_its_content(client, store):
    """A new item of the catalogue, known by its category alone."""
    store.items["new"] = Item("new", "New", "", ("c2",))
    body = users_for(client, "new", limit=10)
    assert (body["method_used"], body["model_name"], body["model_version"]) == ("content", "recommender", "7")
    assert {group(user["user_id"]) for user in body["users"]} == {2}


def test_an_item_of_which_nothing_is_known_goes_to_the_most_active(client, store):
    store.items["mystery"] = Item("mystery")
    assert users_for(client, "mystery")["method_used"] == "activity"


def test_a_trained_item_with_few_likes_falls_back_to_content_too(als, stage, serve, interactions, catalogue):
    rows = interactions.to_frame()
    few = pd.concat([rows[rows.item_id != "i4"], rows[rows.item_id == "i4"].head(2)])
    model = ALS(ALSParams(factors=8)).fit(
        Interactions.from_frame(few, users=interactions.users, items=interactions.items), catalogue=catalogue
    )
    with serve(FakePointer(stage(model, "1"))) as client:
        body = users_for(client, "i4", limit=10)
    assert body["method_used"] == "content"
    assert {group(user["user_id"]) for user in body["users"]} == {1}


def test_an_unknown_item_is_not_found(client):
    answered = client.get("/api/items/nothing/recommended-users")
    assert (answered.status_code, answered.json()["type"]) == (404, "/problems/unknown-item")


def test_users_who_opted_out_stay_unlisted_while_the_database_is_unavailable(client, store):
    store.opted_out_users = frozenset({"u1", "u4"})
    before = users_for(client, "i7", limit=60)
    store.unavailable = True
    assert users_for(client, "i7", limit=60) == before


def test_erased_users_are_never_listed_even_while_the_database_is_unavailable(client, store):
    for item_id in ("i7", "new"):  # by the reverse model, and by content
        store.items["new"] = Item("new", "New", "", ("c2",))
        named = [user["user_id"] for user in users_for(client, item_id, limit=6)["users"]]
        store.erased_users |= frozenset(named[:4])
        left = [user["user_id"] for user in users_for(client, item_id, limit=6)["users"]]
        assert len(left) == 6
        assert left[:2] == named[4:]
        assert not store.erased_users & set(left)
    store.unavailable = True
    assert not store.erased_users & {user["user_id"] for user in users_for(client, "i7", limit=60)["users"]}


def lists_by_source(client, method: str = "als") -> dict[str, float]:
    metrics = client.app.state.metrics.audiences
    sources = ("cache", "model", "precomputed")
    return {source: n for source in sources if (n := metrics.labels(method, source)._value.get())}


def test_a_list_is_cached_until_a_version_is_swapped_in_or_a_user_opts_out(als, reverse_als, stage, client, store):
    before = users_for(client, "i4", limit=5)
    assert users_for(client, "i4", limit=5) == before
    assert lists_by_source(client) == {"model": 1, "cache": 1}
    store.opted_out_users = frozenset({before["users"][0]["user_id"]})
    assert users_for(client, "i4", limit=4)["users"] == before["users"][1:]
    assert users_for(client, "i4", limit=5)["users"][:4] == before["users"][1:]
    assert lists_by_source(client) == {"model": 3, "cache": 1}
    client.app.state.service.reverse_versions._pointer.staged = stage(reverse_als, "3")
    client.app.state.service.reverse_versions.step()
    assert users_for(client, "i4", limit=5)["model_version"] == "3"
    assert lists_by_source(client) == {"model": 4, "cache": 1}


def test_thresholds_are_parameters(client):
    assert users_for(client, "i4", min_likes=1_000)["method_used"] == "content"
    scores = [user["score"] for user in users_for(client, "i4", limit=8)["users"]]
    kept = users_for(client, "i4", limit=8, min_score=scores[3])["users"]
    assert [user["score"] for user in kept] == [score for score in scores if score >= scores[3]]
    answered = client.get("/api/items/i4/recommended-users", params={"min_score": "nan"})
    assert answered.status_code == 422


def test_a_stored_audience_answers_a_plain_request_without_users_who_must_not_be_listed(client, store):
    store.audiences["i4", "recommender-reverse", "2"] = Audience(("u1", "u2", "u9"), (0.9, 0.8, 0.7), "als")
    store.opted_out_users, store.erased_users = frozenset({"u1"}), frozenset()
    assert [user["user_id"] for user in users_for(client, "i4", limit=2)["users"]] == ["u2", "u9"]
    assert lists_by_source(client) == {"precomputed": 1}
    store.erased_users = frozenset({"u2"})  # too few are left
    assert len(users_for(client, "i4", limit=2)["users"]) == 2
    users_for(client, "i4", limit=2, segment="warm")
    assert lists_by_source(client) == {"precomputed": 1, "model": 2}
