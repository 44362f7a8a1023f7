"""Users: their events, their declared profile, and their erasure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field, StrictBool

from serving.api.dependencies import (
    AdminRole,
    CurrentPrincipal,
    ServiceDep,
    StoreDep,
    not_found,
    require_self_or_service,
    run_read,
    run_write,
)
from serving.api.fields import Body, Category, Context, Name, PathId, moment_of
from serving.errors import Problem, documented, without_paths
from serving.models.loaded_model import LoadedModel
from serving.store.erasure.erasures import Erase, erasure_state
from serving.store.repositories.user_histories import FAR_FUTURE, PastEvent, events_of, is_known, preferences_of
from serving.store.repositories.users import Profile as StoredProfile
from serving.store.repositories.users import PutProfile, profile
from serving.store.store import Store

router = APIRouter(prefix="/api/users", tags=["users"])
SEARCHING = "The registered versions are being searched; GET /api/users/{user_id}/erasure has the result."


class PastEventBody(BaseModel):
    """An event of this user."""

    item_id: str = Field(examples=["2858"])
    interaction_type: str = Field(examples=["view"])
    value: float | None = Field(examples=[31.5], description="seconds of a view, stars of a rating")
    occurred_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])
    context: dict[str, Any] | None = Field(examples=[{"page": "home"}])
    request_id: str | None = Field(examples=["b8d1c0c4a6f34a57"], description="of the list that led to it")


class TrainedRowBody(BaseModel):
    """An interaction that the served version was trained on."""

    item_id: str = Field(examples=["2858"])
    weight: float = Field(examples=[1.0], description="0 or less: seen, and not liked")
    occurred_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])


class HistoryBody(BaseModel):
    """A page of events, newest first, and the preferences they show."""

    user_id: str = Field(examples=["42"])
    events: list[PastEventBody]
    next: str | None = Field(description="the `cursor` of the next page; null: no more")
    trained: list[TrainedRowBody] = Field(
        description="what the served version was trained on of this user, newest first, at most `limit`; on page one,"
        " and never of users who opted out or were erased"
    )
    preferences: dict[str, float] = Field(
        description="share of each category in what this user liked, greatest first", examples=[{"Drama": 0.6}]
    )


def _not_a_field(attributes: dict[str, Any]) -> dict[str, Any]:
    for name in ("role", "category", "user_id"):
        if name in attributes:
            raise ValueError(f"'{name}' has a field of its own (role, categories, the id in the path); rename it")
    return attributes


class ProfileBody(Body):
    """The profile a user declares."""

    role: Name | None = Field(None, examples=["editor"])
    categories: list[Category] = Field(
        default_factory=list, max_length=100, description="preferred categories, strongest first", examples=[["Drama"]]
    )
    attributes: Annotated[Context, AfterValidator(_not_a_field)] = Field(
        default_factory=dict,
        description="texts, numbers and truth values by name: `@profile.NAME` of filters and rules, features of"
        " versions that learned them",
        examples=[{"region": "DE", "age": 37}],
    )
    opted_out: StrictBool = Field(
        False, description="no personalisation: popularity only, and nothing personal is recorded"
    )


class KnownProfileBody(BaseModel):
    """The declared profile of a user, and since when."""

    user_id: str = Field(examples=["42"])
    role: str | None = Field(examples=["editor"])
    categories: list[str] = Field(examples=[["Drama"]], description="preferred categories, strongest first")
    attributes: dict[str, Any] = Field(examples=[{"region": "DE", "age": 37}], description="by name")
    opted_out: bool = Field(examples=[False])
    known_since: datetime | None = Field(examples=["2026-11-20T18:15:00Z"])
    changed_at: datetime | None = Field(description="null: nothing was ever declared")


class TrainedVersion(BaseModel):
    """A registered version that was trained on this user."""

    name: str = Field(examples=["recommender"])
    version: str = Field(examples=["7"])


class ErasureStateBody(BaseModel):
    """How far an erasure is, and which registered versions were trained on the user."""

    user_id: str = Field(examples=["42"])
    erased_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])
    finished_at: datetime | None = Field(
        description="null: the log of the database is not emptied yet, or the registered versions are being searched"
    )
    trained_versions: list[TrainedVersion] = Field(
        description="registered versions trained on this user; retrain and prune them to erase fully"
    )
    complete: bool = Field(description="whether every registered version was checked")
    incomplete_because: str | None = Field(examples=["The registry does not answer."])


class ErasureBody(ErasureStateBody):
    """What was removed, and how far the erasure is."""

    removed: dict[str, int] = Field(description="rows by table", examples=[{"user_interactions": 31}])


@router.get(
    "/{user_id:id}/history", summary="Read the events of a user", responses=documented(401, 403, 404, 422, 429, 503)
)
async def user_history(
    user_id: PathId,
    store: StoreDep,
    service: ServiceDep,
    caller: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=1000, description="events of a page")] = 50,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,15}-[0-9]{1,18}$", description="`next` of a page")] = None,
) -> HistoryBody:
    """The events of a user, newest first, and the preferences by category that they show."""
    require_self_or_service(caller, user_id)
    return await run_read(_history, store, service.versions.served, user_id, limit, cursor)


@router.get(
    "/{user_id:id}/profile",
    summary="Read the declared profile of a user",
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def get_profile(user_id: PathId, store: StoreDep, caller: CurrentPrincipal) -> KnownProfileBody:
    """The declared profile of a user."""
    require_self_or_service(caller, user_id)
    found = await run_read(profile, store.reader, user_id)
    if found is None:
        raise not_found("user", user_id)
    return _profile(found)


@router.put(
    "/{user_id:id}/profile",
    summary="Replace the declared profile of a user",
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def put_profile(
    user_id: PathId, body: ProfileBody, store: StoreDep, caller: CurrentPrincipal
) -> KnownProfileBody:
    """Replace the declared profile of a user; it takes effect with the next request."""
    require_self_or_service(caller, user_id)
    categories = tuple(dict.fromkeys(body.categories))
    attributes = {name: value for name, value in body.attributes.items() if value is not None}
    put = PutProfile(user_id, role=body.role, categories=categories, opted_out=body.opted_out, attributes=attributes)
    return _profile(await run_write(store, put))


@router.delete(
    "/{user_id:id}", summary="Erase a user and all their data", responses=documented(401, 403, 422, 429, 503)
)
async def delete_user(user_id: PathId, store: StoreDep, caller: AdminRole) -> ErasureBody:
    """Erase a user: events, impressions, feedback, lists, profile.

    When this responds, the rows are gone, late events from before are ignored, and what models learned from the user is
    not used for them. What takes longer is recorded as a task and finished after a restart too: emptying the log of the
    database, and searching all registered versions. `GET /api/users/{user_id}/erasure` has its result.
    """
    erased = await run_write(store, Erase(user_id, drop_queued=store.impressions.forget))
    known = await run_read(store.lineage.indexed, user_id)
    return ErasureBody(
        user_id=user_id,
        erased_at=moment_of(erased.erased_at),
        finished_at=None,
        removed=erased.rows,
        trained_versions=_versions(known),
        complete=False,
        incomplete_because=SEARCHING,
    )


@router.get(
    "/{user_id:id}/erasure", summary="Read how far an erasure is", responses=documented(401, 403, 404, 422, 429, 503)
)
async def get_erasure(user_id: PathId, store: StoreDep, caller: AdminRole) -> ErasureStateBody:
    """How far the last erasure of a user is."""
    state = await run_read(erasure_state, store.reader, user_id)
    if state is None:
        raise Problem(404, "not-erased", f"The user '{user_id[:80]}' was never erased here.")
    finished = state.finished_at is not None
    return ErasureStateBody(
        user_id=user_id,
        erased_at=moment_of(state.erased_at),
        finished_at=None if state.finished_at is None else moment_of(state.finished_at),
        trained_versions=_versions(state.versions),
        complete=finished and state.why is None,
        incomplete_because=without_paths(state.why or "") or (None if finished else SEARCHING),
    )


def _versions(found: Sequence[tuple[str, str]]) -> list[TrainedVersion]:
    return [TrainedVersion(name=name, version=version) for name, version in found]


def _history(store: Store, served: LoadedModel | None, user_id: str, limit: int, cursor: str | None) -> HistoryBody:
    history = store.histories.history(user_id)
    usable = served is not None and history.personal and not history.forgotten
    trained = _trained_rows(served, user_id, limit) if usable and served is not None and cursor is None else []
    if not trained and not is_known(store.reader, user_id):
        raise not_found("user", user_id)
    moment, number = (FAR_FUTURE, FAR_FUTURE) if cursor is None else map(int, cursor.split("-"))
    found = events_of(store.reader, user_id, limit, (moment, number))
    liked = list(zip(history.item_ids, history.weights, strict=True))
    return HistoryBody(
        user_id=user_id,
        events=[_event(one) for one in found],
        next=f"{found[-1].occurred_at}-{found[-1].number}" if len(found) == limit else None,
        trained=trained,
        preferences=preferences_of(store.reader, user_id, liked) if liked else {},
    )


def _trained_rows(served: LoadedModel, user_id: str, limit: int) -> list[TrainedRowBody]:
    user = served.trained_user(user_id)
    rows = list(zip(user.items.tolist(), user.weights.tolist(), user.timestamps.tolist(), strict=True))
    newest = sorted(rows, key=lambda row: row[2], reverse=True)[:limit]
    return [
        TrainedRowBody(item_id=served.item_ids[item], weight=weight, occurred_at=moment_of(seconds * 1000))
        for item, weight, seconds in newest
    ]


def _event(one: PastEvent) -> PastEventBody:
    return PastEventBody(
        item_id=one.item_id,
        interaction_type=one.interaction_type,
        value=one.value,
        occurred_at=moment_of(one.occurred_at),
        context=one.context,
        request_id=one.request_id,
    )


def _profile(found: StoredProfile) -> KnownProfileBody:
    return KnownProfileBody(
        user_id=found.user_id,
        role=found.role,
        categories=list(found.categories),
        attributes=dict(found.attributes),
        opted_out=found.opted_out,
        known_since=None if found.created_at is None else moment_of(found.created_at),
        changed_at=None if found.updated_at is None else moment_of(found.updated_at),
    )
