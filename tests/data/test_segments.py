import numpy as np
import pytest

from recstage.config import EvaluationConfig, check
from recstage.data.segments import segments_of
from recstage.errors import ConfigError


def test_users_are_cold_below_five_and_hot_from_twenty():
    counts = np.array([0, 4, 5, 19, 20, 500])
    assert segments_of(counts, 5, 20).tolist() == ["cold", "cold", "warm", "warm", "hot", "hot"]


def test_thresholds_come_from_the_caller():
    assert segments_of(np.array([1, 2, 3]), cold_below=2, hot_from=3).tolist() == ["cold", "warm", "hot"]


def test_without_a_gap_between_the_thresholds_no_user_is_warm():
    assert segments_of(np.array([3, 4, 5]), cold_below=4, hot_from=4).tolist() == ["cold", "hot", "hot"]


def test_thresholds_that_overlap_are_refused():
    with pytest.raises(ConfigError, match="hot_from = 4 is below cold_below = 9: hot users begin after cold ones"):
        check(EvaluationConfig, {"cold_below": 9, "hot_from": 4}, "evaluation")
