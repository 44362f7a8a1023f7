"""One version, loaded and ready to answer; every request takes one reference to it and answers from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recstage import bundle
from recstage.bundle import Manifest
from recstage.data.interactions import Users
from recstage.models.base import Recommender
from serving.depot import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class Served:
    """A verified model and what answering needs beside it, prepared once: plain lists for ids and titles, each trained
    user's rows, the items that the catalogue says are unavailable."""

    staged: Staged
    manifest: Manifest
    model: Recommender
    item_ids: Sequence[str]
    titles: Sequence[str]
    unavailable: NDArray[np.int32]
    swapped_at: datetime
    slow: bool = False
    """Whether one list takes so long that it is made in a thread, for the event loop's sake."""

    @classmethod
    def load(cls, staged: Staged, now: datetime) -> Served:
        """Read the bundle, check every digest and the golden answers. Raises `BundleError`."""
        loaded = bundle.load(staged.folder)
        bundle.verify_answers(loaded)
        model = loaded.model
        return cls(
            staged,
            loaded.manifest,
            model,
            model.items.ids.tolist(),
            [str(title) for title in model.catalogue_.titles],
            np.flatnonzero(~model.catalogue_.available).astype(np.int32),
            now,
        )

    @property
    def version(self) -> str:
        return self.staged.version

    @property
    def algorithm(self) -> str:
        return self.manifest.algorithm

    def restaged(self, staged: Staged) -> Served:
        """The same version, promoted anew."""
        return replace(self, staged=staged)

    def user(self, user_id: str) -> Users:
        """One person as training saw him; a stranger has index -1 and no history."""
        train = self.model.train_
        index = train.users.find(user_id)
        if index < 0:
            return Users.stranger(train.n_items)
        rows = slice(int(train.indptr[index]), int(train.indptr[index + 1]))
        return Users(
            np.array([index], np.int32),
            np.array([0, rows.stop - rows.start], np.int64),
            train.item_index[rows],
            train.weight[rows],
            train.timestamp[rows],
            train.n_items,
        )
