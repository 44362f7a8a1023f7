"""What lies beside a file of events: test rows, items, parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from recstage.config import EventsSource, named_yaml
from recstage.data import sources
from recstage.errors import DataError
from tests.steps.onboarding.shops import first_look, rows_of_a_shop, written


def items(path: Path, n: int, prefix: str = "p") -> Path:
    path.write_text("sku,name,price\n" + "".join(f"{prefix}{i},Product {i},{i}.5\n" for i in range(n)))
    return path


def test_a_test_file_beside_the_events_is_proposed_and_can_be_refused(workspace: Path) -> None:
    rows = rows_of_a_shop()
    path = written(workspace / "events.csv", rows[:500])
    written(workspace / "test.csv", rows[500:])
    taken = first_look(path, "--name", "with")
    refused = first_look(path, "--name", "without", "--test_path", "none")
    assert (taken.split, refused.split) == ("given", "temporal")
    assert named_yaml("data", "with")["source"]["test_path"] == "test.csv"
    assert taken.profile.rows == 600
    assert any("test.csv" in one.question and not one.asked for one in taken.decisions)


def test_another_file_of_that_name_with_other_columns_is_no_test_file(workspace: Path) -> None:
    path = written(workspace / "events.csv", rows_of_a_shop())
    (workspace / "test.csv").write_text("a,b\n1,2\n")
    assert first_look(path).split == "temporal"


def test_items_beside_the_events_are_taken_and_their_join_is_told(workspace: Path) -> None:
    path = written(workspace / "events.csv", rows_of_a_shop())
    items(workspace / "items.csv", 10)
    result = first_look(path)
    assert result.profile.items_described == 10
    assert any("describes 10 of 25 items (40.0 %) with events; not p" in warning for warning in result.warnings)


def test_titles_of_unusual_names_stand_in_the_events_own_file(workspace: Path) -> None:
    rows = [(*row, f"Spiel {row[1]}") for row in rows_of_a_shop()]
    header = ("Leserausweis", "Spiel-Nr", "Zeitpunkt", "Vorgang", "Spieltitel")
    path = written(workspace / "events.csv", rows, header)
    words = ["--columns.user_id", "Leserausweis", "--columns.item_id", "Spiel-Nr"]
    result = first_look(path, *words, "--items", str(path), "--items_columns.title", "Spieltitel")
    assert result.profile.items_described == 25
    found = named_yaml("data", "events")["source"]["items_columns"]
    assert found == {"item_id": "Spiel-Nr", "title": "Spieltitel"}


@pytest.mark.parametrize(("prefix", "hint"), [("P", "capitals"), ("p-", "marks and blanks"), ("x", "the file has x0")])
def test_items_of_which_nothing_joins_are_left_out_with_the_reason(workspace: Path, prefix: str, hint: str) -> None:
    path = written(workspace / "events.csv", rows_of_a_shop())
    result = first_look(path, "--items", str(items(workspace / "things.csv", 25, prefix)))
    assert any("describes 0 of 25 items" in one and hint in one for one in result.warnings)
    assert "items_path" not in named_yaml("data", "events")["source"]
    assert "# items_path: things.csv" in (workspace / "conf/data/events.yaml").read_text()


def test_parts_of_a_folder_may_have_their_columns_in_another_order(workspace: Path) -> None:
    folder = workspace / "parts"
    folder.mkdir()
    rows = rows_of_a_shop()
    written(folder / "part-1.csv", rows[:300])
    written(folder / "part-2.csv", [row[::-1] for row in rows[300:]], ("action", "bought_at", "sku", "customer"))
    result = first_look(folder)
    assert result.profile.rows == result.profile.kept == 600
    assert result.profile.users == 40


def test_a_matrix_of_users_and_items_is_refused_in_one_line(workspace: Path) -> None:
    names = ("user", *(f"i{at}" for at in range(20)))
    path = written(workspace / "wide.csv", [[f"u{n}", *(["", "5", "3"] * 7)[:20]] for n in range(30)], names)
    with pytest.raises(DataError, match=r"a matrix with a column for each item.*melt"):
        first_look(path)


@pytest.mark.parametrize("option", ["items", "test_path", "validation_path"])
@pytest.mark.parametrize("lost", ["nosuch.csv", "nosuch*.csv"])
def test_a_further_file_that_is_not_there_is_named_with_its_option(workspace: Path, option: str, lost: str) -> None:
    path = written(workspace / "events.csv", rows_of_a_shop())
    with pytest.raises(DataError) as refusal:
        first_look(path, f"--{option}", lost)
    assert str(refusal.value) == f"--{option} {lost}: no such file or folder. Correct the path."


@pytest.mark.parametrize("setting", ["items_path", "users_path", "test_path", "validation_path"])
def test_a_further_file_of_a_source_that_is_not_there_is_named_with_its_setting(tmp_path: Path, setting: str) -> None:
    path = written(tmp_path / "events.csv", rows_of_a_shop())
    source = EventsSource(path=str(path), **{setting: "nosuch.csv"})
    with pytest.raises(DataError, match=rf"source\.{setting} = nosuch\.csv: no such file or folder\. Correct the path"):
        sources.located(source, tmp_path)


def test_a_binary_file_is_refused_for_what_it_is(workspace: Path) -> None:
    path = workspace / "events.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    with pytest.raises(DataError, match="is a picture"):
        first_look(path)
