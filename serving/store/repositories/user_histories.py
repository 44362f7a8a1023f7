"""Live histories: what a person did until a moment ago, aggregated as the training data is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from sqlalchemy import bindparam, select

from recstage.config import DataConfig, ValueWeight
from serving.interfaces import NO_HISTORY, History
from serving.store.db.id_digests import Digests
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import User, UserInteraction, UserProfile
from serving.store.repositories.users import People, erased_at

_PERSON = Query(
    "person",
    select(User.history_version, User.opted_out, User.forgotten_at).where(User.user_id == bindparam("user_id")),
)
_EVENTS = Query(
    "history",
    select(
        UserInteraction.item_id, UserInteraction.interaction_type, UserInteraction.value, UserInteraction.occurred_at
    )
    .where(UserInteraction.user_id == bindparam("user_id"))
    .order_by(UserInteraction.occurred_at.desc(), UserInteraction.id.desc())
    .limit(bindparam("most")),
)
_DECLARED = Query("declared", select(UserProfile.categories).where(UserProfile.user_id == bindparam("user_id")))
_EVENTS_AN_ITEM = 4  # events read for each item of the limit: enough for people who come back to the same items


@dataclass(frozen=True)
class Weighting:
    """What events are worth, one at a time: the rules of a data set, as `recstage.data` applies them to whole ones."""

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

    def aggregate(self, events: Iterable[tuple[str, str, float | None, int]]) -> dict[str, tuple[float, int]]:
        """Weight and time (of the last event) of each item, from (item, type, value, time) oldest first. The last word
        counts: see `recstage.data.event_log.EventLog.aggregate`."""
        pairs: dict[str, tuple[float, int]] = {}
        since_no: dict[str, float] = {}
        for item_id, interaction_type, value, moment in events:
            weight = self.weight(interaction_type, value)
            if interaction_type in self.negative_types:
                since_no.pop(item_id, None)
                pairs[item_id] = (min(weight, 0.0), moment)
                continue
            before = since_no.get(item_id)
            if before is not None and self.rule == "sum":
                weight += before
            elif before is not None and self.rule == "max":
                weight = max(weight, before)
            since_no[item_id] = weight
            pairs[item_id] = (weight, moment)
        return pairs


class Histories:
    """`HistorySource` on the store. Asks the database each time whether the person's version moved (one row by key) and
    reads the events only when it did."""

    def __init__(
        self,
        reader: Reader,
        people: People,
        weighting: Weighting,
        *,
        limit: int,
        fast: bool,
        remembered: int = 5_000,
    ) -> None:
        self.fast = fast
        self._reader, self._people, self._weighting, self._limit = reader, people, weighting, limit
        self._remembered = remembered
        self._known: OrderedDict[str, History] = OrderedDict()
        self._lock = Lock()
        self._digests: Digests | None = None

    def history(self, user_id: str) -> History:
        """What was collected of this person. Raises `StoreError`."""
        person = self._reader.row(_PERSON, {"user_id": user_id})
        if person is None:
            return self._stranger(user_id)
        version, opted_out, forgotten_at = person
        with self._lock:
            known = self._known.get(user_id)
            if known is not None and known.version == version:
                self._known.move_to_end(user_id)
                return known
        if opted_out:
            history = History(version=version, personal=False)
        else:
            history = self._read(user_id, version, forgotten_at is not None)
        with self._lock:
            self._known[user_id] = history
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return history

    def last_known(self, user_id: str) -> History:
        """The last answer, for while the database is away; nothing personal for those known to have opted out."""
        with self._lock:
            known = self._known.get(user_id)
        if known is not None:
            return known
        return History(personal=False) if user_id in self._people.last_opted_out else NO_HISTORY

    def _stranger(self, user_id: str) -> History:
        moment = erased_at(self._reader, user_id)
        return NO_HISTORY if moment is None else History(version=moment, forgotten=True)

    def _read(self, user_id: str, version: int, forgotten: bool) -> History:
        most = self._limit * _EVENTS_AN_ITEM
        events = self._reader.rows(_EVENTS, {"user_id": user_id, "most": most})
        pairs = self._weighting.aggregate(reversed(events))
        newest = sorted(pairs.items(), key=lambda pair: pair[1][1])[-self._limit :]
        declared = self._reader.row(_DECLARED, {"user_id": user_id})
        return History(
            item_ids=tuple(item_id for item_id, _ in newest),
            weights=tuple(weight for _, (weight, _) in newest),
            timestamps=tuple(moment // 1000 for _, (_, moment) in newest),
            version=version,
            categories=() if declared is None else tuple(from_json(declared[0])),
            forgotten=forgotten,
        )
