"""FastAPI dependencies of the routes: the service, the database, the caller; reads in a thread, writes by a future.

The framework runs a dependency that is no coroutine in a thread: under load each such hand-over waits for the
interpreter, up to five milliseconds. So all of these are coroutines; a test asks every route.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, Request

from serving.errors import Problem
from serving.patterns.keeper import PatternKeeper
from serving.security.authentication import Principal, principal_of, requires
from serving.service import Service
from serving.store.db.writer import Task
from serving.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


async def store_of(request: Request) -> Store:
    """The database of the application that got this request. Raises a 503 problem where it runs without one."""
    store: Store | None = getattr(request.app.state, "store", None)
    if store is None:
        raise Problem(503, "no-database", "This service runs without a database; set RECSTAGE_SERVING_DATABASE_URL.")
    return store


async def service_of(request: Request) -> Service:
    """The service of the application that got this request."""
    service: Service = request.app.state.service
    return service


async def caller_of(request: Request) -> Principal:
    """The principal that the middleware identified. Raises a 401 problem without one."""
    return principal_of(request)


async def patterns_of(request: Request) -> PatternKeeper:
    """The keeper of the users' patterns. Raises a 503 problem where the service runs without a database."""
    await store_of(request)
    keeper: PatternKeeper = request.app.state.patterns
    return keeper


ServiceDep = Annotated[Service, Depends(service_of)]
StoreDep = Annotated[Store, Depends(store_of)]
CurrentPrincipal = Annotated[Principal, Depends(caller_of)]
PatternsDep = Annotated[PatternKeeper, Depends(patterns_of)]
AdminRole = Annotated[Principal, Depends(requires("admin"))]


async def run_write(store: Store, task: Task[T]) -> T:
    """The result of a task, once it is on disk. Raises `StoreError`, or what the task raised."""
    return await asyncio.wrap_future(store.writer.submit(task))


async def run_read(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A read that may take milliseconds, in a thread."""
    return await asyncio.to_thread(read, *args, **kwargs)


def require_self_or_service(caller: Principal, user_id: str) -> None:
    """Raise a 403 problem unless the caller's token is of this user, or their role is service or above."""
    if caller.user_id != user_id:
        caller.require("service")


def not_found(what: str, name: str) -> Problem:
    """The problem of an id that is unknown."""
    return Problem(404, f"unknown-{what}", f"There is no {what} '{name[:80]}' here.")
