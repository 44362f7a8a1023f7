"""Which erasures a snapshot has seen: a user in it who was erased by another one was erased since.

No clock has a part in it: those of the hosts that erase and that take snapshots may differ.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

FILE = "erasures.seen"
Erased = tuple[bytes, int]
"""The digest of a user, eight bytes, and when they were erased (milliseconds since 1970)."""
_RECORD_BYTES = 16
_ALL = text("SELECT person, erased_at FROM erasures ORDER BY person")


def now(connection: Connection) -> list[Erased]:
    """Every erasure that the connection sees."""
    if not inspect(connection).has_table("erasures"):
        return []
    return [(bytes(person), int(moment)) for person, moment in connection.execute(_ALL)]


def write(connection: Connection, folder: Path) -> None:
    """Write down what is seen now, beside a snapshot that is read over the same connection."""
    (folder / FILE).write_bytes(b"".join(map(_record, now(connection))))


def unseen(folder: Path, erasures: list[Erased]) -> list[bytes] | None:
    """The digests of those that a snapshot has not seen; None where it does not say."""
    path = folder / FILE
    if not path.is_file():
        return None
    packed = path.read_bytes()
    seen = {packed[at : at + _RECORD_BYTES] for at in range(0, len(packed), _RECORD_BYTES)}
    return [one[0] for one in erasures if _record(one) not in seen]


def _record(erasure: Erased) -> bytes:
    person, moment = erasure
    return person + moment.to_bytes(8, "big")
