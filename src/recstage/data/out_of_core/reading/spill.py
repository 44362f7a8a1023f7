"""Events on their way to the engine, as Parquet files of numbers: ids and types are places in lists of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

SCHEMA = pa.schema(
    [
        ("position", pa.int64()),
        ("part", pa.int8()),
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("kind", pa.int32()),
        ("time", pa.float64()),
        ("value", pa.float64()),
        ("lost", pa.int8()),
    ]
)
"""`position` is the order of the rows; `part` is 0, or of what the source itself holds out; `lost` is 1 where a time is
there and cannot be read, 2 where a value is."""


class Spill:
    """Rows of a source, appended block after block."""

    def __init__(self, path: Path, kinds: Sequence[str] = ()) -> None:
        self.path = path
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="lz4", use_dictionary=["kind"])
        self._places: dict[str, dict[str, int]] = {
            "user": {},
            "item": {},
            "kind": {name: at for at, name in enumerate(kinds)},
        }

    def append(self, texts: dict[str, pa.Array | pa.ChunkedArray], columns: dict[str, ArrayLike], n: int) -> None:
        """`texts`: user, item and kind, dictionary-encoded or not; `columns`: the rest of `SCHEMA`, `part` and `lost`
        zero where they are left out."""
        rows: dict[str, ArrayLike] = {"part": np.zeros(n, np.int8), "lost": np.zeros(n, np.int8), **columns}
        rows |= {name: self._numbers(name, values) for name, values in texts.items()}
        self._writer.write_table(pa.table({name: pa.array(rows[name]) for name in SCHEMA.names}, schema=SCHEMA))

    def close(self) -> None:
        self._writer.close()

    @property
    def all_texts(self) -> dict[str, pa.Array]:
        """What the numbers of user, item and kind stand for."""
        return {name: pa.array(list(places), pa.string()) for name, places in self._places.items()}

    def _numbers(self, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
        column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        chunks = [self._numbers_of(self._places[name], chunk) for chunk in column.chunks]
        return pa.concat_arrays(chunks) if chunks else pa.array([], pa.int32())

    @staticmethod
    def _numbers_of(places: dict[str, int], chunk: pa.DictionaryArray) -> pa.Array:
        texts = chunk.dictionary.to_pylist()
        codes = chunk.indices.to_numpy(zero_copy_only=False)
        missing = ~(codes >= 0) if chunk.indices.null_count == 0 else np.isnan(codes)
        codes = np.where(missing, 0, codes).astype(np.int64)
        seen = np.zeros(len(texts), bool)
        seen[codes[~missing]] = True
        mine: NDArray[np.int32] = np.zeros(max(1, len(texts)), np.int32)
        for at in np.flatnonzero(seen):  # in order of the dictionary
            text = texts[at]
            mine[at] = -1 if text is None else places.setdefault(text, len(places))
        numbers = mine[codes]
        return pa.array(numbers, mask=missing | (numbers < 0))


def texts_of(column: pd.Series) -> pa.Array:
    """A column of ids of a frame, dictionary-encoded."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = pa.array(column.cat.codes.to_numpy(np.int32), mask=(column.cat.codes < 0).to_numpy())
        return pa.DictionaryArray.from_arrays(codes, pa.array(list(map(str, column.cat.categories)), pa.string()))
    return pa.array(column.astype(object).where(column.notna(), None), pa.string()).dictionary_encode()
