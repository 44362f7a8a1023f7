"""Old snapshots, and data sets prepared from them, that hold users who were erased since: they are deleted.

Whatever needs one of them again (a retraining that was interrupted, a comparison) takes a new one without those users.
A user who came back after the erasure stands in snapshots that were taken after it, which stay.
"""

from __future__ import annotations

import logging
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection

from recstage.data.schema import USER
from recstage.data.snapshots import seen_erasures
from recstage.data.snapshots.connection import digests
from recstage.data.snapshots.extraction import DIGESTS, about
from recstage.data.snapshots.id_digests import KeyedDigests
from recstage.data.snapshots.seen_erasures import Erased
from recstage.errors import RecstageError

PREPARED, EXPOSURES = "users.parquet", "exposures.parquet"
"""Of a prepared data set; only one of the service's database has exposures."""
CLOCKS_MS = 86_400_000
"""By how much the clocks of the service's hosts and of this one may differ: data sets, unlike snapshots, do not say
which erasures they have seen. One that is deleted without need is prepared again."""

log = logging.getLogger(__name__)


def drop_erased(connection: Connection, snapshots: Path, prepared: Path) -> list[Path]:
    """Delete the snapshots below `snapshots`, and the data sets of the service below `prepared`, that were made before
    an erasure and hold the user. Returns what was deleted."""
    keyed = digests(connection)
    rows = [] if keyed is None else seen_erasures.now(connection)
    if keyed is None or not rows:
        return []
    digests_of_erased = np.frombuffer(b"".join(person for person, _ in rows), dtype=">u8")
    moments = np.array([moment for _, moment in rows], np.int64)
    doomed = [
        *(path for path in sorted(snapshots.glob("service-*")) if _snapshot_holds(path, rows)),
        *(
            path.parent
            for path in sorted(prepared.glob(f"*/{PREPARED}"))
            if (path.parent / EXPOSURES).is_file() and _data_set_holds(path, digests_of_erased, moments, keyed)
        ),
    ]
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)
        log.info("%s held users who were erased since: it was deleted", path)
    return doomed


def _snapshot_holds(folder: Path, rows: list[Erased]) -> bool:
    try:
        packed = (folder / DIGESTS).read_bytes()
        fresh = _unseen(folder, rows)
    except (OSError, ValueError, RecstageError):
        return False  # being written, or damaged: nothing reads it
    return bool(np.isin(np.frombuffer(b"".join(fresh), dtype=">u8"), np.frombuffer(packed, dtype=">u8")).any())


def _unseen(folder: Path, rows: list[Erased]) -> list[bytes]:
    """The digests of those who were erased after the snapshot was taken."""
    fresh = seen_erasures.unseen(folder, rows)
    if fresh is not None:
        return fresh
    taken = datetime.fromisoformat(about(folder).taken_at).timestamp() * 1000  # of an earlier version
    return [person for person, moment in rows if moment > taken]


def _data_set_holds(path: Path, digests_of_erased: NDArray, moments: NDArray[np.int64], keyed: KeyedDigests) -> bool:
    try:
        made = path.stat().st_mtime * 1000 - CLOCKS_MS
        if not (moments > made).any():
            return False
        ids = pq.read_table(path, columns=[USER], memory_map=False)[USER].to_pylist()
    except (OSError, KeyError, pa.ArrowException):
        return False
    packed = keyed.packed(map(str, ids)) if ids else b""
    return bool(np.isin(digests_of_erased[moments > made], np.frombuffer(packed, dtype=">u8")).any())
