"""Metrics of ranked lists: answers worked out by hand."""

import numpy as np
import pytest

from recstage.errors import DataError
from recstage.evaluation import metrics


def marked(*lists):
    return np.array([[mark == "x" for mark in ranks] for ranks in lists])


def test_a_hit_on_the_first_rank_has_the_whole_ndcg():
    assert metrics.ndcg(marked("x----"), np.array([1]), 5) == pytest.approx([1])


def test_a_hit_on_the_second_rank_is_discounted_by_the_logarithm_of_three():
    assert metrics.ndcg(marked("-x---"), np.array([1]), 5) == pytest.approx([1 / np.log2(3)])


def test_ndcg_of_two_hits_is_their_gain_over_that_of_the_best_list():
    gain = 1 / np.log2(2) + 1 / np.log2(4)
    best = 1 / np.log2(2) + 1 / np.log2(3)
    assert metrics.ndcg(marked("x-x--"), np.array([2]), 5) == pytest.approx([gain / best])


def test_ndcg_of_a_list_full_of_hits_is_one_though_more_items_are_relevant_than_fit():
    assert metrics.ndcg(marked("xx"), np.array([7]), 2) == pytest.approx([1])


def test_a_hit_beyond_the_cutoff_counts_for_nothing():
    hits, relevant = marked("----x"), np.array([1])
    assert [metric(hits, relevant, 4)[0] for metric in metrics.ACCURACY.values()] == [0] * 6
    assert all(metric(hits, relevant, 5)[0] > 0 for metric in metrics.ACCURACY.values())


def test_hit_rate_asks_whether_there_is_any():
    assert metrics.hit_rate(marked("--xx-", "-----"), np.array([3, 3]), 5).tolist() == [1, 0]


def test_recall_is_the_share_of_the_relevant_items():
    assert metrics.recall(marked("x-x--"), np.array([4]), 5) == pytest.approx([2 / 4])


def test_precision_is_the_share_of_the_list():
    assert metrics.precision(marked("x-x--"), np.array([4]), 5) == pytest.approx([2 / 5])


def test_average_precision_adds_the_precision_at_each_hit():
    assert metrics.average_precision(marked("x-x--"), np.array([2]), 5) == pytest.approx([(1 / 1 + 2 / 3) / 2])


def test_average_precision_is_over_all_relevant_items_even_above_the_cutoff():
    assert metrics.average_precision(marked("xx"), np.array([4]), 2) == pytest.approx([2 / 4])


def test_reciprocal_rank_is_of_the_first_hit():
    assert metrics.reciprocal_rank(marked("--x-x", "-----"), np.array([2, 2]), 5) == pytest.approx([1 / 3, 0])


def test_an_empty_place_of_a_list_is_never_a_hit():
    lists = np.array([[2, -1, -1], [0, 1, -1]], np.int32)
    hits = metrics.hits_of(lists, np.array([0, 1, 1]), np.array([2, 1, 2], np.int32), 3)
    assert hits.tolist() == [[True, False, False], [False, True, False]]


def test_the_last_item_of_one_user_is_not_taken_for_the_missing_item_of_the_next():
    lists = np.array([[0], [-1]], np.int32)
    assert not metrics.hits_of(lists, np.array([0]), np.array([2], np.int32), 3).any()


@pytest.mark.parametrize("k", [0, 6])
def test_a_cutoff_outside_the_list_is_refused(k):
    with pytest.raises(DataError, match=f"cutoff {k} over lists of 5.*at least 1 and at most"):
        metrics.recall(marked("x----"), np.array([1]), k)


# -- sampled candidates -----------------------------------------------------------------------------------------------


def ranks(test, others, counted=None):
    others = np.array([others], np.float32)
    counted = np.ones(others.shape, bool) if counted is None else np.array([counted])
    return metrics.ranks_among(np.array([test], np.float32), others, counted)[0].tolist()


def test_the_rank_is_one_more_than_the_candidates_ahead():
    assert ranks([0.5], [0.9, 0.1, 0.7, 0.2]) == [3]


def test_a_tie_counts_against_the_test_item_so_that_constant_scores_come_last():
    assert ranks([0.5], [0.5, 0.5, 0.5]) == [4]


def test_scores_that_are_no_numbers_never_help():
    assert ranks([np.nan], [0.1, 0.2]) == [3]
    assert ranks([0.5], [np.nan, 0.2]) == [2]


def test_candidates_that_are_not_counted_do_not_push_the_test_item_down():
    assert ranks([0.5], [0.9, 0.8, 0.1], counted=[False, True, True]) == [2]


def test_test_items_do_not_compete_with_one_another():
    assert ranks([0.5, 0.6], [0.55]) == [2, 1]


def test_sampled_metrics_of_rank_three():
    rank = np.array([[3]])
    assert metrics.sampled_ndcg(rank, 10) == pytest.approx(1 / np.log2(4))
    assert metrics.sampled_hit_rate(rank, 3) == 1
    assert metrics.sampled_reciprocal_rank(rank, 10) == pytest.approx(1 / 3)
    assert [metric(rank, 2)[0, 0] for metric in metrics.SAMPLED.values()] == [0, 0, 0]


# -- beyond accuracy --------------------------------------------------------------------------------------------------


def test_exposure_counts_the_lists_that_show_an_item():
    assert metrics.exposure(np.array([[0, 2], [2, -1]], np.int32), 4).tolist() == [1, 0, 2, 0]


def test_coverage_is_the_share_of_items_in_any_list():
    assert metrics.coverage(np.array([1, 0, 2, 0])) == 0.5


def test_gini_is_one_where_one_item_has_everything_and_zero_where_all_have_alike():
    assert metrics.gini(np.array([0, 0, 0, 9])) == pytest.approx(1)
    assert metrics.gini(np.array([3, 3, 3, 3])) == pytest.approx(0)


def test_gini_of_one_and_three():
    assert metrics.gini(np.array([3, 1])) == pytest.approx((-1 * 1 + 1 * 3) / (1 * 4))


def test_gini_of_nothing_shown_is_zero():
    assert metrics.gini(np.zeros(3, int)) == 0


def test_an_item_that_a_quarter_of_the_people_have_is_a_surprise_of_two_bits():
    assert metrics.self_information(np.array([8, 2, 1]), 8) == pytest.approx([0, 2, 3])


def test_an_item_that_nobody_has_is_as_surprising_as_one_that_one_person_has():
    assert metrics.self_information(np.array([0, 1]), 16) == pytest.approx([4, 4])


def test_novelty_is_the_mean_surprise_of_the_list_and_unknown_of_an_empty_one():
    lists = np.array([[0, 1], [1, -1], [-1, -1]], np.int32)
    assert metrics.novelty(lists, np.array([1.0, 4.0])) == pytest.approx([2.5, 4, np.nan], nan_ok=True)
