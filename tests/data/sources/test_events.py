"""Tables of events: text and Parquet, packed, columns mapped, times of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recstage.config import EventsSource
from recstage.data.sources import events
from recstage.data.tables.values.timestamps import seconds_of
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]
ROWS = [("a", "x", 1_700_000_000, "click", 2.5), ("b", "y", 1_700_000_060, "view", None)]
COLUMNS = ["user_id", "item_id", "timestamp", "interaction_type", "value"]


def as_text(separator: str) -> str:
    lines = [separator.join(COLUMNS)]
    lines += [separator.join("" if cell is None else str(cell) for cell in row) for row in ROWS]
    return "\n".join(lines) + "\n"


def assert_rows(path: Path, **options: object) -> None:
    raw = events.read(EventsSource(path=str(path), **options))  # type: ignore[arg-type]
    assert raw.events["user_id"].tolist() == ["a", "b"]
    assert raw.events["item_id"].tolist() == ["x", "y"]
    assert raw.events["timestamp"].tolist() == [1_700_000_000, 1_700_000_060]
    assert raw.events["interaction_type"].tolist() == ["click", "view"]
    assert raw.events["value"].tolist()[0] == 2.5
    assert np.isnan(raw.events["value"].tolist()[1])
    assert raw.time_is_clock


@pytest.mark.parametrize(
    ("name", "separator"),
    [("e.csv", ","), ("e.tsv", "\t"), ("e.txt", ";"), ("e.csv.gz", ","), ("bars.csv", "|"), ("e.log", ",")],
)
def test_delimited_files_find_their_separator(write: Writer, name: str, separator: str) -> None:
    assert_rows(write(name, as_text(separator)))


def test_a_named_separator_is_used(write: Writer) -> None:
    assert_rows(write("e.csv", as_text("~")), separator="~")


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(write: Writer) -> None:
    assert_rows(write("e.csv", b"\xef\xbb\xbf" + as_text(",").replace("\n", "\r\n").encode()))


def test_latin_1_text_is_read(write: Writer) -> None:
    path = write("e.csv", "user_id,item_id\nJosé,x\n".encode("latin-1"))

    assert events.read(EventsSource(path=str(path))).events["user_id"].tolist() == ["José"]


def test_quoted_ids_may_hold_the_separator(write: Writer) -> None:
    path = write("e.csv", 'user_id,item_id\n"a,b",x\n')

    assert events.read(EventsSource(path=str(path))).events["user_id"].tolist() == ["a,b"]


@pytest.mark.parametrize("packing", ["bz2", "xz", "zip"])
def test_other_packings_are_read(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"e.csv.{packing}"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(
        path, index=False, compression={"method": packing, "archive_name": "e.csv"} if packing == "zip" else packing
    )

    assert_rows(path)


def test_parquet_is_read(tmp_path: Path) -> None:
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(tmp_path / "e.parquet")

    assert_rows(tmp_path / "e.parquet")


def test_parquet_with_numbers_as_ids_and_moments_as_times_is_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": [1, 2],
            "item_id": [10, None],
            "timestamp": pa.array([1_700_000_000_000, 1_700_000_060_000], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "e.parquet")

    raw = events.read(EventsSource(path=str(tmp_path / "e.parquet")))

    assert raw.events["user_id"].tolist() == ["1", "2"]
    assert raw.events["item_id"].tolist()[0] == "10"
    assert pd.isna(raw.events["item_id"].tolist()[1])
    assert raw.events["timestamp"].tolist() == [1_700_000_000, 1_700_000_060]


def test_columns_are_mapped_by_name(write: Writer) -> None:
    path = write("e.csv", "kunde,ware,wann,was\na,x,1700000000,kauf\n")

    raw = events.read(
        EventsSource(
            path=str(path),
            columns={"user_id": "kunde", "item_id": "ware", "timestamp": "wann", "interaction_type": "was"},
        )
    )

    row = raw.events.iloc[0]
    assert (row["user_id"], row["item_id"], row["timestamp"], row["interaction_type"]) == (
        "a",
        "x",
        1_700_000_000,
        "kauf",
    )


def test_usual_names_need_no_mapping(write: Writer) -> None:
    path = write("e.csv", "userId,movieId,rating,ts\n1,2,4.5,1700000000\n")

    row = events.read(EventsSource(path=str(path), default_type="rating")).events.iloc[0]

    assert (row["user_id"], row["item_id"], row["value"], row["timestamp"]) == ("1", "2", 4.5, 1_700_000_000)
    assert row["interaction_type"] == "rating"


def test_without_a_time_nothing_is_ordered_unless_the_file_is_said_to_be(write: Writer) -> None:
    path = str(write("e.csv", "user_id,item_id\na,x\na,y\n"))
    plain, ranked = events.read(EventsSource(path=path)), events.read(EventsSource(path=path, time="rank"))

    assert (plain.ordered, plain.events["timestamp"].tolist()) == (False, [0, 0])
    assert (ranked.ordered, ranked.events["timestamp"].tolist()) == (True, [0, 1])
    assert not plain.time_is_clock
    assert not ranked.time_is_clock


@pytest.mark.parametrize(
    ("texts", "how", "seconds", "clock"),
    [
        (["3", "7"], "auto", [3, 7], False),
        (["1700000000", "1700000001.5"], "auto", [1_700_000_000, 1_700_000_001.5], True),
        (["1700000000000", "1700000060000"], "auto", [1_700_000_000, 1_700_000_060], True),
        (["1700000000000000000"], "auto", [1_700_000_000], True),
        (["2023-11-14T22:13:20Z", "2023-11-14 23:13:20+01:00"], "auto", [1_700_000_000, 1_700_000_000], True),
        (["2023-11-14"], "auto", [1_699_920_000], True),
        (["5"], "seconds", [5], True),
        (["5000"], "milliseconds", [5], True),
        (["1700000000"], "rank", [1_700_000_000], False),
    ],
)
def test_times_of_every_kind(texts: list[str], how: str, seconds: list[float], clock: bool) -> None:
    values, is_clock = seconds_of(pd.Series(texts), how)  # type: ignore[arg-type]

    assert values.tolist() == seconds
    assert is_clock is clock


def test_fractions_of_a_second_decide_the_order(write: Writer) -> None:
    path = write("e.csv", "user_id,item_id,timestamp\na,late,1700000000.9\na,early,1700000000.1\n")

    assert events.read(EventsSource(path=str(path))).events["item_id"].tolist() == ["early", "late"]


def test_lines_that_are_no_rows_are_counted_and_named(write: Writer) -> None:
    path = write("e.csv", "user_id,item_id,timestamp\na,x,1700000000\n\nb\nc,y,yesterday\nd,z,1700000001\n")

    raw = events.read(EventsSource(path=str(path)))

    assert raw.events["user_id"].tolist() == ["a", "d"]
    assert raw.events.index.tolist() == [2, 6]
    assert raw.rows_read == 4
    assert raw.rejected.counts == {"wrong number of fields": 1, "unreadable timestamp": 1}
    assert raw.rejected.first == {
        "wrong number of fields": ("line 4: 'b'",),
        "unreadable timestamp": ("line 5: timestamp 'yesterday'",),
    }


def test_infinite_times_are_no_rows(write: Writer) -> None:
    raw = events.read(
        EventsSource(path=str(write("e.csv", "user_id,item_id,timestamp\na,x,1\na,y,inf\n")), time="rank")
    )

    assert raw.rejected.first == {"unreadable timestamp": ("line 3: timestamp 'inf'",)}


def test_items_come_from_their_own_file(write: Writer) -> None:
    items = write("items.csv", "item_id,title,categories,available\nx,Bread,food|daily,true\ny,Wine,,no\n")
    table = write("e.csv", "user_id,item_id\na,x\n")

    raw = events.read(EventsSource(path=str(table), items_path=str(items)))

    assert raw.items is not None
    assert raw.items["title"].tolist() == ["Bread", "Wine"]
    assert raw.items["categories"].tolist() == [["food", "daily"], []]
    assert raw.items["available"].tolist() == [True, False]


def test_an_empty_file_is_refused(write: Writer) -> None:
    with pytest.raises(DataError, match=r"e\.csv: is empty\. Give a file with rows"):
        events.read(EventsSource(path=str(write("e.csv", ""))))


def test_a_file_with_only_a_header_has_no_rows(write: Writer) -> None:
    assert len(events.read(EventsSource(path=str(write("e.csv", "user_id,item_id\n")))).events) == 0


def test_missing_id_columns_are_named(write: Writer) -> None:
    with pytest.raises(DataError, match=r"columns what, why: no column for user_id and item_id. Map them in source"):
        events.read(EventsSource(path=str(write("e.csv", "what,why\n1,2\n"))))


def test_a_mapping_to_a_column_that_is_not_there_lists_those_that_are(write: Writer) -> None:
    source = EventsSource(path=str(write("e.csv", "user,item_id\na,x\n")), columns={"user_id": "usr"})

    with pytest.raises(DataError, match=r"column 'usr' for user_id: the file has no such column. Did you mean 'user'"):
        events.read(source)


def test_a_mapping_of_an_unknown_column_of_ours_lists_the_right_ones(write: Writer) -> None:
    source = EventsSource(path=str(write("e.csv", "user_id,item_id\na,x\n")), columns={"userid": "user_id"})

    with pytest.raises(DataError, match=r"source\.columns\.userid: no such column of ours\. Did you mean 'user_id'"):
        events.read(source)


def test_a_first_line_without_a_separator_is_refused(write: Writer) -> None:
    with pytest.raises(DataError, match="must hold column names separated by"):
        events.read(EventsSource(path=str(write("e.csv", "hello\nworld\n"))))


def test_a_truncated_gz_is_refused(tmp_path: Path, write: Writer) -> None:
    whole = write("e.csv.gz", as_text(",") * 500)
    (tmp_path / "cut.csv.gz").write_bytes(whole.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"cut\.csv\.gz: is truncated or damaged"):
        events.read(EventsSource(path=str(tmp_path / "cut.csv.gz")))


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-8])

    with pytest.raises(DataError, match=r"cut\.parquet: is truncated or damaged"):
        events.read(EventsSource(path=str(tmp_path / "cut.parquet")))


def test_a_folder_with_two_different_tables_is_refused(write: Writer) -> None:
    write("both/a.csv", as_text(","))
    path = write("both/b.csv", as_text(",").replace("value", "price"))

    with pytest.raises(
        DataError, match=r"a\.csv, b\.csv: must hold one table of events or parts with the same columns"
    ):
        events.read(EventsSource(path=str(path.parent)))
