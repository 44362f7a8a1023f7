"""Keyed digests of user ids that must not be stored, under the key that lies in this database."""

from __future__ import annotations

from typing import Self

from sqlalchemy import Connection, select

from recstage.data.snapshots.id_digests import DIGEST_BYTES, KeyedDigests
from serving.store.db.tables import Secret

__all__ = ["DIGEST_BYTES", "Digests"]


class Digests(KeyedDigests):
    """Computes and compares digests under one key."""

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """With the key stored in this database."""
        return cls(bytes(connection.execute(select(Secret.value).where(Secret.name == "digests")).scalar_one()))
