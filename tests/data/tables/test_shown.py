"""Values in messages: short, and plain where they are lists or objects."""

import datetime

import pytest

from recstage.data.tables.values.shown import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("p1", "p1"),
        (7, "7"),
        ("x" * 50, "x" * 40 + "..."),
        (["a", "b"], "a, b"),
        ("['a', 'b']", "a, b"),
        ('["a", null]', "a, None"),
        ([], ""),
        (["x" * 50, "b"], "x" * 40 + "... and 1 more"),
        ([{"id": "p1", "n": 1, "m": 2}], "id p1, n 1"),
        ({"id": "p1", "n": [1, 2]}, "id p1, n 1, 2"),
        ("[{'at': datetime.date(2026, 1, 1)}]", "at: datetime.date(2026, 1, 1)"),
        ([datetime.date(2026, 1, 1)], "2026-01-01"),
        ("[red] lamp", "[red] lamp"),
        ("{0000-11}", "{0000-11}"),
    ],
)
def test_a_value_is_shown_short_and_plain(value, text):
    assert shown(value) == text
