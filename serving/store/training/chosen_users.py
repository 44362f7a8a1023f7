"""Which users a batch job is for: those active lately, those with the most interactions, those of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select

from recstage.data.interactions import Interactions
from recstage.errors import ConfigError
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import UserInteraction
from serving.store.repositories.events import now_ms

DAY_MS = 86_400_000

_ACTIVE = Query(
    "active_users",
    select(UserInteraction.user_id).where(UserInteraction.occurred_at >= bindparam("since")).distinct(),
)


@dataclass(frozen=True)
class UserChoice:
    """Users that all given conditions hold for; without a condition all.

    `active_days`: with an event in the last so many days; `top`: so many with the most training interactions, of those
    that the other conditions hold for; `file`: those named in it, one id a line.
    """

    active_days: float | None = None
    top: int | None = None
    file: Path | None = None

    def check(self) -> None:
        """Raise `ConfigError` where a condition can hold for no user."""
        for option, value in (("--active-days", self.active_days), ("--top", self.top)):
            if value is not None and value <= 0:
                raise ConfigError(f"{option} {value:g}", rule="it must be above 0", fix="Leave it out for all users")
        if self.file is not None and not self.file.is_file():
            raise ConfigError(f"--users {self.file}", rule="there is no such file", fix="Give one id a line")

    def among(self, train: Interactions, reader: Reader) -> NDArray[np.object_]:
        """Ids of the users that are meant, of those in `train`. Raises `ConfigError`, `StoreError`."""
        index = np.arange(train.n_users)
        if self.file is not None:
            index = np.intersect1d(index, self._of_file(train))
        if self.active_days is not None:
            since = now_ms() - int(self.active_days * DAY_MS)
            active = [user_id for (user_id,) in reader.rows(_ACTIVE, {"since": since})]
            index = np.intersect1d(index, train.users.index_of(active))
        if self.top is not None:
            most = np.argsort(-train.lengths[index], kind="stable")[: self.top]
            index = np.sort(index[most])
        return train.users.ids[index]

    def _of_file(self, train: Interactions) -> NDArray[np.int32]:
        assert self.file is not None
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--users {self.file}", rule="it is no readable UTF-8 text", fix="One id a line"
            ) from error
        wanted = [line.strip() for line in lines if line.strip()]
        found = train.users.index_of(wanted)
        if not (found >= 0).any():
            raise ConfigError(
                f"--users {self.file} with {len(wanted)} ids",
                rule="the Production version knows none of these users",
                fix="Give ids as in the training data, one a line",
            )
        return found
