"""The outermost layer, plain ASGI: request ids, authentication, limits, security headers, metrics and request logs."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recstage.errors import RecstageError
from serving import errors
from serving.errors import Problem
from serving.interfaces import nothing_is_shown
from serving.monitoring import logging as logs
from serving.monitoring.metrics import Metrics
from serving.redis_connection import RedisConnection
from serving.security import authentication
from serving.security.authentication import Authenticator, Principal
from serving.security.cross_origin import check_origin
from serving.security.load_shedding import Condition, LoadShedder, never
from serving.security.rate_limit import FailedAttempts, RateLimiter, SharedRateLimiter
from serving.security.request_body import deeper_than, drain_body, read_body, replay_body, too_large, too_slow
from serving.security.request_format import check_encoding, check_media_type
from serving.settings import ServingSettings

log = logging.getLogger("serving.request")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_UNMATCHED = "(unmatched)"
API = "/api/"
METRICS = "/metrics"
PLAIN_LIST = "/plain"
WEBHOOK = "/api/model/webhook"
STREAM = "/api/recommendations/stream"

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
API_HEADERS = [*SECURITY_HEADERS, (b"content-security-policy", b"default-src 'none'"), (b"cache-control", b"no-store")]


class GuardMiddleware:
    """Wraps the application; sets `request_id` and `principal` in the scope."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServingSettings,
        metrics: Metrics,
        direct_routes: Mapping[tuple[str, str], Callable[[Request], Awaitable[Response]]],
        tolerate_queue: Condition = never,
        redis: RedisConnection | None = None,
    ) -> None:
        """Wrap `app`.

        Args:
            app: the application.
            settings: authentication and every limit.
            metrics: counts requests and refusals.
            direct_routes: `DIRECT_ROUTES` of the routes, called without the framework's routing.
            tolerate_queue: whether waiting requests are no overload now.
            redis: shares the rate limits with the other workers; None: each has its own.
        """
        self._app, self._settings, self._metrics = app, settings, metrics
        self._direct_routes = direct_routes
        self._authenticate = Authenticator(settings)
        self._limiter = RateLimiter(settings.rate_limit, settings.rate_burst)
        self._shared_limiter = (
            None if redis is None else SharedRateLimiter(settings.rate_limit, settings.rate_burst, redis)
        )
        self._failures = FailedAttempts(settings.auth_failures_per_minute)
        self._load_shedder = LoadShedder(
            settings.max_concurrency, settings.max_lag_ms, settings.queue_lag_ms, tolerate_queue
        )
        self._local_names_only = not settings.guarded
        self._allowed_origins = frozenset(origin.encode() for origin in settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        headers = _relevant_headers(scope)
        request_id = _request_id(headers.get(b"x-request-id"))
        scope["request_id"] = request_id
        token = logs.request_id.set(request_id)
        details = logs.request_details.set({} if self._settings.log_requests else None)
        method: str = scope["method"]
        without_body = method == "HEAD"
        if without_body:  # answered as GET, without the body; the server reads the original scope
            scope = {**scope, "method": "GET"}
            nothing_is_shown.set(True)
        status = 500
        started = ended = False
        path: str = scope["path"]
        is_api = path.startswith(API)
        extra = [(b"x-request-id", request_id.encode()), *(API_HEADERS if is_api else SECURITY_HEADERS)]

        async def sending(message: Message) -> None:
            nonlocal status, started, ended
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                given = list(message.get("headers", ()))
                own = {name for name, _ in given}
                message["headers"] = given + [header for header in extra if header[0] not in own]
            else:
                ended = not message.get("more_body", False)
                if without_body:
                    message = {**message, "body": b""}
            await send(message)

        try:
            check_encoding(scope)
            if is_api or path in (METRICS, PLAIN_LIST):
                await self._guarded(scope, receive, sending, headers, started_at)
            else:
                await self._app(scope, receive, sending)
        except Problem as problem:
            if problem.kind == "too-large":  # a caller that is still sending could not read the answer
                await drain_body(receive, headers)
            self._metrics.refused.labels(problem.kind).inc()
            await errors.response(problem, path, request_id)(scope, receive, sending)
        except asyncio.CancelledError:
            status = 499  # the caller disconnected
            raise
        except Exception:
            log.exception("unexpected error", extra={"event": "unforeseen"})
            if started and not ended:
                raise
            if not started:
                await errors.response(errors.internal(), path, request_id)(scope, receive, sending)
        finally:
            if path == WEBHOOK and status == 401:
                self._failures.note(_address(scope), started_at)
            seconds = time.perf_counter() - started_at
            route = path if "direct" in scope else getattr(scope.get("route"), "path", _UNMATCHED)
            if path != STREAM or status != 200:  # how long a stream lives says nothing of the service
                self._metrics.observe_request(route, method, status, seconds)
            if self._settings.log_requests or status == 500:
                self._log({**scope, "method": method}, route, status, seconds)
            logs.request_id.reset(token)
            logs.request_details.reset(details)
            nothing_is_shown.set(False)

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], now: float
    ) -> None:
        """The application behind authentication, rate limit, load shedding and the limits of bodies."""
        self._load_shedder.enter()
        try:
            if scope["path"] == WEBHOOK:  # has a signature instead
                principal = None
                self._failures.check(_address(scope), now)
            else:
                principal = self._identify(scope, headers, now)
                if self._shared_limiter is None:
                    self._limiter.take(principal.bucket, now)
                else:
                    await self._shared_limiter.take(principal.bucket, now)
            scope["principal"] = principal
            direct = self._direct_routes.get((scope["method"], scope["path"]))
            if direct is not None:
                await self._directly(direct, scope, receive, send)
                return
        finally:
            self._load_shedder.leave()
        receive = await self._body(receive, headers)  # a slow sender holds no slot
        if scope["path"] == STREAM:  # open for minutes, and idle: it has a limit of its own
            await self._app(scope, receive, send)
            return
        self._load_shedder.enter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._load_shedder.leave()

    async def _directly(
        self, route: Callable[[Request], Awaitable[Response]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["direct"] = True
        request = Request(scope, receive)
        try:
            response = await route(request)
        except (RecstageError, RequestValidationError) as error:
            response = errors.response_to(error, request)
        await response(scope, receive, send)

    def _identify(self, scope: Scope, headers: dict[bytes, bytes], now: float) -> Principal:
        if self._local_names_only and not _is_local(headers.get(b"host", b"")):
            # DNS rebinding: a web page whose name resolves to this machine could use its visitor's browser
            raise Problem(403, "forbidden", "An unguarded service answers to localhost and 127.0.0.1 only.")
        if self._local_names_only:
            check_origin(scope["method"], headers, self._allowed_origins)
        principal = self._authenticated(scope, headers, now)
        if principal is None:
            raise authentication.missing()
        if scope["path"] == METRICS:
            principal.require("service")
        return principal

    def _authenticated(self, scope: Scope, headers: dict[bytes, bytes], now: float) -> Principal | None:
        """The principal of the headers. Raises a 401 problem on a wrong key, or 429 after too many of them."""
        address = _address(scope)
        try:
            return self._authenticate(
                headers.get(b"x-api-key"),
                headers.get(b"authorization"),
                before_verifying=lambda: self._failures.check(address, now),
            )
        except Problem as problem:
            if problem.status == 401:
                self._failures.count(address, now)
            raise

    async def _body(self, receive: Receive, headers: dict[bytes, bytes]) -> Receive:
        """The body, read within its limits, to be received again; nothing is done where there is none."""
        declared = headers.get(b"content-length", b"0")
        if declared == b"0" and b"transfer-encoding" not in headers:
            return receive
        check_media_type(headers.get(b"content-type", b""))
        limit = self._settings.max_body_bytes
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        try:
            async with asyncio.timeout(self._settings.body_timeout_seconds):
                body = await read_body(receive, limit)
        except TimeoutError as error:
            raise too_slow(self._settings.body_timeout_seconds) from error
        if deeper_than(body, self._settings.max_depth):
            raise Problem(
                413, "too-deep", f"A JSON body has at most {self._settings.max_depth} levels of lists and objects."
            )
        return replay_body(body, receive)

    def _log(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        level = logging.ERROR if status >= 500 else logging.INFO
        principal: Principal | None = scope.get("principal")
        entry = {
            "event": "request",
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
            "key": None if principal is None else principal.name,
        }
        log.log(level, "request", extra={**entry, **(logs.request_details.get() or {})})


_HEADERS = frozenset(
    {
        b"host",
        b"x-request-id",
        b"x-api-key",
        b"authorization",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"expect",
        b"sec-fetch-site",
        b"origin",
    }
)


def _relevant_headers(scope: Scope) -> dict[bytes, bytes]:
    return {name: value for name, value in scope["headers"] if name in _HEADERS}


_LOCAL = re.compile(rb"(localhost|127(\.\d{1,3}){3}|\[::1\]|testserver)(:\d+)?", re.IGNORECASE)


def _is_local(host: bytes) -> bool:
    return _LOCAL.fullmatch(host) is not None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def _request_id(given: bytes | None) -> str:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    # ordered by time, so that impressions are appended to their index instead of scattered over it
    return f"{int(time.time() * 1000):011x}{_random_bytes.take(4).hex()}"


class _RandomBytes:
    """Bytes of the system's random generator, read many at a time: a system call for each request is what costs."""

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def take(self, number: int) -> bytes:
        """The next bytes. Called on the event loop only."""
        if self._at + number > len(self._bytes):
            self._bytes, self._at = secrets.token_bytes(4096), 0
        self._at += number
        return self._bytes[self._at - number : self._at]


_random_bytes = _RandomBytes()
