"""One user as the models of a version see them."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from recstage.data.interactions import Users
from recstage.data.tables.values.columns import NO_COLUMNS, Columns
from recstage.models import moment as moments
from recstage.models.base import Recommender
from recstage.models.moment import CONTEXT_KEY, moment

HOUR, WEEKDAY = f"{CONTEXT_KEY}{moments.HOUR}", f"{CONTEXT_KEY}{moments.WEEKDAY}"
Given = tuple[tuple[str, str | float], ...]
"""Keys (`profile.NAME`, `context.NAME`) and values."""


def columns_of(given: Given, wanted: Collection[str]) -> Columns:
    """What is given of one user as the models read it: the `wanted` keys alone, later ones in place of earlier ones.

    The hour and the day of the week are those of now, where they are wanted and not given.
    """
    if not wanted:
        return NO_COLUMNS
    out = {key: _column(value) for key, value in given if key in wanted}
    if HOUR in wanted or WEEKDAY in wanted:
        hour, weekday = moment(np.array([int(time.time())]))
        out = {key: value for key, value in ((HOUR, hour), (WEEKDAY, weekday)) if key in wanted} | out
    return out


def _column(value: str | float) -> np.ndarray:
    return np.array([value], dtype=object) if isinstance(value, str) else np.array([float(value)])


@dataclass(frozen=True, eq=False)
class UserContext:
    """One user with the current history (`users`) and with the history of training (`trained`).

    Where the current history differs from that of training, `users` is an unknown user (index -1) with a history, for
    models that fold histories in. `categories`: declared preferences, strongest first.
    """

    users: Users
    trained: Users
    categories: tuple[str, ...] = ()

    def users_for(self, model: Recommender) -> Users:
        """The user in the form that the model can use."""
        return self.users if model.folds_in else self.trained

    def with_given(self, given: Columns) -> UserContext:
        """The same user with what a request says of them and of its moment."""
        return replace(self, users=replace(self.users, given=given), trained=replace(self.trained, given=given))
