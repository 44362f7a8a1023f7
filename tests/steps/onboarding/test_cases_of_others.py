"""The small files that failed once, each looked at unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.steps.onboarding.shops import first_look

pytestmark = pytest.mark.data

CASES = [
    ("01-lone-quote/events.tsv", 400, "temporal", 0, 28),
    ("03-other-names/events.csv", 500, "temporal", 30, 30),
    ("04-own-event-types/events.csv", 600, "temporal", 0, 30),
    ("05-ids-1-and-1.0/events.csv", 400, "temporal", 24, 24),
    ("06-blanks-in-ids/events.csv", 400, "temporal", 27, 27),
    ("07-quoted-header/events.csv", 400, "temporal", 0, 27),
    ("08-no-order/events.csv", 455, "ratio", 0, 38),
    ("09-own-test-file/events.csv", 447, "given", 0, 36),
    ("10-categorical-items/events.csv", 400, "temporal", 25, 25),
    ("12-items-nobody-met/events.csv", 300, "temporal", 20, 20),
]
"""File, rows kept, split, items described of items."""


@pytest.mark.parametrize(("path", "kept", "split", "described", "items"), CASES, ids=lambda value: str(value)[:2])
def test_a_case_is_understood_unasked(
    shared_data: Path, workspace: Path, path: str, kept: int, split: str, described: int, items: int
) -> None:
    file = shared_data.parent / "cases" / path
    if not file.is_file():
        pytest.skip("no folder of cases beside the shared data")
    result = first_look(file, "--name", "case")
    assert (result.profile.rows, result.profile.kept, result.split) == (kept, kept, split)
    assert (result.profile.items_described, result.profile.items) == (described, items)
    assert all(weight.known for weight in result.weights.values())
