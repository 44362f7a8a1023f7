"""What a page has to know first: who calls, what the service has, some users and categories of the served version."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from recstage.errors import StoreError
from serving.api.dependencies import ServiceDep
from serving.errors import documented
from serving.models.loaded_model import LoadedModel
from serving.security.authentication import Principal, requires
from serving.service import Service
from serving.settings import Role

router = APIRouter(prefix="/api/session", tags=["model"])
USERS_OF_A_KIND, MOST_CATEGORIES = 3, 50


class SampleUser(BaseModel):
    """A user that the served version was trained on."""

    user_id: str = Field(examples=["42"])
    interactions: int = Field(examples=[129], description="interactions it was trained on")


class SessionBody(BaseModel):
    """The caller and the service, as a page needs to know them."""

    role: Role = Field(examples=["service"], description="what the caller may do")
    name: str = Field(examples=["shop"], description="name of the key, or `open` where none is needed")
    user_id: str | None = Field(examples=["42"], description="the user of the caller's token; null: any")
    guarded: bool = Field(examples=[True], description="whether the service wants a key or token")
    database: bool = Field(examples=[True], description="whether events and profiles can be stored")
    model_version: str | None = Field(examples=["7"], description="null: fallback models serve, or nothing")
    users: list[SampleUser] = Field(
        description="some users with long, usual and short histories; empty below the role service"
    )
    categories: list[str] = Field(examples=[["Drama", "Comedy"]], description="those of most items, at most 50")


@router.get("", summary="Tell who calls and what they may do", responses=documented(401, 403, 429, 503))
async def session(
    request: Request, service: ServiceDep, caller: Annotated[Principal, Depends(requires("client"))]
) -> SessionBody:
    """Who calls, what they may do, and what there is to show."""
    served = service.model_or_none()
    users = []
    if served is not None and caller.role != "client":
        users = await service.recommender.in_thread(_sample, service, served)
    return SessionBody(
        role=caller.role,
        name=caller.name,
        user_id=caller.user_id,
        guarded=service.settings.guarded,
        database=getattr(request.app.state, "store", None) is not None,
        model_version=None if served is None else served.version,
        users=users,
        categories=[] if served is None else _categories(served),
    )


def _sample(service: Service, served: LoadedModel) -> list[SampleUser]:
    """Users with long, usual and short histories, without those who opted out or were erased; none while the database,
    which knows them, is unavailable."""
    lengths = np.asarray(served.train.lengths)
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    middle = max(0, len(order) // 2 - USERS_OF_A_KIND // 2)
    places = [*range(USERS_OF_A_KIND), *range(middle, middle + USERS_OF_A_KIND)]
    places += range(len(order) - USERS_OF_A_KIND, len(order))
    chosen = list(dict.fromkeys(order[place] for place in places if 0 <= place < len(order)))
    users = [SampleUser(user_id=str(served.train.users.ids[at]), interactions=int(lengths[at])) for at in chosen]
    source = service.dependencies.users
    try:
        left_out = source.opted_out() | source.erased([user.user_id for user in users])
    except StoreError:
        return []
    return [user for user in users if user.user_id not in left_out]


def _categories(served: LoadedModel) -> list[str]:
    names = served.category_names()
    counts = np.asarray(served.catalogue.category_matrix.sum(axis=0)).ravel()
    return [names[at] for at in np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]]
