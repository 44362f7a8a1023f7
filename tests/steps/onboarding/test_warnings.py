"""What a first look warns about: robots, users with one item, columns that leak or say nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.steps.onboarding.facts.wording import counted, of_all, percent
from tests.steps.onboarding.shops import NAMES, first_look, rows_of_a_shop, written


def warned(path: Path, *words: str) -> str:
    return "\n".join(first_look(path, *words).warnings)


@pytest.mark.parametrize(
    ("column", "cell", "warning"),
    [
        ("country", lambda row, at: "DE", r"column country is constant \('DE'\)"),
        ("empty", lambda row, at: "", "column empty is empty"),
        ("what", lambda row, at: row[3], r"column what repeats action \(interaction_type\)"),
        (
            "order",
            lambda row, at: f"o{at}" if row[3] == "purchase" else "",
            "column order is filled for 'purchase' only",
        ),
        ("step", lambda row, at: {"pageview": "1", "purchase": "3"}.get(row[3], "2"), "column step decides action"),
    ],
)
def test_columns_that_say_nothing_or_too_much_are_named(workspace: Path, column, cell, warning) -> None:  # type: ignore[no-untyped-def]
    rows = [[*row, cell(row, at)] for at, row in enumerate(rows_of_a_shop())]
    result = first_look(written(workspace / "e.csv", rows, (*NAMES, column)))
    assert len(result.warnings) == 1
    assert re.search(warning, result.warnings[0])


def test_a_column_that_only_looks_constant_in_the_first_rows_is_not_warned_of(workspace: Path) -> None:
    rows = [[*row, "DE" if at < 580 else "FR"] for at, row in enumerate(rows_of_a_shop())]
    assert first_look(written(workspace / "e.csv", rows, (*NAMES, "country"))).warnings == []


def test_an_attribute_of_items_that_counts_their_events_is_named(workspace: Path) -> None:
    rows = rows_of_a_shop()
    counts = {item: sum(row[1] == item for row in rows) for item in {row[1] for row in rows}}
    lines = ["sku,name,sold,weight", *(f"{item},N {item},{n * 3 + 1},{hash(item) % 7}" for item, n in counts.items())]
    (workspace / "items.csv").write_text("\n".join(lines) + "\n")
    told = warned(written(workspace / "events.csv", rows))
    assert "items: column sold goes with the number of events" in told
    assert "weight" not in told


def test_a_robot_is_named_with_its_events(workspace: Path) -> None:
    robot = [
        ["robot", f"p{at % 25}", f"2026-03-{1 + at % 28:02d} 03:{at % 60:02d}:{at % 59:02d}", "pageview"]
        for at in range(2000)
    ]
    told = warned(written(workspace / "e.csv", [*rows_of_a_shop(), *robot]))
    assert "1 user has far more events than the median of 15: robot (2,000)" in told


def test_users_with_one_item_are_counted(workspace: Path) -> None:
    single = [[f"x{at}", "p1", "2026-03-05", "pageview"] for at in range(30)]
    told = warned(written(workspace / "e.csv", [*rows_of_a_shop(), *single]))
    assert "30 of 70 users (42.9 %) have events with one item only" in told


def test_numbers_in_words() -> None:
    assert (counted(1, "user"), counted(2, "category"), counted(3, "day")) == ("1 user", "2 categories", "3 days")
    assert of_all(200, 201, "user") == "200 of 201 users (99.5 %)"
    assert (percent(0, 7), percent(7, 7), percent(1, 10**6), percent(10**6 - 1, 10**6)) == (
        "0 %",
        "100 %",
        "below 0.001 %",
        "above 99.999 %",
    )


@pytest.mark.parametrize(("users", "told"), [(3, True), (29, True), (30, False)])
def test_few_users_are_warned_of_with_their_number(workspace: Path, users: int, told: bool) -> None:
    rows = [[f"c{at % users}", *row[1:]] for at, row in enumerate(rows_of_a_shop())]
    found = warned(written(workspace / "few.csv", rows))
    assert (f"{users} users only: models cannot be told apart on so few" in found) == told
    assert found.count("models cannot be told apart") == told


def test_times_in_several_writings_are_counted_over_all_rows_and_the_unreadable_ones_shown(workspace: Path) -> None:
    rows = rows_of_a_shop()
    late = [[user, item, f"{day[8:10]}.03.2026", kind] for user, item, day, kind in rows[500:]]
    late[0][2] = "last week"
    result = first_look(written(workspace / "e.csv", [*rows[:500], *late]))
    assert "times are written in 2 ways: ISO 8601 in 500 rows, dates as 31.01.2025 in 99 rows" in result.notes
    assert "1 of 600 rows (0.2 %) cannot be used: unreadable timestamp (line 502: timestamp 'last week')" in "".join(
        result.warnings
    )


def test_types_that_differ_in_capitals_and_blanks_are_one_in_prepare_too(workspace: Path) -> None:
    spelt = (str, str.upper, str.title, lambda kind: f" {kind}  ")
    rows = [[*row[:3], spelt[at % 4](row[3].replace("_", " "))] for at, row in enumerate(rows_of_a_shop())]
    result = first_look(written(workspace / "e.csv", rows), "--name", "e")
    assert set(result.weights) == set(result.profile.types) == {"pageview", "add to basket", "purchase"}
    told = [note for note in result.notes if "differ in capitals and blanks only are one" in note]
    assert "'PURCHASE', 'Purchase' as 'purchase'" in told[0]
    prepared = dataset.load(check(DataConfig, dataset.config_of("e"), "e"))
    assert prepared.report["kept"] == result.profile.kept == len(rows)
    assert told[0] in prepared.report["notes"]


def of_countries(workspace: Path) -> Path:
    called = {"p1": "NA", "p2": "null", "p3": "None", "p4": "nan"}
    rows = [[row[0], called.get(row[1], row[1]), *row[2:]] for row in rows_of_a_shop()]
    return written(workspace / "e.csv", rows)


def test_ids_that_are_words_for_nothing_are_named_with_the_setting_that_keeps_them(workspace: Path) -> None:
    result = first_look(of_countries(workspace), "--name", "e")
    told = "item_id 'NA', 'None', 'nan', 'null': taken for no id, such rows are dropped"
    assert any(note.startswith(told) and "source.ids: text keeps" in note for note in result.notes)
    assert result.profile.items == 21
    assert "item None" not in "".join(result.warnings)


def test_ids_as_text_keep_words_for_nothing_in_events_and_items(workspace: Path) -> None:
    (workspace / "items.csv").write_text("sku,title\nNA,Namibia\nnull,Null\nNone,None\nnan,Nan\n")
    result = first_look(of_countries(workspace), "--name", "e", "--ids", "text")
    assert (result.profile.kept, result.profile.items, result.profile.items_described) == (600, 25, 4)
    prepared = dataset.load(check(DataConfig, dataset.config_of("e"), "e"))
    assert {"NA", "null", "None", "nan"} <= set(prepared.split.train.items.ids)
