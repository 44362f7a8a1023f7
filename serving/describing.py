"""The OpenAPI description: what the routes say of themselves, with the limits and the guard of the settings."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from recstage.config import names_in
from recstage.models.base import POPULARITY
from serving.answering import AUTO
from serving.settings import ServingSettings

OWN = ("content", "graph")
COMPOSED = ("hybrid",)
API = "/api/"
WEBHOOK = "/api/model/webhook"
LISTS = ("/api/recommendations", "/api/items/{item_id}/recommended-users")


def strategies() -> frozenset[str]:
    """Every strategy that a request may name, whether or not the served version has it."""
    return frozenset({AUTO, POPULARITY, *OWN, *COMPOSED, *names_in("model")})


def describe(app: FastAPI, settings: ServingSettings) -> None:
    """Give `app` its description, made when it is first asked for."""

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
    predicted = description["components"]["schemas"]["PredictBody"]["properties"]
    predicted["item_ids"]["maxItems"] = settings.max_batch
    predicted["strategy"]["enum"] = known
    if settings.guarded:
        _guard(description)
    return description


def _guard(description: dict[str, Any]) -> None:
    description["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "token": {"type": "http", "scheme": "bearer", "description": "a JWT with exp and role, or an API key"},
    }
    for path, operations in description["paths"].items():
        if path.startswith(API) and path != WEBHOOK:
            for operation in operations.values():
                operation["security"] = [{"key": []}, {"token": []}]
