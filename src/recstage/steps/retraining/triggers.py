"""Whether a retraining is due, and why. Pure: from facts to sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recstage.config.retraining import DriftTrigger, InteractionsTrigger, QualityTrigger, ScheduleTrigger, Triggers
from recstage.data.report.drift import stability
from recstage.data.snapshots.activity import Activity, Window

A_DAY_MS = 86_400_000
BANDS = 10
NEW = "new items"


@dataclass(frozen=True)
class Facts:
    """What is known when it is asked. `trained_at` and `until` (number of the newest event) are of the last training on
    this data, None where there was none; `activity` is None where the data is not the service's."""

    now_ms: int
    trained_at: int | None
    until: int | None
    activity: Activity | None


@dataclass(frozen=True)
class Trigger:
    """One reason to retrain: whether it holds, and its figures in words."""

    name: str
    fired: bool
    says: str


def judge(facts: Facts, triggers: Triggers, *, asked: bool = False) -> list[Trigger]:
    """Every configured trigger, fired or not."""
    found = [Trigger("asked", True, "asked for")] if asked else []
    if triggers.schedule is not None:
        found.append(_schedule(facts, triggers.schedule))
    if triggers.interactions is not None:
        found.append(_interactions(facts, triggers.interactions))
    if triggers.quality is not None:
        found.append(_quality(facts, triggers.quality))
    if triggers.drift is not None:
        found.append(_drift(facts, triggers.drift))
    return found


def _schedule(facts: Facts, trigger: ScheduleTrigger) -> Trigger:
    if facts.trained_at is None:
        return Trigger("schedule", True, "nothing was trained on this data yet")
    days = (facts.now_ms - facts.trained_at) / A_DAY_MS
    if days < 0:  # the clock of the machine that trained, or of this one, is wrong
        says = f"the last training lies {-days:.1f} days in the future: a clock is wrong, the schedule is not judged"
        return Trigger("schedule", False, says)
    return Trigger("schedule", days >= trigger.days, f"{days:.1f} of {trigger.days:g} days since the last training")


def _interactions(facts: Facts, trigger: InteractionsTrigger) -> Trigger:
    if facts.activity is None or facts.until is None:
        return Trigger("interactions", False, "no training whose interactions could be compared")
    now, then = facts.activity.interactions, facts.activity.interactions_then
    says = f"{now} interactions, {then} at the last training ({trigger.ratio:g} times as many are waited for)"
    return Trigger("interactions", now > then and now >= trigger.ratio * then, says)


def _quality(facts: Facts, trigger: QualityTrigger) -> Trigger:
    windows = () if facts.activity is None else facts.activity.windows
    recent = [one for one in windows if one.age < trigger.windows and one.shown >= trigger.least_lists]
    if len(recent) < trigger.below:
        says = f"{len(recent)} of the last {trigger.windows} windows have {trigger.least_lists} lists of Production"
        return Trigger("quality", False, f"{says}: too few to judge")
    line, words = _line(windows, trigger)
    if line is None:
        return Trigger("quality", False, words)
    low = [one for one in recent if one.click_through < line]
    rates = ", ".join(f"{one.click_through:.1%}" for one in recent)
    says = f"click-through of {len(low)} of the last {len(recent)} windows below {words} ({rates}, the newest first)"
    return Trigger("quality", len(low) >= trigger.below, says)


def _line(windows: Sequence[Window], trigger: QualityTrigger) -> tuple[float | None, str]:
    if trigger.line is not None:
        return trigger.line, f"{trigger.line:.1%}"
    before = [one for one in windows if one.age >= trigger.windows]
    shown = sum(one.shown for one in before)
    if shown < trigger.least_lists:
        return None, "no earlier windows of this Production to take the line from"
    usual = sum(one.used for one in before) / shown
    return trigger.ratio * usual, f"{trigger.ratio:g} x {usual:.1%} before"


def _drift(facts: Facts, trigger: DriftTrigger) -> Trigger:
    if facts.activity is None or facts.until is None:
        return Trigger("drift", False, "no training to compare with")
    since = sum(new for _, new in facts.activity.types.values())
    if since < trigger.least_events:
        return Trigger("drift", False, f"{since} events since the last training, {trigger.least_events} are needed")
    found = {"items": item_drift(facts.activity.items), "types": _index(facts.activity.types)}
    worst = max(found, key=lambda name: found[name])
    says = f"stability index of {worst} {found[worst]:.3f}, the line is {trigger.line:g}"
    return Trigger("drift", found[worst] > trigger.line, says)


def item_drift(items: Mapping[str, tuple[int, int]]) -> float:
    """The stability index of ten bands of items, each of which had about a tenth of the events of the last training,
    and of items that had none: single items would differ by chance alone."""
    known = sorted(((then, name) for name, (then, _) in items.items() if then), reverse=True)
    total = sum(then for then, _ in known)
    band_of: dict[str, str] = {}
    passed = 0
    for then, name in known:
        band_of[name] = f"band {min(BANDS - 1, passed * BANDS // max(total, 1))}"
        passed += then
    return _index(dict(_banded(items, band_of)))


def _banded(items: Mapping[str, tuple[int, int]], band_of: Mapping[str, str]) -> Iterable[tuple[str, tuple[int, int]]]:
    sums: dict[str, list[int]] = {}
    for name, (then, since) in items.items():
        place = sums.setdefault(band_of.get(name, NEW), [0, 0])
        place[0] += then
        place[1] += since
    return ((name, (then, since)) for name, (then, since) in sums.items())


def _index(counts: Mapping[str, tuple[int, int]]) -> float:
    then, since = ({name: pair[side] for name, pair in counts.items()} for side in (0, 1))
    return stability(since, then)
