"""Preparing, caching and fingerprinting data sets."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recstage.config import DataConfig, EventsSource, MinimumConfig, SplitConfig, SyntheticSource
from recstage.data import dataset, sources
from recstage.data.dataset import Dataset, fingerprint_of, load
from recstage.data.interactions import Interactions
from recstage.errors import DataError, StoreError, TooLittleData

Writer = Callable[[str, str | bytes], Path]


def synthetic(**options: Any) -> DataConfig:
    values: dict[str, Any] = {
        "name": "tiny",
        "source": SyntheticSource(users=30, items=20, interactions=400),
        "weights": {"view": 0.1, "click": 0.3, "like": 0.7, "share": 1.0},
        "split": SplitConfig(negatives=5),
    }
    return DataConfig(**{**values, **options})


def events_config(path: Path, **options: Any) -> DataConfig:
    values: dict[str, Any] = {
        "name": "shop",
        "source": EventsSource(path=str(path)),
        "weights": {"view": 1.0},
        "minimum": MinimumConfig(interactions=1),
    }
    return DataConfig(**{**values, **options})


def table_of(users: int = 4, items: int = 5) -> str:
    rows = [f"u{user},i{item},{1_700_000_000 + 10 * item + user}" for user in range(users) for item in range(items)]
    return "\n".join(["user_id,item_id,timestamp", *rows]) + "\n"


def assert_equal(a: Dataset, b: Dataset) -> None:
    assert (a.name, a.fingerprint, a.time_is_clock, a.report) == (b.name, b.fingerprint, b.time_is_clock, b.report)
    assert (a.split.method, a.split.left_out) == (b.split.method, b.split.left_out)
    for part in ("train", "validation", "test"):
        mine: Interactions = getattr(a.split, part)
        theirs: Interactions = getattr(b.split, part)
        assert mine.fingerprint == theirs.fingerprint
        assert len(mine) > 0
        for column in ("user_index", "item_index", "weight", "timestamp"):
            assert getattr(mine, column).dtype == getattr(theirs, column).dtype
    assert a.split.negatives is not None
    assert b.split.negatives is not None
    assert np.array_equal(a.split.negatives, b.split.negatives)
    assert a.catalogue.to_frame().equals(b.catalogue.to_frame())
    assert a.catalogue.categories == b.catalogue.categories


def prepared_folder(cache: Path) -> Path:
    (folder,) = (path for path in cache.iterdir() if not path.name.startswith("."))
    return folder


# -- the cache -------------------------------------------------------------------------------------------------------


def test_the_cache_gives_back_what_was_prepared(tmp_path: Path) -> None:
    made = load(synthetic(), cache=tmp_path)

    assert_equal(load(synthetic(), cache=tmp_path), made)


def test_the_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(synthetic(), cache=tmp_path)
    monkeypatch.setattr(sources, "read", lambda config: pytest.fail("the source was read again"))

    load(synthetic(), cache=tmp_path)


def test_the_cache_is_parquet_under_name_and_fingerprint(tmp_path: Path) -> None:
    made = load(synthetic(name="my data (set)"), cache=tmp_path)

    folder = prepared_folder(tmp_path)
    assert folder.name == f"my-data-set-{made.fingerprint}"
    assert {file.suffix for file in folder.iterdir()} == {".parquet", ".json", ".html"}


def flip_a_byte(folder: Path) -> None:
    file = folder / "train.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def truncate(folder: Path) -> None:
    (folder / "train.parquet").write_bytes((folder / "train.parquet").read_bytes()[:100])


def lose_a_file(folder: Path) -> None:
    (folder / "users.parquet").unlink()


def lose_the_contents(folder: Path) -> None:
    (folder / "dataset.json").unlink()


def garble_the_contents(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"files": 3')


def forget_a_field(folder: Path) -> None:
    contents = json.loads((folder / "dataset.json").read_text())
    del contents["method"]
    (folder / "dataset.json").write_text(json.dumps(contents))


@pytest.mark.parametrize(
    "damage", [flip_a_byte, truncate, lose_a_file, lose_the_contents, garble_the_contents, forget_a_field]
)
def test_a_damaged_cache_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    made = load(synthetic(), cache=tmp_path)
    damage(prepared_folder(tmp_path))

    assert_equal(load(synthetic(), cache=tmp_path), made)
    assert (prepared_folder(tmp_path) / "dataset.json").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_killed_process_left_does_not_matter(tmp_path: Path) -> None:
    made = load(synthetic(), cache=tmp_path)
    folder = prepared_folder(tmp_path)
    folder.rename(tmp_path / f".{folder.name}.partial")

    assert_equal(load(synthetic(), cache=tmp_path), made)
    assert not list(tmp_path.glob(".*.partial"))


def test_a_failure_while_preparing_leaves_nothing(tmp_path: Path, write: Writer) -> None:
    cache = tmp_path / "cache"
    path = write("e.csv", "user_id,item_id\nu,a\n")

    with pytest.raises(TooLittleData):
        load(events_config(path), cache=cache)

    assert [entry.name for entry in cache.iterdir()] == [".locks"]


def test_a_disk_that_fills_up_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recstage.data.cache.pq.write_table", full)

    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)\. Free space"):
        load(synthetic(), cache=tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == [".locks"]


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"the data cache .*file/data: cannot be written"):
        load(synthetic(), cache=tmp_path / "file" / "data")


def _load_in_a_process(cache: str, counter: Any, barrier: Any, results: Any) -> None:
    original = dataset.prepare

    def counted(config: DataConfig, fingerprint: str) -> Dataset:
        with counter.get_lock():
            counter.value += 1
        return original(config, fingerprint)

    dataset.prepare = counted
    barrier.wait()
    results.put(load(synthetic(), cache=Path(cache)).split.train.fingerprint)


def test_two_processes_at_once_prepare_it_once_and_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    counter, barrier, results = context.Value("i", 0), context.Barrier(3), context.Queue()
    arguments = (str(tmp_path), counter, barrier, results)
    processes = [context.Process(target=_load_in_a_process, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)

    assert len(set(found)) == 1
    assert counter.value == 1


# -- the fingerprint -------------------------------------------------------------------------------------------------


def test_name_strictness_and_place_do_not_change_the_fingerprint(write: Writer) -> None:
    here, there = write("here/e.csv", table_of()), write("there/f.csv", table_of())

    fingerprints = {
        fingerprint_of(events_config(here)),
        fingerprint_of(events_config(there)),
        fingerprint_of(events_config(here, name="other", strict=True)),
        fingerprint_of(
            events_config(here, split=SplitConfig(newcomer_rows=9))
        ),  # without cold-start users it changes nothing
    }

    assert len(fingerprints) == 1


def test_content_weights_split_and_generator_change_the_fingerprint(write: Writer) -> None:
    path, other = write("e.csv", table_of()), write("f.csv", table_of(items=6))
    configs = [
        events_config(path),
        events_config(other),
        events_config(path, weights={"view": 2.0}),
        events_config(path, aggregate="max"),
        events_config(path, split=SplitConfig(method="ratio")),
        events_config(path, split=SplitConfig(newcomers=0.5)),
        events_config(path, split=SplitConfig(newcomers=0.5, newcomer_rows=9)),
        synthetic(),
        synthetic(source=SyntheticSource(users=30, items=20, interactions=400, seed=1)),
    ]

    assert len({fingerprint_of(config) for config in configs}) == len(configs)


def test_large_files_are_told_apart_by_size_and_samples(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "WHOLE", 1 << 20)
    content = b"user_id,item_id\n" + b"u,i\n" * 400_000
    changed = content[:-4] + b"u,j\n"
    paths = [
        write("a.csv", content),
        write("b.csv", content),
        write("c.csv", changed),
        write("d.csv", content + b"u,i\n"),
    ]

    first, same, other, longer = (fingerprint_of(events_config(path)) for path in paths)

    assert first == same
    assert len({first, other, longer}) == 3


def test_a_new_version_of_the_code_prepares_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint_of(synthetic())
    monkeypatch.setattr(dataset, "FORMAT", dataset.FORMAT + 1)

    assert fingerprint_of(synthetic()) != before


# -- what is refused, dropped, reported ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        (1, 5, "shop: 1 user: the data set's minimum.users is 2. Give more data"),
        (5, 1, "shop: 1 item: the data set's minimum.items is 2. Give more data"),
    ],
)
def test_one_user_or_one_item_is_too_little(
    users: int, items: int, message: str, write: Writer, tmp_path: Path
) -> None:
    with pytest.raises(TooLittleData, match=message):
        load(events_config(write("e.csv", table_of(users, items))), cache=tmp_path / "cache")


def test_fewer_interactions_than_the_minimum_are_refused(write: Writer, tmp_path: Path) -> None:
    config = events_config(write("e.csv", table_of(3, 3)), minimum=MinimumConfig(interactions=10))

    with pytest.raises(
        TooLittleData,
        match=r"shop: 9 interactions: the data set's minimum\.interactions is 10\. "
        r"Give more data, or lower minimum\.interactions",
    ):
        load(config, cache=tmp_path / "cache")


def test_bad_rows_are_counted_in_the_report_and_said_once(
    write: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write("e.csv", table_of() + ",i1,1700000000\nu1,i2\n")

    with caplog.at_level(logging.WARNING):
        report = load(events_config(path), cache=tmp_path / "cache").report

    assert report["dropped"] == {"wrong number of fields": 1, "missing user_id": 1}
    assert report["rows"] == 22
    assert report["pairs"] == 20
    assert "shop: dropped 1 of 22 rows: missing user_id (line 22: user (none), item i1)" in caplog.text


def test_strict_refuses_bad_rows_even_when_the_cache_has_the_lenient_data(write: Writer, tmp_path: Path) -> None:
    path = write("e.csv", table_of() + "u1,i2\n")
    load(events_config(path), cache=tmp_path / "cache")

    with pytest.raises(DataError, match="strict data sets have no bad row"):
        load(events_config(path, strict=True), cache=tmp_path / "cache")


def test_a_variable_in_a_path_is_replaced(write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("e.csv", table_of())
    monkeypatch.setenv("MY_DATA", str(path.parent))

    config = events_config(Path("${MY_DATA}/e.csv"))

    assert load(config, cache=tmp_path / "cache").split.train.n_users == 4


def test_an_unset_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_DATA", raising=False)

    with pytest.raises(
        DataError,
        match=r"source\.path = \$\{MY_DATA\}/e\.csv: the environment variable MY_DATA is not set\. Set it to",
    ):
        load(events_config(Path("${MY_DATA}/e.csv")), cache=tmp_path)


def test_items_that_are_not_there_are_named(write: Writer, tmp_path: Path) -> None:
    source = EventsSource(path=str(write("e.csv", table_of())), items_path=str(tmp_path / "none.csv"))

    with pytest.raises(DataError, match=r"source\.items_path = .*none\.csv: no such file or folder"):
        load(events_config(tmp_path, source=source), cache=tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(write: Writer, tmp_path: Path) -> None:
    path = write("e.csv", table_of())
    path.chmod(0)

    with pytest.raises(DataError, match="cannot be read"):
        load(events_config(path), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("given", "told"), [(True, "the test rows are those given"), (False, "split ratio draws by its seed")]
)
def test_data_without_an_order_tell_where_their_test_rows_come_from(tmp_path, caplog, given, told):
    rows = [f"u{user},i{item}" for user in range(8) for item in range(6)]
    events, test = tmp_path / "events.csv", tmp_path / "test.csv"
    events.write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    test.write_text("user_id,item_id\n" + "\n".join(f"u{user},i6" for user in range(8)) + "\n")
    source = EventsSource(path=str(events), default_type="view", **({"test_path": str(test)} if given else {}))
    split = SplitConfig(method="given" if given else "ratio")
    with caplog.at_level(logging.WARNING):
        load(events_config(events, source=source, split=split), cache=tmp_path / "data")
    assert f"unordered (nothing says what came first): {told}, recency" in caplog.text
