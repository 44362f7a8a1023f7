"""Fakes of what the service depends on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from recstage.errors import StoreError
from serving.interfaces import (
    NO_HISTORY,
    Audience,
    Dependencies,
    HiddenItems,
    History,
    Impression,
    Item,
    OwnCatalogue,
    OwnItem,
    Precomputed,
    RecentActivity,
    Snapshot,
)
from serving.models.repository import PollResult, ProductionVersion


class FakePointer:
    """A `ProductionPointer` that a test sets."""

    def __init__(self, staged: ProductionVersion | None = None) -> None:
        self.staged, self.last_good, self.dropped, self.polls_requested = staged, None, [], 0
        self.poll_result: PollResult | None = None

    def production(self) -> ProductionVersion | None:
        return self.staged

    def good(self) -> ProductionVersion | None:
        return self.last_good

    def mark_good(self, staged: ProductionVersion) -> None:
        self.last_good = staged

    def drop(self, version: str) -> None:
        self.dropped.append(version)

    def last_poll(self) -> PollResult | None:
        return self.poll_result

    def request_poll(self) -> None:
        self.polls_requested += 1

    def poll_requested_at(self) -> int:
        return self.polls_requested


class FakeStagingPointer(FakePointer):
    """The same for Staging, of which nothing is remembered once it is unset."""

    def mark_good(self, staged: ProductionVersion) -> None:
        pass


NOTHING_HIDDEN = HiddenItems()


@dataclass
class MemoryStore:
    """Every dependency, in memory; `unavailable` makes each of them raise."""

    fast: bool = True
    unavailable: bool = False
    histories: dict[str, History] = field(default_factory=dict)
    hidden_now: HiddenItems = NOTHING_HIDDEN
    items: dict[str, Item] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    opted_out_users: frozenset[str] = frozenset()
    erased_users: frozenset[str] = frozenset()
    audiences: dict[tuple[str, str, str], Audience] = field(default_factory=dict)
    stored: dict[tuple[str, str], Precomputed] = field(default_factory=dict)
    rows: list[tuple[str, str, float, int]] = field(default_factory=list)
    activity: list[RecentActivity] = field(default_factory=list)
    impressions: list[Impression] = field(default_factory=list)
    reads: int = 0
    refused_writes: str | None = None
    waiting_tasks: str | None = None

    def dependencies(self) -> Dependencies:
        return Dependencies(self, self, self, self, self, self, self, self, rewards=self)

    def history(self, user_id: str) -> History:
        self._check()
        self.reads += 1
        return self.histories.get(user_id, NO_HISTORY)

    def last_known(self, user_id: str) -> History:
        return NO_HISTORY

    def interacted(self, user_id: str, *item_ids: str, weight: float = 1.0) -> None:
        """The user likes these items now."""
        before = self.histories.get(user_id, NO_HISTORY)
        count = len(before.item_ids)
        self.histories[user_id] = History(
            before.item_ids + item_ids,
            before.weights + (weight,) * len(item_ids),
            before.timestamps + tuple(2_000_000_000 + count + i for i in range(len(item_ids))),
            before.version + 1,
        )

    def hidden(self) -> HiddenItems:
        self._check()
        return self.hidden_now

    def hide(self, *item_ids: str) -> None:
        self.hidden_now = HiddenItems(self.hidden_now.item_ids | set(item_ids), self.hidden_now.version + 1)

    def item(self, item_id: str) -> Item | None:
        self._check()
        return self.items.get(item_id)

    def catalogue(self, version: int) -> OwnCatalogue:
        self._check()
        own = {one.item_id: OwnItem(one.title, one.categories) for one in self.items.values()}
        return OwnCatalogue(own, version, hash(tuple(own.items())))

    def recent(self, hours: int) -> list[RecentActivity]:
        self._check()
        return self.activity

    def version(self) -> int:
        self._check()
        return len(self.rows) + len(self.items)

    def snapshot(self) -> Snapshot:
        self._check()
        interactions = pd.DataFrame(self.rows, columns=["user_id", "item_id", "weight", "timestamp"])
        items = pd.DataFrame(
            [(one.item_id, one.title, one.text, list(one.categories), True) for one in self.items.values()],
            columns=["item_id", "title", "text", "categories", "available"],
        )
        return Snapshot(interactions, items, self.version())

    def record(self, impression: Impression) -> None:
        self.impressions.append(impression)

    def precomputed(self, user_id: str, model_name: str, model_version: str, made_after: int = 0) -> Precomputed | None:
        self._check()
        return self.stored.get((user_id, model_version))

    def rewards(self, experiment: str) -> dict[tuple[str, str | None], tuple[int, int]]:
        return {}

    def with_role(self, role: str) -> frozenset[str]:
        self._check()
        return self.roles.get(role, frozenset())

    def opted_out(self) -> frozenset[str]:
        self._check()
        return self.opted_out_users

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        self._check()
        return self.erased_users & frozenset(user_ids)

    def users_version(self) -> int:
        self._check()
        return hash((self.opted_out_users, self.erased_users, tuple(self.roles.items())))

    def audience(self, item_id: str, model_name: str, model_version: str) -> Audience | None:
        self._check()
        return self.audiences.get((item_id, model_name, model_version))

    def health(self) -> str:
        return "unavailable" if self.unavailable else "ready"

    def write_failure(self) -> str | None:
        return self.refused_writes

    def troubles(self) -> dict[str, str]:
        return {}

    def open_tasks(self) -> str | None:
        return self.waiting_tasks

    def _check(self) -> None:
        if self.unavailable:
            raise StoreError("the database", rule="does not answer", fix="Start it")
