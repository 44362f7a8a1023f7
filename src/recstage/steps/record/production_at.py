"""What was Production at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recstage import registry, tracking
from recstage.config import resolve
from recstage.config.steps import NOW, ProductionAtSettings
from recstage.steps.registry.promotion_history import moment


@dataclass(frozen=True)
class ProductionAtResult:
    """`production` was Production at `at`, since `since`, made so by `by` in the way `how`; None: nothing was."""

    name: str
    at: datetime
    production: int | None
    since: datetime | None = None
    by: str = ""
    how: str = ""
    reason: str = ""


def settings_from(arguments: Sequence[str] = ()) -> ProductionAtSettings:
    """Settings from the command line."""
    return resolve(ProductionAtSettings, {}, arguments, program="production-at")


def run(settings: ProductionAtSettings) -> ProductionAtResult:
    """Raises `ConfigError` on a time that is none, `RegistryError` on an unknown registered model."""
    tracking.connect()
    when = moment(settings.time, "--time")
    registry.reconcile(settings.name)  # changes made in the UI since then are included
    if settings.time == NOW:
        when = moment(NOW)
    change = registry.production_at(when, registry.history(settings.name))
    if change is None:
        return ProductionAtResult(settings.name, when, None)
    return ProductionAtResult(settings.name, when, change.version, change.time, change.by, change.how, change.reason)
