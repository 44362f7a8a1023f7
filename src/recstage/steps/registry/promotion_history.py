"""Who was made Production, when, by whom and why; and what was Production at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from recstage import registry, tracking
from recstage.config import resolve
from recstage.config.steps import NOW, HistorySettings
from recstage.errors import ConfigError
from recstage.registry import Change
from recstage.registry.audit_log import STAGING_PREFIX

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A change of Production; `version` None: nothing was Production from then on."""

    version: int | None
    previous: int | None
    at: datetime
    by: str
    how: str
    reason: str


@dataclass(frozen=True)
class HistoryResult:
    """`production` is the version that was Production at `at`; `changes` are all up to then, oldest first. `conflict`:
    what stage and alias disagree about now; empty where they agree. `staging` and `staging_changes` are the same of
    Staging."""

    name: str
    at: datetime
    production: int | None
    changes: list[Entry]
    conflict: str
    staging: int | None = None
    staging_changes: list[Entry] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> HistorySettings:
    """Settings from the command line."""
    return resolve(HistorySettings, {}, arguments, program="history")


def run(settings: HistorySettings) -> HistoryResult:
    """Raises `ConfigError` on a time that is none, `RegistryError` on an unknown registered model."""
    tracking.connect()
    when = moment(settings.at)
    conflict = registry.reconcile(settings.name).conflict  # changes made in the UI since then are included
    waiting = registry.reconcile_staging(settings.name)
    if settings.at == NOW:
        when = moment(NOW)  # after what reconciling has just recorded
    past = [change for change in registry.history(settings.name) if change.time <= when]
    entries = [_entry(change) for change in past]
    for line in as_text(entries).splitlines():
        log.info("%s", line)
    staged = [_entry(one) for one in registry.history(settings.name, STAGING_PREFIX) if one.time <= when]
    return HistoryResult(
        settings.name,
        when,
        entries[-1].version if entries else None,
        entries,
        "; ".join(one for one in (conflict, waiting.conflict) if one),
        staged[-1].version if staged else None,
        staged,
    )


def as_text(entries: Sequence[Entry]) -> str:
    """For a terminal: a line a change, the newest first."""
    if not entries:
        return "Nothing was Production."
    lines = []
    for entry in reversed(entries):
        version = "none" if entry.version is None else f"version {entry.version}"
        local = entry.at.astimezone()
        lines.append(f"{local:%Y-%m-%d %H:%M:%S}  {version:<12} {entry.how:<10} {entry.by:<18} {entry.reason}".rstrip())
    return "\n".join(lines)


def moment(text: str, option: str = "--at") -> datetime:
    """A time as it is written on a command line. Raises `ConfigError` on one that is none."""
    if text == NOW:
        return datetime.now().astimezone()
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{option} {text}",
            rule="a time is written as ISO 8601",
            fix="Write it like 2026-11-20T18:00 or 2026-11-20T18:00Z",
        ) from error


def _entry(change: Change) -> Entry:
    return Entry(change.version, change.previous, change.time, change.by, change.how, change.reason)
