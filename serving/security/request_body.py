"""Request bodies: read within the limits of size and depth, and received again by the application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import numpy as np
from starlette.types import Message, Receive

from serving.errors import Problem

DRAIN_BYTES, DRAIN_SECONDS = 64_000_000, 2.0
# possessive, and matches a string without an end: with backtracking a body of quotes would take minutes
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Opening brackets to 1, closing ones to -1."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def deeper_than(body: bytes, levels: int) -> bool:
    """Whether JSON nests deeper than `levels`, without parsing it.

    Strings are removed, and the sum of opening (1) and closing (-1) brackets so far is the depth at each bracket.
    """
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    brackets = np.frombuffer(_STRING.sub(b"", body).translate(_STEPS, _NO_BRACKETS), np.int8)
    return bool(brackets.cumsum(dtype=np.int64).max(initial=0) > levels)


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises a 413 problem beyond `limit` bytes."""
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > limit:
            raise too_large(limit)
    return b"".join(chunks)


async def drain_body(receive: Receive, headers: Mapping[bytes, bytes]) -> None:
    """Read on and drop what a caller still sends, within bounds of size and time.

    Closing a connection with unread data resets it, and the answer with it. A caller that waits for 100-continue has
    sent nothing, and is not asked to.
    """
    if b"expect" in headers:
        return
    size, more = 0, True
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and size <= DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        return


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then goes on with `receive`."""
    sent = False

    async def replaying() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replaying


def too_slow(seconds: float) -> Problem:
    """The problem of a body that takes too long to arrive."""
    return Problem(
        408, "too-slow", f"A request body arrives within {seconds:g} seconds.", headers={"connection": "close"}
    )


def too_large(limit: int) -> Problem:
    """The problem of a body that is too large."""
    return Problem(413, "too-large", f"A request body has at most {limit} bytes.", headers={"connection": "close"})
