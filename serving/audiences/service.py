"""The users for an item, from the cache, from what was computed ahead of time, or ranked now; each counted by method.

A cached list is valid for one state of the users: its key holds the model versions and the counter that moves when a
user opts out, is erased or changes their profile. So a swap and an opt-out of any worker invalidate it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import replace

from cachetools import TTLCache

from recstage.config import EvaluationConfig
from recstage.errors import StoreError
from serving.audiences.ranking import RankedUsers, UsersRequest, users_for_item
from serving.interfaces import Dependencies, Item
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings


class AudienceService:
    """Finds the users for an item; every method may take milliseconds and is called in a thread."""

    def __init__(
        self, settings: ServingSettings, dependencies: Dependencies, metrics: Metrics, thresholds: EvaluationConfig
    ) -> None:
        self._dependencies, self._metrics, self._thresholds = dependencies, metrics, thresholds
        self._min_likes, self._reverse_name = settings.audience_min_likes, settings.reverse_model_name
        self._precomputed = settings.precomputed
        size = max(1, settings.audience_cache_size)
        self._cache: TTLCache[Hashable, RankedUsers] = TTLCache(size, settings.audience_cache_seconds)
        self._caching, self._lock = settings.audience_cache_size > 0, threading.Lock()
        self._opted_out: frozenset[str] | None = None
        """Users who must not be listed, as last read; None before."""
        self._erased: frozenset[str] = frozenset()
        """Erased users that a model has listed so far; they must not be listed either."""
        self._state = 0

    def find(
        self, forward: LoadedModel, reverse: LoadedModel | None, request: UsersRequest, role: str | None
    ) -> RankedUsers | None:
        """Users for the item; None where neither the models nor the service's catalogue know it.

        While the database is unavailable, users who opted out and those erased are those last read. Raises `StoreError`
        where the former never were, or where a role is requested.
        """
        source = self._dependencies.users
        among, item = None, None
        try:
            self._state = source.users_version()
            item = self._dependencies.items.item(request.item_id)
        except StoreError:
            if role is not None or self._opted_out is None:
                raise
        key = (forward.key, None if reverse is None else reverse.key, item, request, role, self._state)
        with self._lock:
            found = self._cache.get(key)
        if found is not None:
            return self._counted(found, "cache")
        try:
            among = None if role is None else source.with_role(role)
            self._opted_out = source.opted_out()
        except StoreError:
            if role is not None or self._opted_out is None:
                raise
        found = self._stored(reverse, request, role)
        if found is None:
            wanted = replace(request, among=among, excluded=self._opted_out | self._erased)
            found, where = self._ranked(forward, reverse, wanted, item), "model"
        else:
            where = "precomputed"
        if found is None:
            return None
        if self._caching:
            with self._lock:
                self._cache[key] = found
        return self._counted(found, where)

    def _stored(self, reverse: LoadedModel | None, request: UsersRequest, role: str | None) -> RankedUsers | None:
        """The list computed ahead of time, where the request is one that it answers."""
        default = UsersRequest(request.item_id, request.limit, self._min_likes)
        if self._precomputed == "never" or reverse is None or role is not None or request != default:
            return None
        try:
            found = self._dependencies.users.audience(request.item_id, self._reverse_name, str(reverse.version))
            if found is None:
                return None
            out = (self._opted_out or frozenset()) | self._dependencies.users.erased(found.user_ids)
        except StoreError:
            return None
        kept = [(user, score) for user, score in zip(found.user_ids, found.scores, strict=True) if user not in out]
        if len(kept) < request.limit:
            return None
        users, scores = zip(*kept[: request.limit], strict=True)
        return RankedUsers(list(users), list(scores), found.method, "reverse", reverse.version)

    def _ranked(
        self, forward: LoadedModel, reverse: LoadedModel | None, request: UsersRequest, item: Item | None
    ) -> RankedUsers | None:
        """The users by the models, without those erased after a version was trained on them."""
        while True:
            found = users_for_item(forward, reverse, request, item, self._thresholds)
            if found is None:
                return None
            try:
                erased = self._dependencies.users.erased(found.user_ids)
            except StoreError:
                return found
            if not erased:
                return found
            self._erased |= erased
            request = replace(request, excluded=erased.union(request.excluded))

    def _counted(self, found: RankedUsers, where: str) -> RankedUsers:
        self._metrics.audiences.labels(found.method, where).inc()
        return found
