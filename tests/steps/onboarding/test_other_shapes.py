"""Files whose rows are no events: refused in plain words, with code that makes events of them as it is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from recstage.data import dataset
from recstage.errors import DataError
from tests.steps.onboarding.shops import first_look


@pytest.fixture(autouse=True)
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


USERS, ITEMS = 30, 12
CELLS = {(user, item): (user * 7 + item * 5) % 6 for user in range(USERS) for item in range(ITEMS)}
"""Of a matrix: 0 to 5, of which each sixth is 0 and, where blanks are wanted, each 1 is one."""


def matrix(path: Path, separator: str = ",", header: str | None = "user", blank: bool = False, half: str = "") -> int:
    """Writes the matrix; returns how many of its cells are events."""
    lines = [] if header is None else [separator.join([header, *(f"i{item}" for item in range(ITEMS))])]
    for user in range(USERS):
        cells = [CELLS[user, item] for item in range(ITEMS)]
        words = ["" if blank and cell == 1 else f"{cell}{half}" if cell else "0" for cell in cells]
        lines.append(separator.join([f"u{user}", *words]))
    path.write_text("\n".join(lines) + "\n")
    return sum(cell > (1 if blank else 0) for cell in CELLS.values())


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"blank": True},
        {"separator": ";", "half": ",5"},
        {"header": ""},
        {"header": None},
        {"header": "item"},
    ],
    ids=str,
)
def test_the_code_that_a_matrix_is_refused_with_makes_events_of_the_cells_that_are_not_zero(
    workspace: Path, how: dict
) -> None:
    expected = matrix(workspace / "wide.csv", **how)
    with pytest.raises(DataError, match="a matrix with a column for each item") as refusal:
        first_look("wide.csv")
    code = refusal.value.fix.partition("in pandas: ")[2]
    eval(code, {"pandas": pandas})
    result = first_look("events.csv")
    assert (result.profile.rows, result.profile.kept) == (expected, expected)
    sides = (result.profile.users, result.profile.items)
    assert sides == ((ITEMS, USERS) if how.get("header") == "item" else (USERS, ITEMS))
    assert result.profile.values["interaction"].least > 0


def test_rows_of_a_matrix_without_ids_are_users_by_their_place(workspace: Path) -> None:
    lines = [",".join(f"item{item}" for item in range(ITEMS))]
    lines += [",".join(str(CELLS[user, item]) for item in range(ITEMS)) for user in range(USERS)]
    (workspace / "wide.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="a matrix with a column for each item") as refusal:
        first_look("wide.csv")
    eval(refusal.value.fix.partition("in pandas: ")[2], {"pandas": pandas})
    profile = first_look("events.csv").profile
    assert profile.kept == sum(cell > 0 for cell in CELLS.values())
    assert (profile.users, profile.items) == (USERS, ITEMS)


def test_types_that_nothing_tells_apart_are_worth_the_same(workspace: Path) -> None:
    lines = ["user,item,time,event"]
    lines += [f"u{n % 40},i{n % 23},{1_700_000_000 + n * 3600},{('foo', 'bar', 'baz')[n % 3]}" for n in range(900)]
    (workspace / "odd.csv").write_text("\n".join(lines) + "\n")
    first_look("odd.csv")
    assert dataset.config_of("odd")["weights"] == {"foo": 1, "bar": 1, "baz": 1}


def rows(cell: str) -> str:
    return "".join(f'{{"user": "u{n % 13}", "items": {cell}}}\n' for n in range(60))


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ('["blue lamp", "red lamp", "a table of oak", "chair"]', "'blue lamp, red lamp, a table of oak and 1 more'"),
        ('[{"item_id": "p1", "name": "Lamp", "price": 3}, {"item_id": "p2"}]', "'item_id p1, name Lamp, item_id p2'"),
    ],
)
def test_lists_in_cells_are_shown_in_plain_form(workspace: Path, cell: str, told: str) -> None:
    (workspace / "baskets.jsonl").write_text(rows(cell))
    with pytest.raises(DataError, match="it holds lists") as refusal:
        first_look("baskets.jsonl")
    assert told in str(refusal.value)
    quoted = str(json.loads(cell)).replace('"', '""')
    (workspace / "baskets.csv").write_text("user,items\n" + "".join(f'u{n % 13},"{quoted}"\n' for n in range(60)))
    with pytest.raises(DataError, match="it holds lists") as refusal:
        first_look("baskets.csv")
    assert told in str(refusal.value)


def test_a_column_of_lists_that_is_said_to_be_the_items_is_shown_in_plain_form(workspace: Path) -> None:
    (workspace / "baskets.jsonl").write_text(rows('["a", "b"]'))
    with pytest.raises(DataError, match=r"item_id 'a, b': ids are text or whole numbers"):
        first_look("baskets.jsonl", "--columns.item_id", "items")


def test_the_code_for_a_list_of_items_parts_it_as_the_file_does(workspace: Path) -> None:
    draw = np.random.default_rng(1)
    first = draw.integers(0, 38, 900)
    lines = [f"{draw.integers(60)},p{n}|p{n + 1}|p{n + 2},2025-01-{1 + at % 28:02d}" for at, n in enumerate(first)]
    (workspace / "baskets.csv").write_text("\n".join(["customer_id,items,date", *lines]) + "\n")
    with pytest.raises(DataError, match=r"it holds lists.*str\.split\('\|'\)"):
        first_look("baskets.csv")
