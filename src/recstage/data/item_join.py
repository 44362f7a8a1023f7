"""How well the events of a data set and its items file join by their ids, and what is told where they do not."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.config import DataConfig
from recstage.data.interactions import IdMap
from recstage.data.schema import ITEM, Rejected
from recstage.errors import DataError

POOR = 0.5  # share of the items with events that the items file describes: below, it is an error line
SHOWN = 5

log = logging.getLogger(__name__)


def measured(
    items: IdMap,
    per_item: NDArray[np.integer],
    described: pd.DataFrame | None,
    rejected: Rejected,
    config: DataConfig,
) -> dict[str, Any]:
    """Of the report: how many items with events the items file (`described`) describes, the first that it does not,
    items without events, and rows of the file that describe none. `per_item`: events of each of `items`. Raises
    `DataError` where nothing joins, and where the data set is strict and rows of the items file are bad."""
    at = np.flatnonzero(per_item)
    report: dict[str, Any] = {
        "items_dropped": dict(rejected.counts),
        "first_items_dropped": {reason: list(rows) for reason, rows in rejected.first.items()},
        "items_joined": None,
        "first_unjoined": [],
        "items_without_events": len(items) - len(at),
    }
    if described is None:
        return report
    with_events = items.id_of(at)
    known = set(described[ITEM])
    unjoined = [item for item in with_events if item not in known]
    joined = len(with_events) - len(unjoined)
    report |= {"items_joined": joined, "first_unjoined": unjoined[:SHOWN]}
    if rejected.total and config.strict:
        told = "; ".join(
            f"{count} with {reason} ({', '.join(rejected.first[reason])})" for reason, count in rejected.counts.items()
        )
        raise DataError(
            f"{config.name}: items file: {told}",
            rule="strict data sets have no bad row in the items file either",
            fix="Mend them, or leave strict off to drop and count them",
        )
    theirs = ", ".join(map(str, described[ITEM].head(SHOWN)))
    given = f"{config.name}: {joined} of {len(with_events)} items with events are in the items file"
    if not joined:
        raise DataError(
            f"{given}: events have {', '.join(unjoined[:SHOWN])}, the file {theirs or 'no ids'}",
            rule="ids of events and items must be the same text",
            fix="Map the right column in source.items_columns.item_id, set source.ids to number where zeros lead, or "
            "leave source.items_path out",
        )
    if joined < POOR * len(with_events):
        log.error(
            "%s (%.0f %%): not %s; the file has %s",
            given,
            100 * joined / len(with_events),
            ", ".join(unjoined[:SHOWN]),
            theirs,
        )
    return report
