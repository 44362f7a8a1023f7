"""The migrations of the service's database are one line: two that follow the same one leave no service startable."""

from __future__ import annotations

from recstage.config import root

VERSIONS = root() / "serving" / "store" / "admin" / "migrations" / "versions"


def test_migrations_are_numbered_without_gaps_and_follow_each_other():
    files = sorted(VERSIONS.glob("[0-9]*.py"))
    numbers = [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [file.name[:4] for file in files] == numbers
    for file, number, before in zip(files, numbers, [None, *numbers], strict=False):
        text = file.read_text()
        assert f'revision = "{number}"\n' in text
        assert ("down_revision = None\n" if before is None else f'down_revision = "{before}"\n') in text
