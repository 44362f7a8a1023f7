"""What is wrong with a registered model, and mending it: stages and aliases that disagree, missing artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from recstage import bundle, registry
from recstage.errors import RecstageError
from recstage.registry import Version, mlflow_client
from recstage.registry.mlflow_client import ALIAS, PRODUCTION, STAGING, STAGING_ALIAS

MISSING_TAG = "artifacts"
BY = "recstage doctor"


def drift(name: str, *, fix: bool) -> Iterator[tuple[bool, str, str]]:
    """(ok, what was found, how to mend it) of stage and alias of Production and of Staging. With `fix` they are made to
    agree as the next poll of the service would; where both were changed and disagree, only a user can decide."""
    for what in (PRODUCTION, STAGING):
        before = _apart(name, what)
        if not before:
            yield True, f"{name}: stage {what} and alias {what.lower()} agree", ""
            continue
        if not fix:
            yield False, f"{name}: {before}", "recstage doctor --fix"
            continue
        resolve = registry.reconcile if what == PRODUCTION else registry.reconcile_staging
        found = resolve(name)
        version = "nothing" if found.version is None else f"version {found.version.number}"
        if found.conflict:
            yield False, f"{name}: {found.conflict}", f"Set stage {what} and alias {what.lower()} to one version"
        else:
            yield True, f"{name}: {before}: corrected, {what} is {version}", ""


def _apart(name: str, what: str) -> str:
    """How stage, alias and record of Production or Staging differ, in words; empty where they agree."""
    state = mlflow_client.read(name)
    staged = sorted(state.in_stage(what))
    pointed = state.aliases.get(ALIAS if what == PRODUCTION else STAGING_ALIAS)
    recorded = state.tags.get(f"{what.lower()}_version", "none")
    record = int(recorded) if recorded.isdigit() else None
    if staged == ([] if pointed is None else [pointed]) and pointed == record:
        return ""
    in_stage = " and ".join(map(str, staged)) or "none"
    return f"in stage {what}: {in_stage}; alias {what.lower()}: {pointed or 'none'}; recorded: {record or 'none'}"


def artifacts(name: str, *, fix: bool) -> Iterator[tuple[bool, str, str]]:
    """The same of versions whose bundle is gone or broken. With `fix` they are marked (tag `artifacts`), Staging is
    unset, and a Production of that kind is rolled back to the last one of its trail that is whole."""
    broken = {one.number: why for one in registry.versions(name) if (why := _why_broken(one))}
    if not broken:
        yield True, f"{name}: every version has its bundle", ""
        return
    production, waiting = registry.resolve(name).version, registry.staging(name)
    for number, why in sorted(broken.items()):
        says = f"{name} version {number}: {why}"
        if not fix:
            yield False, says, "recstage doctor --fix marks it, and takes it out of Production or Staging"
            continue
        registry.tag_version(name, number, {MISSING_TAG: f"missing: {why}"})
        if waiting is not None and waiting.number == number:
            registry.unset_staging(name, by=BY, reason=why)
        if production is None or production.number != number:
            yield True, f"{says}: marked", ""
            continue
        target = _whole_predecessor(name, number, set(broken))
        if target is None:
            yield False, f"{says}: it is Production, and no earlier Production is whole", "Train and promote another"
            continue
        registry.set_production(name, target, how="rollback", by=BY, reason=f"version {number}: {why}", expected=number)
        yield True, f"{says}: marked; version {target} is Production again", ""


def _whole_predecessor(name: str, number: int, broken: set[int]) -> int | None:
    whole = [one.number for one in registry.versions(name) if one.number not in broken]
    return registry.predecessor(registry.history(name), number, whole)


def _why_broken(version: Version) -> str:
    try:
        folder = registry.fetch(version)
        manifest = bundle.read_manifest(folder)
        gone = [file for file in manifest.files if not (folder / file).is_file()]
    except RecstageError as error:
        return error.rule
    return f"{', '.join(gone)} missing from its bundle" if gone else ""
