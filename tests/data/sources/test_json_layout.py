"""The JSON layout with metadata, interactions and held_out_test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recstage.config import JsonSource
from recstage.data.sources import json_layout
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]
CONTENT: dict[str, Any] = {
    "metadata": {"from": "the shop"},
    "interactions": [
        {"user_id": 1, "item_id": "a", "timestamp": "2024-01-01T00:00:00Z", "interaction_type": "view"},
        {
            "user_id": 1,
            "item_id": "b",
            "timestamp": "2024-01-02T00:00:00Z",
            "interaction_type": "click",
            "implicit_rating": 0.5,
        },
        {"user_id": 2, "item_id": "a", "timestamp": "2024-01-03T00:00:00Z", "interaction_type": "view"},
    ],
    "held_out_test": [
        {"user_id": 1, "relevant_items": ["c"], "candidate_items": ["c", "d", "e"]},
        {"user_id": 2, "relevant_items": ["b", "b"], "candidate_items": []},
    ],
}


def read(write: Writer, content: object, name: str = "data.json"):  # type: ignore[no-untyped-def]
    return json_layout.read(JsonSource(path=str(write(name, json.dumps(content)))))


@pytest.mark.parametrize("name", ["data.json", "data.json.gz"])
def test_interactions_are_read(write: Writer, name: str) -> None:
    raw = read(write, CONTENT, name)

    assert raw.events["user_id"].tolist() == ["1", "1", "2"]
    assert raw.events["interaction_type"].tolist() == ["view", "click", "view"]
    assert raw.events["value"].tolist()[1] == 0.5
    assert raw.events["timestamp"].tolist()[0] == 1_704_067_200
    assert raw.time_is_clock
    assert raw.metadata == {"from": "the shop"}


def test_relevant_items_are_the_test_and_the_other_candidates_the_negatives(write: Writer) -> None:
    raw = read(write, CONTENT)

    assert raw.test[["user_id", "item_id"]].values.tolist() == [["1", "c"], ["2", "b"]]
    assert (raw.test["timestamp"] == raw.events["timestamp"].max()).all()
    assert raw.negatives.values.tolist() == [["1", "d"], ["1", "e"]]


def test_without_held_out_rows_there_is_no_test(write: Writer) -> None:
    raw = read(write, {"interactions": CONTENT["interactions"]})

    assert raw.test is None
    assert raw.negatives is None


def test_rows_without_an_id_are_left_for_validation(write: Writer) -> None:
    raw = read(write, {"interactions": [{"user_id": 1, "item_id": "a"}, {"user_id": None, "item_id": "b"}]})

    assert raw.events["user_id"].isna().tolist() == [False, True]
    assert raw.events["user_id"].tolist()[0] == "1"


def test_a_time_that_is_none_is_counted(write: Writer) -> None:
    rows = [*CONTENT["interactions"], {"user_id": 3, "item_id": "a", "timestamp": "noon"}]

    assert read(write, {"interactions": rows}).rejected.first == {
        "unreadable timestamp": ("interaction 4: timestamp 'noon'",)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"interactions": [{"user_id"', "is not JSON, or truncated"),
        ("[]", "is an object with a list of interactions"),
        ('{"rows": []}', "is an object with a list of interactions"),
        ('{"interactions": [1]}', "interactions: must be a list of objects"),
        ('{"interactions": [{"user": 1}]}', "interactions with user: each needs user_id and item_id"),
        ('{"interactions": []}', "interactions with no rows: each needs user_id and item_id"),
        (
            '{"interactions": [{"user_id": 1, "item_id": 2}], "held_out_test": {}}',
            "held_out_test: must be a list of objects",
        ),
    ],
)
def test_files_of_another_shape_are_refused(write: Writer, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        json_layout.read(JsonSource(path=str(write("data.json", text))))


def test_a_folder_with_two_files_is_refused(write: Writer) -> None:
    write("both/a.json", "{}")
    path = write("both/b.json", "{}")

    with pytest.raises(DataError, match=r"must hold one \.json file, and has 2"):
        json_layout.read(JsonSource(path=str(path.parent)))


def test_numbers_of_the_metadata_that_the_rows_contradict_are_told(write: Writer) -> None:
    rows = [{"user_id": 1, "item_id": item} for item in "abc"]
    metadata = {
        "n_users": 1,
        "num_items": 4,
        "interactions": 3,
        "total_interactions": 5,
        "source": "shop",
        "users": True,
    }

    raw = read(write, {"metadata": metadata, "interactions": rows})

    assert raw.notes == (
        "metadata.num_items says 4, and the rows have 3 items",
        "metadata.total_interactions says 5, and the rows have 3 interactions",
    )
    assert not raw.ordered


def test_a_row_whose_id_is_none_is_counted(write: Writer) -> None:
    rows = [{"user_id": True, "item_id": "a"}, {"user_id": [1], "item_id": "b"}, {"user_id": 1.0, "item_id": " b "}]

    raw = read(write, {"interactions": rows})

    assert raw.rejected.counts == {"invalid user_id": 2}
    assert raw.events[["user_id", "item_id"]].astype(str).to_numpy().tolist() == [["1", "b"]]
