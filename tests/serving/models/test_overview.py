"""The copy of the registry: versions with their figures and the gate's verdict, and the changes of Production."""

from __future__ import annotations

from recstage import registry
from serving.models.overview import reader
from serving.models.overview.copy import FILE, RegistryCopy, read_copy
from serving.models.overview.reader import CopyWriter
from serving.models.repository import BundleRepository


def test_it_holds_versions_figures_verdicts_and_changes(registry_driver, tmp_path):
    repository = BundleRepository(tmp_path, registry_driver.name)
    repository.prepare()
    writer = CopyWriter(repository, clock=lambda: 0.0)
    writer.refresh()
    assert read_copy(repository) is None  # nothing is registered

    first, second = registry_driver.register("popularity"), registry_driver.register("als", mean=0.5)
    for number, why in ((first, "the first"), (second, "better")):
        registry.set_production(registry_driver.name, number, how="promote", by="alex", reason=why)
    registry_driver.client.set_model_version_tag(registry_driver.name, str(first), "gate_reasons", "a; b")
    registry_driver.client.set_model_version_tag(registry_driver.name, str(first), "experiment.share", "0.1")
    writer.refresh()
    assert read_copy(repository) is None  # ten seconds have not passed
    writer.refresh(at_once=True)
    found = read_copy(repository)
    assert isinstance(found, RegistryCopy)
    assert [(row.version, row.stage, row.algorithm) for row in found.versions] == [
        ("2", "Production", "als"),
        ("1", "Archived", "popularity"),
    ]
    assert found.versions[0].figures["ndcg_at_10"] > found.versions[1].figures["ndcg_at_10"]
    assert (found.versions[1].gate_reasons, found.versions[1].experiment) == ("a; b", {"experiment.share": "0.1"})
    assert [(row.version, row.previous, row.by, row.reason) for row in found.changes] == [
        ("2", "1", "alex", "better"),
        ("1", None, "alex", "the first"),
    ]


def test_a_registry_that_cannot_be_read_keeps_the_last_copy_and_stops_nothing(registry_driver, tmp_path, monkeypatch):
    repository = BundleRepository(tmp_path, registry_driver.name)
    repository.prepare()
    registry_driver.add()
    writer = CopyWriter(repository)
    writer.refresh()
    before = read_copy(repository)

    def fail(name: str) -> RegistryCopy:
        raise RuntimeError("a library's own error")

    monkeypatch.setattr(reader, "read_registry", fail)
    writer.refresh(at_once=True)
    assert read_copy(repository) == before
    repository.folder.joinpath(FILE).write_text('{"at": 1, "versions": [{"unheard": "of"}], "changes": []}')
    assert read_copy(repository) is None
