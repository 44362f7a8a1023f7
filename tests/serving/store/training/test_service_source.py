"""The service's database as a data set for training."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy.engine import URL

from recstage.config import DataConfig, ServiceSource
from recstage.data import dataset, sources
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap
from recstage.data.snapshots import extraction
from recstage.data.sources import service
from recstage.data.tables.values.columns import columns_of
from recstage.errors import DataError, StoreError, TooLittleData
from serving.store.db.connection import open_tool_engine
from serving.store.erasure.erasures import Erase
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.items import IngestItems, NewItem
from serving.store.repositories.users import PutProfile
from tests.serving.store.factories import event


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def source(url, monkeypatch) -> ServiceSource:
    monkeypatch.setenv(service.URL_VARIABLE, text_of(url))
    return ServiceSource()


def test_events_and_items_come_as_they_were_collected(source, do, tmp_path):
    moment = now_ms() - 1500
    do(IngestItems([NewItem("film", "A film", "about it", ("drama", "comedy")), NewItem("old", expires_at=1000)]))
    do(RecordEvents([event("ann", "film", "view", value=31.5, occurred_at=moment), event("bob", "book")]))
    raw = service.read(service.pinned(source, tmp_path))
    first = raw.events.iloc[0]
    assert (first.user_id, first.item_id, first.interaction_type, first.value) == ("ann", "film", "view", 31.5)
    assert first.timestamp == pytest.approx(moment / 1000)
    assert raw.time_is_clock
    items = raw.items.set_index("item_id")
    assert items.loc["film"].tolist() == ["A film", "about it", ["drama", "comedy"], True]
    assert items["available"].to_dict() == {"film": True, "book": True, "old": False}


def test_attributes_that_were_posted_are_those_of_the_catalogue_that_is_trained_on(source, url, do, tmp_path):
    posted = {"price": 9.5, "regions": ("DE", "AT"), "author": "Lem", "sale": True}
    do(IngestItems([NewItem("film", "A film", attributes=posted), NewItem("book", attributes={"price": 3.0})]))
    do(RecordEvents([event("ann", "film"), event("bob", "book"), event("bob", "other")]))
    with open_tool_engine(url).connect() as connection:
        read = [service.read(service.pinned(source, tmp_path)).items, service.read_from(connection).items]
    for items in read:
        catalogue = Catalogue.from_frame(items, IdMap(["book", "film", "other"]))
        assert catalogue.attribute_kinds == {"author": "text", "price": "number", "regions": "list", "sale": "boolean"}
        film = catalogue.attributes.iloc[1]
        assert (film["price"], film["author"], list(film["regions"]), bool(film["sale"])) == (
            9.5,
            "Lem",
            ["DE", "AT"],
            True,
        )
        assert catalogue.attributes["price"].tolist()[0] == 3.0
        assert catalogue.attributes.iloc[2].isna().all()


def test_more_events_than_are_read_at_once_come_in_order(source, do, monkeypatch, tmp_path):
    monkeypatch.setattr(extraction, "ROWS_AT_ONCE", 7)
    do(RecordEvents([event(f"u{i}", f"i{i}") for i in range(23)]))
    assert service.read(service.pinned(source, tmp_path)).events["user_id"].tolist() == [f"u{i}" for i in range(23)]


def test_users_who_opted_out_or_were_erased_are_not_trained_on(source, do, tmp_path):
    do(RecordEvents([event("ann"), event("bob"), event("eve")]))
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    do(Erase("bob", drop_queued=lambda user_id: 0))
    assert service.read(service.pinned(source, tmp_path)).events["user_id"].tolist() == ["eve"]


def test_a_pinned_source_reads_the_same_later(source, do, tmp_path):
    do(RecordEvents([event("ann"), event("bob")]))
    pinned = sources.located(source, tmp_path / "downloads")
    do(RecordEvents([event("eve")]))
    assert service.read(pinned).events["user_id"].tolist() == ["ann", "bob"]
    assert service.read(sources.located(pinned, tmp_path / "downloads")).events["user_id"].tolist() == ["ann", "bob"]


def test_the_fingerprint_changes_with_events_items_and_users(source, do, data, tmp_path):
    def fingerprint():
        return dataset.fingerprint_of(
            data.model_copy(update={"source": sources.located(source, tmp_path / "downloads")})
        )

    seen = [fingerprint(), fingerprint()]
    do(RecordEvents([event("ann")]))
    seen.append(fingerprint())
    do(IngestItems([NewItem("film", "A film")]))
    seen.append(fingerprint())
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    seen.append(fingerprint())
    assert seen[0] == seen[1]
    assert len(set(seen)) == 4


def test_what_was_collected_becomes_a_data_set_by_its_name(source, do, tmp_path):
    config = DataConfig(**dataset.config_of("service"))
    kinds = ["view", "click", "like", "save", "share"]
    moment = now_ms() - 1_000_000
    events = [event(f"u{i % 12}", f"i{i * 7 % 10}", kinds[i % 5], occurred_at=moment + i * 1000) for i in range(400)]
    do(RecordEvents(events))
    made = dataset.load(config, cache=tmp_path)
    assert made.report["events"] == 400
    assert made.time_is_clock
    assert len(made.split.train) > 0
    assert dataset.load(config, cache=tmp_path).fingerprint == made.fingerprint


def test_an_empty_database_is_too_little(source, tmp_path):
    config = DataConfig(**dataset.config_of("service"))
    with pytest.raises((TooLittleData, DataError), match="service"):
        dataset.load(config, cache=tmp_path)


def test_a_database_that_is_not_there_is_one_line_and_none_is_made(tmp_path):
    with pytest.raises(StoreError, match="none.db: the service's database cannot be read") as caught:
        service.pinned(ServiceSource(url=f"sqlite:///{tmp_path}/none.db"), tmp_path / "snapshots")
    assert "python -m serving.store verify" in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_database_of_something_else_is_one_line(tmp_path):
    (tmp_path / "other.db").touch()
    with pytest.raises(StoreError, match="no such table"):
        service.pinned(ServiceSource(url=f"sqlite:///{tmp_path}/other.db"), tmp_path)


def test_a_url_that_is_invalid_or_holds_a_password_is_refused(tmp_path):
    with pytest.raises(DataError, match="source.url: it is no database URL"):
        service.pinned(ServiceSource(url="nonsense"), tmp_path)
    with pytest.raises(DataError, match="a run's configuration is logged, and the password with it") as caught:
        service.pinned(ServiceSource(url="postgresql://me:secret@host/name"), tmp_path)
    assert "secret" not in str(caught.value)


def test_profiles_and_the_named_context_of_events_are_read_where_the_source_asks_for_them(source, do, tmp_path):
    seen = [
        event("ann", "film", context={"device": "phone", "query": "secret"}),
        event("bob", "film"),
        event("eve", "book"),
    ]
    do(RecordEvents(seen))
    known = {"age": 37, "member": True}
    do(PutProfile("ann", role="editor", categories=("Drama", "Comedy"), opted_out=False, attributes=known))
    do(PutProfile("bob", role=None, categories=(), opted_out=False, attributes={"region": "DE"}))
    do(PutProfile("zoe", role="reader", categories=(), opted_out=False))
    do(PutProfile("eve", role="reader", categories=(), opted_out=True))
    plain = service.read(service.pinned(source, tmp_path))
    assert plain.users is None
    assert not [name for name in plain.events if str(name).startswith("context")]
    asked = service.pinned(source.model_copy(update={"context": ("device", "page"), "users": True}), tmp_path)
    raw = service.read(asked)
    assert raw.events["context.device"].tolist() == ["phone", None]
    assert raw.events["context.page"].isna().all()
    ann, bob = raw.users.to_dict("records")
    assert ann == {"user_id": "ann", "role": "editor", "category": "Drama", "age": 37.0, "member": True, "region": None}
    assert (pd.isna(bob["role"]), bob["member"], bob["region"], pd.isna(bob["age"])) == (True, None, "DE", True)
    columns = columns_of(raw.users.drop(columns="user_id"))
    assert (columns["age"][0], columns["member"][0], columns["region"].tolist()) == (37.0, "true", [None, "DE"])
    stored = pq.read_table(service.files(asked)[0])[extraction.MOMENT].to_pylist()
    assert stored == ['{"device":"phone"}', None]  # nothing that was not named
