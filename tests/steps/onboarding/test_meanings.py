"""What columns mean: neither lists in a cell, nor places in a basket, nor names that only sound alike are taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recstage.data.files.file_tree import FileTree
from recstage.data.tables.opening import opened
from recstage.errors import DataError
from recstage.steps.onboarding.asking import columns_of
from recstage.steps.onboarding.facts.columns import Meanings
from recstage.steps.onboarding.facts.contents import MOST_COMPARED, Contents
from recstage.steps.onboarding.facts.further_columns import of_events
from recstage.steps.onboarding.questions import Questions

ROWS = 120
quoted = "', '"


def meanings(path: Path) -> Meanings:
    file = opened(FileTree(path), path.name)
    return columns_of([file], Contents(file), {}, Questions(True))[0]


def table(folder: Path, names: str, row: str, separator: str = ",") -> Path:
    """`row`: a template over the number of the row, `n`, a user `u` and an item `i`."""
    path = folder / "e.csv"
    lines = [row.format(n=n, u=n % 13, i=n * 7 % 11, day=1 + n % 28) for n in range(ROWS)]
    path.write_text("\n".join([names, *lines]) + "\n")
    return path


def basket(n: int, mark: str) -> str:
    return mark.join(f"i{(n + k) % 9}" for k in range(1 + n % 4))


@pytest.mark.parametrize(
    ("names", "cell", "code"),
    [
        ("order,customer,date,items", lambda n: basket(n, "|"), "str.split('|')"),
        ("order,customer,date,product_ids", lambda n: f"\"['{basket(n, quoted)}']\"", "literal_eval"),
        ("order,customer,date,products", lambda n: basket(n, " "), "str.split(' ')"),
    ],
)  # fmt: skip
def test_items_of_a_row_in_one_cell_are_refused_with_the_line_that_parts_them(
    tmp_path: Path, names: str, cell, code: str
) -> None:
    path = tmp_path / "e.csv"
    path.write_text(
        "\n".join([names, *(f"{n},u{n % 13},2026-01-{1 + n % 28:02d},{cell(n)}" for n in range(ROWS))]) + "\n"
    )
    with pytest.raises(DataError, match="it holds lists, and rows are events") as refusal:
        meanings(path)
    assert code in str(refusal.value)


def test_lists_of_objects_are_refused_with_their_key(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    row = '{{"user_pseudo_id": "u{u}", "event_params": [{{"key": "a"}}], "items": [{{"item_id": "i{i}", "price": 1}}]}}'
    path.write_text("\n".join(row.format(u=n % 13, i=n % 7) for n in range(ROWS)) + "\n")
    with pytest.raises(DataError, match=r"frame\.explode\('items'\)\.assign\(item_id=.*\['item_id'\]|str\['item_id'\]"):
        meanings(path)


@pytest.mark.parametrize("key", ["SKU{i}|red", "{i} - {u}", "P{i};v1", "{{0000{i:04d}-11}}", "shop {i}"])
def test_keys_of_several_parts_are_no_lists(tmp_path: Path, key: str) -> None:
    assert meanings(table(tmp_path, "user,item,date", f"u{{u}},{key},2026-01-{{day:02d}}")).columns["item_id"] == "item"


def test_places_in_a_basket_are_no_users(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    lines = [f"{n // 4},{n * 7 % 11},{1 + n % 4},{n % 2}" for n in range(ROWS)]
    path.write_text("\n".join(["order_id,product_id,add_to_cart_order,reordered", *lines]) + "\n")
    found = meanings(path)
    assert found.columns == {"user_id": "order_id", "item_id": "product_id"}
    assert "what was ordered or seen together is taken as a user" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "row", "columns"),
    [
        (
            "Kundennr.;EAN;Artikelbezeichnung;Menge;Datum;Uhrzeit",
            "{u:06d};{i}00638100000;Lampe {i};{day};{day:02d}.01.2026;12:{day:02d}",
            {"user_id": "Kundennr.", "item_id": "EAN", "timestamp": "Uhrzeit", "value": "Menge"},
        ),
        (
            "Effective user ID;Item ID;Event name;Date + hour",
            "10000{u}.17000000{u};SKU_{i};view;2026-01-{day:02d} 12:00",
            {"user_id": "Effective user ID", "item_id": "Item ID", "timestamp": "Date + hour",
             "interaction_type": "Event name"},
        ),
        (
            "Email;Lineitem quantity;Lineitem sku;Created at",
            "u{u}@x.de;{day};L{i};2026-01-{day:02d} 12:00:00 +0100",
            {"user_id": "Email", "item_id": "Lineitem sku", "timestamp": "Created at", "value": "Lineitem quantity"},
        ),
        (
            "CardNo;SKU;Sales Date;Sales Time",
            "90000{u};{i}5000;202601{day:02d};08{day:02d}{day:02d}",
            {"user_id": "CardNo", "item_id": "SKU", "timestamp": "Sales Date"},
        ),
        (
            "a;b;c",
            "{u};2026-01-{day:02d};2145365{i:02d}",
            {"user_id": "a", "item_id": "c", "timestamp": "b"},
        ),
        (
            "user_id;book_id;read_at;date_added",
            "{u};{i};;2026-01-{day:02d}",
            {"user_id": "user_id", "item_id": "book_id", "timestamp": "date_added"},
        ),
    ],
)  # fmt: skip
def test_columns_of_exports_are_found_by_name_and_content(
    tmp_path: Path, names: str, row: str, columns: dict[str, str]
) -> None:
    assert meanings(table(tmp_path, names, row)).columns == columns


def test_a_column_is_held_against_few_others_however_many_there_are(tmp_path: Path) -> None:
    wide = 150
    names = ",".join(["user_id", "item_id", "ts", *(f"feature_{k}" for k in range(wide))])
    cells = ",".join(f"{{n}}{k}" for k in range(wide))
    path = table(tmp_path, names, f"{{u}},{{i}},17674{{n:05d}},{cells}")
    file = opened(FileTree(path), path.name)
    contents = Contents(file)
    columns_of([file], contents, {}, Questions(True))
    assert sum(key[0] == "determines" for key in contents.answers) <= wide * MOST_COMPARED


def test_empty_columns_are_told_in_one_line(tmp_path: Path) -> None:
    path = table(tmp_path, "user,item,a,b", "{u},{i},,")
    file = opened(FileTree(path), path.name)
    assert of_events([file], {"user_id": "user", "item_id": "item"}) == ["2 columns are empty: a, b"]


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [("purchased", "True", "False"), ("bought", "1", "0"), ("comprado", "sí", "no"), ("gekauft", "ja", "nein")],
)
def test_a_column_that_says_what_was_bought_is_the_value(tmp_path: Path, name: str, yes: str, no: str) -> None:
    path = table(tmp_path, f"user_id,product_id,{name},date", "{u},{i},@{n},2026-01-{day:02d}")
    path.write_text(re.sub(r"@(\d+)", lambda found: no if int(found[1]) % 3 else yes, path.read_text()))
    assert meanings(path).columns["value"] == name


def test_a_second_flag_is_named_with_the_way_to_take_it(tmp_path: Path) -> None:
    path = table(tmp_path, "user_id,product_id,clicked,purchased,date", "{u},{i},True,False,2026-01-{day:02d}")
    found = meanings(path)
    assert found.columns["value"] == "clicked"
    assert "purchased is not read beside clicked: --columns.value 'purchased' to learn from it instead" in found.notes
