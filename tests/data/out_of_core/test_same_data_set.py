"""A data set is the same to the byte, whichever way it is prepared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recstage.config import DataConfig, EventsSource, SplitConfig, SyntheticSource, check
from recstage.data.dataset import config_of
from recstage.data.out_of_core import user_blocks
from tests.data.out_of_core.prepared_twice import assert_same_rows, config, prepared_twice

pytest.importorskip("duckdb", reason="the engine is the extra `scale`")
SHARED = os.environ.get("RECSTAGE_SHARED_DATA", "")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_blocks, "BLOCK_EVENTS", 700)


def generated(**options: Any) -> DataConfig:
    return config(SyntheticSource(users=200, items=150, interactions=5000), **options)


def frame(rows: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Events with bad rows, repeats and rows that are there twice."""
    rng = np.random.default_rng(seed)
    kinds = np.array(["view", "click", "like", "share", "rate", "dismiss", "odd"])
    chosen = rng.choice(7, rows, p=[0.4, 0.2, 0.14, 0.1, 0.1, 0.05, 0.01])
    events = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, 150, rows)],
            "item_id": [f"é{n}" if n % 7 == 0 else f"i{n}" for n in rng.zipf(1.5, rows) % 90],
            "timestamp": rng.integers(1_700_000_000, 1_700_050_000, rows).astype(float),
            "event": kinds[chosen],
            "value": np.where(chosen == 4, rng.integers(1, 6, rows), np.nan),
        }
    )
    events = pd.concat([events, events.sample(60, random_state=1)]).sort_values("timestamp", kind="stable")
    events = events.astype({"user_id": object, "item_id": object, "event": object}).reset_index(drop=True)
    events.loc[rng.choice(rows, 9), "user_id"] = None
    events.loc[rng.choice(rows, 8), "item_id"] = " "
    events.loc[rng.choice(rows, 7), "item_id"] = "x" * 300
    events.loc[rng.choice(rows, 6), "timestamp"] = np.nan
    events.loc[rng.choice(rows, 5), "timestamp"] = 4e9
    events.loc[rng.choice(rows, 4), "event"] = None
    return events


Events = Callable[[pd.DataFrame], pd.DataFrame]


def as_it_is(events: pd.DataFrame) -> pd.DataFrame:
    return events


def in_fractions(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=events["timestamp"] + np.arange(len(events)) % 4 / 4).sample(frac=1, random_state=3)


def in_milliseconds(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=events["timestamp"] * 1000)


def in_ranks(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=events["timestamp"] - 1_699_999_000)


def all_at_once(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=1_700_000_000.0)


def without_times(events: pd.DataFrame) -> pd.DataFrame:
    return events.drop(columns="timestamp")


def numbered(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(user_id=np.arange(len(events)) % 150, item_id=np.arange(len(events)) % 77)


FORMS = (as_it_is, in_fractions, in_milliseconds, in_ranks, all_at_once, without_times, numbered)


@pytest.mark.parametrize(
    "split",
    [
        SplitConfig(),
        SplitConfig(method="temporal"),
        SplitConfig(method="ratio", negatives=7, seed=3),
        SplitConfig(method="leave-k-out", k=2, negatives=140),
        SplitConfig(newcomers=0.5, newcomer_rows=4),
        SplitConfig(negatives=0),
    ],
    ids=lambda split: split.method + ("-newcomers" if split.newcomers else ""),
)
def test_of_the_generator(split: SplitConfig, tmp_path: Path) -> None:
    assert_same_rows(*prepared_twice(generated(split=split), tmp_path))


@pytest.mark.parametrize("aggregate", ["max", "last"])
def test_whatever_becomes_of_repeats(aggregate: str, tmp_path: Path) -> None:
    assert_same_rows(*prepared_twice(generated(aggregate=aggregate), tmp_path))


@pytest.mark.parametrize("form", FORMS)
def test_of_parquet(form: Events, tmp_path: Path) -> None:
    form(frame()).to_parquet(tmp_path / "e.parquet", index=False)

    assert_same_rows(*prepared_twice(config(EventsSource(path=str(tmp_path / "e.parquet"))), tmp_path))


@pytest.mark.parametrize("form", FORMS)
def test_of_delimited_text(form: Events, tmp_path: Path) -> None:
    form(frame()).to_csv(tmp_path / "e.csv", index=False)

    assert_same_rows(*prepared_twice(config(EventsSource(path=str(tmp_path / "e.csv"))), tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_of_types_in_several_spellings(suffix: str, tmp_path: Path) -> None:
    events = frame()
    spelt = [(str, str.upper, str.title)[at % 3] for at in range(len(events))]
    events["event"] = [kind and how(kind) for how, kind in zip(spelt, events["event"], strict=True)]
    path = tmp_path / f"e.{suffix}"
    events.to_csv(path, index=False) if suffix == "csv" else events.to_parquet(path, index=False)

    found = prepared_twice(config(EventsSource(path=str(path))), tmp_path)

    assert_same_rows(*found)
    assert any("differ in capitals and blanks only are one" in note for note in found[0].report["notes"])


@pytest.mark.parametrize("ids", ["auto", "text"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_of_ids_that_are_words_for_nothing(suffix: str, ids: str, tmp_path: Path) -> None:
    events = frame()
    events["item_id"] = events["item_id"].replace({"i1": "NA", "i2": "null"})
    path = tmp_path / f"e.{suffix}"
    events.to_csv(path, index=False) if suffix == "csv" else events.to_parquet(path, index=False)

    found = prepared_twice(config(EventsSource(path=str(path), ids=ids)), tmp_path)

    assert_same_rows(*found)
    assert ("NA" in found[0].split.train.items.ids) == (ids == "text")
    told = "item_id 'NA', 'null': taken for no id, such rows are dropped (source.ids: text keeps such words as ids)"
    assert (told in found[0].report["notes"]) == (ids == "auto")


def as_text(events: pd.DataFrame) -> pd.DataFrame:
    """Every column as a snapshot of a database has it, with some that cannot be read."""
    events = events.astype({"timestamp": object, "value": object}).reset_index(drop=True)
    events.loc[5:8, "timestamp"] = "soon"
    events.loc[11:13, "value"] = ["much", "", "NULL"]
    return pd.DataFrame({name: [None if pd.isna(v) else str(v) for v in events[name]] for name in events})


@pytest.mark.parametrize("form", FORMS)
def test_of_parquet_whose_columns_are_all_text(form: Events, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = form(frame())
    as_text(events if "timestamp" in events else events.assign(timestamp=None)).drop(
        columns=[] if "timestamp" in events else "timestamp"
    ).to_parquet(tmp_path / "e.parquet", index=False)

    with caplog.at_level("INFO"):
        assert_same_rows(*prepared_twice(config(EventsSource(path=str(tmp_path / "e.parquet"))), tmp_path))
    assert "read in memory before" not in caplog.text


def test_of_dates_that_are_written_out_and_of_rows_that_cannot_be_read(tmp_path: Path) -> None:
    events = frame()
    events["timestamp"] = pd.to_datetime(events["timestamp"], unit="s").dt.strftime("%Y-%m-%d %H:%M:%S")
    events = events.astype({"timestamp": object, "value": object})
    events.loc[5:8, "timestamp"] = "soon"
    events.loc[11:13, "value"] = "much"
    text = events.to_csv(index=False).splitlines()
    text[20] += ",too,many"
    (tmp_path / "e.csv").write_text("\n".join(text))

    for zone in ("UTC", "Europe/Berlin"):
        source = EventsSource(path=str(tmp_path / "e.csv"), zone=zone)
        found, _ = prepared_twice(config(source), tmp_path / zone.replace("/", "-"))
        assert {"unreadable timestamp", "unreadable value", "wrong number of fields"} <= set(found.report["dropped"])


def test_of_typed_moments(tmp_path: Path) -> None:
    events = frame()
    for unit, zone in (("ms", None), ("us", "UTC"), ("us", "Europe/Berlin")):
        moments = pd.to_datetime(events["timestamp"].fillna(0), unit="s")
        moments = moments if zone is None else moments.dt.tz_localize(zone, ambiguous=True)
        table = pa.Table.from_pandas(events.assign(timestamp=moments), preserve_index=False)
        at = table.schema.get_field_index("timestamp")
        table = table.set_column(at, "timestamp", table["timestamp"].cast(pa.timestamp(unit, zone)))
        folder = tmp_path / f"{unit}{zone is None}{len(zone or '')}"
        folder.mkdir()
        pq.write_table(table, folder / "e.parquet")
        prepared_twice(config(EventsSource(path=str(folder / "e.parquet"))), folder)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_folders_of_parts_with_columns_in_their_names(ending: str, tmp_path: Path) -> None:
    events = frame()
    for kind in ("view", "like", "odd"):
        for number in (2, 10):
            place = tmp_path / "data" / f"event={kind}" / f"part-{number}.{ending}"
            place.parent.mkdir(parents=True, exist_ok=True)
            rows = events[events["event"] == kind].iloc[number % 2 :: 2].drop(columns="event")
            rows.to_csv(place, index=False) if ending == "csv" else rows.to_parquet(place, index=False)

    assert_same_rows(*prepared_twice(config(EventsSource(path=str(tmp_path / "data"))), tmp_path))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_rows_that_the_source_holds_out_and_items_of_their_own(ending: str, tmp_path: Path) -> None:
    events = frame()
    paths = {}
    for name, rows in (("path", events[:2000]), ("validation_path", events[2000:2400]), ("test_path", events[2400:])):
        paths[name] = str(tmp_path / f"{name}.{ending}")
        write = rows.to_csv if ending == "csv" else rows.to_parquet
        write(paths[name], index=False)
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(200)], "title": "t", "genres": "A|B", "price": 3.5})
    items.to_csv(tmp_path / "items.tsv", index=False, sep="\t")

    users = pd.DataFrame({"user_id": [f"u{n}" for n in range(100)], "age": 30.5, "role": "guest"})
    users.to_csv(tmp_path / "users.csv", index=False)

    source = EventsSource(**paths, items_path=str(tmp_path / "items.tsv"), users_path=str(tmp_path / "users.csv"))

    for catalogue in ("all", "with-events"):
        assert_same_rows(*prepared_twice(config(source, catalogue=catalogue), tmp_path / catalogue))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_files_whose_names_look_like_patterns(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "a [b]* 'c'?"
    folder.mkdir()
    frame().to_csv(folder / "e.csv", index=False) if ending == "csv" else frame().to_parquet(folder / "e.parquet")

    assert_same_rows(*prepared_twice(config(EventsSource(path=str(folder / f"e.{ending}"))), folder))


def test_of_a_source_that_is_read_whole(tmp_path: Path) -> None:
    frame().rename(columns={"event": "interaction_type"}).to_json(tmp_path / "e.jsonl", orient="records", lines=True)

    assert_same_rows(*prepared_twice(config(EventsSource(path=str(tmp_path / "e.jsonl"))), tmp_path))


@pytest.mark.integration
@pytest.mark.data
@pytest.mark.skipif(not SHARED, reason="RECSTAGE_SHARED_DATA names no folder")
@pytest.mark.parametrize("name", ["ml-100k", "ml-1m-ncf", "ml-1m-newcomers"])
def test_of_the_shared_data_sets(name: str, tmp_path: Path) -> None:
    wanted = check(DataConfig, config_of(name), name)

    prepared_twice(wanted, tmp_path)
