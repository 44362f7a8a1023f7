"""When a call is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import httpx

from recstage.client.calls import Call
from recstage.client.errors import ProblemError

BUSY = frozenset({429, 502, 503, 504})
"""Statuses after which the service, or a proxy before it, may answer in a moment."""
DONE_PERHAPS = frozenset({502, 504})
"""Those of a proxy that does not know whether the request came through."""


@dataclass(frozen=True)
class Retries:
    """How often a call is sent at most, and the pauses between: `first_pause` seconds, doubled each time up to
    `longest_pause`, and at random between half of that and all of it. Where the service says when to come back
    (`Retry-After`), no earlier; later than `longest_wait`, not at all."""

    attempts: int = 4
    first_pause: float = 0.2
    longest_pause: float = 5.0
    longest_wait: float = 30.0
    random: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def pause(self, call: Call, attempt: int, failure: ProblemError | httpx.TransportError) -> float | None:
        """Seconds to wait before a call is sent again after its `attempt`-th failure; None: it is not."""
        if attempt >= self.attempts or not self._worth(call, failure):
            return None
        pause = min(self.longest_pause, self.first_pause * 2 ** (attempt - 1)) * self.random.uniform(0.5, 1.0)
        asked = failure.retry_after if isinstance(failure, ProblemError) else None
        if asked is not None and asked > self.longest_wait:
            return None
        return max(pause, asked or 0.0)

    @staticmethod
    def _worth(call: Call, failure: ProblemError | httpx.TransportError) -> bool:
        if isinstance(failure, ProblemError):
            return failure.status in BUSY and (call.repeatable or failure.status not in DONE_PERHAPS)
        return call.repeatable or isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


NEVER = Retries(attempts=1)
"""Each call is sent once."""
