"""Who was Production, when and why. MLflow keeps no history: tags of the registered model do, one a change.

A tag `production/2026-11-20T18:18:01.123Z/v3` holds the change as JSON. Tags of the registered model outlive the
versions they name, and a key made of time and version makes recording twice the same as recording once.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from recstage.registry import mlflow_client

PREFIX = "production/"
STAGING_PREFIX = "staging/"
LONGEST_REASON = 2000

How = Literal["promote", "rollback", "stage", "alias", "deleted", "unset", "retrain", "update"]
OLD_HOW: dict[str, How] = {"withdrawn": "unset"}
"""As version 0.1 recorded it."""
RETURNING: tuple[How, ...] = ("rollback", "stage", "alias", "deleted")
"""Changes that, when they name a version that was Production before, go back to it rather than on."""


@dataclass(frozen=True)
class Change:
    """One change of Production. `version` None: nothing is Production since. `at`: milliseconds since 1970."""

    version: int | None
    previous: int | None
    at: int
    by: str
    how: How
    reason: str = ""

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.at / 1000, UTC)

    def key(self, prefix: str = PREFIX) -> str:
        """The tag of the registered model that records it."""
        return f"{prefix}{stamp(self.at)}/{'none' if self.version is None else f'v{self.version}'}"


def stamp(milliseconds: int) -> str:
    """A time as text that sorts as the time does."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def history(name: str = "recommender", prefix: str = PREFIX) -> list[Change]:
    """All changes of Production (or, with the prefix of Staging, of Staging), oldest first."""
    return read_from(mlflow_client.peek(name).tags, prefix)


def production_at(when: datetime, changes: Sequence[Change]) -> Change | None:
    """The change that made what was Production at `when`; None before the first."""
    moment = int(when.timestamp() * 1000)
    return next((change for change in reversed(changes) if change.at <= moment), None)


def read_from(tags: Mapping[str, str], prefix: str = PREFIX) -> list[Change]:
    """The changes that a registered model's tags record, oldest first. Two machines that recorded one and the same
    change left two entries for one version, of which the first counts. A tag that does not parse is left out."""
    found = sorted(_parsed(value for key, value in tags.items() if key.startswith(prefix)), key=lambda one: one.at)
    changes: list[Change] = []
    for change in found:
        if not changes or changes[-1].version != change.version:
            changes.append(change)
    return changes


def record(name: str, change: Change, changes: Sequence[Change], prefix: str = PREFIX) -> Change:
    """Write a change down after `changes`. A clock that went back does not make history run backwards."""
    at = max(change.at, changes[-1].at + 1) if changes else change.at
    written = replace(change, at=at, reason=shortened(change.reason))
    mlflow_client.tag_model(name, written.key(prefix), json.dumps({**asdict(written), "at": stamp(written.at)}))
    return written


def trail(changes: Iterable[Change]) -> list[int]:
    """The versions that lead to Production, the current one last: a promotion adds one; a way back removes those
    after it, so that a second rollback goes one further back instead of forth."""
    versions: list[int] = []
    for change in changes:
        if change.version is None:
            continue
        if change.how in RETURNING and change.version in versions:
            while versions[-1] != change.version:
                versions.pop()
        elif not versions or versions[-1] != change.version:
            versions.append(change.version)
    return versions


def predecessor(changes: Sequence[Change], current: int | None, existing: Iterable[int]) -> int | None:
    """Where a rollback leads: the last version of the trail before the current one that still exists."""
    alive = set(existing) - {current}
    versions = trail(changes)
    if current is not None and current in versions:
        while versions.pop() != current:
            pass
    return next((number for number in reversed(versions) if number in alive), None)


def author() -> str:
    """The author of changes made here: the MLflow user where one is set, else the login name."""
    named = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return f"uid {os.getuid()}"


def shortened(reason: str) -> str:
    """A reason on one line that fits a tag."""
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def _parsed(values: Iterable[str]) -> Iterable[Change]:
    for value in values:
        try:
            fields = json.loads(value)
            change = Change(**{**fields, "at": _milliseconds(fields["at"])})
            change = replace(change, how=OLD_HOW.get(change.how, change.how))
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(change.at, int) and (change.version is None or isinstance(change.version, int)):
            yield change


def _milliseconds(at: object) -> object:
    """A time as `record` writes it, or, from earlier versions, as milliseconds already."""
    if not isinstance(at, str):
        return at
    return round(datetime.fromisoformat(at).timestamp() * 1000)
