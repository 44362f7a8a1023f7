"""Parameters of a request, live histories, and lists that come whatever is missing."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from recstage.data.interactions import Interactions, Users
from recstage.errors import StoreError
from recstage.models.baselines.popularity import Popularity
from serving.interfaces import History, Precomputed
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import diversity_of, recommend
from serving.recommend.request import RecommendationRequest
from tests.serving.doubles import FakePointer, MemoryStore

NOW = datetime.now(UTC)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "7"))


@pytest.fixture
def client(pointer, store, serve):
    with serve(pointer, dependencies=store.dependencies()) as client:
        yield client


def ids(body: dict) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def ask(client, user_id: str, **params) -> dict:
    answered = client.get("/api/recommendations", params={"user_id": user_id, **params})
    assert answered.status_code == 200, answered.text
    return answered.json()


def third(item_id: str) -> int:
    return int(item_id[1:]) % 3


# -- live histories ---------------------------------------------------------------------------------------------------


def test_the_next_list_reflects_the_last_click(client, store, als):
    """u0 loves the first third; after many likes in the second third, the second third comes first."""
    before = ask(client, "u0", limit=3)
    assert [third(item) for item in ids(before)] == [0, 0, 0]
    store.interacted("u0", *[f"i{n}" for n in range(1, 25, 3)])
    after = ask(client, "u0", limit=3)
    assert [third(item) for item in ids(after)].count(1) >= 2
    assert after["method_used"] == "als"


def test_a_live_history_is_folded_in_as_the_model_does_it(client, store, als, interactions):
    store.interacted("u5", "i1", "i4")
    trained = interactions.of([interactions.users.find("u5")])
    items = np.concatenate([trained.items, interactions.items.index_of(["i1", "i4"])])
    users = Users.unknown(interactions.n_items, items)
    wanted = als.rank(users, 5).items[0]
    assert ids(ask(client, "u5", limit=5)) == interactions.items.id_of(wanted).tolist()


def test_an_unknown_user_is_served_by_the_model_from_their_first_clicks(client, store):
    assert ask(client, "new-user")["method_used"] == "popularity"
    store.interacted("new-user", "i2", "i5")
    body = ask(client, "new-user", limit=3)
    assert body["method_used"] == "als"
    assert {third(item) for item in ids(body)} <= {2, 0}
    assert not {"i2", "i5"} & set(ids(body))


def test_events_that_training_knew_change_nothing(client, store, interactions):
    before = ask(client, "u5")
    known = interactions.items.id_of(interactions.of([interactions.users.find("u5")]).items)
    store.interacted("u5", *known.tolist())
    assert ask(client, "u5")["items"] == before["items"]


def test_a_dismissed_item_is_not_shown_again_and_teaches_nothing(client, store):
    first = ids(ask(client, "u5"))
    store.interacted("u5", first[0], weight=0.0)
    assert first[0] not in ids(ask(client, "u5"))


@pytest.mark.parametrize(
    ("live", "weights", "items", "merged"),
    [
        (("a",), (0.0,), ["b", "c", "a"], [0.0, 1.0, 0.0]),
        (("b",), (2.0,), ["a", "c", "b"], [1.0, 1.0, 2.0]),
        (("a", "b"), (0.0, 2.0), ["c", "a", "b"], [1.0, 0.0, 2.0]),
    ],
)
def test_a_live_dismissal_takes_back_what_training_liked_and_a_live_like_what_it_dismissed(
    live, weights, items, merged
):
    """Known to training: a is liked, b dismissed, c liked."""
    rows = {"user_id": "ann", "item_id": list("abc"), "timestamp": [1, 2, 3], "weight": [1.0, 0.0, 1.0]}
    model = Popularity().fit(Interactions.from_frame(pd.DataFrame(rows)))
    served = LoadedModel.fallback("fallback", [model], model.train_, model.catalogue_)
    users = served.user_context("ann", History(live, weights, (8, 9)[: len(live)], version=1)).users
    assert model.items.id_of(users.items).tolist() == items
    assert users.weights.tolist() == merged
    assert users.index.tolist() == [-1], "the model's own vector of ann is out of date"


def test_a_live_dismissal_of_what_training_liked_changes_the_list(client, store, als, interactions):
    trained = interactions.of([interactions.users.find("u5")])
    store.interacted("u5", interactions.items.ids[trained.items[0]], weight=0.0)
    weights = np.where(np.arange(len(trained.items)) == 0, 0, trained.weights).astype(np.float32)
    wanted = als.rank(Users.unknown(interactions.n_items, trained.items, weights), 5).items[0]
    assert ids(ask(client, "u5", limit=5)) == interactions.items.id_of(wanted).tolist()
    assert not np.array_equal(wanted, als.rank(trained, 5).items[0]), "else the test proves nothing"


def test_items_that_the_version_does_not_know_are_passed_over(client, store):
    before = ask(client, "u5")
    store.interacted("u5", "brand-new")
    assert ask(client, "u5")["items"] == before["items"]


def test_equally_popular_items_come_in_the_order_of_the_id_map(client, als):
    popularity = np.where(als.items.ids == "i39", -1, als.popularity_)
    order = als.items.ids[np.argsort(-popularity, kind="stable")][:-1].tolist()
    assert len(set(popularity)) < len(order), "there are ties"
    body = ask(client, "unknown-user", limit=len(order))
    assert body["method_used"] == "popularity"
    assert ids(body) == order


def test_users_who_opted_out_get_popularity_and_leave_no_trace(client, store):
    store.histories["u5"] = History(personal=False, version=3)
    body = ask(client, "u5", limit=50)
    assert body["method_used"] == "popularity"
    assert ids(body) == ids(ask(client, "another-user", limit=50))
    assert [shown.user_id for shown in store.impressions] == ["another-user"]


def test_an_erased_user_is_unknown_even_to_a_model_trained_on_them(client, store):
    store.histories["u5"] = History(version=9, forgotten=True)
    assert ask(client, "u5")["method_used"] == "popularity"


def test_declared_preferences_serve_a_user_without_history(client, store):
    store.histories["fan"] = History(version=1, categories=("c2", "c1"))
    body = ask(client, "fan", limit=20)
    assert body["method_used"] == "preferences"
    assert [third(item) for item in ids(body)] == [2] * 13 + [1] * 7


def test_what_was_shown_is_noted_with_the_request_it_answered(client, store):
    body = ask(client, "u5", limit=3)
    (shown,) = store.impressions
    assert (shown.user_id, shown.request_id, shown.model_version) == ("u5", body["request_id"], "7")
    assert list(shown.item_ids) == ids(body)
    assert shown.propensities == (1.0, 1.0, 1.0)


# -- hidden, excluded, categories -------------------------------------------------------------------------------------


def test_a_hidden_item_is_not_served_from_that_moment(client, store):
    first = ids(ask(client, "u5"))
    store.hide(first[0], "unknown-item")
    assert first[0] not in ids(ask(client, "u5"))
    assert first[0] not in ids(ask(client, "u5", strategy="popularity"))


def test_excluded_items_are_left_out_and_unknown_ones_do_no_harm(client):
    first = ids(ask(client, "u5", limit=5))
    rest = ids(ask(client, "u5", limit=3, exclude=[*first[:2], "no-such-item"]))
    assert rest == first[2:]


def test_only_the_asked_categories_are_listed(client):
    body = ask(client, "u5", limit=100, category=["c0", "c1"])
    assert {third(item) for item in ids(body)} == {0, 1}


def test_seen_items_come_back_on_request(client, interactions):
    seen = set(interactions.items.id_of(interactions.of([interactions.users.find("u5")]).items))
    assert seen & set(ids(ask(client, "u5", limit=100, exclude_seen=False))) == seen


# -- diversity, reasons, strategies -----------------------------------------------------------------------------------


def test_diversity_is_one_minus_the_mean_cosine_of_the_pairs():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert diversity_of(vectors, np.array([0, 1], np.int32)) == pytest.approx(0)
    assert diversity_of(vectors, np.array([0, 2], np.int32)) == pytest.approx(1)
    assert diversity_of(vectors, np.array([0, 1, 3], np.int32)) == pytest.approx(1 - (1 + 0.6 + 0.6) / 3)
    assert diversity_of(vectors, np.array([0], np.int32)) is None


def test_a_lower_lambda_gives_a_more_varied_list(client):
    plain, varied = ask(client, "u5", limit=6), ask(client, "u5", limit=6, **{"lambda": 0.1})
    assert varied["diversity_score"] > plain["diversity_score"]
    assert ids(varied)[0] == ids(plain)[0]
    assert ask(client, "u5", limit=6, **{"lambda": 1})["items"] == plain["items"]


def test_each_item_has_a_reason_where_it_is_asked_for(client, store):
    reasons = [item["reason"] for item in ask(client, "u5", limit=3, explain=True)["items"]]
    assert all(reason.startswith("You chose 'Title of i") for reason in reasons)
    assert "reason" not in ask(client, "u5")["items"][0]
    popular = ask(client, "unknown", limit=1, explain=True)["items"][0]["reason"]
    assert popular.startswith("60 of 60 ")
    assert popular.endswith("number 1 of 40 by popularity.")
    store.histories["fan"] = History(version=1, categories=("c2",))
    declared = ask(client, "fan", limit=1, explain=True)["items"][0]["reason"]
    assert declared == "It belongs to c2, which you prefer."


def test_a_strategy_that_the_version_lacks_is_answered_as_auto(client):
    body = ask(client, "u5", strategy="hybrid")
    assert body["method_used"] == "als"
    assert body["items"] == ask(client, "u5")["items"]
    assert 'recstage_fallbacks_total{reason="strategy",why="strategy"} 1.0' in client.get("/metrics").text


def test_an_answer_without_the_strategy_asked_for_is_degraded_and_one_with_it_is_not(client):
    degraded = {one: ask(client, "u5", strategy=one)["degraded"] for one in ("hybrid", "als", "auto", "popularity")}
    assert degraded == {"hybrid": True, "als": False, "auto": False, "popularity": False}
    assert ask(client, "u5", strategy="hybrid")["degraded"]  # also where the list is cached
    bodies = {one: {"user_id": "u5", "item_ids": ["i1"], "strategy": one} for one in ("hybrid", "als")}
    assert [client.post("/api/predict", json=one).json()["degraded"] for one in bodies.values()] == [True, False]


def test_a_misspelt_strategy_is_refused_with_the_valid_names(client):
    answered = client.get("/api/recommendations", params={"user_id": "u5", "strategy": "popularty"})
    assert answered.status_code == 422
    assert "Did you mean 'popularity'?" in answered.json()["detail"]


def test_a_misspelt_parameter_is_refused(client):
    answered = client.get("/api/recommendations", params={"user_id": "u5", "exclude_sen": "false"})
    assert answered.status_code == 422
    assert answered.json()["errors"][0]["where"] == "query.exclude_sen"


@pytest.mark.parametrize("value", ["1.1", "-0.1", "nan", "inf", "much"])
def test_a_lambda_outside_zero_to_one_is_refused(client, value):
    answered = client.get("/api/recommendations", params={"user_id": "u5", "lambda": value})
    assert answered.status_code == 422
    assert answered.json()["errors"][0]["where"] == "query.lambda"


# -- whatever is missing ----------------------------------------------------------------------------------------------


def test_a_model_that_raises_is_followed_by_popularity(als, stage, monkeypatch):
    served = LoadedModel.load(stage(als, "1"), NOW)
    failures = []
    monkeypatch.setattr(type(als), "retrieve", lambda *_: 1 / 0)
    found = recommend(served, RecommendationRequest("u5", 3), on_failure=failures.append)
    assert found.method == "popularity"
    assert len(found.items) == 3
    assert failures == ["als"]


@pytest.mark.parametrize("fast", [True, False])
def test_while_the_database_is_unavailable_lists_are_made_without_it_and_marked(pointer, serve, fast, als):
    store = MemoryStore(fast=fast)
    store.hide("i3")
    with serve(pointer, dependencies=store.dependencies()) as client:
        assert ask(client, "u5")["degraded"] is False
        store.unavailable = True
        body = ask(client, "u5", limit=100)
        assert body["degraded"] is True
        assert "i3" not in ids(body)  # what was known to be hidden stays hidden
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert "database is unavailable" in " ".join(ready.json()["degraded"])
        store.unavailable = False
        assert ask(client, "u5")["degraded"] is False


def test_a_port_that_raises_anything_else_is_a_500_that_names_nothing(pointer, serve, monkeypatch):
    store = MemoryStore()
    monkeypatch.setattr(store, "history", lambda user_id: {}["secret"])
    with serve(pointer, dependencies=store.dependencies()) as client:
        answered = client.get("/api/recommendations", params={"user_id": "u5"})
    assert answered.status_code == 500
    assert "secret" not in answered.text


def test_store_errors_are_503_problems_elsewhere(serve, pointer):
    store = MemoryStore()
    with serve(pointer, dependencies=store.dependencies()) as client:
        store.unavailable = True
        answered = client.get("/api/items/i0/recommended-users", params={"role": "nurse"})
    assert (answered.status_code, answered.json()["type"]) == (503, "/problems/store-away")
    assert str(StoreError("the database", rule="does not answer", fix="Start it")) == answered.json()["detail"]


# -- precomputed lists ------------------------------------------------------------------------------------------------


@pytest.fixture
def precomputing(pointer, store, serve):
    store.stored["u5", "7"] = Precomputed(("i1", "i2", "i4", "i5"), (4.0, 3.0, 2.0, 1.0), "als-overnight")
    with serve(pointer, dependencies=store.dependencies(), precomputed="always", cache_size=0) as client:
        yield client


def test_a_precomputed_list_of_this_version_is_used(precomputing):
    body = ask(precomputing, "u5", limit=3)
    assert (ids(body), body["method_used"]) == (["i1", "i2", "i4"], "als-overnight")


def test_a_hidden_item_leaves_precomputed_lists_too(precomputing, store):
    store.hide("i2")
    assert ids(ask(precomputing, "u5", limit=3)) == ["i1", "i4", "i5"]


def test_a_precomputed_list_gives_way_to_the_last_click_to_wishes_and_to_another_version(
    precomputing, store, pointer, popularity, stage
):
    assert ask(precomputing, "u5", limit=4, exclude=["i1"])["method_used"] == "als"
    assert ask(precomputing, "u5", limit=5)["method_used"] == "als"  # it holds four
    store.interacted("u5", "i1")
    assert ask(precomputing, "u5", limit=3)["method_used"] == "als"
    del store.histories["u5"]
    pointer.staged = stage(popularity, "8")
    precomputing.app.state.service.versions.step()
    assert ask(precomputing, "u5", limit=3)["model_version"] == "8"
    assert ask(precomputing, "u5", limit=3)["method_used"] == "popularity"
