"""What was shown to whom: a pair that was shown and not chosen was passed over; a pair without a row was never shown.

A pair counts as chosen where an event of a type that does not say no follows its first showing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import IdMap
from recstage.data.schema import ITEM, TIME, TYPE, USER

COLUMNS = ("user_index", "item_index", "shown", "rank", "first_shown", "last_shown", "chosen")
ARROW_SCHEMA = pa.schema(
    [("user_index", pa.int32()), ("item_index", pa.int32()), ("shown", pa.int32()), ("rank", pa.float32()),
     ("first_shown", pa.int64()), ("last_shown", pa.int64()), ("chosen", pa.bool_())]
)  # fmt: skip


def by_pair(path: Path) -> pd.DataFrame:
    """The exposures of a snapshot, one row a pair: user_id, item_id, shown (how often), rank (the mean), first_shown
    and last_shown (seconds since 1970)."""
    columns = [USER, ITEM, "rank", "shown_at"]
    table = pq.read_table(path, columns=columns, read_dictionary=[USER, ITEM])
    grouped = table.group_by([USER, ITEM]).aggregate(
        [("rank", "count"), ("rank", "mean"), ("shown_at", "min"), ("shown_at", "max")]
    )
    return pd.DataFrame(
        {
            USER: grouped[USER].cast(pa.string()).to_pandas(),
            ITEM: grouped[ITEM].cast(pa.string()).to_pandas(),
            "shown": grouped["rank_count"].to_numpy().astype(np.int32),
            "rank": grouped["rank_mean"].to_numpy().astype(np.float32),
            "first_shown": pc.divide(grouped["shown_at_min"], 1000).to_numpy(),
            "last_shown": pc.divide(grouped["shown_at_max"], 1000).to_numpy(),
        }
    )


def judged(
    shown: pd.DataFrame, events: pd.DataFrame, users: IdMap, items: IdMap, negative_types: Collection[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Pairs of users and items that the data set knows, with `chosen`, ordered by pair; and what was counted: pairs
    shown, chosen, passed over, and those of users or items without an event, which are left out."""
    user = users.index_of(shown[USER].to_numpy(object)).astype(np.int64)
    item = items.index_of(shown[ITEM].to_numpy(object)).astype(np.int64)
    known = (user >= 0) & (item >= 0)
    frame = shown.loc[known].assign(user_index=user[known], item_index=item[known]).drop(columns=[USER, ITEM])
    frame = frame.sort_values(["user_index", "item_index"], ignore_index=True)
    pair = frame["user_index"].to_numpy() * len(items) + frame["item_index"].to_numpy()
    chosen = _last_choice(events, users, items, negative_types, pair) >= frame["first_shown"].to_numpy()
    frame = frame.assign(chosen=chosen).astype({"user_index": np.int32, "item_index": np.int32})[list(COLUMNS)]
    counts = {
        "pairs shown": len(shown),
        "chosen": int(chosen.sum()),
        "passed over": int((~chosen).sum()),
        "of users or items without an event": int((~known).sum()),
    }
    return frame, counts


def passed_over(exposures: pd.DataFrame, shape: tuple[int, int], before: int | None = None) -> sparse.csr_matrix:
    """Pairs that were shown and not chosen, bool[n_users, n_items]; with `before` (seconds since 1970) only those whose
    last showing was earlier, so that training learns nothing of the test window."""
    rows = exposures[~exposures["chosen"]]
    if before is not None:
        rows = rows[rows["last_shown"] < before]
    ones = np.ones(len(rows), bool)
    return sparse.csr_matrix((ones, (rows["user_index"], rows["item_index"])), shape=shape)


def _last_choice(
    events: pd.DataFrame, users: IdMap, items: IdMap, negative_types: Collection[str], pair: NDArray[np.int64]
) -> NDArray[np.float64]:
    """When each of the (sorted) pairs was last chosen, in seconds; -inf: never."""
    out = np.full(len(pair), -np.inf)
    if not len(pair) or not len(events):
        return out
    said_yes = events[~events[TYPE].isin(list(negative_types))]
    user = users.index_of(said_yes[USER].to_numpy(object)).astype(np.int64)
    key = user * len(items) + items.index_of(said_yes[ITEM].to_numpy(object))
    at = np.minimum(np.searchsorted(pair, key), len(pair) - 1)
    hit = pair[at] == key
    np.maximum.at(out, at[hit], np.ceil(said_yes[TIME].to_numpy(np.float64)[hit]))
    return out
