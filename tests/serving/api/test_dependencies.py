"""What routes depend on runs on the event loop: a hand-over to a thread and back costs milliseconds under load."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from serving.api.routes import ROUTERS


def dependencies_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for one in dependant.dependencies:
        assert one.call is not None
        yield one.call
        yield from dependencies_of(one)


def test_no_dependency_of_a_route_runs_in_a_thread():
    found = [
        (route.path, call)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for call in dependencies_of(route.dependant)
    ]
    assert len(found) > 50
    assert [(path, call.__name__) for path, call in found if not inspect.iscoroutinefunction(call)] == []
