"""Id maps, interactions and users: what every other room stands on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recstage.data.interactions import FEW_IDS, IdMap, Interactions, Users
from recstage.errors import DataError

ids = st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=12)


@settings(max_examples=40, deadline=None)
@given(names=ids)
def test_ids_come_back_from_their_indices(names: list[str]) -> None:
    id_map = IdMap(np.array(names, dtype=object))

    assert id_map.index_of(names).tolist() == list(range(len(names)))
    assert id_map.id_of(np.arange(len(names))).tolist() == names
    assert len(id_map) == len(names)
    assert all(name in id_map for name in names)
    assert [id_map.find(name) for name in names] == list(range(len(names)))


def test_an_unknown_id_has_index_minus_one() -> None:
    id_map = IdMap(["a", "b"])

    assert id_map.index_of(["b", "c"]).tolist() == [1, -1]
    assert id_map.index_of([["a"], ["c"]]).shape == (2, 1)
    assert id_map.find("c") == -1
    assert "c" not in id_map


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(DataError, match="id 'a' twice: ids are unique"):
        IdMap(["a", "b", "a"])


@pytest.fixture
def rows() -> Interactions:
    return Interactions.from_frame(
        pd.DataFrame(
            {
                "user_id": ["v", "u", "u", "v"],
                "item_id": ["x", "y", "x", "z"],
                "weight": [1.0, 0.5, 2.0, 0.0],
                "timestamp": [4, 3, 1, 2],
            }
        )
    )


def test_rows_are_sorted_by_user_and_time(rows: Interactions) -> None:
    assert rows.to_frame().values.tolist() == [
        ["u", "x", 2.0, 1],
        ["u", "y", 0.5, 3],
        ["v", "z", 0.0, 2],
        ["v", "x", 1.0, 4],
    ]
    assert rows.indptr.tolist() == [0, 2, 4]


def test_a_dismissed_item_is_seen_and_not_liked(rows: Interactions) -> None:
    assert rows.all_users.seen.toarray().tolist() == [[True, True, False], [True, False, True]]
    assert rows.matrix.toarray().tolist() == [[2.0, 0.5, 0.0], [1.0, 0.0, 0.0]]
    assert rows.item_counts.tolist() == [2, 1, 0]


def test_the_order_of_rows_does_not_change_the_fingerprint_and_a_weight_does(rows: Interactions) -> None:
    frame = rows.to_frame()

    assert Interactions.from_frame(frame[::-1]).fingerprint == rows.fingerprint
    assert Interactions.from_frame(frame.assign(weight=1.0)).fingerprint != rows.fingerprint


def test_rows_cannot_be_changed(rows: Interactions) -> None:
    with pytest.raises(ValueError):
        rows.weight[0] = 5


def test_a_pair_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"a .user, item. pair twice: one row a pair. Aggregate repeats first"):
        Interactions.from_frame(pd.DataFrame({"user_id": ["u", "u"], "item_id": ["x", "x"]}))


def test_an_index_outside_the_maps_is_refused() -> None:
    with pytest.raises(DataError, match="an id outside the id maps"):
        Interactions.from_arrays(IdMap(["u"]), IdMap(["x"]), [0], [1])


def test_a_selection_and_the_rest_make_the_whole(rows: Interactions) -> None:
    first = np.array([True, False, False, True])

    assert rows.select(first).union(rows.select(~first)).fingerprint == rows.fingerprint


def test_transposing_twice_changes_nothing(rows: Interactions) -> None:
    assert rows.transposed().transposed().fingerprint == rows.fingerprint
    assert rows.transposed().matrix.toarray().tolist() == rows.matrix.toarray().T.tolist()


def test_users_can_be_taken_in_any_order(rows: Interactions) -> None:
    taken = rows.of([1, 0, 1])

    assert taken.index.tolist() == [1, 0, 1]
    assert taken.lengths.tolist() == [2, 2, 2]
    assert taken.items.tolist() == [2, 0, 0, 1, 2, 0]
    assert taken.rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert taken.take(np.array([False, True, False])).items.tolist() == [0, 1]


def test_a_stranger_has_what_he_brings() -> None:
    empty, some = Users.unknown(3), Users.unknown(3, [2, 0])

    assert empty.index.tolist() == some.index.tolist() == [-1]
    assert empty.seen.toarray().tolist() == [[False, False, False]]
    assert some.seen.toarray().tolist() == [[True, False, True]]
    assert some.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("number", [0, 1, FEW_IDS, FEW_IDS + 1])
def test_few_ids_and_many_are_found_alike(number):
    id_map = IdMap([f"i{place}" for place in range(100)])
    wanted = [f"i{place}" if place % 3 else "strange" for place in range(number)]
    found = id_map.index_of(wanted)
    assert found.dtype == np.int32
    assert found.tolist() == [place if place % 3 else -1 for place in range(number)]


@pytest.mark.parametrize("form", ["in order", "two runs that follow each other", "two runs in a mess", "drawn"])
def test_rows_in_any_form_end_in_the_order_of_user_and_time(form: str) -> None:
    rng = np.random.default_rng(0)
    user, time = np.sort(rng.integers(0, 9, 60)), rng.integers(0, 30, 60)
    if form != "drawn":
        time = np.concatenate([np.sort(time[user == one]) for one in range(9)])
    run = np.arange(60) % 2 if form == "two runs in a mess" else np.concatenate([[0, 1]] * 30)
    if form == "two runs that follow each other":
        run = (time >= 15).astype(int)
    at = np.arange(60) if form in ("in order", "drawn") else np.argsort(run, kind="stable")
    user, item, time = user[at].astype(np.int32), np.arange(60, dtype=np.int32)[at], time[at]
    users, items = IdMap.of_size(9), IdMap.of_size(60)

    found = Interactions.from_arrays(users, items, user, item, np.ones(60, np.float32), time)

    wanted = np.lexsort((time, user))
    assert found.item_index.tolist() == item[wanted].tolist()
    assert found.timestamp.tolist() == time[wanted].tolist()
    assert user.flags.writeable
    assert time.flags.writeable
