"""Which registered versions were trained on a user."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pandas as pd
import pytest

from recstage import bundle
from recstage.data.interactions import Interactions
from recstage.errors import BundleError, RegistryError, StoreError
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.reverse_als import ReverseALS
from serving.store.db.connection import sqlite_path
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer
from serving.store.training import lineage, lineage_index
from serving.store.training.lineage import IndexedLineage, RecordTraining, TrainedOn, recorded


def lineage_of(found: IndexedLineage, user_id: str) -> TrainedOn:
    return asyncio.run(found.trained_on(user_id))


def index_of(*registered):
    async def index():
        return registered

    return index


@pytest.fixture
def trained(do):
    """Version 1 was trained on ann and bob, 2 on bob, the reverse model's 1 on ann."""
    do(RecordTraining(("recommender", "1"), ["ann", "bob"]))
    do(RecordTraining(("recommender", "2"), ["bob"]))
    do(RecordTraining(("recommender-reverse", "1"), ["ann"]))


def test_every_registered_version_that_knew_the_user_is_named(store, trained):
    index = index_of(("recommender", "1"), ("recommender", "2"), ("recommender-reverse", "1"))
    found = lineage_of(IndexedLineage(store.reader, index), "ann")
    assert found == TrainedOn((("recommender", "1"), ("recommender-reverse", "1")), complete=True)
    assert lineage_of(IndexedLineage(store.reader, index), "eve").versions == ()


def test_versions_that_were_deleted_since_are_not_named(store, trained):
    found = lineage_of(IndexedLineage(store.reader, index_of(("recommender", "2"))), "ann")
    assert found == TrainedOn((), complete=True)


def test_a_version_whose_bundle_could_not_be_read_makes_the_answer_incomplete(store, trained):
    index = index_of(("recommender", "1"), ("recommender", "3"))
    found = lineage_of(IndexedLineage(store.reader, index), "ann")
    assert found.versions == (("recommender", "1"),)
    assert (found.complete, found.why) == (False, "the bundle cannot be read of recommender version 3")


def test_with_the_registry_unavailable_the_index_answers_and_says_so(store, trained):
    async def unavailable():
        raise StoreError("the registered versions", rule="they could not be read: unavailable", fix="Try again later")

    found = lineage_of(IndexedLineage(store.reader, unavailable), "bob")
    assert found.versions == (("recommender", "1"), ("recommender", "2"))
    assert not found.complete
    assert "they could not be read: unavailable" in found.why


def test_the_index_holds_no_ids(sqlite_url):
    writer = Writer(sqlite_url)
    writer.submit(RecordTraining(("recommender", "1"), ["an-id-that-is-easily-found"])).result()
    writer.close()
    content = b"".join(path.read_bytes() for path in sqlite_path(sqlite_url).parent.glob("service.db*"))
    assert b"recommender" in content
    assert b"easily-found" not in content


def test_recording_a_version_again_replaces_it(store, do):
    do(RecordTraining(("recommender", "1"), ["ann"]))
    do(RecordTraining(("recommender", "1"), ["bob"]))
    found = lineage_of(IndexedLineage(store.reader, index_of(("recommender", "1"))), "ann")
    assert found.versions == ()
    assert recorded(store.reader) == {("recommender", "1")}


# -- the registry's side ----------------------------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """A registry of two versions; the bundle of the third is broken."""
    for number, user_ids in ((1, ["ann", "bob"]), (2, ["bob"])):
        rows = pd.DataFrame({"user_id": user_ids, "item_id": "i0", "timestamp": 1})
        bundle.save(Popularity().fit(Interactions.from_frame(rows)), tmp_path / str(number))
    fetched = []

    def fetch(version):
        fetched.append(version.number)
        if version.number == 3:
            raise BundleError("version 3", rule="it is broken", fix="Register it again")
        return tmp_path / str(version.number)

    versions = [SimpleNamespace(name="recommender", number=number) for number in (1, 2, 3)]
    monkeypatch.setattr(lineage_index.registry, "versions", lambda name: versions)
    monkeypatch.setattr(lineage_index.registry, "fetch", fetch)
    return fetched


def test_each_registered_version_is_read_once(url, store, registered):
    found = lineage_index.index(url, ["recommender"])
    assert found["registered"] == [("recommender", "1"), ("recommender", "2"), ("recommender", "3")]
    assert found["added"] == [("recommender", "1"), ("recommender", "2")]
    assert list(found["unread"]) == ["recommender version 3"]
    assert registered == [1, 2, 3]
    again = lineage_index.index(url, ["recommender"])
    assert (again["added"], registered) == ([], [1, 2, 3, 3])
    found = lineage_of(IndexedLineage(store.reader, index_of(("recommender", "1"), ("recommender", "2"))), "ann")
    assert found.versions == (("recommender", "1"),)


def test_a_name_under_which_nothing_was_registered_is_passed_over(url, monkeypatch):
    def none(name):
        raise RegistryError(name, rule="there is no such registered model", fix="Register one")

    monkeypatch.setattr(lineage_index.registry, "versions", none)
    assert lineage_index.index(url, ["recommender-reverse"]) == {"registered": [], "added": [], "unread": {}}


class Process:
    """A process that writes its output and ends."""

    def __init__(self, out: str, error: str, code: int) -> None:
        self.output, self.returncode = (out.encode(), error.encode()), code

    async def communicate(self):
        return self.output


@pytest.mark.parametrize("code", [0, 2])
def test_the_service_asks_another_process_and_keeps_the_password_off_its_command_line(monkeypatch, code):
    calls = []

    async def spawn(*command, **options):
        calls.append((command, options["env"]["RECSTAGE_SERVING_DATABASE_URL"]))
        answer = json.dumps({"registered": [["recommender", "7"]]})
        return Process("progress\n" + answer, "noise\nrecstage: the registry is unavailable", code)

    monkeypatch.setattr(lineage.asyncio, "create_subprocess_exec", spawn)
    index = lineage.index_in_subprocess("postgresql://me:secret@host/name", ["recommender"])
    if code:
        with pytest.raises(StoreError, match="could not all be read: recstage: the registry is unavailable"):
            asyncio.run(index())
    else:
        assert asyncio.run(index()) == [("recommender", "7")]
    command, database = calls[0]
    assert command[1:] == ("-m", "serving.store", "lineage", "recommender")
    assert "secret" not in " ".join(command)
    assert database == "postgresql://me:secret@host/name"


def test_a_model_that_ranks_users_for_items_is_recorded_with_its_users(sqlite_url, monkeypatch, tmp_path):
    rows = pd.DataFrame({"user_id": ["ann", "bob", "ann"], "item_id": ["i0", "i1", "i1"], "timestamp": [1, 2, 3]})
    model = ReverseALS(ReverseALS.Params(factors=2, iterations=1)).fit(Interactions.from_frame(rows).transposed())
    bundle.save(model, tmp_path / "bundle")
    version = SimpleNamespace(name="recommender-reverse", number=1)
    monkeypatch.setattr(lineage_index.registry, "versions", lambda name: [version])
    monkeypatch.setattr(lineage_index.registry, "fetch", lambda version: tmp_path / "bundle")
    lineage_index.index(sqlite_url, ["recommender-reverse"])
    reader = Reader(sqlite_url)
    index = index_of(("recommender-reverse", "1"))
    assert lineage_of(IndexedLineage(reader, index), "ann").versions == (("recommender-reverse", "1"),)
    assert lineage_of(IndexedLineage(reader, index), "i0").versions == ()
    reader.close()
