"""What goes wrong while a data set is prepared out of core is one line, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recstage.config import DataConfig, EventsSource, SyntheticSource
from recstage.data.dataset import load
from recstage.data.out_of_core import arrays, engine
from recstage.data.out_of_core.arrays import ArrayFile, RowGroups
from recstage.errors import DataError, OutOfMemory, RecstageError, StoreError, TooLittleData
from tests.data.out_of_core.prepared_twice import config

duckdb = pytest.importorskip("duckdb", reason="the engine is the extra `scale`")


def generated() -> DataConfig:
    return config(SyntheticSource(users=50, items=40, interactions=900), engine="duckdb")


def assert_nothing_is_left(cache: Path) -> None:
    assert [entry.name for entry in cache.iterdir()] == [".locks"]


def test_a_disk_that_fills_up_under_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrays.PartFiles, "append", full)

    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)\. Free space"):
        load(generated(), cache=tmp_path)
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (duckdb.IOException("IO Error: could not write block: No space left on device"), StoreError, "is full"),
        (duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block"), OutOfMemory, "Raise memory"),
        (duckdb.IOException("IO Error: file ended"), DataError, r"cannot be read \(IO Error: file ended\)"),
        (duckdb.InvalidInputException("Invalid Input Error: odd"), DataError, "Set engine to memory"),
    ],
)
def test_what_the_engine_raises(
    error: Exception, kind: type[RecstageError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(engine.Engine, "batches", fails)

    with pytest.raises(kind, match=message) as refused:
        load(generated(), cache=tmp_path)
    assert "\n" not in str(refused.value)
    assert_nothing_is_left(tmp_path)


def test_a_folder_with_two_schemas(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pd.DataFrame({"user_id": ["u"], "item_id": ["i"]}).to_parquet(folder / "part-1.parquet")
    pd.DataFrame({"user_id": ["u"], "item_id": ["i"], "rating": [1.0]}).to_parquet(folder / "part-2.parquet")

    with pytest.raises(DataError, match="must hold one table of events or parts with the same columns, and has 2"):
        load(config(EventsSource(path=str(folder)), engine="duckdb"), cache=tmp_path / "cache")
    assert_nothing_is_left(tmp_path / "cache")


def test_types_without_a_weight_and_too_few_rows(tmp_path: Path) -> None:
    events = pd.DataFrame({"user_id": list("aabb"), "item_id": list("xyxy"), "timestamp": np.arange(4) + 1_700_000_000})
    events.assign(event=["view", "odd", "odd", "even"]).to_csv(tmp_path / "e.csv", index=False)
    wanted = config(EventsSource(path=str(tmp_path / "e.csv")), engine="duckdb")

    with pytest.raises(DataError, match=r"shop: odd \(2\), even \(1\): these interaction types have no weight"):
        load(wanted, cache=tmp_path / "cache")
    events[:2].assign(event="view").to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(TooLittleData, match="shop: 1 user: the data set's minimum"):
        load(wanted, cache=tmp_path / "cache")
    assert_nothing_is_left(tmp_path / "cache")


def test_a_strict_data_set_is_refused_with_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\n" + "u,i,1700000000\n" * 3 + ",i,1700000001\nu,i\n")
    told = []
    for name in ("memory", "duckdb"):
        wanted = config(EventsSource(path=str(tmp_path / "e.csv")), engine=name, strict=True)
        with pytest.raises(DataError) as refused:
            load(wanted, cache=tmp_path / "cache")
        told.append(str(refused.value))

    assert told[0] == told[1]


def test_an_array_file_is_read_back(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "a.npy", np.int32)
    file.append(np.arange(5))
    file.append(np.arange(3))
    file.close()

    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


def test_row_groups_are_those_of_a_table_that_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(arrays, "ROW_GROUP", 100)
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 50, 1234).astype(dtype) for name, dtype in arrays.COLUMNS.items()}
    pq.write_table(pa.table(columns), tmp_path / "once.parquet", compression="zstd", row_group_size=100)
    written = RowGroups(tmp_path / "blocks.parquet")
    for start in range(0, 1234, 170):
        written.append({name: values[start : start + 170] for name, values in columns.items()})
    written.close()

    assert (tmp_path / "blocks.parquet").read_bytes() == (tmp_path / "once.parquet").read_bytes()
