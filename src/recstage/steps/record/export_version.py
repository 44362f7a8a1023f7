"""A version as one file, to be kept or brought to another registry."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recstage import bundle, registry, tracking
from recstage.config import resolve
from recstage.config.steps import ExportSettings
from recstage.errors import StoreError
from recstage.promotion import evidence
from recstage.registry import Version
from recstage.steps.record import version_file
from recstage.steps.record.version_file import BUNDLE, RUN

OWN_TAGS = ("production_", "staging_", "promoted_", "previous_version", "reason", "gate_", "model_uri", "mlflow.")
"""Of a version that is exported: what another registry must not believe of it."""


@dataclass(frozen=True)
class ExportResult:
    """The file and its digest, to be passed on by another way than the file."""

    name: str
    version: int
    file: str
    sha256: str
    bytes: int


def settings_from(arguments: Sequence[str] = ()) -> ExportSettings:
    """Settings from the command line."""
    return resolve(ExportSettings, {}, arguments, program="export")


def run(settings: ExportSettings) -> ExportResult:
    """Raises `RegistryError` on an unknown version or one whose bundle is gone, `BundleError` on one that is broken,
    `StoreError` where the file is there already or cannot be written."""
    tracking.connect()
    version = registry.version_of(settings.name, settings.version)
    target = Path(settings.file or f"{version.name}-v{version.number}.recstage.zip").expanduser().absolute()
    if target.exists():
        raise StoreError(str(target), rule="is there already", fix="Give another file, or remove it")
    folder = registry.fetch(version)
    bundle.load(folder)  # verifies every digest
    with tempfile.TemporaryDirectory() as temporary:
        members = {f"{BUNDLE}{path.relative_to(folder).as_posix()}": path for path in _files(folder)}
        logged = tracking.download(version.run_id, Path(temporary))
        if logged is not None:
            members |= {f"{RUN}{path.relative_to(logged).as_posix()}": path for path in _files(logged)}
        about = {
            "name": version.name,
            "version": version.number,
            "algorithm": version.algorithm,
            "tags": {key: value for key, value in version.tags.items() if not key.startswith(OWN_TAGS)},
            "run": _run_of(version),
        }
        version_file.write(target, about, members)
    digest, size = version_file.digest_of(target), target.stat().st_size
    return ExportResult(version.name, version.number, str(target), digest, size)


def _run_of(version: Version) -> dict[str, Any]:
    facts = tracking.facts_of(version.run_id)
    tags = {} if facts is None else {key: value for key, value in facts.tags.items() if not key.startswith("mlflow.")}
    params = {} if facts is None else facts.params
    return {"run_id": version.run_id, "tags": tags, "params": params, "metrics": evidence.metrics_of(version)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
