"""Every error as RFC 9457 problem+json: a type, a title, one clear sentence, and the request's id."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recstage.errors import InputError, NoProduction, RecstageError, StoreError

MEDIA_TYPE = "application/problem+json"
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"
CONTROL_CHARACTERS = "This must not hold control characters such as NUL or a line break"
MAX_NAME_LENGTH, MAX_RULE_LENGTH = 64, 500
log = logging.getLogger("serving")


class Problem(Exception):  # noqa: N818  the name RFC 9457 gives it
    """An error as the caller sees it: raise it from anywhere below a route."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        """Describe the problem.

        Args:
            status: the HTTP status.
            kind: a stable lower-case word that a program can switch on ('unknown-item').
            detail: one sentence for the reader: what was given, the rule, the fix.
            headers: further headers of the response.
            errors: one entry for each field that broke a rule, as `FieldError`.
        """
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, " ".join(detail.split())
        self.headers, self.errors = dict(headers or {}), errors


class FieldError(BaseModel):
    """One field that broke a rule."""

    where: str = Field(examples=["query.limit"])
    rule: str = Field(examples=["Input should be less than or equal to 200"])


class ProblemBody(BaseModel):
    """The body of every error response (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid-request"], description="stable name of the kind of problem")
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["query.limit: Input should be less than or equal to 200"])
    instance: str = Field(examples=["/api/recommendations"], description="the path of the request")
    request_id: str | None = Field(None, examples=["b8d1c0c4a6f34a57"])
    errors: list[FieldError] | None = Field(None, description="each field that broke a rule")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: these statuses come with a problem."""
    return {
        status: {
            "model": ProblemBody,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
        for status in statuses
    }


def response(problem: Problem, path: str, request_id: str | None) -> Response:
    """The response to a problem."""
    return Response(body(problem, path, request_id), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def body(problem: Problem, path: str, request_id: str | None) -> bytes:
    """The JSON of a problem."""
    content: dict[str, Any] = {
        "type": f"/problems/{problem.kind}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
    }
    if problem.errors:
        content["errors"] = problem.errors
    # a path may hold lone surrogates, which JSON cannot
    return orjson.dumps(content, default=str) if _encodable(path) else orjson.dumps({**content, "instance": "/"})


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_ADDRESS = re.compile(r"\b[a-z+]+:///+[^\s'\"`,;()]+")
_QUOTED = re.compile(r"""(?<=['"`])/[^'"`]+(?=['"`])""")
_PATH = re.compile(r"(?<![\w.:/])/[^\s/:'\"`,;()]+(?:/[^\s/:'\"`,;()]*)*")


def without_paths(text: str) -> str:
    """The text with only the last name of each absolute path of this machine, `sqlite:///` and `file:///` included.

    Routes such as /docs stay: a path is of this machine where its first folder exists here.
    """
    for pattern in (_ADDRESS, _QUOTED, _PATH):
        text = pattern.sub(_last_name, text)
    return text


def _last_name(found: re.Match[str]) -> str:
    whole = found.group()
    is_address = "://" in whole
    parts = [part for part in whole.rpartition("://")[2].split("/") if part]
    return parts[-1] if parts and (is_address or Path("/", parts[0]).exists()) else whole


def of_error(error: RecstageError) -> Problem:
    """A recstage error as a problem: the user's mistake is a 422, a missing model or database a 503."""
    if isinstance(error, NoProduction):
        return Problem(503, "no-production", without_paths(str(error)), headers={"retry-after": "5"})
    if isinstance(error, StoreError):
        return Problem(503, "store-away", without_paths(str(error)), headers={"retry-after": "1"})
    if isinstance(error, InputError):
        return Problem(422, "invalid-request", without_paths(str(error)))
    return internal()


def internal() -> Problem:
    """An unexpected error; the log has it."""
    return Problem(500, "internal", "Something went wrong in the service; the request id finds it in the log.")


def of_validation(error: RequestValidationError) -> Problem:
    """A request that failed validation, one entry a field; values that were sent are not repeated."""
    errors = [{"where": _where(found["loc"]), "rule": _rule(found)[:MAX_RULE_LENGTH]} for found in error.errors()[:20]]
    malformed = any(found["type"] == "json_invalid" for found in error.errors())
    detail = "; ".join(f"{one['where']}: {one['rule']}" for one in errors[:3])
    return Problem(400 if malformed else 422, "invalid-request", detail or "The request is invalid.", errors=errors)


def _rule(found: Mapping[str, Any]) -> str:
    """The rule that a field broke, in words also where it is a pattern."""
    if found["type"] == "string_pattern_mismatch" and found["ctx"]["pattern"] == NO_CONTROL_CHARACTERS:
        return CONTROL_CHARACTERS
    return str(found["msg"]).removeprefix("Value error, ")


def _where(place: Sequence[Any]) -> str:
    """The path to a field; names chosen by the caller are cut to a bounded length."""
    return ".".join(str(part)[:MAX_NAME_LENGTH] for part in place)


_KINDS = {404: "not-found", 405: "method-not-allowed", 401: "unauthenticated", 403: "forbidden", 413: "too-large"}


def of_http(error: HTTPException, request: Request) -> Problem:
    """A request that the router refused."""
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = f"There is nothing at {request.url.path}; /docs lists what there is."
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not allowed here" + (f"; use {allowed}." if allowed else ".")
    if error.status_code == 400 and detail == "There was an error parsing the body":  # the framework's, of any cause
        detail += ": it must be JSON in UTF-8, and a number has at most 4,300 digits."
        return Problem(400, "invalid-request", detail)
    kind = _KINDS.get(error.status_code, "http-error")
    return Problem(error.status_code, kind, detail, headers=error.headers)


def response_to(error: Exception, request: Request) -> Response:
    """The response to an error of any of the kinds that `install` handles."""
    match error:
        case Problem():
            problem = error
        case RecstageError():
            problem = of_error(error)
            if problem.status >= 500:
                log.warning("request failed", extra={"event": "request-failed", "error": str(error)})
        case RequestValidationError():
            problem = of_validation(error)
        case HTTPException():
            problem = of_http(error, request)
        case _:
            raise error
    return response(problem, request.url.path, request.scope.get("request_id"))


def install(app: FastAPI) -> None:
    """Respond to every error of `app` with a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        return response_to(error, request)

    async def handle_unexpected(request: Request, error: Exception) -> Response:
        return response(internal(), request.url.path, request.scope.get("request_id"))

    for kind in (Problem, RecstageError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, handle_unexpected)
