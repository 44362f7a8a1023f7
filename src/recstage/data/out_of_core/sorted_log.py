"""All good events in order of user and time, on disk; and an account of those that are not good.

The engine joins ids with their numbers, sorts, and hands out the rows; bad ones come first. Rows that are there twice
have the same user, so they are found within a block of users.
"""

from __future__ import annotations

import time as clock
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recstage.config import DataConfig
from recstage.data.event_log import TRAIN
from recstage.data.event_weights import unweighted, weights_of
from recstage.data.out_of_core.arrays import ArrayFile
from recstage.data.out_of_core.bad_rows import DUPLICATE_AT, UNTYPED, BadRows
from recstage.data.out_of_core.codes import Columns
from recstage.data.out_of_core.engine import Engine
from recstage.data.out_of_core.figures import Figures
from recstage.data.out_of_core.reading.raw_events import RawEvents
from recstage.data.schema import HELD_OUT, TYPE, VALUE
from recstage.data.validation import (
    A_DAY,
    FEW_UNWEIGHTED,
    GREATEST_RANK,
)


@dataclass
class SortedLog:
    """Files of one column each, sorted by user, part and time; `per_user` and `per_item` count the events of each code.
    `times`: of the first and the last event; `several_events`, `several_times`: whether any user has more than one."""

    folder: Path
    has_held_out: bool
    per_user: NDArray[np.int64]
    per_item: NDArray[np.int64]
    held_out: set[int] = field(default_factory=set)
    kept: int = 0
    kept_events: int = 0
    times: tuple[float, float] = (np.inf, -np.inf)
    several_events: bool = False
    several_times: bool = False

    @property
    def tells_an_order(self) -> bool:
        """As `recstage.data.validation.tells_an_order`."""
        if not self.kept_events or self.times[0] == self.times[1]:
            return False
        return not self.several_events or self.several_times

    def column(self, name: str) -> NDArray:
        return np.load(self.folder / f"sorted.{name}.npy", mmap_mode="r")


class Sorting:
    """One pass of all events through the engine."""

    def __init__(self, engine: Engine, raw: RawEvents, columns: Columns, config: DataConfig, folder: Path) -> None:
        self._engine, self._raw, self.columns, self._config = engine, raw, columns, config
        self._kinds = columns.kinds.ids
        self.bad = BadRows(raw, columns)
        weighted = {*config.weights, HELD_OUT}
        self._weighted = np.array([config.default_weight is not None or kind in weighted for kind in self._kinds], bool)
        self._negative = np.isin(self._kinds.astype(str), list(config.negative_types)) if len(self._kinds) else None
        self._latest = clock.time() + A_DAY if raw.time_is_clock else GREATEST_RANK
        self.log = SortedLog(
            folder,
            raw.has_held_out,
            np.zeros(len(columns.users.ids), np.int64),
            np.zeros(len(columns.items.ids), np.int64),
        )
        self.figures = Figures(folder, list(map(str, self._kinds)))
        self._files = {
            name: ArrayFile(folder / f"sorted.{name}.npy", dtype)
            for name, dtype in {
                "user": np.int32,
                "item": np.int32,
                "weight": np.float32,
                "negative": np.bool_,
                "time": np.float64,
                **({"part": np.int8} if raw.has_held_out else {}),
            }.items()
        }
        for name, codes in (("users", columns.users), ("items", columns.items), ("kinds", columns.kinds)):
            engine.name(f"{name}_of", codes.table)
        engine.name("weighted", pa.table({"code": np.arange(len(self._kinds), dtype=np.int32), "yes": self._weighted}))

    def run(self) -> SortedLog:
        """Raises `DataError` where types of more than a few rows have no weight."""
        self._refuse_unweighted()
        once = self._raw.ordered and not self._one_time()
        part = " part," if self.log.has_held_out else ""  # a column less to sort where it is the same in every row
        columns = f"home, item, kind,{part} time, value, position"
        sql = f"SELECT {columns} FROM ({self._judged}) ORDER BY home,{part} time, position"
        with ThreadPoolExecutor(1) as pool:  # a block is taken while the engine merges the next one
            taken = pool.submit(lambda: None)
            for rows in _by_user(self._engine.batches(sql)):
                taken.result()
                taken = pool.submit(self._take, rows, once)
            taken.result()
        for file in self._files.values():
            file.close()
        self.figures.close()
        return self.log

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _judged(self) -> str:
        """SQL of all rows; `home` is the code of the user, or minus the number of the reason why a row is bad."""
        conditions = (
            "u.code = -2",
            "i.code = -2",
            "e.lost = 1",
            "e.lost = 2",
            "u.code IS NULL OR u.code < 0",
            "i.code IS NULL OR i.code < 0",
            "e.time IS NULL",
            "k.code IS NULL OR k.code < 0",
            f"e.time < 0 OR e.time > {self._latest!r}",
            "NOT w.yes",
        )
        reasons = " ".join(f"WHEN {condition} THEN {-number}" for number, condition in enumerate(conditions, 1))
        return (
            f"SELECT CASE {reasons} ELSE u.code END AS home, coalesce(i.code, -1) AS item,"
            f" coalesce(k.code, -1) AS kind, e.part, e.time, e.value, e.position FROM ({self._raw.sql}) e"
            ' LEFT JOIN users_of u ON u.raw = e."user" LEFT JOIN items_of i ON i.raw = e.item'
            " LEFT JOIN kinds_of k ON k.raw = e.kind LEFT JOIN weighted w ON w.code = k.code"
        )

    def _refuse_unweighted(self) -> None:
        if self._weighted.all():
            return
        sql = f"SELECT kind, count(*) AS n FROM ({self._judged}) WHERE part = 0 AND NOT home BETWEEN -{UNTYPED} AND -1"
        found = self._engine.table(f"{sql} GROUP BY kind")
        counts = dict(zip(found["kind"].to_pylist(), found["n"].to_pylist(), strict=True))
        rows = sum(counts.values())
        each = pd.Series({str(name): counts.get(at, 0) for at, name in enumerate(self._kinds)})
        each = each.sort_values(ascending=False, kind="stable")
        missing = {str(name): int(n) for name, n in each.items() if n and name not in {*self._config.weights, HELD_OUT}}
        if sum(missing.values()) > FEW_UNWEIGHTED * rows:
            raise unweighted(missing, rows, self._config.name)

    def _one_time(self) -> bool:
        judged = f"SELECT time FROM ({self._judged}) WHERE part = 0 AND NOT home BETWEEN -{UNTYPED} AND -1"
        if (self.columns.users.codes < -1).any() or (self.columns.items.codes < -1).any():
            low, high = self._engine.row(f"SELECT min(time), max(time) FROM ({judged})")
        else:
            low, high = self._engine.row(
                f"SELECT min(time), max(time) FROM ({self._raw.sql}) WHERE part = 0 AND lost = 0"
            )
        return low is not None and low == high

    def _take(self, rows: dict[str, NDArray], once: bool) -> None:
        """A block of whole users, or bad rows."""
        rows.setdefault("part", np.full(len(rows["home"]), TRAIN, np.int8))
        bad = rows["home"] < 0
        if bad.any():
            self.bad.add({name: values[bad] for name, values in rows.items()}, -rows["home"][bad])
            rows = {name: values[~bad] for name, values in rows.items()}
        if once:
            again = _repeated(rows)
            if again.any():
                self.bad.add({name: values[again] for name, values in rows.items()}, DUPLICATE_AT)
                rows = {name: values[~again] for name, values in rows.items()}
        if not len(rows["home"]):
            return
        frame = pd.DataFrame(
            {TYPE: pd.Categorical.from_codes(rows["kind"], pd.Index(self._kinds, dtype=object)), VALUE: rows["value"]}
        )
        columns = {
            "user": rows["home"],
            "item": rows["item"],
            "weight": weights_of(frame, self._config.weights, self._config.default_weight),
            "negative": self._negative[rows["kind"]],  # type: ignore[index]
            "time": rows["time"],
            "part": rows["part"],
        }
        for name, file in self._files.items():
            file.append(columns[name])
        self._count(rows)

    def _count(self, rows: dict[str, NDArray]) -> None:
        log = self.log
        first = int(rows["home"][0])
        counts = np.bincount(rows["home"] - first)
        log.per_user[first : first + len(counts)] += counts
        log.per_item += np.bincount(rows["item"], minlength=len(log.per_item))
        log.kept += len(rows["home"])
        log.held_out |= set(np.unique(rows["part"]).tolist()) - {TRAIN}
        events = rows["part"] == TRAIN
        mine = {name: values[events] for name, values in rows.items()} if not events.all() else rows
        times, users = mine["time"], mine["home"]
        if not len(times):
            return
        log.kept_events += len(times)
        starts = np.flatnonzero(np.diff(users, prepend=-1))
        low, high = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
        log.times = (min(log.times[0], float(low.min())), max(log.times[1], float(high.max())))
        log.several_events |= len(starts) < len(times)
        log.several_times |= bool((high > low).any())
        self.figures.add(mine["kind"], mine["value"])


def _repeated(rows: dict[str, NDArray]) -> NDArray[np.bool_]:
    """Rows that an earlier one of the same user and time equals in every column: bool[n]."""
    same = (np.diff(rows["home"]) == 0) & (np.diff(rows["part"]) == 0) & (np.diff(rows["time"]) == 0)
    found = np.zeros(len(rows["home"]), bool)
    at = np.flatnonzero(np.append(same, False) | np.append(False, same)) if len(found) else np.empty(0, int)
    if len(at):
        columns = ("home", "part", "time", "item", "kind", "value")
        found[at] = pd.DataFrame({name: rows[name][at] for name in columns}).duplicated(keep="first").to_numpy()
    return found


def _by_user(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, NDArray]]:
    """The rows as arrays, in blocks that end where a user ends."""
    waiting: list[dict[str, NDArray]] = []
    for batch in batches:
        rows = {name: batch.column(at).to_numpy(zero_copy_only=False) for at, name in enumerate(batch.schema.names)}
        home = rows["home"]
        last = int(np.searchsorted(home, home[-1])) if len(home) else 0
        if last:
            yield _joined([*waiting, {name: values[:last] for name, values in rows.items()}])
            waiting = []
            rows = {name: values[last:].copy() for name, values in rows.items()}
        elif waiting and len(home) and waiting[-1]["home"][-1] != home[0]:
            yield _joined(waiting)
            waiting = []
        if len(home):
            waiting.append(rows)
    if waiting:
        yield _joined(waiting)


def _joined(blocks: Sequence[dict[str, NDArray]]) -> dict[str, NDArray]:
    if len(blocks) == 1:
        return dict(blocks[0])
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
