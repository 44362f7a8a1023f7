"""Which way a data set is prepared, and what is said of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from recstage.config import DataConfig, EventsSource, ServiceSource, SplitConfig, SyntheticSource
from recstage.data.out_of_core import choice, engine
from recstage.errors import ConfigError
from tests.data.out_of_core.prepared_twice import config


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: True)


def of(events: int, **options: str) -> DataConfig:
    return config(SyntheticSource(users=10, items=10, interactions=events), **options)


def test_what_fits_is_prepared_in_memory_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert choice.out_of_core(of(1000)) is None

    assert caplog.text == ""


def test_what_does_not_fit_is_prepared_out_of_core_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert choice.out_of_core(of(100_000_000, memory="8GiB")) == 8 << 30

    assert caplog.messages == [
        "shop: prepared out of core by DuckDB (in memory it would take some 30.7 GiB; memory=8GiB)"
    ]


def test_a_bound_that_is_enough_is_said_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert choice.out_of_core(of(1_000_000, memory="8GiB")) is None

    assert caplog.messages == ["shop: prepared in memory (in memory it would take some 315 MiB; memory=8GiB)"]


def test_the_engine_may_be_named(tmp_path: Path) -> None:
    assert choice.out_of_core(of(100_000_000_000, engine="memory")) is None
    assert choice.out_of_core(of(10, engine="duckdb", memory="2GiB")) == 2 << 30


def test_a_bound_below_what_is_possible_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"memory = 500MB: preparing out of core takes 1 GiB at least: libraries, DuckDB and a block of users\. "
        r"Give 1GiB or more",
    ):
        choice.out_of_core(of(100_000_000, memory="500MB"))


@pytest.mark.parametrize("options", [{"memory": "8GiB"}, {"engine": "duckdb"}])
def test_a_missing_engine_is_one_line_where_it_was_asked_for(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: False)

    with pytest.raises(ConfigError, match=r"needs DuckDB, which is not installed\. pip install 'recstage\[scale\]'"):
        choice.out_of_core(of(100_000_000, **options))


def test_without_the_engine_and_a_bound_it_is_tried_in_memory_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: False)

    assert choice.out_of_core(of(100_000_000_000)) is None
    assert "pip install 'recstage[scale]' prepares it out of core" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (config(ServiceSource(), engine="duckdb"), "shop: prepared in memory, as every source of kind service"),
        (
            of(10**9, memory="1GiB").model_copy(update={"split": SplitConfig(method="k-fold")}),
            "shop: prepared in memory, as every split of method k-fold",
        ),
        (
            config(EventsSource(path="e.csv", context={"page": "page"}), engine="duckdb"),
            "shop: prepared in memory, as every data set with a context of events",
        ),
    ],
)
def test_some_are_always_prepared_in_memory(wanted: DataConfig, message: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert choice.out_of_core(wanted) is None

    assert caplog.messages == [message]


def test_files_are_weighed_by_their_size(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user_id,item_id\n" + "u,i\n" * 1000)

    assert choice.estimated(config(EventsSource(path=str(tmp_path / "e.csv")))) == 10 * (16 + 4000)
