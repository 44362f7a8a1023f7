"""Words that docs/glossary.md retires do not come back, in code, messages or docs."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from recstage.config import root

GLOSSARY = "docs/glossary.md"
LEFT_OUT = {
    GLOSSARY,
    "CHANGELOG.md",  # what earlier versions were said to do
    "docs/upgrading.md",  # old names, to be found by who still uses them
    "tests/structure/test_glossary.py",
}
KINDS = {".py", ".md", ".yaml", ".yml", ".ipynb", ".toml", ".html", ".j2"}


@cache
def retired() -> dict[str, str]:
    """Each retired word with what to say instead."""
    table = (root() / GLOSSARY).read_text().partition("## Retired words")[2]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return {word.strip(): use.strip() for words, use in rows for word in words.split(",")}


@cache
def pattern() -> re.Pattern[str]:
    """Any retired word, standing alone: not a part of an identifier, a setting or a path."""
    words = "|".join(re.escape(word) for word in sorted(retired(), key=len, reverse=True))
    authors, field = r" et al\b", r": (int|float|str|[0-9])"
    return re.compile(rf"(?<![\w./\-\"'`])({words})(?![\w/\-\"'`=(]|\.\w|{authors}|{field})", re.IGNORECASE)


def files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=root(), capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if Path(name).suffix in KINDS and name not in LEFT_OUT]


def test_the_table_is_read():
    assert {"people", "he", "drills"} <= retired().keys()
    assert pattern().search("what people do")
    assert not pattern().search("split.newcomers: 0")


@pytest.mark.parametrize("name", files())
def test_no_retired_word_is_used(name):
    found = [
        f"{name}:{number}: '{match[1]}' is retired: write '{retired()[match[1].lower()]}' ({GLOSSARY})"
        for number, line in enumerate((root() / name).read_text().splitlines(), 1)
        for match in pattern().finditer(line)
    ]
    assert not found, "\n".join(found)
