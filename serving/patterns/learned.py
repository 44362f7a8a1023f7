"""What a history says of a user: taste by category and activity, as plain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is learned of one user.

    `taste`: share of each category in what the user liked, by weight, greatest first; `liked`: items it is made from;
    `events`, `by_type`: live events; `by_hour`, `by_weekday`: the same by hour of the day (24, UTC) and day of the week
    (7, Monday first); `active_days`: days (UTC) with an event; `last_at`: of the last event, milliseconds since 1970.
    """

    taste: dict[str, float]
    liked: int
    events: int
    by_type: dict[str, int]
    by_hour: list[int]
    by_weekday: list[int]
    active_days: int
    last_at: int | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def learned(
    liked: Iterable[tuple[str, float]],
    categories_of: Callable[[str], Sequence[str]],
    events: Sequence[tuple[int, str]],
) -> Patterns:
    """The patterns of one user.

    Args:
        liked: items and their weights; those of 0 or less are left out.
        categories_of: the categories of an item; its weight is shared among them.
        events: time (milliseconds since 1970) and type of each, newest first.
    """
    weights: Counter[str] = Counter()
    items = 0
    for item_id, weight in liked:
        if weight <= 0:
            continue
        items += 1
        names = categories_of(item_id)
        for name in names:
            weights[name] += weight / len(names)  # type: ignore[assignment]  # a counter of floats
    whole = sum(weights.values())
    moments = [datetime.fromtimestamp(moment / 1000, UTC) for moment, _ in events]
    hours, weekdays = Counter(one.hour for one in moments), Counter(one.weekday() for one in moments)
    return Patterns(
        taste={name: weight / whole for name, weight in sorted(weights.items(), key=lambda one: (-one[1], one[0]))},
        liked=items,
        events=len(events),
        by_type=dict(sorted(Counter(kind for _, kind in events).items())),
        by_hour=[hours[hour] for hour in range(24)],
        by_weekday=[weekdays[day] for day in range(7)],
        active_days=len({one.date() for one in moments}),
        last_at=events[0][0] if events else None,
    )
