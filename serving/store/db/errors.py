"""What a database can refuse, told apart: busy (try again), away, full, out of step, broken."""

from __future__ import annotations

from recstage.errors import StoreError


class StoreBusy(StoreError):
    """Locked by somebody else, or more work is waiting than fits: the same request works a moment later."""


class StoreAway(StoreError):
    """The file is gone, the server does not answer, or the place is read-only."""


class StoreFull(StoreError):
    """No space is left to write."""


class StoreOutOfStep(StoreError):
    """The schema is older or newer than the code, or is not ours at all."""


class StoreBroken(StoreError):
    """The file is no database, or fails its integrity check."""
