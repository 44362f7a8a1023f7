"""Cursors: "show more" without repeating an item, whichever worker answers.

A cursor is opaque and signed. It holds which request it belongs to and a digest of each item shown so far; nothing is
stored. The next page is made with what holds then (a swap of the version, new events, items hidden since), and leaves
out all that was shown: so no item comes twice, whatever changed in between.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request
from pydantic import Field

from serving.errors import Problem
from serving.models import item_digests
from serving.settings import ServingSettings

FIRST = "*"
MAX_SHOWN = 1_000
"""Items that one cursor can hold; then there is no further page."""
_VERSION, _PURPOSE, _SIGNATURE = b"1", 8, 12
_MAX_LENGTH = 6_000
Cursor = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=_MAX_LENGTH,
        pattern=r"^(\*|[A-Za-z0-9_-]+)$",
        description="`*` for the first page of several; then `next` of the page before, with the same parameters",
        examples=[FIRST],
    ),
]


class Cursors:
    """Makes and reads cursors. The key follows from the secrets of the settings: all workers and hosts agree."""

    def __init__(self, settings: ServingSettings) -> None:
        """An unguarded service, which answers to its own machine alone, signs against mistakes only."""
        secrets = [key.digest for key in settings.api_keys]
        if settings.jwt_secret is not None:
            secrets.append(settings.jwt_secret.get_secret_value())
        if settings.jwt_public_key is not None:
            secrets.append(settings.jwt_public_key.read_text())
        self._key = hashlib.sha256("\x00".join(["cursor", settings.model_name, *sorted(secrets)]).encode()).digest()

    def shown(self, cursor: str, purpose: object) -> bytes:
        """Digests of the items that were shown before this page. `purpose`: what all pages of it share, as a value.

        Raises a 422 problem where the cursor was not made here, or for another request.
        """
        if cursor == FIRST:
            return b""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _invalid("it is not one that this service made") from None
        content, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
        if not content.startswith(_VERSION) or not hmac.compare_digest(signature, self._sign(content)):
            raise _invalid("it is not one that this service made")
        if content[1 : 1 + _PURPOSE] != _digest(purpose):
            raise _invalid("it belongs to a request with other parameters")
        return content[1 + _PURPOSE :]

    def next(self, shown: bytes, item_ids: Sequence[str], limit: int, purpose: object) -> str | None:
        """The cursor of the page after this one; None where this one is the last."""
        if len(item_ids) < limit:
            return None
        every = shown + item_digests.packed(item_ids)
        if len(every) > MAX_SHOWN * item_digests.BYTES:
            return None
        content = _VERSION + _digest(purpose) + every
        return base64.urlsafe_b64encode(content + self._sign(content)).rstrip(b"=").decode()

    def _sign(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()[:_SIGNATURE]


def cursors_of(request: Request) -> Cursors:
    """Those of the application that got this request, made when they are first needed."""
    state = request.app.state
    found: Cursors | None = getattr(state, "cursors", None)
    if found is None:
        found = state.cursors = Cursors(state.service.settings)
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """The page that a request asks for; `cursor` None: it asks for no pages, and gets no `next`."""

    cursors: Cursors
    cursor: str | None
    purpose: object
    shown: bytes

    @classmethod
    def of(cls, request: Request, cursor: str | None, purpose: object) -> Page:
        """Raises a 422 problem where the cursor was not made here, or for another request."""
        cursors = cursors_of(request)
        return cls(cursors, cursor, purpose, b"" if cursor is None else cursors.shown(cursor, purpose))

    def next(self, item_ids: Sequence[str], limit: int) -> dict[str, str | None]:
        """What the body of the response says besides, of the page after this one."""
        return {} if self.cursor is None else {"next": self.cursors.next(self.shown, item_ids, limit, self.purpose)}


def _digest(purpose: object) -> bytes:
    return hashlib.blake2b(repr(purpose).encode("utf-8", "surrogatepass"), digest_size=_PURPOSE).digest()


def _invalid(why: str) -> Problem:
    return Problem(422, "invalid-cursor", f"query.cursor: {why}. Begin with cursor=* and take `next` of each answer.")
