"""An account of the rows that are not good: how many for each reason, and the first of them in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.event_log import TEST, TRAIN, VALIDATION
from recstage.data.out_of_core.codes import Columns
from recstage.data.out_of_core.engine import Engine
from recstage.data.out_of_core.reading.raw_events import RawEvents
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, Rejected
from recstage.data.tables.values.ids import why_not
from recstage.data.tables.values.shown import shown
from recstage.data.validation import DUPLICATE, IMPOSSIBLE, MISSING, UNKNOWN, described

REASONS = (
    "",
    f"invalid {USER}",
    f"invalid {ITEM}",
    f"unreadable {TIME}",
    f"unreadable {VALUE}",
    f"{MISSING} {USER}",
    f"{MISSING} {ITEM}",
    f"{MISSING} {TIME}",
    f"{MISSING} {TYPE}",
    f"{IMPOSSIBLE} {TIME}",
    f"{UNKNOWN} {TYPE}",
    DUPLICATE,
)
"""Why a row is left out, in the order in which it is found; the first four by its reader."""
UNTYPED = 4
DUPLICATE_AT = len(REASONS) - 1


class BadRows:
    """Rows that are left out, given block after block."""

    def __init__(self, raw: RawEvents, columns: Columns) -> None:
        self._raw, self._columns = raw, columns
        self._counts: dict[tuple[int, int], int] = {}
        self._first: dict[tuple[int, int], list[tuple[float, int]]] = {}

    def add(self, rows: dict[str, NDArray], reasons: NDArray[np.integer] | int) -> None:
        """Rows with columns part, time and position, and the number in `REASONS` of each."""
        reasons = np.broadcast_to(reasons, rows["part"].shape)
        for reason in np.unique(reasons).tolist():
            for part in np.unique(rows["part"][reasons == reason]).tolist():
                mine = np.flatnonzero((reasons == reason) & (rows["part"] == part))
                position = rows["position"][mine]
                by_time = self._raw.by_time and reason > UNTYPED
                times = np.nan_to_num(rows["time"][mine], nan=np.inf) if by_time else np.zeros(len(mine))
                order = np.lexsort((position, times))[: Rejected.SHOWN]
                key = (reason, part)
                found = self._first.get(key, []) + [(float(times[at]), int(position[at])) for at in order]
                self._first[key] = sorted(found)[: Rejected.SHOWN]
                self._counts[key] = self._counts.get(key, 0) + len(mine)

    def rejected(self, engine: Engine) -> Rejected:
        """What the reader and the checks leave out, with the first rows of each reason in words. Readers tell reason
        after reason, the checks part after part."""

        def told_at(key: tuple[int, int]) -> tuple[int, int, int]:
            reason, place = key[0], (TRAIN, VALIDATION, TEST).index(key[1])
            return (0, reason, place) if reason <= UNTYPED else (1, place, reason)

        positions = sorted({at for some in self._first.values() for _, at in some})
        rows = {row["position"]: row for row in self._rows_at(engine, positions)}
        found = self._raw.rejected
        for key in sorted(self._counts, key=told_at):
            words = [self._words(key[0], rows[at]) for _, at in self._first[key]]
            found += Rejected.of(REASONS[key[0]], self._counts[key], words)
        return found

    def _rows_at(self, engine: Engine, positions: Sequence[int]) -> list[dict[str, Any]]:
        if not positions:
            return []
        places = ", ".join(map(str, positions))
        rows: list[dict[str, Any]] = engine.table(
            f"SELECT * FROM ({self._raw.sql}) WHERE position IN ({places})"
        ).to_pylist()
        return rows

    def _words(self, reason: int, row: dict[str, Any]) -> str:
        position = row["position"]
        where = self._raw.words(position)
        if reason <= UNTYPED:
            name = (USER, ITEM, TIME, VALUE)[reason - 1]
            if reason <= 2:
                return f"{where}: {name} {why_not(self._text(row, ('user', 'item')[reason - 1]))}"
            value = self._raw.lost.get(position, row["time" if reason == 3 else "value"])
            return f"{where}: {name} '{shown(value)}'"
        columns = self._columns
        kind = columns.kinds.of_value(row["kind"])
        event = pd.DataFrame(
            {
                USER: [columns.users.of_value(row["user"])],
                ITEM: [columns.items.of_value(row["item"])],
                TIME: [np.nan if row["time"] is None else row["time"]],
                TYPE: [np.nan if kind is None else kind],
            },
            index=[position if self._raw.index is None else self._raw.index[position]],
        )
        return described(event, 0, REASONS[reason], self._raw.places)

    def _text(self, row: dict[str, Any], name: str) -> object:
        value = row[name]
        return value if self._raw.texts is None or value is None else self._raw.texts[name][value].as_py()
