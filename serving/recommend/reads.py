"""What a list needs from the database, read as a request needs it; without the database, as it was read last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from recstage.errors import StoreError
from serving.catalogue.merged import MergedCatalogue, MergedCatalogues
from serving.catalogue.placement import PlacedItem, place
from serving.interfaces import Dependencies, HiddenItems, History, Item, OwnCatalogue
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.recommend.state import ListState
from serving.rules.engine import ActiveRules, RuleEngine
from serving.settings import ServingSettings

log = logging.getLogger("serving.recommend.reads")
T = TypeVar("T")
MAX_NEW_ITEMS = 200
"""Of the items that a version was not trained with, so many of the latest may be listed."""
MAX_PLACED = 10_000


class StateReader:
    """Reads histories, hidden items, rules and the catalogue."""

    def __init__(
        self,
        settings: ServingSettings,
        dependencies: Dependencies,
        metrics: Metrics,
        threads: Executor,
        rule_engine: RuleEngine,
    ) -> None:
        """Keep the collaborators; `threads`: where slow reads run."""
        self._settings, self._dependencies, self._metrics = settings, dependencies, metrics
        self._threads = threads
        self._hidden = HiddenItems()
        self._own, self._catalogues = OwnCatalogue(), MergedCatalogues()
        self._rules, self._rules_read_at = ActiveRules(rule_engine), -1

    async def history(self, user_id: str) -> tuple[History, bool]:
        """The user's current history, and whether it could not be read."""
        source = self._dependencies.histories
        try:
            if source.fast:
                return source.history(user_id), False
            return await self.in_thread(source.history, user_id), False
        except StoreError as error:
            self.degraded("history", error)
            return source.last_known(user_id), True

    async def moment(self, user_id: str) -> tuple[History, bool, tuple[HiddenItems, bool]]:
        """`history` and `hidden`, read together where that is possible."""
        source = self._dependencies.moments
        if source is not None:
            try:
                found = source.moment(user_id) if source.fast else await self.in_thread(source.moment, user_id)
            except StoreError:  # one of both may still be read
                pass
            else:
                history, self._hidden = found
                return history, False, (self._hidden, False)
        history, unavailable = await self.history(user_id)
        return history, unavailable, await self.hidden()

    async def hidden(self) -> tuple[HiddenItems, bool]:
        """The hidden items, and whether they could not be read; then they are those last read."""
        source = self._dependencies.items
        try:
            self._hidden = source.hidden() if source.fast else await self.in_thread(source.hidden)
            return self._hidden, False
        except StoreError as error:
            self.degraded("hidden", error)
            return self._hidden, True

    async def catalogue(self, served: LoadedModel | None, hidden: HiddenItems) -> tuple[MergedCatalogue, bool]:
        """The catalogue of the service over that of a loaded model, and whether the former could not be read.

        Args:
            served: the loaded model; None: there is none.
            hidden: as just read; says how new the catalogue must be.
        """
        source = self._dependencies.items
        unavailable = False
        try:
            if source.fast:
                self._own = source.catalogue(hidden.catalogue)
            elif self._own.version != hidden.catalogue:
                self._own = await self.in_thread(source.catalogue, hidden.catalogue)
        except StoreError as error:
            self.degraded("catalogue", error)
            unavailable = True
        return self._catalogues.of(served, self._own), unavailable

    async def rules(self, hidden: HiddenItems) -> tuple[ActiveRules, bool]:
        """The rules that hold now, and whether they could not be read; then they are those last read.

        They change with the version of the hidden items, or when one starts or ends: between, nothing is read.
        """
        until = self._rules.ruleset.valid_until
        if self._rules_read_at == hidden.version and (until is None or time.time() * 1000 < until):
            return self._rules, False
        source = self._dependencies.rules
        try:
            found = source.rules() if source.fast else await self.in_thread(source.rules)
        except StoreError as error:
            self.degraded("rules", error)
            return self._rules, True
        self._rules, self._rules_read_at = replace(self._rules, ruleset=found), hidden.version
        self._metrics.rules_version.set(found.version)
        return self._rules, False

    async def state(self, served: LoadedModel, just_read: tuple[HiddenItems, bool] | None = None) -> ListState:
        """What a list is made with now, by a loaded model; `just_read`: what `hidden` gave."""
        hidden, hidden_unavailable = just_read or await self.hidden()
        rules, rules_unavailable = await self.rules(hidden)
        catalogue, catalogue_unavailable = await self.catalogue(served, hidden)
        degraded = hidden_unavailable or rules_unavailable or catalogue_unavailable
        new_ids = catalogue.new_item_ids[:MAX_NEW_ITEMS] if self._settings.new_item_share else ()
        new_items = await self.placed(served, catalogue, new_ids) if new_ids else ()
        return ListState(served, hidden, rules, catalogue, degraded, new_items)

    async def placed(
        self, served: LoadedModel, catalogue: MergedCatalogue, item_ids: Sequence[str]
    ) -> list[PlacedItem]:
        """Where items belong that the version was not trained with; those without a place are left out.

        Places are kept until the version or the item changes.
        """
        kept: dict[tuple[str, int], PlacedItem | None] = served.placed_items
        keys = [(item_id, catalogue.updated_at(item_id)) for item_id in item_ids]
        missing = [key for key in keys if key not in kept]
        if missing:
            described = await self.in_thread(self._described, [item_id for item_id, _ in missing])
            kept.update(zip(missing, await self.in_thread(place, served, described), strict=True))
            while len(kept) > MAX_PLACED:
                del kept[next(iter(kept))]
        return [one for key in keys if (one := kept.get(key)) is not None]

    def _described(self, item_ids: Sequence[str]) -> list[Item]:
        """What the service's catalogue says of items; only their ids while the database is unavailable."""
        try:
            return [self._dependencies.items.item(item_id) or Item(item_id) for item_id in item_ids]
        except StoreError as error:
            self.degraded("catalogue", error)
            return [Item(item_id) for item_id in item_ids]

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """`work` in a thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """Texts of the service's own catalogue; none while the database is unavailable."""
        try:
            found = [self._dependencies.items.item(item_id) for item_id in item_ids]
        except StoreError as error:
            self.degraded("catalogue", error)
            return {}
        return {one.item_id: one.text for one in found if one is not None}

    def model_failed(self, model: str) -> None:
        """Count a model that raised."""
        self._metrics.fallbacks.labels("model-failed").inc()

    def degraded(self, what: str, error: StoreError) -> None:
        """Count and log that something could not be read."""
        self._metrics.fallbacks.labels(f"no-{what}").inc()
        log.warning("answered without the database", extra={"event": "degraded", "what": what, "error": str(error)})
