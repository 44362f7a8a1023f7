"""ALS the other way round: for an item, the people who will want it.

It is fitted on transposed rows (`Interactions.transposed`): its "users" are items and its "items" are people, so that
everything that serves people serves items too. Registered under a name of its own, `recommender-reverse`.
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
    """Ranks people for items. With `recency_decay`, what counts is how many choices ago *the person* chose the item:
    his latest choices say who he is now, in this direction as in the other."""

    name = "reverse-als"
    reverse = True

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The people of the item's history whom this person is like."""
        known, added = self.contributions(users, item)
        contributions = largest("user", self.items.id_of(known).tolist(), added)
        alike = sum(one.value > 0 for one in contributions)
        if not alike:
            return by_popularity(self.train_, item)
        text = f"{alike} of the {len(known)} people who chose it choose like this person."
        return base.Explanation(self.name, sum(one.value for one in contributions), text, contributions)

    def _extra(self, users: Users) -> sparse.csr_matrix:
        nth_last = 1 + self._choices_since(users.items, users.timestamps)
        return decayed(users, nth_last, self.params.recency_decay) * np.float32(self.params.alpha)

    def _choices_since(self, people: NDArray[np.int32], moments: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many training rows each of the people has after the moment."""
        start = people.astype(np.int64) * self._span
        until = start + np.clip(moments - self._first, -1, self._span - 1)
        ends = np.searchsorted(self._timeline, start + self._span)
        return ends - np.searchsorted(self._timeline, until, side="right")

    def attach(self, train: Interactions, catalogue: Catalogue | None = None) -> Self:
        super().attach(train, catalogue)
        # every person's moments on one line, person after person, for one binary search
        self._first = int(train.timestamp.min(initial=0))
        self._span = int(train.timestamp.max(initial=0)) - self._first + 2
        self._timeline = np.sort(train.item_index.astype(np.int64) * self._span + (train.timestamp - self._first))
        return self
