"""The registry as the record: questions about versions, on a registry made by code."""

from __future__ import annotations

import json
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import pytest

from recstage import bundle, registry, tracking
from recstage.config.steps import (
    DiffSettings,
    ExportSettings,
    ImportSettings,
    LineageSettings,
    ProductionAtSettings,
    TrainedOnSettings,
)
from recstage.data.dataset import Dataset
from recstage.data.snapshots.id_digests import KeyedDigests
from recstage.errors import ConfigError, RegistryError, StoreError
from recstage.models.factorization.als import ALS, ALSParams
from recstage.models.factorization.reverse_als import ReverseALS
from recstage.steps.record import (
    diff,
    export_version,
    import_version,
    lineage,
    production_at,
    registry_health,
    trained_on,
)
from recstage.steps.registry import promotion_history

pytestmark = pytest.mark.slow
NAME = "recommender"


@pytest.fixture
def two(registry_driver, small_config, small_dataset: Dataset):
    """Two fitted versions on the same data: 8 and 12 factors."""
    for factors in (8, 12):
        registry_driver.train_really(ALS(ALSParams(factors=factors, iterations=2)), small_config, small_dataset)
    return registry_driver


def bundle_of(number: int) -> Path:
    return registry.fetch(registry.version_of(NAME, number))


def test_production_at_a_time_says_which_since_when_and_by_whom(registry_driver):
    for algorithm in ("als", "knn"):
        registry_driver.add(algorithm)
    registry.set_production(NAME, 1, how="promote", by="ada", reason="the first")
    time.sleep(0.01)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    registry.set_production(NAME, 2, how="promote", by="bob")
    found = production_at.run(ProductionAtSettings(time=between))
    assert (found.production, found.by, found.how, found.reason) == (1, "ada", "promote", "the first")
    assert production_at.run(ProductionAtSettings()).production == 2
    assert production_at.run(ProductionAtSettings(time="2020-01-01")).production is None
    with pytest.raises(ConfigError, match="--time yesterday: a time is written as ISO 8601"):
        production_at.run(ProductionAtSettings(time="yesterday"))


def test_the_history_tells_staging_beside_production(registry_driver):
    for algorithm in ("als", "knn"):
        registry_driver.add(algorithm)
    registry.set_production(NAME, 1, how="promote", by="ada")
    registry.set_staging(NAME, 2, how="retrain", by="loop")
    found = promotion_history.run(promotion_history.settings_from([]))
    assert (found.production, found.staging) == (1, 2)
    assert [(one.version, one.how) for one in found.staging_changes] == [(2, "retrain")]
    registry.set_production(NAME, 2, how="promote", by="ada")  # which nothing has reconciled yet
    found = promotion_history.run(promotion_history.settings_from([]))
    assert (found.production, found.staging) == (2, None)


def test_the_lineage_of_a_version_names_data_code_parameters_and_what_shares_its_data(two):
    found = lineage.run(LineageSettings(version="2"))
    assert found.parameters["factors"] == 12
    assert found.data["fingerprint"] == "small"
    assert found.data["users"] == 120
    assert "numpy" in found.code["libraries"]
    assert [one.version for one in found.trained] == [1, 2]
    assert lineage.run(LineageSettings(snapshot="small")).trained == found.trained
    with pytest.raises(RegistryError, match="snapshot nothing: no run was trained on it"):
        lineage.run(LineageSettings(snapshot="nothing"))


def test_the_lineage_of_a_version_whose_run_and_bundle_are_gone_says_what_is_missing(two):
    version = registry.version_of(NAME, 1)
    rmtree(bundle_of(1))
    two.client.delete_run(version.run_id)
    found = lineage.run(LineageSettings(version="1"))
    assert found.data["fingerprint"] == "small"
    assert any("bundle" in one for one in found.missing)


def test_trained_on_names_every_version_whichever_way_it_ranks(two, small_config, small_dataset):
    user = str(small_dataset.split.train.users.ids[0])
    item = str(small_dataset.split.train.items.ids[0])
    reverse = ReverseALS(ReverseALS.Params(factors=4, iterations=1))
    reverse.fit(small_dataset.split.transposed().train)
    folder = two.folder / "reverse"
    bundle.save(reverse, folder)
    assert user in bundle.user_ids_of(folder).tolist()
    assert item not in bundle.user_ids_of(folder).tolist()
    found = trained_on.run(TrainedOnSettings(user=user))
    assert found.versions == ["recommender/1 (None)", "recommender/2 (None)"]
    assert found.answer == f"user '{user}' is in 2 of 2 registered versions and no other runs"
    unknown = trained_on.run(TrainedOnSettings(user="zoe"))
    assert unknown.versions == []
    assert unknown.answer == "user 'zoe' is in none of 2 registered versions and no other runs"


def test_where_a_bundle_is_gone_the_digests_of_its_run_say_it(two, monkeypatch, tmp_path):
    keyed = KeyedDigests(b"the key of a database")
    digests = tmp_path / "users.digests"
    digests.write_bytes(keyed.packed(["ann", "bob"]))
    run_id = registry.version_of(NAME, 1).run_id
    two.client.log_artifact(run_id, str(digests), "snapshot")
    two.client.set_tag(run_id, "snapshot", "abc")
    rmtree(bundle_of(1))
    monkeypatch.setattr(trained_on, "_keyed", lambda: (keyed, ""))
    found = trained_on.run(TrainedOnSettings(user="ann"))
    assert (found.versions, found.snapshots, found.complete) == (["recommender/1 (None)"], ["abc"], True)
    assert trained_on.run(TrainedOnSettings(user="eve")).versions == []
    monkeypatch.setattr(trained_on, "_keyed", lambda: (None, "it is away"))
    found = trained_on.run(TrainedOnSettings(user="ann"))
    assert not found.complete
    assert found.unread == ["recommender/1: neither its bundle nor digests can be read"]
    assert found.answer.endswith("in none of 2 registered versions and no other runs, as far as they can be read")


def test_two_versions_side_by_side(two):
    found = diff.run(DiffSettings(first="1", second="2", users=3, items=4))
    assert found.comparable
    assert found.parameters == {"factors": (8, 12)}
    first, second, difference = found.metrics["ndcg_at_10"]
    assert difference == pytest.approx(second - first)
    assert len(found.lists) == 3
    assert all(len(one.first) == len(one.second) == 4 for one in found.lists)
    text = Path(two.client.download_artifacts(found.run_id, "diff.html")).read_text()
    assert "<th>factors<td>8<td>12" in text.replace("\n", "")
    with pytest.raises(ConfigError, match="two versions are compared"):
        diff.run(DiffSettings(first="1", second="1"))


def test_a_version_goes_through_a_file_into_another_registered_model(two, tmp_path):
    file = tmp_path / "v1.zip"
    done = export_version.run(ExportSettings(version="1", file=str(file)))
    with pytest.raises(StoreError, match="is there already"):
        export_version.run(ExportSettings(version="1", file=str(file)))
    made = import_version.run(ImportSettings(file=str(file), name="shop"))
    assert (made.version, made.again, made.sha256) == (1, False, done.sha256)
    assert import_version.run(ImportSettings(file=str(file), name="shop")).again
    old, new = registry.version_of(NAME, 1), registry.version_of("shop", 1)
    assert bundle.digest_of(registry.fetch(old)) == bundle.digest_of(registry.fetch(new))
    assert new.tags["fingerprint"] == "small"
    assert registry.figures(old).items() <= registry.figures(new).items()
    assert tracking.per_user_of(new.run_id).equals(tracking.per_user_of(old.run_id))
    assert lineage.of_version(new).parents["imported from"] == "recommender version 1, v1.zip"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("content", "bundle/train.npz does not match its SHA-256"),
        ("outside", "it lists ../x, which lies outside it"),
        ("format", "its format is 9, 1 is read here"),
        ("text", "File is not a zip file"),
    ],
)
def test_a_file_that_was_changed_is_refused_in_one_line(two, tmp_path, change, why):
    file, other = tmp_path / "v1.zip", tmp_path / "changed.zip"
    export_version.run(ExportSettings(version="1", file=str(file)))
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w") as new:
        about = json.loads(old.read("version.json"))
        about["format"] = 9 if change == "format" else 1
        about["files"] |= {"../x": "0"} if change == "outside" else {}
        new.writestr("../x", b"x")
        new.writestr("version.json", json.dumps(about))
        for name in [one for one in old.namelist() if one != "version.json"]:
            new.writestr(name, b"no" if change == "content" and name == "bundle/train.npz" else old.read(name))
    if change == "text":
        other.write_text("hello")
    with pytest.raises(RegistryError) as caught:
        import_version.run(ImportSettings(file=str(other)))
    assert why in str(caught.value)
    assert not (tmp_path.parent / "x").exists()


def test_a_stage_and_an_alias_that_drifted_apart_are_found_and_mended(registry_driver):
    for algorithm in ("als", "knn"):
        registry_driver.add(algorithm)
    registry.set_production(NAME, 1, how="promote", by="ada")
    registry_driver.alias(2)
    ok, says, _ = next(iter(registry_health.drift(NAME, fix=False)))
    assert not ok
    assert says == "recommender: in stage Production: 1; alias production: 2; recorded: 1"
    ok, says, _ = next(iter(registry_health.drift(NAME, fix=True)))
    assert ok
    assert "corrected, Production is version 2" in says
    assert all(ok for ok, _, _ in registry_health.drift(NAME, fix=False))


def test_a_production_without_artifacts_is_found_and_rolled_back(two):
    registry.set_production(NAME, 1, how="promote", by="ada")
    registry.set_production(NAME, 2, how="promote", by="ada")
    rmtree(bundle_of(2))
    ((ok, says, _),) = registry_health.artifacts(NAME, fix=False)
    assert not ok
    assert "recommender version 2" in says
    ((ok, says, _),) = registry_health.artifacts(NAME, fix=True)
    assert ok
    assert "version 1 is Production again" in says
    assert registry.production(NAME).number == 1
    assert registry.version_of(NAME, 2).tags["artifacts"].startswith("missing")
    assert registry.history(NAME)[-1].by == "recstage doctor"
