"""Look for what keeps an installation from working, say how to mend it, and mend what can be mended from here."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field

from recstage import bundle, registry, tracking
from recstage.config import DataConfig, Settings, check, model_config_of, named_yaml, names_in, resolve, root
from recstage.errors import NoProduction, RecstageError
from recstage.registry import mlflow_client
from recstage.steps.record import registry_health

LEAST_FREE_GB = 2.0


class DoctorSettings(Settings):
    """What is done about it."""

    fix: bool = Field(False, description="mend places of artifacts, stages and aliases, missing bundles")


@dataclass(frozen=True)
class Finding:
    """One look: `ok`, what was found, and how to mend it where it is not ok."""

    name: str
    ok: bool
    says: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorResult:
    """`healthy` where everything is ok; `findings` in the order of looking."""

    healthy: bool
    findings: list[Finding]


def settings_from(arguments: Sequence[str] = ()) -> DoctorSettings:
    """Settings from the command line."""
    return resolve(DoctorSettings, {}, arguments, program="doctor")


def run(settings: DoctorSettings) -> DoctorResult:
    """Every look by itself: one that fails does not hide the others."""
    findings = [finding for look in LOOKS for finding in _guarded(look, settings)]
    return DoctorResult(all(one.ok for one in findings), findings)


def _guarded(look: Callable[[DoctorSettings], Iterator[Finding]], settings: DoctorSettings) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in look(settings):
            found.append(finding)  # noqa: PERF402 - what was found before an error counts
    except RecstageError as error:
        found.append(
            Finding(look.__name__.strip("_").replace("_", " "), False, f"{error.given}: {error.rule}", error.fix)
        )
    return found


def _packages(settings: DoctorSettings) -> Iterator[Finding]:
    wrong = []
    for line in (root() / "constraints.txt").read_text().splitlines() if (root() / "constraints.txt").is_file() else ():
        pinned = re.match(r"(torch|mlflow|numpy|pandas|implicit|lightgbm|fastapi|scikit-learn)==(\S+)", line)
        if pinned is None:
            continue
        try:
            here = version(pinned[1]).split("+")[0]
        except PackageNotFoundError:
            here = "missing"
        if here != pinned[2]:
            wrong.append(f"{pinned[1]} {here} in place of {pinned[2]}")
    yield Finding("packages", not wrong, ", ".join(wrong) or "the pinned versions", "make setup" if wrong else "")


def _configuration(settings: DoctorSettings) -> Iterator[Finding]:
    for name in names_in("model"):
        model_config_of(name)
    for name in names_in("data"):
        check(DataConfig, named_yaml("data", name), f"conf/data/{name}.yaml")
    yield Finding("configuration", True, f"{len(names_in('model'))} models, {len(names_in('data'))} data sets")


def _disk(settings: DoctorSettings) -> Iterator[Finding]:
    free = shutil.disk_usage(root()).free / 1e9
    yield Finding("disk", free > LEAST_FREE_GB, f"{free:.1f} GB free in {root()}", "Free some space")
    for folder in (root() / "data", root() / "mlruns"):
        if folder.exists() and not os.access(folder, os.W_OK):
            yield Finding("disk", False, f"{folder} is not writable", "Change its permissions")


def _store(settings: DoctorSettings) -> Iterator[Finding]:
    tracking.connect()
    yield Finding("store", True, tracking.shown_uri())
    ours, stray = root() / "mlflow.db", Path.cwd() / "mlflow.db"
    if stray.is_file() and stray.resolve() != ours:
        says = f"{stray} is a second store, made by an mlflow that was started here without MLFLOW_TRACKING_URI"
        yield Finding("store", False, says, f"Look into it, then delete it; set MLFLOW_TRACKING_URI=sqlite:///{ours}")


def _places_of_artifacts(settings: DoctorSettings) -> Iterator[Finding]:
    found = tracking.misplaced()
    if not found:
        yield Finding("places of artifacts", True, "all inside this checkout, or on a server")
        return
    says = "; ".join(f"{one.places} places point to {one.old}, where this checkout was before" for one in found)
    if not settings.fix:
        yield Finding("places of artifacts", False, says, "recstage doctor --fix")
        return
    kept = tracking.mend(found)
    yield Finding("places of artifacts", True, f"{says}: corrected; the database before that is {kept.name}")


def _production(settings: DoctorSettings) -> Iterator[Finding]:
    for name in mlflow_client.names():
        try:
            champion = registry.production(name)
        except NoProduction:
            yield Finding("Production", True, f"{name}: nothing is Production yet")
            continue
        bundle.verify_answers(bundle.load(registry.fetch(champion)))
        yield Finding("Production", True, f"{champion} loads and scores as it did when it was saved")


def _stages_and_aliases(settings: DoctorSettings) -> Iterator[Finding]:
    for name in mlflow_client.names():
        for found in registry_health.drift(name, fix=settings.fix):
            yield Finding("stages and aliases", *found)


def _artifacts(settings: DoctorSettings) -> Iterator[Finding]:
    for name in mlflow_client.names():
        for found in registry_health.artifacts(name, fix=settings.fix):
            yield Finding("artifacts", *found)


LOOKS = (
    _packages,
    _configuration,
    _disk,
    _store,
    _places_of_artifacts,
    _stages_and_aliases,
    _artifacts,
    _production,
)
