"""Stand-ins for what the service talks to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from recstage.errors import StoreError
from serving.interfaces import NO_HISTORY, Dependencies, HiddenItems, History, Impression, Item, Precomputed, Snapshot
from serving.models.repository import PollResult, ProductionVersion


class HandPointer:
    """A `ProductionPointer` that a test moves."""

    def __init__(self, staged: ProductionVersion | None = None) -> None:
        self.staged, self.best, self.dropped, self.asked = staged, None, [], 0
        self.last_look: PollResult | None = None

    def production(self) -> ProductionVersion | None:
        return self.staged

    def good(self) -> ProductionVersion | None:
        return self.best

    def mark_good(self, staged: ProductionVersion) -> None:
        self.best = staged

    def drop(self, version: str) -> None:
        self.dropped.append(version)

    def last_poll(self) -> PollResult | None:
        return self.last_look

    def request_poll(self) -> None:
        self.asked += 1

    def poll_requested_at(self) -> int:
        return self.asked


NOTHING_HIDDEN = HiddenItems()


@dataclass
class MemoryStore:
    """All ports, in memory; `away` makes each of them refuse."""

    fast: bool = True
    away: bool = False
    histories: dict[str, History] = field(default_factory=dict)
    hidden_now: HiddenItems = NOTHING_HIDDEN
    items: dict[str, Item] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    stored: dict[tuple[str, str], Precomputed] = field(default_factory=dict)
    rows: list[tuple[str, str, float, int]] = field(default_factory=list)
    shown: list[Impression] = field(default_factory=list)
    reads: int = 0

    def dependencies(self) -> Dependencies:
        return Dependencies(self, self, self, self, self, self, self)

    def history(self, user_id: str) -> History:
        self._ask()
        self.reads += 1
        return self.histories.get(user_id, NO_HISTORY)

    def last_known(self, user_id: str) -> History:
        return NO_HISTORY

    def did(self, user_id: str, *item_ids: str, weight: float = 1.0) -> None:
        """The person liked these items just now."""
        before = self.histories.get(user_id, NO_HISTORY)
        count = len(before.item_ids)
        self.histories[user_id] = History(
            before.item_ids + item_ids,
            before.weights + (weight,) * len(item_ids),
            before.timestamps + tuple(2_000_000_000 + count + i for i in range(len(item_ids))),
            before.version + 1,
        )

    def hidden(self) -> HiddenItems:
        self._ask()
        return self.hidden_now

    def hide(self, *item_ids: str) -> None:
        self.hidden_now = HiddenItems(self.hidden_now.item_ids | set(item_ids), self.hidden_now.version + 1)

    def item(self, item_id: str) -> Item | None:
        self._ask()
        return self.items.get(item_id)

    def version(self) -> int:
        self._ask()
        return len(self.rows) + len(self.items)

    def snapshot(self) -> Snapshot:
        self._ask()
        interactions = pd.DataFrame(self.rows, columns=["user_id", "item_id", "weight", "timestamp"])
        items = pd.DataFrame(
            [(one.item_id, one.title, one.text, list(one.categories), True) for one in self.items.values()],
            columns=["item_id", "title", "text", "categories", "available"],
        )
        return Snapshot(interactions, items, self.version())

    def record(self, shown: Impression) -> None:
        self.shown.append(shown)

    def precomputed(self, user_id: str, model_version: str) -> Precomputed | None:
        self._ask()
        return self.stored.get((user_id, model_version))

    def with_role(self, role: str) -> frozenset[str]:
        self._ask()
        return self.roles.get(role, frozenset())

    def opted_out(self) -> frozenset[str]:
        self._ask()
        return self.out

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        self._ask()
        return self.gone & frozenset(user_ids)

    def health(self) -> str:
        return "away" if self.away else "ready"

    def _ask(self) -> None:
        if self.away:
            raise StoreError("the database", rule="does not answer", fix="Start it")
