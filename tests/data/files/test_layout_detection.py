"""What a word after --data means."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recstage.config import DataConfig, check, names_in
from recstage.data.dataset import config_of, load
from recstage.errors import ConfigError, DataError

Writer = Callable[[str, str | bytes], Path]
TABLE = "user_id,item_id\n" + "".join(f"u{n % 5},i{n % 4}\n" for n in range(20))


def source_of(path: Path) -> dict[str, Any]:
    config = check(DataConfig, config_of(str(path)), str(path))
    return config.source.model_dump(exclude_defaults=True) | {"kind": config.source.kind}


@pytest.mark.parametrize("name", names_in("data"))
def test_every_data_set_of_the_repository_is_a_valid_configuration(name: str) -> None:
    assert check(DataConfig, config_of(name), name).name == name


def test_a_name_that_is_none_lists_the_names() -> None:
    with pytest.raises(
        DataError, match=r"data 'ml-1m-nfc': is neither a name .* Did you mean 'ml-1m-ncf'\? Valid names:"
    ):
        config_of("ml-1m-nfc")


def test_a_yaml_file_is_a_configuration_called_like_itself(write: Writer) -> None:
    path = write("mine.yaml", "source: {kind: synthetic, users: 9}\n")

    assert config_of(str(path)) == {"name": "mine", "source": {"kind": "synthetic", "users": 9}}


def test_a_broken_yaml_file_is_refused(write: Writer) -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        config_of(str(write("mine.yaml", "source: {")))


@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.csv.gz", "e.log"])
def test_a_table_of_events(write: Writer, name: str) -> None:
    path = write(name, TABLE)

    assert source_of(path) == {"kind": "events", "path": str(path), "default_type": "interaction"}


def test_a_folder_with_a_table_and_a_file_about_items(write: Writer) -> None:
    items = write("shop/items.csv", "item_id,title\ni1,Bread\n")
    table = write("shop/e.csv", TABLE)
    write("shop/notes.txt", "nothing to read here\n")

    assert source_of(table.parent) == {
        "kind": "events",
        "path": str(table),
        "items_path": str(items),
        "default_type": "interaction",
    }


def test_movielens_in_a_folder_an_archive_or_as_its_file(write: Writer, tmp_path: Path) -> None:
    ratings = write("ml/ratings.dat", "1::2::3::4\n")
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.write(ratings, "ml-1m/ratings.dat")

    assert source_of(ratings.parent) == {"kind": "movielens", "path": str(ratings.parent)}
    assert source_of(ratings) == {"kind": "movielens", "path": str(ratings.parent)}
    assert source_of(tmp_path / "ml.zip") == {"kind": "movielens", "path": str(tmp_path / "ml.zip")}


def test_a_ratings_csv_of_somebody_else_is_a_table(write: Writer) -> None:
    assert source_of(write("ratings.csv", TABLE))["kind"] == "events"


def test_the_ncf_authors_files(write: Writer) -> None:
    train = write("ncf/a.train.rating.gz", "0\t0\t1\t0\n")
    config = config_of(str(train.parent))

    assert config["source"] == {"kind": "ncf", "path": str(train.parent)}
    assert config["split"] == {"method": "given"}
    assert config_of(str(train))["source"] == config["source"]


def test_json_with_and_without_a_test_of_its_own(write: Writer) -> None:
    rows = [{"user_id": 1, "item_id": 2}]
    plain = write("plain.json", json.dumps({"interactions": rows}))
    held = {"user_id": 1, "relevant_items": [3], "candidate_items": []}
    tested = write("folder/tested.json.gz", json.dumps({"interactions": rows, "held_out_test": [held]}))

    assert config_of(str(plain))["source"] == {"kind": "json", "path": str(plain)}
    assert "split" not in config_of(str(plain))
    assert config_of(str(tested.parent))["source"] == {"kind": "json", "path": str(tested)}
    assert config_of(str(tested))["split"] == {"method": "given"}


@pytest.mark.parametrize(
    ("name", "called"), [("shop.csv.gz", "shop"), ("ml-100k.zip", "ml-100k"), ("ml.tar.gz", "ml"), ("x.parquet", "x")]
)
def test_data_sets_are_called_like_their_files(name: str, called: str) -> None:
    from recstage.data.files.layout_detection import name_of

    assert name_of(Path(name)) == called


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no layout that is known: MovieLens, the NCF authors' files, JSON"):
        config_of(str(tmp_path))


def test_several_tables_are_counted(write: Writer) -> None:
    write("two/a.csv", TABLE)
    path = write("two/b.csv", TABLE)

    with pytest.raises(DataError, match=r"it has 2 tables: a\.csv, b\.csv\. Give one file"):
        config_of(str(path.parent))


def test_what_is_detected_loads(write: Writer, tmp_path: Path) -> None:
    config = check(DataConfig, config_of(str(write("e.csv", TABLE))), "e")

    assert load(config, cache=tmp_path / "cache").report["pairs"] == 20


def test_a_path_named_like_a_data_set_of_ours_is_split_as_its_yaml_says(write: Writer) -> None:
    ratings = "userId,movieId,rating,timestamp\n1,2,3.5,1700000000\n"
    ours = write("ml-latest-small/ratings.csv", ratings).parent
    other = write("another/ratings.csv", ratings).parent

    assert config_of(str(ours))["split"] == config_of("ml-latest-small")["split"]
    assert "split" not in config_of(str(other))
    assert config_of(str(ours))["source"]["path"] == str(ours)


def test_a_folder_with_train_and_test_files_brings_its_own_split(write: Writer) -> None:
    train = write("own/train.csv", TABLE)
    test = write("own/test.csv", "user_id,item_id\nu1,i9\n")

    config = config_of(str(train.parent))

    assert (config["source"]["path"], config["source"]["test_path"]) == (str(train), str(test))
    assert config["split"] == {"method": "given"}
