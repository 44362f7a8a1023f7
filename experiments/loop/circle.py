"""The whole circle on simulated users: snapshot, retraining, Staging, experiment, promotion on live evidence.

Everything is real but the users: the service (a program of its own on the loopback), its database, the registry, the
steps that `mlflow run` calls. The users' tastes are known, so it is known as well what each version truly earns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from experiments.benchmarks.environment import Running
from recstage import tracking
from recstage.config import SyntheticSource
from recstage.data.synthetic.population import Population
from recstage.errors import GateRefused, StoreError
from recstage.plots import live_figures
from recstage.steps import train
from recstage.steps.experiments import ab_report, drift, experiment, watch
from recstage.steps.registry import promote
from recstage.steps.retraining import retrain
from recstage.steps.simulation.visitors import Visitors, Visits

NAME = "recommender"
BEFORE, AFTER = 0.2, 0.2
"""Shares of the population's time (drift, new users) before the experiment and after it."""


@dataclass(frozen=True)
class Size:
    """How much of everything. `looks`: batches of `batch` lists until the experiment is given up."""

    users: int = 3000
    items: int = 400
    past: int = 30_000
    before: int = 6000
    batch: int = 1500
    looks: int = 20
    after: int = 3000
    effect: float = 0.2
    """Relative difference that the experiment is planned to find."""
    challengers: tuple[str, ...] = ("als", "knn")


QUICK = Size(
    users=1200,
    items=120,
    past=8000,
    before=800,
    batch=1000,
    looks=8,
    after=600,
    effect=0.5,
    challengers=("als",),
)


@dataclass
class Stage:
    """One stage of the circle: lists shown meanwhile, and what each version's lists truly earned."""

    name: str
    seconds: float
    lists: int
    rates: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    """By version: lists, share with a click, true chance of a click."""


@dataclass
class CircleResult:
    """What happened. `refusal`: of the promotion before there was evidence; `verdict` and `summary` of the last look.
    `promoted`: whether the challenger is Production; `rolled_back`: whether the watcher took it out again."""

    first: int = 0
    challenger: int | None = None
    refusal: str = ""
    verdict: str = ""
    summary: str = ""
    looks: int = 0
    promoted: bool = False
    rolled_back: bool = False
    lists: int = 0
    events: int = 0
    lists_a_minute: float = 0.0
    snapshot_to_promotion: float = math.nan
    """Seconds from the beginning of the retraining, whose first step is the snapshot, until the service followed."""
    seconds: float = 0.0
    run_id: str = ""
    stages: list[Stage] = field(default_factory=list)


class Circle:
    """One circle; `say` gets each line of the narrative."""

    def __init__(self, running: Running, size: Size, seed: int, say: Callable[[str], None]) -> None:
        self.running, self.size, self.seed = running, size, seed
        source = SyntheticSource(
            users=size.users, items=size.items, interactions=size.past, profile="advice", seed=seed
        )
        self.visitors = Visitors(Population(source, seed=seed), f"http://127.0.0.1:{running.port}")
        self._say = say
        self.lines: list[str] = []
        self.result = CircleResult()
        self._visit_seconds = 0.0

    def run(self) -> CircleResult:
        """All stages in turn, and their report as a run in MLflow."""
        began = time.monotonic()
        self.past()
        retrained = time.monotonic()
        if self.retrain():
            self.refused_without_evidence()
            if self.experiment():
                self.promote()
                self.result.snapshot_to_promotion = time.monotonic() - retrained
                self.afterwards()
        self.result.seconds = time.monotonic() - began
        self.result.lists_a_minute = 60 * self.result.lists / self._visit_seconds
        self._report()
        return self.result

    # -- the stages ---------------------------------------------------------------------------------------------------

    def past(self) -> None:
        """A service with a past and a plain Production: popularity."""
        began, population = time.monotonic(), self.visitors.population
        self.say("1. A service with a past: the catalogue and what users found by themselves, over HTTP.")
        items, stored = self.visitors.post_catalogue(), self.visitors.post_history(self.size.past)
        late, bots = int((population.joins > 0).sum()), int(population.bot.sum())
        self.say(f"   {items} items, {stored} events; {self.size.users} users, {late} of them come later, {bots} bots")
        options = {"register": True, "name": NAME}
        first = train.run(train.settings_from("popularity", "service", overrides=options)).version
        assert first is not None
        reason = "the first: there is nothing to compare it with"
        promote.run(promotion_settings(first, "--force", "true", "--reason", reason))
        self.running.serves(first)
        self.result.first = first
        self.say(f"   version {first} (popularity) is Production, and the service follows")
        self._stage("before", began, self._visits(self.size.before, [BEFORE * i / 4 for i in range(4)]))

    def retrain(self) -> bool:
        """Snapshot, challengers, gate; whether one became Staging."""
        began = time.monotonic()
        self.say("2. Retraining: a snapshot of what the service collected, challengers, the gate, Staging.")
        done = retrain.run(
            retrain.settings_from(["--now", "true", "--retraining.challengers", _as_list(self.size.challengers)])
        )
        for model, verdict in done.verdicts.items():
            self.say(f"   {model}, version {done.versions[model]}: {verdict}")
        for model, why in done.failed.items():
            self.say(f"   {model} failed: {why}")
        self.result.challenger = done.staging.get(NAME)
        self.say(f"   {done.outcome}  ({time.monotonic() - began:.1f} s)")
        self._stage("retraining", began, Visits())
        return self.result.challenger is not None

    def refused_without_evidence(self) -> None:
        """A promotion that asks for live evidence, before there is any."""
        challenger = self.result.challenger
        try:
            promote.run(promotion_settings(challenger, "--require", "ab"))
        except GateRefused as refusal:
            self.result.refusal = refusal.rule
            self.say(f"3. Promotion with require=ab, too early: {refusal.rule}")
            return
        raise StoreError(
            f"version {challenger}", rule="it was promoted without live evidence", fix="This is a defect: report it"
        )

    def experiment(self) -> bool:
        """Half of the users get the challenger; a look after every batch. Whether it is better."""
        began, result, total = time.monotonic(), self.result, Visits()
        started = experiment.run(experiment.settings_from(["--share", "0.5"]))
        self.say(f"4. Experiment {started.experiment}: half of the users get version {started.challenger}.")
        self.running.until(lambda: self._shows(started.experiment), pause=0.2)
        for look in range(self.size.looks):
            moment = BEFORE + (1 - BEFORE - AFTER) * look / self.size.looks
            _add(total, self._visits(self.size.batch, [moment]))
            seen = ab_report.run(ab_report.settings_from(["--promotion.experiment.effect", str(self.size.effect)]))
            result.verdict, result.summary, result.looks = seen.verdict, seen.summary, look + 1
            self.say(f"   look {look + 1}, {total.lists} lists: {seen.verdict}: {seen.summary}")
            if seen.verdict != "undecided":
                for what, number in seen.left_out.items():
                    self.say(f"   left out: {number} {what}")
                break
        self._stage("experiment", began, total)
        return result.verdict == "better"

    def promote(self) -> None:
        """The same promotion, with the evidence."""
        began, challenger = time.monotonic(), self.result.challenger
        assert challenger is not None
        done = promote.run(promotion_settings(challenger, "--require", "ab", "--reason", "better on live users"))
        waited = self.running.serves(challenger)
        self.result.promoted = True
        self.say(f"5. Promotion with require=ab: version {done.version} is Production (gate: {done.gate}).")
        self.say(f"   the service follows after {waited:.1f} s")
        self._stage("promotion", began, Visits())

    def afterwards(self) -> None:
        """The new Production alone, with the watcher beside it."""
        began, total = time.monotonic(), Visits()
        self.say("6. All users get the new Production, and the watcher compares it with its predecessor.")
        for part in range(3):
            _add(total, self._visits(self.size.after // 3, [1 - AFTER + AFTER * part / 3]))
            seen = watch.run(watch.settings_from(["--once", "true"]))
            self.result.rolled_back = self.result.rolled_back or seen.rolled_back is not None
        self.say(
            f"   rolled back: {'; '.join(seen.breaches)}" if self.result.rolled_back else "   no guard limit broke"
        )
        found = drift.run(drift.settings_from(["--version", str(self.result.challenger), "--days", "1"]))
        self.say(f"   drift since its training: {', '.join(found.shifted) or 'none'} (run {found.run_id})")
        self._stage("afterwards", began, total)

    # -- the report ---------------------------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        """One line of the narrative, which is the report's text as well."""
        self.lines.append(line)
        self._say(line)

    def _visits(self, lists: int, moments: Sequence[float]) -> Visits:
        total = Visits()
        for moment in moments:
            _add(total, self.visitors.visit(max(1, lists // len(moments)), moment))
        self.result.lists += total.lists
        self.result.events += total.events
        self._visit_seconds += total.seconds
        if total.statuses:
            self.say(f"   answers that were no list, by status: {total.statuses}")
        return total

    def _stage(self, name: str, began: float, visits: Visits) -> None:
        rates = {version: (arm.lists, arm.rate, arm.true_rate) for version, arm in sorted(visits.arms.items())}
        self.result.stages.append(Stage(name, time.monotonic() - began, visits.lists, rates))
        for version, (lists, rate, true) in rates.items():
            self.say(f"   version {version}: {lists} lists of humans, {rate:.1%} clicked, {true:.1%} by true taste")

    def _shows(self, name: str) -> bool:
        # a probe of no user of the population: one list that names the experiment it is part of
        _, body = self.running.call("GET", "/api/recommendations?user_id=probe&limit=1")
        return f'"{name}"'.encode() in body

    def _report(self) -> None:
        result = self.result
        minutes = result.seconds / 60
        self.say(f"{result.lists} lists and {result.events} events in {minutes:.1f} minutes;")
        self.say(f"{result.lists_a_minute:,.0f} lists a minute while users came")
        if result.promoted:
            self.say(f"from snapshot to promotion on live evidence: {result.snapshot_to_promotion:.0f} s")
        rows = pd.DataFrame(
            [(stage.name, version, *rate) for stage in result.stages for version, rate in stage.rates.items()],
            columns=["stage", "version", "lists", "click_through", "true_click_through"],
        )
        tags = {"stage-of-work": "loop", "loop.verdict": result.verdict or "none"}
        with tracking.run("feedback loop", tags=tags, system_metrics=False) as active:
            result.run_id = active.info.run_id
            tracking.log_text(result.run_id, "\n".join(self.lines) + "\n", "loop.txt")
            tracking.log_note(result.run_id, "\n\n".join(self.lines))
            tracking.log_table(result.run_id, "loop", rows)
            tracking.log_figures(result.run_id, {"loop-click-through": live_figures.click_through_by_stage(rows)})
            tracking.log_metrics(result.run_id, _metrics(result))


def _metrics(result: CircleResult) -> dict[str, float]:
    values: dict[str, Any] = asdict(result)
    names = ("looks", "lists", "events", "lists_a_minute", "snapshot_to_promotion", "seconds")
    figures = {name: float(values[name]) for name in names} | {"promoted": float(result.promoted)}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def promotion_settings(version: int | None, *words: str) -> Any:
    """Settings of a promotion of one version; further ones as on the command line."""
    return promote.settings_from(["--version", str(version), *words])


def _as_list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _add(total: Visits, more: Visits) -> None:
    total.lists, total.events, total.seconds = (
        total.lists + more.lists,
        total.events + more.events,
        total.seconds + more.seconds,
    )
    for status, number in more.statuses.items():
        total.statuses[status] = total.statuses.get(status, 0) + number
    for version, arm in more.arms.items():
        known = total.arms.setdefault(version, type(arm)())
        known.lists, known.clicked, known.expected = (
            known.lists + arm.lists,
            known.clicked + arm.clicked,
            known.expected + arm.expected,
        )
