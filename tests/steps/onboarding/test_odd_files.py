"""Whatever writing an export has: it is understood unasked, and `prepare` counts what the first look counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.errors import DataError, RecstageError
from tests.data.tables import mutated_files
from tests.steps.onboarding.odd_files import ODD, E, Odd, text
from tests.steps.onboarding.shops import first_look


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_an_export_of_any_writing_is_understood_unasked(workspace: Path, odd: Odd) -> None:
    result = first_look(odd.write(workspace), "--name", "odd")
    assert result.columns == odd.columns
    assert (result.profile.rows, result.profile.kept) == (odd.rows, odd.kept)
    assert result.split == odd.split
    for name, words in odd.form.items():
        assert getattr(result.form, name) == words
    if odd.split == "temporal" and odd.name != "years.csv":
        assert result.profile.first is not None
        assert f"{result.profile.first:%Y-%m}" == "2026-01"
    report = dataset.load(check(DataConfig, dataset.config_of("odd"), "odd")).report
    assert (report["rows"], report["kept"], report["users"]) == (odd.rows, odd.kept, result.profile.users)


REFUSED = {
    "lists": (text(["user", "items"], lambda _, e: (e.user, f"{e.item};A-001;A-002")), "holds lists"),
    "one-user": (text(["user", "item"], lambda at, e: ("u", at)), "1 user: a recommender needs at least 2"),
    "one-item": (text(["user", "item"], lambda at, e: (at, "i")), "1 item: a recommender needs at least 2"),
    "empty": ("", "is empty"),
    "future": (text(["user", "item", "ts"], lambda _, e: (e.user, e.item, e.seconds + 10**9)), "impossible timestamp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line_and_nothing_is_written(workspace: Path, name: str) -> None:
    content, reason = REFUSED[name]
    path = workspace / f"{name}.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=reason) as refusal:
        first_look(path)
    assert "\n" not in str(refusal.value)
    assert not (workspace / "conf" / "data" / f"{name}.yaml").exists()


def test_a_part_without_a_header_is_not_left_out_in_silence(workspace: Path) -> None:
    folder = workspace / "parts"
    folder.mkdir()
    plain = text(["user", "item", "ts"], lambda _, e: (e.user, e.item, e.seconds))
    (folder / "part-1.csv").write_text(plain)
    (folder / "part-2.csv").write_text(plain.partition("\n")[2])
    with pytest.raises(DataError, match=r"part-2\.csv"):
        first_look(folder)
    with pytest.raises(DataError, match=r"part-2\.csv"):
        dataset.load(check(DataConfig, {"name": "x", "source": {"kind": "events", "path": str(folder)}}, "x"))


def test_the_files_hold_what_they_should() -> None:
    assert len({odd.name for odd in ODD}) >= 40
    assert len({one.user for one in E}) > 20


@pytest.mark.slow
def test_a_hundred_mutated_files_are_looked_at_without_a_traceback_and_counted_as_prepare_does(workspace: Path) -> None:
    wrong: dict[int, str] = {}
    looked_at = 0
    for seed in range(100):
        file = mutated_files.write(seed, workspace / "mutated" / str(seed))
        try:
            found = first_look(file.path, "--name", "mutated").profile
        except RecstageError as refusal:
            if "\n" in str(refusal):
                wrong[seed] = str(refusal)
            continue
        looked_at += 1
        report = dataset.load(check(DataConfig, dataset.config_of("mutated"), "mutated")).report
        counted = (found.rows, found.kept, found.dropped)
        if (report["rows"], report["kept"], report["dropped"]) != counted or file.rows not in (None, found.rows):
            wrong[seed] = f"{counted}, prepared {report['rows']}, {report['kept']}; {file.rows} meant"
    assert wrong == {}
    assert looked_at > 30
