"""The NCF authors' files: their split, their candidates, their ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recstage.config import DataConfig, NcfSource, SplitConfig
from recstage.data.dataset import prepare
from recstage.data.sources import ncf
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]


@pytest.fixture
def folder(write: Writer) -> Path:
    write("tiny.train.rating.gz", "0\t0\t1\t0\n0\t1\t1\t1\n0\t2\t1\t2\n1\t1\t1\t0\n1\t3\t1\t1\n2\t0\t1\t0\n")
    write("tiny.test.rating", "0\t3\t1\t3\n1\t0\t1\t2\n2\t1\t1\t1\n")
    return write("tiny.test.negative", "(0,3)\t4\t5\n(1,0)\t2\t4\n(2,1)\t5\t3\n").parent


def dataset_of(folder: Path, **options: object):  # type: ignore[no-untyped-def]
    source = NcfSource(path=str(folder), **options)  # type: ignore[arg-type]
    config = DataConfig(
        name="tiny",
        source=source,
        split=SplitConfig(method="given"),
        minimum={"interactions": 5},  # type: ignore[arg-type]
    )
    return prepare(config, "tiny")


def pairs(rows) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return [(str(user), str(item)) for user, item in rows.to_frame()[["user_id", "item_id"]].values]


def test_the_test_rows_are_theirs_and_validation_is_the_last_training_item(folder: Path) -> None:
    split = dataset_of(folder).split

    assert pairs(split.test) == [("0", "3"), ("1", "0"), ("2", "1")]
    assert pairs(split.validation) == [("0", "2"), ("1", "3")]
    assert pairs(split.train) == [("0", "0"), ("0", "1"), ("1", "1"), ("2", "0")]


def test_the_candidates_are_theirs_even_items_that_nobody_touched(folder: Path) -> None:
    dataset = dataset_of(folder)

    ids = np.array(dataset.catalogue.items.ids)
    assert ids.tolist() == ["0", "1", "2", "3", "4", "5"]
    assert ids[dataset.split.negatives].tolist() == [["4", "5"], ["2", "4"], ["5", "3"]]


def test_without_candidates_they_are_drawn(folder: Path) -> None:
    (folder / "tiny.test.negative").unlink()

    negatives = dataset_of(folder).split.negatives

    assert negatives.shape == (3, 99)
    assert (negatives >= 0).sum(axis=1).tolist() == [0, 1, 2]  # the few items that each has not touched


def test_times_that_are_positions_are_no_clock(folder: Path) -> None:
    assert not dataset_of(folder).time_is_clock


def test_items_csv_may_describe_the_items(folder: Path, write: Writer) -> None:
    write("items.csv", "item_id,title\n0,Bread\n1,Wine\n")

    assert dataset_of(folder).catalogue.titles.tolist()[:3] == ["Bread", "Wine", ""]


def test_items_csv_maps_their_ids_to_those_of_another_file(folder: Path, write: Writer) -> None:
    write("items.csv", "item_id,movie_id\n0,70\n1,71\n")
    plots = write("plots.jsonl", '{"movie_id": 71, "title": "Wine", "genres": ["Drama"], "plot": "Grapes."}\n')

    catalogue = dataset_of(folder, items_path=str(plots)).catalogue

    assert catalogue.titles.tolist()[:2] == ["", "Wine"]
    assert catalogue.categories[1] == ("Drama",)
    assert catalogue.texts[1] == "Grapes."


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tiny.test.rating").unlink()

    with pytest.raises(DataError, match=r"the NCF layout has a file NAME\.test\.rating \(or \.gz\)"):
        ncf.read(NcfSource(path=str(folder)))


def test_a_malformed_line_of_candidates_is_named(folder: Path) -> None:
    (folder / "tiny.test.negative").write_text("(0,3)\t4\n1\t2\t4\n")

    with pytest.raises(DataError, match=r"line 2: '1\s2\s4': a line reads \(user,item\) and candidates"):
        ncf.read(NcfSource(path=str(folder)))
