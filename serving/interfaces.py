"""What recommending needs from the service's database, as narrow protocols; `serving.store` implements them.

Every method is called while a request waits: from the event loop where `fast` is true, from a worker thread where it is
not (a database behind a network). A fast implementation returns in far less than a millisecond and may be called from
several threads. A method raises `recstage.errors.StoreError` while the database is unavailable; the response is then
made without it and marked `degraded`. Ids are external ids (`str`), times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import pandas as pd

from serving.rules.ruleset import NO_RULES, RuleSet

ID_LENGTH = 256
"""Most characters of a user id or an item id."""


@dataclass(frozen=True, slots=True)
class History:
    """The interactions of one user that this service collected: aligned lists, one entry an item, oldest first.

    `weights` follow the data set's rule (dismissed: 0 or less, the item is seen and not liked). `version` changes with
    everything that may change this user's lists: events, profile, erasure. `personal` is false for users who opted
    out: they get the list of an unknown user and nothing about them is recorded.
    """

    item_ids: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    timestamps: tuple[int, ...] = ()
    version: int = 0
    personal: bool = True
    categories: tuple[str, ...] = ()
    """Declared preferences: names of categories, strongest first."""
    forgotten: bool = False
    """This user was erased: what the model learned from them must not be used, only what came since."""
    profile: tuple[tuple[str, str | float], ...] = ()
    """Declared attributes, by `profile.NAME`."""


NO_HISTORY = History()


def told(where: str, values: Mapping[str, Any]) -> tuple[tuple[str, str | float], ...]:
    """Attributes of a user (`where`: profile) or of a request (context) as models, filters and rules take them: keys
    `WHERE.NAME` in order, truth values as the texts true and false, and nothing of what is null or empty."""
    return tuple(
        (f"{where}.{name}", str(value).lower() if isinstance(value, bool) else value)
        for name, value in sorted(values.items())
        if value is not None and value != ""
    )


class HistorySource(Protocol):
    """Live histories, read at request time, so that the next list reflects the last click."""

    fast: bool

    def history(self, user_id: str) -> History:
        """The newest `settings.history_limit` items of this user; `NO_HISTORY` for an unknown one."""
        ...

    def last_known(self, user_id: str) -> History:
        """What was last read of this user, for while the database is unavailable; never raises.

        A user who was known to have opted out still gets nothing personal.
        """
        ...


@dataclass(frozen=True, slots=True)
class HiddenItems:
    """Items that must not be served: hidden, deleted or expired. `version` changes whenever the set does.

    `catalogue`: the version of the service's own catalogue when this was read; it changes with every item.
    """

    item_ids: frozenset[str] = frozenset()
    version: int = 0
    catalogue: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the service's own catalogue knows it."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnItem:
    """What the service's own catalogue says of an item; times in milliseconds since 1970. Texts are not kept."""

    title: str = ""
    categories: tuple[str, ...] = ()
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class OwnCatalogue:
    """All items that the service's own catalogue describes, by id; those that only events name are not in it.

    `version`: of the change counter; `revision`: the version at which these items last changed.
    """

    items: Mapping[str, OwnItem] = field(default_factory=dict)
    version: int = 0
    revision: int = 0


class MomentSource(Protocol):
    """What each list reads of the database, at once: one query costs half of two."""

    fast: bool

    def moment(self, user_id: str) -> tuple[History, HiddenItems]:
        """`HistorySource.history` of a user, and `ItemSource.hidden`."""
        ...


class ItemSource(Protocol):
    """The service's own catalogue."""

    fast: bool

    def hidden(self) -> HiddenItems:
        """The items hidden now; one hidden by any worker must be in the set of the next call in every worker."""
        ...

    def item(self, item_id: str) -> Item | None:
        """One item; None where the service's catalogue lacks it (the model may still know it)."""
        ...

    def catalogue(self, version: int) -> OwnCatalogue:
        """Every item, at least as new as a version that `hidden` gave; cheap where nothing has changed since."""
        ...


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """What users did with an item in a window; each user counts once a type of event, with the weight of the type.

    `decayed`: less the longer ago; `recent`: without decay; `before`: in the window of the same length before.
    """

    item_id: str
    decayed: float
    recent: float
    before: float


class ActivitySource(Protocol):
    """Live events, counted by item; may take long, and is called in the background."""

    def recent(self, hours: int) -> Sequence[RecentActivity]:
        """All items with events in the last so many hours, or in as many before."""
        ...


class RuleSource(Protocol):
    """The business rules, with the attributes of the items that were posted."""

    fast: bool

    def rules(self) -> RuleSet:
        """What holds now. Whatever changes it by a write changes the version of the hidden items too: while that is the
        same and `valid_until` is not reached, nothing needs to be read."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the service collected, for its fallback models.

    `interactions`: columns user_id, item_id, weight, timestamp, one row a pair, users who opted out left out.
    `items`: columns item_id, title, text, categories (lists of names), available. Equal `version`: nothing has changed.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame
    version: int


class TrainingDataSource(Protocol):
    """The collected data as a whole; called from a background thread only, so it may be slow."""

    def version(self) -> int:
        """A number that changes when a new snapshot is worth taking; cheap."""
        ...

    def snapshot(self) -> Snapshot: ...


class Impression(NamedTuple):
    """One list that was shown, to be stored as impressions: position 1 is `item_ids[0]`."""

    request_id: str
    user_id: str
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    """Probability with which the policy shows the item in its place: 1 for a deterministic list."""
    method: str
    """The model used; `error` for a list that could not be made."""
    model_version: str | None
    timestamp: int
    experiment: str | None = None
    arm: str | None = None
    """`production`, `challenger` or `interleaved`; None outside experiments."""
    chance: float = 1.0
    """Probability with which the experiment gave this user (split) or list (bandit) this arm."""
    teams: tuple[int, ...] | None = None
    """Of an interleaved list: which ranking contributed each item, 0 Production, 1 challenger."""
    milliseconds: float | None = None
    """Time to make the list."""
    segment: str | None = None
    """`cold`, `warm` or `hot`, where the experiment drew the arm by it (contextual)."""


nothing_is_shown: ContextVar[bool] = ContextVar("nothing_is_shown", default=False)
"""Whether the request under way gets no body (HEAD), so that its list is no impression."""


class ImpressionSink(Protocol):
    """Stores impressions; never blocks and never raises.

    It queues, and a background writer stores batches; when the queue is full it drops and counts.
    """

    def record(self, impression: Impression) -> None: ...


@dataclass(frozen=True, slots=True)
class Precomputed:
    """A stored list, best first."""

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str


class RewardSource(Protocol):
    """What came of the lists of an experiment; called from a background thread only."""

    def rewards(self, experiment: str) -> Mapping[tuple[str, str | None], tuple[int, int]]:
        """By version and segment (None: drawn by none): lists shown, and those of them that led to a reward."""
        ...


class PrecomputedSource(Protocol):
    """Precomputed lists (`user_recommendations`), bound to the model version that made them."""

    fast: bool

    def precomputed(self, user_id: str, model_name: str, model_version: str, made_after: int = 0) -> Precomputed | None:
        """The unexpired list of this user made by exactly this version of this model; None where there is none.

        `made_after`: milliseconds since 1970; an older list is of a version of that number in another registry.
        """
        ...


@dataclass(frozen=True, slots=True)
class Audience:
    """A stored list of users for an item, best first."""

    user_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str


class UserSource(Protocol):
    """Roles, opt-outs and erasures, for `GET /api/items/{id}/recommended-users`; may take milliseconds."""

    fast: bool

    def with_role(self, role: str) -> frozenset[str]:
        """Ids of users whose profile declares this role."""
        ...

    def opted_out(self) -> frozenset[str]:
        """Ids of users who must neither be listed for an item nor be served personally."""
        ...

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        """Those of these users who were erased: a model may still know them, but they must not be listed."""
        ...

    def users_version(self) -> int:
        """A number that changes whenever a user opts out, is erased, or changes their profile."""
        ...

    def audience(self, item_id: str, model_name: str, model_version: str) -> Audience | None:
        """The unexpired users for an item, computed ahead of time by this version; None where there are none."""
        ...


Health = Literal["ready", "unavailable"]


@runtime_checkable
class Closing(Protocol):
    def close(self) -> None: ...


class NullStore:
    """Stands for the database where none is configured: knows no user and hides nothing."""

    fast = True

    def history(self, user_id: str) -> History:
        return NO_HISTORY

    def last_known(self, user_id: str) -> History:
        return NO_HISTORY

    def hidden(self) -> HiddenItems:
        return _NOTHING_HIDDEN

    def item(self, item_id: str) -> Item | None:
        return None

    def catalogue(self, version: int) -> OwnCatalogue:
        return _NO_CATALOGUE

    def recent(self, hours: int) -> Sequence[RecentActivity]:
        return ()

    def rules(self) -> RuleSet:
        return NO_RULES

    def version(self) -> int:
        return 0

    def snapshot(self) -> Snapshot:
        return Snapshot(
            pd.DataFrame(columns=["user_id", "item_id", "weight", "timestamp"]),
            pd.DataFrame(columns=["item_id", "title", "text", "categories", "available"]),
            0,
        )

    def record(self, impression: Impression) -> None:
        pass

    def rewards(self, experiment: str) -> Mapping[tuple[str, str | None], tuple[int, int]]:
        return {}

    def precomputed(self, user_id: str, model_name: str, model_version: str, made_after: int = 0) -> Precomputed | None:
        return None

    def with_role(self, role: str) -> frozenset[str]:
        return frozenset()

    def opted_out(self) -> frozenset[str]:
        return frozenset()

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        return frozenset()

    def users_version(self) -> int:
        return 0

    def audience(self, item_id: str, model_name: str, model_version: str) -> Audience | None:
        return None

    def health(self) -> Health:
        return "ready"

    def write_failure(self) -> str | None:
        return None

    def troubles(self) -> Mapping[str, str]:
        return {}

    def open_tasks(self) -> str | None:
        return None


_NOTHING_HIDDEN = HiddenItems()
_NO_CATALOGUE = OwnCatalogue()
NULL_STORE = NullStore()


class HealthCheck(Protocol):
    """Whether the database answers, and whether it can be written."""

    def health(self) -> Health: ...

    def write_failure(self) -> str | None:
        """Why the last write failed; None where it did not, or none was tried."""
        ...

    def troubles(self) -> Mapping[str, str]:
        """What else is wrong, in words: `replica` is not read, `revision` of the tables or `clock` differs."""
        ...

    def open_tasks(self) -> str | None:
        """Which recorded tasks wait for longer than they should; None where none does."""
        ...


@dataclass(frozen=True)
class Dependencies:
    """Everything that recommending needs from the database; by default there is none.

    `closing` are closed when the service ends.
    """

    histories: HistorySource = NULL_STORE
    items: ItemSource = NULL_STORE
    training_data: TrainingDataSource = NULL_STORE
    impressions: ImpressionSink = NULL_STORE
    precomputed: PrecomputedSource = NULL_STORE
    users: UserSource = NULL_STORE
    health_check: HealthCheck = NULL_STORE
    activity: ActivitySource = NULL_STORE
    rules: RuleSource = NULL_STORE
    rewards: RewardSource = NULL_STORE
    moments: MomentSource | None = None
    """Where histories and hidden items can be read together."""
    closing: Sequence[Closing] = field(default=())
