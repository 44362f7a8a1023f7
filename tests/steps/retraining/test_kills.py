"""A retraining that is killed at any of its writes leaves one Production, and the next one finishes it."""

from __future__ import annotations

import pytest

from experiments.benchmarks.faults.retraining import kill_once
from recstage import registry
from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.errors import StoreError
from recstage.models.baselines.popularity import Popularity
from recstage.registry import mlflow_client
from recstage.steps.registry import promote
from recstage.steps.retraining import retrain
from recstage.tracking import journal
from recstage.tracking.journal import Journal

pytestmark = pytest.mark.integration

WRITES = [
    (Journal, "put"),
    (Journal, "close"),
    (retrain.registry, "register"),
    (mlflow_client, "stage"),
    (mlflow_client, "point_alias"),
    (mlflow_client, "tag_model"),
    (mlflow_client, "tag_version"),
    (retrain.train, "run"),
]


class Countdown:
    """Raises at the n-th write, before or after it is done, and at every one after it."""

    def __init__(self, n: int, error: BaseException, *, after: bool) -> None:
        self.left, self.error, self.after, self.seen = n, error, after, 0

    def around(self, real):
        def write(*given, **named):
            self.seen += 1
            if self.seen > self.left or (self.seen == self.left and not self.after):
                raise self.error
            result = real(*given, **named)
            if self.seen == self.left and self.after:
                raise self.error
            return result

        return write


@pytest.fixture
def looped(untrained, settings_of, monkeypatch):
    """A registry with Production, and a retraining of it that is due."""
    untrained.register("als", mean=0.1, data="tiny")
    registry.set_production("recommender", 1, how="promote", by="ada")
    monkeypatch.setattr(promote, "other_data", lambda *given: "")
    monkeypatch.setattr(
        promote.evidence, "remeasured", lambda version, like, least: promote.evidence.of_version(version)
    )
    return settings_of("--now", "true")


def interrupted(monkeypatch, countdown, settings):
    with monkeypatch.context() as patch:
        for place, name in WRITES:
            patch.setattr(place, name, countdown.around(getattr(place, name)))
        retrain.run(settings)


def check_finished(result, versions: int = 3) -> None:
    assert registry.production().number == 1
    assert [one.version for one in registry.history()] == [1]
    assert registry.staging().number == result.versions["knn"] == result.staging["recommender"]
    assert len({one.run_id for one in registry.versions()}) == len(registry.versions()) == versions


def test_without_a_kill_it_stages_the_better_of_both(looped):
    check_finished(retrain.run(looped))


def test_a_kill_before_any_write_is_finished_by_the_next_one(looped, monkeypatch, settings_of):
    """One retraining after the other, each killed one write later than the one before."""
    n = 0
    while True:
        n += 1
        settings = settings_of("--now", "true", "--seed", str(n), "--retraining.challengers", '["knn"]')
        try:
            interrupted(monkeypatch, Countdown(n, KeyboardInterrupt(), after=False), settings)
        except KeyboardInterrupt:
            assert registry.production().number == 1
            assert [one.state for one in journal.past("recommender")].count("open") <= 1
        else:
            break
        result = retrain.run(settings)
        check_finished(result, versions=n + 1)
    assert n > 10


def test_one_that_is_killed_again_and_again_still_comes_to_its_end(looped, monkeypatch):
    kills = 0
    while kills < 20:
        try:
            interrupted(monkeypatch, Countdown(12, KeyboardInterrupt(), after=True), looped)
        except KeyboardInterrupt:
            kills += 1
            continue
        break
    assert kills >= 1
    assert registry.reconcile_staging("recommender").version.algorithm == "knn"
    assert len(registry.versions()) == 3


def test_a_store_that_goes_away_in_the_middle_is_one_line_and_is_gone_on_with(looped, monkeypatch):
    away = StoreError("http://127.0.0.1:5000", rule="the registry does not answer", fix="Try again when it is back")
    with pytest.raises(StoreError, match="does not answer"):
        interrupted(monkeypatch, Countdown(12, away, after=False), looped)
    assert journal.past("recommender")[0].state == "open"
    plain = looped.model_copy(update={"now": False})
    check_finished(retrain.run(plain))  # no trigger needed: it was begun
    newest, before = journal.past("recommender")[:2]
    assert (newest.state, before.state) == ("done", "abandoned")


def test_an_interrupted_one_of_other_settings_is_not_gone_on_with(looped, monkeypatch, settings_of):
    with pytest.raises(KeyboardInterrupt):
        interrupted(monkeypatch, Countdown(8, KeyboardInterrupt(), after=False), looped)
    done = retrain.run(settings_of("--now", "true", "--retraining.challengers", '["knn"]'))
    assert set(done.versions) == {"knn"}


def test_a_program_that_is_killed_by_the_system_is_finished_by_the_next_one(
    workspace, settings_of, registry_driver, tiny
):
    config = check(DataConfig, dataset.config_of(tiny), tiny)
    registry_driver.train_really(Popularity(), config, dataset.load(config))
    registry.set_production("recommender", 1, how="promote", by="ada")
    assert kill_once(workspace, "trained.knn", ["--now", "true"])
    (open_one,) = journal.past("recommender")
    assert open_one.state == "open"
    assert registry.production().number == 1
    result = retrain.run(settings_of())  # no trigger needed: it was begun
    assert registry.production().number == 1
    assert set(result.versions) == {"knn", "popularity"}
    assert registry.version_of("recommender", result.versions["knn"]).run_id == open_one.entries["trained.knn"]
    assert len(registry.versions()) == 3
