"""uvicorn's HTTP protocol with limits that hold before a request is authenticated: size, number and time of headers.

httptools accepts headers of any size, and waits for them forever (Slowloris). A request whose headers are too large is
answered with 431, one whose headers take too long with 408; the connection is closed.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import TimerHandle
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving import errors
from serving.errors import Problem
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings

log = logging.getLogger("serving.http")


@dataclass(frozen=True)
class HeaderLimits:
    """Limits of the request line and headers of one request, and where refusals are counted."""

    max_bytes: int
    max_count: int
    seconds: float
    idle_seconds: float
    metrics: Metrics | None = None

    @classmethod
    def of(cls, settings: ServingSettings, metrics: Metrics | None = None) -> HeaderLimits:
        return cls(
            max_bytes=settings.max_header_bytes,
            max_count=settings.max_headers,
            seconds=settings.header_timeout_seconds,
            idle_seconds=settings.keep_alive_seconds,
            metrics=metrics,
        )


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. `limits` is set once for the process, before it serves."""

    limits: ClassVar[HeaderLimits] = HeaderLimits(32_768, 100, 10.0, 75.0)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaiting_headers = True
        self._refused = False
        self._unparsed = self._size = self._count = 0
        self._timer: TimerHandle | None = None

    # -- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.limits.idle_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        began = self._unparsed == 0
        super().data_received(data)
        if not self._awaiting_headers or self._refused:
            return
        self._unparsed += len(data)  # headers that are still incomplete
        if self._unparsed > self.limits.max_bytes:
            self._too_large()
        elif began:
            self._stop_timer()
            self._timer = self.loop.call_later(self.limits.seconds, self._too_slow)

    # -- the parser ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._awaiting_headers, self._unparsed, self._size, self._count = True, 0, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4  # ": " and the line break
        self._count += 1
        if not self._exceeded:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._awaiting_headers = False
        self._stop_timer()
        if self._refused:
            return
        if self._exceeded:
            self._too_large()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    # -- refusals -----------------------------------------------------------------------------------------------------

    @property
    def _exceeded(self) -> bool:
        return self._size > self.limits.max_bytes or self._count > self.limits.max_count

    def _too_large(self) -> None:
        detail = f"A request has at most {self.limits.max_count} headers of {self.limits.max_bytes} bytes in all."
        self._refuse(431, "headers-too-large", detail)

    def _too_slow(self) -> None:
        self._refuse(408, "too-slow", f"The headers of a request arrive within {self.limits.seconds:g} seconds.")

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        self._refused = True
        self._stop_timer()
        if self.limits.metrics is not None:
            self.limits.metrics.refused.labels(kind).inc()
        log.warning(detail, extra={"event": "request-refused", "kind": kind})
        body = errors.body(Problem(status, kind, detail), "/", None)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {errors.MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
