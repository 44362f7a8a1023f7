"""Live histories: as fresh as the last commit, weighed as training data is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recstage.data.event_weights import to_log
from recstage.data.schema import RawData
from serving.interfaces import NO_HISTORY
from serving.store.erasure.erasures import Erase
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.user_histories import Weighting
from serving.store.repositories.users import PutProfile
from tests.serving.store.factories import event

TYPES = ("view", "click", "like", "save", "share", "rate", "implement", "dismiss")


def test_an_unknown_user_has_no_history(store):
    assert store.histories.history("unknown") == NO_HISTORY


def test_the_next_read_reflects_the_last_event_from_any_process(open_store):
    one, other = open_store(), open_store()
    for item_id in ("film", "book", "song"):
        one.writer.submit(RecordEvents([event("ann", item_id)])).result()
        assert other.histories.history("ann").item_ids[-1] == item_id
        assert one.histories.history("ann") == other.histories.history("ann")


def test_the_version_changes_with_events_profile_and_erasure_and_never_comes_back(store, do):
    seen = []

    def note():
        seen.append(store.histories.history("ann").version)

    note()
    do(RecordEvents([event("ann")]))
    note()
    do(RecordEvents([event("ann")]))
    note()
    do(PutProfile("ann", role=None, categories=("drama",), opted_out=False))
    note()
    do(Erase("ann", drop_queued=lambda user_id: 0))
    note()
    do(RecordEvents([event("ann", occurred_at=now_ms() + 1)]))
    note()
    assert len(set(seen)) == len(seen)


def test_events_of_other_users_leave_the_version_alone(store, do):
    do(RecordEvents([event("ann")]))
    before = store.histories.history("ann")
    do(RecordEvents([event("bob")]))
    assert store.histories.history("ann") is before


def test_items_come_oldest_first_with_weight_and_seconds(store, do):
    now = now_ms()
    do(
        RecordEvents(
            [
                event("ann", "late", "rate", value=4.0, occurred_at=now),
                event("ann", "early", "view", value=30.0, occurred_at=now - 60_000),
                event("ann", "no", "dismiss", occurred_at=now - 30_000),
            ]
        )
    )
    history = store.histories.history("ann")
    assert history.item_ids == ("early", "no", "late")
    assert history.weights == pytest.approx((0.25, 0.0, 0.8))
    assert history.timestamps == ((now - 60_000) // 1000, (now - 30_000) // 1000, now // 1000)


def test_only_the_newest_items_count_up_to_the_limit(open_store):
    store = open_store(history_limit=3)
    events = [event("ann", f"i{i}", occurred_at=now_ms() - 1000 + i) for i in range(10)]
    store.writer.submit(RecordEvents(events)).result()
    assert store.histories.history("ann").item_ids == ("i7", "i8", "i9")


def test_declared_categories_come_along_strongest_first(store, do):
    do(PutProfile("ann", role=None, categories=("drama", "comedy"), opted_out=False))
    assert store.histories.history("ann").categories == ("drama", "comedy")


def test_the_declared_role_and_first_category_are_attributes_of_the_user(store, do):
    do(PutProfile("ann", role="editor", categories=("drama", "comedy"), opted_out=False))
    assert store.histories.history("ann").profile == (("profile.category", "drama"), ("profile.role", "editor"))
    do(PutProfile("ann", role=None, categories=(), opted_out=False))
    assert store.histories.history("ann").profile == ()


def test_users_who_opted_out_have_no_personal_history(store, do):
    do(RecordEvents([event("ann")]))
    do(PutProfile("ann", role=None, categories=("drama",), opted_out=True))
    history = store.histories.history("ann")
    assert (history.personal, history.item_ids, history.categories) == (False, (), ())
    do(PutProfile("ann", role=None, categories=(), opted_out=False))
    assert store.histories.history("ann").item_ids == ("i1",)


def test_what_models_learnt_of_an_erased_user_is_not_used_even_after_the_user_is_back(store, do):
    do(RecordEvents([event("ann")]))
    assert not store.histories.history("ann").forgotten
    do(Erase("ann", drop_queued=lambda user_id: 0))
    assert store.histories.history("ann").forgotten
    do(RecordEvents([event("ann", "book", occurred_at=now_ms() + 1)]))
    history = store.histories.history("ann")
    assert (history.forgotten, history.item_ids) == (True, ("book",))


@pytest.mark.parametrize("rule", ["sum", "max", "last"])
def test_one_user_is_aggregated_as_the_training_data_is(data, rule):
    """Random events: the service's aggregation of each user against the data set's of all."""
    config = data.model_copy(update={"aggregate": rule})
    chance = np.random.default_rng(3)
    n = 600
    frame = pd.DataFrame(
        {
            "user_id": [f"u{u}" for u in chance.integers(5, size=n)],
            "item_id": [f"i{i}" for i in chance.integers(12, size=n)],
            "timestamp": np.arange(n, dtype=np.float64),
            "interaction_type": chance.choice(TYPES, size=n),
            "value": np.where(chance.random(n) < 0.3, np.nan, chance.random(n) * 90),
        }
    )
    offline = to_log(RawData(frame), config).aggregate(rule).to_frame()
    weighting = Weighting.of(config)
    assert offline["user_id"].nunique() == 5
    for user_id, rows in frame.groupby("user_id"):
        events = [
            (item_id, kind, None if np.isnan(value) else value, int(moment))
            for item_id, kind, value, moment in zip(
                rows["item_id"], rows["interaction_type"], rows["value"], rows["timestamp"], strict=True
            )
        ]
        online = weighting.aggregate(events)
        expected = offline[offline["user_id"] == user_id]
        assert set(online) == set(expected["item_id"])
        for item_id, weight, moment in zip(expected["item_id"], expected["weight"], expected["timestamp"], strict=True):
            assert online[item_id][0] == pytest.approx(weight, rel=1e-5, abs=1e-6)
            assert online[item_id][1] == moment
