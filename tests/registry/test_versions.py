"""Versions made from runs, found, fetched."""

from __future__ import annotations

import errno
import os

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from recstage import registry
from recstage.errors import NoProduction, RegistryError, StoreError

pytestmark = pytest.mark.slow


def test_a_registered_version_carries_what_its_run_says(registry_driver):
    run_id = registry_driver.train(
        "knn", data="ml-100k", split="temporal", fingerprint="abc", metrics={"ndcg_at_10": 0.123456789}
    )
    version = registry.register(run_id)
    assert (version.name, version.number, version.run_id, version.stage) == ("recommender", 1, run_id, "None")
    assert version.algorithm == "knn"
    assert version.group == ("ml-100k", "temporal", "abc")
    assert version.tags["ndcg_at_10"] == "0.123457"
    assert version.tags["bundle_bytes"] == "1.5e+06"


def test_run_id_runs_uri_and_model_uri_name_the_same_model_which_is_registered_once(registry_driver, capfd):
    run_id = registry_driver.train()
    first = registry.register(run_id)
    assert registry.register(f"runs:/{run_id}/model") == first
    assert registry.register(first.tags["model_uri"]) == first
    assert len(registry.versions()) == 1
    assert registry.register(run_id, "recommender-reverse").number == 1
    assert capfd.readouterr().out == ""


def test_versions_are_listed_newest_first(registry_driver):
    for algorithm in ("als", "knn", "ncf"):
        registry_driver.register(algorithm)
    assert [(one.number, one.algorithm) for one in registry.versions()] == [(3, "ncf"), (2, "knn"), (1, "als")]


@pytest.mark.parametrize("given", [7, "7", "seven"])
def test_a_version_that_does_not_exist_is_refused_with_those_that_do(registry_driver, given):
    registry_driver.add()
    registry_driver.add()
    with pytest.raises(
        RegistryError, match=rf"version {given} of recommender: there is no such version\. There are 1, 2"
    ):
        registry.version_of("recommender", given)


def test_many_versions_are_named_by_their_spans(registry_driver):
    for _ in range(6):
        registry_driver.add()
    registry_driver.delete(4)
    with pytest.raises(RegistryError, match=r"There are 1 to 3, 5, 6"):
        registry.version_of("recommender", 4)


def test_production_is_a_version_by_that_word(registry_driver):
    registry_driver.add()
    with pytest.raises(NoProduction):
        registry.version_of("recommender", "Production")
    registry.set_production("recommender", 1, how="promote", by="ada")
    assert registry.version_of("recommender", "Production").number == 1


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("0" * 32, "there is no such run"),
        ("not a run", "there is no such run"),
        ("runs:/" + "0" * 32 + "/model", "there is no such run"),
        ("models:/m-" + "0" * 32, "there is no such logged model"),
    ],
)
def test_what_names_no_model_is_refused(registry_driver, given, rule):
    with pytest.raises(RegistryError, match=rf"'{given}': {rule}\. Give the id of a training run"):
        registry.register(given)


def test_a_run_without_a_model_is_refused(registry_driver):
    run_id = registry_driver.train(model=False)
    with pytest.raises(RegistryError, match="the run has logged no model named 'model'"):
        registry.register(run_id)


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_did_not_finish_is_refused(registry_driver, status):
    run_id = registry_driver.train(status=status)
    with pytest.raises(RegistryError, match=f"run {run_id}: a run that ended {status} has no model to register"):
        registry.register(run_id)


def test_a_run_of_something_else_is_refused(registry_driver):
    run_id = registry_driver.train()
    registry_driver.client.delete_tag(run_id, "fingerprint")
    with pytest.raises(RegistryError, match="a training run has the tags model, data, split, fingerprint, this one"):
        registry.register(run_id)


def test_a_run_may_register_itself_before_it_ends(registry_driver):
    run_id = registry_driver.train(status="RUNNING")
    registry_driver.client.log_batch(run_id, metrics=[Metric("ndcg_at_10", 0.5, 0, 0)])
    assert registry.register(run_id).tags["ndcg_at_10"] == "0.5"


def test_a_bundle_is_fetched_in_place_or_as_a_copy(registry_driver, tmp_path):
    version = registry.version_of("recommender", registry_driver.register())
    assert (registry.fetch(version) / "manifest.json").is_file()
    copy = registry.fetch(version, tmp_path / "copies")
    assert (copy / "manifest.json").is_file()
    assert copy.is_relative_to(tmp_path / "copies")


def test_a_bundle_whose_artifacts_are_gone_is_refused(registry_driver):
    version = registry.version_of("recommender", registry_driver.register())
    (registry_driver.folder / "mlruns").rename(registry_driver.folder / "moved")
    with pytest.raises(RegistryError, match=r"version 1 of recommender \(als\): its bundle cannot be fetched"):
        registry.fetch(version)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), id="system"),
        pytest.param(MlflowException(f"Error: {os.strerror(errno.ENOSPC)}: 'state.npz'"), id="wrapped"),
    ],
)
def test_a_copy_that_has_no_room_is_told_as_that_and_not_as_a_full_registry(
    registry_driver, tmp_path, monkeypatch, failure
):
    version = registry.version_of("recommender", registry_driver.register())

    def full(**_):
        raise failure

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", full)
    with pytest.raises(StoreError, match="the copy of its bundle: the disk is full"):
        registry.fetch(version, tmp_path / "copies")
