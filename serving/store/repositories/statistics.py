"""Counting: what became of an item, what a person likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, distinct, func, literal, or_, select, union

from recstage.config import ValueWeight
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import (
    SHOWN_ITEMS,
    ItemCategory,
    ItemExposure,
    RecommendationFeedback,
    User,
    UserInteraction,
)
from serving.store.repositories.user_histories import Weighting

Interaction, Feedback, Exposure = UserInteraction, RecommendationFeedback, ItemExposure


# -- an item ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """What was done with an item. `click_through_rate`: of the times it was shown, the share that led to a click;
    `implementation_rate`: of the people who did anything with it, the share who implemented it; `mean_label`: the mean
    weight of its events. None where nothing was counted."""

    counts: dict[str, int]
    people: int
    shown: int
    clicked: int
    click_through_rate: float | None
    implementation_rate: float | None
    mean_label: float | None


class ItemCounting:
    """Statistics of items, with the weights of the data set."""

    def __init__(self, reader: Reader, weighting: Weighting) -> None:
        self._reader = reader
        item: Any = bindparam("item_id")
        label = func.sum(_label(weighting))
        self._by_type = Query(
            "item_counts",
            select(Interaction.interaction_type, func.count(), func.count(distinct(Interaction.user_id)), label)
            .where(Interaction.item_id == item)
            .group_by(Interaction.interaction_type),
        )
        self._people = Query(
            "item_people", select(func.count(distinct(Interaction.user_id))).where(Interaction.item_id == item)
        )
        self._shown = Query(
            "item_shown", select(func.coalesce(func.sum(Exposure.shown), 0)).where(Exposure.item_id == item)
        )
        self._clicked = Query("item_clicked", _clicked(item))

    def of(self, item_id: str) -> ItemStatistics:
        """Statistics of an item. Raises `StoreError`."""
        asked = {"item_id": item_id}
        rows = self._reader.rows(self._by_type, asked)
        people, shown, clicked = (
            int(self._reader.rows(query, asked)[0][0]) for query in (self._people, self._shown, self._clicked)
        )
        events = sum(count for _, count, _, _ in rows)
        implementers = next((who for name, _, who, _ in rows if name == "implement"), 0)
        return ItemStatistics(
            counts={name: count for name, count, _, _ in sorted(rows)},
            people=people,
            shown=shown,
            clicked=clicked,
            click_through_rate=clicked / shown if shown else None,
            implementation_rate=implementers / people if people else None,
            mean_label=float(sum(total for _, _, _, total in rows)) / events if events else None,
        )


def _label(weighting: Weighting) -> ColumnElement:
    """The weight of an event, in SQL."""
    values = []
    for name, rule in weighting.weights.items():
        weight: Any = literal(float(rule)) if not isinstance(rule, ValueWeight) else _grown(rule)
        values.append((Interaction.interaction_type == name, weight))
    return case(*values, else_=0.0)


def _grown(rule: ValueWeight) -> ColumnElement:
    share = case((Interaction.value >= rule.full, 1.0), else_=func.coalesce(Interaction.value, 0.0) / rule.full)
    return literal(rule.low) + literal(rule.high - rule.low) * share


def _clicked(item: Any) -> Any:
    """Lists that held the item and led to a click on it: by feedback, or by an event that names the list. It starts
    from the clicks, which are few, and looks each list up."""
    fed_back = select(Feedback.request_id).where(Feedback.item_id == item, Feedback.outcome == "click")
    events = select(Interaction.request_id).where(
        Interaction.item_id == item, Interaction.interaction_type == "click", Interaction.request_id.is_not(None)
    )
    clicks = union(fed_back, events).subquery()
    held = SHOWN_ITEMS.c
    shown = select(held.rank).where(held.request_id == clicks.c.request_id, held.item_id == item).exists()
    return select(func.count()).select_from(clicks).where(shown)


# -- a person ---------------------------------------------------------------------------------------------------------

_KNOWN = Query("known_person", select(User.opted_out).where(User.user_id == bindparam("user_id")))
_PAGE = Query(
    "history_page",
    select(
        Interaction.id,
        Interaction.item_id,
        Interaction.interaction_type,
        Interaction.value,
        Interaction.context,
        Interaction.request_id,
        Interaction.occurred_at,
    )
    .where(
        Interaction.user_id == bindparam("user_id"),
        Interaction.occurred_at <= bindparam("before"),
        or_(Interaction.occurred_at < bindparam("before"), Interaction.id < bindparam("before_id")),
    )
    .order_by(Interaction.occurred_at.desc(), Interaction.id.desc())
    .limit(bindparam("most")),
)
_CATEGORIES = Query(
    "categories_of_history",
    select(Interaction.item_id, ItemCategory.category)
    .distinct()
    .join(ItemCategory, ItemCategory.item_id == Interaction.item_id)
    .where(Interaction.user_id == bindparam("user_id")),
)
FAR_FUTURE = 1 << 62


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
    """Whether anything is kept of this person. Raises `StoreError`."""
    return reader.row(_KNOWN, {"user_id": user_id}) is not None


def events_of(
    reader: Reader, user_id: str, most: int, before: tuple[int, int] = (FAR_FUTURE, FAR_FUTURE)
) -> list[PastEvent]:
    """The newest events before a moment and a number. Raises `StoreError`."""
    asked = {"user_id": user_id, "most": most, "before": before[0], "before_id": before[1]}
    return [
        PastEvent(number, item_id, kind, value, from_json(context), request_id, occurred_at)
        for number, item_id, kind, value, context, request_id, occurred_at in reader.rows(_PAGE, asked)
    ]


def preferences_of(reader: Reader, user_id: str, liked: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Share of each category in what a person liked (items with weights), greatest first. Raises `StoreError`."""
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
