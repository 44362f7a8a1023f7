"""Amounts of memory as they are written."""

from __future__ import annotations

import pytest

from recstage.config.memory_size import bytes_of, shown
from recstage.config.steps import PrepareSettings
from recstage.errors import ConfigError
from recstage.steps import prepare


@pytest.mark.parametrize(
    ("text", "amount"),
    [("8GiB", 8 << 30), ("800MB", 800_000_000), ("1.5 gib", 3 << 29), ("2gb", 2_000_000_000), ("1TiB", 1 << 40)],
)
def test_an_amount_is_read(text: str, amount: int) -> None:
    assert bytes_of(text) == amount


@pytest.mark.parametrize("text", ["8", "8GX", "GiB", "-1GiB", "0GiB", "8 GiB RAM", "eight"])
def test_what_is_no_amount_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=rf"'{text}' is no amount of memory: write a number and MB"):
        bytes_of(text)


def test_an_amount_is_shown_as_it_is_read() -> None:
    assert [shown(amount) for amount in (5 << 20, 8 << 30, 3 << 29)] == ["5 MiB", "8 GiB", "1.5 GiB"]


def test_it_is_a_setting_of_the_data_set_under_its_own_name() -> None:
    settings: PrepareSettings = prepare.settings_from(["--data", "synthetic", "--memory", "8GiB"])

    assert settings.data.memory == "8GiB"


def test_nonsense_on_the_command_line_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"'8GX' is no amount of memory") as refused:
        prepare.settings_from(["--data", "synthetic", "--memory", "8GX"])

    assert "\n" not in str(refused.value)
