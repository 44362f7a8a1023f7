"""The difference of two arms in one metric, with its variance by user, and whether the split was the intended one.

A rate is a ratio of sums over users (lists with a click / lists), so its variance is that of the linearised values
`sum - rate * lists` (the delta method; Deng, Knoblich & Lu 2018), one a user however often they came. CUPED takes out
what a user's earlier rate predicts (Deng, Xu, Kohavi & Walker 2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.experiments.outcomes import CHALLENGER, PRODUCTION
from recstage.experiments.sequential import always_valid_p

LEAST_RATIO_P = 0.01
"""Below this p-value, which is valid at every look, the split is a sample-ratio mismatch (Fabijan et al. 2019)."""
RATIO_PLANNED_VARIANCE = 50.0
"""The test of the ratio is sharpest after so much variance of the count: 200 users at a share of one half."""


@dataclass(frozen=True)
class Difference:
    """Challenger less Production. `relative`: as a share of Production's rate. `variance_kept`: with CUPED, the share
    of the variance that is left."""

    production: float
    challenger: float
    difference: float
    standard_error: float
    users: int
    lists: int
    variance_kept: float = 1.0

    @property
    def relative(self) -> float:
        return self.difference / self.production if self.production > 0 else math.nan


def difference(sums: pd.DataFrame, metric: str, before: pd.Series | None = None) -> Difference:
    """The difference of the arms in one metric.

    Args:
        sums: one row a user: user_id, arm, lists, and the metric's sums.
        metric: the column of sums.
        before: each user's rate before the experiment, indexed by user_id; users without one get the mean (CUPED).
    """
    arm, lists, value = sums["arm"].to_numpy(), sums["lists"].to_numpy(np.float64), sums[metric].to_numpy(np.float64)
    groups = [arm == PRODUCTION, arm == CHALLENGER]
    users, total = len(sums), int(lists.sum())
    if any(group.sum() < 2 or lists[group].sum() == 0 for group in groups):
        rates = [float(value[g].sum() / lists[g].sum()) if lists[g].sum() else math.nan for g in groups]
        return Difference(rates[0], rates[1], math.nan, math.inf, users, total)
    rates = [float(value[group].sum() / lists[group].sum()) for group in groups]
    linear = value - np.where(groups[1], rates[1], rates[0]) * lists
    adjustment, kept = np.zeros(2), 1.0
    if before is not None:
        linear, adjustment, kept = _with_history(
            linear, sums["user_id"].map(before).to_numpy(np.float64), lists, groups
        )
    variance = sum(float(np.var(linear[group], ddof=1)) / group.sum() / lists[group].mean() ** 2 for group in groups)
    means = [rates[i] - adjustment[i] for i in (0, 1)]
    return Difference(means[0], means[1], means[1] - means[0], math.sqrt(variance), users, total, kept)


def _with_history(
    linear: NDArray[np.float64],
    before: NDArray[np.float64],
    lists: NDArray[np.float64],
    groups: list[NDArray[np.bool_]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Linearised values less what earlier rates predict; by how much that lowers each arm's rate; the variance left.

    The covariate is `lists * (earlier rate - mean)`, so that it is a sum like the metric itself.
    """
    known = np.isfinite(before)
    if known.sum() < 20 or np.ptp(before[known]) == 0:
        return linear, np.zeros(2), 1.0
    covariate = np.where(known, before - np.average(before[known], weights=lists[known]), 0.0) * lists
    # pooled over the arms, each around its own mean: the slope must not see the difference it is to sharpen
    x, y = covariate.copy(), linear.copy()
    for group in groups:
        x[group] -= covariate[group].mean()
        y[group] -= linear[group].mean()
    spread = float(x @ x)
    if spread == 0:
        return linear, np.zeros(2), 1.0
    slope = float(x @ y) / spread
    adjusted = linear - slope * covariate
    kept = float(np.var(y - slope * x) / np.var(y)) if np.var(y) > 0 else 1.0
    shifts = [slope * covariate[group].mean() / lists[group].mean() for group in groups]
    return adjusted, np.array(shifts), kept


def weighted_difference(lists: pd.DataFrame, metric: str) -> Difference:
    """The difference where each list drew its arm with its own chance (a bandit): self-normalised inverse weights.

    Args:
        lists: one row a list: user_id, arm, chance (of that arm), and the metric.
        metric: its column.
    """
    arm, value = lists["arm"].to_numpy(), lists[metric].to_numpy(np.float64)
    weight = 1 / lists["chance"].to_numpy(np.float64)
    rates, variance = [], 0.0
    for name in (PRODUCTION, CHALLENGER):
        own = arm == name
        total = float(weight[own].sum())
        users = lists["user_id"][own]
        if users.nunique() < 2:
            return Difference(math.nan, math.nan, math.nan, math.inf, lists["user_id"].nunique(), len(lists))
        rate = float((weight[own] * value[own]).sum()) / total
        by_user = pd.Series(weight[own] * (value[own] - rate)).groupby(users.to_numpy()).sum().to_numpy()
        variance += float((by_user**2).sum()) / total**2
        rates.append(rate)
    return Difference(
        rates[0], rates[1], rates[1] - rates[0], math.sqrt(variance), lists["user_id"].nunique(), len(lists)
    )


@dataclass(frozen=True)
class SampleRatio:
    """Whether as many users got the challenger as the logged chances say. `mismatch`: no reading is valid."""

    challenger: int
    expected: float
    users: int
    p_value: float

    @property
    def mismatch(self) -> bool:
        return self.p_value < LEAST_RATIO_P

    def __str__(self) -> str:
        return f"{self.challenger} of {self.users} users got the challenger, {self.expected:.1f} were expected"


def sample_ratio(sums: pd.DataFrame) -> SampleRatio:
    """The test against the chances that were logged with each user's first list, so that a share changed on the way is
    no mismatch. `chance` is the probability of the arm the user (of a bandit: the list) got."""
    got = sums["arm"].to_numpy() == CHALLENGER
    chance = np.where(got, sums["chance"], 1 - sums["chance"]).astype(np.float64)
    expected, variance = float(chance.sum()), float((chance * (1 - chance)).sum())
    challenger = int(got.sum())
    if variance <= 0:
        p_value = 1.0 if abs(challenger - expected) < 0.5 else 0.0
    else:
        p_value = always_valid_p(
            (challenger - expected) / variance, 1 / math.sqrt(variance), 1 / math.sqrt(RATIO_PLANNED_VARIANCE)
        )
    return SampleRatio(challenger, expected, len(sums), p_value)
