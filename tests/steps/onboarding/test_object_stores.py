"""A first look at a table in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recstage.config import DataConfig, check, named_yaml
from recstage.data import dataset
from recstage.errors import StoreError
from tests import object_stores
from tests.steps.onboarding.shops import first_look, rows_of_a_shop


@pytest.fixture
def bucket(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with object_stores.running() as address:
        object_stores.environment(monkeypatch, address)
        with object_stores.bucket(address, "shop") as found:
            yield found


def test_parts_of_a_table_in_a_bucket(bucket, workspace):
    frame = pd.DataFrame(rows_of_a_shop(), columns=["kunde_id", "artikel", "bestellt_am", "status"])
    half = len(frame) // 2
    for number, part in enumerate((frame[:half], frame[half:]), 1):
        bucket.put_object(Key=f"orders/part-{number}.csv", Body=part.to_csv(index=False).encode())
    items = pd.DataFrame({"artikel": frame["artikel"].unique()}).assign(titel="Ding")
    bucket.put_object(Key="items.csv", Body=items.to_csv(index=False).encode())
    result = first_look("s3://shop/orders/", "--name", "bucket", "--items", "s3://shop/items.csv", "--s3_timeout", "9")
    assert result.columns["user_id"] == "kunde_id"
    written = named_yaml("data", "bucket")
    source = written["source"]
    assert (source["path"], source["items_path"]) == ("s3://shop/orders/", "s3://shop/items.csv")
    assert source["s3_timeout"] == 9
    loaded = dataset.load(check(DataConfig, {"name": "bucket", **written}, "bucket"), cache=workspace / "cache")
    assert loaded.report["rows"] == len(frame)
    assert loaded.report["items_joined"] == len(items)


def test_a_store_that_is_away_is_one_line(workspace, monkeypatch):
    object_stores.environment(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="s3://shop/orders: the object store http://127.0.0.1:9 cannot be reached"):
        first_look("s3://shop/orders")
    assert not (workspace / "conf" / "data" / "orders.yaml").exists()
