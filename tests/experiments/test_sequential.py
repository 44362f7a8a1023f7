"""Confidence sequences hold at every look: shown by simulation, with users who come again."""

import math

import numpy as np
import pandas as pd
import pytest

from recstage.config.experiments import ExperimentConfig
from recstage.experiments import reading, sequential
from recstage.experiments.comparison import difference, sample_ratio
from recstage.experiments.outcomes import METRICS, VIEW_SECONDS, UserSums


def simulated(rng, users, looks, lift=0.0, share=0.5, rate=0.2, spread=2.0):
    """Sums by user after each look: users who click with rates of their own and come again, new ones all the time."""
    taste = rng.beta(spread * rate, spread * (1 - rate), users)
    activity = rng.gamma(0.7, 1.0, users)
    challenger = rng.random(users) < share
    taste = np.clip(taste * np.where(challenger, 1 + lift, 1.0), 0, 1)
    joined = rng.integers(0, looks, users)
    lists, clicks = np.zeros(users), np.zeros(users)
    for look in range(looks):
        came = rng.poisson(activity) * (joined <= look)
        lists += came
        clicks += rng.binomial(came, taste)
        yield sums_of(lists, clicks, challenger, share)


def sums_of(lists, clicks, challenger, share=0.5):
    seen = lists > 0
    frame = pd.DataFrame(
        {
            "user_id": np.flatnonzero(seen).astype(str),
            "arm": np.where(challenger[seen], "challenger", "production"),
            "chance": np.where(challenger[seen], share, 1 - share),
            "lists": lists[seen],
            **dict.fromkeys(METRICS, 0.0),
            VIEW_SECONDS: 0.0,
            "first_shown": 0,
            "segment": "all",
        }
    )
    frame["click_through"] = clicks[seen]
    return frame


def test_an_equal_challenger_is_rarely_found_different_looking_after_every_batch():
    rng, runs, looks = np.random.default_rng(5), 200, 25
    naive = always = 0
    for _ in range(runs):
        peeked = sequential_hit = False
        for sums in simulated(rng, 400, looks):
            found = difference(sums, "click_through")
            if min(sums["arm"].value_counts().reindex(["production", "challenger"], fill_value=0)) < 50:
                continue
            planned = sequential.planned_error_for(0.1 * found.production, 0.05)
            peeked |= abs(found.difference) > 1.96 * found.standard_error
            sequential_hit |= abs(found.difference) > sequential.radius(found.standard_error, 0.05, planned)
        naive, always = naive + peeked, always + sequential_hit
    assert naive / runs > 0.1  # what peeking does to an ordinary interval
    assert always / runs <= 0.05


def test_a_better_challenger_is_found_and_a_worse_one_is_not_better():
    config = ExperimentConfig(least_users=50, least_rewards=10)
    verdicts = {}
    for lift in (0.4, -0.4):
        rng = np.random.default_rng(1)
        for sums in simulated(rng, 4000, 20, lift=lift):
            found = reading.read_sums(UserSums(sums, {}), config)
            if found.verdict in ("better", "not-better"):
                break
        verdicts[lift] = found.verdict
    assert verdicts == {0.4: "better", -0.4: "not-better"}


def test_the_variance_is_by_user_and_not_by_click():
    # two users with 100 lists each, who always or never click: 200 lists say no more than two users do
    lists = np.array([100.0, 100.0, 100.0, 100.0])
    clicks = np.array([100.0, 0.0, 100.0, 0.0])
    found = difference(sums_of(lists, clicks, np.array([False, False, True, True])), "click_through")
    assert found.difference == 0
    assert found.standard_error == pytest.approx(math.sqrt(2 * 0.5**2 * 2 / 2))
    by_click = math.sqrt(2 * 0.25 / 200)
    assert found.standard_error > 10 * by_click


def test_the_radius_is_the_published_formula():
    # with n observations of variance 1 and rho: sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(sqrt(n rho^2 + 1) / alpha))
    n, alpha, planned = 400, 0.05, 1000
    rho2 = sequential.tuned(alpha) / planned
    published = math.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    assert sequential.radius(1 / math.sqrt(n), alpha, 1 / math.sqrt(planned)) == pytest.approx(published)


def test_the_p_value_is_the_alpha_whose_interval_ends_at_0():
    p_value = sequential.always_valid_p(0.4, 0.1, 0.1)
    assert sequential.radius(0.1, p_value, 0.1) == pytest.approx(0.4)
    assert sequential.always_valid_p(0.0, 0.1, 0.1) == 1


def test_history_narrows_the_interval_and_moves_no_difference_in_the_mean():
    rng = np.random.default_rng(2)
    plain, sharper = [], []
    for _ in range(60):
        users = 600
        taste = rng.beta(1, 4, users)
        challenger = rng.random(users) < 0.5
        lists = np.full(users, 10.0)
        clicks = rng.binomial(10, np.clip(taste * np.where(challenger, 1.1, 1.0), 0, 1)).astype(float)
        before = pd.Series(rng.binomial(20, taste) / 20, index=np.arange(users).astype(str))
        sums = sums_of(lists, clicks, challenger)
        plain.append(difference(sums, "click_through"))
        sharper.append(difference(sums, "click_through", before))
    assert np.mean([one.variance_kept for one in sharper]) < 0.5
    assert np.mean([one.standard_error for one in sharper]) < 0.75 * np.mean([one.standard_error for one in plain])
    error = np.std([one.difference for one in sharper]) / math.sqrt(60)
    assert abs(np.mean([one.difference for one in sharper]) - 0.02) < 4 * error


def test_a_split_that_is_not_the_intended_one_stops_the_reading():
    rng = np.random.default_rng(0)
    challenger = rng.random(3000) < 0.45
    sums = sums_of(np.full(3000, 5.0), rng.binomial(5, 0.2, 3000).astype(float), challenger)
    found = reading.read_sums(UserSums(sums, {}), ExperimentConfig())
    assert found.verdict == "invalid"
    assert "sample-ratio mismatch" in found.summary
    assert found.measured == ()


def test_an_intended_split_is_rarely_a_mismatch_looking_after_every_batch():
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(200):
        arms = rng.random(2000) < 0.3
        frame = pd.DataFrame(
            {"arm": np.where(arms, "challenger", "production"), "chance": np.where(arms, 0.3, 0.7), "lists": 1}
        )
        false += any(sample_ratio(frame[:n]).mismatch for n in range(50, 2001, 50))
    assert false <= 4


def test_a_share_that_was_changed_on_the_way_is_no_mismatch():
    rng = np.random.default_rng(4)
    share = np.repeat([0.1, 0.5], 1500)
    arms = rng.random(3000) < share
    frame = pd.DataFrame(
        {"arm": np.where(arms, "challenger", "production"), "chance": np.where(arms, share, 1 - share)}
    )
    assert not sample_ratio(frame).mismatch


def test_a_guarded_metric_that_is_lost_outweighs_a_gain():
    rng = np.random.default_rng(6)
    challenger = rng.random(2000) < 0.5
    sums = sums_of(np.full(2000, 10.0), rng.binomial(10, np.where(challenger, 0.4, 0.2)).astype(float), challenger)
    sums["conversion"] = rng.binomial(10, np.where(challenger, 0.02, 0.1)).astype(float)
    found = reading.read_sums(UserSums(sums, {}), ExperimentConfig())
    assert found.verdict == "not-better"
    assert "lost: conversion" in found.summary


def test_too_little_evidence_is_undecided_and_says_how_much_is_missing():
    sums = sums_of(np.full(40, 3.0), np.ones(40), np.arange(40) % 2 == 0)
    found = reading.read_sums(UserSums(sums, {}), ExperimentConfig())
    assert found.verdict == "undecided"
    assert "80 more users" in found.summary


def test_no_list_at_all_is_undecided():
    sums = sums_of(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    found = reading.read_sums(UserSums(sums, {}), ExperimentConfig())
    assert found.verdict == "undecided"
    assert "no lists yet" in found.summary
