"""Production: the stage is the truth, the alias `production` mirrors it, and a tag records the version last reconciled.

Whichever of stage and alias moved away from the tag is somebody's gesture in the MLflow UI and is followed. `decide`
says what to follow and touches nothing; `reconcile` does it; `move` is a gesture of our own, announced by a note so
that even a promotion that was killed half-way is finished, with its author and reason, by whoever looks next.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import Final

from recstage.errors import NoProduction, RegistryError
from recstage.registry import audit_log, mlflow_client
from recstage.registry.audit_log import Change, How
from recstage.registry.mlflow_client import Shelf, Version

RECORDED = "production_version"
SEEN = "production_seen"
CONFLICT = "production_conflict"
NOTE = "production_note"
NOTE_LIVES_MS = 60_000
UI_STAGE, UI_ALIAS = "MLflow UI (stage)", "MLflow UI (alias)"
ANY: Final = -1
"""For `move`: whatever is Production now may be replaced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolution:
    """What is Production. `change`: what reconciling recorded, where something had moved. `conflict`: why nothing was
    changed although both stage and alias moved; empty where there is none."""

    version: Version | None
    change: Change | None = None
    conflict: str = ""


@dataclass(frozen=True)
class Note:
    """A move that was announced: who, why, and where to."""

    version: int
    how: How
    by: str
    reason: str
    at: int


@dataclass(frozen=True)
class Decision:
    """`version` shall be Production. `how` is None where nothing moved."""

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
    """What is Production, gestures that nobody has reconciled yet included. Writes nothing."""
    shelf = mlflow_client.peek(name)
    if _settled(shelf):
        return _unchanged(shelf)
    shelf = mlflow_client.read(name)
    decision = decide(shelf)
    return Resolution(_version(shelf, decision.version), conflict=decision.conflict)


def decide(shelf: Shelf) -> Decision:
    """What the state of the registry means. The shelf must hold all versions (`store.read`)."""
    recorded, note = _recorded(shelf), _note(shelf)
    if note is not None and note.version in shelf.staged:
        announced = Decision(note.version, note.how, note.by, note.reason, note.at)
        return announced if note.version != recorded else Decision(recorded)
    staged = shelf.staged - {recorded}
    alias = shelf.alias if shelf.alias in shelf.versions and shelf.alias != recorded else None
    if staged and alias is not None and alias not in staged and recorded in shelf.versions:
        return Decision(recorded, conflict=_disagreement(recorded, staged, alias))
    if staged:
        return _follow_stage(shelf, staged, alias)
    if alias is not None:
        return Decision(alias, "alias", UI_ALIAS, at=_now())
    if recorded is None or recorded in shelf.staged:
        return Decision(recorded)
    if recorded in shelf.versions:
        unstaged = shelf.versions[recorded]
        return Decision(None, "withdrawn", UI_STAGE, f"moved to stage {unstaged.stage}", unstaged.updated_at)
    back = audit_log.predecessor(audit_log.read_from(shelf.tags), recorded, shelf.versions)
    reason = f"version {recorded} was deleted while in Production"
    return Decision(back, "deleted", "recstage", reason, shelf.updated_at)


def _follow_stage(shelf: Shelf, staged: set[int], alias: int | None) -> Decision:
    chosen = alias if alias in staged else max(staged, key=lambda number: (shelf.versions[number].updated_at, number))
    others = sorted(staged - {chosen})
    reason = f"also staged: {', '.join(map(str, others))}" if others else ""
    return Decision(chosen, "stage", UI_STAGE, reason, shelf.versions[chosen].updated_at)


def _disagreement(recorded: int | None, staged: set[int], alias: int) -> str:
    return (
        f"stage Production moved to {' and '.join(map(str, sorted(staged)))} and alias {mlflow_client.ALIAS} "
        f"to {alias}: "
        f"version {recorded} stays until they agree"
    )


# -- writing ----------------------------------------------------------------------------------------------------------


def reconcile(name: str = "recommender") -> Resolution:
    """Follow what was moved in the MLflow UI and make stage, alias and record agree. One cheap read when nothing moved;
    safe from several processes at once; doing it again does nothing."""
    shelf = mlflow_client.peek(name)
    if _settled(shelf):
        return _unchanged(shelf)
    with mlflow_client.lock(name):
        return _settle(mlflow_client.read(name))


def move(name: str, number: int, *, how: How, by: str, reason: str = "", expected: int | None = ANY) -> Resolution:
    """Make a version Production: announce it, stage it (archiving the others in the same transaction), reconcile.

    `expected` is what the caller believes to be Production (None: nothing); where another process was faster,
    `Overtaken` is raised and nothing changes. A version that is Production already stays so, and no change is recorded.
    """
    with mlflow_client.lock(name):
        shelf = mlflow_client.read(name)
        before = _settle(shelf)
        if number not in shelf.versions:
            raise no_such_version(name, number, shelf)
        current = None if before.version is None else before.version.number
        if expected not in (ANY, current):
            raise Overtaken(name, expected, current)
        if current == number and not before.conflict:
            return before
        note = Note(number, how, by, audit_log.shortened(reason), _now())
        mlflow_client.tag_model(name, NOTE, json.dumps(asdict(note)))
        mlflow_client.stage(name, number)
        after = _settle(mlflow_client.read(name))
    if after.version is None or after.version.number != number:  # another machine, which our lock does not hold
        raise Overtaken(name, number, None if after.version is None else after.version.number)
    return after


class Overtaken(RegistryError):
    """Production changed between the decision and the deed."""

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


def _settle(shelf: Shelf) -> Resolution:
    """Carry out `decide`; each write can be repeated, and the record, written last, says that all are done."""
    decision = decide(shelf)
    if decision.conflict:
        return _report(shelf, decision)
    target, updated_at, change = decision.version, shelf.updated_at, None
    if target is not None and shelf.staged != {target}:
        updated_at = mlflow_client.stage(shelf.name, target)
    if shelf.alias != target:
        mlflow_client.point_alias(shelf.name, target)
    if decision.how is not None:
        change = _remember(shelf, decision)
    for key, value in _record(shelf, target, updated_at).items():
        if shelf.tags.get(key) != value:
            mlflow_client.tag_model(shelf.name, key, value)
    if change is None:
        return Resolution(_version(shelf, target))
    return Resolution(_version(mlflow_client.read(shelf.name), target), change)


def _record(shelf: Shelf, target: int | None, updated_at: int) -> dict[str, str | None]:
    note = _note(shelf)
    done = note is None or note.version == target or _now() - note.at > NOTE_LIVES_MS
    return {
        RECORDED: "none" if target is None else str(target),
        CONFLICT: None,
        **({NOTE: None} if done else {}),
        SEEN: _seen(updated_at, target),
    }


def _report(shelf: Shelf, decision: Decision) -> Resolution:
    if shelf.tags.get(CONFLICT) != decision.conflict:
        log.warning("%s: %s", shelf.name, decision.conflict)
        mlflow_client.tag_model(shelf.name, CONFLICT, decision.conflict)
    mlflow_client.tag_model(shelf.name, SEEN, _seen(shelf.updated_at, shelf.alias))
    return Resolution(_version(shelf, decision.version), conflict=decision.conflict)


def _remember(shelf: Shelf, decision: Decision) -> Change:
    assert decision.how is not None
    change = Change(decision.version, _recorded(shelf), decision.at, decision.by, decision.how, reason=decision.reason)
    change = audit_log.record(shelf.name, change, audit_log.read_from(shelf.tags))
    if change.version is not None:
        tags = {
            "promoted_at": audit_log.stamp(change.at),
            "promoted_by": change.by,
            "previous_version": "none" if change.previous is None else str(change.previous),
            "reason": change.reason,
        }
        mlflow_client.tag_version(shelf.name, change.version, tags)
    log.info("%s: Production is %s (%s by %s)", shelf.name, change.version, change.how, change.by)
    return change


# -- what the tags say ------------------------------------------------------------------------------------------------


def _settled(shelf: Shelf) -> bool:
    """Whether the last reconciliation saw the registry as it is now: every move of a stage, every deletion and every
    new version changes `updated_at`; a move of the alias does not, so it is compared."""
    return NOTE not in shelf.tags and shelf.tags.get(SEEN) == _seen(shelf.updated_at, shelf.alias)


def _unchanged(shelf: Shelf) -> Resolution:
    recorded = _recorded(shelf)
    version = _version(shelf, recorded)
    if version is None and recorded is not None:  # in a conflict it need not be the newest of its stage
        version = mlflow_client.one(shelf.name, recorded)
    return Resolution(version, conflict=shelf.tags.get(CONFLICT, ""))


def _seen(updated_at: int, alias: int | None) -> str:
    return f"{updated_at} {'none' if alias is None else alias}"


def _recorded(shelf: Shelf) -> int | None:
    value = shelf.tags.get(RECORDED, "none")
    return int(value) if value.isdigit() else None


def _note(shelf: Shelf) -> Note | None:
    try:
        return Note(**json.loads(shelf.tags[NOTE]))
    except (KeyError, ValueError, TypeError):
        return None


def _version(shelf: Shelf, number: int | None) -> Version | None:
    return None if number is None else shelf.versions.get(number)


def _now() -> int:
    return int(time.time() * 1000)


def no_production(name: str) -> NoProduction:
    return NoProduction(
        f"registered model '{name}'", rule="no version is staged Production", fix="Promote one: mlflow run . -e promote"
    )


def no_such_version(name: str, number: object, shelf: Shelf) -> RegistryError:
    fix = f"There are {_listed(sorted(shelf.versions))}" if shelf.versions else "There are none yet: register a run"
    return RegistryError(f"version {number} of {name}", rule="there is no such version", fix=fix)


def _listed(numbers: list[int]) -> str:
    """1, 3 to 7, 9."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    words = [f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans]
    return ", ".join(words)
