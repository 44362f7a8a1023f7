"""The loop without a hand on it: users come, and the triggers, the evidence and the watcher decide all else.

    python -m experiments.loop --minutes 60

Each round a batch of visits, then what a scheduler would do: `retrain` (nothing is asked for, a trigger must fire), an
experiment on half of the users where a version waits in Staging, `ab-report`, `promote` with require=ab where the
verdict is better, the end of the experiment where it is not-better, and one look of `watch`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import pandas as pd

from experiments.loop.circle import NAME, Circle, promotion_settings
from recstage import registry, tracking
from recstage.errors import RecstageError
from recstage.registry import Version
from recstage.steps.experiments import ab_report, experiment, watch
from recstage.steps.registry import promote
from recstage.steps.retraining import retrain

RATIO = "1.3"
"""Interactions, as a multiple of those at the last training, that call for another: an hour is no week."""
TOLD_EVERY = 10


@dataclass
class Account:
    """What happened. `done` counts retrainings, experiments, verdicts, promotions, rollbacks and failures by name;
    `statuses` answers that were no list; memory of the serving process in MB."""

    seconds: float = 0.0
    rounds: int = 0
    lists: int = 0
    events: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    memory_begin: float = 0.0
    memory_end: float = 0.0
    production: int | None = None
    run_id: str = ""


class Unattended(Circle):
    """Rounds of visits and decisions until the time is over."""

    account: Account

    def run_for(self, minutes: float) -> Account:
        """All of it, and its report as a run in MLflow."""
        self.account = account = Account()
        self.past()
        account.memory_begin = self.running.resident_mb()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < 60 * minutes:
            visits = self._visits(self.size.batch, [min(1.0, passed / (60 * minutes))])
            account.rounds, account.lists = account.rounds + 1, account.lists + visits.lists
            account.events += visits.events
            for status, number in visits.statuses.items():
                account.statuses[status] = account.statuses.get(status, 0) + number
            for step in (self._retrained, self._experimented, self._watched):
                self._tried(step)
            if account.rounds % TOLD_EVERY == 0:
                self.say(f"{passed / 60:.1f} minutes: {account.lists} lists, {dict(account.done)}")
        account.seconds = time.monotonic() - began
        account.memory_end = self.running.resident_mb()
        account.production = registry.production(NAME).number
        self._log(account)
        return account

    def _tried(self, step: Callable[[], None]) -> None:
        try:
            step()
        except RecstageError as error:  # a scheduler would try again at its next look
            self.account.done["failures"] += 1
            self.account.failures.append(f"{step.__name__.strip('_')}: {error}")
            self.say(f"   {self.account.failures[-1]}")

    def _retrained(self) -> None:
        if registry.staging(NAME) is not None:
            return  # one challenger after the other
        words = ["--retraining.triggers.interactions.ratio", RATIO]
        done = retrain.run(retrain.settings_from(words))
        if not done.due:
            return
        self.account.done["retrainings"] += 1
        fired = "; ".join(f"{one.name}: {one.says}" for one in done.triggers if one.fired)
        self.say(f"   retrained ({fired}): {done.outcome}")

    def _experimented(self) -> None:
        challenger = registry.staging(NAME)
        if challenger is None:
            return
        if challenger.tags.get("experiment.share", "0") == "0":
            self._decided_or_begun(challenger)
            return
        words = ["--promotion.experiment.effect", str(self.size.effect)]
        seen = ab_report.run(ab_report.settings_from(words))
        if seen.verdict == "undecided":
            return
        self.account.done[seen.verdict] += 1
        self.say(f"   {seen.experiment}: {seen.verdict}: {seen.summary}")
        if seen.verdict == "better":
            promote.run(promotion_settings(challenger.number, "--require", "ab", "--reason", "better on live users"))
            self.running.serves(challenger.number)
            self.account.done["promotions"] += 1
        else:
            experiment.run(experiment.settings_from(["--share", "0"]))
            registry.unset_staging(NAME, by="the loop", reason=f"{seen.verdict}: {seen.summary}")

    def _decided_or_begun(self, challenger: Version) -> None:
        begun = experiment.run(experiment.settings_from(["--share", "0.5"]))
        self.account.done["experiments"] += 1
        self.say(f"   experiment {begun.experiment}: half of the users get version {challenger.number}")
        self.running.until(lambda: self._shows(begun.experiment), pause=0.2)

    def _watched(self) -> None:
        seen = watch.run(watch.settings_from(["--once", "true"]))
        if seen.rolled_back is not None:
            self.account.done["rollbacks"] += 1
            self.say(f"   version {seen.rolled_back} was rolled back: {'; '.join(seen.breaches)}")

    def _log(self, account: Account) -> None:
        self.say(
            f"{account.seconds / 60:.1f} minutes, {account.lists} lists, {account.events} events, "
            f"{dict(account.done)}; answers that were no list: {account.statuses or 'none'}; "
            f"memory {account.memory_begin:.0f} to {account.memory_end:.0f} MB; Production is {account.production}"
        )
        figures = {name: float(getattr(account, name)) for name in ("seconds", "rounds", "lists", "events")}
        figures |= {f"loop_{name.replace('-', '_')}": float(number) for name, number in account.done.items()}
        with tracking.run("unattended loop", tags={"stage-of-work": "loop"}, system_metrics=False) as active:
            account.run_id = active.info.run_id
            tracking.log_text(account.run_id, "\n".join(self.lines) + "\n", "loop.txt")
            tracking.log_note(account.run_id, "\n\n".join(self.lines))
            tracking.log_metrics(account.run_id, figures)
            rows = pd.DataFrame([asdict(stage) for stage in self.result.stages])
            tracking.log_table(account.run_id, "loop", rows)
