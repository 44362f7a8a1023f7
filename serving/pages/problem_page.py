"""Problems of the plain list as a page: a browser without JavaScript shows what it gets, and readers expect no JSON."""

from __future__ import annotations

import orjson
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import MEDIA_TYPE
from serving.pages.plain import page_of
from serving.security.middleware import PLAIN_LIST


class ProblemPages:
    """Around the whole application, so that refusals of the guard are pages as well. Other paths pass untouched."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PLAIN_LIST:
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def sending(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")

        await self._app(scope, receive, sending)
        if start is None:
            return
        headers = {
            name.decode(): value.decode() for name, value in start["headers"] if not name.startswith(b"content-")
        }
        content = page_of("problem.html", problem=orjson.loads(body), user_id=None) if body else ""  # HEAD has none
        page = HTMLResponse(content, start["status"], {**headers, **self._headers, "cache-control": "no-store"})
        await page(scope, receive, send)


def _is_problem(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in message["headers"])
