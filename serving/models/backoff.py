"""When something that failed is tried again: after a pause that doubles with each failure."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that could not be fetched or loaded. `retry_at` is on the monotonic clock, in seconds."""

    version: str
    reason: str
    tries: int
    retry_at: float

    def blocks(self, version: str) -> bool:
        """Whether this is the version that failed and its pause has not passed."""
        return self.version == version and time.monotonic() < self.retry_at


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential: `first` seconds, then twice as long each time, up to `longest` seconds."""

    first: float = 1.0
    longest: float = 60.0

    def pause(self, tries: int) -> float:
        """Seconds to wait after this many failures in a row."""
        # bounded, because 2.0**1024 overflows and something that stays broken gets there within a day
        return min(self.first * 2.0 ** min(tries - 1, 64), self.longest)

    def after(self, previous: Failure | None, version: str, reason: str) -> Failure:
        """One more failure of a version; `previous` counts where it is of the same version."""
        tries = previous.tries + 1 if previous is not None and previous.version == version else 1
        return Failure(version, reason, tries, time.monotonic() + self.pause(tries))
