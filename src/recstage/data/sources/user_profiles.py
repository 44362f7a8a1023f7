"""Attributes of users, whatever source they come from, in the order of the data set's users."""

from __future__ import annotations

import logging

import pandas as pd

from recstage.data.interactions import IdMap
from recstage.data.schema import USER
from recstage.data.tables.values.columns import NO_COLUMNS, Columns, aligned, columns_of
from recstage.errors import DataError

POOR = 0.5
"""Share of the users whom the users file describes: below, it is told."""
SHOWN = 5

log = logging.getLogger(__name__)


def of(users: pd.DataFrame | None, ids: IdMap, name: str) -> Columns:
    """The attributes of the users of `ids`, missing where nothing is said of one. Raises `DataError` where the ids of
    the file fit no user of the data set called `name`."""
    if users is None or not len(users):
        return NO_COLUMNS
    places = IdMap(users[USER].astype(str).to_numpy(object)).index_of(ids.ids)
    described = int((places >= 0).sum())
    if not described:
        theirs, ours = (", ".join(map(str, some[:SHOWN])) for some in (users[USER], ids.ids))
        raise DataError(
            f"{name}: 0 of {len(ids)} users are in the users file: events have {ours}, the file {theirs}",
            rule="ids of events and users must be the same text",
            fix="Map the right column in source.users_columns.user_id, or leave source.users_path out",
        )
    if described < POOR * len(ids):
        log.warning("%s: the users file describes %d of %d users", name, described, len(ids))
    return aligned(columns_of(users.drop(columns=[USER])), places)
