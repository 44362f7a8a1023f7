"""Production: the stage decides, the alias `production` mirrors it, and a tag records the version last reconciled.

Whichever of stage and alias differs from the tag was changed in the MLflow UI and is followed. `decide` returns what to
follow and writes nothing; `reconcile` does it; `set_production` is a change of our own, recorded as pending first so
that even a promotion that was killed half-way is finished, with its author and reason, by the next reconciliation.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field
from typing import Final

from recstage.errors import NoProduction, RegistryError
from recstage.registry import audit_log, descriptions, mlflow_client
from recstage.registry.audit_log import Change, How
from recstage.registry.mlflow_client import RegisteredModelState, Version

RECORDED = "production_version"
SEEN = "production_seen"
CONFLICT = "production_conflict"
PENDING = "production_note"
PENDING_LIVES_MS = 60_000
UI_STAGE, UI_ALIAS = "MLflow UI (stage)", "MLflow UI (alias)"
ANY: Final = -1
"""For `set_production`: whatever is Production now may be replaced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolution:
    """What is Production. `change`: what reconciling recorded, where something had changed. `conflict`: why nothing was
    done although both stage and alias changed; empty where there is none. `updated_at`: of the registered model, which
    every change of a stage and every deletion moves; 0 where this reconciliation itself changed something."""

    version: Version | None
    change: Change | None = None
    conflict: str = ""
    updated_at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class PendingPromotion:
    """A change of Production that has begun: who, why, and to which version."""

    version: int
    how: How
    by: str
    reason: str
    at: int


@dataclass(frozen=True)
class Decision:
    """`version` is to be Production. `how` is None where nothing changed."""

    version: int | None
    how: How | None = None
    by: str = ""
    reason: str = ""
    at: int = 0
    conflict: str = ""


# -- reading ----------------------------------------------------------------------------------------------------------


def production(name: str = "recommender") -> Version:
    """The Production version. Raises `NoProduction`. Writes nothing."""
    version = resolve(name).version
    if version is None:
        raise no_production(name)
    return version


def resolve(name: str = "recommender") -> Resolution:
    """What is Production, changes that are not yet reconciled included. Writes nothing."""
    model_state = mlflow_client.peek(name)
    if _settled(model_state):
        return _unchanged(model_state)
    model_state = mlflow_client.read(name)
    decision = decide(model_state)
    return Resolution(_version(model_state, decision.version), conflict=decision.conflict)


def decide(model_state: RegisteredModelState) -> Decision:
    """What is to be Production. The state must hold all versions (`mlflow_client.read`)."""
    recorded, pending = _recorded(model_state), _pending(model_state)
    if pending is not None and pending.version in model_state.staged:
        begun = Decision(pending.version, pending.how, pending.by, pending.reason, pending.at)
        return begun if pending.version != recorded else Decision(recorded)
    staged = model_state.staged - {recorded}
    alias = model_state.alias if model_state.alias in model_state.versions and model_state.alias != recorded else None
    if staged and alias is not None and alias not in staged and recorded in model_state.versions:
        return Decision(recorded, conflict=_disagreement(recorded, staged, alias))
    if staged:
        return _follow_stage(model_state, staged, alias)
    if alias is not None:
        return Decision(alias, "alias", UI_ALIAS, at=_now())
    if recorded is None or recorded in model_state.staged:
        return Decision(recorded)
    if recorded in model_state.versions:
        unstaged = model_state.versions[recorded]
        return Decision(None, "unset", UI_STAGE, f"moved to stage {unstaged.stage}", unstaged.updated_at)
    back = audit_log.predecessor(audit_log.read_from(model_state.tags), recorded, model_state.versions)
    reason = f"version {recorded} was deleted while in Production"
    return Decision(back, "deleted", "recstage", reason, model_state.updated_at)


def _follow_stage(model_state: RegisteredModelState, staged: set[int], alias: int | None) -> Decision:
    chosen = (
        alias if alias in staged else max(staged, key=lambda number: (model_state.versions[number].updated_at, number))
    )
    others = sorted(staged - {chosen})
    reason = f"also staged: {', '.join(map(str, others))}" if others else ""
    return Decision(chosen, "stage", UI_STAGE, reason, model_state.versions[chosen].updated_at)


def _disagreement(recorded: int | None, staged: set[int], alias: int) -> str:
    return (
        f"stage Production moved to {' and '.join(map(str, sorted(staged)))} and alias {mlflow_client.ALIAS} "
        f"to {alias}: "
        f"version {recorded} stays until they agree"
    )


# -- writing ----------------------------------------------------------------------------------------------------------


def reconcile(name: str = "recommender") -> Resolution:
    """Follow what was changed in the MLflow UI and make stage, alias and record agree. One cheap read when nothing
    changed; safe from several processes at once; doing it again does nothing."""
    model_state = mlflow_client.peek(name)
    if _settled(model_state):
        return _unchanged(model_state)
    with mlflow_client.lock(name):
        return _settle_and_describe(mlflow_client.read(name))


def set_production(
    name: str, number: int, *, how: How, by: str, reason: str = "", expected: int | None = ANY
) -> Resolution:
    """Make a version Production: record it as pending, stage it (archiving the others in the same transaction),
    reconcile.

    `expected` is what the caller believes to be Production (None: nothing); where another process was first,
    `Overtaken` is raised and nothing changes. A version that is Production already stays so, and no change is recorded.
    """
    with mlflow_client.lock(name):
        model_state = mlflow_client.read(name)
        before = _settle(model_state)
        if number not in model_state.versions:
            raise no_such_version(name, number, model_state)
        current = None if before.version is None else before.version.number
        if expected not in (ANY, current):
            raise Overtaken(name, expected, current)
        if current == number and not before.conflict:
            return before
        pending = PendingPromotion(number, how, by, audit_log.shortened(reason), _now())
        mlflow_client.tag_model(name, PENDING, json.dumps(asdict(pending)))
        mlflow_client.stage(name, number)
        after = _settle_and_describe(mlflow_client.read(name))
    if after.version is None or after.version.number != number:  # another machine, which our lock does not hold
        raise Overtaken(name, number, None if after.version is None else after.version.number)
    return after


class Overtaken(RegistryError):
    """Production changed between the decision and the change."""

    def __init__(self, name: str, expected: int | None, current: int | None) -> None:
        self.name, self.expected, self.current = name, expected, current
        was, now = ("nothing" if number is None else f"version {number}" for number in (expected, current))
        super().__init__(
            f"Production of {name}",
            rule=f"was {was} when this was decided and is {now} now",
            fix="Run it again",
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.expected, self.current)


def _settle_and_describe(model_state: RegisteredModelState) -> Resolution:
    """`_settle`; after a change, the pages of the registered model and its versions say so."""
    resolution = _settle(model_state)
    if resolution.change is None:
        return resolution
    descriptions.refresh(model_state.name)
    again = _settle(mlflow_client.read(model_state.name))  # descriptions change `updated_at`, which is recorded as seen
    return Resolution(again.version, resolution.change, again.conflict)


def _settle(model_state: RegisteredModelState) -> Resolution:
    """Carry out `decide`; each write can be repeated, and the record, written last, marks all as done."""
    decision = decide(model_state)
    if decision.conflict:
        return _report(model_state, decision)
    target, updated_at, change = decision.version, model_state.updated_at, None
    if target is not None and model_state.staged != {target}:
        updated_at = mlflow_client.stage(model_state.name, target)
    if model_state.alias != target:
        mlflow_client.point_alias(model_state.name, target)
    if decision.how is not None:
        change = _remember(model_state, decision)
    for key, value in _record(model_state, target, updated_at).items():
        if model_state.tags.get(key) != value:
            mlflow_client.tag_model(model_state.name, key, value)
    if change is None:
        return Resolution(_version(model_state, target))
    return Resolution(_version(mlflow_client.read(model_state.name), target), change)


def _record(model_state: RegisteredModelState, target: int | None, updated_at: int) -> dict[str, str | None]:
    pending = _pending(model_state)
    done = pending is None or pending.version == target or _now() - pending.at > PENDING_LIVES_MS
    return {
        RECORDED: "none" if target is None else str(target),
        CONFLICT: None,
        **({PENDING: None} if done else {}),
        SEEN: _seen(updated_at, target),
    }


def _report(model_state: RegisteredModelState, decision: Decision) -> Resolution:
    if model_state.tags.get(CONFLICT) != decision.conflict:
        log.warning("%s: %s", model_state.name, decision.conflict)
        mlflow_client.tag_model(model_state.name, CONFLICT, decision.conflict)
    mlflow_client.tag_model(model_state.name, SEEN, _seen(model_state.updated_at, model_state.alias))
    return Resolution(_version(model_state, decision.version), conflict=decision.conflict)


def _remember(model_state: RegisteredModelState, decision: Decision) -> Change:
    assert decision.how is not None
    change = Change(
        decision.version, _recorded(model_state), decision.at, decision.by, decision.how, reason=decision.reason
    )
    change = audit_log.record(model_state.name, change, audit_log.read_from(model_state.tags))
    if change.version is not None:
        tags = {
            "promoted_at": audit_log.stamp(change.at),
            "promoted_by": change.by,
            "previous_version": "none" if change.previous is None else str(change.previous),
            "reason": change.reason,
        }
        mlflow_client.tag_version(model_state.name, change.version, tags)
    log.info("%s: Production is %s (%s by %s)", model_state.name, change.version, change.how, change.by)
    return change


# -- reading the tags --------------------------------------------------------------------------------------------------


def _settled(model_state: RegisteredModelState) -> bool:
    """Whether the last reconciliation saw the registry as it is now: every change of a stage, every deletion and every
    new version changes `updated_at`; a change of the alias does not, so it is compared."""
    return PENDING not in model_state.tags and model_state.tags.get(SEEN) == _seen(
        model_state.updated_at, model_state.alias
    )


def _unchanged(model_state: RegisteredModelState) -> Resolution:
    recorded = _recorded(model_state)
    version = _version(model_state, recorded)
    if version is None and recorded is not None:  # in a conflict it need not be the newest of its stage
        version = mlflow_client.one(model_state.name, recorded)
    return Resolution(version, conflict=model_state.tags.get(CONFLICT, ""), updated_at=model_state.updated_at)


def _seen(updated_at: int, alias: int | None) -> str:
    return f"{updated_at} {'none' if alias is None else alias}"


def _recorded(model_state: RegisteredModelState) -> int | None:
    value = model_state.tags.get(RECORDED, "none")
    return int(value) if value.isdigit() else None


def _pending(model_state: RegisteredModelState) -> PendingPromotion | None:
    try:
        return PendingPromotion(**json.loads(model_state.tags[PENDING]))
    except (KeyError, ValueError, TypeError):
        return None


def _version(model_state: RegisteredModelState, number: int | None) -> Version | None:
    return None if number is None else model_state.versions.get(number)


def _now() -> int:
    return int(time.time() * 1000)


def no_production(name: str) -> NoProduction:
    return NoProduction(
        f"registered model '{name}'", rule="no version is staged Production", fix="Promote one: recstage promote"
    )


def no_such_version(name: str, number: object, model_state: RegisteredModelState) -> RegistryError:
    fix = (
        f"There are {_listed(sorted(model_state.versions))}"
        if model_state.versions
        else "There are none yet: register a run"
    )
    return RegistryError(f"version {number} of {name}", rule="there is no such version", fix=fix)


def _listed(numbers: list[int]) -> str:
    """1, 3 to 7, 9."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    parts = [f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans]
    return ", ".join(parts)
