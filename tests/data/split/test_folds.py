"""Folds of a cross-validation: what is tested where, and that no fold knows of its test."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from recstage.config import SplitConfig
from recstage.data.event_log import EventLog
from recstage.data.split import Split, cut
from recstage.errors import DataError, TooLittleData
from tests.data.split.test_cutting import at_once, events, likes, log_of, pairs, unordered

MANY = [event for n in range(30) for event in likes(f"u{n:02}", "abcdefghij", 7 * n)]


def folds_of(log: EventLog, method: Literal["k-fold", "rolling"], folds: int = 4, **more: Any) -> list[Split]:
    return [cut(log, SplitConfig(method=method, folds=folds, fold=n + 1, **more)) for n in range(folds)]


@settings(max_examples=30, deadline=None)
@given(rows=events, folds=st.integers(2, 5))
def test_every_liked_pair_is_tested_in_one_fold_but_a_user_s_only_one(
    rows: list[tuple[str, str, int, str]], folds: int
) -> None:
    log = log_of(*rows)
    liked = pairs(log.aggregate("sum").select(log.aggregate("sum").weight > 0))
    try:
        found = folds_of(log, "k-fold", folds, negatives=0)
    except TooLittleData:
        reject()
    tested = sorted(pair for split in found for pair in pairs(split.test))
    counts = {user: sum(1 for one, _ in liked if one == user) for user, _ in liked}
    assert tested == sorted(pair for pair in liked if counts[pair[0]] > 1)
    for split in found:
        known = set(pairs(split.train)) | set(pairs(split.validation))
        assert not known & set(pairs(split.test))
        assert known | set(pairs(split.test)) == {(user, item) for user, item, _, _ in rows}
        assert split.left_out == {"dismissed after the cut": 0, "repeats after the cut": 0}


def test_the_folds_of_users_with_few_pairs_are_as_large_as_each_other() -> None:
    log = log_of(*(event for n in range(400) for event in likes(f"u{n:03}", "ab")))

    sizes = [len(split.test) for split in folds_of(log, "k-fold", negatives=0)]

    assert sum(sizes) == 800
    assert min(sizes) > 160


def test_the_training_rows_of_a_fold_keep_their_order_in_time() -> None:
    for split in folds_of(log_of(*MANY), "k-fold"):
        assert split.method.startswith("k-fold ")
        assert len(split.validation)
        for user in range(30):
            assert (np.diff(split.train.of([user]).timestamps) > 0).all()


def test_folds_are_drawn_by_the_seed_and_not_by_the_order_of_the_file() -> None:
    rows = [row for user in "uvwxyz" for row in at_once(user, "abcdefghij")]
    first, same, other = (
        folds_of(unordered(*order), "k-fold", seed=seed)[0] for order, seed in ((rows, 1), (rows[::-1], 1), (rows, 2))
    )
    assert sorted(pairs(first.test)) == sorted(pairs(same.test))
    assert sorted(pairs(first.validation)) == sorted(pairs(same.validation))
    assert sorted(pairs(first.test)) != sorted(pairs(other.test))
    assert not first.train.ordered


def test_rolling_windows_follow_each_other_and_each_fold_ends_with_its_own() -> None:
    folds = folds_of(log_of(*MANY), "rolling", test_fraction=0.4, negatives=0)

    sizes = [len(split.test) for split in folds]
    assert sum(sizes) == pytest.approx(120, abs=8)
    assert max(sizes) - min(sizes) <= 8
    for before, after in pairwise(folds):
        assert before.train_and_validation.timestamp.max() < before.test.timestamp.min()
        assert before.test.timestamp.max() < after.test.timestamp.min()
        known = set(pairs(after.train_and_validation))
        assert known == set(pairs(before.train_and_validation)) | set(pairs(before.test))


def test_what_comes_after_a_window_changes_nothing_in_its_fold() -> None:
    config = SplitConfig(method="rolling", folds=4, fold=2)
    fold = cut(log_of(*MANY), config)
    end = fold.test.timestamp.max()
    others = [(user, item if when <= end else f"{item}'", when, kind) for user, item, when, kind in MANY]

    again = cut(log_of(*others), config)

    for part in ("train", "validation", "test"):
        assert pairs(getattr(again, part)) == pairs(getattr(fold, part))
    user, item = pairs(fold.test)[0]
    dismissed_later = cut(log_of(*MANY, (user, item, 900, "no")), config)
    assert (user, item) in pairs(dismissed_later.test)


def test_test_rows_of_the_source_are_in_no_fold() -> None:
    rows = [*likes("u", "abcdef"), *likes("v", "abcdef")]
    given_rows = (("u", "z", 90, "like"), ("v", "y", 91, "like"))

    for split in folds_of(log_of(*rows, test=given_rows), "k-fold", 3):
        everything = {*pairs(split.train), *pairs(split.validation), *pairs(split.test)}
        assert len(everything) == 12
        assert not everything & {("u", "z"), ("v", "y")}


def test_rolling_needs_a_clock_and_an_order() -> None:
    with pytest.raises(DataError, match=r"split.method = rolling: the data set's times are ranks.*Choose k-fold"):
        cut(log_of(*MANY), SplitConfig(method="rolling"), time_is_clock=False)
    with pytest.raises(DataError, match=r"split.method = rolling: the data set is unordered.*Choose k-fold"):
        cut(unordered(*at_once("u", "abcd")), SplitConfig(method="rolling"))


def test_a_window_without_rows_and_one_after_all_rows_are_refused() -> None:
    with pytest.raises(TooLittleData, match="no liked pair is later: no window has anything to test"):
        cut(log_of(*MANY), SplitConfig(method="rolling", test_from=10_000))
    few = log_of(*likes("u", "abc"), *likes("v", "abc"))
    with pytest.raises(TooLittleData, match="a rolling 1/5 split of .* leaves no test rows"):
        cut(few, SplitConfig(method="rolling"))


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="fold = 6: there are 5 folds, from 1"):
        SplitConfig(method="k-fold", fold=6)
