"""Lists for people."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from serving.answering import Answer, Ask
from serving.auth import requires
from serving.problems import documented
from serving.service import Service

router = APIRouter(prefix="/api", tags=["recommendations"], dependencies=[Depends(requires("client"))])
JSON = "application/json"
UserId = Annotated[str, Query(min_length=1, max_length=256, pattern="^[^\\x00]*$", examples=["42"])]


class RecommendedItem(BaseModel):
    """One item of a list."""

    item_id: str = Field(examples=["2858"])
    score: float = Field(examples=[0.93])
    title: str | None = Field(None, examples=["American Beauty (1999)"])


class RecommendationsBody(BaseModel):
    """A list, best first, made by exactly one version."""

    user_id: str
    items: list[RecommendedItem]
    method_used: str = Field(examples=["als"], description="what spoke: the model, or popularity for strangers")
    model_version: str | None = Field(examples=["7"])
    request_id: str


@router.get(
    "/recommendations",
    responses={200: {"model": RecommendationsBody}, **documented(401, 403, 422, 429, 503)},
    response_class=Response,
)
async def recommendations(
    request: Request, user_id: UserId, limit: Annotated[int, Query(ge=1, le=1000)] = 10
) -> Response:
    """The best items for a person; popularity for people the model does not know."""
    service: Service = request.app.state.service
    found = await service.answer(Ask(user_id, min(limit, service.settings.max_limit)))
    service.metrics.count_answer(found.method)
    body = {
        "user_id": user_id,
        "items": _items(found),
        "method_used": found.method,
        "model_version": found.served.version,
        "request_id": request.scope["request_id"],
    }
    return Response(orjson.dumps(body), media_type=JSON)


def _items(found: Answer) -> list[dict[str, Any]]:
    ids, titles = found.served.item_ids, found.served.titles
    return [
        {"item_id": ids[item], "score": score, "title": titles[item] or None}
        for item, score in zip(found.items.tolist(), found.scores.tolist(), strict=True)
    ]
