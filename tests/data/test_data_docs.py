"""docs/data.md speaks of everything that can be set."""

from __future__ import annotations

from typing import get_args

import pytest

from recstage.config import DataConfig, MinimumConfig, SplitConfig, names_in, root
from recstage.data.sources import SOURCES

DOCS = root() / "docs" / "data.md"
SETTINGS = [
    *(name for name in DataConfig.model_fields if name != "name"),
    *SplitConfig.model_fields,
    *MinimumConfig.model_fields,
    *get_args(SplitConfig.model_fields["method"].annotation),
]


@pytest.mark.parametrize("word", [*SOURCES, *names_in("data"), *SETTINGS])
def test_every_source_name_and_setting_is_documented(word: str) -> None:
    text = DOCS.read_text()

    assert f"`{word}`" in text or f".{word}`" in text or f"{word}:" in text
