"""Small versions of the simulations that `python -m experiments.benchmarks --only loop off-policy` runs in full."""

import numpy as np
import pytest

from experiments.benchmarks.simulations.loop import QUALITY, Policy, better_by, promoted, seconds_to_rollback, true_rate
from experiments.benchmarks.simulations.off_policy import logged_and_truth
from recstage.config import SyntheticSource
from recstage.config.experiments import ExperimentConfig, WatchConfig
from recstage.data.synthetic.population import Habits, Population
from recstage.experiments.exploration import explore, marginals, place_probabilities
from recstage.experiments.interleaving import team_draft
from recstage.experiments.off_policy import LoggedSlots, estimates

SOURCE = SyntheticSource(users=400, items=100, interactions=4000, seed=5)


@pytest.fixture(scope="module")
def better():
    return better_by(0.2)


def test_the_better_policy_is_better_by_what_was_asked_for(better):
    assert true_rate(better, seed=9) / true_rate(Policy(QUALITY), seed=9) == pytest.approx(1.2, abs=0.03)


def test_a_better_challenger_is_promoted_and_an_equal_one_is_not(better):
    config = ExperimentConfig()
    assert sum(promoted(better, seed, config)[0] for seed in range(3)) == 3
    assert sum(promoted(Policy(QUALITY), seed, config)[0] for seed in range(3)) <= 1


def test_the_same_seed_gives_the_same_simulation(better):
    assert promoted(better, 4, ExperimentConfig()) == promoted(better, 4, ExperimentConfig())


def test_a_broken_production_is_out_within_a_minute_and_a_good_one_stays():
    config = WatchConfig()
    for broken in (Policy(0.0), Policy(0.0, empty=True)):
        assert max(seconds_to_rollback(broken, seed, config) for seed in range(3)) <= 60
    assert np.isinf(seconds_to_rollback(Policy(QUALITY), 1, config))


def test_users_click_more_on_what_they_like_and_at_the_top():
    population = Population(SOURCE, Habits(bots=0.0))
    users = population.visitors(4000, 0.5)
    items = population.rng.integers(0, 100, (4000, 10))
    liked = population.likes(users, items, 0.5)
    chance = population.chances(users, items, 0.5)
    assert chance[liked].mean() > 4 * chance[~liked].mean()
    assert chance[:, 0].mean() > 2 * chance[:, 9].mean()


def test_bots_click_on_nothing_and_newcomers_come_later():
    population = Population(SOURCE, Habits(bots=0.2, newcomers=0.5))
    users = population.visitors(2000, 0.0)
    assert (population.joins[users] == 0).all()
    assert len(np.unique(population.visitors(2000, 1.0))) > len(np.unique(users))
    bots = np.flatnonzero(population.bot)
    assert not population.clicks(bots, np.zeros((len(bots), 5), np.int64), 0.5).any()


def test_propensities_are_the_frequencies_with_which_items_are_shown():
    rng, scores = np.random.default_rng(0), np.linspace(2, 0, 8).astype(np.float32)
    counts, runs = np.zeros((8, 4)), 20_000
    for _ in range(runs):
        shown, _ = explore(scores, 4, 0.4, rng)
        counts[shown, np.arange(4)] += 1
    drawn_from = place_probabilities(scores)
    for slot in range(4):
        exact = [
            marginals(drawn_from, np.array([item if i == slot else 0 for i in range(4)]), 0.4)[slot]
            for item in range(8)
        ]
        assert sum(exact) == pytest.approx(1)
        assert counts[:, slot] / runs == pytest.approx(exact, abs=0.015)


def test_without_exploration_the_list_is_the_ranking_with_propensity_1():
    shown, chance = explore(np.array([3, 2, 1], np.float32), 5, 0.0, np.random.default_rng(0))
    assert shown.tolist() == [0, 1, 2]
    assert chance.tolist() == [1, 1, 1]


def test_team_draft_gives_both_rankings_the_same_number_of_items():
    rng = np.random.default_rng(1)
    for _ in range(50):
        items, teams = team_draft([f"a{i}" for i in range(10)], [f"b{i}" for i in range(10)], 10, rng)
        assert len(set(items)) == 10
        assert sum(teams) == 5
        assert [item[0] for item in items] == ["ab"[team] for team in teams]


def test_team_draft_of_equal_rankings_is_the_ranking():
    items, _ = team_draft(["x", "y", "z"], ["x", "y", "z"], 5, np.random.default_rng(2))
    assert items == ["x", "y", "z"]


def test_off_policy_estimates_hold_the_truth_in_most_simulated_logs():
    inside = {"ips": 0, "snips": 0, "dr": 0, "cascade": 0}
    for seed in range(6):
        for stops in (False, True):
            logged, truth = logged_and_truth(seed, lists=1000, cascade=stops)
            for found in [one for one in estimates(logged) if (one.method == "cascade") == stops]:
                inside[found.method] += found.low <= truth <= found.high
                assert found.effective > 100
    assert min(inside.values()) >= 4


def test_users_of_the_cascade_model_click_once_and_only_where_nothing_above_was_clicked():
    logged, truth = logged_and_truth(0, lists=300, cascade=True)
    assert logged.reward.sum(axis=1).max() == 1
    assert 0 < truth < 1
    # two slots: a quarter of the lists is clicked in the first, and a third of those that are read on in the second
    first, second = np.tile([1.0, 0, 0, 0], 50), np.tile([0, 0, 1.0, 0], 50)
    items = np.tile([0, 1], (200, 1))
    clicks = np.stack([first, second], axis=1)
    rates = LoggedSlots(items, np.full((200, 2), 0.5), clicks, items, np.arange(200))
    found = next(one for one in estimates(rates) if one.method == "cascade")
    assert found.value == pytest.approx(1 - 0.75 * (1 - 1 / 3))


def test_an_estimate_is_refused_without_exploration_or_overlap():
    logged, _ = logged_and_truth(0, exploration=0.0, lists=300)
    assert {found.refused.split(",")[0] for found in estimates(logged)} == {"no slot was explored"}
    logged, _ = logged_and_truth(0, lists=300)
    other = LoggedSlots(logged.items, logged.propensity, logged.reward, (logged.candidate + 97) % 200, logged.user)
    for found in estimates(other):
        assert found.refused.startswith("overlap is too small")
        assert np.isnan(found.value)
