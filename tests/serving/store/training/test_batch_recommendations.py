"""Precomputed lists of the Production version for all users it knows."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from recstage import bundle
from recstage.data.interactions import Interactions
from recstage.errors import ConfigError, NoProduction
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.reverse_als import ReverseALS
from serving.store.audiences.batch import popular_items, precompute_audiences
from serving.store.db.tables import UserRecommendation
from serving.store.erasure.erasures import Erase
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.precomputed import PutLists, UserList
from serving.store.repositories.users import PutProfile, profile
from serving.store.training import batch_recommendations
from serving.store.training.chosen_users import UserChoice
from tests.serving.store.databases import count
from tests.serving.store.factories import event


@pytest.fixture
def production(small_dataset, tmp_path, monkeypatch):
    """Popularity of the small data set as version 7, staged Production."""
    model = Popularity().fit(small_dataset.split.train, catalogue=small_dataset.catalogue)
    bundle.save(model, tmp_path / "bundle", metadata={})
    monkeypatch.setattr(batch_recommendations.registry, "production", lambda name: SimpleNamespace(number=7))
    monkeypatch.setattr(batch_recommendations.registry, "fetch", lambda version: tmp_path / "bundle")
    return model


def test_every_user_has_the_list_that_the_model_gives(url, store, production):
    found = batch_recommendations.precompute(url, "recommender", limit=5, hours=1)
    user_ids = production.train_.users.ids.tolist()
    assert (found["model_version"], found["lists"]) == ("7", len(user_ids))
    for user_id in user_ids[:5]:
        stored = store.precomputed.precomputed(user_id, "recommender", "7")
        expected = production.recommend(user_id, 5)
        assert stored.item_ids == tuple(expected.item_ids)
        assert stored.scores == pytest.approx(expected.scores)
        assert stored.method == "popularity"


@pytest.fixture
def train():
    """Five users, u0 with one interaction to u4 with five."""
    rows = [(f"u{user}", f"i{item}") for user in range(5) for item in range(user + 1)]
    return Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]))


def test_users_are_chosen_by_activity_by_their_interactions_and_by_a_file(store, do, train, tmp_path):
    long_ago = now_ms() - 8 * 86_400_000
    do(RecordEvents([event("u1"), event("u3"), event("new"), event("u4", occurred_at=long_ago)]))
    path = tmp_path / "users.txt"
    path.write_text("u4\n\n u1 \nstrange\n")

    def chosen(**conditions) -> list[str]:
        return UserChoice(**conditions).among(train, store.reader).tolist()

    assert chosen() == ["u0", "u1", "u2", "u3", "u4"]
    assert chosen(active_days=7) == ["u1", "u3"]
    assert chosen(active_days=9) == ["u1", "u3", "u4"]
    assert chosen(top=2) == ["u3", "u4"]
    assert chosen(top=9) == chosen()
    assert chosen(file=path) == ["u1", "u4"]
    assert chosen(file=path, active_days=7) == ["u1"]
    assert chosen(active_days=9, top=1) == ["u4"]


def test_only_chosen_users_get_lists(url, store, production):
    found = batch_recommendations.precompute(url, "recommender", limit=3, hours=1, users=UserChoice(top=4))
    assert (found["users"], found["lists"]) == (4, 4)
    assert count(url, UserRecommendation) == 12


def test_a_choice_that_holds_for_no_user_is_refused(store, train, tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("strange\n")
    with pytest.raises(ConfigError, match="the Production version knows none of these users"):
        UserChoice(file=path).among(train, store.reader)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="no readable UTF-8 text"):
        UserChoice(file=path).among(train, store.reader)


def test_lists_of_other_versions_go_and_users_who_opted_out_get_none(url, store, do, production):
    user_id = production.train_.users.ids[0]
    do(PutProfile(user_id, role=None, categories=(), opted_out=True))
    do(PutLists("recommender", "6", [UserList("other", ["x"], [1.0], "als")], now_ms() + 60_000))
    found = batch_recommendations.precompute(url, "recommender", limit=3, hours=1)
    assert (found["lists"], found["removed_rows"]) == (len(production.train_.users) - 1, 1)
    assert store.precomputed.precomputed(user_id, "recommender", "7") is None
    assert count(url, UserRecommendation) == 3 * found["lists"]


def test_erased_users_get_no_list_and_do_not_come_back_by_one(url, store, do, production):
    user_id = production.train_.users.ids[0]
    do(RecordEvents([event(user_id)]))
    do(Erase(user_id, drop_queued=store.impressions.forget))
    found = batch_recommendations.precompute(url, "recommender", limit=3, hours=1)
    assert found["lists"] == len(production.train_.users) - 1
    assert store.precomputed.precomputed(user_id, "recommender", "7") is None
    assert profile(store.reader, user_id) is None


def test_lists_of_another_model_are_neither_replaced_nor_deleted(url, store, do, production):
    user_id = production.train_.users.ids[0]
    others = [UserList(user_id, ["x"], [1.0], "als"), UserList("other", ["x"], [1.0], "als")]
    for version in ("6", "7"):
        do(PutLists("shop", version, others, now_ms() + 60_000))
    do(PutLists("shop", "5", others, now_ms() - 1))
    found = batch_recommendations.precompute(url, "recommender", limit=3, hours=1)
    assert found["removed_rows"] == 0
    assert store.precomputed.precomputed(user_id, "shop", "7").item_ids == ("x",)
    assert len(store.precomputed.precomputed(user_id, "recommender", "7").item_ids) == 3
    assert count(url, UserRecommendation) == 3 * found["lists"] + 6


def test_without_production_nothing_is_made(sqlite_url, monkeypatch):
    def nothing(name):
        raise NoProduction(name, rule="nothing is staged Production", fix="Promote a version")

    monkeypatch.setattr(batch_recommendations.registry, "production", nothing)
    with pytest.raises(NoProduction):
        batch_recommendations.precompute(sqlite_url, "recommender", limit=3, hours=1)


def test_a_version_that_ranks_users_for_items_is_refused_before_anything_is_deleted(
    url, store, do, small_dataset, tmp_path, production
):
    do(PutLists("recommender", "6", [UserList("other", ["x"], [1.0], "als")], now_ms() + 60_000))
    model = ReverseALS().fit(small_dataset.split.train.transposed())
    bundle.save(model, tmp_path / "reverse", metadata={})
    (tmp_path / "bundle").rename(tmp_path / "forward")
    (tmp_path / "reverse").rename(tmp_path / "bundle")
    with pytest.raises(ConfigError, match="version 7 ranks users for items"):
        batch_recommendations.precompute(url, "recommender-reverse", limit=3, hours=1)
    assert store.precomputed.precomputed("other", "recommender", "6") is not None


@pytest.fixture
def reverse_production(small_dataset, tmp_path, monkeypatch):
    """Reverse ALS of the small data set as version 4."""
    model = ReverseALS().fit(small_dataset.split.train.transposed())
    bundle.save(model, tmp_path / "bundle", metadata={})
    monkeypatch.setattr(batch_recommendations.registry, "production", lambda name: SimpleNamespace(number=4))
    monkeypatch.setattr(batch_recommendations.registry, "fetch", lambda version: tmp_path / "bundle")
    return model


def test_the_most_popular_items_get_the_users_that_the_reverse_model_gives(url, store, do, reverse_production):
    do(PutLists("recommender", "7", [UserList("ann", ["x"], [1.0], "als")], now_ms() + 60_000))
    train = reverse_production.train_
    found = precompute_audiences(url, "recommender-reverse", top=5, min_likes=1, limit=3, hours=1)
    assert (found["model_version"], found["audiences"]) == ("4", 5)
    likes = {train.users.ids[i]: int(n) for i, n in enumerate(train.matrix.getnnz(axis=1))}
    popular = popular_items(train, 5, 1)
    assert min(likes[one] for one in popular) >= max(n for one, n in likes.items() if one not in set(popular))
    stored = store.users.audience(popular[0], "recommender-reverse", "4")
    expected = reverse_production.recommend(popular[0], 3)
    assert stored.user_ids == tuple(expected.item_ids)
    assert stored.scores == pytest.approx(expected.scores)
    assert count(url, UserRecommendation) == 1


def test_a_version_that_ranks_items_for_users_is_refused_as_a_reverse_model(url, production):
    with pytest.raises(ConfigError, match="version 7 ranks items for users"):
        precompute_audiences(url, "recommender-reverse", top=5, min_likes=1, limit=3, hours=1)


@pytest.mark.integration
def test_lists_that_a_cluster_made_are_those_of_this_process(url, store, production, ray_cluster):
    from recstage import cluster

    def stored() -> list:
        user_ids = production.train_.users.ids.tolist()
        return [store.precomputed.precomputed(user_id, "recommender", "7") for user_id in user_ids]

    batch_recommendations.precompute(url, "recommender", limit=5, hours=1)
    here = stored()
    with cluster.session():
        found = batch_recommendations.precompute(url, "recommender", limit=5, hours=1, backend="ray")
    assert found["lists"] == len(here)
    assert stored() == here
