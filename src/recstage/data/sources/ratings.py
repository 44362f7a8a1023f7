"""Files of ratings whose four columns are known: user, item, stars, time."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, Rejected
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.table import Table
from recstage.data.tables.values.ids import IdRule, first_of, ids_of, rejected_ids
from recstage.data.tables.values.numbers import numbers
from recstage.data.tables.values.shown import shown

RATING = "rating"
COLUMNS = (USER, ITEM, VALUE, TIME)


def ratings_of(file: DelimitedFile, ids: IdRule = "auto") -> Table:
    """The rows of a file as events of type `rating`; those whose stars or time are no numbers are rejected."""
    table = file.read(coded=file.names[:2])
    given = table.frame.set_axis(list(COLUMNS), axis="columns")
    rejected, bad = table.rejected, pd.Series(False, given.index)
    columns: dict[str, pd.Series] = {}
    for name in (USER, ITEM):
        columns[name], wrong = ids_of(given[name], ids)
        rejected += rejected_ids(wrong & ~bad, given[name], name, table.places.words)
        bad |= wrong
    for name in (VALUE, TIME):
        columns[name] = numbers(given[name])
        lost = columns[name].isna() & given[name].notna() & ~bad
        told = [f"{table.places.words(at)}: {name} '{shown(v)}'" for at, v in first_of(given.loc[lost, name])]
        rejected += Rejected.of(f"unreadable {name}", int(lost.sum()), told)
        bad |= lost
    frame = pd.DataFrame(columns)
    frame[TYPE] = pd.Categorical([RATING]).repeat(len(frame))
    return replace(table, frame=frame[~bad] if bad.any() else frame, rejected=rejected)
