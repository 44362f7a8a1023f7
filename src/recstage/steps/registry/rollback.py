"""Stage what was Production before, or a named version: without asking the gate, at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recstage import registry, tracking
from recstage.config import resolve
from recstage.config.steps import PREVIOUS, RollbackSettings
from recstage.errors import RegistryError


@dataclass(frozen=True)
class RollbackResult:
    """`version` is Production now; `previous` was. They are equal where a named version was Production already."""

    name: str
    version: int
    previous: int | None
    metrics: dict[str, float]


def settings_from(arguments: Sequence[str] = ()) -> RollbackSettings:
    """Settings from the command line."""
    return resolve(RollbackSettings, {}, arguments, program="rollback")


def run(settings: RollbackSettings) -> RollbackResult:
    """Raises `RegistryError` where nothing was Production before, or the named version does not exist."""
    tracking.connect()
    name = settings.name
    current = registry.reconcile(name).version
    number = None if current is None else current.number
    target = _target(settings, number)
    registry.set_production(
        name, target, how="rollback", by=settings.by or registry.author(), reason=settings.reason, expected=number
    )
    return RollbackResult(name, target, number, registry.figures(registry.version_of(name, target)))


def _target(settings: RollbackSettings, current: int | None) -> int:
    if settings.to != PREVIOUS:
        return registry.version_of(settings.name, settings.to).number
    existing = [version.number for version in registry.versions(settings.name)]
    target = registry.predecessor(registry.history(settings.name), current, existing)
    if target is None:
        raise RegistryError(
            f"rollback of {settings.name}",
            rule="no version that still exists was Production before",
            fix=f"Name one: --to {' or '.join(str(number) for number in existing if number != current) or 'N'}",
        )
    return target
