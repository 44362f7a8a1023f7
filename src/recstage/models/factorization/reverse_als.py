"""Reverse ALS: ranks users for an item.

It is fitted to transposed rows (`Interactions.transposed`): its "users" are items and its "items" are users, so that
everything that serves users serves items too. Registered under a name of its own, `recommender-reverse`.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.explanation import by_popularity, largest
from recstage.models.factorization.als import ALS
from recstage.models.recent_items import decayed


class ReverseALS(ALS):
    """Ranks users for items.

    `recency_decay` counts how many choices ago the *user* chose the item, as in `ALS`: their latest choices say most
    about them, in this direction too.
    """

    name = "reverse-als"
    reverse = True

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The users who chose the item and whose choices are similar to this user's."""
        known, added = self.contributions(users, item)
        contributions = largest("user", self.items.id_of(known).tolist(), added)
        similar = sum(one.value > 0 for one in contributions)
        if not similar:
            return by_popularity(self.train_, item)
        text = f"{similar} of the {len(known)} users who chose it make choices similar to this user's."
        return base.Explanation(self.name, sum(one.value for one in contributions), text, contributions)

    def _extra(self, users: Users) -> sparse.csr_matrix:
        nth_last = 1 + self._choices_since(users.items, users.timestamps)
        return decayed(users, nth_last, self.params.recency_decay) * np.float32(self.params.alpha)

    def _choices_since(self, users: NDArray[np.int32], moments: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many training rows each user has after the moment: int64, as `users` and `moments`."""
        start = users.astype(np.int64) * self._span
        until = start + np.clip(moments - self._first, -1, self._span - 1)
        ends = np.searchsorted(self._timeline, start + self._span)
        return ends - np.searchsorted(self._timeline, until, side="right")

    def attach(self, train: Interactions, catalogue: Catalogue | None = None) -> Self:
        super().attach(train, catalogue)
        # the moments of all users on one number line, user after user, for one binary search
        self._first = int(train.timestamp.min(initial=0))
        self._span = int(train.timestamp.max(initial=0)) - self._first + 2
        self._timeline = np.sort(train.item_index.astype(np.int64) * self._span + (train.timestamp - self._first))
        return self
