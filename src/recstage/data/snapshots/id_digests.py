"""Keyed digests of user ids that must not be stored: eight bytes each under the database's own key.

They recognise an id that is given again, and do not reveal it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 8


class KeyedDigests:
    """Computes and compares digests under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, user_id: str) -> bytes:
        """The digest of an id, eight bytes."""
        return hashlib.blake2b(user_id.encode(), key=self._key, digest_size=DIGEST_BYTES).digest()

    def packed(self, user_ids: Iterable[str]) -> bytes:
        """The digests of many ids, sorted and concatenated."""
        numbers = np.frombuffer(b"".join(self.digest(user_id) for user_id in user_ids), dtype=">u8")
        return np.unique(numbers).astype(">u8").tobytes()

    def contained(self, user_id: str, packed: bytes) -> bool:
        """Whether `packed` holds this id's digest."""
        return contains(packed, self.digest(user_id))


def contains(packed: bytes, digest: bytes) -> bool:
    """Whether `packed` (of `KeyedDigests.packed`) holds a digest."""
    numbers: NDArray = np.frombuffer(packed, dtype=">u8")
    wanted = np.frombuffer(digest, dtype=">u8")[0]
    index = int(np.searchsorted(numbers, wanted))
    return index < len(numbers) and bool(numbers[index] == wanted)
