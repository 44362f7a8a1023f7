"""A version from a file that `export` wrote: a run with all that was logged, the same bundle, a new number."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recstage import bundle, registry, tracking
from recstage.config import resolve
from recstage.config.steps import ImportSettings
from recstage.steps.record import version_file
from recstage.steps.record.version_file import BUNDLE, RUN

DIGEST_TAG, ORIGIN_TAG = "imported-sha256", "imported-from"


@dataclass(frozen=True)
class ImportResult:
    """`version` is the new one; the one there was where the file was imported before (`again`)."""

    name: str
    version: int
    run_id: str
    sha256: str
    again: bool


def settings_from(arguments: Sequence[str] = ()) -> ImportSettings:
    """Settings from the command line."""
    return resolve(ImportSettings, {}, arguments, program="import")


def run(settings: ImportSettings) -> ImportResult:
    """Register what a file holds as a new version, unpromoted. Raises `RegistryError` where the file is none of
    export's, or any digest in it does not fit, `BundleError` where the model does not score as it did."""
    tracking.connect()
    file = Path(settings.file).expanduser()
    with tempfile.TemporaryDirectory() as temporary:
        about, sha256 = version_file.read(file, Path(temporary))
        name = settings.name or str(about["name"])
        for one in registry.versions(name) if registry.exists(name) else ():
            if one.tags.get(DIGEST_TAG) == sha256:
                return ImportResult(name, one.number, one.run_id, sha256, again=True)
        marks = {ORIGIN_TAG: f"{about['name']} version {about['version']}, {file.name}", DIGEST_TAG: sha256}
        run_id, uri = _logged(about, Path(temporary), marks)
    version = registry.register(uri, name)
    registry.tag_version(name, version.number, {**about["tags"], **marks})
    return ImportResult(name, version.number, run_id, sha256, again=False)


def _logged(about: Mapping[str, Any], folder: Path, marks: Mapping[str, str]) -> tuple[str, str]:
    """The run that holds it, and the URI of its model."""
    loaded = bundle.load(folder / BUNDLE)
    bundle.verify_answers(loaded)
    was = about["run"]
    tags = {**was["tags"], **marks}
    with tracking.run(f"import {about['algorithm']}", tags=tags, system_metrics=False) as active:
        run_id = active.info.run_id
        uri = tracking.log_bundle(folder / BUNDLE, loaded.model)
        tracking.restore_run(run_id, folder / RUN, was["params"], was["metrics"], tags)
    return run_id, uri
