"""The OpenAPI document: what the routes declare, with the limits and the authentication of the settings."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.errors import MEDIA_TYPE
from serving.recommend.strategies import strategies
from serving.security.middleware import API, METRICS, WEBHOOK
from serving.settings import ServingSettings

UNSUPPORTED = {
    "description": "Unsupported Media Type",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
}
LISTS = (
    "/api/recommendations",
    "/api/recommendations/stream",
    "/api/items/{item_id}/recommended-users",
    "/api/items/{item_id}/similar",
    "/api/popular",
    "/api/trending",
    "/api/latest",
)


def describe(app: FastAPI, settings: ServingSettings) -> None:
    """Give `app` its OpenAPI document, made when it is first requested."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, settings)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI, settings: ServingSettings) -> dict[str, Any]:
    description = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    known = sorted(strategies())
    for path in LISTS:
        for parameter in description["paths"][path]["get"]["parameters"]:
            if parameter["name"] == "limit":
                parameter["schema"]["maximum"] = settings.max_limit
            elif parameter["name"] == "strategy":
                parameter["schema"]["enum"] = known
    for operations in description["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"]["415"] = deepcopy(UNSUPPORTED)
            _only_problems(operation["responses"])
    for (schema, entries), most in _most_entries(settings).items():
        properties = description["components"]["schemas"][schema]["properties"]
        properties[entries]["maxItems"] = most
        properties["strategy"]["enum"] = known
        if schema in ("SessionHistoryBody", "BatchListBody"):
            properties["limit"]["maximum"] = settings.max_limit
    if settings.guarded:
        _guard(description)
    return description


def _most_entries(settings: ServingSettings) -> dict[tuple[str, str], int]:
    """Bodies that name a strategy, and how many entries their lists may have."""
    return {
        ("PredictBody", "item_ids"): settings.max_batch,
        ("RankBody", "items"): settings.max_batch,
        ("SessionHistoryBody", "items"): settings.max_batch,
        ("BatchListBody", "user_ids"): settings.max_users,
        ("BatchPredictBody", "user_ids"): settings.max_users,
        ("BatchPredictBody", "item_ids"): settings.max_batch,
    }


def _only_problems(responses: dict[str, Any]) -> None:
    """Describe every error as a problem, and the headers that the middleware adds; the framework knows neither."""
    for status, response in responses.items():
        content = response.get("content", {})
        if MEDIA_TYPE in content:
            response["content"] = {MEDIA_TYPE: content[MEDIA_TYPE]}
        headers = response.setdefault("headers", {})
        headers["X-Request-Id"] = {
            "description": "identifies the request in responses and logs: the caller's own, where it sent one that is"
            " 1 to 64 letters, digits, dots, underscores and hyphens",
            "schema": {"type": "string"},
            "example": "b8d1c0c4a6f34a57",
        }
        if status in ("429", "503"):
            headers["Retry-After"] = {
                "description": "seconds to wait",
                "schema": {"type": "string", "pattern": "^[0-9]+$"},
                "example": "1",
            }


def _guard(description: dict[str, Any]) -> None:
    description["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "token": {"type": "http", "scheme": "bearer", "description": "a JWT with exp and role, or an API key"},
    }
    for path, operations in description["paths"].items():
        if (path.startswith(API) and path != WEBHOOK) or path == METRICS:
            for operation in operations.values():
                operation["security"] = [{"key": []}, {"token": []}]
