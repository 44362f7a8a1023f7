"""The generator as a source: in memory, or streamed to a Parquet file that the events source reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from recstage.config import SyntheticSource
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.synthetic.generator import BLOCK_EVENTS, Block, World
from recstage.data.synthetic.texts import described


def files(config: SyntheticSource) -> list[Path]:
    """None: the configuration decides everything."""
    return []


def read(config: SyntheticSource) -> RawData:
    """Exactly `config.interactions` events, in order of time."""
    world = World(config)
    blocks = list(tqdm(world.blocks(), desc="generate", unit="block", disable=None))
    columns = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in Block.__annotations__}
    order = np.argsort(columns["time"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    events = pd.DataFrame(
        {
            USER: _categories(columns["user"], "u", config.users),
            ITEM: _categories(columns["item"], "i", config.items),
            TIME: columns["time"].astype(np.float64),
            TYPE: pd.Categorical.from_codes(columns["kind"], pd.Index([kind.name for kind in world.kinds])),
            VALUE: columns["value"].astype(np.float64),
        }
    )
    return RawData(events=events, items=described(world, names(np.arange(config.items), "i", config.items)))


def stream(config: SyntheticSource, path: Path, *, block_events: int = BLOCK_EVENTS) -> int:
    """Writes the events to a Parquet file, one row group a block of users (in order of time inside it), and returns
    how many. Memory is bounded by a block. The file appears when it is whole."""
    world = World(config)
    schema = pa.schema(
        {
            USER: pa.dictionary(pa.int32(), pa.string()),
            ITEM: pa.dictionary(pa.int32(), pa.string()),
            TIME: pa.int64(),
            TYPE: pa.dictionary(pa.int8(), pa.string()),
            VALUE: pa.float32(),
        }
    )
    kinds, items = (
        pa.array([kind.name for kind in world.kinds]),
        pa.array(names(np.arange(config.items), "i", config.items)),
    )
    partial = path.with_name(f".{path.name}.partial")
    written = 0
    try:
        with (
            pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=[USER, ITEM, TYPE]) as writer,
            tqdm(total=config.interactions, desc=path.name, unit="event", unit_scale=True, disable=None) as bar,
        ):
            for block in world.blocks(block_events):
                users, position = np.unique(block.user, return_inverse=True)
                columns = [
                    pa.DictionaryArray.from_arrays(
                        position.astype(np.int32), pa.array(names(users, "u", config.users))
                    ),
                    pa.DictionaryArray.from_arrays(block.item, items),
                    pa.array(block.time),
                    pa.DictionaryArray.from_arrays(block.kind, kinds),
                    pa.array(block.value, from_pandas=True),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(block.user))
                written += len(block.user)
                bar.update(len(block.user))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return written


def names(numbers: NDArray[np.integer], letter: str, of: int) -> list[str]:
    """Ids from numbers, padded so that they sort as text."""
    width = len(str(max(of - 1, 0)))
    return [f"{letter}{number:0{width}d}" for number in numbers.tolist()]


def _categories(numbers: NDArray[np.integer], letter: str, of: int) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(numbers, pd.Index(names(np.arange(of), letter, of)))
