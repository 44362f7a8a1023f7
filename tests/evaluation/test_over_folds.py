"""Means over folds and how sure they are."""

import numpy as np
import pytest

from recstage.errors import DataError
from recstage.evaluation.over_folds import over_folds


def test_the_interval_is_that_of_nadeau_and_bengio():
    found = over_folds([0.1, 0.2, 0.3, 0.2, 0.2], 0.25)
    assert found.mean == pytest.approx(0.2)
    assert found.std == pytest.approx(np.sqrt(0.005))
    # t of 4 degrees of freedom at .975 is 2.7764; the variance of the mean .005 * (1/5 + 1/4)
    assert found.high - found.mean == pytest.approx(2.7764 * np.sqrt(0.005 * 0.45), rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_without_overlap_the_p_value_is_that_of_the_t_test():
    from scipy import stats

    values = np.random.default_rng(1).normal(0.5, 1, 8)
    assert over_folds(values, 0.0).p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert over_folds(values, 0.2).p_value > over_folds(values, 0.0).p_value


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (0.3, 0.0)])
def test_folds_that_all_say_the_same_have_no_spread(value, p_value):
    found = over_folds([value] * 3, 0.5)
    assert (found.low, found.high) == pytest.approx((value, value))
    assert found.p_value == p_value


def test_one_fold_has_no_spread():
    with pytest.raises(DataError, match="1 folds: a spread over folds needs two at least"):
        over_folds([0.2], 0.25)


def test_where_training_rows_overlap_the_correction_keeps_the_promise_of_the_interval():
    """Values of folds that share what their training sets have in common: correlated by test / (test + train)."""
    random = np.random.default_rng(3)
    common = random.normal(size=(4000, 1)) * np.sqrt(0.2)
    values = common + random.normal(size=(4000, 5)) * np.sqrt(0.8)
    missed = [np.mean([not one.low <= 0 <= one.high for one in (over_folds(row, share) for row in values)])
              for share in (0.0, 0.25)]  # fmt: skip
    assert missed[0] > 0.09  # a plain t interval promises .05
    assert missed[1] == pytest.approx(0.05, abs=0.012)
