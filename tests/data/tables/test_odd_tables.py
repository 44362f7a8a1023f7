"""Files that other programs write in their own way: read as what they are, or refused for what they are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from recstage.config import EventsSource
from recstage.data.files.layout_detection import config_of
from recstage.data.schema import RawData
from recstage.data.sources import events
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]
NOON = 1_672_920_000  # 2023-01-05 12:00 UTC
FRAME = pd.DataFrame({"user": ["u1", "u2", "u1"], "item": ["a", "b", "c"], "ts": [NOON, NOON + 1, NOON + 2]})


def read(path: Path, **options: Any) -> RawData:
    return events.read(EventsSource(path=str(path), **options))


def pairs(raw: RawData) -> list[tuple[str, str]]:
    assert raw.rows_read == len(raw.events) + raw.rejected.total
    return list(zip(raw.events["user_id"], raw.events["item_id"], strict=True))


@pytest.mark.parametrize(
    "titles",
    [
        ["'Lamp, large'", "Chair", "Table", "Bed"],
        ["'Lamp, the boss''s'", "Boss's chair", "Table", "'a, b, c'"],
        ["Lamp", "Chair", "Table", "'Bed, large'"],
    ],
)
def test_single_quotes_that_stand_only_where_they_are_needed(write: Writer, titles: list[str]) -> None:
    rows = "".join(f"u{at},{title},i{at},{NOON}\n" for at, title in enumerate(titles))
    assert pairs(read(write("e.csv", f"user,title,item,ts\n{rows}"))) == [(f"u{at}", f"i{at}") for at in range(4)]


def test_apostrophes_are_no_quotes(write: Writer) -> None:
    rows = "".join(f"u{at},'s Gravenhage {at},i{at}\nv{at},'t Hooft',i{at}\n" for at in range(5))
    raw = read(write("e.csv", f"user,town,item\n{rows}"))
    assert (raw.rows_read, raw.rejected.total, len(raw.events)) == (10, 0, 10)


def test_lines_that_are_one_quoted_field_each(write: Writer) -> None:
    raw = read(write("e.csv", '"user,""item"",ts"\n"u,""it, 1"",1672920000"\n"v,b,1672920000"\n'))
    assert pairs(raw) == [("u", "it, 1"), ("v", "b")]
    assert raw.notes == ("each line was one quoted field, and is read as a row",)


def test_a_title_padded_with_separators_is_no_header(write: Writer) -> None:
    rows = "".join(f"u{at};i{at};0{at + 1}.02.2023;1\n" for at in range(4))
    raw = read(write("e.csv", f"Bericht Umsatz;;;\nStand 2023;;;\n\nKundennr;Artikelnr;Datum;Menge\n{rows}"))
    assert pairs(raw) == [(f"u{at}", f"i{at}") for at in range(4)]
    assert (raw.rows_read, raw.notes) == (4, ("2 lines before the header are no rows",))


@pytest.mark.parametrize("header", ["user;item;ts;", "user;item;;ts"])
def test_a_header_with_an_empty_field_is_one(write: Writer, header: str) -> None:
    rows = "".join(f"u{at};i{at};{NOON};x\n" if header.endswith(";") else f"u{at};i{at};x;{NOON}\n" for at in range(4))
    assert pairs(read(write("e.csv", f"{header}\n{rows}"))) == [(f"u{at}", f"i{at}") for at in range(4)]


def test_a_session_is_a_user_only_where_no_column_is(write: Writer) -> None:
    text = f"Session ID,Member No,Track,ts\ns1,m1,t1,{NOON}\ns2,m1,t2,{NOON + 1}\n"
    assert pairs(read(write("e.csv", text))) == [("m1", "t1"), ("m1", "t2")]
    assert pairs(read(write("f.csv", text.replace("Member No", "Shop")))) == [("s1", "t1"), ("s2", "t2")]


def test_a_first_line_of_words_that_come_again_is_no_header(write: Writer) -> None:
    raw = read(write("e.csv", "milk,bread\nbeer,milk\nbread,beer\nmilk,beer\n"))
    assert raw.rows_read == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", FRAME.to_csv(index=False)),
        ("a.xls", FRAME.to_csv(index=False, sep="\t")),
        ("a.csv", FRAME.to_json(orient="records", lines=True)),
        ("a.txt", FRAME.to_json(orient="records", indent=1)),
        ("a.jsonl", FRAME.to_json(orient="records", lines=True).encode("utf-16")),
        *((f"{how}.json", FRAME.to_json(orient=how)) for how in ("records", "columns", "index", "split", "table")),
        *((f"{how}.txt", FRAME.to_json(orient=how)) for how in ("columns", "index", "split")),
    ],
)
def test_a_file_is_what_it_holds_whatever_it_is_called(write: Writer, name: str, content: str | bytes) -> None:
    raw = read(write(name, content))
    assert pairs(raw) == [("u1", "a"), ("u2", "b"), ("u1", "c")]
    assert raw.time_is_clock


def test_parquet_called_csv(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "a.csv")
    assert pq.ParquetFile(tmp_path / "a.csv").metadata.num_rows == 3
    assert pairs(read(tmp_path / "a.csv")) == [("u1", "a"), ("u2", "b"), ("u1", "c")]


def test_lists_of_lists_have_columns_by_number(write: Writer) -> None:
    raw = read(write("a.json", FRAME.to_json(orient="values")), columns={"user_id": "column_1", "item_id": "column_2"})
    assert pairs(raw) == [("u1", "a"), ("u2", "b"), ("u1", "c")]


SQL = "INSERT INTO events (user, item) VALUES (1, 2);\nINSERT INTO events (user, item) VALUES (1, 3);\n"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("e.csv", SQL, "a dump of a database"),
        ("e.sql", f"-- MySQL dump 10.13\n--\n\n/*!40101 SET x */;\nDROP TABLE events;\n{SQL}", "a dump of a database"),
        ("e.csv", "<!DOCTYPE html>\n<html><p>a,b,c</p>\n</html>\n", r"a web page \(HTML\)"),
        ("e.xls", "<html><table><tr><td>user</td></tr></table></html>", r"a web page \(HTML\)"),
        ("e.xml", '<?xml version="1.0"?>\n<orders>\n<order user="1" item="2"/>\n</orders>\n', "an XML file"),
        ("e.csv", '<orders>\n<order user="1" item="2"/>\n</orders>\n', "an XML file"),
        ("e.txt", "1:\n17,3,2005-09-06\n18,4,2005-05-13\n2:\n17,3,2005-09-06\n", "names the item of the rows below"),
    ],
)
def test_what_is_no_table_of_lines_is_refused_for_what_it_is(write: Writer, name: str, content: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as refusal:
        read(write(name, content))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("nothing", ["(null)", "[NULL]", "none", "undefined", "(not set)", "-", "--", "#REF!", "nil"])
def test_words_of_programs_for_nothing_are_nobody(write: Writer, nothing: str) -> None:
    raw = read(write("e.csv", f"user,item,rating\nu,a,1\n{nothing},b,2\nv,{nothing},3\nw,c,{nothing}\n"))
    assert raw.events["user_id"].isna().sum() == raw.events["item_id"].isna().sum() == 1
    assert raw.events["value"].isna().sum() == 1


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        ("Datum;Uhrzeit", "05.01.2023;12:00"),
        ("Order Date;Order Time", "01/05/2023;12:00 PM"),
        ("date;start_time", "2023-01-05;12:00:00"),
        ("ts", "05-JAN-23 12.00.00.000000000 PM"),
        ("date", "05-Jan-23 12:00:00 PM"),
        ("when", "Thu Jan 05 12:00:00 +0000 2023"),
        ("year;month;day;hour", "2023;1;5;12"),
        ("Jahr;Monat;Tag;Stunde;Minute", "2023;01;05;12;00"),
    ],
)
def test_days_and_times_of_day_in_the_writing_of_programs(write: Writer, names: str, cells: str) -> None:
    raw = read(write("e.csv", f"user;item;{names}\nu;a;{cells}\nv;b;{cells}\n"))
    assert raw.events["timestamp"].tolist() == [NOON, NOON]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["4/5", "5/5", "1/5"], [4, 5, 1]),
        (["4.0 out of 5 stars", "3.5 out of 5 stars", "1 star"], [4, 3.5, 1]),
        (["★★★★☆", "★★", "★★½"], [4, 2, 2.5]),
        (["4,5 von 5", "3 von 5", "2 Sterne"], [4.5, 3, 2]),
    ],
)
def test_grades_in_words_and_stars(write: Writer, cells: list[str], values: list[float]) -> None:
    raw = read(write("e.tsv", "user\titem\trating\n" + "".join(f"u{at}\ti\t{one}\n" for at, one in enumerate(cells))))
    assert raw.events["value"].tolist() == values
    assert raw.notes == ("the column of values holds grades in words or stars: their numbers are taken",)


def test_columns_that_blanks_fill_to_one_width(write: Writer) -> None:
    rows = "".join(f"{user:>6} {item:>10}  {ts:>12}\n" for user, item, ts in FRAME.itertuples(index=False))
    assert pairs(read(write("e.txt", f"  user       item            ts\n{rows}"))) == [
        ("u1", "a"),
        ("u2", "b"),
        ("u1", "c"),
    ]


def test_a_database_may_be_given_as_its_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        FRAME.to_sql("orders", database, index=False)
    found = config_of(str(tmp_path / "shop.db"))
    assert found["source"]["path"] == f"sqlite:///{tmp_path / 'shop.db'}"


def test_an_id_that_is_too_long_is_told_with_the_rule(write: Writer) -> None:
    raw = read(write("e.csv", f"user,item\nu,{'x' * 300}\nv,b\n"))
    assert raw.rejected.first["invalid item_id"] == (
        "line 2: item_id 'xxxxxxxxxxxxxxxxxxxx...' has 300 characters, and an id at most 256",
    )


def test_of_two_columns_of_usual_names_the_filled_one_is_taken_in_all_parts(tmp_path: Path) -> None:
    def rows(part: int, known: int) -> str:
        return "".join(
            json.dumps(
                {
                    "userId": f"c{at}" if at < known else None,
                    "anonymousId": f"a{at}",
                    "sku": f"i{at}",
                    "read_at": "",
                    "date_added": NOON + part,
                }
            )
            + "\n"
            for at in range(6)
        )

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "part-1.jsonl").write_text(rows(1, 2))
    (tmp_path / "p" / "part-2.jsonl").write_text(rows(2, 6))

    raw = read(tmp_path / "p")

    assert raw.events["user_id"].tolist() == [f"a{at}" for at in range(6)] * 2
    assert set(raw.events["timestamp"]) == {NOON + 1, NOON + 2}
