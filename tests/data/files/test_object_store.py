"""Sources on an S3-compatible store: moto's server, and stand-ins that are slow, refuse or break off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from recstage.config import EventsSource
from recstage.data import sources
from recstage.data.dataset import config_of, fingerprint_of, load
from recstage.data.files import object_store
from recstage.data.files.object_copies import copied
from recstage.errors import ConfigError, DataError, StoreError
from tests import object_stores
from tests.data.out_of_core.prepared_twice import config


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with object_stores.running() as address:
        yield address


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    object_stores.environment(monkeypatch)
    monkeypatch.setattr(object_store, "PAUSE", 0.01)


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The empty bucket `shop` of a store that the environment names."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", server)
    with object_stores.bucket(server, "shop") as found:
        yield found


class StandIn(BaseHTTPRequestHandler):
    """A store that does what `mode` says."""

    mode: ClassVar[str] = ""
    asked: ClassVar[int] = 0

    def do_HEAD(self) -> None:
        StandIn.asked += 1
        if self.mode == "silent":
            time.sleep(3)
        elif self.mode == "refuses":
            self._answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        elif self.mode == "truncates":
            self._answer(200, b"user,item\n1,2\n", length=1000)
        elif self.mode == "fails":
            self._answer(503, b"<Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>")

    do_GET = do_HEAD

    def _answer(self, status: int, body: bytes, length: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output stays clean."""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
    StandIn.asked = 0
    yield address
    server.shutdown()
    server.server_close()


def events(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 20, n).astype(str),
            "item_id": rng.integers(0, 30, n).astype(str),
            "timestamp": 1_600_000_000 + rng.integers(0, 1_000_000, n),
            "interaction_type": rng.choice(["view", "like"], n),
        }
    )


def stored(bucket, folder: Path, ending: str) -> None:
    """Two parts, in a folder and in the bucket, with a marker and an image beside them."""
    for part in range(2):
        place = folder / "day=1" / f"part-{part}.{ending}"
        place.parent.mkdir(parents=True, exist_ok=True)
        frame = events(seed=part)
        frame.to_parquet(place) if ending == "parquet" else frame.to_csv(place, index=False)
        bucket.upload_file(str(place), f"logs/day=1/{place.name}")
    bucket.put_object(Key="logs/_SUCCESS", Body=b"")
    bucket.put_object(Key="logs/.hidden", Body=b"x")


@pytest.mark.parametrize(
    ("what", "ending", "engine"),
    [
        ("logs", "parquet", "memory"),
        ("logs/day=1/*.parquet", "parquet", "duckdb"),
        ("logs/", "csv", "duckdb"),
        ("logs/**/part-*", "csv", "memory"),
    ],
)
def test_a_data_set_of_a_bucket_is_that_of_the_same_files_on_disk(bucket, tmp_path, ending, engine, what):
    if engine == "duckdb":
        pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'recstage[scale]'")
    stored(bucket, tmp_path / "logs", ending)
    here = load(config(EventsSource(path=str(tmp_path / "logs")), engine=engine), cache=tmp_path / "here")
    wanted = config(EventsSource(path=f"s3://shop/{what}", s3_timeout=20), engine=engine)
    there = load(wanted, cache=tmp_path / "there")
    assert there.fingerprint == here.fingerprint
    ours, theirs = (
        {file.name: file.read_bytes() for file in (tmp_path / name).glob("shop-*/*") if file.suffix != ".html"}
        for name in ("here", "there")
    )
    assert ours == theirs


def test_one_object_is_copied_once_and_again_when_it_changes(bucket, tmp_path, monkeypatch):
    bucket.put_object(Key="a/shop.csv", Body=b"user,item\n1,2\n")
    first = copied("s3://shop/a/shop.csv", tmp_path, 5)
    assert (first.name, first.read_bytes()) == ("shop.csv", b"user,item\n1,2\n")
    with monkeypatch.context() as nothing_is_read:
        nothing_is_read.setattr(object_store.ObjectStore, "read", None)
        assert copied("s3://shop/a/shop.csv", tmp_path, 5) == first
    bucket.put_object(Key="a/shop.csv", Body=b"user,item\n3,4\n")  # as many bytes, and within the same second
    second = copied("s3://shop/a/shop.csv", tmp_path, 5)
    assert second.read_bytes() == b"user,item\n3,4\n"
    assert first.read_bytes() == b"user,item\n1,2\n"


def test_what_was_copied_before_a_break_is_not_copied_again(bucket, tmp_path, monkeypatch):
    for part in "abc":
        bucket.put_object(Key=f"logs/{part}.csv", Body=part.encode() * 10)
    read, was_read = object_store.ObjectStore.read, []

    def breaking(store, one):
        was_read.append(one.path[-5])
        if was_read == ["a", "b"]:
            raise StoreError(one.path, rule="is truncated", fix="Run again")
        return read(store, one)

    monkeypatch.setattr(object_store.ObjectStore, "read", breaking)
    with pytest.raises(StoreError, match="truncated"):
        copied("s3://shop/logs", tmp_path, 5)
    copied("s3://shop/logs", tmp_path, 5)
    assert was_read == ["a", "b", "b", "c"]
    assert not [*tmp_path.rglob(".part-*"), *tmp_path.rglob(".partial-*")]


def test_an_object_that_is_replaced_while_it_is_read_is_told(bucket):
    bucket.put_object(Key="a.csv", Body=b"user,item\n1,2\n")
    store = object_store.ObjectStore("s3://shop/a.csv", 5)
    (listed,) = store.objects()
    bucket.put_object(Key="a.csv", Body=b"user,item\n1,3\n")
    with pytest.raises(StoreError, match=r"s3://shop/a.csv: was replaced while it was read"):
        list(store.read(listed))


def test_a_connection_that_breaks_once_is_taken_up_where_it_broke(bucket, tmp_path, monkeypatch):
    bucket.put_object(Key="a.csv", Body=b"0123456789")
    monkeypatch.setattr(object_store, "CHUNK", 4)
    store = object_store.ObjectStore("s3://shop/a.csv", 5)
    (listed,) = store.objects()
    asked, ask = [], store._asked
    broken = iter([False, False, True])

    def breaking(question):
        def once():
            answer = question()
            if isinstance(answer, bytes):
                asked.append(answer)
                if next(broken, False):
                    raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 18, partial file")
            return answer

        return ask(once)

    monkeypatch.setattr(store, "_asked", breaking)
    assert b"".join(store.read(listed)) == b"0123456789"
    assert asked == [b"0123", b"4567", b"89", b"89"]


def test_a_key_that_leads_out_of_the_folder_is_refused(bucket, tmp_path, monkeypatch):
    bucket.put_object(Key="a.csv", Body=b"0123456789")
    outside = object_store.StoredObject("shop/../../a.csv", "x", 10)
    monkeypatch.setattr(object_store.ObjectStore, "objects", lambda self: [outside])
    with pytest.raises(DataError, match=r"s3://shop/\.\./\.\./a.csv: a key with empty or dotted folders"):
        copied("s3://shop", tmp_path, 5)


def test_the_items_file_may_lie_in_a_bucket_too(bucket, tmp_path):
    bucket.put_object(Key="items.csv", Body=b"item_id,title\n1,One\n")
    events().to_csv(tmp_path / "events.csv", index=False)
    source = EventsSource(path=str(tmp_path / "events.csv"), items_path="s3://shop/items.csv")
    assert sources.read(sources.located(source, tmp_path)).items.title.tolist() == ["One"]


def test_the_time_limit_is_no_part_of_the_fingerprint(tmp_path):
    events().to_csv(tmp_path / "events.csv", index=False)
    one, other = (fingerprint_of(config(EventsSource(path=str(tmp_path / "events.csv"), s3_timeout=s))) for s in (1, 9))
    assert one == other


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("s3://none/logs", r"s3://none/logs: the object store http://\S+ has no bucket 'none'. Correct the URL, or"),
        ("s3://none/a.csv", r"s3://none/a.csv: the object store http://\S+ has no bucket 'none'. Correct"),
        ("s3://shop/none", r"s3://shop/none: no such object or folder. Correct the URL"),
        ("s3://shop/none-*.csv", r"none-\*.csv: no object matches it. Correct the URL"),
        ("s3://", "an s3:// URL: names a bucket and what lies in it"),
        ("s3://key:secret@shop/logs", "an s3:// URL: names a bucket .* keys come from AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_not_there_is_one_line(bucket, tmp_path, url, line):
    with pytest.raises(DataError, match=line) as told:
        copied(url, tmp_path, 5)
    assert "secret@" not in str(told.value)


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("silent", r"the object store http://\S+ was silent for 1 seconds. Try again later, or raise source.s3_t"),
        ("refuses", r"refuses access. Put keys that may list and read the bucket into AWS_ACCESS_KEY_ID"),
        ("truncates", r"is truncated: .*. Run again, or store the object again"),
        ("fails", r"cannot be read \(.*503.*\). Try again later, or see that the store is well"),
    ],
)
def test_a_store_that_misbehaves_is_one_line(stand_in, tmp_path, mode, line):
    StandIn.mode = mode
    with pytest.raises(StoreError, match=line) as told:
        copied("s3://shop/logs/events.csv", tmp_path, 1)
    assert str(told.value).startswith("s3://shop/logs/events.csv: ")
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("events.csv"))
    if mode == "fails":
        assert StandIn.asked == object_store.ATTEMPTS


def test_a_store_that_is_away_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    line = r"s3://shop/logs: the object store http://127.0.0.1:9 cannot be reached. Start it, or correct the address"
    with pytest.raises(StoreError, match=line):
        copied("s3://shop/logs", tmp_path, 5)


def test_an_address_that_is_none_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "objects:9000")
    with pytest.raises(ConfigError, match="MLFLOW_S3_ENDPOINT_URL = objects:9000: it is no address"):
        copied("s3://shop/logs", tmp_path, 5)


def test_a_url_is_a_data_set_of_events_named_by_its_last_folder():
    for url, name in (("s3://shop/logs/2026", "2026"), ("s3://shop/a/b.csv.gz", "b"), ("s3://shop/logs/*.csv", "logs")):
        found = config_of(url)
        assert (found["name"], found["source"]["kind"], found["source"]["path"]) == (name, "events", url)
