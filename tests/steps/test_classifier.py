"""The item classifier from a file to Production, and back."""

import json

import pytest

from recstage import registry
from recstage.config.steps import RollbackSettings
from recstage.errors import GateRefused
from recstage.steps.classification import train
from recstage.steps.registry import promote, rollback
from tests.classifier.small_texts import samples

NAME = "item-classifier"


@pytest.mark.integration
def test_a_classifier_is_trained_registered_promoted_and_rolled_back(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    file = tmp_path / "topics.jsonl"
    rows = [{"text": one.text, "taxonomy_codes": list(one.codes)} for one in samples(240)]
    file.write_text("\n".join(map(json.dumps, rows)))
    given = ["--data", str(file), "--min_samples", "5", "--register", "true", "--classifier.linear.char_ngrams", "0"]
    first = train.run(train.settings_from(given))
    assert first.version == 1
    assert first.metrics["mean_average_precision"] > 0.95
    assert promote.run(promote.settings_from(["--name", NAME])).gate == "passed"
    again = train.run(train.settings_from([*given, "--classifier.linear.C", "0.6"]))
    with pytest.raises(GateRefused, match="no significant gain"):
        promote.run(promote.settings_from(["--name", NAME, "--version", str(again.version)]))
    forced = promote.run(
        promote.settings_from(["--name", NAME, "--version", "2", "--force", "true", "--reason", "test"])
    )
    assert (forced.version, forced.previous) == (2, 1)
    assert rollback.run(RollbackSettings(name=NAME)).version == 1
    assert registry.production(NAME).number == 1
