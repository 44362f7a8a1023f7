"""What the answering side asks of the service's database, as narrow protocols; `serving.store` implements them.

Every method is called on the way of a request, from the event loop where `fast` is true and from a worker thread where
it is not (a database behind a network): a fast implementation answers in far less than a millisecond and is safe to
call from several threads. A method raises `recstage.errors.StoreError` when the database is away; the request is then
answered without it and says `degraded`. Ids are external ids (`str`), times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import pandas as pd


@dataclass(frozen=True, slots=True)
class History:
    """What one person did, as far as this service collected it: one entry an item, oldest first, aligned lists.

    `weights` follow the data set's rule (dismissed: 0 or less, the item is seen and never liked). `version` changes
    with everything that may change this person's answers: events, profile, erasure. `personal` is false for people who
    opted out: they get what everybody gets and nothing about them is recorded.
    """

    item_ids: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    timestamps: tuple[int, ...] = ()
    version: int = 0
    personal: bool = True
    categories: tuple[str, ...] = ()
    """Declared preferences: names of categories, strongest first."""
    forgotten: bool = False
    """This person was erased: what the model learnt of him must not be used, only what came since."""


NO_HISTORY = History()


class HistorySource(Protocol):
    """Live histories, read at request time, so that the next list reflects the last click."""

    fast: bool

    def history(self, user_id: str) -> History:
        """What was collected of this person, the newest `settings.history_limit` items; a stranger: `NO_HISTORY`."""
        ...

    def last_known(self, user_id: str) -> History:
        """What was last read of this person, for while the database is away; never raises. Who was known to have opted
        out still gets nothing personal."""
        ...


@dataclass(frozen=True, slots=True)
class HiddenItems:
    """Items that must not be served: hidden, deleted or expired. `version` changes whenever the set does."""

    item_ids: frozenset[str] = frozenset()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the service's own catalogue knows it."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()


class ItemSource(Protocol):
    """The service's own catalogue."""

    fast: bool

    def hidden(self) -> HiddenItems:
        """What is hidden now. An item hidden by any worker must be in the set of the next call in every worker."""
        ...

    def item(self, item_id: str) -> Item | None:
        """One item, None where the service's catalogue lacks it (the bundle may still know it)."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the service collected, for its own models while nothing is staged Production.

    `interactions`: columns user_id, item_id, weight, timestamp, one row a pair, people who opted out left out.
    `items`: columns item_id, title, text, categories (lists of names), available. Equal `version`: nothing changed.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame
    version: int


class TrainingDataSource(Protocol):
    """The collected data as a whole; called from a background thread only, so it may take its time."""

    def version(self) -> int:
        """Changes (cheaply asked) when a new snapshot is worth taking."""
        ...

    def snapshot(self) -> Snapshot: ...


@dataclass(frozen=True, slots=True)
class Impression:
    """One list that was shown, to be kept as impressions: position 1 is `item_ids[0]`."""

    request_id: str
    user_id: str
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    """Probability with which the policy shows the item in its place: 1 for a deterministic list."""
    method: str
    model_version: str | None
    timestamp: int


class ImpressionSink(Protocol):
    """Keeps impressions. Never blocks and never raises: it queues, and a background writer stores batches; when the
    queue is full it drops and counts."""

    def record(self, shown: Impression) -> None: ...


@dataclass(frozen=True, slots=True)
class Precomputed:
    """A stored list, best first."""

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str


class PrecomputedSource(Protocol):
    """Lists made ahead of time (`user_recommendations`), bound to the model version that made them."""

    fast: bool

    def precomputed(self, user_id: str, model_version: str) -> Precomputed | None:
        """The unexpired list of this person made by exactly this version; None where there is none."""
        ...


class UserSource(Protocol):
    """Who belongs to a role, for `GET /api/items/{id}/recommended-users`; may take milliseconds."""

    fast: bool

    def with_role(self, role: str) -> frozenset[str]:
        """Ids of people whose profile declares this role."""
        ...

    def opted_out(self) -> frozenset[str]:
        """Ids of people who must not be recommended to anybody, nor be served personally."""
        ...

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        """Those of these people who were erased: a model may still know them, and must not name them."""
        ...


Health = Literal["ready", "away"]


@runtime_checkable
class Closing(Protocol):
    def close(self) -> None: ...


class NullStore:
    """What the service uses where no database is configured: knows nobody and hides nothing."""

    fast = True

    def history(self, user_id: str) -> History:
        return NO_HISTORY

    def last_known(self, user_id: str) -> History:
        return NO_HISTORY

    def hidden(self) -> HiddenItems:
        return _NOTHING_HIDDEN

    def item(self, item_id: str) -> Item | None:
        return None

    def version(self) -> int:
        return 0

    def snapshot(self) -> Snapshot:
        return Snapshot(
            pd.DataFrame(columns=["user_id", "item_id", "weight", "timestamp"]),
            pd.DataFrame(columns=["item_id", "title", "text", "categories", "available"]),
            0,
        )

    def record(self, shown: Impression) -> None:
        pass

    def precomputed(self, user_id: str, model_version: str) -> Precomputed | None:
        return None

    def with_role(self, role: str) -> frozenset[str]:
        return frozenset()

    def opted_out(self) -> frozenset[str]:
        return frozenset()

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        return frozenset()

    def health(self) -> Health:
        return "ready"


_NOTHING_HIDDEN = HiddenItems()
NULL_STORE = NullStore()


class HealthCheck(Protocol):
    """Whether the database answers."""

    def health(self) -> Health: ...


@dataclass(frozen=True)
class Dependencies:
    """Everything the answering side asks of the database. The defaults know nothing, so that the service runs without
    one. `closing` are closed when the service ends."""

    histories: HistorySource = NULL_STORE
    items: ItemSource = NULL_STORE
    training_data: TrainingDataSource = NULL_STORE
    shown: ImpressionSink = NULL_STORE
    precomputed: PrecomputedSource = NULL_STORE
    people: UserSource = NULL_STORE
    health_check: HealthCheck = NULL_STORE
    closing: Sequence[Closing] = field(default=())
