"""The promotion gate: from the evidence of a challenger and of Production to a verdict with its reasons. Pure.

The primary metric is compared user by user on the same test rows (paired bootstrap); guardrails keep a gain of the
mean from being paid by the catalogue, by one group of users, or by those who wait. Why it asks just this:
docs/decisions/0007-promotion-gate.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from recstage.config import PromotionConfig
from recstage.data.segments import SEGMENTS
from recstage.errors import ConfigError, valid_names
from recstage.evaluation.latency import Latency
from recstage.evaluation.significance import Paired, paired_bootstrap
from recstage.models.base import POPULARITY

COVERAGE = "coverage_at_10"
NOT_METRICS = ("user_id", "segment", "n_train")
SEED = 0

Outcome = Literal["passed", "noted", "failed", "not judged"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one model did on test rows: means (`metrics`) and `per_user` (user_id, segment, n_train, metric columns).
    `latency` was measured for this very comparison, in the same rounds for both models; None where it was not."""

    label: str
    algorithm: str
    metrics: Mapping[str, float]
    per_user: pd.DataFrame
    latency: Latency | None = None


@dataclass(frozen=True)
class Check:
    """One question of the gate: what it asked, its outcome, and the figures as a sentence."""

    name: str
    outcome: Outcome
    message: str


@dataclass(frozen=True)
class Verdict:
    """`passed` unless a check failed. `against` names what it was compared with, '' for nothing."""

    passed: bool
    checks: tuple[Check, ...]
    against: str = ""
    paired: Paired | None = None

    @property
    def reasons(self) -> list[str]:
        """Why it was refused; empty where it passed."""
        return [check.message for check in self.checks if check.outcome == "failed"]

    @property
    def summary(self) -> str:
        return "; ".join(check.message for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For a tag."""
        return asdict(self)


def judge(
    challenger: Evidence,
    champion: Evidence | None,
    config: PromotionConfig,
    *,
    baseline: Evidence | None = None,
) -> Verdict:
    """Whether the challenger may replace the champion. Both must stem from the same test rows.

    With no champion, the challenger must beat `baseline` (popularity on the same test rows) where there is one, unless
    it is popularity itself. Raises `ConfigError` where the configured metric is none that one user can have."""
    values = _metric_of(challenger, config.metric)
    values = values[np.isfinite(values)]
    if not values.sum() > 0:
        return refuse(config.metric, f"{config.metric} of {challenger.label} is not above 0")
    rival = champion
    if rival is None and baseline is not None and challenger.algorithm != POPULARITY:
        rival = baseline
    checks, paired = [], None
    if rival is None:
        itself = challenger.algorithm == POPULARITY
        other = "it is the baseline itself" if itself else f"no run of {POPULARITY} on the same test rows"
        missing = f"the first Production, and {other}"
        checks.append(Check(config.metric, "not judged", f"nothing to compare {config.metric} with: {missing}"))
    else:
        both = _pairs(challenger, rival, config.metric)
        if not len(both):
            return refuse("users", f"{challenger.label} and {rival.label} have no test user in common")
        primary, paired = _primary(both, challenger, rival, config)
        checks.append(primary)
    if champion is not None:
        checks.append(_coverage(challenger, champion, config))
        checks += _segments(_pairs(challenger, champion, config.metric), config)
    checks.append(_latency(challenger.latency, None if champion is None else champion.latency, config))
    passed = all(check.outcome != "failed" for check in checks)
    return Verdict(passed, tuple(checks), "" if rival is None else rival.label, paired)


def extended(verdict: Verdict, more: Iterable[Check]) -> Verdict:
    """A verdict with further checks."""
    checks = (*verdict.checks, *more)
    return replace(verdict, checks=checks, passed=all(check.outcome != "failed" for check in checks))


def refuse(name: str, message: str) -> Verdict:
    """A refusal for lack of evidence."""
    return Verdict(False, (Check(name, "failed", message),))


# -- the questions ----------------------------------------------------------------------------------------------------


def _primary(
    both: pd.DataFrame, challenger: Evidence, rival: Evidence, config: PromotionConfig
) -> tuple[Check, Paired]:
    paired = _paired(both, config)
    means = f"{config.metric} {both['challenger'].mean():.4f} against {both['champion'].mean():.4f} of {rival.label}"
    figures = f"{means}: {in_words(paired)} over {len(both)} users"
    if config.require_gain:
        good = paired.difference > 0 and paired.p_value < config.alpha
        words = "a significant gain" if good else f"no significant gain (p < {config.alpha:g} is asked for)"
    else:
        good = paired.low >= -config.margin
        words = f"{'not' if good else 'may be'} worse by more than {config.margin:g}"
    return Check(config.metric, "passed" if good else "failed", f"{figures}, {words}"), paired


def _coverage(challenger: Evidence, champion: Evidence, config: PromotionConfig) -> Check:
    ratio = config.guardrails.coverage_ratio
    ours, theirs = challenger.metrics.get(COVERAGE), champion.metrics.get(COVERAGE)
    if ours is None or theirs is None:
        return Check("coverage", "not judged", f"{COVERAGE} was not measured for both")
    good = ours >= ratio * theirs
    words = "at least" if good else "less than"
    return Check("coverage", "passed" if good else "failed", f"{COVERAGE} {ours:.4f}, {words} {ratio:g} x {theirs:.4f}")


def _segments(both: pd.DataFrame, config: PromotionConfig) -> Iterable[Check]:
    for name in SEGMENTS:
        users = both[both["segment"] == name]
        if len(users):
            yield _segment(name, users, config)


def _segment(name: str, users: pd.DataFrame, config: PromotionConfig) -> Check:
    """A loss beyond the limit fails where chance does not explain it; else it is noted: with few users in a segment, a
    limit on the mean alone would refuse by chance as often as not."""
    limits = config.guardrails
    if len(users) < limits.segment_users:
        return Check(name, "not judged", f"{name}: {len(users)} users, {limits.segment_users} are needed")
    before = users["champion"].mean()
    loss = (before - users["challenger"].mean()) / before if before > 0 else 0.0
    paired = _paired(users, config)
    change = f"{-loss + 0.0:+.1%}" if before > 0 else f"0 before, {users['challenger'].mean():.4f} now"
    figures = f"{name}: {config.metric} {change} ({in_words(paired)} over {len(users)} users)"
    if loss <= limits.segment_loss:
        return Check(name, "passed", figures)
    if paired.p_value >= config.alpha:
        return Check(name, "noted", f"{figures}, beyond {limits.segment_loss:.0%}, which chance may explain")
    return Check(name, "failed", f"{figures}, a loss of more than {limits.segment_loss:.0%}")


def _latency(ours: Latency | None, theirs: Latency | None, config: PromotionConfig) -> Check:
    """A busy machine is no fault of the model: beyond the limit, what it would need alone and what Production needs on
    the same machine in the same minutes decide."""
    limits = config.guardrails
    if ours is None:
        return Check("latency", "not judged", "latency was not measured")
    figures = f"latency p95 {ours.p95_ms:.1f} ms (best of {ours.rounds} rounds)"
    if theirs is not None:
        figures += f" against {theirs.p95_ms:.1f} ms of Production"
    if ours.p95_ms <= limits.latency_p95_ms:
        return Check("latency", "passed", f"{figures}, within {limits.latency_p95_ms:g} ms")
    figures += f", over {limits.latency_p95_ms:g} ms"
    if theirs is not None and ours.p95_ms <= limits.latency_ratio * theirs.p95_ms:
        return Check("latency", "noted", f"{figures}, within {limits.latency_ratio:g} x Production's")
    if ours.computing_p95_ms <= limits.latency_p95_ms:
        return Check("latency", "noted", f"{figures}, {ours.computing_p95_ms:.1f} ms of it computing: a busy machine")
    return Check("latency", "failed", figures)


# -- the numbers ------------------------------------------------------------------------------------------------------


def in_words(paired: Paired) -> str:
    """A difference with its interval."""
    return f"{paired.difference:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}], p = {paired.p_value:.4f}"


def compare(ours: Evidence, theirs: Evidence, config: PromotionConfig) -> Paired | None:
    """The paired difference of the primary metric, ours less theirs; None where no user is in common."""
    both = _pairs(ours, theirs, config.metric)
    return _paired(both, config) if len(both) else None


def _paired(both: pd.DataFrame, config: PromotionConfig) -> Paired:
    return paired_bootstrap(
        both["challenger"], both["champion"], resamples=config.bootstrap, confidence=1 - config.alpha, seed=SEED
    )


def _pairs(challenger: Evidence, champion: Evidence, metric: str) -> pd.DataFrame:
    """Users that both were tested on: challenger, champion, segment (as the challenger knows the user)."""
    ours = pd.DataFrame(
        {
            "user_id": challenger.per_user["user_id"].astype(str),
            "segment": challenger.per_user["segment"],
            "challenger": _metric_of(challenger, metric),
        }
    )
    theirs = pd.DataFrame(
        {"user_id": champion.per_user["user_id"].astype(str), "champion": _metric_of(champion, metric)}
    )
    both = ours.merge(theirs, on="user_id", validate="one_to_one").sort_values("user_id", ignore_index=True)
    return both.dropna(subset=["challenger", "champion"])


def _metric_of(evidence: Evidence, metric: str) -> np.ndarray:
    if metric not in evidence.per_user or metric in NOT_METRICS:
        names = [name for name in evidence.per_user.columns if name not in NOT_METRICS]
        raise ConfigError(
            f"promotion.metric = '{metric}'",
            rule=f"the gate's metric is one that each test user of {evidence.label} has",
            fix=valid_names(metric, names),
        )
    return evidence.per_user[metric].to_numpy(np.float64)
