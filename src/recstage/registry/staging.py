"""Staging: the challenger that waits to be Production. Stage and alias `staging` are followed as Production's are.

The tag `staging_version` records the version last reconciled: whichever of stage and alias differs from it was changed
in the MLflow UI and is followed. At most one version is in Staging, and never the one that is Production.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass

from recstage.errors import RegistryError
from recstage.registry import audit_log, mlflow_client
from recstage.registry.audit_log import STAGING_PREFIX, Change, How
from recstage.registry.mlflow_client import NONE, STAGING, STAGING_ALIAS, RegisteredModelState, Version
from recstage.registry.production import UI_ALIAS, UI_STAGE, decide, no_such_version

RECORDED = "staging_version"
SEEN = "staging_seen"
CONFLICT = "staging_conflict"
PENDING = "staging_note"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagingResolution:
    """What is Staging. `change`: what reconciling recorded, where something had changed. `conflict`: why a change of
    stage or alias was not followed; empty where there is none."""

    version: Version | None
    change: Change | None = None
    conflict: str = ""


@dataclass(frozen=True)
class _Decision:
    version: int | None
    how: How | None = None
    by: str = ""
    reason: str = ""
    conflict: str = ""


def staging(name: str = "recommender") -> Version | None:
    """The version in Staging, changes that are not yet reconciled included; None: there is none. Writes nothing."""
    return resolve_staging(name).version


def resolve_staging(name: str = "recommender") -> StagingResolution:
    """The same with the conflict, if any. One cheap read where nothing changed. Writes nothing."""
    state = mlflow_client.peek(name)
    if not _settled(state):
        state = mlflow_client.read(name)
        decision = _decide(state)
        return StagingResolution(_version(state, decision.version), conflict=decision.conflict)
    return _unchanged(state)


def reconcile_staging(name: str = "recommender") -> StagingResolution:
    """Follow what was changed in the MLflow UI and make stage, alias and record agree. One cheap read where nothing
    changed; doing it again does nothing."""
    state = mlflow_client.peek(name)
    if _settled(state):
        return _unchanged(state)
    with mlflow_client.lock(name):
        return _settle(mlflow_client.read(name))


def set_staging(name: str, number: int, *, how: How, by: str, reason: str = "") -> StagingResolution:
    """Stage a version as Staging; what was there is archived. A version that is Staging already stays so, and no change
    is recorded. Raises `RegistryError` on a version that does not exist or is Production."""
    with mlflow_client.lock(name):
        state = mlflow_client.read(name)
        if number not in state.versions:
            raise no_such_version(name, number, state)
        if number == decide(state).version:
            raise RegistryError(
                f"version {number} of {name}",
                rule="it is Production, and Staging is another version than Production",
                fix="Stage another version",
            )
        before = _settle(state)
        if before.version is not None and before.version.number == number and not before.conflict:
            return before
        decision = _Decision(number, how, by, audit_log.shortened(reason))
        mlflow_client.tag_model(name, PENDING, json.dumps(asdict(decision)))  # a kill must not lose who and why
        return _carry_out(mlflow_client.read(name), decision)


def unset_staging(name: str, *, by: str, reason: str = "") -> StagingResolution:
    """Nothing is Staging from now on; the version that was goes back to no stage. Does nothing where nothing was."""
    with mlflow_client.lock(name):
        before = _settle(mlflow_client.read(name))
        if before.version is None and not before.conflict:
            return before
        return _carry_out(mlflow_client.read(name), _Decision(None, "unset", by, reason))


# -- inside -----------------------------------------------------------------------------------------------------------


def _decide(state: RegisteredModelState) -> _Decision:
    recorded, production = _recorded(state), decide(state).version
    pointed = state.aliases.get(STAGING_ALIAS)
    staged = state.in_stage(STAGING) - {recorded, production}
    begun = _pending(state)
    if begun is not None and begun.version in staged:
        return begun
    alias = pointed if pointed in state.versions and pointed not in (recorded, production) else None
    kept = recorded if recorded in state.versions and recorded != production else None
    if staged and alias is not None and alias not in staged and kept is not None:
        words = (
            f"stage {STAGING} moved to {' and '.join(map(str, sorted(staged)))} and alias {STAGING_ALIAS} to {alias}"
        )
        return _Decision(kept, conflict=f"{words}: version {kept} stays until they agree")
    if staged:
        newest = max(staged, key=lambda number: (state.versions[number].updated_at, number))
        return _Decision(alias if alias in staged else newest, "stage", UI_STAGE)
    if alias is not None:
        return _Decision(alias, "alias", UI_ALIAS)
    if recorded is None:
        return _Decision(None)
    if recorded == production:
        return _Decision(None, "promote", "recstage", f"version {recorded} is Production now")
    if kept is None:
        return _Decision(None, "deleted", "recstage", f"version {recorded} was deleted while in Staging")
    if state.versions[kept].stage == STAGING:
        return _Decision(kept)
    return _Decision(None, "unset", UI_STAGE, f"moved to stage {state.versions[kept].stage}")


def _settle(state: RegisteredModelState) -> StagingResolution:
    return _carry_out(state, _decide(state))


def _carry_out(state: RegisteredModelState, decision: _Decision) -> StagingResolution:
    """Each write can be repeated, and the record, written last, marks all as done."""
    if decision.conflict:
        if state.tags.get(CONFLICT) != decision.conflict:
            log.warning("%s: %s", state.name, decision.conflict)
            mlflow_client.tag_model(state.name, CONFLICT, decision.conflict)
        mlflow_client.tag_model(state.name, SEEN, _seen(mlflow_client.peek(state.name)))
        return StagingResolution(_version(state, decision.version), conflict=decision.conflict)
    target = decision.version
    if target is not None and state.in_stage(STAGING) != {target}:
        mlflow_client.stage(state.name, target, STAGING)
    for number in state.in_stage(STAGING) if target is None else ():
        mlflow_client.stage(state.name, number, NONE)
    if state.aliases.get(STAGING_ALIAS) != target:
        mlflow_client.point_alias(state.name, target, STAGING_ALIAS)
    change = None
    if decision.how is not None:
        now = int(time.time() * 1000)
        made = Change(target, _recorded(state), now, decision.by, decision.how, decision.reason)
        past = audit_log.read_from(state.tags, STAGING_PREFIX)
        change = audit_log.record(state.name, made, past, STAGING_PREFIX)
        log.info("%s: Staging is %s (%s by %s)", state.name, target, change.how, change.by)
    after = mlflow_client.read(state.name)
    recorded = "none" if target is None else str(target)
    record = {RECORDED: recorded, CONFLICT: None, PENDING: None, SEEN: _seen(after)}
    for key, value in record.items():
        if after.tags.get(key) != value:
            mlflow_client.tag_model(state.name, key, value)
    return StagingResolution(_version(after, target), change)


def _settled(state: RegisteredModelState) -> bool:
    return PENDING not in state.tags and state.tags.get(SEEN) == _seen(state)


def _unchanged(state: RegisteredModelState) -> StagingResolution:
    recorded = _recorded(state)
    version = _version(state, recorded)
    if version is None and recorded is not None:  # in a conflict it need not be the newest of its stage
        version = mlflow_client.one(state.name, recorded)
    return StagingResolution(version, conflict=state.tags.get(CONFLICT, ""))


def _pending(state: RegisteredModelState) -> _Decision | None:
    try:
        return _Decision(**json.loads(state.tags[PENDING]))
    except (KeyError, ValueError, TypeError):
        return None


def _seen(state: RegisteredModelState) -> str:
    return f"{state.updated_at} {state.aliases.get(STAGING_ALIAS, 'none')} {state.alias or 'none'}"


def _recorded(state: RegisteredModelState) -> int | None:
    value = state.tags.get(RECORDED, "none")
    return int(value) if value.isdigit() else None


def _version(state: RegisteredModelState, number: int | None) -> Version | None:
    return None if number is None else state.versions.get(number)
