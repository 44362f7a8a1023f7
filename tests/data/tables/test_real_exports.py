"""Files as other programs write them: each is read whole, or refused in one line."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from recstage.config import DataConfig, EventsSource, check
from recstage.data.dataset import config_of, fingerprint_of, load
from recstage.data.schema import RawData
from recstage.data.sources import events
from recstage.errors import DataError, StoreError

pytestmark = pytest.mark.slow

Writer = Callable[[str, str | bytes], Path]
NOON = 1_672_920_000  # 2023-01-05 12:00 UTC


def read(path: Path, **options: Any) -> RawData:
    return events.read(EventsSource(path=str(path), **options))


def rows_of(raw: RawData) -> list[tuple[str, str, float]]:
    frame = raw.events
    return list(zip(frame["user_id"], frame["item_id"], frame["timestamp"], strict=True))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_encodings_are_found(write: Writer, encoding: str) -> None:
    text = "user_id,item_id,timestamp\nJosé,Käse,1672920000\nb,Brötchen,1672920000\n"

    assert rows_of(read(write("e.csv", text.encode(encoding))))[0] == ("José", "Käse", NOON)


def test_a_named_encoding_is_used(write: Writer) -> None:
    path = write("e.csv", "user_id,item_id\nИван,x\n".encode("cp1251"))

    assert read(path, encoding="cp1251").events["user_id"].tolist() == ["Иван"]
    with pytest.raises(DataError, match=r"source\.encoding = cp-1251x: no such encoding"):
        read(path, encoding="cp-1251x")
    with pytest.raises(DataError, match="is not utf-8-sig throughout"):
        read(write("f.csv", b"user_id,item_id\n\xff\xfe\xfa,x\n"), encoding="utf_8_sig")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(write: Writer, ends: str) -> None:
    path = write("e.csv", ends.join(["user_id,item_id,timestamp", "a,x,1672920000", "b,y,1672920000", ""]).encode())

    raw = read(path)

    assert rows_of(raw) == [("a", "x", NOON), ("b", "y", NOON)]
    assert raw.events.index.tolist() == [2, 3]


def test_semicolons_and_decimal_commas(write: Writer) -> None:
    raw = read(write("e.csv", "User ID;Item ID;Rating;Date\n1;2;3,5;05.01.2023 12:00\n1;3;4;06.01.2023 12:00\n"))

    assert raw.events["value"].tolist() == [3.5, 4]
    assert raw.events["timestamp"].tolist() == [NOON, NOON + 86_400]


def test_thousands_are_no_decimals(write: Writer) -> None:
    raw = read(write("e.csv", 'user_id,item_id,value\n1,2,"1,200"\n1,3,15\n'))

    assert raw.events["value"].tolist() == [1200, 15]


@pytest.mark.parametrize(
    "text",
    [
        "user_id,item_id,timestamp,\na,x,1672920000,\nb,y,1672920000,\n",
        "user_id,item_id,timestamp\na,x,1672920000,\nb,y,1672920000,\n",
        "user_id,item_id,timestamp,\na,x,1672920000\nb,y,1672920000\n",
        ",user_id,item_id,timestamp\n0,a,x,1672920000\n1,b,y,1672920000\n",
        "user_id,item_id,timestamp\n1,a,x,1672920000\n2,b,y,1672920000\n",
        "# exported by shop\n# on Monday\nuser_id,item_id,timestamp\na,x,1672920000\nb,y,1672920000\n",
        "#user_id,item_id,timestamp\na,x,1672920000\nb,y,1672920000\n",
        "Export of January\n\nuser_id,item_id,timestamp\na,x,1672920000\nb,y,1672920000\n",
        "sep=;\nuser_id;item_id;timestamp\na;x;1672920000\nb;y;1672920000\n",
        "\n\nuser_id,item_id,timestamp\n\na,x,1672920000\n\n   \nb,y,1672920000\n\n",
        '"user_id","item_id","timestamp"\n"a","x","1672920000"\n"b","y","1672920000"\n',
        "user_id::item_id::timestamp\na::x::1672920000\nb::y::1672920000\n",
        "user_id item_id timestamp\na x 1672920000\nb y 1672920000\n",
        "USER-ID , Item Id , TimeStamp\n a , x , 1672920000 \nb,y,1672920000\n",
        "user_id\x01item_id\x01timestamp\na\x01x\x011672920000\nb\x01y\x011672920000\n",
        "user_id,item_id,timestamp\na,x,1672920000\n# a comment\nb,y,1672920000",
        'user_id, item_id, note, timestamp\na, x, "one, two", 1672920000\nb, y, "", 1672920000\n',
    ],
)
def test_layouts_of_delimited_text(write: Writer, text: str) -> None:
    assert rows_of(read(write("e.csv", text))) == [("a", "x", NOON), ("b", "y", NOON)]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("1,31,2.5,1672920000\n1,1029,3.0,1672920000\n", [2.5, 3.0]),
        ("1672920000,1,31,2.5\n1672920000,1,1029,3.0\n", [2.5, 3.0]),
    ],
)
def test_files_without_a_header_are_understood_by_content_and_told(
    write: Writer, text: str, column: list[float]
) -> None:
    raw = read(write("e.csv", text))

    assert rows_of(raw) == [("1", "31", NOON), ("1", "1029", NOON)]
    assert raw.events["value"].tolist() == column
    assert any(note.startswith("no header: ") for note in raw.notes)


def test_a_header_may_be_denied_and_columns_named_by_number(write: Writer) -> None:
    path = write("e.csv", "alice,book\nbob,pen\n")

    raw = read(path, header=False, columns={"user_id": "column_2", "item_id": "column_1"})

    assert raw.events["item_id"].tolist() == ["alice", "bob"]


def test_a_column_that_is_there_twice_is_told(write: Writer) -> None:
    raw = read(write("e.csv", "user_id,item_id,item_id\na,x,1\nb,y,2\n"))

    assert raw.events["item_id"].tolist() == ["x", "y"]
    assert raw.notes == ("two columns are called 'item_id': the first is used",)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2023-01-05 12:00", NOON),
        ("2023-01-05T12:00:00.000Z", NOON),
        ("2023-01-05 12:00:00 UTC", NOON),
        ("2023-01-05T13:00:00+01:00", NOON),
        ("2023-01-05 12:00:00.000000", NOON),
        ("05.01.2023 12:00", NOON),
        ("05/01/2023 12:00", 1_682_942_400),  # May the first, unless another row says otherwise
        ("1/5/2023 12:00", NOON),
        ("Thu, 05 Jan 2023 12:00:00 GMT", NOON),
        ("Thu Jan 05 2023 13:00:00 GMT+0100 (CET)", NOON),
        ("Jan 5, 2023 12:00 PM", NOON),
        ("05/Jan/2023:12:00:00 +0000", NOON),
        ("1672920000", NOON),
        ("1672920000000", NOON),
        ("1672920000000000", NOON),
        ("1672920000000000000", NOON),
        ("1.672920000e9", NOON),
        ("20230105", NOON - 43_200),
        ("20230105120000", NOON),
        ("44931.5", NOON),
    ],
)
def test_times_in_the_writings_of_other_programs(write: Writer, written: str, seconds: int) -> None:
    lines = "".join(f'u{n},i{n},"{written}"\n' for n in range(3))

    raw = read(write("e.csv", "user_id,item_id,timestamp\n" + lines))

    assert raw.events["timestamp"].tolist() == [pytest.approx(seconds, abs=1e-3)] * 3
    assert raw.time_is_clock
    assert raw.rejected.counts == {}


def test_the_day_is_first_where_a_row_says_so(write: Writer) -> None:
    raw = read(write("e.csv", "user_id,item_id,date\na,x,05/01/2023 12:00\na,y,25/01/2023 12:00\n"))

    assert raw.events["timestamp"].tolist()[0] == NOON


def test_a_column_of_dates_goes_with_one_of_times_of_day(write: Writer) -> None:
    raw = read(write("e.csv", "user_id,item_id,date,time\na,x,2023-01-05,12:00\nb,y,2023-01-06,12:00\n"))

    assert raw.events["timestamp"].tolist() == [NOON, NOON + 86_400]


def test_times_of_day_alone_are_refused(write: Writer) -> None:
    with pytest.raises(DataError, match="a time of day has no date"):
        read(write("e.csv", "user_id,item_id,time\na,x,12:00\nb,y,13:00\n"))


def test_quoted_fields_with_line_breaks_keep_the_lines_of_the_file(write: Writer) -> None:
    text = 'user_id,item_id,timestamp,note\na,x,1672920000,"one\ntwo ""2""\nthree"\nb,y\nc,z,1672920000,\n'

    raw = read(write("e.csv", text))

    assert raw.events.index.tolist() == [2, 6]
    assert raw.rejected.first == {"wrong number of fields": ("line 5: 'b,y'",)}


@pytest.mark.parametrize(
    "line",
    [
        'b,y,1672920000,"5 inch',
        'b,y,1672920000,5" disk',
        'b,y,1672920000,"5" disk',
        'b,y,1672920000,"say "hello" twice"',
        'b,y,1672920000,"a \\"quoted\\" word"',
        'b,y,1672920000,5 inch"',
        'b,y,1672920000,""',
        'b,y,1672920000,"""',
    ],
)
def test_a_quote_out_of_place_costs_no_row(write: Writer, line: str) -> None:
    many = "".join(f"u{n},i{n % 7},1672920000,plain\n" for n in range(100))
    path = write("e.csv", f"user_id,item_id,timestamp,note\n{many}{line}\n{many.replace('u', 'v')}")

    raw = read(path)

    assert (raw.rows_read, len(raw.events)) == (201, 201)
    assert raw.events.index.tolist() == list(range(2, 203))


def test_two_stray_quotes_far_apart_swallow_nothing_between(write: Writer) -> None:
    lines = [f"u{n},i{n % 7},1672920000,plain" for n in range(300)]
    lines[20], lines[250] = 'a,x,1672920000,"5 inch', 'a,y,1672920000,7 inch"'

    raw = read(write("e.csv", "\n".join(["user_id,item_id,timestamp,note", *lines])))

    assert (raw.rows_read, len(raw.events)) == (300, 300)


@pytest.mark.parametrize("size", [1 << 10, 1 << 12])
def test_blocks_may_end_anywhere(write: Writer, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recstage.data.tables.encodings.BLOCK", size)
    rows = [f'u{n},"a ""b""\nc, {n}",i{n},1672920000' for n in range(500)]
    path = write("e.csv", "user_id,note,item_id,timestamp\r\n" + "\r\n".join(rows))

    raw = read(path)

    assert raw.rows_read == 500
    assert raw.events["item_id"].tolist() == [f"i{n}" for n in range(500)]
    assert raw.events.index.tolist() == list(range(2, 1002, 2))


def test_nul_bytes_and_long_fields_are_counted(write: Writer) -> None:
    text = (
        f"user_id,item_id,timestamp\na,x,1672920000\n\x00\x00\x00\x00\nb\x00,y,1672920000\nc,{'z' * 300},1672920000\n"
    )

    raw = read(write("e.csv", text))

    assert (raw.rows_read, len(raw.events)) == (4, 1)
    assert raw.rejected.counts == {"wrong number of fields": 1, "invalid user_id": 1, "invalid item_id": 1}


@pytest.mark.parametrize("column", ["true", "False"])
def test_truth_values_are_no_ids(write: Writer, column: str) -> None:
    with pytest.raises(DataError, match="ids are text or whole numbers, not bool"):
        read(write("e.csv", f"user_id,item_id\n{column},x\n{column},y\n"))


@pytest.mark.parametrize("value", [True, [1, 2], {"a": 1}, datetime.date(2023, 1, 5), datetime.datetime(2023, 1, 5)])
def test_typed_columns_that_hold_no_ids_are_refused(tmp_path: Path, value: object) -> None:
    pq.write_table(pa.table({"user_id": [value, value], "item_id": ["x", "y"]}), tmp_path / "e.parquet")

    with pytest.raises(DataError, match="ids are text or whole numbers|no column for user_id"):
        read(tmp_path / "e.parquet")


def test_a_date_of_parquet_is_a_time_and_a_time_of_day_is_none(tmp_path: Path) -> None:
    ids = {"user_id": ["a", "a"], "item_id": ["x", "y"]}
    days = [datetime.date(2023, 1, 5), datetime.date(2023, 1, 6)]
    pq.write_table(pa.table({**ids, "date": pa.array(days, pa.date32())}), tmp_path / "d.parquet")
    pq.write_table(pa.table({**ids, "time": pa.array([43_200, 50_000], pa.time32("s"))}), tmp_path / "t.parquet")

    assert read(tmp_path / "d.parquet").events["timestamp"].tolist() == [NOON - 43_200, NOON + 43_200]
    with pytest.raises(DataError, match="a time of day has no date"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 2], pa.int64()),
        pa.array([1, 2], pa.uint8()),
        pa.array([1.0, 2.0], pa.float64()),
        pa.array(["1", " 2 "], pa.large_string()),
        pa.array([b"1", b"2"], pa.binary()),
        pa.array(["1", "2"]).dictionary_encode(),
        pa.array([1, 2], pa.decimal128(5, 2)),
    ],
)
def test_ids_of_every_type_are_the_same_text(tmp_path: Path, ids: pa.Array) -> None:
    table = pa.table({"user_id": ids, "item_id": ids, "timestamp": [NOON, NOON + 1]})
    pq.write_table(table, tmp_path / "e.parquet")
    feather.write_feather(table, tmp_path / "e.feather", compression="uncompressed")

    for name in ("e.parquet", "e.feather"):
        assert read(tmp_path / name).events["user_id"].tolist() == ["1", "2"]


def test_missing_whole_numbers_do_not_make_the_others_floats(tmp_path: Path) -> None:
    ids = pa.array([2**53 + 1, None, 5], pa.int64())
    pq.write_table(pa.table({"user_id": ids, "item_id": ["x", "y", "z"]}), tmp_path / "e.parquet")

    assert read(tmp_path / "e.parquet").events["user_id"].tolist()[0] == str(2**53 + 1)


@pytest.mark.parametrize(("rule", "same"), [("auto", False), ("number", True), ("text", False)])
def test_leading_zeros_count_unless_ids_are_numbers(write: Writer, rule: str, same: bool) -> None:
    raw = read(write("e.csv", "user_id,item_id\n01,x\n1,y\n"), ids=rule)

    assert (raw.events["user_id"].nunique() == 1) is same


def test_marks_between_thousands_are_no_decimal_point(write: Writer) -> None:
    path = write("e.csv", "user_id;item_id\n1.000;x\n1.001;y\n1;z\n2.0;x\n")

    assert read(path).events["user_id"].tolist() == ["1.000", "1.001", "1", "2"]
    assert read(path, ids="number").events["user_id"].tolist() == ["1000", "1001", "1", "2"]


def test_ids_that_a_spreadsheet_has_cut_off_are_told(write: Writer) -> None:
    raw = read(write("e.csv", "user_id;item_id\n4,01235E+12;x\n4,01236E+12;y\n7;1e5\n"))

    assert [note for note in raw.notes if "cut off" in note] == [
        "2 of the different user_ids are numbers as 4,01235E+12, whose last digits a spreadsheet has cut off: several "
        "may have become one; export them again as text"
    ]


def test_letters_are_composed_in_one_way(write: Writer) -> None:
    raw = read(write("e.csv", "user_id,item_id\nJose\u0301,x\nJos\u00e9,y\n\u00a0Jos\u00e9 ,z\n"))

    assert raw.events["user_id"].nunique() == 1


def test_nested_json_lines(write: Writer) -> None:
    lines = [{"user": {"id": n}, "item": {"id": f"i{n}"}, "ts": NOON + n, "event": "view"} for n in range(3)]
    text = (
        "\n".join(map(json.dumps, lines)) + '\nnot json\n{"user": {"id": true}, "item": {"id": 1}, "ts": 1672920000}\n'
    )

    raw = read(write("e.jsonl", text))

    assert rows_of(raw)[0] == ("0", "i0", NOON)
    assert raw.rejected.first == {
        "line that is no JSON object": ("line 4",),
        "invalid user_id": ("line 5: user_id 'True'",),
    }
    assert raw.rows_read == 5


@pytest.mark.parametrize("form", ["list", "pretty", "object", "lines"])
def test_json_in_every_form(write: Writer, form: str) -> None:
    rows = [{"userId": 1, "itemId": n, "timestamp": NOON} for n in range(3)]
    text = {
        "list": json.dumps(rows),
        "pretty": json.dumps(rows, indent=2),
        "object": json.dumps({"data": rows}),
        "lines": "\n".join(map(json.dumps, rows)),
    }[form]

    assert read(write("e.json", text)).events["item_id"].tolist() == ["0", "1", "2"]


def test_a_spreadsheet_with_dates_and_floats(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"Customer": [1, 2], "SKU": ["x", "y"], "Date": pd.to_datetime(["2023-01-05 12:00", "2023-01-06 12:00"])}
    )
    with pd.ExcelWriter(tmp_path / "e.xlsx") as book:
        pd.DataFrame({"note": ["nothing here"]}).to_excel(book, sheet_name="About", index=False)
        frame.to_excel(book, sheet_name="Orders", index=False)

    assert rows_of(read(tmp_path / "e.xlsx")) == [("1", "x", NOON), ("2", "y", NOON + 86_400)]
    with pytest.raises(DataError, match="sheet 'Order': no such sheet. Did you mean 'Orders'"):
        read(tmp_path / "e.xlsx", sheet="Order")


def test_a_broken_spreadsheet_is_refused(write: Writer) -> None:
    with pytest.raises(DataError, match="cannot be read as a spreadsheet"):
        read(write("e.xlsx", b"PK\x03\x04 no"))


def test_parts_are_read_in_the_order_of_their_numbers(write: Writer) -> None:
    for n in (2, 10, 1):
        write(f"parts/part-{n}.csv.gz", f"user_id,item_id,timestamp\nu{n},x,1672920000\nbad\n")
    write("parts/_SUCCESS", "")

    for path in ("parts", "parts/part-*.csv.gz"):
        raw = read(write("parts/_SUCCESS", "").parent.parent / path)
        assert raw.events["user_id"].tolist() == ["u1", "u2", "u10"]
        assert raw.rows_read == 6
        assert raw.rejected.first["wrong number of fields"][1] == "part-2.csv.gz line 3: 'bad'"
        assert raw.places.words(raw.events.index[2]) == "part-10.csv.gz line 2"


def test_columns_in_the_names_of_folders_are_read(tmp_path: Path) -> None:
    for kind, day in (
        ("view", "2023-01-05"),
        ("add%20to cart", "2023-01-06"),
        ("__HIVE_DEFAULT_PARTITION__", "2023-01-07"),
    ):
        folder = tmp_path / "events" / "year=2023" / f"event={kind}" / f"date={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": [1, 2], "item_id": ["x", "y"]}), folder / "part-0.snappy.parquet")

    raw = read(tmp_path / "events", default_type="interaction")

    assert raw.rows_read == 6
    assert raw.events["interaction_type"].dropna().tolist()[:2] == ["add to cart"] * 2
    assert raw.events["interaction_type"].isna().sum() == 2
    assert sorted(raw.events["timestamp"].unique()) == [NOON - 43_200 + 86_400 * day for day in range(3)]
    by_pattern = read(tmp_path / "events" / "year=*" / "*" / "*" / "*.parquet", default_type="interaction")
    assert by_pattern.events["timestamp"].tolist() == raw.events["timestamp"].tolist()

    def fingerprint() -> str:
        source = {"kind": "events", "path": str(tmp_path / "events")}
        return fingerprint_of(check(DataConfig, {"name": "x", "source": source}, "x"))

    before = fingerprint()
    (tmp_path / "events" / "year=2023" / "event=view").rename(tmp_path / "events" / "year=2023" / "event=click")
    assert fingerprint() != before


def test_parts_may_have_their_columns_in_another_order(write: Writer, tmp_path: Path) -> None:
    write("p/a-1.csv", "user_id,item_id\nu,x\n")
    write("p/a-2.csv", "item_id,user_id\ny,v\n")

    assert read(tmp_path / "p").events["item_id"].tolist() == ["x", "y"]


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches it"):
        config_of(str(tmp_path / "part-*.csv"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (customer INTEGER, sku TEXT, bought_at TEXT)")
        connection.execute("CREATE TABLE products (sku TEXT, name TEXT, price REAL)")
        rows = [(n % 5, f"s{n % 4}", f"2023-01-05 12:00:{n:02}") for n in range(20)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO products VALUES (?, ?, ?)", [(f"s{n}", f"Thing {n}", n) for n in range(4)])
    return path


def test_a_database_is_read_by_its_url(shop: Path, tmp_path: Path) -> None:
    values = config_of(f"sqlite:///{shop}")
    values["source"]["items_path"] = f"sqlite:///{shop}"

    dataset = load(check(DataConfig, values, "shop"), cache=tmp_path / "cache")
    again = load(check(DataConfig, values, "shop"), cache=tmp_path / "cache")

    assert dataset.name == "shop.db" or dataset.name == "shop"
    assert dataset.report["rows"] == 20
    assert dataset.catalogue.titles.tolist() == ["Thing 0", "Thing 1", "Thing 2", "Thing 3"]
    assert dataset.catalogue.attribute_kinds == {"price": "number"}
    assert again.fingerprint == dataset.fingerprint


def test_a_query_is_read_and_what_writes_is_refused(shop: Path, tmp_path: Path) -> None:
    def dataset_of(url: str, **source: str) -> Any:
        values = config_of(url)
        values["source"] |= source
        return load(check(DataConfig, values, "shop"), cache=tmp_path / "cache")

    url = f"sqlite:///{shop}"
    query = "SELECT customer AS user_id, sku AS item_id, bought_at AS timestamp FROM orders"
    assert dataset_of(url, query=query).report["rows"] == 20
    with pytest.raises(DataError, match="only SELECT, WITH and VALUES are read"):
        dataset_of(url, query="DELETE FROM orders")
    with pytest.raises(DataError, match="no such table. Did you mean 'orders'"):
        dataset_of(url, table="order")
    with pytest.raises(StoreError, match="cannot be read"):
        dataset_of(url, query="SELECT nothing FROM orders")
    with pytest.raises(DataError, match="no such file"):
        dataset_of("sqlite:////nowhere/shop.db")
    with pytest.raises(DataError, match="with a password: a run's configuration is logged"):
        dataset_of("postgresql://me:secret@localhost/shop")


@pytest.mark.parametrize("name", ["e.csv", "e.parquet", "e.jsonl", "e.xlsx", "e.feather", "e.json"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00" * 64, b"\x89PNG\r\n\x1a\n\x00\xff", b"hello"])
def test_what_is_no_table_is_refused_in_one_line(write: Writer, name: str, content: bytes) -> None:
    with pytest.raises(DataError) as caught:
        read(write(name, content))

    assert "\n" not in str(caught.value)


def test_values_that_a_column_only_seems_to_hold_are_not_read(write: Writer) -> None:
    raw = read(write("e.csv", "user_id,item_id,amount\na,x,lots\nb,y,few\n"))

    assert np.isnan(raw.events["value"]).all()
    assert raw.rejected.counts == {}
    assert "holds no numbers" in raw.notes[0]


@pytest.mark.parametrize(
    ("text", "row", "seconds"),
    [
        (  # H&M
            "t_dat,customer_id,article_id,price,sales_channel_id\n2023-01-05,00a1,0663713001,0.05,2\n2023-01-06,00a1,0541518023,0.03,2\n",
            ("00a1", "0663713001"),
            NOON - 43_200,
        ),
        (  # RetailRocket
            "timestamp,visitorid,event,itemid,transactionid\n1672920000000,257597,view,355908,\n1672920001000,2,addtocart,3,\n",
            ("257597", "355908"),
            NOON,
        ),
        (  # Taobao
            "1,2268318,2520377,pv,1672920000\n1,2333346,2520771,buy,1672920001\n",
            ("1", "2268318"),
            NOON,
        ),
        (  # Book-Crossing
            '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n',
            ("276725", "034545104X"),
            0,
        ),
        (  # Steam
            "151603712,The Elder Scrolls V Skyrim,purchase,1.0,0\n151603712,Fallout 4,play,87.0,0\n",
            ("151603712", "The Elder Scrolls V Skyrim"),
            0,
        ),
        (  # REES46
            "event_time,event_type,product_id,category_code,brand,price,user_id,user_session\n"
            "2023-01-05 12:00:00 UTC,view,44600062,,shiseido,35.79,541312140,72d76fde\n",
            ("541312140", "44600062"),
            NOON,
        ),
        (  # Goodreads
            "user_id,book_id,rating,date_added\n8842,24375664,5,Thu Jan 05 04:00:00 -0800 2023\n",
            ("8842", "24375664"),
            NOON,
        ),
    ],
)
def test_public_data_sets_are_understood_as_they_are(
    write: Writer, text: str, row: tuple[str, str], seconds: int
) -> None:
    raw = read(write("e.csv", text))

    assert rows_of(raw)[0] == (*row, seconds)
    assert raw.rejected.counts == {}
    assert raw.ordered is (seconds > 0)


def test_a_yaml_names_files_beside_itself(write: Writer, tmp_path: Path) -> None:
    write("shop/e.csv", "user_id,item_id\na,x\n")
    path = write("shop/shop.yaml", "source: {kind: events, path: e.csv}\n")

    assert config_of(str(path))["source"]["path"] == str(tmp_path / "shop" / "e.csv")
