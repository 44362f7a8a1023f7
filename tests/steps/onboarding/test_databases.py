"""A first look at a table or a query of a database."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from recstage.config import DataConfig, check, named_yaml
from recstage.data import dataset
from recstage.errors import DataError, StoreError
from tests.steps.onboarding.shops import first_look, rows_of_a_shop

TABLE = "recstage_shop_orders"


def orders() -> pd.DataFrame:
    frame = pd.DataFrame(rows_of_a_shop(), columns=["kunde_id", "artikel", "bestellt_am", "status"])
    return frame.assign(bestellt_am=pd.to_datetime(frame["bestellt_am"]))


@pytest.fixture
def sqlite(workspace: Path) -> str:
    url = f"sqlite:///{workspace / 'shop.db'}"
    engine = create_engine(url)
    orders().to_sql(TABLE, engine, index=False)
    orders().head(3).to_sql("other", engine, index=False)
    engine.dispose()
    return url


@pytest.fixture
def postgres(workspace: Path) -> str:
    url = os.environ.get("RECSTAGE_TEST_POSTGRES_URL", "")
    if not url:
        pytest.skip("RECSTAGE_TEST_POSTGRES_URL is not set")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    orders().to_sql(TABLE, engine, index=False, if_exists="replace")
    yield url
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {TABLE}"))
    engine.dispose()


def looks(url: str) -> None:
    result = first_look(f"{url}#{TABLE}", "--name", "table")
    assert result.columns == {
        "user_id": "kunde_id",
        "item_id": "artikel",
        "timestamp": "bestellt_am",
        "interaction_type": "status",
    }
    assert (result.profile.rows, result.profile.kept) == (600, 600)
    assert named_yaml("data", "table")["source"]["table"] == TABLE
    assert dataset.load(check(DataConfig, dataset.config_of("table"), "table")).report["kept"] == 600
    query = f"SELECT kunde_id, artikel FROM {TABLE} WHERE status <> 'pageview'"
    asked = first_look(url, "--name", "query", "--query", query)
    assert asked.split == "ratio"
    assert asked.profile.rows == sum(row[3] != "pageview" for row in rows_of_a_shop())


def test_a_table_and_a_query_of_sqlite(sqlite: str) -> None:
    looks(sqlite)


def test_a_table_and_a_query_of_postgresql(postgres: str) -> None:
    looks(postgres)


def test_several_tables_are_listed_and_what_is_not_there_is_told(sqlite: str, workspace: Path) -> None:
    with pytest.raises(DataError, match=f"2 of its tables could be the one of events.*other, {TABLE}"):
        first_look(sqlite)
    with pytest.raises(DataError, match="no such file"):
        first_look(f"sqlite:///{workspace / 'nothing.db'}#x")
    with pytest.raises(StoreError, match="cannot be read"):
        first_look("postgresql://shop@127.0.0.1:9/shop#orders")
    with pytest.raises(DataError, match="with a password"):
        first_look("postgresql://shop:secret@127.0.0.1:9/shop#orders")
