import pytest
from pydantic import TypeAdapter, ValidationError

from recstage.config.duration import Duration

read = TypeAdapter(Duration).validate_python


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 M ", 120), ("", 0), (0, 0), ("0", 0)]
)
def test_times_are_read_with_their_unit(text, seconds):
    assert read(text) == seconds


@pytest.mark.parametrize("text", ["10", "ten", "10 minutes", "-5m", "0m", "m", "1h30m", True, 600])
def test_anything_else_is_refused_with_the_rule(text):
    with pytest.raises(ValidationError, match="is no time: write a number and s, m or h"):
        read(text)
