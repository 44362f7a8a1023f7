"""Tables of a database out of core: streamed to Parquet, then read in blocks, and the same to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine

from recstage.config import EventsSource
from recstage.data.tables import database
from recstage.errors import StoreError
from tests import postgres_servers
from tests.data.out_of_core.prepared_twice import assert_same_rows, config, prepared_twice
from tests.data.out_of_core.test_same_data_set import frame

pytest.importorskip("duckdb", reason="the engine is the extra `scale`")


def events() -> pd.DataFrame:
    """Times as the database types them, and values that are null where there is none."""
    found = frame()
    times = pd.to_datetime(found["timestamp"].where(found["timestamp"] < 3e9), unit="s")
    return found.assign(timestamp=times + pd.to_timedelta(range(len(found)), unit="us"))


def streamed(url: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert_same_rows(*prepared_twice(config(EventsSource(path=url)), folder))
    assert "read in memory before" not in caplog.text


def test_of_sqlite(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    events().to_sql("orders", engine, index=False)
    engine.dispose()
    streamed(f"sqlite:///{tmp_path / 'shop.db'}#orders", tmp_path / "cache", caplog)


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgres_servers.Server]:
    with postgres_servers.primary("recstage") as server:
        engine = create_engine(server.url().replace("postgresql:", "postgresql+psycopg:", 1))
        events().to_sql("orders", engine, index=False)
        engine.dispose()
        yield server


@pytest.mark.integration
def test_of_postgresql(postgres: postgres_servers.Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    streamed(f"{postgres.url()}#orders", tmp_path, caplog)


@pytest.mark.integration
@pytest.mark.parametrize("failure", ["the backend is terminated", "the server restarts", "the server dies"])
def test_a_server_that_fails_in_the_middle_is_one_line_and_leaves_nothing_half_done(
    failure: str, postgres: postgres_servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, read = f"{postgres.url()}#orders", database._batch
    blocks = []

    def failing(rows, schema):
        blocks.append(len(rows))
        if len(blocks) == 2:
            if failure == "the backend is terminated":
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'recstage'"
                assert postgres.execute(ended) == [(True,)]
            elif failure == "the server restarts":
                postgres.restart()
            else:
                postgres.stop("immediate")
        return read(rows, schema)

    monkeypatch.setattr(database, "ROWS_AT_ONCE", 500)
    whole = database.snapshot(url, tmp_path / "before")
    with monkeypatch.context() as patch:
        patch.setattr(database, "_batch", failing)
        with pytest.raises(StoreError, match="the server ended the connection in the middle .* run again") as told:
            database.snapshot(url, tmp_path / "after")
    assert "\n" not in str(told.value)
    assert len(blocks) < 3060 // 500
    assert list((tmp_path / "after").iterdir()) == []
    if failure == "the server dies":
        with pytest.raises(StoreError, match="cannot be read"):
            database.snapshot(url, tmp_path / "after")
        postgres.start()
    again = database.snapshot(url, tmp_path / "after")
    assert (again.name, again.read_bytes()) == (whole.name, whole.read_bytes())
