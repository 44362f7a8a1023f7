"""Where a version comes from: data, code, parameters, parents; and what was trained on a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from recstage import bundle, registry, tracking
from recstage.bundle import Manifest, Part
from recstage.config import resolve
from recstage.config.steps import LineageSettings
from recstage.errors import RecstageError, RegistryError
from recstage.registry import Version, mlflow_client

DATA_TAGS = ("data", "split", "fingerprint", tracking.SNAPSHOT_TAG, tracking.UNTIL_TAG)


@dataclass(frozen=True)
class Trained:
    """A run or version that was trained on the same data; `version` None: the run was not registered."""

    run_id: str
    model: str
    name: str = ""
    version: int | None = None


@dataclass(frozen=True)
class LineageResult:
    """`data` what it was trained on, `code` the commit and libraries, `parameters` those of the fitted model;
    `parents`: the parts of a composite by path (retrieval, retrieval/popularity, ...) and the version that a warm start
    began with. `trained`: all runs and versions on the same data. `missing`: what could not be read, and why."""

    name: str
    version: int | None
    algorithm: str
    stage: str
    run_id: str
    data: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    parents: dict[str, Any] = field(default_factory=dict)
    trained: list[Trained] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> LineageSettings:
    """Settings from the command line."""
    return resolve(LineageSettings, {}, arguments, program="lineage")


def run(settings: LineageSettings) -> LineageResult:
    """Raises `RegistryError` on an unknown version, or a snapshot that nothing was trained on."""
    tracking.connect()
    if settings.snapshot:
        trained = trained_on_data(settings.snapshot)
        if not trained:
            raise RegistryError(
                f"snapshot {settings.snapshot}",
                rule="no run was trained on it",
                fix="Give the tag snapshot or fingerprint of a run",
            )
        return LineageResult(settings.name, None, "", "", "", data={"snapshot": settings.snapshot}, trained=trained)
    return of_version(registry.version_of(settings.name, settings.version))


def of_version(version: Version) -> LineageResult:
    """The lineage of one version; what cannot be read is named, and hides nothing else."""
    missing: list[str] = []
    manifest: Manifest | None = None
    try:
        manifest = bundle.read_manifest(registry.fetch(version))
    except RecstageError as error:
        missing.append(f"bundle: {error.rule}")
    facts = tracking.facts_of(version.run_id)
    if facts is None:
        missing.append(f"run {version.run_id or '(none)'} is gone")
    tags = dict(version.tags) | ({} if facts is None else facts.tags)
    data: dict[str, Any] = {key: tags[key] for key in DATA_TAGS if key in tags}
    code: dict[str, Any] = {key: tags[key] for key in ("git-commit", "git-dirty") if key in tags}
    parameters: dict[str, Any] = {}
    parents: dict[str, Any] = {}
    if manifest is not None:
        sizes = {"users": manifest.n_users, "items": manifest.n_items, "interactions": manifest.n_interactions}
        data |= {"trained until (seconds since 1970)": manifest.trained_until, **sizes}
        code["libraries"] = manifest.libraries
        parameters = dict(manifest.model.params)
        parents = dict(_parts(manifest.model))
    start = "" if facts is None else facts.params.get("warm_start", "")
    if registry.UPDATED_FROM in tags:
        counts = {key: int(tags[f"updated_{key}"]) for key in ("rows", "users", "items")}
        parents["updated from"] = {"version": tags[registry.UPDATED_FROM], **{f"new {k}": n for k, n in counts.items()}}
    if start:
        parents["warm start"] = start
    if "imported-from" in tags:
        parents["imported from"] = tags["imported-from"]
    key = data.get("fingerprint", "")
    trained = trained_on_data(key) if key else []
    return LineageResult(
        version.name,
        version.number,
        version.algorithm,
        version.stage,
        version.run_id,
        data,
        code,
        parameters,
        parents,
        trained,
        missing,
    )


def trained_on_data(key: str) -> list[Trained]:
    """Training runs on a snapshot (its digest) or prepared data set (its fingerprint), and their versions."""
    versions = {one.run_id: one for name in mlflow_client.names() for one in registry.versions(name)}
    found = []
    for one in tracking.runs_on(key):
        version = versions.get(one.run_id)
        name, number = ("", None) if version is None else (version.name, version.number)
        found.append(Trained(one.run_id, one.tags.get("model", ""), name, number))
    return found


def _parts(part: Part, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in part.parts.items():
        here = f"{path}/{name}".lstrip("/")
        yield here, {"model": inner.target.partition(":")[2], **inner.params}
        yield from _parts(inner, here)
