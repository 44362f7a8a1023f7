"""Lists and scores for many users in one request."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, FailFast, Field, StrictBool
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.api.fields import Body, LookupId, LookupName, check_limit
from serving.api.list_body import ListBody
from serving.errors import Problem, documented
from serving.models.loaded_model import LoadedModel
from serving.recommend.recommender import known_items
from serving.recommend.request import AUTO
from serving.recommend.response import RecommendationsBody
from serving.security.authentication import requires

router = APIRouter(prefix="/api", tags=["recommendations"], dependencies=[Depends(requires("service"))])
REFUSALS = documented(400, 401, 403, 408, 413, 422, 429, 503)
UserIds = Annotated[list[LookupId], FailFast()]


class BatchListBody(ListBody):
    """The users, and the parameters of all their lists."""

    user_ids: UserIds = Field(
        min_length=1,
        examples=[["42", "43"]],
        description="at most `max_users` of the settings; one given twice counts once",
    )
    shown: StrictBool = Field(True, description="the lists count as shown, and are stored as impressions")


class ListsBody(BaseModel):
    """A list for each user, in the order of the request; in an experiment by the version of each user's group."""

    lists: list[RecommendationsBody]


class BatchPredictBody(Body):
    """The users, and the items to score for each of them."""

    user_ids: UserIds = Field(min_length=1, examples=[["42", "43"]], description="at most `max_users` of the settings")
    item_ids: Annotated[list[LookupId], FailFast()] = Field(min_length=1, examples=[["2858", "260"]])
    strategy: LookupName = Field(AUTO, description="as for recommendations")


class UserScores(BaseModel):
    """The scores of one user, in the order of the items."""

    user_id: str = Field(examples=["42"])
    scores: list[float] = Field(examples=[[0.93, 0.41]], description="comparable within one user only")
    method_used: str = Field(examples=["als"], description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(examples=["7"], description="in a split the one of the user's group")


class BatchPredictionBody(BaseModel):
    """Scores for each user, in the order of the request, each user's by exactly one model version."""

    item_ids: list[str] = Field(examples=[["2858", "260"]])
    users: list[UserScores]
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    degraded: bool = Field(examples=[False], description="made without live histories: the database was unavailable")


@router.post(
    "/recommendations/batch",
    summary="Recommend items to many users at once",
    response_model=ListsBody,
    responses=REFUSALS,
)
async def recommend_to_many(body: BatchListBody, request: Request, service: ServiceDep) -> Response:
    """The lists of many users, ranked together; each equals the list that the user would get alone."""
    check_limit(body.limit, service.settings.max_limit, "items", where="body.limit")
    user_ids = _few_users(body.user_ids, service.settings.max_users)
    request_id: str = request.scope["request_id"]
    wanted = body.to_request(service.settings.diversity)
    found = await service.batch(wanted, user_ids, request_id, shown=body.shown)
    lists = (
        one.found.with_request(one.user_id, one.request_id, one.degraded, experiment=one.experiment, **one.unlearned)
        for one in found
    )
    return Response(b'{"lists":[%s]}' % b",".join(lists), media_type="application/json")


@router.post(
    "/predict/batch",
    summary="Score the same items for many users",
    response_model=BatchPredictionBody,
    responses={**REFUSALS, **documented(404)},
)
async def predict_for_many(body: BatchPredictBody, service: ServiceDep) -> Response:
    """Scores of the same items for many users. Unknown items are refused by name."""
    user_ids = _few_users(body.user_ids, service.settings.max_users)
    most = service.settings.max_batch
    if len(body.item_ids) > most:
        raise Problem(422, "invalid-request", f"body.item_ids: at most {most} items are scored at once.")
    served = service.select_model(body.strategy)
    known_items(served, body.item_ids)
    groups: dict[str, tuple[LoadedModel, list[str]]] = {}
    for user_id in user_ids:
        version = service.experiments.version_for(served, body.strategy, user_id)
        if (version.train.items.index_of(body.item_ids) < 0).any():
            version = served
        groups.setdefault(version.key, (version, []))[1].append(user_id)
    of_user: dict[str, dict[str, object]] = {}
    degraded = False
    for version, members in groups.values():
        items = known_items(version, body.item_ids)
        scores, methods, unavailable = await service.lists.scores(version, body.strategy, members, items)
        degraded = degraded or unavailable
        for user_id, own, method in zip(members, scores.tolist(), methods, strict=True):
            about = {"user_id": user_id, "scores": own, "method_used": method, "model_version": version.version}
            of_user[user_id] = about
    users = [of_user[user_id] for user_id in user_ids]
    content = {
        "item_ids": body.item_ids,
        "users": users,
        "model_version": served.version,
        "degraded": degraded,
    }
    return Response(orjson.dumps(content), media_type="application/json")


def _few_users(user_ids: list[str], most: int) -> list[str]:
    if len(user_ids) > most:
        raise Problem(422, "too-many", f"body.user_ids: at most {most} users a request; this one has {len(user_ids)}.")
    return list(dict.fromkeys(user_ids))
