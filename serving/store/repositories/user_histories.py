"""User histories: the live history of a request, the events page by page, and the preferred categories."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import aliased

from recstage.config import DataConfig, ValueWeight
from serving.interfaces import NO_HISTORY, HiddenItems, History, told
from serving.store.db import change_counters
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import Counter, ItemCategory, User, UserInteraction, UserProfile
from serving.store.repositories.hidden_items import HiddenItemsReader
from serving.store.repositories.users import UserReader, erased_at

_USER = Query(
    "user",
    select(User.history_version, User.opted_out, User.forgotten_at).where(User.user_id == bindparam("user_id")),
)
_HIDDEN, _CATALOGUE = aliased(Counter), aliased(Counter)
_MOMENT = Query(
    "moment",
    select(_HIDDEN.value, _CATALOGUE.value, User.history_version, User.opted_out, User.forgotten_at)
    .select_from(_HIDDEN)
    .join(_CATALOGUE, _CATALOGUE.name == change_counters.ITEMS)
    .outerjoin(User, User.user_id == bindparam("user_id"))
    .where(_HIDDEN.name == change_counters.HIDDEN),
)
_EVENTS = Query(
    "history",
    select(
        UserInteraction.item_id, UserInteraction.interaction_type, UserInteraction.value, UserInteraction.occurred_at
    )
    .where(UserInteraction.user_id == bindparam("user_id"))
    .order_by(UserInteraction.occurred_at.desc(), UserInteraction.id.desc())
    .limit(bindparam("limit")),
)
_DECLARED = Query(
    "declared",
    select(UserProfile.categories, UserProfile.role, UserProfile.attributes).where(
        UserProfile.user_id == bindparam("user_id")
    ),
)
_KNOWN = Query("known_user", select(User.opted_out).where(User.user_id == bindparam("user_id")))
_PAGE = Query(
    "history_page",
    select(
        UserInteraction.id,
        UserInteraction.item_id,
        UserInteraction.interaction_type,
        UserInteraction.value,
        UserInteraction.context,
        UserInteraction.request_id,
        UserInteraction.occurred_at,
    )
    .where(
        UserInteraction.user_id == bindparam("user_id"),
        UserInteraction.occurred_at <= bindparam("before"),
        or_(UserInteraction.occurred_at < bindparam("before"), UserInteraction.id < bindparam("before_id")),
    )
    .order_by(UserInteraction.occurred_at.desc(), UserInteraction.id.desc())
    .limit(bindparam("limit")),
)
_CATEGORIES = Query(
    "categories_of_history",
    select(UserInteraction.item_id, ItemCategory.category)
    .distinct()
    .join(ItemCategory, ItemCategory.item_id == UserInteraction.item_id)
    .where(UserInteraction.user_id == bindparam("user_id")),
)
_EVENTS_PER_ITEM = 4  # events read for each item of the limit: enough for users who return to the same items
FAR_FUTURE = 1 << 62


# -- what events are worth --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weighting:
    """The event weights of a data set, applied to one event at a time (`recstage.data` applies them to whole sets)."""

    weights: Mapping[str, float | ValueWeight]
    negative_types: frozenset[str]
    rule: Literal["sum", "max", "last"]

    @classmethod
    def of(cls, data: DataConfig) -> Weighting:
        return cls(data.weights, frozenset(data.negative_types), data.aggregate)

    def weight(self, interaction_type: str, value: float | None) -> float:
        """The weight of one event; 0 for a type without a rule."""
        rule = self.weights.get(interaction_type, 0.0)
        if not isinstance(rule, ValueWeight):
            return rule
        share = 0.0 if value is None else min(max(value / rule.full, 0.0), 1.0)
        return rule.low + (rule.high - rule.low) * share

    def by_type(self) -> dict[str, float]:
        """A weight for each type, where the values of events are not looked at: the middle of its range."""
        return {
            name: rule if not isinstance(rule, ValueWeight) else (rule.low + rule.high) / 2
            for name, rule in self.weights.items()
        }

    def aggregate(self, events: Iterable[tuple[str, str, float | None, int]]) -> dict[str, tuple[float, int]]:
        """Weight and time of the last event of each item.

        `events` are (item, type, value, time), oldest first. A negative event discards what came before it, as
        `recstage.data.event_log.EventLog.aggregate` does.
        """
        pairs: dict[str, tuple[float, int]] = {}
        since_negative: dict[str, float] = {}
        for item_id, interaction_type, value, moment in events:
            weight = self.weight(interaction_type, value)
            if interaction_type in self.negative_types:
                since_negative.pop(item_id, None)
                pairs[item_id] = (min(weight, 0.0), moment)
                continue
            before = since_negative.get(item_id)
            if before is not None and self.rule == "sum":
                weight += before
            elif before is not None and self.rule == "max":
                weight = max(weight, before)
            since_negative[item_id] = weight
            pairs[item_id] = (weight, moment)
        return pairs


# -- the live history of a request ------------------------------------------------------------------------------------


class UserHistoryReader:
    """`HistorySource` on the store.

    Each call reads the user's history version (one row by its key) and reads the events only when the version moved.
    """

    def __init__(
        self,
        reader: Reader,
        users: UserReader,
        hidden_items: HiddenItemsReader,
        weighting: Weighting,
        *,
        limit: int,
        fast: bool,
        cache_size: int = 20_000,
    ) -> None:
        """`limit`: items of a history, the newest; `fast`: as in `HistorySource`; `cache_size`: histories kept."""
        self.fast = fast
        self._reader, self._users, self._weighting, self._limit = reader, users, weighting, limit
        self._hidden_items = hidden_items
        self._cache_size = cache_size
        self._cache: OrderedDict[str, History] = OrderedDict()
        self._lock = Lock()

    def history(self, user_id: str) -> History:
        """What was collected of this user. Raises `StoreError`."""
        row = self._reader.row(_USER, {"user_id": user_id})
        return self._unknown_user(user_id) if row is None else self._known_user(user_id, *row)

    def moment(self, user_id: str) -> tuple[History, HiddenItems]:
        """`MomentSource`: the history, and the items hidden now, by one query. Raises `StoreError`."""
        row = self._reader.row(_MOMENT, {"user_id": user_id})
        if row is None:  # the counters are not there
            return self.history(user_id), self._hidden_items.hidden()
        hidden = self._hidden_items.at(row[0], row[1])
        if row[2] is None:
            return self._unknown_user(user_id), hidden
        return self._known_user(user_id, *row[2:]), hidden

    def _known_user(self, user_id: str, version: int, opted_out: bool, forgotten_at: int | None) -> History:
        with self._lock:
            cached = self._cache.get(user_id)
            if cached is not None and cached.version == version:
                self._cache.move_to_end(user_id)
                return cached
        if opted_out:
            history = History(version=version, personal=False)
        else:
            history = self._read(user_id, version, forgotten_at is not None)
        with self._lock:
            self._cache[user_id] = history
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return history

    def last_known(self, user_id: str) -> History:
        """The last history read, for use while the database is unavailable; never raises.

        A user last known to have opted out gets a history that is not personal.
        """
        with self._lock:
            cached = self._cache.get(user_id)
        if cached is not None:
            return cached
        return History(personal=False) if user_id in self._users.last_opted_out else NO_HISTORY

    def _unknown_user(self, user_id: str) -> History:
        moment = erased_at(self._reader, user_id)
        return NO_HISTORY if moment is None else History(version=moment, forgotten=True)

    def _read(self, user_id: str, version: int, forgotten: bool) -> History:
        events = self._reader.rows(_EVENTS, {"user_id": user_id, "limit": self._limit * _EVENTS_PER_ITEM})
        pairs = self._weighting.aggregate(reversed(events))
        newest = sorted(pairs.items(), key=lambda pair: pair[1][1])[-self._limit :]
        declared = self._reader.row(_DECLARED, {"user_id": user_id})
        categories: tuple[str, ...] = ()
        attributes: dict[str, Any] = {}
        if declared is not None:
            categories = tuple(from_json(declared[0]))
            first = categories[0] if categories else None
            attributes = {**(from_json(declared[2]) or {}), "role": declared[1], "category": first}
        return History(
            item_ids=tuple(item_id for item_id, _ in newest),
            weights=tuple(weight for _, (weight, _) in newest),
            timestamps=tuple(moment // 1000 for _, (_, moment) in newest),
            version=version,
            categories=categories,
            forgotten=forgotten,
            profile=told("profile", attributes),
        )


# -- what GET /api/users/{id}/history returns -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event as it was stored; the time in milliseconds since 1970."""

    number: int
    item_id: str
    interaction_type: str
    value: float | None
    context: dict[str, Any] | None
    request_id: str | None
    occurred_at: int


def is_known(reader: Reader, user_id: str) -> bool:
    """Whether anything is stored of this user. Raises `StoreError`."""
    return reader.row(_KNOWN, {"user_id": user_id}) is not None


def events_of(
    reader: Reader, user_id: str, limit: int, before: tuple[int, int] = (FAR_FUTURE, FAR_FUTURE)
) -> list[PastEvent]:
    """The newest `limit` events before `before` (time, event number). Raises `StoreError`."""
    parameters = {"user_id": user_id, "limit": limit, "before": before[0], "before_id": before[1]}
    return [
        PastEvent(number, item_id, kind, value, from_json(context), request_id, occurred_at)
        for number, item_id, kind, value, context, request_id, occurred_at in reader.rows(_PAGE, parameters)
    ]


def preferences_of(reader: Reader, user_id: str, liked: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Share of each category in what a user liked, greatest first; `liked` is (item, weight). Raises `StoreError`."""
    categories: dict[str, list[str]] = {}
    for item_id, category in reader.rows(_CATEGORIES, {"user_id": user_id}):
        categories.setdefault(item_id, []).append(category)
    totals: dict[str, float] = {}
    for item_id, weight in liked:
        names = categories.get(item_id, ()) if weight > 0 else ()
        for name in names:
            totals[name] = totals.get(name, 0.0) + weight / len(names)
    whole = sum(totals.values())
    return {name: total / whole for name, total in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))}
