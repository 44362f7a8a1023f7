import numpy as np
import pytest

from recstage.errors import DataError
from recstage.evaluation.significance import bootstrap_interval, paired_bootstrap, resampled_means


def test_the_interval_of_equal_values_is_a_point():
    assert bootstrap_interval([0.3] * 50) == pytest.approx((0.3, 0.3))


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=4000)
    error = values.std() / np.sqrt(4000)
    low, high = bootstrap_interval(values, resamples=4000)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.1 * error)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    samples = random.exponential(size=(400, 60))
    intervals = [bootstrap_interval(row, resamples=300, confidence=0.9, seed=i) for i, row in enumerate(samples)]
    held = np.mean([low <= 1 <= high for low, high in intervals])
    assert 0.83 < held < 0.95


def test_values_that_a_user_does_not_have_are_left_out():
    assert bootstrap_interval([1.0, np.nan, 1.0]) == (1, 1)


def test_the_same_seed_gives_the_same_interval_and_another_another():
    values = np.random.default_rng(2).random(100)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_a_model_does_not_differ_from_itself():
    values = np.random.default_rng(3).random(200)
    result = paired_bootstrap(values, values)
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_a_small_gain_for_everybody_is_significant():
    values = np.random.default_rng(4).random(200)
    result = paired_bootstrap(values + 0.01, values)
    assert result.difference == pytest.approx(0.01)
    assert (result.low, result.high) == pytest.approx((0.01, 0.01))
    assert result.p_value == pytest.approx(1 / 2001)


def test_a_gain_that_is_noise_is_not_significant():
    random = np.random.default_rng(5)
    result = paired_bootstrap(random.random(300), random.random(300))
    assert result.p_value > 0.1
    assert result.low < 0 < result.high


def test_the_test_is_two_sided():
    random = np.random.default_rng(6)
    a, b = random.random(150), random.random(150) + 0.15
    forth, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert forth.p_value == back.p_value < 0.05
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_where_nothing_differs_one_test_in_ten_is_below_a_tenth():
    random = np.random.default_rng(7)
    p_values = [paired_bootstrap(*random.normal(size=(2, 80)), resamples=300, seed=seed).p_value for seed in range(400)]
    assert 0.06 < np.mean(np.array(p_values) < 0.1) < 0.15


def test_pairing_sees_what_the_spread_between_users_would_hide():
    random = np.random.default_rng(8)
    users = random.random(200)
    assert paired_bootstrap(users + 0.01 + 0.01 * random.normal(size=200), users).p_value < 0.01


def test_a_user_whom_one_model_has_no_value_for_is_left_out_of_both():
    assert paired_bootstrap([1.0, 5.0, 2.0], [0.0, np.nan, 1.0]).difference == 1


def test_values_of_different_users_are_refused():
    with pytest.raises(DataError, match="3 and 2 values: a paired test needs the same users"):
        paired_bootstrap([1, 2, 3], [1, 2])


@pytest.mark.parametrize("values", [[], [np.nan]])
def test_no_values_are_refused(values):
    with pytest.raises(DataError, match="no values: a bootstrap needs at least one"):
        bootstrap_interval(values)


def test_the_mean_of_all_is_made_of_the_same_resamples_as_those_of_the_groups():
    values = np.array([[1.0], [1.0], [5.0], [5.0]])
    low, high, everyone = resampled_means(values, np.array([0, 0, 1, 1]), 2, resamples=200, seed=0)[..., 0]
    assert np.nanmax(low) == 1
    assert np.nanmin(high) == 5
    assert set(np.round(everyone, 6)) == {1, 2, 3, 4, 5}


def test_a_group_that_a_resample_does_not_meet_has_no_mean_in_it():
    means = resampled_means(np.ones((3, 1)), np.array([0, 0, 1]), 2, resamples=200, seed=0)
    assert 0 < np.isnan(means[1]).mean() < 1
    assert not np.isnan(means[2]).any()
