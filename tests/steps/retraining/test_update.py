"""An update between two retrainings: a new version with what happened since, judged, staged, and traced."""

from __future__ import annotations

import numpy as np
import pytest

from recstage import bundle, registry
from recstage.config.steps import UpdateSettings
from recstage.errors import ConfigError, RegistryError, StoreError
from recstage.registry import mlflow_client
from recstage.steps import train
from recstage.steps.record import lineage
from recstage.steps.retraining import plan, update

pytestmark = pytest.mark.slow
RELAXED = ["--promotion.require_gain", "false", "--promotion.margin", "1", "--promotion.guardrails.segment_loss", "1"]


@pytest.fixture
def trained(settings_of, tiny):
    """A version of a model on the first of the tiny events, as Production; returns settings of its update."""

    def put(model: str, *words: str) -> None:
        more = ["--data.split.method", "temporal", *words]
        done = train.run(train.settings_from(model, tiny, more, {"register": True}))
        registry.set_production("recommender", done.version, how="promote", by="ada")

    return put


def settings(*words: str) -> UpdateSettings:
    return update.settings_from(["--least_test_users", "5", *RELAXED, *words])


def test_what_happened_since_becomes_a_version_in_staging_with_its_lineage(trained):
    trained("als", "--model.params.factors", "8")
    found = update.run(settings())
    assert found.rows > 0
    assert found.verdict.startswith("passed"), found
    staged = registry.staging("recommender")
    assert (staged.number, staged.tags["updated_from"]) == (found.version, "recommender/1")
    assert int(staged.tags["updated_rows"]) == found.rows
    before, after = (bundle.load(registry.fetch(registry.version_of("recommender", n))) for n in (1, found.version))
    assert after.manifest.trained_until > before.manifest.trained_until
    assert after.model.params == before.model.params
    assert not np.array_equal(after.model.user_factors_, before.model.user_factors_)
    parents = lineage.of_version(staged).parents
    assert parents["updated from"]["version"] == "recommender/1"
    assert parents["updated from"]["new rows"] == found.rows
    assert registry.production("recommender").number == 1


def test_the_test_window_is_the_newest_of_what_production_has_not_seen(trained):
    trained("popularity")
    version = registry.production("recommender")
    until = bundle.read_manifest(registry.fetch(version)).trained_until
    _, data = update.later_data(update.data_of(version, "same"), until, 0.5)
    since = np.sort(np.concatenate([part.timestamp for part in (data.split.train, data.split.validation)]))
    assert (since > until).any()
    assert data.split.test.timestamp.min() > since.max()


def test_where_nothing_happened_nothing_is_made(trained):
    trained("popularity")
    first = update.run(settings("--test_share", "0.01"))
    registry.set_production("recommender", first.version, how="promote", by="ada")
    version = registry.production("recommender")
    until = bundle.read_manifest(registry.fetch(version)).trained_until
    config = update.data_of(version, "same")
    assert update.later_data(config, until + 10**9, 0.2) is None


def test_an_update_does_not_count_as_a_training_for_the_schedule(trained, settings_of):
    trained("popularity")
    made_at = registry.version_of("recommender", 1).created_at
    update.run(settings())
    assert plan._last_training(settings_of(), [])[0] == made_at


def test_too_few_test_users_are_told_and_nothing_is_staged(trained):
    trained("popularity")
    found = update.run(settings("--least_test_users", "5000"))
    assert "users have test rows since Production was trained, 5000 are needed" in found.verdict
    assert registry.staging("recommender") is None
    assert found.outcome.endswith("it was not staged")


def test_a_version_that_is_not_there_and_a_second_update_at_once_are_one_line(trained):
    trained("popularity")
    with pytest.raises(RegistryError, match="77"):
        update.run(settings("--version", "77"))
    with mlflow_client.work_lock("recommender", "update"), pytest.raises(StoreError, match="another process is at it"):
        update.run(settings())


def test_a_model_that_cannot_be_updated_says_so_and_leaves_no_version(trained, monkeypatch):
    trained("popularity")
    monkeypatch.setattr("recstage.models.baselines.popularity.Popularity.quick_fit", False)
    with pytest.raises(ConfigError, match="an update of popularity.*Train it again"):
        update.run(settings())
    assert len(registry.versions("recommender")) == 1
