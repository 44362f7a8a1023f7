"""Shifts of distributions: known distances, and what too few rows say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recstage.data.report import shift
from recstage.data.report.shift import of_classes, of_numbers


def test_a_shift_by_half_a_standard_deviation_is_that_distance():
    values = np.random.default_rng(0).normal(0, 2, 5000)
    found = of_numbers("score", values, values + 1)
    assert found.distance == pytest.approx(1 / values.std())
    assert (found.verdict, found.rows_then, found.rows_now) == ("shifted", 5000, 5000)
    assert found.p_value < 1e-6
    assert sum(bar.now for bar in found.bars) == pytest.approx(1)
    assert found.bars[0].then == pytest.approx(0.1, abs=0.01)


def test_two_samples_of_one_distribution_are_alike():
    rng = np.random.default_rng(1)
    assert of_numbers("score", rng.normal(size=5000), rng.normal(size=5000)).verdict == "alike"
    found = of_classes("types", {"view": 900, "click": 100}, {"view": 1800, "click": 200})
    assert (found.verdict, found.distance) == ("alike", pytest.approx(0, abs=1e-6))


def test_classes_that_share_nothing_are_at_distance_1():
    found = of_classes("items", {"a": 300}, {"b": 300})
    assert (found.verdict, found.distance) == ("shifted", pytest.approx(1))
    assert [(bar.label, bar.then, bar.now) for bar in found.bars] == [("a", 1, 0), ("b", 0, 1)]


def test_many_classes_are_shown_as_the_largest_and_the_rest():
    counts = {f"c{number}": 100 - number for number in range(30)}
    found = of_classes("categories", counts, counts)
    assert [bar.label for bar in found.bars][-2:] == ["c13", shift.REST]
    assert sum(bar.then for bar in found.bars) == pytest.approx(1)


@pytest.mark.parametrize("rows", [0, shift.LEAST_ROWS - 1])
def test_too_few_rows_say_nothing(rows):
    numbers = of_numbers("score", np.arange(1000), np.arange(rows))
    classes = of_classes("types", {"view": 1000}, {"view": rows} if rows else {})
    for found in (numbers, classes):
        assert found.verdict == "unknown"
        assert math.isnan(found.distance)
        assert found.bars == ()


def test_a_constant_is_alike_until_it_moves():
    assert of_numbers("score", np.ones(500), np.ones(500)).verdict == "alike"
    assert of_numbers("score", np.ones(500), np.full(500, 2.0)).verdict == "shifted"


def test_values_that_are_no_numbers_are_left_out():
    values = np.r_[np.arange(500.0), np.nan, np.inf]
    assert of_numbers("seconds", values, values).rows_now == 500
