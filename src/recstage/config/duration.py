"""Spans of time in short: 90s, 10m, 1.5h."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: object) -> float:
    """Seconds of "90s", "10m" or "1.5h"; 0 of an empty text. Raises `ValueError` on anything else."""
    if isinstance(text, int | float) and not isinstance(text, bool) and text == 0:
        return 0.0
    given = str(text).strip().lower()
    if given in ("", "0"):
        return 0.0
    found = _PATTERN.fullmatch(given)
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"'{text}' is no time: write a number and s, m or h, such as 90s, 10m or 1.5h")
    return float(found[1]) * _SECONDS[found[2]]


Duration = Annotated[float, BeforeValidator(seconds_of)]
"""Seconds, written as 90s, 10m or 1.5h."""
