"""Numbers in words: "1 user", "200 of 201 users (99.5 %)"."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number with its noun, in the plural where it is not one."""
    return f"{count:,} {what if count == 1 else plural(what)}"


def plural(what: str) -> str:
    """The plural of a regular noun."""
    return f"{what[:-1]}ies" if what.endswith("y") and what[-2] not in "aeiou" else f"{what}s"


def of_all(count: int, total: int, what: str) -> str:
    """A part of a whole: "200 of 201 users (99.5 %)"."""
    return f"{count:,} of {counted(total, what)} ({percent(count, total)})"


def percent(count: float, total: float) -> str:
    """A share that is 0 or 100 % only where it is none or all."""
    if not total:
        return "0 %"
    share = 100 * count / total
    if count == 0 or count == total:
        return f"{share:.0f} %"
    for digits in range(1, 4):
        text = f"{share:.{digits}f}"
        if 0 < float(text) < 100:
            return f"{text} %"
    return "below 0.001 %" if share < 1 else "above 99.999 %"
