"""The body of `GET /api/recommendations`: its schema, and the bytes that are sent; a test holds one to the other.

The list is serialized once and cached; what differs between two requests for the same list is appended. This avoids
a pass of pydantic over each response (`python -m experiments.benchmarks --only throughput`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from recstage.experiments.interleaving import team_draft
from serving.recommend.request import RankedItems

NO_TITLES: Mapping[str, str] = {}


_RANDOM = np.random.default_rng()


Unlearned = Annotated[
    list[str] | None,
    Field(
        examples=[["context.page", "context.device=fridge"]],
        description="names of `context` and `profile` that the version does not look at, and values that it was not"
        " trained with; only where there are any",
    ),
]


class RecommendedItem(BaseModel):
    """One item of a list."""

    item_id: str = Field(examples=["2858"])
    score: float = Field(examples=[0.93], description="comparable within one list only")
    title: str | None = Field(None, examples=["American Beauty (1999)"])
    reason: str | None = Field(None, examples=["You chose 'The Matrix (1999)' (62%) and 'Alien (1979)' (38%)."])
    fields: dict[str, Any] | None = Field(
        None, examples=[{"categories": ["Drama"], "price": 9.99}], description="those that the request named"
    )


class RankedItem(RecommendedItem):
    """One item of a list made for a user."""

    rank: int = Field(examples=[1], description="1 is the best")
    propensity: float = Field(1.0, examples=[1.0], description="chance with which the item is shown at this rank")


class ExperimentBody(BaseModel):
    """The experiment that the list is part of."""

    name: str = Field(examples=["recommender-8-vs-7"])
    arm: str = Field(examples=["challenger"], description="`production`, `challenger` or `interleaved`")
    chance: float = Field(examples=[0.5], description="probability with which this arm was given")


class RecommendationsBody(BaseModel):
    """A list, best item first, made by exactly one model version."""

    user_id: str = Field(examples=["42"])
    items: list[RankedItem]
    method_used: str = Field(examples=["als"], description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    diversity_score: float | None = Field(
        examples=[0.41], description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(
        examples=[["no-horror"]], description="business rules that had a part in this list, by name"
    )
    degraded: bool = Field(
        examples=[False],
        description="made without the live history (no database), or without the strategy asked for",
    )
    experiment: ExperimentBody | None = Field(description="null: outside any experiment")
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")
    unlearned: Unlearned = None
    next: str | None = Field(
        None,
        examples=["MbJ2c0d3"],
        description="the `cursor` of the next page; null: no more. Only where the request has a `cursor`",
    )


@dataclass(frozen=True, slots=True)
class SerializedList:
    """A list whose JSON lacks only what each request adds: the user and the request id, which no cache stores.

    `item_ids` and `scores` are kept for the impressions.
    """

    body: bytes
    """A JSON object without its closing brace."""
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str
    version: str | None
    rules: tuple[str, ...] = ()
    """Names of the business rules that had a part in it."""
    propensities: tuple[float, ...] = ()
    """Of each item at its rank; empty: 1."""
    teams: tuple[int, ...] | None = None
    """Of an interleaved list: which ranking contributed each item."""
    degraded: bool = False
    """Whether a model that should have ranked it raised; such a list is not cached."""

    @classmethod
    def of(
        cls,
        ranked: RankedItems,
        titles_now: Mapping[str, str] = NO_TITLES,
        fields: Sequence[Mapping[str, Any]] | None = None,
        propensities: tuple[float, ...] = (),
    ) -> SerializedList:
        """Serialize a ranking.

        Args:
            ranked: by one model version.
            titles_now: titles that differ from those of the version.
            fields: of each item, where the request named some.
            propensities: of each item at its rank; empty: 1.
        """
        ids, titles = ranked.served.item_ids, ranked.served.titles
        indices, scores = ranked.items.tolist(), ranked.scores.tolist()
        items: list[dict[str, Any]] = [
            {"item_id": ids[item], "score": score, "title": titles[item] or None, "rank": rank, "propensity": 1.0}
            for rank, (item, score) in enumerate(zip(indices, scores, strict=True), 1)
        ]
        if ranked.reasons is not None:
            for one, reason in zip(items, ranked.reasons, strict=True):
                one["reason"] = reason
        for new in ranked.untrained:
            listed = {"item_id": new.item_id, "score": new.score, "title": None}
            items.insert(new.place, listed if new.reason is None else {**listed, "reason": new.reason})
            scores.insert(new.place, new.score)
        if titles_now:
            for one in items:
                one["title"] = titles_now.get(one["item_id"], one["title"])
        if fields is not None:
            for one, value in zip(items, fields, strict=True):
                one["fields"] = value
        if ranked.untrained or propensities:
            for rank, one in enumerate(items, start=1):
                one["rank"], one["propensity"] = rank, propensities[rank - 1] if propensities else 1.0
        body = {
            "items": items,
            "method_used": ranked.method,
            "model_version": ranked.served.version,
            "diversity_score": ranked.diversity,
            "rules_applied": ranked.rules_applied,
        }
        item_ids = tuple([one["item_id"] for one in items])
        version, rules = ranked.served.version, ranked.rules_applied
        about = (ranked.method, version, rules, propensities, None, ranked.degraded)
        return cls(orjson.dumps(body)[:-1], item_ids, tuple(scores), *about)

    def with_request(self, user_id: str | None, request_id: str, degraded: bool, **more: object) -> bytes:
        """The response body for one request. `request_id` needs no escaping: letters, digits, dots, `_` and `-`."""
        return b'%s,"degraded":%s,"user_id":%s,"request_id":"%s"%s}' % (
            self.body,
            b"true" if degraded or self.degraded else b"false",
            orjson.dumps(user_id),
            request_id.encode(),
            b"," + orjson.dumps(more)[1:-1] if more else b"",
        )

    def pack(self) -> bytes:
        """As a value of an external cache."""
        about = [self.method, self.version, self.rules, self.propensities, self.teams]
        return orjson.dumps([self.body.decode(), self.item_ids, self.scores, *about])

    @classmethod
    def unpack(cls, packed: bytes) -> SerializedList:
        """The inverse of `pack`."""
        body, item_ids, scores, method, version, rules, chances, teams = orjson.loads(packed)
        about = (method, version, tuple(rules), tuple(chances), None if teams is None else tuple(teams))
        return cls(body.encode(), tuple(item_ids), tuple(scores), *about)


def interleaved(
    production: SerializedList, challenger: SerializedList, limit: int, rng: np.random.Generator = _RANDOM
) -> SerializedList:
    """Two versions' lists as one, by team draft; each item keeps score and title of the version that contributed it.

    `model_version` and `method_used` are those of Production.

    Where business rules had a part in a list, it is Production's: chance must not move what an editor placed.
    """
    bodies: list[dict[str, Any]] = [orjson.loads(one.body + b"}") for one in (production, challenger)]
    if any(body.get("rules_applied") for body in bodies):
        return production
    item_ids, teams = team_draft(production.item_ids, challenger.item_ids, limit, rng)
    if not item_ids:
        return production
    by_team = [{item["item_id"]: item for item in body["items"]} for body in bodies]
    items = [
        {**by_team[team][item], "rank": rank} for rank, (item, team) in enumerate(zip(item_ids, teams, strict=True), 1)
    ]
    body = {**bodies[0], "items": items, "diversity_score": None}
    scores = tuple(float(item["score"]) for item in items)
    degraded = production.degraded or challenger.degraded
    about = (production.method, production.version, (), (), tuple(teams), degraded)
    return SerializedList(orjson.dumps(body)[:-1], tuple(item_ids), scores, *about)
