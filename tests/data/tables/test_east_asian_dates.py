"""Dates in the signs of Chinese, Japanese and Korean."""

import pandas as pd
import pytest

from recstage.data.tables.values.timestamps import seconds_of


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2025年03月02日", "2025-03-02"),
        ("2025年3月2日 10:15", "2025-03-02 10:15"),
        ("2025年3月2日10时", "2025-03-02 10:00"),
        ("2025年3月2日(日) 9時5分30秒", "2025-03-02 09:05:30"),
        ("2025年3月2日 星期日 10:15:22.5", "2025-03-02 10:15:22.5"),
        ("2025年3月2日 上午12:05", "2025-03-02 00:05"),
        ("2025年3月2日下午3:05", "2025-03-02 15:05"),
        ("2025年3月2日 10:15+09:00", "2025-03-02 01:15"),
        ("2025년 3월 2일", "2025-03-02"),
        ("2025년 3월 2일 오후 12:05", "2025-03-02 12:05"),
    ],
)
def test_a_date_in_signs_is_a_moment(value, moment):
    seconds, is_clock = seconds_of(pd.Series([value]), "auto")
    assert is_clock
    assert pd.Timestamp(seconds[0], unit="s") == pd.Timestamp(moment)


def test_a_date_in_signs_without_a_zone_is_of_the_zone_that_is_said():
    seconds, _ = seconds_of(pd.Series(["2025年3月2日 10:15", "2025年3月2日 10:15Z"]), "auto", zone="Asia/Tokyo")
    assert pd.to_datetime(seconds, unit="s").dt.hour.tolist() == [1, 10]


@pytest.mark.parametrize("value", ["2025年13月40日", "2025年版", "2025年3月2日 around noon"])
def test_what_is_no_date_in_signs_is_unreadable(value):
    seconds, _ = seconds_of(pd.Series(["2025年3月2日", value]), "auto")
    assert seconds.isna().tolist() == [False, True]
