"""Watch a fresh Production: where it breaks a guard limit, what was Production before comes back, and someone is told.

Everything the watcher needs stands in the registry (who is Production since when) and in the service's database (a row
for each list), so it may run anywhere, and any number of times.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from recstage import registry, tracking
from recstage.config import ServiceSource, read_yaml, resolve, root
from recstage.config.experiments import WatchConfig
from recstage.config.steps import WatchSettings
from recstage.data.snapshots import experiments
from recstage.data.snapshots.connection import connected
from recstage.errors import RecstageError
from recstage.experiments.guard_limits import BREACH_TAG, Breach, Window, breaches
from recstage.registry import Change, Overtaken, mlflow_client
from recstage.steps.notification import notify

BY = "recstage watch"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchResult:
    """`production` after the last look. `rolled_back`: the version that was, and `breaches` why; None where none was.
    `told`: what could not be told, if anything."""

    name: str
    production: int | None
    watched: bool
    lists: int = 0
    rolled_back: int | None = None
    breaches: list[str] = field(default_factory=list)
    not_told: list[str] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> WatchSettings:
    """Settings from conf/promotion.yaml and the command line."""
    defaults = {"promotion": read_yaml(root() / "conf" / "promotion.yaml")}
    return resolve(WatchSettings, defaults, arguments, program="watch")


def run(settings: WatchSettings) -> WatchResult:
    """Look until interrupted, or once. While the registry or the database is unavailable that is logged, and looked
    again; with `once` it is raised."""
    tracking.connect()
    while True:
        try:
            found = look(settings, time.time())
        except RecstageError as error:
            if settings.once:
                raise
            log.warning("%s", error)
        else:
            if settings.once:
                return found
        time.sleep(settings.promotion.watch.seconds)


def look(settings: WatchSettings, now: float) -> WatchResult:
    """One look at `now` (seconds since 1970), and the rollback where a limit is broken."""
    config = settings.promotion.watch
    production = registry.reconcile(settings.name).version
    change = next(reversed(registry.history(settings.name)), None)
    if production is None or change is None or not _fresh(change, production.number, config, now):
        return WatchResult(settings.name, None if production is None else production.number, watched=False)
    existing = [version.number for version in registry.versions(settings.name)]
    before = registry.predecessor(registry.history(settings.name), production.number, existing)
    if before is None:
        return WatchResult(settings.name, production.number, watched=False)
    fresh, predecessor = windows(settings.url, config, change, str(before), now)
    broken = breaches(fresh, predecessor, config)
    if not broken or settings.dry_run:
        return WatchResult(settings.name, production.number, True, fresh.lists, None, [one.message for one in broken])
    return _roll_back(settings, production.number, before, broken, fresh.lists)


def windows(url: str, config: WatchConfig, change: Change, before: str, now: float) -> tuple[Window, Window]:
    """The lists of the fresh Production in the window since its promotion, and of its predecessor up to then."""
    end, minutes = int(now * 1000) + 1, int(config.window_minutes * 60_000)
    settled = now * 1000 - config.settle_seconds * 1000
    spans = (
        (str(change.version), max(change.at, end - minutes), end, settled),
        (before, int(change.at - config.predecessor_hours * 3_600_000), end, settled),
    )
    found = []
    with connected(ServiceSource(url=url)) as connection:
        for version, since, until, settled_before in spans:
            lists = experiments.lists_of(connection, version=version, since=since, until=until)
            outcomes = experiments.outcomes_of(connection, version=version, since=since, until=until)
            clicked = outcomes.loc[outcomes["outcome"] == "click", "request_id"]
            found.append(Window.of(lists, clicked, settled_before))
    return found[0], found[1]


def _fresh(change: Change, production: int, config: WatchConfig, now: float) -> bool:
    """Whether the promotion is recent, and one that a rollback may answer: a way back is not watched."""
    age = now - change.at / 1000
    return change.version == production and change.how != "rollback" and age <= config.hours * 3600


def _roll_back(settings: WatchSettings, number: int, before: int, broken: Sequence[Breach], lists: int) -> WatchResult:
    name, reason = settings.name, "; ".join(one.message for one in broken)
    try:
        registry.set_production(name, before, how="rollback", by=BY, reason=reason, expected=number)
    except Overtaken as error:  # someone else was faster: what is Production now is looked at next time
        log.warning("%s", error)
        return WatchResult(name, error.current, False)
    mlflow_client.tag_version(name, number, {BREACH_TAG: reason})
    log.warning("version %s of %s was rolled back to %s: %s", number, name, before, reason)
    message = {"event": "rollback", "name": name, "version": number, "production": before, "reason": reason}
    told = notify(settings.promotion.watch.webhook, settings.promotion.watch.command, message)
    return WatchResult(name, before, True, lists, number, [one.message for one in broken], told)
