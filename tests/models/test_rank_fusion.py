"""Fusion of the scores of several models."""

import numpy as np
import pytest

from recstage.models.rank_fusion import by_range, by_rank, weights


def test_weights_leave_the_rest_to_the_last():
    assert weights(3, 0.6) == pytest.approx([0.6, 0.24, 0.16])
    assert weights(1, 0.6) == [1]


def test_ranks_count_unseen_items_above():
    scores, unseen = np.array([[9, 1, 5, 5]], np.float32), np.array([[False, True, True, True]])
    assert by_rank(scores, unseen)[0].tolist() == pytest.approx([1, 61 / 63, 1, 61 / 62])


def test_scores_are_scaled_over_unseen_items():
    scores, unseen = np.array([[9, 1, 3, 5], [2, 2, 2, 2]], np.float32), np.array([[False, True, True, True]] * 2)
    assert by_range(scores, unseen).tolist() == [[1, 0, 0.5, 1], [0, 0, 0, 0]]
