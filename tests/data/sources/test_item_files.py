"""Files about items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from recstage.data.sources.item_files import categories_of, read_items, understood
from recstage.data.tables.table import Table
from recstage.data.tables.values.attributes import kind_of
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]


def test_json_lines_with_marks_that_look_like_line_ends(write: Writer) -> None:
    path = write(
        "i.jsonl.gz", '{"item_id": "a", "text": "one\u2028two\u0085three"}\n\n{"item_id": "b", "text": null}\n'
    )

    items = read_items(path).frame

    assert items["item_id"].tolist() == ["a", "b"]
    assert items["text"].tolist() == ["one\u2028two\u0085three", ""]


def test_words_of_people_and_tags_join_the_text(write: Writer) -> None:
    path = write(
        "i.jsonl", '{"id": 7, "plot": "A fight.", "director": "D", "tags": ["dark", "slow"], "url": "http://x"}\n'
    )

    items = read_items(path).frame

    assert items["item_id"].tolist() == ["7"]
    assert items["text"].tolist() == ["A fight. D dark slow"]


def test_parquet_with_lists_of_categories(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": [1, 2], "categories": [["x", "y"], None]}).to_parquet(tmp_path / "i.parquet")

    items = read_items(tmp_path / "i.parquet").frame

    assert items["categories"].tolist() == [["x", "y"], []]


def test_movies_dat_keeps_colons_in_titles(write: Writer) -> None:
    items = read_items(write("movies.dat", "1::Part::Two (1990)::Drama|War\n")).frame

    assert items["title"].tolist() == ["Part::Two (1990)"]
    assert items["categories"].tolist() == [["Drama", "War"]]


def test_rows_without_an_id_are_left_out(write: Writer) -> None:
    assert read_items(write("i.csv", "item_id,title\n,lost\na,kept\n")).frame["title"].tolist() == ["kept"]


def test_a_file_without_ids_is_refused(write: Writer) -> None:
    with pytest.raises(DataError, match="columns name, price: items need a column of ids"):
        read_items(write("i.csv", "name,price\na,1\n"))


def test_a_broken_line_of_json_is_counted_and_named(write: Writer) -> None:
    items = read_items(write("i.jsonl", '{"item_id": 1}\n{"item_id"\n{"item_id": 2}\n'))

    assert items.frame["item_id"].tolist() == ["1", "2"]
    assert items.rejected.first == {"line that is no JSON object": ("line 2",)}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file about items"):
        read_items(tmp_path)


def test_a_broken_parquet_file_is_refused(write: Writer) -> None:
    with pytest.raises(DataError, match=r"i\.parquet: is truncated or damaged"):
        read_items(write("i.parquet", "no"))


def test_columns_of_no_name_of_ours_are_attributes_each_of_one_kind(write: Writer) -> None:
    text = (
        "SKU;Product Name;Preis;on sale;code;colours;note;empty\n"
        "1;Pen;2,50;yes;007;red|blue;fine;\n2;Ink;1,25;no;008;black;;\n3;Nib;;;;;;\n"
    )

    items = read_items(write("i.csv", text)).frame

    assert items["title"].tolist() == ["Pen", "Ink", "Nib"]
    assert items["Preis"].tolist()[:2] == [2.5, 1.25]
    assert items["on sale"].tolist()[:2] == [True, False]
    assert items["code"].tolist() == ["007", "008", None]
    assert items["colours"].tolist() == [["red", "blue"], ["black"], None]
    assert "empty" not in items
    assert {name: kind_of(items[name]) for name in ("Preis", "on sale", "code", "colours", "note")} == {
        "Preis": "number",
        "on sale": "boolean",
        "code": "text",
        "colours": "list",
        "note": "text",
    }


def test_every_column_can_be_mapped(write: Writer) -> None:
    path = write("i.csv", "art,bez,shelf,lager\n1,Pen,A|B,nein\n2,Ink,C,1\n")

    items = read_items(
        path, columns={"item_id": "art", "title": "bez", "categories": "shelf", "available": "lager"}
    ).frame

    assert items["categories"].tolist() == [["A", "B"], ["C"]]
    with pytest.raises(DataError, match=r"column 'artt' for item_id: the file has no such column\. Did you mean 'art'"):
        read_items(path, columns={"item_id": "artt"})
    with pytest.raises(DataError, match=r"source\.items_columns\.price: no such column of ours"):
        read_items(path, columns={"price": "lager"})


def test_rows_of_an_items_file_are_accounted_for(write: Writer) -> None:
    items = read_items(write("i.csv", "item_id,title\na,1\n,2\nb\na,3\nc,4\n"))

    assert items.frame["title"].tolist() == ["3", "4"]
    assert items.rejected.counts == {"wrong number of fields": 1, "missing item_id": 1, "item given twice": 1}
    assert items.rejected.first["item given twice"] == ("line 2: a",)


def test_a_quote_that_never_closes_costs_no_item(write: Writer) -> None:
    lines = [f"{n},Thing {n},plain" for n in range(50)]
    lines[3] = '3,"5 inch disk,plain'

    assert len(read_items(write("i.csv", "\n".join(["item_id,title,note", *lines]))).frame) == 50


def test_a_categorical_title_may_be_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": [1, 2], "title": pd.Categorical(["a", None]), "price": [1, None]})
    frame.to_parquet(tmp_path / "i.parquet")

    assert read_items(tmp_path / "i.parquet").frame["title"].tolist() == ["a", ""]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a|b", ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ([["a", "b"], ["b", "c"]], ["a", "b", "c"]),
        (12.0, ["12"]),
        (None, []),
        (float("nan"), []),
        ("(no genres listed)", []),
    ],
)
def test_categories_of_every_writing(value: object, names: list[str]) -> None:
    assert categories_of(value) == names


TMDB = """[{'id': 28, 'name': "Children's"}, {'id': 12, 'name': 'Adventure'}]"""


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (TMDB, ["Children's", "Adventure"]),
        ('[{"id": 28, "name": "Action"}]', ["Action"]),
        ([{"id": 1, "name": "Root", "path": "1"}, {"id": 5, "title": "Shoes"}], ["Root", "Shoes"]),
        ('{"main": "Shoes", "sub": "Boots"}', ["Shoes", "Boots"]),
        ("Home, Garden & Tools > Lighting > Lamps", ["Home, Garden & Tools", "Lighting", "Lamps"]),
        ("Home > Lamps | Sale > Lamps", ["Home", "Lamps", "Sale"]),
        ("[not a list", ["[not a list"]),
        ("[a, b]", ["a", "b"]),
    ],
)
def test_categories_of_objects_and_of_paths(value: object, names: list[str]) -> None:
    assert categories_of(value) == names


@pytest.mark.parametrize(
    ("value", "there"),
    [
        ("in_stock", True), ("out_of_stock", False), ("Out of stock", False), ("preorder", True),
        ("discontinued", False),
        ("FALSE", False), ("0", False), (0.0, False), (1, True), (False, False), (None, True), ("ausverkauft", False),
    ],
)  # fmt: skip
def test_what_is_not_to_be_had_in_the_words_of_shops(value: object, there: bool) -> None:
    table = Table(pd.DataFrame({"sku": ["a"], "availability": pd.Series([value], dtype=object)}), 1)
    assert understood(table, "items").frame["available"].tolist() == [there]
