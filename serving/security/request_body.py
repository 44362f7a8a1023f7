"""Request bodies: read within their limits of size, depth and time, and received again."""

from __future__ import annotations

import asyncio
import re

import numpy as np
from starlette.types import Message, Receive

from serving.errors import Problem

# never backtracks, and takes a string without an end whole: else a body of quotes alone would cost minutes
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Opening brackets to 1, closing ones to -1."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def deeper_than(body: bytes, levels: int) -> bool:
    """Whether JSON nests deeper than `levels`, without parsing it: strings are cut out, and the brackets that are open
    are counted at each of them."""
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    brackets = np.frombuffer(_STRING.sub(b"", body).translate(_STEPS, _NO_BRACKETS), np.int8)
    return bool(brackets.cumsum(dtype=np.int64).max(initial=0) > levels)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
    return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replaying() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replaying


def _too_slow(seconds: float) -> Problem:
    return Problem(
        408, "too-slow", f"A request body arrives within {seconds:g} seconds.", headers={"connection": "close"}
    )


def _too_large(limit: int) -> Problem:
    return Problem(413, "too-large", f"A request body has at most {limit} bytes.", headers={"connection": "close"})
