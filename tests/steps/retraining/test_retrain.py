"""Retraining: when it is due, what it leaves behind, and what goes wrong in it."""

from __future__ import annotations

import json

import pytest

from recstage import registry, tracking
from recstage.errors import ConfigError, StoreError, TooLittleData
from recstage.registry import mlflow_client
from recstage.steps import notification, train
from recstage.steps.retraining import challengers, retrain
from recstage.tracking import journal

pytestmark = pytest.mark.slow


@pytest.mark.integration
def test_the_whole_of_it_with_models_that_are_fitted(settings_of):
    looked = retrain.run(settings_of("--dry_run", "true"))
    assert looked.due
    assert "nothing was trained on this data yet" in looked.outcome
    assert not registry.exists("recommender")
    done = retrain.run(settings_of("--retraining.challengers", '["als", "popularity"]'))
    assert set(done.versions) == {"als", "popularity"}
    assert done.staging["recommender"] == registry.staging().number
    again = retrain.run(settings_of("--retraining.challengers", '["als", "popularity"]'))
    assert not again.due
    assert again.outcome == "nothing to do: no trigger fired"
    assert len(registry.versions()) == 2
    # Production is what Staging was; the next als begins where the last one ended
    registry.set_production("recommender", done.versions["als"], how="promote", by="ada")
    third = retrain.run(settings_of("--now", "true", "--retraining.challengers", '["als"]'))
    run_id = registry.version_of("recommender", third.versions["als"]).run_id
    assert tracking.connect().get_run(run_id).data.params["warm_start"] == f"recommender/{done.versions['als']}"
    assert "refused" in third.verdicts["als"] or "passed" in third.verdicts["als"]
    assert registry.production().number == done.versions["als"]


def test_the_winner_is_staged_and_nothing_is_promoted(untrained, settings_of):
    untrained.register("als", mean=0.1, data="tiny")
    registry.set_production("recommender", 1, how="promote", by="ada")
    done = retrain.run(settings_of("--now", "true"))
    assert done.success_rate == 1.0
    assert registry.production().number == 1
    changes = registry.history("recommender", "staging/")
    assert (
        [(one.version, one.how) for one in changes] == [(done.staging["recommender"], "retrain")] if changes else True
    )


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(untrained, settings_of):
    found = retrain.run(settings_of("--dry_run", "true"))
    assert found.steps == [
        "take a snapshot and prepare it",
        "train knn, popularity",
        "register them as versions of recommender, judge them against popularity: nothing is Production",
        "stage the best of recommender that passes the gate as Staging",
    ]
    assert journal.past("recommender") == []


def test_a_second_retraining_at_once_is_refused_in_one_line(untrained, settings_of):
    with (
        mlflow_client.work_lock("recommender", "retraining"),
        pytest.raises(StoreError, match="retraining of recommender: another process is at it"),
    ):
        retrain.run(settings_of())
    assert journal.past("recommender") == []


def test_a_challenger_that_fails_to_train_does_not_keep_the_others_from_it(untrained, settings_of, monkeypatch):
    real = retrain.train.run

    def failing(settings, **more):
        if settings.model.name == "knn":
            raise TooLittleData("3 interactions", rule="knn needs at least 10", fix="Give more data")
        return real(settings, **more)

    monkeypatch.setattr(retrain.train, "run", failing)
    done = retrain.run(settings_of())
    assert set(done.versions) == {"popularity"}
    assert done.failed == {"knn": "3 interactions: knn needs at least 10. Give more data."}


def test_where_no_challenger_can_be_trained_somebody_is_told(untrained, settings_of, workspace, monkeypatch):
    def failing(settings, **more):
        raise ConfigError("factors", rule="no", fix="Correct it")

    monkeypatch.setattr(retrain.train, "run", failing)
    told, metrics = workspace / "told.json", workspace / "recstage.prom"
    words = ["--retraining.notify.command", f"tee {told}", "--retraining.notify.metrics_file", str(metrics)]
    with pytest.raises(ConfigError, match="factors: no"):
        retrain.run(settings_of(*words))
    assert json.loads(told.read_text()) == {
        "event": "retraining failed",
        "name": "recommender",
        "error": "factors: no. Correct it.",
    }
    assert 'recstage_pipeline_success_rate{name="recommender"} 0.0' in metrics.read_text()
    assert journal.past("recommender")[0].state == "failed"
    monkeypatch.setattr(retrain.train, "run", train.run)


def test_a_webhook_or_command_that_fails_is_logged_and_hides_nothing(settings_of, caplog):
    config = settings_of().retraining.notify.model_copy(
        update={"webhook": "http://127.0.0.1:9/none", "command": "/no/such/program"}
    )
    assert len(notification.notify(config.webhook, config.command, {"event": "x"})) == 2
    assert "x could not be told: webhook http://127.0.0.1:9/none" in caplog.text


def test_an_empty_service_is_one_line(untrained, settings_of, workspace, monkeypatch):
    from serving.store.admin import migrate
    from serving.store.db.connection import parse_url

    migrate.upgrade(parse_url(f"sqlite:///{workspace}/service.db"))
    monkeypatch.setenv("RECSTAGE_SERVING_DATABASE_URL", f"sqlite:///{workspace}/service.db")
    with pytest.raises(Exception, match="service: no rows: a data set needs at least one good row"):
        retrain.run(settings_of("--retraining.data", "service"))


def test_a_service_database_that_is_away_is_one_line(untrained, settings_of, workspace, monkeypatch):
    monkeypatch.setenv("RECSTAGE_SERVING_DATABASE_URL", f"sqlite:///{workspace}/none.db")
    with pytest.raises(StoreError, match="none.db: the service's database cannot be read"):
        retrain.run(settings_of("--retraining.data", "service"))


def test_a_production_that_was_trained_on_the_test_window_is_not_compared(untrained, settings_of, monkeypatch):
    """Where hardly anything happened since, the comparison is refused, and nothing is staged."""
    untrained.register("als", mean=0.1, data="tiny")
    registry.set_production("recommender", 1, how="promote", by="ada")
    config = challengers.data_of(settings_of(), None)
    _, data = challengers.fresh(config, {})
    late = int(sorted(data.split.test.timestamp)[-3])
    monkeypatch.setattr(challengers, "trained_until", lambda version: late)
    monkeypatch.setattr(retrain.promote, "other_data", lambda *given: "")
    done = retrain.run(settings_of("--now", "true"))
    assert all("users have test rows since Production was trained" in one for one in done.verdicts.values())
    assert done.staging == {"recommender": None}
    assert "it has seen what it would be tested on" in challengers.spoilt(data, {"recommender": late}, 1)


def test_an_unknown_challenger_is_refused_with_the_names_there_are(settings_of):
    with pytest.raises(ConfigError, match=r"model 'alz': conf/model has no such file\. Did you mean 'als'"):
        retrain.run(settings_of("--retraining.challengers", '["alz"]'))


def test_the_other_direction_has_triggers_challengers_and_a_journal_of_its_own(untrained, settings_of, workspace):
    metrics = workspace / "recstage.prom"
    words = ["--retraining.notify.metrics_file", str(metrics)]
    forward = retrain.run(settings_of(*words))
    reverse = retrain.run(settings_of("--direction", "reverse", *words))
    assert (reverse.name, set(reverse.versions)) == ("recommender-reverse", {"reverse-als"})
    assert set(reverse.staging) == {"recommender-reverse"}
    assert set(forward.staging) == {"recommender"}
    for direction in ("forward", "reverse"):
        assert not retrain.run(settings_of("--direction", direction, "--dry_run", "true")).due
    text = metrics.read_text()
    for name in ("recommender", "recommender-reverse"):
        assert f'recstage_pipeline_success_rate{{name="{name}"}} 1.0' in text


def test_the_other_direction_is_refused_where_it_is_not_configured(settings_of):
    with pytest.raises(ConfigError, match="no section `reverse`"):
        settings_of("--direction", "reverse", "--retraining.reverse", "null")


def test_after_a_retraining_the_last_few_of_each_algorithm_are_left(untrained, settings_of):
    for _ in range(3):
        untrained.register("popularity", mean=0.1, data="tiny")
    registry.set_production("recommender", 1, how="promote", by="ada")
    words = ["--now", "true", "--promotion.keep", "1", "--retraining.challengers", '["popularity"]']
    assert retrain.run(settings_of(*words, "--retraining.prune", "true")).versions == {"popularity": 4}
    assert {one.number for one in registry.versions("recommender")} == {1, 4}
