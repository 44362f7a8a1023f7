"""What of a source the engine sees: one row an event, and what is known of them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recstage.config import SyntheticSource
from recstage.data.event_log import TEST, TRAIN, VALIDATION
from recstage.data.out_of_core.reading.spill import Spill, texts_of
from recstage.data.schema import ITEM, NONE_REJECTED, ONE_FILE, TIME, TYPE, USER, VALUE, Places, RawData, Rejected
from recstage.data.sources.synthetic import names
from recstage.data.synthetic.generator import World
from recstage.data.synthetic.texts import described
from recstage.data.tables.values.ids import IdRule


@dataclass(frozen=True)
class RawEvents:
    """`sql` selects the columns of `reading.spill.SCHEMA`: users, items and kinds as text, or, where
    `texts` has lists of them, as places in these. The other fields are as those of `RawData`; `by_time`: rows count in
    the order of their times (fractions of seconds are cut off later); `number_form`: what the source says of times that
    are numbers (`source.time`), None where they are seconds already; `index` names the row of each position where it
    is not the position itself; `lost` shows what could not be read, by position; notes go before and behind what there
    is to say of ids."""

    sql: str
    rule: IdRule
    rows_read: int | None
    texts: Mapping[str, pa.Array] | None = None
    has_held_out: bool = False
    by_time: bool = False
    number_form: str | None = None
    time_is_clock: bool = True
    ordered: bool = True
    rejected: Rejected = NONE_REJECTED
    places: Places = ONE_FILE
    index: NDArray[np.int64] | None = None
    lost: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    notes_behind: tuple[str, ...] = ()
    items: pd.DataFrame | None = None
    items_rejected: Rejected = NONE_REJECTED
    users: pd.DataFrame | None = None
    negatives: pd.DataFrame | None = None

    def words(self, position: int) -> str:
        """A row as messages call it."""
        return self.places.words(position if self.index is None else int(self.index[position]))


def of_frames(raw: RawData, folder: Path) -> RawEvents:
    """Tables that were read in memory."""
    parts = {TRAIN: raw.events, VALIDATION: raw.validation, TEST: raw.test}
    given = {part: frame for part, frame in parts.items() if frame is not None}
    spill, begin = Spill(folder / "events.parquet"), 0
    for part, frame in given.items():
        n = len(frame)
        columns = {
            "position": np.arange(begin, begin + n),
            "part": np.full(n, part, np.int8),
            "time": pa.array(frame[TIME].to_numpy(np.float64), from_pandas=True),
            "value": pa.array(frame[VALUE].to_numpy(np.float64), from_pandas=True),
        }
        texts = {"user": texts_of(frame[USER]), "item": texts_of(frame[ITEM]), "kind": texts_of(frame[TYPE])}
        spill.append(texts, columns, n)
        begin += n
    spill.close()
    rows = raw.rows_read if raw.rows_read is not None else begin + raw.rejected.total
    return RawEvents(
        sql=select(spill.path),
        rule="text",
        rows_read=rows,
        texts=spill.all_texts,
        has_held_out=len(given) > 1,
        time_is_clock=raw.time_is_clock,
        ordered=raw.ordered,
        rejected=raw.rejected,
        places=raw.places,
        index=np.concatenate([frame.index.to_numpy(np.int64) for frame in given.values()]),
        notes=raw.notes,
        items=raw.items,
        items_rejected=raw.items_rejected,
        users=raw.users,
        negatives=raw.negatives,
    )


def generated(config: SyntheticSource, folder: Path) -> RawEvents:
    """The generator's world, block after block."""
    world = World(config)
    ids = names(np.arange(config.items), "i", config.items)
    kinds, items = pa.array([kind.name for kind in world.kinds]), pa.array(ids)
    spill, begin = Spill(folder / "events.parquet", kinds.to_pylist()), 0
    for block in world.blocks():
        n = len(block.user)
        users, place = np.unique(block.user, return_inverse=True)
        texts = {
            "user": pa.DictionaryArray.from_arrays(
                place.astype(np.int32), pa.array(names(users, "u", config.users), pa.string())
            ),
            "item": pa.DictionaryArray.from_arrays(block.item, items),
            "kind": pa.DictionaryArray.from_arrays(block.kind, kinds),
        }
        columns = {
            "position": np.arange(begin, begin + n),
            "time": block.time.astype(np.float64),
            "value": pa.array(block.value.astype(np.float64), from_pandas=True),
        }
        spill.append(texts, columns, n)
        begin += n
    spill.close()
    found = described(world, ids)
    return RawEvents(sql=select(spill.path), rule="text", rows_read=begin, texts=spill.all_texts, items=found)


def select(path: Path) -> str:
    """SQL of a spill."""
    return f"SELECT * FROM read_parquet({file_of(path)})"


def file_of(path: Path) -> str:
    """One file in SQL, whatever marks of a pattern its name has."""
    return quoted(re.sub(r"([*?\[])", r"[\1]", str(path)))


def quoted(text: str) -> str:
    """Text in SQL."""
    return "'" + text.replace("'", "''") + "'"
