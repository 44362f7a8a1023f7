"""Bad rows are named, dropped and counted, or refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recstage.config import DataConfig, SyntheticSource
from recstage.data import event_weights
from recstage.data.schema import RawData, Rejected
from recstage.data.validation import clean
from recstage.errors import DataError

NOW = 1_700_000_000
NO_LINES = Rejected()


def config_with(**options: Any) -> DataConfig:
    return DataConfig(name="shop", source=SyntheticSource(), weights={"view": 0.1, "click": 1.0}, **options)


def raw_of(*rows: tuple[object, ...], clock: bool = True, rejected: Rejected = NO_LINES) -> RawData:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "interaction_type", "value"])
    frame = frame.astype({"timestamp": float, "value": float})
    return RawData(events=frame.set_axis(np.arange(2, len(frame) + 2)), time_is_clock=clock, rejected=rejected)


GOOD = ("a", "x", NOW, "view", np.nan)


def _views(n: int) -> list[tuple[object, ...]]:
    return [(f"v{i}", "x", NOW, "view", np.nan) for i in range(n)]


def test_good_rows_pass_untouched() -> None:
    raw = raw_of(GOOD, ("a", "y", NOW, "click", 2.0))

    cleaned, findings = clean(raw, config_with(strict=True))

    assert cleaned.events.equals(raw.events)
    assert findings.dropped == {}
    assert findings.rows == 2


@pytest.mark.parametrize(
    ("bad", "reason", "described"),
    [
        ((None, "x", NOW, "view", np.nan), "missing user_id", "line 3: user (none), item x"),
        (("a", None, NOW, "view", np.nan), "missing item_id", "line 3: user a, item (none)"),
        (("a", "z", np.nan, "view", np.nan), "missing timestamp", "line 3: user a, item z"),
        (("a", "z", NOW, None, np.nan), "missing interaction_type", "line 3: user a, item z, None"),
        (("a", "z", -5, "view", np.nan), "impossible timestamp", "line 3: user a, item z, timestamp -5"),
        (("a", "z", 5e9, "view", np.nan), "impossible timestamp", "line 3: user a, item z, timestamp 5000000000"),
        (("a", "z", NOW, "buy", np.nan), "unknown interaction_type", "line 3: user a, item z, buy"),
        (GOOD, "duplicate row", "line 3: user a, item x"),
    ],
)
def test_a_bad_row_is_dropped_counted_and_named(bad: tuple[object, ...], reason: str, described: str) -> None:
    more = [(f"b{n}", "x", NOW + n, "view", np.nan) for n in range(10)]
    cleaned, findings = clean(raw_of(GOOD, bad, *more), config_with())

    assert cleaned.events.index.tolist() == [2, *range(4, 14)]
    assert findings.dropped == {reason: 1}
    assert findings.first[reason][0].replace("nan", "None") == described


def test_strict_refuses_and_names_the_first_rows() -> None:
    raw = raw_of(*_views(50), *[(f"u{i}", "x", NOW, "buy", np.nan) for i in range(5)])

    with pytest.raises(DataError) as caught:
        clean(raw, config_with(strict=True))

    message = str(caught.value)
    assert "shop: 5 with unknown interaction_type" in message
    assert "line 52: user u0, item x, buy, line 53: user u1, item x, buy, line 54: user u2, item x, buy" in message
    assert "u3" not in message
    assert "strict data sets have no bad row, and 5 of 55 are" in message
    assert "types with a weight: view, click" in message


def test_rows_that_the_reader_rejects_count_too() -> None:
    raw = raw_of(GOOD, rejected=Rejected.of("wrong number of fields", 2, ["line 9: 'x'"]))

    _, findings = clean(raw, config_with())
    assert findings.dropped == {"wrong number of fields": 2}
    assert findings.rows == 3

    with pytest.raises(DataError, match=r"2 with wrong number of fields \(line 9: 'x'\)"):
        clean(raw, config_with(strict=True))


def test_a_row_with_two_faults_counts_once() -> None:
    _, findings = clean(raw_of(*_views(20), (None, None, NOW, "buy", np.nan)), config_with())

    assert findings.total == 1


def test_equal_rows_are_one_row_and_a_later_repeat_is_another() -> None:
    cleaned, findings = clean(raw_of(GOOD, GOOD, GOOD, ("a", "x", NOW + 1, "view", np.nan)), config_with())

    assert findings.dropped == {"duplicate row": 2}
    assert len(cleaned.events) == 2


def test_ranks_may_be_small_and_large_but_not_negative() -> None:
    raw = raw_of(
        ("a", "x", 0, "view", np.nan), ("a", "y", 1e12, "view", np.nan), ("a", "z", -1, "view", np.nan), clock=False
    )

    cleaned, findings = clean(raw, config_with())

    assert len(cleaned.events) == 2
    assert findings.dropped == {"impossible timestamp": 1}


def test_a_clock_may_be_a_little_ahead() -> None:
    cleaned, _ = clean(raw_of(("a", "x", time.time() + 3600, "view", np.nan)), config_with())

    assert len(cleaned.events) == 1


def test_nothing_left_is_refused_even_when_not_strict() -> None:
    with pytest.raises(DataError, match=r"shop: 1 with missing item_id .*a data set needs at least one good row"):
        clean(raw_of(("a", None, NOW, "view", np.nan)), config_with())


def test_types_without_a_weight_are_listed_with_their_counts_and_the_yaml_to_add() -> None:
    raw = raw_of(*_views(10), *[("a", "x", NOW + i, "Add to cart" if i % 2 else "buy", np.nan) for i in range(9)])

    with pytest.raises(DataError) as caught:
        clean(raw, config_with())

    assert str(caught.value) == (
        "shop: buy (5), Add to cart (4): these interaction types have no weight, and 47% of the rows are of them. "
        "Add to its YAML weights: {buy: 1.0, Add to cart: 0.6} (or -P data.weights.TYPE=NUMBER), or set default_weight."
    )


def test_a_default_weight_is_that_of_all_other_types() -> None:
    raw = raw_of(*_views(2), ("a", "x", NOW, "buy", np.nan))

    cleaned, findings = clean(raw, config_with(default_weight=0.5))

    assert findings.dropped == {}
    assert event_weights.to_log(cleaned, config_with(default_weight=0.5)).weight.tolist() == pytest.approx(
        [0.5, 0.1, 0.1]
    )


def test_a_type_of_dropped_rows_needs_no_weight() -> None:
    raw = raw_of(*_views(20), ("a", "x", NOW, "buy", np.nan))
    raw = replace(raw, events=raw.events.astype({"interaction_type": "category"}))

    cleaned, _ = clean(raw, config_with())

    assert len(event_weights.to_log(cleaned, config_with())) == 20


def test_rows_that_vanish_are_an_error() -> None:
    with pytest.raises(AssertionError, match="5 rows read, 1 kept and"):
        clean(replace(raw_of(GOOD), rows_read=5), config_with())


@pytest.mark.parametrize(
    ("rows", "ordered"),
    [
        ([("a", 1), ("a", 2), ("b", 5)], True),
        ([("a", 1), ("b", 2)], True),
        ([("a", 1), ("a", 1), ("b", 2), ("b", 2)], False),
        ([("a", 1), ("a", 1), ("b", 1)], False),
    ],
)
def test_times_that_are_equal_within_every_user_tell_no_order(rows: list[tuple[str, int]], ordered: bool) -> None:
    raw = raw_of(*[(user, f"i{n}", NOW + time, "view", np.nan) for n, (user, time) in enumerate(rows)])

    assert clean(raw, config_with())[0].ordered is ordered


def test_equal_rows_are_repeats_where_no_time_could_tell_them_apart() -> None:
    raw = replace(raw_of(GOOD, GOOD), ordered=False)

    assert clean(raw, config_with())[1].dropped == {}


def test_no_rows_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="shop: no rows: a data set needs at least one good row"):
        clean(raw_of(), config_with())


def test_a_missing_column_is_named() -> None:
    raw = raw_of(GOOD)

    with pytest.raises(DataError, match=r"item_id missing. Map the file's columns to ours"):
        clean(RawData(events=raw.events.drop(columns="item_id")), config_with())


def test_test_rows_are_checked_as_well() -> None:
    raw = raw_of(GOOD)
    raw = RawData(events=raw.events, test=raw_of(("a", None, NOW, "view", np.nan), GOOD).events)

    cleaned, findings = clean(raw, config_with())

    assert cleaned.test is not None
    assert len(cleaned.test) == 1
    assert findings.dropped == {"missing item_id": 1}
    assert findings.rows == 3


def test_where_all_times_are_equal_the_same_row_twice_is_a_repeat_and_not_dropped() -> None:
    rows = pd.DataFrame(
        {
            "user_id": list("aabb"),
            "item_id": list("xxyz"),
            "timestamp": 5.0,
            "interaction_type": "view",
            "value": np.nan,
        }
    )
    cleaned, findings = clean(RawData(rows, time_is_clock=True), config_with(default_weight=1.0))
    assert findings.dropped == {}
    assert not cleaned.ordered
