"""The reading of an experiment: figures of both versions, and one verdict with the sentence that explains it. Pure.

better       the confidence sequence of the metric is above 0, and no guarded metric is lost
not-better   it excludes the planned effect, or a guarded metric is lost
undecided    neither yet: how much evidence is missing is told
invalid      the split is not the intended one, so no figure means anything
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from recstage.config.experiments import ExperimentConfig
from recstage.experiments import outcomes, sequential
from recstage.experiments.comparison import Difference, SampleRatio, difference, sample_ratio, weighted_difference
from recstage.experiments.outcomes import METRICS, VIEW_SECONDS, UserSums

Outcome = Literal["better", "not-better", "undecided", "invalid"]
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Measured:
    """One metric in one segment: the difference and its confidence sequence at this look."""

    metric: str
    segment: str
    difference: Difference
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Reading:
    """What is known at one look. `detectable`: the least relative difference that as much evidence finds. `days_needed`
    until the planned sample, at the pace so far; NaN: not known. `measured`: empty where the reading is invalid."""

    verdict: Outcome
    summary: str
    ratio: SampleRatio
    measured: tuple[Measured, ...] = ()
    detectable: float = math.nan
    days: float = math.nan
    days_needed: float = math.nan
    evidence: float = 0.0
    """Information so far as a share of what is planned."""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def of(self, metric: str, segment: str = "all") -> Measured | None:
        """One metric in one segment."""
        return next((one for one in self.measured if (one.metric, one.segment) == (metric, segment)), None)


def read(
    lists: pd.DataFrame,
    came_of_them: pd.DataFrame,
    config: ExperimentConfig,
    *,
    segments: pd.Series | None = None,
    before: pd.Series | None = None,
    adaptive: bool = False,
) -> Reading:
    """Read an experiment, at any look.

    Args:
        lists: of one experiment: request_id, user_id, version, arm, chance, shown_at (milliseconds).
        came_of_them: outcomes: request_id, item_id, outcome, value.
        config: what it must show.
        segments: segment of each user, indexed by user_id.
        before: each user's rate of the metric before the experiment, indexed by user_id (CUPED).
        adaptive: each list drew its arm anew (a bandit), so lists are weighted by their chances.
    """
    shown = outcomes.per_list(lists[lists["arm"].isin(outcomes.ARMS)], came_of_them)
    if adaptive:
        return _read_adaptive(shown, config)
    return read_sums(outcomes.summed(shown, most_lists=config.most_lists, segments=segments), config, before=before)


def read_sums(sums: UserSums, config: ExperimentConfig, *, before: pd.Series | None = None) -> Reading:
    """The same from sums by user."""
    frame, ratio = sums.frame, sample_ratio(sums.frame)
    days = _days(frame["first_shown"])
    if ratio.mismatch:
        return _invalid(ratio, days, sums.left_out)
    measured = []
    for name in ("all", *sorted(set(frame["segment"]) - {"all"})):
        part = frame if name == "all" else frame[frame["segment"] == name]
        for metric in sums.metrics:
            history = before if metric == config.metric else None
            measured.append(_measured(metric, name, difference(part, metric, history), config))
    counts = {arm: frame[frame["arm"] == arm] for arm in outcomes.ARMS}
    rewards = {arm: int(part[config.metric].sum()) for arm, part in counts.items()}
    users = {arm: len(part) for arm, part in counts.items()}
    return _concluded(tuple(measured), ratio, days, users, rewards, config, sums.left_out)


def read_preference(
    found: Difference, lists: pd.DataFrame, config: ExperimentConfig, left_out: Mapping[str, int] | None = None
) -> Reading:
    """The reading of interleaved lists (`recstage.experiments.preference`): which version's items users chose.

    There is no split to mismatch, and a gain of `effect` is one of the items chosen per list. `left_out`: what was not
    counted, by reason.
    """
    total = found.production + found.challenger
    scaled = replace(found, production=total / 2 if total > 0 else 0.0)
    measured = _measured("preference", "all", scaled, config)
    measured = replace(measured, difference=found)
    days, users = _days(lists["shown_at"]), dict.fromkeys(outcomes.ARMS, found.users)
    chosen = dict.fromkeys(outcomes.ARMS, round(total * found.lists) if total > 0 else 0)
    ratio = SampleRatio(found.users, float(found.users), found.users, 1.0)
    settings = config.model_copy(update={"guard": ()})
    reasons = {why: number for why, number in (left_out or {}).items() if number}
    return _concluded((measured,), ratio, days, users, chosen, settings, reasons, metric="preference")


def _read_adaptive(shown: pd.DataFrame, config: ExperimentConfig) -> Reading:
    heavy = shown.groupby("user_id")["request_id"].transform("size") > config.most_lists
    left_out = {"lists of users taken for bots": int(heavy.sum())} if heavy.any() else {}
    shown = shown[~heavy]
    ratio, days = sample_ratio(shown), _days(shown["shown_at"])
    if ratio.mismatch:
        return _invalid(ratio, days, left_out)
    measured = tuple(
        _measured(metric, "all", weighted_difference(shown, metric), config) for metric in (*METRICS, VIEW_SECONDS)
    )
    parts = {arm: shown[shown["arm"] == arm] for arm in outcomes.ARMS}
    users = {arm: int(part["user_id"].nunique()) for arm, part in parts.items()}
    rewards = {arm: int(part[config.metric].sum()) for arm, part in parts.items()}
    return _concluded(measured, ratio, days, users, rewards, config, left_out)


def _measured(metric: str, segment: str, found: Difference, config: ExperimentConfig) -> Measured:
    planned = _planned_error(found, config)
    around = sequential.radius(found.standard_error, config.alpha, planned)
    centre = 0.0 if math.isnan(found.difference) else found.difference
    p_value = sequential.always_valid_p(centre, found.standard_error, planned)
    return Measured(metric, segment, found, centre - around, centre + around, p_value)


def _planned_error(found: Difference, config: ExperimentConfig) -> float:
    rate = found.production if found.production > 0 else 1.0
    return sequential.planned_error_for(config.effect * rate, config.alpha, config.power)


def _concluded(
    measured: tuple[Measured, ...],
    ratio: SampleRatio,
    days: float,
    users: Mapping[str, int],
    rewards: Mapping[str, int],
    config: ExperimentConfig,
    left_out: Mapping[str, int],
    *,
    metric: str = "",
) -> Reading:
    main = next(one for one in measured if (one.metric, one.segment) == (metric or config.metric, "all"))
    found, planned = main.difference, _planned_error(main.difference, config)
    times = sequential.looks_needed(found.standard_error, planned)
    evidence = (planned / found.standard_error) ** 2 if found.standard_error > 0 else 0.0
    rate = found.production if found.production > 0 else math.nan
    detectable = sequential.detectable(found.standard_error, config.alpha, config.power) / rate
    needed = days * (times - 1) if days > 0 and math.isfinite(times) else math.nan
    verdict, why = _verdict(measured, main, users, rewards, config)
    if verdict == "undecided":
        pace = f", about {in_time(needed)} more at this pace" if math.isfinite(needed) else ""
        why += f"; {evidence:.0%} of the planned evidence is there{pace}"
    return Reading(verdict, why, ratio, measured, detectable, days, needed, evidence, left_out)


def _verdict(
    measured: tuple[Measured, ...],
    main: Measured,
    users: Mapping[str, int],
    rewards: Mapping[str, int],
    config: ExperimentConfig,
) -> tuple[Outcome, str]:
    figures = in_words(main)
    fewest_users, fewest = min(users.values()), min(rewards.values())
    if fewest_users < config.least_users:
        missing = config.least_users - fewest_users
        return (
            "undecided",
            f"{figures}: {missing} more users of the smaller group are needed before anything is concluded",
        )
    if max(rewards.values()) < config.least_rewards:
        return "undecided", (
            f"{figures}: {fewest} lists of the smaller group led to it, {config.least_rewards} are needed"
        )
    lost = [one for one in measured if one.segment == "all" and one.metric in config.guard and one.high < 0]
    if lost:
        return "not-better", f"{figures}; lost: {'; '.join(map(in_words, lost))}"
    if main.high < 0:
        return "not-better", f"{figures}: worse"
    if main.low > 0:
        if fewest < config.least_rewards:
            return (
                "undecided",
                f"{figures}: {fewest} lists of the smaller group led to it, {config.least_rewards} are needed",
            )
        return "better", f"{figures}: better"
    if main.high < config.effect * main.difference.production:
        return "not-better", f"{figures}: not better by {config.effect:.0%}"
    return "undecided", f"{figures}: chance may explain it"


def in_words(one: Measured) -> str:
    """A metric with its confidence sequence."""
    found = one.difference
    if math.isnan(found.difference):
        return f"{one.metric}: one version has no lists yet"
    relative = f" ({found.relative:+.1%})" if math.isfinite(found.relative) else ""
    return (
        f"{one.metric} {found.challenger:.4f} against {found.production:.4f}: "
        f"{found.difference:+.4f}{relative} [{one.low:+.4f}, {one.high:+.4f}] over {found.users} users"
    )


def in_time(days: float) -> str:
    """A duration in the unit that fits: days, hours or minutes."""
    if days >= 1:
        return f"{days:.1f} days"
    return f"{days * 24:.1f} hours" if days * 24 >= 1 else f"{max(1, math.ceil(days * 24 * 60))} minutes"


def _invalid(ratio: SampleRatio, days: float, left_out: Mapping[str, int]) -> Reading:
    why = f"sample-ratio mismatch: {ratio} (p = {ratio.p_value:.1e}); nothing is read until its cause is found"
    return Reading("invalid", why, ratio, days=days, left_out=left_out)


def _days(times: pd.Series) -> float:
    return float(times.max() - times.min()) / DAY_MS if len(times) else math.nan
