"""How a data set differs from its last preparation: counts, ids in common, and the population stability index.

The index of two distributions over the same classes is the sum of (p - q) ln(p / q): below .1 they are alike, above .25
they are not (Siddiqi, Credit Risk Scorecards, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

ALIKE, SHIFTED = 0.1, 0.25
LEAST_SHARE = 1e-4  # of an empty class, whose logarithm would be infinite
COUNTED = ("rows", "kept", "users", "items", "events", "pairs", "items_without_events", "items_joined")
DISTRIBUTIONS = {"types": "interaction types", "events_per_user": "events a user", "events_per_item": "events an item"}


def drift(
    now: Mapping[str, Any],
    before: Mapping[str, Any],
    *,
    users: tuple[Collection[str], Collection[str]],
    items: tuple[Collection[str], Collection[str]],
) -> dict[str, Any]:
    """From the reports of two preparations and their ids (now, before)."""
    counts = {
        name: {"before": before[name], "now": now[name]}
        for name in COUNTED
        if isinstance(now.get(name), int) and isinstance(before.get(name), int)
    }
    shapes = {
        title: stability(now["distributions"][name], before["distributions"][name])
        for name, title in DISTRIBUTIONS.items()
        if name in now.get("distributions", {}) and name in before.get("distributions", {})
    }
    dropped = {
        reason: {"before": share_of(before, reason), "now": share_of(now, reason)}
        for reason in sorted({*now["dropped"], *before.get("dropped", {})})
    }
    return {
        "counts": counts,
        "dropped": dropped,
        "stability": {title: {"index": round(index, 4), "judgement": judged(index)} for title, index in shapes.items()},
        "users_kept": share_kept(*users),
        "items_kept": share_kept(*items),
    }


def stability(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    """The population stability index of two tables of counts."""
    total_now, total_before = max(sum(now.values()), 1), max(sum(before.values()), 1)
    index = 0.0
    for name in {*now, *before}:
        p = max(now.get(name, 0) / total_now, LEAST_SHARE)
        q = max(before.get(name, 0) / total_before, LEAST_SHARE)
        index += (p - q) * math.log(p / q)
    return index


def judged(index: float) -> str:
    """What an index means, in a word."""
    return "alike" if index < ALIKE else "somewhat shifted" if index < SHIFTED else "shifted"


def share_of(report: Mapping[str, Any], reason: str) -> float:
    """Share of the rows read that were dropped for a reason."""
    return round(report.get("dropped", {}).get(reason, 0) / max(report.get("rows", 0), 1), 6)


def share_kept(now: Collection[str], before: Collection[str]) -> float | None:
    """Share of the ids of before that are still there; None where there were none."""
    return round(len(set(before) & set(now)) / len(before), 4) if len(before) else None
