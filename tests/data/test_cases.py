"""Small files that failed once, and what each must give."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recstage.config import DataConfig, check
from recstage.data.cache import Dataset
from recstage.data.dataset import config_of, load
from recstage.errors import ConfigError, DataError
from recstage.steps import prepare

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip("no folder of cases beside the shared data")
    return folder


def loaded(path: Path, cache: Path, source: dict[str, Any] | None = None, **more: Any) -> Dataset:
    values = config_of(str(path)) | more
    values["source"] = values["source"] | (source or {})
    return load(check(DataConfig, values, str(path)), cache=cache)


def test_01_a_lone_quote_swallows_no_rows(cases: Path, tmp_path: Path) -> None:
    report = loaded(cases / "01-lone-quote/events.tsv", tmp_path, strict=True).report

    assert (report["rows"], report["kept"]) == (400, 400)
    assert report["notes"] == ["a quote that opens or closes nothing was read as text in 1 row (line 202)"]


def test_02_line_breaks_in_a_file_above_the_block(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(cases / "02-line-breaks-over-16mb/make.py"))
    with Path("events.csv").open("a") as file:
        file.write("one,field too,few\n")

    report = loaded(tmp_path / "events.csv", tmp_path / "cache").report

    assert (report["rows"], report["kept"]) == (300_001, 300_000)
    assert report["first_dropped"]["wrong number of fields"] == ["line 600002: 'one,field too,few'"]


def test_03_other_names_by_override(cases: Path, tmp_path: Path) -> None:
    settings = prepare.settings_from(
        [
            f"--data={cases / '03-other-names'}",
            "--data.source.columns.user_id=customer",
            "--data.source.items_columns.item_id",
            "sku",
        ]
    )

    dataset = load(settings.data, cache=tmp_path)

    assert dataset.report["items_joined"] == 30
    assert "Garden" in dataset.catalogue.category_names
    assert dataset.catalogue.attribute_kinds == {"price": "number"}


def test_03_other_names_are_understood_unasked(cases: Path, tmp_path: Path) -> None:
    assert loaded(cases / "03-other-names", tmp_path).report["items_joined"] == 30


def test_04_types_without_a_weight_are_listed_with_the_yaml_to_add(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        loaded(cases / "04-own-event-types/events.csv", tmp_path)

    message = str(caught.value)
    assert "\n" not in message
    assert "pageview (" in message
    assert "add_to_basket (" in message
    assert "weights: {pageview: 0.1, add_to_basket: 0.6}" in message
    assert loaded(cases / "04-own-event-types/events.csv", tmp_path, default_weight=0.5).report["dropped"] == {}


def test_05_one_and_one_point_zero_are_one_id(cases: Path, tmp_path: Path) -> None:
    report = loaded(cases / "05-ids-1-and-1.0", tmp_path).report

    assert report["items_joined"] == report["items"] - report["items_without_events"]


def test_06_blanks_around_ids_do_not_count(cases: Path, tmp_path: Path) -> None:
    report = loaded(cases / "06-blanks-in-ids", tmp_path).report

    assert report["users"] == 40
    assert report["items_joined"] == report["items"] - report["items_without_events"]


def test_07_a_header_field_may_hold_the_separator(cases: Path, tmp_path: Path) -> None:
    assert loaded(cases / "07-quoted-header/events.csv", tmp_path).report["kept"] == 400


def test_08_without_times_the_data_is_unordered(cases: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = cases / "08-no-order/events.csv"
    dataset = loaded(path, tmp_path)

    assert not dataset.ordered
    assert dataset.split.method == "ratio"
    assert (dataset.split.train.timestamp == 0).all()
    assert "unordered" in caplog.text
    for method in ("temporal", "leave-one-out"):
        with pytest.raises(DataError, match="the data set is unordered"):
            loaded(path, tmp_path, split={"method": method})


def test_09_a_test_file_of_its_own(cases: Path, tmp_path: Path) -> None:
    folder = cases / "09-own-test-file"
    rows = {tuple(line.split(",")) for line in (folder / "test.csv").read_text().split()[1:]}
    trained = {tuple(line.split(",")) for line in (folder / "events.csv").read_text().split()[1:]}

    by_path = loaded(
        folder / "events.csv", tmp_path, {"test_path": str(folder / "test.csv")}, split={"method": "given"}
    )
    by_folder = loaded(folder, tmp_path)

    for dataset in (by_path, by_folder):
        tested = dataset.split.test.to_frame()
        assert dataset.split.method == "given"
        assert {*zip(tested["user_id"], tested["item_id"], strict=True)} == rows - trained
    assert by_path.fingerprint == by_folder.fingerprint


def test_10_a_categorical_title_may_be_missing(cases: Path, tmp_path: Path) -> None:
    dataset = loaded(cases / "10-categorical-items", tmp_path)

    assert dataset.report["rows"] == 400
    assert dataset.report["items"] == 30
    assert int((dataset.catalogue.titles == "").sum()) == 1


@pytest.mark.parametrize("value", [".inf", ".nan", "{low: .inf, full: 5}", "{high: .nan, full: 5}", "{full: .inf}"])
def test_11_a_weight_is_finite(cases: Path, tmp_path: Path, value: str) -> None:
    text = (cases / "11-infinite-weight/data.yaml").read_text()
    assert "buy: .inf" in text
    path = tmp_path / "data.yaml"
    path.write_text(text.replace("buy: .inf", f"buy: {value}"))

    with pytest.raises(ConfigError, match=r"weights\.buy.*finite number"):
        prepare.settings_from([f"--data={path}"])


def test_12_items_without_events_are_in_the_catalogue(cases: Path, tmp_path: Path) -> None:
    dataset = loaded(cases / "12-items-nobody-met", tmp_path)

    assert dataset.report["items"] == 60
    assert len(np.unique(dataset.split.train.item_index)) <= 20
    assert all(dataset.catalogue.titles)
    assert len(dataset.catalogue.category_names) == 2
