"""The two clients: how calls are sent over httpx, again where that helps, and answers and problems are read."""

from __future__ import annotations

import asyncio
import time
import uuid
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from recstage.client.async_operations import AsyncOperations
from recstage.client.calls import Call
from recstage.client.errors import NoAnswer, ProblemError, UnreadableAnswer, problem_of
from recstage.client.operations import Operations
from recstage.client.retries import Retries

T = TypeVar("T", bound=BaseModel)
TIMEOUT = httpx.Timeout(10.0, connect=2.0)


class Client(Operations):
    """Calls a service, and waits for the answers. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of the service, such as http://127.0.0.1:8000.
            api_key: sent as `X-API-Key`.
            token: a JWT, sent as bearer.
            timeout: seconds to wait for an answer, or httpx's timeouts; 10 s by default, 2 s for the connection.
            retries: when a call is sent again.
            http: an httpx client to use in place of one of its own; its address and headers are kept.
        """
        self._retries = retries or Retries()
        self._http = http or httpx.Client(base_url=url, headers=_headers(api_key, token), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call, answer: type[T]) -> T:
        return _read(self._sent(call), answer)

    def send_only(self, call: Call) -> None:
        self._sent(call)

    def _sent(self, call: Call) -> httpx.Response:
        request = _request(self._http, call)
        attempt = 0
        while True:
            attempt += 1
            failure: ProblemError | httpx.TransportError
            try:
                response = self._http.send(request)
                if response.is_success:
                    return response
                failure = problem_of(response)
            except httpx.TransportError as error:
                failure = error
            pause = self._retries.pause(call, attempt, failure)
            if pause is None:
                raise _raised(failure, call, attempt)
            time.sleep(pause)


class AsyncClient(AsyncOperations):
    """Calls a service; every method is to be awaited."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Nothing is sent yet; the arguments are those of `Client`, with an `httpx.AsyncClient`."""
        self._retries = retries or Retries()
        self._http = http or httpx.AsyncClient(base_url=url, headers=_headers(api_key, token), timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call, answer: type[T]) -> T:
        return _read(await self._sent(call), answer)

    async def send_only(self, call: Call) -> None:
        await self._sent(call)

    async def _sent(self, call: Call) -> httpx.Response:
        request = _request(self._http, call)
        attempt = 0
        while True:
            attempt += 1
            failure: ProblemError | httpx.TransportError
            try:
                response = await self._http.send(request)
                if response.is_success:
                    return response
                failure = problem_of(response)
            except httpx.TransportError as error:
                failure = error
            pause = self._retries.pause(call, attempt, failure)
            if pause is None:
                raise _raised(failure, call, attempt)
            await asyncio.sleep(pause)


def _headers(api_key: str | None, token: str | None) -> dict[str, str]:
    headers = {"accept": "application/json"}
    if api_key is not None:
        headers["x-api-key"] = api_key
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return headers


def _request(http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
    """The request of a call, built once: sent again, it has the same idempotency key."""
    headers = {}
    if call.body is not None:
        headers["content-type"] = "application/json"
    if call.keyed:
        headers["idempotency-key"] = call.idempotency_key or uuid.uuid4().hex
    return http.build_request(call.method, call.url, params=call.parameters, content=call.content, headers=headers)


def _read(response: httpx.Response, answer: type[T]) -> T:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        where = f"{response.request.method} {response.request.url.path}"
        raise UnreadableAnswer(f"{where}: the answer is no {answer.__name__}: {error.errors()[:3]}") from error


def _raised(failure: ProblemError | httpx.TransportError, call: Call, attempts: int) -> Exception:
    if isinstance(failure, ProblemError):
        return failure
    times = "once" if attempts == 1 else f"{attempts} times"
    error = NoAnswer(f"{call.method} {call.url}: no answer, sent {times}: {failure or type(failure).__name__}")
    error.__cause__ = failure
    return error
