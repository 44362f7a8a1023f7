"""From a file of one's own to a data set of conf/data, without a hand on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recstage.commands import app
from recstage.config import DataConfig, check, named_yaml
from recstage.data import dataset
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.steps.onboarding import init
from tests.steps.onboarding.shops import first_look, rows_of_a_shop, shop, written


def prepared(name: str) -> dataset.Dataset:
    """What `prepare` makes of the YAML as it was written."""
    return dataset.load(check(DataConfig, dataset.config_of(name), name))


def test_columns_types_times_and_split_are_found_and_the_yaml_prepares(workspace: Path) -> None:
    result = first_look(shop(workspace))
    assert result.name == "shop-export"
    expected = {"user_id": "customer", "item_id": "sku", "timestamp": "bought_at", "interaction_type": "action"}
    assert result.columns == expected
    assert sum(result.profile.types.values()) == result.profile.kept == 600
    config = check(DataConfig, named_yaml("data", "shop-export"), "shop-export")
    assert config.weights == {"pageview": 0.1, "add_to_basket": 0.6, "purchase": 1.0}
    assert config.split.method == "temporal"
    assert prepared("shop-export").report["rows"] == 600


def test_how_the_file_is_written_is_told(workspace: Path) -> None:
    form = first_look(shop(workspace)).form
    assert form is not None
    assert (form.separator, form.quotes, form.encoding, form.header) == ("semicolon", "none", "UTF-8", "first line")
    assert form.time == "ISO 8601"
    assert form.zone == "none given: taken as UTC"


def test_a_weight_that_grows_with_the_value_is_in_words_on_the_page(workspace: Path) -> None:
    rows = [[user, item, time, str(1 + at % 5)] for at, (user, item, time, _) in enumerate(rows_of_a_shop())]
    result = first_look(written(workspace / "stars.csv", rows, ("customer", "sku", "bought_at", "rating")))
    page = (workspace / result.page).read_text()
    assert "<td>0 to 1, the whole at 5</td>" in page
    assert "{&#39;" not in page


def test_data_without_an_order_is_split_at_random_and_the_report_says_so(workspace: Path) -> None:
    rows = [[user, item, kind] for user, item, _, kind in rows_of_a_shop()]
    result = first_look(written(workspace / "unordered.csv", rows, ("customer", "sku", "action")))
    assert result.split == "ratio"
    assert any("what came first" in warning for warning in result.warnings)


def test_a_file_without_a_header_is_understood_by_what_it_holds(workspace: Path) -> None:
    result = first_look(shop(workspace, names=None))
    assert result.columns == {
        "user_id": "column_1",
        "item_id": "column_2",
        "timestamp": "column_3",
        "interaction_type": "column_4",
    }
    assert prepared("shop-export").report["kept"] == 600


@pytest.mark.parametrize("rows", [[], [["c1", "p1", "2026-03-01", "view"]] * 3])
def test_nothing_is_written_of_a_file_that_cannot_be_used(workspace: Path, rows: list[list[str]]) -> None:
    path = written(workspace / "few.csv", rows)
    with pytest.raises(DataError, match=r"no rows|at least 2 users"):
        first_look(path)
    assert not (workspace / "conf" / "data" / "few.yaml").exists()


def test_too_little_data_is_refused_as_prepare_would(workspace: Path) -> None:
    rows = [["c1", "p1", "2026-03-01", "view"], ["c2", "p2", "2026-03-02", "view"]]
    with pytest.raises(TooLittleData, match="2 interactions: a recommender needs at least 10 interactions"):
        first_look(written(workspace / "few.csv", rows))


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a\\b", ".hidden", " a", "a\nb", "x" * 200])
def test_a_name_leads_nowhere_else(workspace: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the name of a data set has letters"):
        first_look(shop(workspace), f"--name={name}")
    assert not list(workspace.parent.glob("*evil*"))


def test_a_name_with_blanks_is_quoted_in_the_commands(workspace: Path) -> None:
    result = first_look(shop(workspace), "--name", "my shop")
    assert result.next[0].endswith("--data 'my shop'")


def test_event_types_of_any_writing_are_written_as_yaml_reads_them(workspace: Path) -> None:
    kinds = {"pageview": "a # b: c", "add_to_basket": "- [x]", "purchase": "yes"}
    rows = [[user, item, time, kinds[kind]] for user, item, time, kind in rows_of_a_shop()]
    first_look(written(workspace / "odd.csv", rows))
    assert set(named_yaml("data", "odd")["weights"]) == set(kinds.values())
    assert app.main(["prepare", "--data", "odd"]) == 0


def test_unknown_types_are_worth_the_more_the_rarer_they_are(workspace: Path) -> None:
    kinds = {"pageview": "aaa", "add_to_basket": "bbb", "purchase": "ccc"}
    rows = [[user, item, time, kinds[kind]] for user, item, time, kind in rows_of_a_shop()]
    first_look(written(workspace / "funnel.csv", rows))
    weights = named_yaml("data", "funnel")["weights"]
    assert weights["aaa"] < weights["bbb"] < weights["ccc"] == 1.0


def test_columns_that_nothing_names_are_guessed_by_their_values_and_the_guess_is_told(workspace: Path) -> None:
    rows = [[item, time, user, kind] for user, item, time, kind in rows_of_a_shop()]
    result = first_look(written(workspace / "x.csv", rows, ("q", "w", "e", "r")))
    assert result.columns == {"user_id": "e", "item_id": "q", "timestamp": "w", "interaction_type": "r"}
    assert {one.question.split()[0]: one.asked for one in result.decisions} == dict.fromkeys("qwer", False)


def test_columns_that_even_values_do_not_tell_are_asked_for_in_one_line(workspace: Path) -> None:
    rows = [[f"{at}.5", f"a sentence of many words that names nothing, number {at}"] for at in range(60)]
    with pytest.raises(DataError, match=r"none is known to hold user_id.*--columns\.user_id who"):
        first_look(written(workspace / "x.csv", rows, ("who", "what")))


def test_a_yaml_that_is_there_is_not_replaced_unasked(workspace: Path) -> None:
    path = shop(workspace)
    first_look(path)
    with pytest.raises(ConfigError, match="is there already"):
        init.run(init.settings_from(["--path", str(path)]))


def test_yes_replaces_what_init_wrote_and_says_so_but_no_data_set_of_the_repository(workspace: Path) -> None:
    path = shop(workspace)
    first_look(path)
    other = workspace / "elsewhere" / path.name
    other.parent.mkdir()
    path.rename(other)
    assert first_look(other).notes[0] == f"conf/data/shop-export.yaml is replaced: it was of {path.name}"
    yaml = workspace / "conf" / "data" / "shop-export.yaml"
    yaml.write_text("source: {kind: synthetic}\n")
    with pytest.raises(ConfigError, match=r"is there already, and was not written by `recstage init`\. Give --name"):
        first_look(other)
    assert yaml.read_text() == "source: {kind: synthetic}\n"


def test_rows_in_order_of_time_tell_whether_the_day_comes_first(workspace: Path) -> None:
    days = [(month, day) for month in range(3, 7) for day in range(1, 13)]
    rows = [[f"u{at % 5}", f"i{at * 7 % 11}", f"{day:02}/{month:02}/2025"] for at, (month, day) in enumerate(days)]
    found = first_look(written(workspace / "days.csv", rows, ("user", "item", "date")))
    assert found.form.time == "dates, the day first"
    (decision,) = (one for one in found.decisions if "month first" in one.question)
    assert decision.question.startswith("In dates as 01/03/2025, is the month first? The rows are in order of time if")
    assert decision.taken == "no"
    assert (found.profile.first.month, found.profile.last.month) == (3, 6)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_late_row_tells_whether_the_day_comes_first(workspace: Path, parts: int) -> None:
    days = [f"{'03' if at < 700 else '25'}/01/2025" for at in range(800)]
    rows = [[f"u{at % 40}", f"i{at % 37}", day] for at, day in enumerate(days)]
    (workspace / "days").mkdir()
    for part in range(parts):
        begin, end = part * 600, 600 if part + 1 < parts else 800
        written(workspace / "days" / f"part-{part}.csv", rows[begin:end], ("user", "item", "date"))
    found = first_look(workspace / "days")
    assert found.form.time == "dates, the day first"
    assert not [one for one in found.decisions if "month first" in one.question]
    assert (found.profile.first.day, found.profile.last.day, found.profile.last.month) == (3, 25, 1)
    assert "time" not in named_yaml("data", "days")["source"]


def test_paths_are_from_the_repository_or_said_to_be_outside(workspace: Path, tmp_path: Path) -> None:
    first_look(shop(workspace), "--name", "inside")
    first_look(shop(tmp_path), "--name", "outside")
    assert named_yaml("data", "inside")["source"]["path"] == "Shop Export.csv"
    assert named_yaml("data", "outside")["source"]["path"] == str(tmp_path / "Shop Export.csv")
    assert "outside of the repository" in (workspace / "conf/data/outside.yaml").read_text()


def test_the_same_yaml_is_read_from_any_folder(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_look(shop(workspace), "--name", "inside")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shop(elsewhere, rows=50)
    monkeypatch.chdir(elsewhere)
    assert prepared("inside").report["rows"] == 600


def test_the_user_of_the_last_command_is_one_of_the_file_and_escaped(workspace: Path) -> None:
    rows = [[f"{user} & sons/1", item, time, kind] for user, item, time, kind in rows_of_a_shop()]
    result = first_look(written(workspace / "sons.csv", rows))
    assert "%20%26%20sons%2F1&limit=5'" in result.next[3]


def test_the_command_prints_the_next_four_and_writes_both_reports(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["init", str(shop(workspace)), "--yes", "--name", "shop", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [line.split()[:2] for line in result["next"][:3]] == [
        ["recstage", "train"],
        ["recstage", "promote"],
        ["recstage", "serve"],
    ]
    assert json.loads((workspace / "data" / "reports" / "shop.json").read_text())["form"]["separator"] == "semicolon"
    page = (workspace / "data" / "reports" / "shop.html").read_text()
    for part in ("customer", "semicolon", "Events a user", "sessions", "density", "temporal", "Gini"):
        assert part in page
