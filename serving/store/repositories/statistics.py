"""Statistics of items and of experiments: events by type, users, impressions, clicks, and rates computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    distinct,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
)

from recstage.config import ValueWeight
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import (
    SHOWN_ITEMS,
    ItemCount,
    ItemExposure,
    ItemValueCount,
    RecommendationFeedback,
    RecommendationImpression,
    UserInteraction,
)
from serving.store.repositories.activity import ANY, HIGHEST
from serving.store.repositories.user_histories import Weighting

Interaction, Feedback, Exposure = UserInteraction, RecommendationFeedback, ItemExposure


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """Counts and rates of one item.

    `total`: events; `counts`: events by interaction type; `users`: distinct users with an event; `shown`: impressions;
    `clicked`: impressions that led to a click. `click_through_rate` is `clicked / shown`, `implementation_rate` the
    share of `users` with an event of type `implement`, `mean_label` the mean weight of the events; None where the
    denominator is 0.
    """

    total: int
    counts: dict[str, int]
    users: int
    shown: int
    clicked: int
    click_through_rate: float | None
    implementation_rate: float | None
    mean_label: float | None


@dataclass(frozen=True, slots=True)
class UserStatistics:
    """Counts and rates of one user; times in milliseconds since 1970, None without an event.

    `implementation_rate`: the share of the user's `items` that they implemented; `mean_engagement`: the mean weight of
    their events; None without an event.
    """

    total: int
    counts: dict[str, int]
    items: int
    implementation_rate: float | None
    mean_engagement: float | None
    first_at: int | None
    last_at: int | None


class UserStatisticsReader:
    """Computes user statistics, with the event weights of the data set; a user's events are read by their index."""

    def __init__(self, reader: Reader, weighting: Weighting) -> None:
        self._reader = reader
        of_user = Interaction.user_id == bindparam("user_id")
        span = (func.min(Interaction.occurred_at), func.max(Interaction.occurred_at))
        self._by_type = Query(
            "user_counts",
            select(
                Interaction.interaction_type,
                func.count(),
                func.count(distinct(Interaction.item_id)),
                func.sum(_label(weighting)),
                *span,
            )
            .where(of_user)
            .group_by(Interaction.interaction_type),
        )
        self._items = Query("user_items", select(func.count(distinct(Interaction.item_id))).where(of_user))

    def of(self, user_id: str) -> UserStatistics:
        """Statistics of one user. Raises `StoreError`."""
        rows = self._reader.rows(self._by_type, {"user_id": user_id})
        items = int(self._reader.rows(self._items, {"user_id": user_id})[0][0])
        events = sum(row[1] for row in rows)
        implemented = next((row[2] for row in rows if row[0] == "implement"), 0)
        return UserStatistics(
            total=events,
            counts={row[0]: row[1] for row in sorted(rows)},
            items=items,
            implementation_rate=implemented / items if items else None,
            mean_engagement=float(sum(row[3] for row in rows)) / events if events else None,
            first_at=min((row[4] for row in rows), default=None),
            last_at=max((row[5] for row in rows), default=None),
        )


_COUNTS = Query(
    "item_counts",
    select(ItemCount.interaction_type, ItemCount.events, ItemCount.users).where(
        ItemCount.item_id == bindparam("item_id")
    ),
)
_VALUES = Query(
    "item_values",
    select(ItemValueCount.interaction_type, ItemValueCount.whole, ItemValueCount.events, ItemValueCount.total).where(
        ItemValueCount.item_id == bindparam("item_id")
    ),
)


class ItemStatisticsReader:
    """Reads item statistics from what is counted, with the event weights of the data set."""

    def __init__(self, reader: Reader, weighting: Weighting) -> None:
        self._reader, self._weights = reader, weighting.weights
        item: Any = bindparam("item_id")
        self._shown = Query(
            "item_shown", select(func.coalesce(func.sum(Exposure.shown), 0)).where(Exposure.item_id == item)
        )
        self._clicked = Query("item_clicked", _clicked(item))
        self._weight_of_type = Query(
            "item_type_weight",
            select(func.coalesce(func.sum(_label(weighting)), 0.0)).where(
                Interaction.item_id == item, Interaction.interaction_type == bindparam("type")
            ),
        )

    def of(self, item_id: str) -> ItemStatistics:
        """Statistics of one item. Raises `StoreError`."""
        parameters = {"item_id": item_id}
        found = {name: (events, users) for name, events, users in self._reader.rows(_COUNTS, parameters)}
        events, users = found.pop(ANY, (0, 0))
        shown, clicked = (int(self._reader.rows(query, parameters)[0][0]) for query in (self._shown, self._clicked))
        counts = {name: number for name, (number, _) in sorted(found.items())}
        implementers = found.get("implement", (0, 0))[1]
        return ItemStatistics(
            total=events,
            counts=counts,
            users=users,
            shown=shown,
            clicked=clicked,
            click_through_rate=clicked / shown if shown else None,
            implementation_rate=implementers / users if users else None,
            mean_label=self._total_weight(item_id, counts) / events if events else None,
        )

    def _total_weight(self, item_id: str, counts: Mapping[str, int]) -> float:
        """The sum of the weights of an item's events."""
        valued = [name for name in counts if isinstance(self._weights.get(name), ValueWeight)]
        values = self._reader.rows(_VALUES, {"item_id": item_id}) if valued else []
        total = 0.0
        for name, number in counts.items():
            rule = self._weights.get(name, 0.0)
            if not isinstance(rule, ValueWeight):
                total += rule * number
            elif _is_counted(rule):
                own = [row[1:] for row in values if row[0] == name]
                shares = sum(events if whole >= rule.full else of_them / rule.full for whole, events, of_them in own)
                total += rule.low * number + (rule.high - rule.low) * shares
            else:
                total += float(self._reader.rows(self._weight_of_type, {"item_id": item_id, "type": name})[0][0])
        return total


def _is_counted(rule: ValueWeight) -> bool:
    """Whether the values below and above that of the whole weight are counted apart from each other."""
    return rule.full <= HIGHEST and rule.full == int(rule.full)


def _label(weighting: Weighting) -> ColumnElement:
    """The weight of an event as an SQL expression."""
    values = []
    for name, rule in weighting.weights.items():
        weight: Any = literal(float(rule)) if not isinstance(rule, ValueWeight) else _linear_weight(rule)
        values.append((Interaction.interaction_type == name, weight))
    return case(*values, else_=0.0)


def _linear_weight(rule: ValueWeight) -> ColumnElement:
    share = case((Interaction.value >= rule.full, 1.0), else_=func.coalesce(Interaction.value, 0.0) / rule.full)
    return literal(rule.low) + literal(rule.high - rule.low) * share


def _clicked(item: Any) -> Any:
    """Number of impressions of the item that led to a click: by feedback, or by an event that names the request.

    Starts from the clicks, which are few, and looks up the impression of each."""
    fed_back = select(Feedback.request_id).where(Feedback.item_id == item, Feedback.outcome == "click")
    # SQLite uses the index of clicks only where the type stands in the query itself
    is_click = Interaction.interaction_type == literal_column("'click'")
    events = select(Interaction.request_id).where(
        Interaction.item_id == item, is_click, Interaction.request_id.is_not(None)
    )
    clicks = union(fed_back, events).subquery()
    held = SHOWN_ITEMS.c
    shown = select(held.rank).where(held.request_id == clicks.c.request_id, held.item_id == item).exists()
    return select(func.count()).select_from(clicks).where(shown)


NO_REWARD = ("view", "dismiss")


_OF_EXPERIMENT = RecommendationImpression.experiment == bindparam("experiment")
_REQUEST = RecommendationImpression.request_id
_BY = (RecommendationImpression.model_version, RecommendationImpression.segment)
_LISTS = Query(
    "experiment_lists",
    select(*_BY, func.count()).where(_OF_EXPERIMENT).group_by(*_BY),
)
_REWARDED = Query(
    "experiment_rewards",
    select(*_BY, func.count())
    .where(
        _OF_EXPERIMENT,
        or_(
            exists().where(Feedback.request_id == _REQUEST, *(Feedback.outcome != kind for kind in NO_REWARD)),
            exists().where(
                Interaction.request_id == _REQUEST, *(Interaction.interaction_type != kind for kind in NO_REWARD)
            ),
        ),
    )
    .group_by(*_BY),
)


class Rewards:
    """`RewardSource` on the database."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def rewards(self, experiment: str) -> dict[tuple[str, str | None], tuple[int, int]]:
        """By version and segment: lists shown, and those that led to a reward. Raises `StoreError`."""
        parameters = {"experiment": experiment}
        rewarded = {(version, segment): number for version, segment, number in self._reader.rows(_REWARDED, parameters)}
        return {
            (str(version), segment): (int(number), int(rewarded.get((version, segment), 0)))
            for version, segment, number in self._reader.rows(_LISTS, parameters)
        }
