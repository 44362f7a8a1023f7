"""Production and Staging at once: who gets which version, and what the list says of it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from recstage.experiments.assignment import Experiment, in_group
from recstage.models.baselines.popularity import Popularity
from serving.app import create_app
from serving.models.repository import ProductionVersion
from tests.serving.conftest import settings_with
from tests.serving.doubles import FakePointer, FakeStagingPointer, MemoryStore

SPLIT = {"experiment.share": "0.5"}
USERS = [f"u{i}" for i in range(60)]


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within 5 seconds"
        time.sleep(0.02)


@pytest.fixture
def pair(tmp_path, stage, als, popularity):
    """Runs the service with ALS as Production 1 and popularity as Staging 2, whose experiment has the given tags."""

    @contextmanager
    def run(tags, *, store=None, **values):
        production = FakePointer(stage(als, "1"))
        staging = FakeStagingPointer(replace(stage(popularity, "2"), experiment=tags))
        store = store or MemoryStore()
        app = create_app(
            settings_with(tmp_path, **values),
            dependencies=store.dependencies(),
            pointer=production,
            staging_pointer=staging,
        )
        with TestClient(app) as client:
            yield client, staging, store

    return run


def lists_of(client, users=USERS):
    return {user: client.get("/api/recommendations", params={"user_id": user}).json() for user in users}


def test_a_share_of_the_users_gets_the_challenger_and_keeps_it(pair):
    with pair(SPLIT) as (client, _, store):
        first, second = lists_of(client), lists_of(client)
    arms = {user: body["experiment"]["arm"] for user, body in first.items()}
    assert arms == {user: body["experiment"]["arm"] for user, body in second.items()}
    assert 15 < Counter(arms.values())["challenger"] < 45
    for user, body in first.items():
        assert body["model_version"] == ("2" if arms[user] == "challenger" else "1")
        assert body["experiment"] == {"name": "recommender-2-vs-1", "arm": arms[user], "chance": 0.5}
    logged = {one.user_id: one for one in store.impressions}
    assert {user: one.arm for user, one in logged.items()} == arms
    assert {one.model_version for one in logged.values()} == {"1", "2"}
    assert all(one.chance == 0.5 and one.milliseconds > 0 for one in logged.values())


def groups_of(client) -> dict[str, str]:
    """The version of each user's own lists."""
    return {user: body["model_version"] for user, body in lists_of(client).items()}


def test_lists_of_many_users_are_by_the_version_of_each_users_group(pair):
    with pair(SPLIT) as (client, _, store):
        versions = groups_of(client)
        store.impressions.clear()
        answered = client.post("/api/recommendations/batch", json={"user_ids": USERS}).json()["lists"]
    assert [one["user_id"] for one in answered] == USERS
    assert {one["user_id"]: one["model_version"] for one in answered} == versions
    assert all(one["experiment"]["name"] == "recommender-2-vs-1" for one in answered)
    assert {one.user_id: one.model_version for one in store.impressions} == versions
    assert {one.arm for one in store.impressions} == {"production", "challenger"}


def test_lists_of_many_users_are_interleaved(pair):
    with pair({"experiment.mode": "interleave", "experiment.share": "1"}) as (client, _, store):
        answered = client.post("/api/recommendations/batch", json={"user_ids": USERS[:5]}).json()["lists"]
        ranked = client.post("/api/rank", json={"user_id": "u1", "items": [f"i{n}" for n in range(12)]}).json()
    assert {one["experiment"]["arm"] for one in (*answered, ranked)} == {"interleaved"}
    assert all(set(one.teams) == {0, 1} for one in store.impressions)
    assert len({item["item_id"] for item in ranked["items"]}) == len(ranked["items"]) == 12


def test_candidates_are_ranked_and_scored_by_the_version_of_the_users_group(pair):
    with pair(SPLIT) as (client, _, store):
        versions = groups_of(client)
        store.impressions.clear()
        items = ["i1", "i2", "i3"]
        for user in USERS[:12]:
            ranked = client.post("/api/rank", json={"user_id": user, "items": items}).json()
            scored = client.post("/api/predict", json={"user_id": user, "item_ids": items}).json()
            assert ranked["model_version"] == scored["model_version"] == versions[user]
            assert ranked["experiment"]["chance"] == 0.5
        together = client.post("/api/predict/batch", json={"user_ids": USERS, "item_ids": items}).json()
        named = client.post("/api/rank", json={"user_id": "u1", "items": items, "strategy": "als"}).json()
    assert {one["user_id"]: one["model_version"] for one in together["users"]} == versions
    assert [one["user_id"] for one in together["users"]] == USERS
    assert len({one.model_version for one in store.impressions}) == 2
    assert (named["model_version"], named["experiment"]) == ("1", None)


def test_scores_of_a_user_do_not_change_with_the_dice_of_a_bandit(pair):
    with pair({"experiment.mode": "bandit", "experiment.share": "1"}) as (client, _, _store):
        answers = [client.post("/api/predict", json={"user_id": "u1", "item_ids": ["i1"]}).json() for _ in range(12)]
    assert {one["model_version"] for one in answers} == {"1"}


def test_every_list_says_rank_and_propensity_of_its_items(pair):
    with pair(SPLIT) as (client, _, _store):
        items = client.get("/api/recommendations", params={"user_id": "u1", "limit": 3}).json()["items"]
    assert [(item["rank"], item["propensity"]) for item in items] == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_without_a_share_all_users_get_production(pair):
    with pair({}) as (client, _, _store):
        found = lists_of(client)
    assert {body["model_version"] for body in found.values()} == {"1"}
    assert all(body["experiment"] is None for body in found.values())


def test_the_share_changes_without_a_restart_and_keeps_who_had_the_challenger(pair):
    with pair(SPLIT) as (client, staging, _store):
        before = {user for user, body in lists_of(client).items() if body["model_version"] == "2"}
        staging.staged = replace(staging.staged, experiment={"experiment.share": "0.9"})
        until(lambda: client.app.state.service.experiments.running.share == 0.9)
        after = {user for user, body in lists_of(client).items() if body["model_version"] == "2"}
    assert before < after


def test_the_next_experiment_does_not_inherit_the_groups():
    first, second = (Experiment("e", "1", challenger, 0.5, "split") for challenger in ("2", "3"))
    users = [f"user {i}" for i in range(2000)]
    both = sum(in_group(user, first) and in_group(user, second) for user in users)
    assert 0.2 < both / 2000 < 0.3


@pytest.mark.parametrize(
    ("share", "told"),
    [("1.5", "from 0 to 1"), ("-0.1", "from 0 to 1"), ("half", "from 0 to 1"), ("nan", "from 0 to 1")],
)
def test_a_share_outside_0_to_1_runs_no_experiment_and_is_told_in_one_line(pair, share, told):
    with pair({"experiment.share": share}) as (client, _, _store):
        assert {body["model_version"] for body in lists_of(client, USERS[:10]).values()} == {"1"}
        degraded = client.get("/health/ready").json()["degraded"]
    assert len([line for line in degraded if told in line and share in line and "\n" not in line]) == 1


def test_staging_equal_to_production_runs_no_experiment_and_is_told(tmp_path, stage, als):
    both = stage(als, "1")
    staging = FakeStagingPointer(replace(both, experiment=SPLIT))
    app = create_app(settings_with(tmp_path), pointer=FakePointer(both), staging_pointer=staging)
    with TestClient(app) as client:
        body = client.get("/api/recommendations", params={"user_id": "u1"}).json()
        degraded = client.get("/health/ready").json()["degraded"]
    assert (body["model_version"], body["experiment"]) == ("1", None)
    assert any("this one is Production" in line for line in degraded)


def test_a_deleted_challenger_ends_the_experiment(pair):
    with pair({"experiment.share": "1"}) as (client, staging, _store):
        assert lists_of(client, ["u1"])["u1"]["model_version"] == "2"
        staging.staged = None
        until(lambda: lists_of(client, ["u1"])["u1"]["model_version"] == "1")
        assert client.app.state.service.experiments.challenger is None


def test_a_broken_challenger_is_never_served_and_is_told(tmp_path, stage, als):
    broken = tmp_path / "broken"
    broken.mkdir()
    staging = FakeStagingPointer(ProductionVersion("recommender", "2", broken, experiment={"experiment.share": "1"}))
    app = create_app(settings_with(tmp_path), pointer=FakePointer(stage(als, "1")), staging_pointer=staging)
    with TestClient(app) as client:
        body = client.get("/api/recommendations", params={"user_id": "u1"}).json()
        degraded = client.get("/health/ready").json()["degraded"]
    assert body["model_version"] == "1"
    assert any(line.startswith("recommender@staging: the staged version cannot be served") for line in degraded)


def test_a_request_that_names_a_strategy_is_in_no_experiment(pair):
    with pair({"experiment.share": "1"}) as (client, _, _store):
        body = client.get("/api/recommendations", params={"user_id": "u1", "strategy": "als"}).json()
    assert (body["model_version"], body["experiment"]) == ("1", None)


def test_shadow_mode_scores_the_challenger_and_shows_production(pair):
    with pair({"experiment.share": "1", "experiment.mode": "shadow"}) as (client, _, store):
        found = lists_of(client, USERS[:5])
        metrics = client.app.state.metrics
        scored = metrics.shadow_lists.labels("scored")
        until(lambda: scored._value.get() == 5)
    assert {body["model_version"] for body in found.values()} == {"1"}
    assert {one.model_version for one in store.impressions} == {"1"}


def test_what_the_shadow_cannot_take_is_dropped_and_counted(pair):
    with pair({"experiment.share": "1", "experiment.mode": "shadow"}, shadow_queue=1) as (client, _, _store):
        shadow = client.app.state.service.experiments.shadow
        assert shadow._room.acquire(blocking=False)  # a list is being scored
        lists_of(client, USERS[:3])
        assert client.app.state.metrics.shadow_lists.labels("dropped")._value.get() == 3
        shadow._room.release()


def test_interleaved_lists_hold_both_rankings_and_say_which_item_is_whose(pair):
    with pair({"experiment.share": "1", "experiment.mode": "interleave"}) as (client, _, store):
        body = client.get("/api/recommendations", params={"user_id": "u1", "limit": 10}).json()
    (shown,) = store.impressions
    assert body["experiment"]["arm"] == shown.arm == "interleaved"
    assert set(shown.teams) == {0, 1}
    assert len(shown.teams) == len(shown.item_ids) == len(set(shown.item_ids)) == 10
    assert [item["rank"] for item in body["items"]] == list(range(1, 11))


def test_the_bandit_learns_which_version_is_rewarded_and_logs_its_chance(pair):
    class Rewarded(MemoryStore):
        def rewards(self, experiment):
            assert experiment == "recommender-2-vs-1"
            return {("1", None): (500, 20), ("2", None): (500, 80)}

    tags = {"experiment.share": "1", "experiment.mode": "bandit"}
    with pair(tags, store=Rewarded(), bandit_seconds=0.05) as (client, _, store):
        client.get("/api/recommendations", params={"user_id": "u1"})
        bandit = client.app.state.service.bandit
        until(lambda: bandit._chances.get(None, 0) > 0.9)
        store.impressions.clear()
        lists_of(client)
    assert Counter(one.model_version for one in store.impressions)["2"] > 50
    assert {(one.arm, round(one.chance, 2)) for one in store.impressions} <= {
        ("challenger", 0.95),
        ("production", 0.05),
    }


def test_the_contextual_bandit_learns_for_each_segment_by_itself(pair):
    class Rewarded(MemoryStore):
        def rewards(self, experiment):
            won = {("1", "cold"): 20, ("2", "cold"): 80, ("1", "warm"): 80, ("2", "warm"): 20}
            return {who: (500, number) for who, number in won.items()}

    tags = {"experiment.share": "1", "experiment.mode": "contextual"}
    with pair(tags, store=Rewarded(), bandit_seconds=0.05) as (client, _, store):
        lists_of(client, ["u1", "never seen"])
        bandit = client.app.state.service.bandit
        until(lambda: bandit._chances.get("cold", 0) > 0.9 and bandit._chances["warm"] < 0.1)
        known = {user: len(client.app.state.service.select_model().trained_user(user).items) for user in USERS}
        store.impressions.clear()
        lists_of(client, [*USERS, *(f"never seen {n}" for n in range(20))])
    expected = {"cold": 0.95, "warm": 0.05, "hot": 0.5}
    assert len({one.segment for one in store.impressions}) > 1
    for one in store.impressions:
        count = known.get(one.user_id, 0)
        assert one.segment == ("cold" if count < 5 else "warm" if count < 20 else "hot")
        chance = one.chance if one.arm == "challenger" else 1 - one.chance
        assert chance == pytest.approx(expected[one.segment], abs=0.03)


def test_exploration_logs_the_chance_of_each_item_at_its_rank(pair):
    with pair({}, exploration=0.3) as (client, _, store):
        first, second = (
            [tuple(item["item_id"] for item in lists_of(client, ["u1"])["u1"]["items"]) for _ in range(8)]
            for _ in range(2)
        )
    assert len({*first, *second}) > 1
    assert all(0 < chance < 1 for one in store.impressions for chance in one.propensities)


def test_a_list_that_fails_is_recorded_for_its_version(pair, monkeypatch):
    with pair({"experiment.share": "1"}) as (client, _, store):
        service = client.app.state.service

        async def fails(*arguments):
            raise RuntimeError("broken")

        monkeypatch.setattr(service.recommender, "_list", fails)
        assert client.get("/api/recommendations", params={"user_id": "u1"}).status_code == 500
    (shown,) = store.impressions
    assert (shown.method, shown.model_version, shown.arm, shown.item_ids) == ("error", "2", "challenger", ())


def test_a_user_who_opted_out_is_recorded_in_no_experiment(pair, popularity: Popularity):
    from serving.interfaces import History

    store = MemoryStore(histories={"u1": History(personal=False)})
    with pair(SPLIT, store=store) as (client, _, _store):
        assert client.get("/api/recommendations", params={"user_id": "u1"}).status_code == 200
    assert store.impressions == []
