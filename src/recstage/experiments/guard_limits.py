"""Guard limits of a fresh Production: its lists against its predecessor's, one look at a time. Pure.

A limit is broken where the figure is beyond it and chance does not explain that (a one-sided binomial or two-sample
test at `alpha`). The service records a row for each list, also for one that failed or is empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from recstage.config.experiments import WatchConfig
from recstage.experiments.outcomes import bots_among

BREACH_TAG = "watch.breach"
"""Tag of a version that the watcher rolled back: `promote` refuses it without `force`."""
MOST_LISTS = 10_000
ERROR = "error"
FALLBACKS = ("popularity", "preferences")


@dataclass(frozen=True)
class Window:
    """Figures of the lists of one version. `milliseconds`: the median time of a list; `click_through`: share of lists
    with a click, of those old enough to have one, and `click_error` its standard error by user; NaN: not known."""

    lists: int
    errors: int
    empty: int
    fallbacks: int
    milliseconds: float = math.nan
    click_through: float = math.nan
    click_error: float = math.nan

    @classmethod
    def of(cls, lists: pd.DataFrame, clicked: pd.Series, settled_before: float = math.inf) -> Window:
        """The figures of some lists.

        Args:
            lists: request_id, user_id, method, n_items, milliseconds, shown_at.
            clicked: request ids of lists with a click.
            settled_before: lists shown later (milliseconds since 1970) may still be clicked, and do not count for that.
        """
        failed = (lists["method"] == ERROR).to_numpy()
        empty = (lists["n_items"] == 0).to_numpy() & ~failed
        fallbacks = lists["method"].isin(FALLBACKS).to_numpy() & ~empty
        times = lists["milliseconds"].to_numpy(np.float64)[~failed]
        times = times[np.isfinite(times)]
        median = float(np.median(times)) if len(times) else math.nan
        settled = lists[lists["shown_at"] < settled_before]
        rate, error = _rate(settled["user_id"], settled["request_id"].isin(clicked).to_numpy().astype(np.float64))
        return cls(len(lists), int(failed.sum()), int(empty.sum()), int(fallbacks.sum()), median, rate, error)


def _rate(user: pd.Series, hit: NDArray[np.float64]) -> tuple[float, float]:
    """The mean user's share of hits, and its standard error: in a short window a bot is one user among many."""
    sums = pd.DataFrame({"hit": hit, "lists": 1.0}).groupby(user.to_numpy()).sum()
    sums = sums[~bots_among(sums["lists"].to_numpy(), MOST_LISTS)]
    if len(sums) < 2:
        return math.nan, math.nan
    rates = (sums["hit"] / sums["lists"]).to_numpy()
    return float(rates.mean()), math.sqrt(float(np.var(rates, ddof=1)) / len(rates))


@dataclass(frozen=True)
class Breach:
    """A broken limit, in words."""

    limit: str
    message: str


def breaches(fresh: Window, predecessor: Window, config: WatchConfig) -> list[Breach]:
    """The limits that the fresh Production breaks; none before it has `least_lists`. Without lists of a predecessor
    only errors and empty lists are judged, against none."""
    if fresh.lists < config.least_lists:
        return []
    found = []
    for limit, count, before, margin in (
        ("errors", fresh.errors, predecessor.errors, config.error_share),
        ("empty lists", fresh.empty, predecessor.empty, config.empty_share),
        ("fallbacks", fresh.fallbacks, predecessor.fallbacks, config.fallback_share),
    ):
        if limit == "fallbacks" and not predecessor.lists:
            continue
        share = before / predecessor.lists if predecessor.lists else 0.0
        allowed = min(1.0, share + margin)
        if count / fresh.lists > allowed and _above(count, fresh.lists, allowed) < config.alpha:
            found.append(
                Breach(limit, f"{limit} {count / fresh.lists:.1%} of {fresh.lists} lists, {allowed:.1%} are allowed")
            )
    found += _latency(fresh, predecessor, config)
    found += _engagement(fresh, predecessor, config)
    return found


def _latency(fresh: Window, predecessor: Window, config: WatchConfig) -> list[Breach]:
    if not math.isfinite(fresh.milliseconds) or not math.isfinite(predecessor.milliseconds):
        return []
    allowed = max(config.latency_ms, config.latency_ratio * predecessor.milliseconds)
    if fresh.milliseconds <= allowed:
        return []
    figures = f"a list takes {fresh.milliseconds:.1f} ms (median), {allowed:.1f} ms are allowed"
    return [Breach("latency", figures)]


def _engagement(fresh: Window, predecessor: Window, config: WatchConfig) -> list[Breach]:
    """A loss beyond the limit: the fresh rate against (1 - loss) of the predecessor's, tested one-sided."""
    now, before = fresh.click_through, predecessor.click_through
    if predecessor.lists < config.least_lists or not math.isfinite(now) or not before > 0:
        return []
    kept = 1 - config.engagement_loss
    error = math.hypot(fresh.click_error, kept * predecessor.click_error)
    # a version without clicks has no spread of its own: at least that of the allowed rate
    error = max(error, math.sqrt(kept * before * (1 - kept * before) / fresh.lists))
    if stats.norm.cdf((now - kept * before) / error) >= config.alpha:
        return []
    figures = f"click-through {now:.2%} of {fresh.lists} lists against {before:.2%}"
    return [Breach("engagement", f"{figures}, a loss of more than {config.engagement_loss:.0%}")]


def _above(count: int, total: int, share: float) -> float:
    """The chance of at least so many, were the share the true one."""
    return float(stats.binom.sf(count - 1, total, share))
