"""Ids as numbers: each different value of a column is read once by the rule of ids, and sorted as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recstage.data.out_of_core.engine import Engine
from recstage.data.out_of_core.reading.raw_events import RawEvents
from recstage.data.tables.values.ids import CUT_OFF, LONGEST_ID, NULLS, IdRule, id_of

MISSING, WRONG = -1, -2
PLAIN = r"^(?:[A-Za-z_][A-Za-z0-9_]*|0|[1-9][0-9]*)$"
"""What every rule leaves as it is, unless it stands for nothing."""


@dataclass(frozen=True)
class Codes:
    """`ids` are sorted (object[n] of str). `values` are what stands in the column (text, or a number of the spill), and
    `codes` int32 the place of each in `ids`, `MISSING` or `WRONG`. `cut_off`: how many different ids are numbers that a
    spreadsheet has shortened, and the first; `nothing`: texts that were taken for no id."""

    ids: NDArray[np.object_]
    values: pa.Array
    codes: NDArray[np.int32]
    cut_off: tuple[int, str] = (0, "")
    nothing: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        texts: pa.Array,
        rule: IdRule,
        *,
        also: Iterable[str] = (),
        numbered: bool = False,
        as_they_come: bool = False,
    ) -> Codes:
        """The ids that different `texts` mean, and those of `also`. `numbered`: the column holds places in `texts`;
        `as_they_come`: they are not sorted."""
        found, wrong = _read(texts, rule)
        names = [*found[[name is not None for name in found]], *sorted(set(also))]
        ids = np.array(list(dict.fromkeys(names)), dtype=object) if as_they_come else _sorted(names)
        place = {name: at for at, name in enumerate(ids)}
        codes = np.fromiter((place.get(name, MISSING) for name in found), np.int32, len(found))
        codes[wrong] = WRONG
        values = pa.array(np.arange(len(texts), dtype=np.int32)) if numbered else texts
        short = [name for name in dict.fromkeys(found) if name is not None and CUT_OFF.fullmatch(name)]
        nothing = [texts[at].as_py() for at in np.flatnonzero(codes == MISSING)]
        shortened = (len(short), short[0] if short else "")
        return cls(ids, values, codes, shortened, tuple(one for one in nothing if one is not None))

    def respelt(self, spellings: Mapping[str, str]) -> Codes:
        """The same with ids replaced by others, of which each is there once."""
        names = [spellings.get(name, name) for name in self.ids]
        ids = np.array(list(dict.fromkeys(names)), dtype=object)
        place = {name: at for at, name in enumerate(ids)}
        new = np.array([place[name] for name in names], np.int32)
        codes = np.where(self.codes >= 0, new[self.codes], self.codes) if len(new) else self.codes
        return replace(self, ids=ids, codes=codes.astype(np.int32))

    @property
    def table(self) -> pa.Table:
        """Columns raw and code, to be joined with."""
        return pa.table({"raw": self.values, "code": self.codes})

    def of_value(self, value: object) -> str | None:
        """The id that one value of the column means."""
        at = pc.index(self.values, pa.scalar(value, self.values.type)).as_py() if value is not None else -1
        return self.ids[self.codes[at]] if at >= 0 and self.codes[at] >= 0 else None


@dataclass
class Columns:
    """The codes of the three columns of text."""

    users: Codes
    items: Codes
    kinds: Codes


def columns_of(engine: Engine, raw: RawEvents, also_items: Sequence[str]) -> Columns:
    """The codes of users, items and kinds; kinds are in the order in which they first come."""

    def texts(name: str) -> pa.Array:
        if raw.texts is not None:
            return raw.texts[name]
        order = "min(position)" if name == "kind" else "1"
        column = f'"{name}"'
        sql = f"SELECT {column} AS text FROM ({raw.sql}) WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY {order}"
        return engine.table(sql)["text"].combine_chunks().cast(pa.string())

    numbered = raw.texts is not None
    return Columns(
        Codes.of(texts("user"), raw.rule, numbered=numbered),
        Codes.of(texts("item"), raw.rule, also=also_items, numbered=numbered),
        Codes.of(texts("kind"), "auto", numbered=numbered, as_they_come=True),
    )


def _read(texts: pa.Array, rule: IdRule) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """The id of each text (None: none), and which are no ids."""
    found = texts.to_numpy(zero_copy_only=False).astype(object)
    plain = pc.and_(pc.match_substring_regex(texts, PLAIN), pc.less_equal(pc.binary_length(texts), LONGEST_ID))
    plain = pc.and_(plain, pc.invert(pc.is_in(texts, value_set=pa.array(sorted(NULLS), texts.type))))
    wrong = np.zeros(len(texts), bool)
    for at in np.flatnonzero(~pc.fill_null(plain, False).to_numpy(zero_copy_only=False)):
        try:
            found[at] = id_of(found[at], rule)
        except ValueError:
            found[at], wrong[at] = None, True
    return found, wrong


def _sorted(names: Sequence[str]) -> NDArray[np.object_]:
    """Different names in the order of their characters, which is that of their bytes in UTF-8."""
    different = pc.unique(pa.array(names, pa.string()))
    ordered = different.take(pc.sort_indices(different))
    out: NDArray[np.object_] = ordered.to_numpy(zero_copy_only=False).astype(object)
    return out
