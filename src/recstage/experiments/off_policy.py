"""What a candidate would have earned, from lists that others showed: IPS, self-normalised IPS, doubly robust. Pure.

The position-based model for slates (the item-position model of Li et al. 2018, "Offline evaluation of ranking policies
with click models"): an item's click depends on the item and its slot, so each slot is an observation, weighted by the
chance that the candidate puts that item there over the logged propensity. The value is clicks per list. Intervals are
by user: lists of one user are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_EFFECTIVE = 50.0
"""Fewer effective slots than this say nothing."""
LEAST_COVERED = 0.5
"""Least mean weight: 1 where the logged policy could have shown all of the candidate's slots, less where not."""


@dataclass(frozen=True)
class Estimate:
    """Clicks per list of the candidate, with an interval. `refused`: why nothing can be said; figures are NaN then."""

    method: str
    value: float
    low: float
    high: float
    effective: float
    covered: float
    refused: str = ""


@dataclass(frozen=True, eq=False)
class LoggedSlots:
    """Shown lists, one row a list and one column a slot (NaN or -1 beyond a shorter list).

    `items` int[n, k]: what was shown; `propensity` float[n, k]: the logged chance of that item in that slot; `reward`
    float[n, k]: 1 for a click; `candidate` int[n, k]: the candidate's list for the same user and moment; `user` int[n].
    """

    items: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    candidate: NDArray[np.int64]
    user: NDArray[np.int64]


def estimates(logged: LoggedSlots, *, alpha: float = 0.05) -> list[Estimate]:
    """All three estimates.

    Refused where the propensities are all 1 (no exploration), where fewer than `LEAST_EFFECTIVE` effective slots match,
    or where the logged policy covers less than `LEAST_COVERED` of the candidate's slots.
    """
    shown = logged.items >= 0
    match = shown & (logged.items == logged.candidate)
    weight = np.where(match, 1 / np.where(shown, logged.propensity, 1.0), 0.0)
    total = float(weight.sum())
    effective = total**2 / float((weight**2).sum()) if total > 0 else 0.0
    covered = total / float(shown.sum()) if shown.any() else 0.0
    refused = _refusal(logged, shown, effective, covered)
    if refused:
        nothing = (math.nan, math.nan, math.nan, effective, covered, refused)
        return [Estimate(method, *nothing) for method in ("ips", "snips", "dr")]
    reward = np.where(shown, logged.reward, 0.0)
    found = []
    for method, contribution in (
        ("ips", _ips(weight, reward)),
        ("snips", _snips(weight, reward, shown)),
        ("dr", _dr(weight, reward, shown, logged)),
    ):
        value, error = _by_user(contribution, logged.user)
        low, high = _interval(value, error, alpha)
        found.append(Estimate(method, value, low, high, effective, covered))
    return found


def _interval(value: float, error: float, alpha: float) -> tuple[float, float]:
    """On the scale of logarithms: few heavy weights make the estimates skewed, and a value is never below 0."""
    around = float(stats.norm.ppf(1 - alpha / 2)) * error
    if value <= 0:
        return value - around, value + around
    factor = math.exp(around / value)
    return value / factor, value * factor


def _refusal(logged: LoggedSlots, shown: NDArray[np.bool_], effective: float, covered: float) -> str:
    if not shown.any():
        return "no lists were logged"
    if (logged.propensity[shown] >= 1).all():
        return "no slot was explored, so nothing is known of other lists: set RECSTAGE_SERVING_EXPLORATION above 0"
    if effective < LEAST_EFFECTIVE:
        return f"overlap is too small: {effective:.0f} effective slots, {LEAST_EFFECTIVE:.0f} are needed"
    if covered < LEAST_COVERED:
        return f"overlap is too small: {covered:.0%} of the candidate's slots could be shown, not {LEAST_COVERED:.0%}"
    return ""


def _ips(weight: NDArray[np.float64], reward: NDArray[np.float64]) -> NDArray[np.float64]:
    return (weight * reward).sum(axis=1)


def _snips(weight: NDArray[np.float64], reward: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each slot's rate is normalised by its own weights; each list's contribution is linearised around that rate."""
    out = np.zeros(len(weight))
    for slot in range(weight.shape[1]):
        total = weight[:, slot].sum()
        if total == 0:
            continue
        rate = float((weight[:, slot] * reward[:, slot]).sum() / total)
        share = shown[:, slot].mean()
        scale = len(weight) / total
        out += share * (rate + scale * weight[:, slot] * (reward[:, slot] - rate))
    return out


def _dr(
    weight: NDArray[np.float64], reward: NDArray[np.float64], shown: NDArray[np.bool_], logged: LoggedSlots
) -> NDArray[np.float64]:
    """The model of the reward is the mean of an item in a slot, shrunk to the slot's mean; it is fitted on the lists of
    other users than those it is used for (two halves), so that it does not see the reward it predicts."""
    n, k = reward.shape
    half = logged.user % 2
    shown_model, candidate_model = np.zeros((n, k)), np.zeros((n, k))
    n_items = int(max(logged.items.max(initial=0), logged.candidate.max(initial=0))) + 1
    for part in (0, 1):
        rows, others = half == part, half != part
        if not rows.any() or not others.any():
            continue
        slot_mean = reward[others].sum(axis=0) / np.maximum(1, shown[others].sum(axis=0))
        overall = float(slot_mean.mean()) or 1e-9
        seen = shown[others]
        places = np.where(seen, logged.items[others], 0)
        expected = np.broadcast_to(slot_mean, seen.shape)
        hits = np.bincount(places[seen], reward[others][seen], n_items)
        base = np.bincount(places[seen], expected[seen], n_items)
        lift = (hits + overall * 10) / (base + overall * 10)
        shown_model[rows] = slot_mean * lift[np.maximum(logged.items[rows], 0)]
        candidate_model[rows] = slot_mean * lift[np.maximum(logged.candidate[rows], 0)]
    listed = shown & (logged.candidate >= 0)
    return (np.where(listed, candidate_model, 0.0) + weight * (reward - shown_model)).sum(axis=1)


def _by_user(contribution: NDArray[np.float64], user: NDArray[np.int64]) -> tuple[float, float]:
    """The mean of a list, and its standard error by user."""
    value = float(contribution.mean())
    _, index = np.unique(user, return_inverse=True)
    sums = np.bincount(index, contribution - value)
    return value, math.sqrt(float((sums**2).sum())) / len(contribution)
