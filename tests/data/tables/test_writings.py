"""Columns of times in several writings: each value is read as it is written, and the writings are counted."""

import pandas as pd
import pytest

from recstage.data.tables.values.timestamps import seconds_of
from recstage.data.tables.values.writings import several_writings, writings_of

SECOND_OF_MARCH = 1_740_873_600


def read(*values: str) -> pd.Series:
    return seconds_of(pd.Series(values, dtype=object), "auto")[0]


@pytest.mark.parametrize("often", [str(SECOND_OF_MARCH), "2025-03-02", "02.03.2025"])
def test_seconds_and_dates_in_one_column_are_all_read_whichever_is_more_frequent(often):
    found = read(
        *[often] * 5, str(SECOND_OF_MARCH), f"{SECOND_OF_MARCH}000", "2025-03-02", "02.03.2025", "2025年3月2日"
    )
    assert found.tolist() == [SECOND_OF_MARCH] * 10


def test_dates_with_slashes_have_their_own_order_beside_dates_with_points():
    assert read("02.03.2025", "03/31/2025", "03/02/2025").tolist() == [
        SECOND_OF_MARCH,
        SECOND_OF_MARCH + 29 * 86_400,
        SECOND_OF_MARCH,
    ]
    assert read("02.03.2025", "02/03/2025").tolist() == [SECOND_OF_MARCH] * 2


def test_writings_are_counted():
    column = pd.Series(
        ["2025-03-02", "2025-03-02T10:00Z", "02.03.2025", "1740873600", "31/03/2025", "02/03/2025", None]
    )
    assert writings_of(column) == {
        "ISO 8601": 2,
        "dates with the day first (31/01/2025)": 2,
        "numbers": 1,
        "dates as 31.01.2025": 1,
    }


def test_several_writings_are_told_without_what_is_not_read():
    column = pd.Series(["2025-03-02", "2025-03-03", "02.03.2025", "last week"], dtype=object)
    told = several_writings(column, read(*column), "auto")
    assert told == ["times are written in 2 ways: ISO 8601 in 2 rows, dates as 31.01.2025 in 1 row"]
    assert several_writings(column[[0, 1, 3]], read(*column)[[0, 1, 3]], "auto") == []


@pytest.mark.parametrize(
    ("values", "how", "first", "other"),
    [
        (["31/03/2025", "03/31/2025", "02/03/2025"], "auto", "day", "month"),
        (["31/03/2025", "03/31/2025", "02/03/2025"], "month-first", "month", "day"),
        (["2025-03-02", "02/03/2025"], "auto", "month", "day"),
    ],
)
def test_the_order_of_dates_that_do_not_tell_it_is_said(values, how, first, other):
    column = pd.Series(values, dtype=object)
    told = several_writings(column, seconds_of(column, how)[0], how)[0]
    assert f"dates as 01/02/2025 are read with the {first} first (source.time: {other}-first says otherwise)" in told
