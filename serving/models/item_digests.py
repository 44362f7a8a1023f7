"""Digests of item ids, four bytes each: a cursor holds those of the items that were shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

BYTES = 4
_LAYOUT = np.dtype("<u4")


def packed(item_ids: Iterable[str]) -> bytes:
    """The digests of these ids, in their order."""
    return b"".join(_digest(item_id) for item_id in item_ids)


def unpacked(digests: bytes) -> NDArray[np.uint32]:
    """Packed digests as numbers: uint32[n]."""
    return np.frombuffer(digests, _LAYOUT)


def of(item_ids: Iterable[str]) -> NDArray[np.uint32]:
    """The digests of these ids as numbers: uint32[n]. Two ids share one by chance in one case of four billion."""
    return unpacked(packed(item_ids))


def _digest(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=BYTES).digest()
