"""Users files and the context of events: read, aligned, kept in the cache, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recstage.config import DataConfig, EventsSource, MovieLensSource, check
from recstage.data import dataset
from recstage.data.sources import user_files
from recstage.data.tables.values.columns import stacked
from recstage.errors import DataError

EVENTS = """user,item,time,type,device
ann,i1,1700000000,like,phone
ann,i2,1700000100,like,desk
ann,i2,1700000200,like,phone
bob,i1,1700000300,like,
bob,i3,1700000400,like,desk
eve,i2,1700000500,like,desk
eve,i3,1700000600,like,phone
"""
USERS = """customer,age,role,member
bob,41,editor,yes
ann,,reader,no
bob,42,editor,yes
zoe,20,reader,no
"""


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "users.csv").write_text(USERS)
    source = EventsSource(
        path=str(tmp_path / "events.csv"), users_path=str(tmp_path / "users.csv"), context={"device": "device"}
    )
    values = {"name": "shop", "source": source.model_dump(), "weights": {"like": 1.0}}
    return check(DataConfig, {**values, "minimum": {"interactions": 2}, "split": {"method": "leave-one-out"}}, "shop")


def test_attributes_and_context_come_through_the_cache(config, tmp_path):
    made, kept = (dataset.load(config, cache=tmp_path / "data") for _ in range(2))
    for found in (made, kept):
        rows = found.split.train_and_validation.union(found.split.test)
        assert rows.users.ids.tolist() == ["ann", "bob", "eve"]
        np.testing.assert_array_equal(rows.profiles["age"], [np.nan, 42, np.nan])
        assert rows.profiles["role"].tolist() == ["reader", "editor", None]
        assert rows.profiles["member"].tolist() == ["false", "true", None]
        frame = rows.to_frame().assign(device=rows.context["device"]).set_index(["user_id", "item_id"])
        assert frame.loc[("ann", "i2"), "device"] == "phone"  # of two events the last
        assert pd.isna(frame.loc[("bob", "i1"), "device"])
    assert made.report["user_attributes"] == {"age": "number", "role": "text", "member": "text"}
    assert made.report["context"] == {"device": "text"}
    assert any("1 rows without an id, or of a user who has a later one" in note for note in made.report["notes"])


def test_other_attributes_are_another_data_set_and_none_is_the_one_of_earlier_versions(config, tmp_path):
    plain = config.model_copy(update={"source": config.source.model_copy(update={"users_path": None, "context": {}})})
    known = {dataset.fingerprint_of(one) for one in (config, plain)}
    (tmp_path / "users.csv").write_text(USERS.replace("41", "40"))
    assert len(known | {dataset.fingerprint_of(config)}) == 3


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("customer,age\nx1,3\nx2,4\n", "0 of 3 users are in the users file.*ids of events and users"),
        ("age,role\n3,editor\n4,reader\n", "users need a column of ids"),
        ("customer,role\nann,\nbob,\n", "says nothing of the users but their ids"),
    ],
)
def test_a_users_file_that_fits_nothing_is_one_line(config, tmp_path, text, rule):
    (tmp_path / "users.csv").write_text(text)
    with pytest.raises(DataError, match=rule):
        dataset.load(config, cache=tmp_path / "data")


def test_a_column_of_context_that_is_not_there_is_one_line_with_those_that_are(config, tmp_path):
    source = config.source.model_copy(update={"context": {"device": "devise"}})
    with pytest.raises(DataError, match=r"source.context.device = devise: .*no such column.*Did you mean 'device'"):
        dataset.load(config.model_copy(update={"source": source}), cache=tmp_path / "data")


def test_the_releases_of_movielens_tell_of_their_users_without_addresses(tmp_path):
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    old = user_files.users_of(MovieLensSource(users_path=str(tmp_path / "u.user"))).frame
    new = user_files.users_of(MovieLensSource(users_path=str(tmp_path / "users.dat"))).frame
    assert old.to_dict("list") == {
        "user_id": ["1", "2"],
        "age": [24.0, 53.0],
        "gender": ["M", "F"],
        "occupation": ["technician", "other"],
    }
    assert new["occupation"].tolist() == ["occupation 10", "occupation 16"]
    assert new["age"].tolist() == [1.0, 56.0]


def test_columns_of_several_tables_are_missing_where_one_lacks_them():
    found = stacked([({"age": np.array([3.0])}, 1), ({"role": np.array(["a"], object)}, 1), ({}, 1)])
    np.testing.assert_array_equal(found["age"], [3, np.nan, np.nan])
    assert found["role"].tolist() == [None, "a", None]
    mixed = stacked([({"age": np.array([3.0])}, 1), ({"age": np.array(["old"], object)}, 1)])
    assert mixed["age"].tolist() == ["3", "old"]
