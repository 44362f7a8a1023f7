"""The simulated fleet is held to what queueing theory knows, and to what a cache, a swap and a burst must do."""

import numpy as np
import pytest

from experiments.benchmarks.simulations.fleet import Burst, Fleet, Swap, erlang_c, simulate

MEAN = 0.01


def test_erlang_c_of_a_hand_made_example():
    # M/M/1 at 50 %: wait = rho / (mu - lambda) = .5 / (100 - 50); M/M/2 at 50 %: C = 1/3, wait = C / (2 mu - lambda)
    assert erlang_c(50, MEAN, 1) == pytest.approx(0.01)
    assert erlang_c(100, MEAN, 2) == pytest.approx(1 / 3 / 100)


def test_a_queue_that_grows_without_end_has_no_mean_wait():
    with pytest.raises(ValueError, match="3 of 2 workers are asked for"):
        erlang_c(300, MEAN, 2)


@pytest.mark.parametrize(("workers", "busy"), [(1, 0.5), (1, 0.8), (4, 0.8), (16, 0.9)])
def test_the_mean_wait_is_that_of_erlang(workers, busy):
    rate = busy * workers / MEAN
    found = simulate(Fleet(rate, workers=workers, miss=MEAN), 60_000 / rate * 2, seed=1, warm_up=10)
    assert found.wait.mean() == pytest.approx(erlang_c(rate, MEAN, workers), rel=0.12)
    assert found.busy == pytest.approx(busy, rel=0.03)


def test_fixed_service_times_wait_half_as_long_as_exponential_ones():
    # Pollaczek-Khinchine: M/D/1 waits rho / (2 mu (1 - rho))
    found = simulate(Fleet(70, miss=MEAN, service="fixed"), 1500, seed=2)
    assert found.wait.mean() == pytest.approx(0.7 / (2 * 100 * 0.3), rel=0.08)


def test_requests_in_the_system_are_the_rate_times_their_stay():
    found = simulate(Fleet(70, workers=2, miss=0.02), 500, seed=3)
    moments = np.linspace(50, 450, 4001)
    inside = [((found.arrival <= t) & (found.arrival + found.total > t)).sum() for t in moments]
    assert np.mean(inside) == pytest.approx(70 * found.total.mean(), rel=0.1)  # Little


def test_the_replica_with_the_fewest_requests_is_better_than_any():
    fewest, random = (
        simulate(Fleet(320, replicas=4, miss=MEAN, choose=choose), 100, seed=4).wait.mean()
        for choose in ("fewest", "random")
    )
    assert fewest < 0.6 * random


def test_a_cache_is_hit_by_users_who_come_again_and_a_shared_one_more_often():
    none, own, shared = (
        simulate(Fleet(200, replicas=4, users=200, keep=keep, shared=shared), 60, seed=5).hit.mean()
        for keep, shared in ((0.0, False), (10.0, False), (10.0, True))
    )
    assert none == 0
    assert 0.2 < own < shared < 1


def test_a_swap_empties_the_caches_and_slows_one_replica_after_the_other():
    swap = Swap(at=30, seconds=5, stagger=10, slowdown=3.0)
    fleet = Fleet(200, replicas=2, users=50, keep=60.0, miss=0.004, hit=0.001, swaps=(swap,))
    found = simulate(fleet, 60, seed=6)

    def hits(begin, end):
        inside = (found.arrival >= begin) & (found.arrival < end)
        return found.hit[inside].mean()

    assert hits(29, 30) > 0.95
    assert hits(30, 30.5) < 0.9
    assert hits(39, 40) > 0.95
    assert hits(40, 40.5) < 0.9
    assert found.percentile_ms(99, 30, 35) > 1.5 * found.percentile_ms(99, 25, 30)


def test_a_burst_is_refused_rather_than_left_waiting():
    fleet = Fleet(80, miss=MEAN, refuse_after=0.2, bursts=(Burst(20, 30, 3.0),))
    found = simulate(fleet, 40, seed=7)
    during = (found.arrival >= 22) & (found.arrival < 30)
    assert np.isnan(found.wait[during]).mean() > 0.4
    assert np.nanmax(found.wait) <= 0.2
    assert np.isnan(found.wait[found.arrival > 35]).mean() < 0.05


def test_the_same_seed_is_the_same_traffic():
    ours, theirs = (simulate(Fleet(100, miss=0.008), 20, seed=8) for _ in range(2))
    np.testing.assert_array_equal(ours.total, theirs.total)
