"""What a retraining would do now and why: the facts, the triggers, an interrupted one to go on with."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass

from recstage import registry, tracking
from recstage.config import ServiceSource, model_config_of
from recstage.config.steps import RetrainSettings
from recstage.data import dataset
from recstage.data.snapshots import activity
from recstage.data.snapshots.activity import Activity
from recstage.errors import NoProduction, RegistryError
from recstage.registry import Version
from recstage.steps.retraining.triggers import Facts, Trigger, judge
from recstage.steps.train_settings import registered_name
from recstage.tracking import journal
from recstage.tracking.journal import DONE, OPEN, Past

EARLIER = 5
"""Windows are read so many times further back than they are judged: the line is taken from those before."""


@dataclass(frozen=True)
class Plan:
    """`due` where a trigger fired, or `interrupted` is a retraining to finish. `families`: registered models and the
    challengers of each; `production`: their versions."""

    due: bool
    triggers: list[Trigger]
    interrupted: Past | None
    families: dict[str, list[str]]
    production: dict[str, Version | None]
    identity: str

    @property
    def why(self) -> str:
        """The reasons in one line."""
        if self.interrupted is not None:
            return f"run {self.interrupted.run_id} was interrupted"
        return "; ".join(f"{one.name}: {one.says}" for one in self.triggers if one.fired)

    @property
    def steps(self) -> list[str]:
        """What would be done, a line each."""
        if not self.due:
            return []
        done = {} if self.interrupted is None else self.interrupted.entries
        lines = ["take a snapshot and prepare it" if "snapshot" not in done else f"go on with {done['snapshot']}"]
        for name, challengers in self.families.items():
            left = [one for one in challengers if f"trained.{one}" not in done]
            if left:
                lines.append(f"train {', '.join(left)}")
            champion = self.production[name]
            against = "popularity: nothing is Production" if champion is None else str(champion)
            lines.append(f"register them as versions of {name}, judge them against {against}")
            lines.append(f"stage the best of {name} that passes the gate as Staging")
        return lines


def plan(settings: RetrainSettings) -> Plan:
    """Look; changes nothing. Raises `ConfigError` on a wrong name, `StoreError` where a database is away."""
    families: dict[str, list[str]] = {}
    for challenger in settings.retraining.challengers:
        families.setdefault(registered_name(model_config_of(challenger), settings.name), []).append(challenger)
    production = {name: production_of(name) for name in families}
    past = journal.past(settings.registered)
    facts = _facts(settings, past, production.get(settings.registered))
    triggers = judge(facts, settings.retraining.triggers, asked=settings.now)
    identity = identity_of(settings)
    newest = past[0] if past else None
    interrupted = newest if newest is not None and newest.state == OPEN and newest.identity == identity else None
    due = interrupted is not None or any(one.fired for one in triggers)
    return Plan(due, triggers, interrupted, families, production, identity)


def production_of(name: str) -> Version | None:
    """Production of a registered model; None where there is none, or no such model yet."""
    try:
        return registry.production(name)
    except NoProduction:
        return None
    except RegistryError:
        if registry.exists(name):
            raise
        return None


def identity_of(settings: RetrainSettings) -> str:
    """Changes with what a retraining does: an interrupted one is gone on with only where it is the same."""
    chosen = settings.retraining.model_dump(include={"data", "challengers", "trials", "warm_start"})
    text = json.dumps([settings.registered, settings.seed, chosen], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _facts(settings: RetrainSettings, past: list[Past], production: Version | None) -> Facts:
    now = int(time.time() * 1000)
    trained_at, until = _last_training(settings, past)
    source = dataset.config_of(settings.retraining.data)["source"]
    found: Activity | None = None
    if source["kind"] == "service":
        quality = settings.retraining.triggers.quality
        found = activity.read(
            ServiceSource(**source),
            until=until,
            version=None if production is None else production.number,
            now_ms=now,
            hours=24.0 if quality is None else quality.hours,
            windows=0 if quality is None else EARLIER * quality.windows,
        )
    return Facts(now, trained_at, until, found)


def _last_training(settings: RetrainSettings, past: list[Past]) -> tuple[int | None, int | None]:
    """When it was, and the number of its newest event: by the journals, else by the newest version on this data."""
    data = dataset.config_of(settings.retraining.data)["name"]
    for one in past:
        if one.state == DONE and one.entries.get("data") == data:
            return int(one.entries.get("trained_at", one.at)), one.entries.get("until")
    if not registry.exists(settings.registered):
        return None, None
    trained = [one for one in registry.versions(settings.registered) if registry.UPDATED_FROM not in one.tags]
    of_data = [one for one in trained if one.tags.get("data") == data]
    if not of_data:
        return None, None
    until = of_data[0].tags.get(tracking.UNTIL_TAG, "")
    return of_data[0].created_at, int(until) if until.isdigit() else None
