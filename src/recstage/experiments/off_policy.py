"""What a candidate would have earned, from lists that others showed: IPS, self-normalised IPS, doubly robust. Pure.

The position-based model for slates (the item-position model of Li et al. 2018, "Offline evaluation of ranking policies
with click models"): an item's click depends on the item and its slot, so each slot is an observation, weighted by the
chance that the candidate puts that item there over the logged propensity. The value is clicks per list.

The cascade model (Craswell et al. 2008): users read from the top and stop at the first click, so a slot is an
observation only where nothing above it was clicked. The chance of a click in a slot, of those who come to it, is the
self-normalised rate of the observed slots, and the value is 1 less the product of the chances of no click (Kaplan and
Meier 1958): the share of lists with a click. It is right where who comes to a slot does not depend on what stood
above it; the joint propensity of all items above, which would free it of that, is not logged.

Intervals are by user: lists of one user are not independent.
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

RESAMPLES, RESAMPLES_AT_ONCE, MOST_RESAMPLED, SEED = 1000, 50, 20_000, 42
"""Of the bootstrap: how many, how many at a time, up to how many users, and its seed."""


CLICKS, CLICKED_LISTS = "clicks per list", "share of lists with a click"


@dataclass(frozen=True)
class Estimate:
    """What the candidate earns, with an interval; `of` says in what. `refused`: why nothing can be said; figures are
    NaN then."""

    method: str
    value: float
    low: float
    high: float
    effective: float
    covered: float
    refused: str = ""
    of: str = CLICKS


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
    """All estimates: three by the position-based model, and one by the cascade model.

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
        found = [Estimate(method, *nothing) for method in ("ips", "snips", "dr")]
        return [*found, Estimate("cascade", *nothing, of=CLICKED_LISTS)]
    reward = np.where(shown, logged.reward, 0.0)
    found = []
    for method, contribution in (
        ("ips", _ips(weight, reward)),
        ("snips", _snips(weight, reward, shown)),
        ("dr", _dr(weight, reward, shown, logged)),
    ):
        value, low, high = _interval(contribution, logged.user, alpha)
        found.append(Estimate(method, value, low, high, effective, covered))
    value, low, high = _interval(_cascade(weight, reward, shown), logged.user, alpha)
    found.append(Estimate("cascade", value, low, min(1.0, high), effective, covered, of=CLICKED_LISTS))
    return found


def _interval(contribution: NDArray[np.float64], user: NDArray[np.int64], alpha: float) -> tuple[float, float, float]:
    """The mean of a list, and the ends of its interval: bootstrap-t over users (Efron & Tibshirani 1993, chapter 12).

    A few heavy weights make the estimate skewed, and where they happen to be missing, its standard error is too small,
    too: the studentised statistic knows that, a normal interval does not. Beyond `MOST_RESAMPLED` users the central
    limit does, and the interval is the normal one of the logarithm.
    """
    _, index = np.unique(user, return_inverse=True)
    sums = np.bincount(index, contribution).astype(np.float64)
    lists = np.bincount(index).astype(np.float64)
    value, error = (float(one[0]) for one in _means(np.ones((1, len(sums))), sums, lists))
    if error <= 0:
        return value, value, value
    if len(sums) > MOST_RESAMPLED:
        around = float(stats.norm.ppf(1 - alpha / 2)) * error
        factor = math.exp(around / value) if value > 0 else math.nan
        return (value, value / factor, value * factor) if value > 0 else (value, value - around, value + around)
    rng = np.random.default_rng(SEED)
    means, errors = [], []
    for _ in range(RESAMPLES // RESAMPLES_AT_ONCE):
        times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES_AT_ONCE)
        some, their = _means(times.astype(np.float64), sums, lists)
        means.append(some)
        errors.append(their)
    resampled, their_errors = np.concatenate(means), np.concatenate(errors)
    usable = their_errors > 0
    studentised = (resampled[usable] - value) / their_errors[usable]
    low, high = np.quantile(studentised, [alpha / 2, 1 - alpha / 2])
    return value, max(0.0, value - float(high) * error), value - float(low) * error


def _means(
    times: NDArray[np.float64], sums: NDArray[np.float64], lists: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of a list and its standard error by user, for each row of `times`: how often each user counts."""
    total = times @ lists
    mean = (times @ sums) / total
    squares = times @ sums**2 - 2 * mean * (times @ (sums * lists)) + mean**2 * (times @ lists**2)
    return mean, np.sqrt(np.maximum(squares, 0.0)) / total


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


def _cascade(weight: NDArray[np.float64], reward: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each list's contribution, linearised around the rates of the slots (the delta method)."""
    above = np.cumsum(reward, axis=1) - reward
    weight = np.where(shown & (above == 0), weight, 0.0)
    passes, change = 1.0, np.zeros(len(weight))
    for slot in range(weight.shape[1]):
        total = weight[:, slot].sum()
        if total == 0:
            continue
        rate = min(float((weight[:, slot] * reward[:, slot]).sum() / total), 1 - 1e-9)
        passes *= 1 - rate
        change += len(weight) / total * weight[:, slot] * (reward[:, slot] - rate) / (1 - rate)
    return (1 - passes) + passes * change


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
