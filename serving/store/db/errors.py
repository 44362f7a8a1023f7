"""Errors of the database, by what to do about them: retry, wait, free space, upgrade, or restore."""

from __future__ import annotations

from recstage.errors import StoreError


class StoreBusy(StoreError):
    """Locked by another process, or too many writes are queued: the same request works a moment later."""


class StoreUnavailable(StoreError):
    """The file is missing or not writable, or the server does not answer."""


class StoreFull(StoreError):
    """No space is left to write."""


class SchemaMismatch(StoreError):
    """The schema is older or newer than the code, or belongs to another program."""


class StoreCorrupt(StoreError):
    """The file is not a database, or fails its integrity check."""
