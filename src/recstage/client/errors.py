"""What a client raises.

ClientError
├── NoAnswer              the service could not be reached, or did not answer in time
├── UnreadableAnswer      it answered with something else than its document says
└── ProblemError          it refused, with a problem (RFC 9457)
    ├── Unauthenticated   401: no key, or an unknown one
    ├── Forbidden         403: the key's role does not allow it
    ├── NotFound          404: an unknown user, item, rule or path
    ├── Conflict          409: an idempotency key that was used for something else, a rule that exists
    ├── Invalid           400, 413, 422: a field that broke a rule; `errors` names each
    ├── TooManyRequests   429: the key's rate is used up; `retry_after` says until when
    └── Unavailable       5xx: no model, no database, overload
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx


class ClientError(Exception):
    """Base of all."""


class NoAnswer(ClientError):
    """The service could not be reached, or did not answer in time; the cause is httpx's error."""


class UnreadableAnswer(ClientError):
    """The service answered with something else than its OpenAPI document says."""


@dataclass(frozen=True)
class FieldProblem:
    """A field that broke a rule."""

    where: str
    rule: str


class ProblemError(ClientError):
    """The service refused. `kind`: a stable word to switch on, such as `unknown-item`; `request_id` finds it in the
    service's log; `retry_after` in seconds, where the service says when to try again."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        title: str = "",
        instance: str = "",
        request_id: str | None = None,
        errors: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status, self.kind, self.detail = status, kind, detail
        self.title, self.instance, self.request_id = title, instance, request_id
        self.errors, self.retry_after = tuple(errors), retry_after

    @property
    def type(self) -> str:
        """The `type` of the problem."""
        return f"/problems/{self.kind}"


class Unauthenticated(ProblemError):
    """401."""


class Forbidden(ProblemError):
    """403."""


class NotFound(ProblemError):
    """404."""


class Conflict(ProblemError):
    """409."""


class Invalid(ProblemError):
    """400, 413, 422 and the like: the request itself is wrong."""


class TooManyRequests(ProblemError):
    """429."""


class Unavailable(ProblemError):
    """5xx."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def problem_of(response: httpx.Response) -> ProblemError:
    """The problem of a response with an error status; one of a proxy in between has the kind `http-error`."""
    status = response.status_code
    found: dict[str, Any] = {}
    try:
        body = response.json()
        found = body if isinstance(body, dict) else {}
    except ValueError:
        pass
    kind = str(found.get("type", "")).removeprefix("/problems/") or "http-error"
    default = Unavailable if status >= 500 else Invalid
    return _BY_STATUS.get(status, default)(
        status,
        kind,
        str(found.get("detail") or response.reason_phrase),
        title=str(found.get("title") or response.reason_phrase),
        instance=str(found.get("instance") or response.url.path),
        request_id=found.get("request_id") or response.headers.get("x-request-id"),
        errors=[FieldProblem(str(one.get("where")), str(one.get("rule"))) for one in found.get("errors") or ()],
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def _seconds(value: str | None) -> float | None:
    """The seconds of a `Retry-After` header; None where it is missing or a date."""
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
