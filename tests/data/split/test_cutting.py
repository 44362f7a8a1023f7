"""Splits: known answers by hand, and what must hold for every log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from recstage.config import DataConfig, SplitConfig, SyntheticSource
from recstage.data.event_log import EventLog
from recstage.data.event_weights import to_log
from recstage.data.interactions import Interactions
from recstage.data.schema import RawData
from recstage.data.split import Split, cut
from recstage.errors import DataError, TooLittleData

WEIGHTS = {"view": 0.1, "like": 1.0, "no": 0.0}
METHODS = ["leave-one-out", "temporal", "ratio"]


def log_of(*events: tuple[str, str, int, str], test: tuple[tuple[str, str, int, str], ...] = ()) -> EventLog:
    config = DataConfig(name="x", source=SyntheticSource(), weights=WEIGHTS, negative_types=("no",))
    return to_log(RawData(events=frame_of(events), test=frame_of(test) if test else None), config)


def frame_of(events: Any) -> pd.DataFrame:
    frame = pd.DataFrame(events, columns=["user_id", "item_id", "timestamp", "interaction_type"])
    return frame.assign(value=np.nan).astype({"timestamp": float})


def pairs(rows: Interactions) -> list[tuple[str, str]]:
    frame = rows.to_frame()
    return list(zip(frame["user_id"], frame["item_id"], strict=True))


def likes(user: str, items: str, start: int = 0) -> list[tuple[str, str, int, str]]:
    return [(user, item, start + when, "like") for when, item in enumerate(items)]


# -- known answers ---------------------------------------------------------------------------------------------------


def test_leave_one_out_takes_the_last_for_test_and_the_one_before_for_validation() -> None:
    split = cut(log_of(*likes("u", "abcd"), *likes("v", "ab"), *likes("w", "c")), SplitConfig())

    assert pairs(split.test) == [("u", "d"), ("v", "b")]
    assert pairs(split.validation) == [("u", "c")]
    assert pairs(split.train) == [("u", "a"), ("u", "b"), ("v", "a"), ("w", "c")]


def test_ratio_takes_the_last_fifth_of_each_user() -> None:
    log = log_of(*likes("u", "abcdefghij"), *likes("v", "abc"))

    split = cut(log, SplitConfig(method="ratio", validation_fraction=0.25))

    assert pairs(split.test) == [("u", "i"), ("u", "j"), ("v", "c")]
    assert pairs(split.validation) == [("u", "g"), ("u", "h"), ("v", "b")]
    assert pairs(split.train)[-1] == ("v", "a")


def test_temporal_cuts_at_one_moment_for_everybody() -> None:
    log = log_of(*likes("u", "abcde", 0), *likes("v", "abcde", 5))

    split = cut(log, SplitConfig(method="temporal", test_fraction=0.2, validation_fraction=0.25))

    assert pairs(split.test) == [("v", "d"), ("v", "e")]
    assert pairs(split.validation) == [("v", "b"), ("v", "c")]
    assert pairs(split.train) == [("u", item) for item in "abcde"] + [("v", "a")]


def test_given_keeps_the_source_s_test_and_validates_on_the_last_item_of_the_rest() -> None:
    log = log_of(*likes("u", "abc"), *likes("v", "a"), test=(("u", "d", 0, "like"), ("v", "b", 0, "like")))

    split = cut(log, SplitConfig(method="given"))

    assert pairs(split.test) == [("u", "d"), ("v", "b")]
    assert pairs(split.validation) == [("u", "c")]
    assert pairs(split.train) == [("u", "a"), ("u", "b"), ("v", "a")]


def test_an_item_met_again_after_the_cut_is_no_test_positive_and_its_later_weight_is_unknown() -> None:
    log = log_of(("u", "a", 0, "view"), *likes("u", "bcd", 1), ("u", "a", 9, "like"), *likes("v", "bc"))

    split = cut(log, SplitConfig())

    assert pairs(split.test) == [("u", "d"), ("v", "c")]
    a = split.train.to_frame().set_index(["user_id", "item_id"]).loc[("u", "a")]
    assert a["weight"] == pytest.approx(0.1)
    assert a["timestamp"] == 0
    assert split.left_out["repeats after the cut"] == 1


def test_a_dismissed_item_is_never_tested_and_stays_in_training_before_the_cut() -> None:
    log = log_of(
        ("u", "x", 0, "no"), *likes("u", "abc", 1), ("u", "y", 8, "like"), ("u", "y", 9, "no"), *likes("v", "ab")
    )

    split = cut(log, SplitConfig())

    assert pairs(split.test) == [("u", "c"), ("v", "b")]
    assert ("u", "x") in pairs(split.train)
    assert split.train.to_frame().set_index("item_id").loc["x", "weight"] == 0
    assert split.left_out["dismissed after the cut"] == 1


def test_an_item_dismissed_after_the_cut_is_still_liked_in_training() -> None:
    log = log_of(*likes("u", "abcd"), ("u", "a", 9, "no"))

    split = cut(log, SplitConfig(method="ratio"))

    assert split.train.to_frame().set_index("item_id").loc["a", "weight"] == 1.0


def test_an_item_liked_in_validation_and_dismissed_later_is_in_neither() -> None:
    log = log_of(*likes("u", "abc"), ("u", "d", 5, "like"), ("u", "e", 6, "like"), ("u", "d", 7, "no"))

    split = cut(log, SplitConfig())

    assert pairs(split.test) == [("u", "e")]
    assert pairs(split.validation) == [("u", "c")]
    assert split.left_out["dismissed after the cut"] == 1


def test_events_of_the_very_moment_of_a_temporal_cut_fall_after_it() -> None:
    log = log_of(("u", "a", 0, "like"), ("u", "b", 1, "like"), *[(f"v{n}", "a", 5, "like") for n in range(8)])

    split = cut(log, SplitConfig(method="temporal"))

    assert len(split.test) == 8
    assert pairs(split.validation) == [("u", "b")]


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_temporal_split_of_ranks_is_refused() -> None:
    with pytest.raises(DataError, match=r"times are ranks.*Choose leave-one-out or ratio"):
        cut(log_of(*likes("u", "abc")), SplitConfig(method="temporal"), time_is_clock=False)


@pytest.mark.parametrize("times", [(5, 5, 5), (5, 6, 6)])
def test_a_temporal_split_needs_three_different_times(times: tuple[int, ...]) -> None:
    log = log_of(*[("u", f"i{n}", when, "like") for n, when in enumerate(times)])

    with pytest.raises(TooLittleData, match="a temporal split needs at least three different times"):
        cut(log, SplitConfig(method="temporal"))


def test_given_without_test_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"split.method = given: the source must bring its own test rows"):
        cut(log_of(*likes("u", "abc")), SplitConfig(method="given"))


def test_nothing_to_test_is_refused() -> None:
    with pytest.raises(TooLittleData, match="a leave-one-out split of 2 liked pairs of 2 users: leaves no test rows"):
        cut(log_of(*likes("u", "a"), *likes("v", "b")), SplitConfig())


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(TooLittleData, match="leaves no training rows"):
        cut(log_of(("u", "a", 0, "no"), test=(("u", "b", 1, "like"),)), SplitConfig(method="given"))


# -- properties ------------------------------------------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.sampled_from("uvwxyz"),
        st.sampled_from("abcdefgh"),
        st.integers(0, 60),
        st.sampled_from(["view", "like", "like", "no"]),
    ),
    min_size=8,
    max_size=80,
)


def split_of(log: EventLog, method: str) -> Split:
    """The split of a log; an example that is too little for one is not counted, and another is drawn."""
    try:
        return cut(log, SplitConfig(method=method, negatives=3))  # type: ignore[arg-type]
    except TooLittleData:
        reject()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(rows=events)
def test_parts_are_disjoint_and_nothing_is_lost(method: str, rows: list[tuple[str, str, int, str]]) -> None:
    log = log_of(*rows)
    split = split_of(log, method)
    parts = [set(pairs(part)) for part in (split.train, split.validation, split.test)]

    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    everything = {(user, item) for user, item, _, _ in rows}
    assert parts[0] | parts[1] | parts[2] <= everything
    lost = len(everything) - sum(map(len, parts))
    assert lost == split.left_out["dismissed after the cut"]
    assert len(split.train_and_validation) == len(split.train) + len(split.validation)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(rows=events)
def test_time_runs_from_training_to_validation_to_test(method: str, rows: list[tuple[str, str, int, str]]) -> None:
    split = split_of(log_of(*rows), method)
    first = {}
    for user, item, when, _ in rows:
        first[user, item] = min(when, first.get((user, item), when))
    opened = [
        {user: [first[u, i] for u, i in pairs(part) if u == user] for user in "uvwxyz"}
        for part in (split.train, split.validation, split.test)
    ]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        for user in "uvwxyz":
            if opened[earlier][user] and opened[later][user]:
                assert max(opened[earlier][user]) <= min(opened[later][user])
    if method == "temporal":
        assert split.train.timestamp.max() < split.validation.timestamp.min(initial=100)
        assert split.train_and_validation.timestamp.max() < split.test.timestamp.min()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(rows=events)
def test_only_liked_items_are_tested_and_candidates_are_untouched(
    method: str, rows: list[tuple[str, str, int, str]]
) -> None:
    split = split_of(log_of(*rows), method)
    assert (split.test.weight > 0).all()
    assert (split.validation.weight > 0).all()
    touched = {(user, item) for user, item, _, _ in rows}
    assert split.negatives is not None
    for user, candidates in zip(split.train.users.ids, split.negatives, strict=True):
        drawn = split.train.items.id_of(candidates[candidates >= 0])
        assert len(set(drawn)) == len(drawn)
        assert not {(user, item) for item in drawn} & touched


@settings(max_examples=30, deadline=None)
@given(rows=events)
def test_leave_one_out_leaves_one(rows: list[tuple[str, str, int, str]]) -> None:
    split = split_of(log_of(*rows), "leave-one-out")
    assert split.test.lengths.max() == 1
    assert split.validation.lengths.max(initial=0) <= 1
    assert (split.train.lengths[split.test.lengths > 0] > 0).all()


def test_the_same_seed_draws_the_same_candidates_and_another_others(small_config: DataConfig) -> None:
    log = log_of(*[(f"u{n % 9}", f"i{n * 7 % 50}", n, "like") for n in range(90)])

    a, b, other = (cut(log, SplitConfig(negatives=5, seed=seed)).negatives for seed in (1, 1, 2))

    assert a is not None
    assert b is not None
    assert other is not None
    assert np.array_equal(a, b)
    assert not np.array_equal(a, other)


def test_zero_candidates_means_none() -> None:
    assert cut(log_of(*likes("u", "abcd")), SplitConfig(negatives=0)).negatives is None


def test_newcomers_keep_their_latest_rows_and_what_is_tested() -> None:
    log = log_of(*(event for n in range(200) for event in likes(f"u{n:03}", "abcdefgh")))
    whole = cut(log, SplitConfig(negatives=5))

    split = cut(log, SplitConfig(negatives=5, newcomers=0.5, newcomer_rows=4))

    assert pairs(split.test) == pairs(whole.test)
    assert np.array_equal(split.negatives, whole.negatives)
    known = split.train_and_validation.lengths
    assert (known == 7).sum() == 100
    assert set(known) == {0, 1, 2, 3, 4, 7}
    assert np.bincount(known)[:5].min() > 8  # each number as likely: 20 of 100
    for user, items in split.train_and_validation.to_frame().groupby("user_id")["item_id"]:
        assert "".join(items) == "abcdefg"[-len(items) :], user
    assert (split.validation.lengths == (known > 0)).all()
    assert split.left_out["earlier rows of cold-start users"] == 200 * 7 - known.sum()
    assert set(split.validation.item_index) == set(whole.validation.item_index)


def test_the_seed_draws_the_newcomers() -> None:
    log = log_of(*(event for n in range(50) for event in likes(f"u{n:02}", "abcdefgh")))

    a, b, other = (cut(log, SplitConfig(newcomers=0.5, newcomer_rows=3, seed=seed)) for seed in (1, 1, 2))

    assert pairs(a.train) == pairs(b.train)
    assert pairs(a.train) != pairs(other.train)


def test_transposed_swaps_people_and_items() -> None:
    split = cut(log_of(*likes("u", "abcd"), *likes("v", "ab")), SplitConfig())

    swapped = split.transposed()

    assert pairs(swapped.test) == [("b", "v"), ("d", "u")]
    assert swapped.train.n_users == 4
    assert swapped.train.matrix.toarray().tolist() == split.train.matrix.T.toarray().tolist()
    assert swapped.negatives is None


# -- without an order ------------------------------------------------------------------------------------------------


def unordered(*events: tuple[str, str, int, str], **parts: Any) -> EventLog:
    config = DataConfig(name="x", source=SyntheticSource(), weights=WEIGHTS, negative_types=("no",))
    frames = {name: frame_of(rows) for name, rows in parts.items()}
    return to_log(RawData(events=frame_of(events), ordered=False, **frames), config)


def at_once(user: str, items: str) -> list[tuple[str, str, int, str]]:
    return [(user, item, 0, "like") for item in items]


@pytest.mark.parametrize("method", ["temporal", "leave-one-out"])
def test_unordered_data_has_no_last_item(method: Any) -> None:
    with pytest.raises(
        DataError, match=f"split.method = {method}: the data set is unordered .* Choose ratio or leave-k"
    ):
        cut(unordered(*at_once("u", "abcd")), SplitConfig(method=method))


def test_auto_draws_a_ratio_of_unordered_data_by_the_seed_and_not_by_the_order_of_the_file() -> None:
    rows = [row for user in "uvwxyz" for row in at_once(user, "abcdefghij")]
    splits = [cut(unordered(*order), SplitConfig(seed=seed)) for order, seed in ((rows, 1), (rows[::-1], 1), (rows, 2))]

    assert {split.method for split in splits} == {"ratio"}
    assert [len(split.test) for split in splits] == [12, 12, 12]
    first, reversed_rows, other_seed = (set(pairs(split.test)) for split in splits)
    assert first == reversed_rows
    assert first != other_seed
    assert {item for _, item in first} - {"i", "j"}, "the last of the file are not the test"
    assert not splits[0].train.ordered
    assert not splits[0].train_and_validation.all_users.take([0]).ordered


def test_auto_is_leave_one_out_in_order_and_given_where_the_source_brings_a_test() -> None:
    assert cut(log_of(*likes("u", "abcd")), SplitConfig()).method == "leave-one-out"
    assert cut(log_of(*likes("u", "abc"), test=(("u", "d", 0, "like"),)), SplitConfig()).method == "given"


@pytest.mark.parametrize("in_order", [True, False])
def test_leave_k_out_takes_k_of_each_user_for_both_parts(in_order: bool) -> None:
    rows = [*likes("u", "abcdefgh"), *likes("v", "abc"), *likes("w", "ab"), *likes("x", "a")]
    log = log_of(*rows) if in_order else unordered(*rows)

    split = cut(log, SplitConfig(method="leave-k-out", k=2))

    assert split.test.lengths.tolist() == [2, 2, 0, 0]
    assert split.validation.lengths.tolist() == [2, 0, 0, 0]
    assert split.train.lengths.tolist() == [4, 1, 2, 1]
    if in_order:
        assert (np.diff(split.train.of([0]).timestamps) > 0).all()


def test_repeats_of_a_pair_stay_in_its_part() -> None:
    split = cut(unordered(*at_once("u", "aaabbbcccddd")), SplitConfig(method="ratio", test_fraction=0.5))

    assert split.left_out["repeats after the cut"] == 0
    assert (split.train.weight == 3).all()


def test_given_takes_validation_rows_that_the_source_brings() -> None:
    validation, test = at_once("u", "d"), [*at_once("u", "e"), *at_once("v", "b")]

    split = cut(
        unordered(*at_once("u", "abc"), *at_once("v", "a"), validation=validation, test=test),
        SplitConfig(method="given"),
    )

    assert pairs(split.validation) == [("u", "d")]
    assert sorted(pairs(split.test)) == [("u", "e"), ("v", "b")]
    assert sorted(pairs(split.train)) == [("u", "a"), ("u", "b"), ("u", "c"), ("v", "a")]


def test_candidates_are_drawn_among_items_with_events() -> None:
    items = pd.DataFrame({"item_id": [f"new{n}" for n in range(50)]})
    config = DataConfig(name="x", source=SyntheticSource(), weights=WEIGHTS)
    log = to_log(RawData(events=frame_of([*likes("u", "abc"), *likes("v", "defg")]), items=items), config)

    split = cut(log, SplitConfig(negatives=10))

    assert split.train.n_items == 57
    assert split.negatives is not None
    drawn = split.train.items.id_of(split.negatives[split.negatives >= 0])
    assert set(drawn) <= set("abcdefg")


def test_ties_are_counted_and_keep_the_order_of_the_source() -> None:
    log = log_of(("u", "b", 1, "like"), ("u", "a", 1, "like"), ("u", "c", 2, "like"), ("v", "a", 1, "like"))

    assert log.ties == 0.5
    assert pairs(log.aggregate("sum"))[:2] == [("u", "b"), ("u", "a")]
