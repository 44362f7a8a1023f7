"""Drift between the training snapshot of a version and what the service sees now: the features, and the page."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from recstage import registry, tracking
from recstage.config import DataConfig, ServiceSource, SyntheticSource
from recstage.data import dataset
from recstage.data.snapshots import extraction
from recstage.errors import DataError
from recstage.models.baselines.popularity import Popularity
from recstage.registry import mlflow_client
from recstage.steps.experiments import drift
from serving.store.admin import synthetic
from serving.store.db.connection import parse_url

SMALL = SyntheticSource(users=200, items=60, interactions=1500, profile="advice", seed=3)
WEIGHTS = {"view": 0.1, "click": 0.4, "save": 0.8, "implement": 1.0}


@pytest.fixture
def trained(live, registry_driver):
    """Version 1 in Production, trained on a snapshot of a service's 1,500 events."""
    synthetic.generate(parse_url(live.url), SMALL, days=5)
    config = dataset.located(DataConfig(name="service", source=ServiceSource(url=live.url), weights=WEIGHTS))
    number = registry_driver.train_really(Popularity(), config, dataset.load(config))
    tags = {tracking.SNAPSHOT_TAG: extraction.about(Path(config.source.path)).digest}
    mlflow_client.tag_version("recommender", number, tags)
    registry.set_production("recommender", number, how="promote", by="test")
    return config


def report(live, *words):
    return drift.run(drift.settings_from(["--url", live.url, *words]))


def test_other_users_with_other_tastes_are_a_shift_and_the_page_says_which(live, trained):
    synthetic.generate(parse_url(live.url), SMALL.model_copy(update={"seed": 9}), days=1)
    users = tuple(f"u{number:05d}" for number in range(50))
    live.show(1, 300, 2, 0.1, items=("i00001", "i00002"), user_ids=users)
    found = report(live)
    rows = {row["feature"]: row for row in found.rows}
    assert (found.version, rows["interaction types"]["verdict"]) == (1, "alike")
    assert "items chosen, by popularity" in found.shifted
    assert "items shown, by popularity" in found.shifted
    assert rows["score of the first item"]["rows_now"] > 300
    page = mlflow.artifacts.load_text(f"runs:/{found.run_id}/{drift.PAGE}")
    assert "band 1" in page
    assert found.snapshot in page
    assert all(feature in page for feature in rows)
    assert mlflow.get_run(found.run_id).data.metrics["drift_shifted"] == len(found.shifted)


def test_without_anything_new_nothing_is_said(live, trained):
    found = report(live)
    assert found.shifted == []
    assert {row["verdict"] for row in found.rows} == {"unknown"}


def test_a_version_whose_snapshot_is_gone_or_never_was_is_one_line(live, trained, registry_driver):
    mlflow_client.tag_version("recommender", 1, {tracking.SNAPSHOT_TAG: "0123456789abcdef"})
    with pytest.raises(DataError, match="its snapshot 0123456789abcdef is not there any more"):
        report(live)
    other = registry_driver.register(data="toy")
    with pytest.raises(DataError, match="it was trained on toy, which is no snapshot of the service"):
        report(live, "--version", str(other))


def test_bands_hold_equal_shares_of_the_events_and_what_is_new_has_its_own():
    counts = pd.Series(np.full(20, 10), index=[f"i{number}" for number in range(20)])
    band_of = drift.bands(counts)
    assert sorted(set(band_of.values())) == sorted(f"band {number}" for number in range(1, 11))
    assert drift._banded(["i0", "other"], band_of) == {"band 1": 1, drift.NEW: 1}
