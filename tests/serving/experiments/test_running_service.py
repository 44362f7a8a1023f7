"""Experiments on a service that runs: a process of its own, followed by HTTP; the registry's tags change beside it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from experiments.benchmarks.environment import Running, start_service
from experiments.benchmarks.faults.fault import NO_SHEDDING
from recstage import config, registry, tracking
from recstage.config import root
from recstage.registry import mlflow_client
from recstage.steps.experiments import ab_report, experiment, off_policy
from serving.store.admin.retention import prune
from serving.store.db.connection import parse_url
from tests.registry_driver import RegistryDriver

pytestmark = pytest.mark.integration

USERS = [f"u{number}" for number in range(60)]
EXPLORATION, BANDIT_SECONDS = 0.3, 0.2
SMALL = (
    *("--promotion.experiment.least_users", "20", "--promotion.experiment.history_days", "0"),
    *("--promotion.experiment.effect", "1.0"),  # so few users find nothing smaller
)


@dataclass
class Live:
    """A running service with ALS as Production 1 and popularity as Staging 2, its registry and its database."""

    running: Running
    client: httpx.Client
    driver: RegistryDriver
    database: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def begin(self, share: float, mode: str = "split", label: str = "") -> str:
        """Set the experiment's tags, as `recstage experiment`, and wait until the service follows. Returns its name."""
        words = ["--share", str(share), "--mode", mode, *(("--label", label) if label else ())]
        began = experiment.run(experiment.settings_from(words))
        self.until(lambda: self.follows(began.experiment, share, mode))
        return began.experiment

    def follows(self, name: str, share: float, mode: str) -> bool:
        """Whether an answer shows that the service knows these tags."""
        found = self.client.get("/api/model").json()["experiment"]
        return found is not None and (found["name"], found["share"], found["mode"]) == (name, share, mode)

    def lists(self, users: list[str] = USERS) -> dict[str, dict]:
        def ask(user: str) -> dict:
            answer = self.client.get("/api/recommendations", params={"user_id": user, "limit": 5})
            assert answer.status_code == 200, answer.text
            return answer.json()

        with ThreadPoolExecutor(4) as pool:
            return dict(zip(users, pool.map(ask, users), strict=True))

    def click(self, lists: list[dict]) -> None:
        """Each list's user clicks on its first item."""
        self.click_each([(one, 0) for one in lists])

    def click_each(self, lists: list[tuple[dict, int]]) -> None:
        """Each list's user clicks on the item at a place."""
        events = [
            {
                "user_id": one["user_id"],
                "item_id": one["items"][place]["item_id"],
                "interaction_type": "click",
                "request_id": one["request_id"],
            }
            for one, place in lists
        ]
        assert self.client.post("/api/interactions", json={"events": events}).status_code == 201

    def stored(self, request_ids: list[str]) -> dict[str, tuple]:
        """Version, experiment, arm, chance, items and teams of shown lists, once they are written."""
        query = (
            "SELECT request_id, model_version, experiment, arm, chance, items, teams FROM recommendation_impressions"
        )

        def rows() -> dict[str, tuple]:
            with sqlite3.connect(self.database) as connection:
                found = {row[0]: row[1:] for row in connection.execute(query)}
            connection.close()
            return {one: found[one] for one in request_ids if one in found}

        self.until(lambda: len(rows()) == len(request_ids))
        return rows()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples with this name and label text."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def report(self, name: str) -> ab_report.AbReportResult:
        return ab_report.run(ab_report.settings_from(["--url", self.url, "--experiment", name, *SMALL]))

    def degraded(self) -> list[str]:
        return self.client.get("/health/ready").json()["degraded"]

    def until(self, condition) -> None:
        self.running.until(condition, seconds=20, pause=0.03)


@pytest.fixture(scope="module")
def live(tmp_path_factory, empty_database, als, popularity) -> Iterator[Live]:
    """One service for all tests of this file."""
    import shutil

    here, home = root(), tmp_path_factory.mktemp("running")
    shutil.copytree(here / "conf", home / "conf")
    shutil.copy(here / "MLproject", home)
    shutil.copy(empty_database, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSTAGE_HOME", str(home))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        config.root.cache_clear()
        connected = tracking.connect()
        folder = (home / "mlruns" / "toy").as_uri()
        driver = RegistryDriver(connected, home, connected.create_experiment("toy", artifact_location=folder))
        for fitted in (als, popularity):
            run_id = driver.train(fitted.name, model=False)
            driver._log_model(run_id, fitted)
            registry.register(run_id)
        registry.set_production("recommender", 1, how="promote", by="test")
        registry.set_staging("recommender", 2, how="stage", by="test")
        settings = {"poll_seconds": 0.1, "bandit_seconds": BANDIT_SECONDS, "exploration": EXPLORATION, **NO_SHEDDING}
        variables = {"MLFLOW_TRACKING_URI": tracking.store_uri()}
        with (
            start_service(home, "service", variables, **settings) as running,
            httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=10) as client,
        ):
            running.serves(1)
            yield Live(running, client, driver, home / "service.db")
    config.root.cache_clear()


def test_explored_lists_carry_propensities_that_off_policy_estimates_use(live):
    live.begin(0, "split", "none")
    shown = [one for _ in range(5) for one in live.lists().values()]
    assert {one["model_version"] for one in shown} == {"1"}
    stored = live.stored([one["request_id"] for one in shown])
    for one in shown:
        told = [item["propensity"] for item in one["items"]]
        assert told == pytest.approx([chance for _, _, chance in json.loads(stored[one["request_id"]][4])])
        assert all(0 < chance < 1 for chance in told)
    live.click(shown[::3])
    production = off_policy.run(off_policy.settings_from(["--url", live.url, "--version", "1"]))
    assert production.lists >= 300
    for one in production.estimates:
        assert one["refused"] == ""
        assert 0 <= one["low"] <= one["value"] <= one["high"]


def test_a_share_changed_in_the_registry_moves_users_without_a_restart(live):
    name = live.begin(0.3)
    first, again = live.lists(), live.lists()
    few = {user for user, one in first.items() if one["model_version"] == "2"}
    assert few == {user for user, one in again.items() if one["model_version"] == "2"}
    assert 5 < len(few) < 35
    live.begin(0.8)
    many = live.lists()
    assert few < {user for user, one in many.items() if one["experiment"]["arm"] == "challenger"}
    stored = live.stored([one["request_id"] for one in many.values()])
    for one in many.values():
        chance = 0.8 if one["experiment"]["arm"] == "challenger" else pytest.approx(0.2)
        about = (one["model_version"], name, one["experiment"]["arm"], chance)
        assert stored[one["request_id"]][:4] == about
    found = live.report(name)
    assert found.left_out["lists of the other arm"] > 0  # users who were moved keep their first group in the figures


def test_the_shadow_scores_what_production_shows(live):
    scored = live.metric('recstage_shadow_lists_total{outcome="scored"}')
    live.begin(1, "shadow", "in the dark")
    shown = live.lists(USERS[:20])
    assert {one["model_version"] for one in shown.values()} == {"1"}
    assert all(one["experiment"] is None for one in shown.values())
    live.until(lambda: live.metric('recstage_shadow_lists_total{outcome="scored"}') >= scored + 20)
    assert live.metric("recstage_shadow_seconds_count") >= 20
    assert live.metric('recstage_shadow_lists_total{outcome="failed"}') == 0


def test_interleaved_lists_are_read_by_whose_item_was_chosen(live):
    name = live.begin(1, "interleave", "one list of two")
    shown = list(live.lists().values())
    stored = live.stored([one["request_id"] for one in shown])
    for one in shown:
        version, experiment_name, arm, chance, items, teams = stored[one["request_id"]]
        assert (version, experiment_name, arm, chance) == ("1", name, "interleaved", 1.0)
        assert [item for item, _, _ in json.loads(items)] == [item["item_id"] for item in one["items"]]
        assert set(json.loads(teams)) == {0, 1}
    live.click_each([(one, json.loads(stored[one["request_id"]][5]).index(1)) for one in shown[::2]])
    found = live.report(name)
    assert (found.verdict, found.rows[0]["metric"]) == ("better", "preference")


def test_the_bandit_learns_while_it_serves_and_logs_the_chance_it_drew_with(live):
    name = live.begin(1, "bandit", "by reward")
    chances = []
    for _ in range(4):
        shown = list(live.lists().values())
        live.click([one for one in shown if one["model_version"] == "2"])
        stored = live.stored([one["request_id"] for one in shown])
        for one in shown:
            _, experiment_name, arm, chance, _, _ = stored[one["request_id"]]
            assert (experiment_name, arm) == (name, one["experiment"]["arm"])
            assert chance == pytest.approx(one["experiment"]["chance"])
            assert one["model_version"] == {"challenger": "2", "production": "1"}[arm]
            chances.append(chance if arm == "challenger" else 1 - chance)
        time.sleep(2 * BANDIT_SECONDS)
    assert chances[0] == 0.5
    assert chances[-1] == pytest.approx(0.95)
    found = live.report(name)
    assert found.verdict in ("better", "undecided")
    assert live.metric(f'recstage_experiment_lists_total{{arm="challenger",experiment="{name}"}}') > 100


def test_feedback_for_a_list_of_a_version_long_gone_is_kept_and_said_to_be_unmatched(live):
    one = live.lists(["u3"])["u3"]
    live.stored([one["request_id"]])
    body = {"request_id": one["request_id"], "outcomes": [{"item_id": one["items"][0]["item_id"], "outcome": "click"}]}
    answer = live.client.post("/api/recommendations/feedback", json=body)
    assert (answer.json()["matched"], answer.json()["stored"]) == (True, 1)
    prune(parse_url(live.url), int(time.time() * 1000) + 60_000)
    answer = live.client.post("/api/recommendations/feedback", json={**body, "user_id": "u3"})
    assert (answer.status_code, answer.json()["matched"]) == (201, False)


@pytest.mark.parametrize(
    ("tag", "value", "told"),
    [
        ("experiment.share", "1.5", "experiment.share = 1.5: a share of users is a number from 0 to 1"),
        ("experiment.mode", "sideways", "experiment.mode = sideways: no such mode of an experiment"),
    ],
)
def test_a_wrong_tag_is_told_in_one_line_and_all_users_get_production(live, tag, value, told):
    live.begin(1)
    mlflow_client.tag_version("recommender", 2, {tag: value})
    live.until(lambda: any(told in line for line in live.degraded()))
    (line,) = [line for line in live.degraded() if told in line]
    assert "\n" not in line
    assert {one["model_version"] for one in live.lists(USERS[:10]).values()} == {"1"}
    mlflow_client.tag_version("recommender", 2, {"experiment.mode": "split"})
    live.begin(1)
    assert {one["model_version"] for one in live.lists(USERS[:10]).values()} == {"2"}


def test_a_challenger_that_becomes_production_or_is_deleted_ends_the_experiment(live):
    name = live.begin(0.5)
    live.lists()
    registry.set_production("recommender", 2, how="promote", by="test")
    live.running.serves(2)
    assert all(one["experiment"] is None for one in live.lists(USERS[:10]).values())
    registry.set_production("recommender", 1, how="rollback", by="test")
    live.running.serves(1)
    registry.set_staging("recommender", 2, how="stage", by="test")
    live.begin(1)
    live.driver.delete(2)
    live.until(lambda: live.lists(["u1"])["u1"]["model_version"] == "1")
    assert live.report(name).challenger == "2"
