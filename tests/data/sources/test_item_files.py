"""Files about items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from recstage.data.sources.item_files import read_items
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
