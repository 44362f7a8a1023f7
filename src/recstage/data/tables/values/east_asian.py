"""Dates as Chinese, Japanese and Korean write them (2025年3月2日, 2025년 3월 2일 오후 3:05), as ISO 8601 does."""

from __future__ import annotations

import re

import pandas as pd

SIGNS = r"\s*\d{4}\s*[年년]\s*\d{1,2}\s*[月월]"
"""How such a date begins."""
WHOLE = re.compile(
    r"\s*(?P<year>\d{4})\s*[年년]\s*(?P<month>\d{1,2})\s*[月월]\s*(?P<day>\d{1,2})\s*[日号號일]?\s*(?:[(（]?\w{1,3}[)）]|[星期周週]\w{1,2})?"
    r"\s*(?P<half>上午|下午|午前|午後|오전|오후)?\s*(?:(?P<hour>\d{1,2})\s*[:：时時点點시]\s*(?:(?P<minute>\d{1,2})\s*[:：分분]?)?"
    r"\s*(?:(?P<second>\d{1,2}(?:\.\d+)?)\s*[秒초]?)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?\s*"
)
AFTERNOON = ("下午", "午後", "오후")


def in_iso(text: pd.Series) -> pd.Series:
    """Text with such dates as ISO writes them; what is none stays as it is."""
    theirs = text.str.match(SIGNS)
    return text.where(~theirs, text[theirs].map(_iso)) if theirs.any() else text


def _iso(value: str) -> str:
    found = WHOLE.fullmatch(value)
    if found is None:
        return value
    day = f"{found['year']}-{found['month']:0>2}-{found['day']:0>2}"
    if found["hour"] is None:
        return day
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + 12 * (found["half"] in AFTERNOON)
    second = f":{found['second']:0>2}" if found["second"] else ""
    return f"{day}T{hour:02d}:{found['minute'] or '0':0>2}{second}{found['zone'] or ''}"
