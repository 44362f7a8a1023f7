"""Times that name no zone are those of `source.zone`; times that name one are not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from recstage.config import DataConfig, check
from recstage.data.dataset import fingerprint_of
from recstage.data.tables.values import timestamps
from recstage.data.tables.values.time_form import time_form_of
from recstage.data.tables.values.timestamps import seconds_of
from recstage.errors import ConfigError

NOON = int(dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC).timestamp())
IN_JULY = int(dt.datetime(2026, 7, 15, 12, tzinfo=dt.UTC).timestamp())
HOUR = 3600


def in_berlin(values: list[object]) -> list[float]:
    return seconds_of(pd.Series(values), "auto", zone="Europe/Berlin")[0].tolist()


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["2026-01-15 12:00", "2026-07-15T12:00:00"], [NOON - HOUR, IN_JULY - 2 * HOUR]),
        (["15.01.2026 12:00", "15.07.2026 12:00"], [NOON - HOUR, IN_JULY - 2 * HOUR]),
        ([pd.Timestamp("2026-01-15 12:00"), pd.Timestamp("2026-07-15 12:00")], [NOON - HOUR, IN_JULY - 2 * HOUR]),
        ([46037.5, 46218.5], [NOON - HOUR, IN_JULY - 2 * HOUR]),
        (["202601151200", "202607151200"], [NOON - HOUR, IN_JULY - 2 * HOUR]),
        (["2026-01-15 12:00Z", "2026-01-15 12:00+00", "2026-01-15 12:00"], [NOON, NOON, NOON - HOUR]),
        (["Thu Jan 15 12:00:00 +0000 2026", "Thu Jan 15 2026 12:00:00 GMT+0000 (UTC)"], [NOON, NOON]),
        ([NOON, IN_JULY], [NOON, IN_JULY]),
        ([NOON * 1000, IN_JULY * 1000], [NOON, IN_JULY]),
        ([pd.Timestamp("2026-01-15 12:00", tz="UTC")], [NOON]),
    ],
)
def test_times_without_a_zone_are_of_the_one_that_is_told(values: list[object], seconds: list[float]) -> None:
    assert in_berlin(values) == seconds
    as_categories = seconds_of(pd.Series(values).astype("category"), "auto", zone="Europe/Berlin")[0]
    assert as_categories.tolist() == seconds


def test_of_an_hour_that_comes_twice_the_first_is_taken_and_one_that_is_skipped_is_no_gap() -> None:
    twice, skipped = in_berlin(["2026-10-25 02:30", "2026-03-29 02:30"])
    assert dt.datetime.fromtimestamp(twice, dt.UTC) == dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)
    assert dt.datetime.fromtimestamp(skipped, dt.UTC) == dt.datetime(2026, 3, 29, 1, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("2026-01-15 12:00:00+01", "in each value"),
        ("2026-01-15 12:00:00 UTC", "in each value"),
        ("Thu Jan 15 12:00:00 -0700 2026", "in each value"),
        ("2026-01-15 12:00", "none given: taken as Asia/Tokyo"),
        ("15-01-2026", "none given: taken as Asia/Tokyo"),
    ],
)
def test_the_zone_is_told(value: str, zone: str) -> None:
    form = time_form_of(pd.Series([value] * 3), "Asia/Tokyo")
    assert form is not None
    assert form.zone == zone
    assert form.lacks_a_zone == zone.startswith("none")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    "values",
    [
        ["2026-01-15", " 2026-01-15 12:00", "2026-07-15T12:00:00.123456", "2026-07-15T12:00:00Z"],
        ["2026-01-15 12:00", "2026-01-15 12:00:00+02", "15.01.2026", "no time", None, "2026-01-15T12:00:00.123456789Z"],
        ["2026-01-15 12:00", "2026-13-15 12:00", "2026-02-30"],
        ["1900-01-01 00:00", "2200-01-01 00:00:00.5"],
    ],
)
def test_what_arrow_reads_at_once_is_what_is_read_one_by_one(
    values: list[str | None], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = pd.Series([*values, *["2026-03-01 08:00"] * 7], dtype="str")
    at_once = seconds_of(column, "auto", zone=zone)[0].tolist()
    monkeypatch.setattr(timestamps, "_iso", lambda *_: None)
    assert at_once == pytest.approx(seconds_of(column, "auto", zone=zone)[0].tolist(), nan_ok=True, abs=1e-6)


def test_a_zone_that_is_none_is_refused_and_the_usual_one_leaves_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,item,ts\nu,i,2026-01-15 12:00\n")

    def config(**more: str) -> DataConfig:
        return check(DataConfig, {"name": "x", "source": {"kind": "events", "path": str(path), **more}}, "x")

    assert fingerprint_of(config()) == fingerprint_of(config(zone="UTC")) != fingerprint_of(config(zone="Asia/Tokyo"))
    with pytest.raises(ConfigError, match="no such zone of times: 'Berlin'"):
        config(zone="Berlin")
