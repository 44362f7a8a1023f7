"""The storefront `/`, a plain list, the operations page `/ops`, their files, and the tracker.

The pages are static and hold no data: what they show comes from the API, with the key that the reader typed in. So they
need no key themselves, and the API stays the only place that decides who may see what.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from serving.api.dependencies import ServiceDep
from serving.api.fields import LookupId
from serving.pages.files import WebFile, web_file, web_files
from serving.pages.plain import plain_list
from serving.security.authentication import principal_of

router = APIRouter(include_in_schema=False)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no code can turn text into markup, so no title can
    )
)
PAGE_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY, "cross-origin-opener-policy": "same-origin"}
FOR_ALL_ORIGINS = {"cross-origin-resource-policy": "cross-origin", "access-control-allow-origin": "*"}
"""The tracker is public code that pages of other origins may load."""


@router.get("/")
async def storefront(request: Request) -> Response:
    """Recommendations for a user, and what the user does with them."""
    return _sent(request, web_file("index.html"), PAGE_HEADERS)


@router.get("/plain")
async def plain(request: Request, service: ServiceDep, user_id: Annotated[LookupId, Query()]) -> Response:
    """A list without JavaScript. The middleware guards it like the API, because it holds data."""
    principal = principal_of(request)
    principal.require("client")
    principal.require_user(user_id)
    page = await plain_list(service, user_id, request.scope["request_id"])
    return HTMLResponse(page, headers={**PAGE_HEADERS, "cache-control": "no-store"})


@router.get("/ops")
async def operations(request: Request) -> Response:
    """What is served, why, and how well; promote and roll back."""
    return _sent(request, web_file("ops.html"), PAGE_HEADERS)


@router.get("/tracker.js")
async def tracker(request: Request) -> Response:
    """The tracker, for this page and for other sites."""
    return _sent(request, web_file("tracker.js"), FOR_ALL_ORIGINS)


@router.get("/tracker.d.ts")
async def tracker_types(request: Request) -> Response:
    """Its types."""
    return _sent(request, web_file("tracker.d.ts"), FOR_ALL_ORIGINS)


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file of the pages."""
    if name not in web_files() or name.endswith(".html"):
        raise HTTPException(404)
    return _sent(request, web_file(name), {})


def _sent(request: Request, file: WebFile, headers: dict[str, str]) -> Response:
    headers = {**headers, "etag": file.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
