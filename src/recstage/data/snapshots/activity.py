"""What happened in the service's database since a training: a few counts, without a snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from recstage.config import ServiceSource
from recstage.data.snapshots.connection import connected

_COUNTS = text(
    "SELECT count(*), sum(CASE WHEN x.id <= :until THEN 1 ELSE 0 END) FROM user_interactions x"
    " JOIN users u ON u.user_id = x.user_id WHERE NOT u.opted_out"
)
_BY_ITEM = text(
    "SELECT item_id, sum(CASE WHEN id <= :until THEN 1 ELSE 0 END), sum(CASE WHEN id > :until THEN 1 ELSE 0 END)"
    " FROM user_interactions GROUP BY item_id"
)
_BY_TYPE = text(
    "SELECT interaction_type, sum(CASE WHEN id <= :until THEN 1 ELSE 0 END),"
    " sum(CASE WHEN id > :until THEN 1 ELSE 0 END) FROM user_interactions GROUP BY interaction_type"
)
_WINDOWS = text(
    "SELECT (:now - x.shown_at) / :width, count(*), sum(CASE WHEN EXISTS (SELECT 1 FROM user_interactions e"
    " WHERE e.request_id = x.request_id AND e.interaction_type <> 'dismiss') OR EXISTS (SELECT 1 FROM"
    " recommendation_feedback f WHERE f.request_id = x.request_id AND f.outcome <> 'dismiss') THEN 1 ELSE 0 END)"
    " FROM recommendation_impressions x WHERE x.shown_at <= :now AND x.shown_at > :since AND x.model_version = :version"
    " GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True)
class Window:
    """Lists of Production in one stretch of time: `age` 0 is the newest; `shown` lists, of which `used` led to an
    event or to feedback."""

    age: int
    shown: int
    used: int

    @property
    def click_through(self) -> float:
        return self.used / self.shown if self.shown else 0.0


@dataclass(frozen=True)
class Activity:
    """Interactions that training may use, now and up to event number `until`; counts by item and by type (then, since);
    windows of Production's lists, the newest first."""

    interactions: int
    interactions_then: int
    items: dict[str, tuple[int, int]] = field(default_factory=dict)
    types: dict[str, tuple[int, int]] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()


def read(
    config: ServiceSource, *, until: int | None, version: int | None, now_ms: int, hours: float, windows: int
) -> Activity:
    """`until`: the newest event of the last training (None: there was none); `version`: Production, whose lists of
    `windows` windows of `hours` are counted. Raises `StoreError`, `DataError` as a snapshot does."""
    with connected(config) as connection:
        now, then = connection.execute(_COUNTS, {"until": until or 0}).one()
        found = Activity(int(now), int(then or 0))
        if until is not None:
            found.items.update(_then_and_since(connection, _BY_ITEM, until))
            found.types.update(_then_and_since(connection, _BY_TYPE, until))
        if version is None or windows < 1:
            return found
        width = int(hours * 3_600_000)
        given = {"now": now_ms, "width": width, "since": now_ms - width * windows, "version": str(version)}
        rows = connection.execute(_WINDOWS, given)
        counted = tuple(Window(int(age), int(shown), int(used or 0)) for age, shown, used in rows)
        return Activity(found.interactions, found.interactions_then, found.items, found.types, counted)


def _then_and_since(connection: Connection, query: object, until: int) -> dict[str, tuple[int, int]]:
    return {name: (int(then), int(since)) for name, then, since in connection.execute(query, {"until": until})}  # type: ignore[call-overload]
