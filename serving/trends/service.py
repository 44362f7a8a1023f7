"""One list that is the same for all users, end to end: activity, catalogue, cache, serialization, impressions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from serving.catalogue.fields import FieldReader
from serving.catalogue.merged import MergedCatalogue
from serving.interfaces import Dependencies, HiddenItems, Impression
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache
from serving.recommend.ranking import diversity_of
from serving.recommend.recommender import RecommendationService
from serving.recommend.response import SerializedList
from serving.trends.board import Activity, ActivityBoard
from serving.trends.by_rules import TrendRules
from serving.trends.lists import TrendList, TrendRequest, trend_list

NO_ACTIVITY = Activity()


class TrendService:
    """Makes popular, trending and latest lists."""

    def __init__(
        self,
        recommender: RecommendationService,
        board: ActivityBoard,
        dependencies: Dependencies,
        metrics: Metrics,
        cache: Cache,
    ) -> None:
        """Keep the collaborators.

        Args:
            recommender: reads hidden items, histories and the catalogue.
            board: the activity of each window.
            dependencies: where impressions go.
            metrics: counts lists and cache hits.
            cache: serialized lists.
        """
        self._recommender, self._board, self._dependencies = recommender, board, dependencies
        self._metrics, self._cache = metrics, cache
        self._trend_rules = TrendRules()

    async def make(
        self, served: LoadedModel | None, request: TrendRequest, user_id: str | None, request_id: str
    ) -> tuple[SerializedList, bool]:
        """The list, and whether it is degraded: made without data that was unavailable.

        Args:
            served: the loaded model, whose catalogue and popularity are used; None where there is none.
            request: which list.
            user_id: to whom it is shown, so that the impression is stored; None: to an unknown user, it is not.
            request_id: of the impression.

        Raises:
            Problem: 422 where no item has a category of the request.
            InvalidFilter: a filter does not fit the attributes of the items.
        """
        hidden, hidden_unavailable = await self._recommender.hidden()
        catalogue, catalogue_unavailable = await self._recommender.catalogue(served, hidden)
        rules, rules_unavailable = await self._recommender.rules(hidden)
        catalogue.check_categories(request.categories)
        latest = request.kind == "latest"
        activity = NO_ACTIVITY if latest else await self._board.current(request.window or "week")
        # the score of the latest items falls with time: a list is kept within one minute only
        minute = int(time.time() // 60) if latest else 0
        key = ("trends", request, activity.version, catalogue.key, hidden.version, rules.ruleset.key, minute)
        found = await self._cache.get(key)
        degraded = hidden_unavailable or catalogue_unavailable or rules_unavailable or activity.degraded
        if found is None:
            self._metrics.cache_misses.inc()
            listed = trend_list(
                request, activity, catalogue, hidden, served=served, rules=rules, trend_rules=self._trend_rules
            )
            fields = await self._fields(served, request, listed, hidden, catalogue)
            found = _serialized(listed, catalogue, served, fields)
            if not degraded:
                await self._cache.put(key, found)
        else:
            self._metrics.cache_hits.inc()
        self._metrics.count_recommendation(found.method)
        if found.rules:
            self._metrics.count_rules(found.rules)
        if user_id is not None:
            await self._record(found, user_id, request_id)
        return found, degraded

    async def _fields(
        self,
        served: LoadedModel | None,
        request: TrendRequest,
        listed: TrendList,
        hidden: HiddenItems,
        catalogue: MergedCatalogue,
    ) -> list[dict[str, Any]] | None:
        """Of each item, where the request names some. Raises a 422 problem on a field that no item has."""
        if not request.fields:
            return None
        rules, _ = await self._recommender.rules(hidden)
        reader = FieldReader(served, catalogue, rules.ruleset.posted)
        reader.check(request.fields)
        return await self._recommender.fields(listed.item_ids, request.fields, reader, catalogue)

    async def _record(self, found: SerializedList, user_id: str, request_id: str) -> None:
        history, _ = await self._recommender.history(user_id)
        if history.personal and found.item_ids:
            propensities = (1.0,) * len(found.item_ids)
            shown = (found.item_ids, found.scores, propensities, found.method, found.version)
            self._dependencies.impressions.record(Impression(request_id, user_id, *shown, timestamp=int(time.time())))


def _serialized(
    found: TrendList,
    catalogue: MergedCatalogue,
    served: LoadedModel | None,
    fields: Sequence[Mapping[str, Any]] | None,
) -> SerializedList:
    items: list[dict[str, Any]] = [
        {"item_id": item_id, "score": score, "title": catalogue.title(item_id) or None}
        for item_id, score in zip(found.item_ids, found.scores, strict=True)
    ]
    for name, values in (("reason", found.reasons), ("fields", fields)):
        if values is not None:
            for one, value in zip(items, values, strict=True):
                one[name] = value
    # live events are of no model version; what users chose in training is
    version = served.version if served is not None and found.method == "popularity" else None
    body = {
        "items": items,
        "method_used": found.method,
        "model_version": version,
        "diversity_score": _diversity(served, found.item_ids),
        "rules_applied": found.rules_applied,
    }
    content = orjson.dumps(body)[:-1]
    return SerializedList(content, found.item_ids, found.scores, found.method, version, found.rules_applied)


def _diversity(served: LoadedModel | None, item_ids: tuple[str, ...]) -> float | None:
    """Of the items that the version knows; None for fewer than two."""
    if served is None or len(item_ids) < 2:
        return None
    known = served.train.items.index_of(list(item_ids))
    return diversity_of(served.item_similarity.vectors, known[known >= 0])
