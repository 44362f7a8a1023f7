"""A list as plain HTML, for a browser without JavaScript."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from serving.recommend.request import RecommendationRequest
from serving.service import Service

LIMIT = 10


async def plain_list(service: Service, user_id: str, request_id: str) -> str:
    """The page with the list of a user; whatever it shows is escaped. Raises what `Service.recommend` raises."""
    request = RecommendationRequest(user_id, LIMIT, explain=True)
    found, degraded, assignment = await service.recommend(request, request_id)
    body = orjson.loads(found.with_request(user_id, request_id, degraded, experiment=assignment.body))
    return page_of("plain.html", user_id=user_id, found=body)


def page_of(template: str, **values: Any) -> str:
    """A page of `templates/`; whatever it shows is escaped."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("serving.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
