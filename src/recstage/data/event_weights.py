"""What an interaction is worth: the weight of each type, as the data set's YAML says.

A type's weight is a number, or grows with the event's value (stars, seconds) by `ValueWeight`. How repeats of a pair
combine is said in `recstage.data.event_log.EventLog.aggregate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.config import DataConfig, ValueWeight
from recstage.data.event_log import EventLog
from recstage.data.interactions import IdMap
from recstage.data.schema import HELD_OUT, ITEM, TIME, TYPE, USER, VALUE, RawData


def weights_of(events: pd.DataFrame, weights: Mapping[str, float | ValueWeight]) -> NDArray[np.float32]:
    """The weight of each event: float32[n]. A type without a value where its weight grows with it earns `low`."""
    types = events[TYPE].astype("category")
    codes = types.cat.codes.to_numpy()
    value = events[VALUE].to_numpy(np.float64)
    out = np.zeros(len(events), np.float64)
    for code, name in enumerate(types.cat.categories):
        rule, rows = 1.0 if name == HELD_OUT else weights[name], codes == code
        out[rows] = grown(value[rows], rule) if isinstance(rule, ValueWeight) else rule
    return out.astype(np.float32)


def grown(value: NDArray[np.float64], rule: ValueWeight) -> NDArray[np.float64]:
    """`low` at value 0 (or none), `high` at `full` and above, a straight line between."""
    share = np.clip(np.nan_to_num(value, nan=0.0) / rule.full, 0, 1)
    return rule.low + (rule.high - rule.low) * share


def to_log(raw: RawData, config: DataConfig) -> EventLog:
    """Clean events (see `recstage.data.validation`) and the source's own test rows as one log. Ids are sorted, so that
    equal data gives equal indices whatever the order of its rows."""
    events = raw.events if raw.test is None else pd.concat([_coded(raw.events), _coded(raw.test)])
    held_out = np.arange(len(events)) >= len(raw.events)
    users, user_index = sorted_ids(events[USER])
    items, item_index = sorted_ids(events[ITEM], also=raw.negatives[ITEM] if raw.negatives is not None else ())
    return EventLog.build(
        users,
        items,
        user_index,
        item_index,
        weights_of(events, config.weights),
        events[TYPE].isin(config.negative_types).to_numpy(),
        np.floor(events[TIME].to_numpy()).astype(np.int64),
        held_out,
    )


def sorted_ids(column: pd.Series, also: Iterable[str] = ()) -> tuple[IdMap, NDArray[np.int32]]:
    """The ids of a column and those of `also`, sorted as text, and the index of each row's: int32[n]."""
    codes, ids = pd.factorize(column)
    others = set(also).difference(ids)
    names = np.array([*ids, *others], dtype=object)
    order = np.argsort(names)
    rank = np.empty(len(names), np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    return IdMap(names[order]), rank[codes] if len(names) else np.empty(0, np.int32)


def _coded(events: pd.DataFrame) -> pd.DataFrame:
    """Ids and types as plain text, so that rows with other categories can be appended."""
    return events.astype({USER: "str", ITEM: "str", TYPE: "str"})
