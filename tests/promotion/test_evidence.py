"""A challenger on other data than Production: the gate measures Production again, on the challenger's test rows."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from recstage import bundle, config, registry
from recstage.config import SplitConfig
from recstage.data import dataset
from recstage.data.cache import Folder
from recstage.errors import DataError, GateRefused
from recstage.evaluation.protocol import evaluate
from recstage.models.baselines.popularity import Popularity
from recstage.promotion import evidence
from recstage.steps.registry import promote

pytestmark = pytest.mark.slow


@pytest.fixture
def earlier(small_config):
    """The events of `later`, cut in time so that its test rows come after all that training saw."""
    return small_config.model_copy(update={"name": "events", "split": SplitConfig(method="temporal", negatives=0)})


@pytest.fixture
def later(small_config):
    """More events of another world with the same users and items."""
    source = small_config.source.model_copy(update={"seed": 8, "users": 150})
    return small_config.model_copy(update={"name": "events", "source": source})


def trained(registry_driver, config, model=None):
    return registry_driver.train_really(model or Popularity(), config, dataset.load(config))


def test_production_is_tested_on_the_rows_of_the_challenger(registry_driver, earlier, later):
    champion = registry.version_of("recommender", trained(registry_driver, earlier))
    challenger = registry.version_of("recommender", trained(registry_driver, later))
    found = evidence.remeasured(champion, challenger, least=1)
    model = bundle.load(registry.fetch(champion)).model
    test = dataset.load(later).split.test
    expected = evaluate(model, test, config=config.EvaluationConfig(bootstrap=100, latency_requests=0)).per_user
    expected = expected.set_index("user_id")["ndcg_at_10"]
    own = found.per_user.set_index("user_id")["ndcg_at_10"]
    assert own.equals(expected[own.index])
    assert found.label == "version 1 (popularity), measured again on events"


def test_users_whose_test_rows_production_has_learnt_are_left_out(registry_driver, earlier, later):
    champion = registry.version_of("recommender", trained(registry_driver, earlier))
    challenger = registry.version_of("recommender", trained(registry_driver, later))
    trained_on = dataset.load(earlier).split.train_and_validation.to_frame()
    test = dataset.load(later).split.test.to_frame()
    pairs = set(zip(trained_on["user_id"], trained_on["item_id"], strict=True))
    spoilt = {user for user, item in zip(test["user_id"], test["item_id"], strict=True) if (user, item) in pairs}
    left = set(evidence.remeasured(champion, challenger, least=1).per_user["user_id"])
    assert spoilt
    assert not left & spoilt
    assert left | spoilt == set(test["user_id"])


def test_a_production_that_has_learnt_most_test_rows_is_no_evidence(registry_driver, earlier):
    whole = earlier.model_copy(update={"split": SplitConfig(method="leave-one-out", negatives=0)})
    champion = registry.version_of("recommender", trained(registry_driver, earlier))
    challenger = registry.version_of("recommender", trained(registry_driver, whole))
    with pytest.raises(
        DataError, match=r"it was trained on test rows of \d+ of \d+ users: \d+ are left to compare, 1000 are"
    ):
        evidence.remeasured(champion, challenger, least=1000)


def test_the_gate_compares_only_fair_users(registry_driver, earlier, later):
    trained(registry_driver, earlier)
    trained(registry_driver, later)
    champion, challenger = (registry.version_of("recommender", number) for number in (1, 2))
    promote.run(promote.PromoteSettings(version="1"))
    result = promote.run(promote.PromoteSettings(version="2", force=True))
    fair = len(evidence.remeasured(champion, challenger, least=1).per_user)
    assert "of version 1 (popularity), measured again on events: " in result.checks[0]
    assert f"over {fair} users" in result.checks[0]


def test_the_cache_is_evidence_enough_when_the_raw_data_is_gone(registry_driver, earlier, later, monkeypatch):
    champion = registry.version_of("recommender", trained(registry_driver, earlier))
    challenger = registry.version_of("recommender", trained(registry_driver, later))
    monkeypatch.setattr(dataset, "load", lambda *_: pytest.fail("the raw data"))
    assert len(evidence.remeasured(champion, challenger, least=1).per_user)


def test_a_data_set_that_is_gone_refuses_in_one_line(registry_driver, earlier, later, monkeypatch):
    trained(registry_driver, earlier)
    trained(registry_driver, later)
    promote.run(promote.PromoteSettings(version="1"))
    shutil.rmtree(registry_driver.folder / "data")

    def gone(*_):
        raise DataError("/data/events.csv", rule="there is no such file", fix="Give an existing one")

    monkeypatch.setattr(dataset, "load", gone)
    with pytest.raises(
        GateRefused, match=r"data set 'events' of version 2 .* is gone \(/data/events\.csv: there is no such file\)"
    ):
        promote.run(promote.PromoteSettings(version="2"))
    assert registry.production().number == 1


def test_a_data_set_that_changed_since_is_refused(registry_driver, earlier, later, monkeypatch):
    champion = registry.version_of("recommender", trained(registry_driver, earlier))
    challenger = registry.version_of("recommender", trained(registry_driver, later))
    other = dataset.load(earlier)
    shutil.rmtree(Folder(registry_driver.folder / "data", "events", challenger.tags["fingerprint"]).path)
    monkeypatch.setattr(dataset, "load", lambda *_: other)
    with pytest.raises(DataError, match=r"has changed since: its fingerprint was \w{16} and is \w{16}"):
        evidence.remeasured(champion, challenger, least=1)


def test_a_broken_bundle_of_production_is_a_refusal_that_can_be_forced(registry_driver, earlier, later):
    trained(registry_driver, earlier)
    trained(registry_driver, later)
    promote.run(promote.PromoteSettings(version="1"))
    bundle_folder = registry.fetch(registry.version_of("recommender", 1))
    np.savez(bundle_folder / "train.npz", nothing=np.zeros(1))
    with pytest.raises(GateRefused, match=r"train\.npz does not match its SHA-256"):
        promote.run(promote.PromoteSettings(version="2"))
    assert promote.run(promote.PromoteSettings(version="2", force=True)).version == 2
