"""Retrain where it is due: challengers on a fresh snapshot, judged against Production, the winner staged as Staging.

Each step writes into the journal (tags of the run) what it did: after a kill the next retraining goes on from there, on
the same snapshot. Nothing here promotes: Production changes through `promote` alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from recstage import registry, tracking
from recstage.config import read_yaml, resolve, root
from recstage.config.retraining import ReverseTriggers, Triggers
from recstage.config.steps import Direction, RetrainSettings
from recstage.data.dataset import Dataset
from recstage.errors import ConfigError, RecstageError, RegistryError
from recstage.models.base import POPULARITY
from recstage.registry import Version, mlflow_client
from recstage.steps import notification, train
from recstage.steps.registry import promote
from recstage.steps.retraining import challengers, hosts, pipeline_metrics
from recstage.steps.retraining.plan import Plan, plan, production_of
from recstage.steps.retraining.triggers import Trigger
from recstage.tracking import journal
from recstage.tracking.journal import DONE, FAILED, Journal

RATE_OF = 20
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
LONGEST_MESSAGE = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrainResult:
    """`due`: whether a trigger fired (or one was interrupted), `triggers` what each said. `steps`: what a dry run would
    do. `versions`: registered challengers; `verdicts` of the gate and `failed` challengers, by model, in words;
    `staging`: what is Staging afterwards, by registered model; `outcome` in one line."""

    name: str
    due: bool
    dry_run: bool
    outcome: str
    triggers: list[Trigger]
    steps: list[str] = field(default_factory=list)
    run_id: str | None = None
    versions: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    staging: dict[str, int | None] = field(default_factory=dict)
    success_rate: float | None = None


def settings_from(arguments: Sequence[str] = ()) -> RetrainSettings:
    """Settings from conf/retraining.yaml, conf/promotion.yaml and the command line."""
    defaults = {name: read_yaml(root() / "conf" / f"{name}.yaml") for name in ("retraining", "promotion")}
    found: RetrainSettings = resolve(RetrainSettings, defaults, arguments, program="retrain")
    return _reversed(found) if found.direction == "reverse" else found


def _reversed(settings: RetrainSettings) -> RetrainSettings:
    """The settings of the other direction, whose challengers and triggers are those of the section `reverse`."""
    config, other = settings.retraining, settings.retraining.reverse
    if other is None:
        raise ConfigError(
            "direction = reverse",
            rule="conf/retraining.yaml has no section `reverse`",
            fix="Write one: reverse: {challengers: [reverse-als]}",
        )
    triggers = Triggers(quality=None, **{name: getattr(other.triggers, name) for name in ReverseTriggers.model_fields})
    changed = {"challengers": other.challengers, "triggers": triggers}
    return settings.model_copy(update={"retraining": config.model_copy(update=changed)})


def run(settings: RetrainSettings) -> RetrainResult:
    """Look, and retrain where it is due. Raises `StoreError` where another retraining of this registered model runs or
    a database is away, `RecstageError` where no challenger could be trained; failures are told as conf/retraining.yaml
    says."""
    tracking.connect()
    if settings.dry_run:
        return _looked(settings, plan(settings))
    telling = notification.told_on_failure(settings.retraining.notify, "retraining failed", settings.registered)
    here = mlflow_client.work_lock(settings.registered, "retraining")
    with here, hosts.alone(f"retraining of {settings.registered}"), telling:
        found = plan(settings)
        return _retrained(settings, found) if found.due else _looked(settings, found)


def _looked(settings: RetrainSettings, found: Plan) -> RetrainResult:
    for one in found.triggers:
        log.info("%s %s: %s", "due    " if one.fired else "not due", one.name, one.says)
    outcome = f"would retrain ({found.why})" if found.due else "nothing to do: no trigger fired"
    for step in found.steps:
        log.info("would %s", step)
    return RetrainResult(settings.registered, found.due, settings.dry_run, outcome, found.triggers, found.steps)


def _retrained(settings: RetrainSettings, found: Plan) -> RetrainResult:
    log.info("retraining: %s", found.why)
    tags = {"stage-of-work": journal.WORK, "name": settings.registered}
    try:
        with tracking.run(f"retrain {settings.registered}", tags=tags, system_metrics=False) as active:
            written = Journal.begin(active.info.run_id, settings.registered, found.identity, found.interrupted)
            tracking.log_config(active.info.run_id, settings.model_dump(mode="json"))
            job = _Job(settings, found, written)
            try:
                result = job.run()
            except RecstageError as error:
                if not _may_pass(error):
                    written.close(FAILED)
                raise
            written.close(DONE)
            rate = success_rate(settings)
            tracking.log_metrics(active.info.run_id, {"pipeline_success_rate": rate})
    except Exception:
        success_rate(settings)
        raise
    return replace(result, success_rate=rate)


def _may_pass(error: RecstageError) -> bool:
    """Whether the same retraining may go on later: where a store is away, not where the input is wrong."""
    from recstage.errors import StoreError

    return isinstance(error, StoreError)


def success_rate(settings: RetrainSettings) -> float:
    """The share of the last retrainings that ended well, written for Prometheus as well (of both directions: it is one
    file); 1 where none has ended."""
    try:
        names = [settings.model_copy(update={"direction": one}).registered for one in DIRECTIONS]
        ended = {name: [one for one in journal.past(name) if one.state in (DONE, FAILED)] for name in names}
    except Exception:  # the store is away: that is being told already
        return 0.0
    rates = {name: pipeline_metrics.Rate.of(over[:RATE_OF]) for name, over in ended.items()}
    shown = {name: rate for name, rate in rates.items() if ended[name] or name == settings.registered}
    pipeline_metrics.write_metrics(settings.retraining.notify, shown)
    return rates[settings.registered].share


class _Job:
    """One retraining within its run: every method can be repeated, and skips what the journal has."""

    def __init__(self, settings: RetrainSettings, found: Plan, written: Journal) -> None:
        self.settings, self.plan, self.journal = settings, found, written

    def run(self) -> RetrainResult:
        data, config, seen = self.prepare()
        challengers.prune_snapshots(
            root() / "data" / "snapshots", self.settings.retraining.keep_snapshots, str(self.journal.get("snapshot"))
        )
        trained = self.train(config)
        versions = self.register(trained)
        verdicts = self.judge(versions, data, seen)
        staging = self.stage(versions, verdicts)
        if self.settings.retraining.prune:
            self.prune()
        best = [f"version {number} of {name} is Staging" for name, number in staging.items() if number is not None]
        outcome = "; ".join(best) or "no challenger passed the gate: nothing was staged"
        if not self.settings.retraining.stage:
            outcome = f"{len(versions)} challengers are registered; staging is off"
        return RetrainResult(
            self.settings.registered,
            True,
            False,
            outcome,
            self.plan.triggers,
            run_id=self.journal.run_id,
            versions=versions,
            verdicts=verdicts,
            failed=self.failed,
            staging=staging,
        )

    @property
    def failed(self) -> dict[str, str]:
        """Challengers that could not be trained, with the reason."""
        names = [name for members in self.plan.families.values() for name in members]
        found = {name: self.journal.get(f"failed.{name}") for name in names}
        return {name: why for name, why in found.items() if why is not None}

    def prepare(self) -> tuple[Dataset, Any, dict[str, int]]:
        """The fresh data, and how far the training of each Production reached."""
        located = challengers.data_of(self.settings, self.journal.get("snapshot"))
        champions = {name: production_of(name) for name in self.plan.families}
        seen = {name: challengers.trained_until(one) for name, one in champions.items() if one is not None}
        config, data = challengers.fresh(located, seen)
        if self.journal.get("fingerprint") not in (None, data.fingerprint):
            for name in [one for members in self.plan.families.values() for one in members]:
                self.journal.put(f"trained.{name}", None)  # on other data than there is now: once more
        path = getattr(located.source, "path", None) or located.name
        facts = {"snapshot": path, "fingerprint": data.fingerprint, "data": located.name}
        until = getattr(located.source, "until", None)
        for key, value in {**facts, "until": until, "trained_at": int(time.time() * 1000)}.items():
            if self.journal.get(key) != value:
                self.journal.put(key, value)
        tracking.log_dataset(self.journal.run_id, data)
        tracking.log_snapshot(self.journal.run_id, config)
        return data, config, seen

    def train(self, config: Any) -> dict[str, str]:
        """The runs of the challengers, by model: one that fails does not keep the others from being trained. Raises
        what ended the last where none could be."""
        trained, last_error = {}, None
        wanted = [name for members in self.plan.families.values() for name in members]
        first = self.settings.name in self.plan.families and production_of(self.settings.name) is None
        if first and POPULARITY not in wanted:
            wanted.append(POPULARITY)  # what a first Production must beat
        for name in wanted:
            known = self.journal.get(f"trained.{name}")
            if known is None:
                try:
                    last = challengers.last_of(name, self.settings)
                    plan_of = challengers.settings_of(name, self.settings, config, last)
                    known = train.run(plan_of, nested=True).run_id
                except RecstageError as error:
                    last_error = error
                    log.warning("challenger %s: %s", name, error)
                    self.journal.put(f"failed.{name}", str(error)[:LONGEST_MESSAGE])
                    continue
                self.journal.put(f"trained.{name}", known)
                if self.journal.get(f"failed.{name}") is not None:
                    self.journal.put(f"failed.{name}", None)
            trained[name] = known
        challenging = {name: run_id for name, run_id in trained.items() if name in self.members}
        if not challenging and last_error is not None:
            raise last_error
        return challenging

    @property
    def members(self) -> list[str]:
        """All challengers."""
        return [name for members in self.plan.families.values() for name in members]

    def register(self, trained: dict[str, str]) -> dict[str, int]:
        """A version of each run; registering one twice is registering it once."""
        versions = {}
        for family, members in self.plan.families.items():
            for name in members:
                if name in trained:
                    versions[name] = registry.register(trained[name], family).number
        return versions

    def judge(self, versions: dict[str, int], data: Dataset, seen: dict[str, int]) -> dict[str, str]:
        """The gate's verdict on each version, written onto it as `promote` does."""
        verdicts = {}
        for family, members in self.plan.families.items():
            champion = production_of(family)
            for name in [one for one in members if one in versions]:
                known = self.journal.get(f"verdict.{name}")
                if known is None:
                    known = self._judged(registry.version_of(family, versions[name]), champion, data, seen)
                    self.journal.put(f"verdict.{name}", known)
                log.info("%s version %d: %s", name, versions[name], known)
                verdicts[name] = known
        return verdicts

    def _judged(self, version: Version, champion: Version | None, data: Dataset, seen: dict[str, int]) -> str:
        config, against = self.settings.promotion, ""
        if champion is not None:
            against = promote.other_data(version, champion, config.guardrails.common_share)
            against = against or challengers.spoilt(data, seen, self.settings.retraining.least_test_users)
        verdict = promote.gate.refuse("data", against) if against else promote.judge(version, champion, config)
        outcome = "passed" if verdict.passed else "refused"
        promote.write_down(version, verdict, outcome)
        return f"{outcome}: {verdict.summary}"[:LONGEST_MESSAGE]

    def stage(self, versions: dict[str, int], verdicts: dict[str, str]) -> dict[str, int | None]:
        """The best of each registered model that passed becomes Staging; where none did, Staging stays as it is."""
        staging: dict[str, int | None] = {}
        for family, members in self.plan.families.items():
            passed = [name for name in members if verdicts.get(name, "").startswith("passed")]
            best = self._best(family, {name: versions[name] for name in passed})
            if best is not None and self.settings.retraining.stage:
                by = self.settings.by or registry.author()
                reason = self.settings.reason or f"the best of {len(members)} challengers ({self.plan.why})"
                try:
                    registry.set_staging(family, best, how="retrain", by=by, reason=reason)
                except RegistryError as error:  # promoted meanwhile: it need not be staged any more
                    log.warning("%s", error)
            if registry.exists(family):
                found = registry.reconcile_staging(family).version
                staging[family] = None if found is None else found.number
        return staging

    def prune(self) -> None:
        """Delete versions beyond the last few of each algorithm; what anything needs stays, and so do all runs."""
        for family in self.plan.families:
            if registry.exists(family):
                for version in registry.prune(family, keep=self.settings.promotion.keep).deleted:
                    log.info("deleted %s: a newer one of each kind is kept", version)

    def _best(self, family: str, numbers: dict[str, int]) -> int | None:
        metric = self.settings.promotion.metric
        measured = []
        for number in numbers.values():
            value = promote.evidence.metric_of(registry.version_of(family, number), metric)
            measured.append((-1.0 if value is None else value, number))
        return max(measured)[1] if measured else None
