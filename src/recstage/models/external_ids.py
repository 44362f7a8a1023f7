"""Recommenders asked in external ids (text): lists, scores of given items, explanations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recstage.data.interactions import IdMap, Interactions, Users
from recstage.errors import DataError
from recstage.models.explanation import Explanation, by_popularity
from recstage.models.types import Ranking, Recommendations

IDS_NAMED = 5
"""Unknown ids that an error names."""


class ExternalIdMethods(ABC):
    """Translates ids and calls the methods of `Recommender` that work on indices; holds no logic of its own."""

    train_: Interactions

    @property
    def items(self) -> IdMap:
        """Ids of the trained catalogue."""
        return self.train_.items

    @abstractmethod
    def rank(
        self,
        users: Users,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: ArrayLike | None = None,
        exclude: ArrayLike = (),
    ) -> Ranking:
        """See `Recommender.rank`."""

    @abstractmethod
    def scores_of(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `Recommender.scores_of`."""

    @abstractmethod
    def can_score(self, users: Users) -> NDArray[np.bool_]:
        """See `Recommender.can_score`."""

    @abstractmethod
    def explain(self, users: Users, item: int) -> Explanation:
        """See `Recommender.explain`."""

    def known(self, user_ids: Iterable[str]) -> Users:
        """Users with their training histories; unknown users have index -1 and no history."""
        index = self.train_.users.index_of(list(user_ids))
        trained = np.flatnonzero(index >= 0)
        histories = self.train_.of(index[trained])
        lengths = np.zeros(len(index), np.int64)
        lengths[trained] = histories.lengths
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return Users(index, indptr, histories.items, histories.weights, histories.timestamps, self.train_.n_items)

    def recommend(
        self,
        user_id: str,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> Recommendations:
        """The user's k best items; unknown users get the most popular. Raises `DataError` on an unknown item id."""
        return self.recommend_batch([user_id], k, exclude_seen=exclude_seen, candidates=candidates, exclude=exclude)[0]

    def recommend_batch(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> list[Recommendations]:
        """`recommend` for many users at once; logged models of earlier versions call it."""
        if k < 1:
            raise DataError(f"k={k}", rule="a list has at least one item", fix="Ask for k >= 1")
        ranking = self.rank(
            self.known(user_ids),
            k,
            exclude_seen=exclude_seen,
            candidates=None if candidates is None else self._item_index(candidates),
            exclude=self._item_index(exclude),
        )
        lists = []
        for user_id, items, scores, method in zip(
            user_ids, ranking.items, ranking.scores, ranking.methods, strict=True
        ):
            kept = items >= 0
            lists.append(
                Recommendations(str(user_id), self.items.id_of(items[kept]).tolist(), scores[kept].tolist(), method)
            )
        return lists

    def predict(self, user_id: str, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the given items for one user: float32[len(item_ids)]. Raises `DataError` on an unknown item id."""
        return self.scores_of(self.known([user_id]), self._item_index(item_ids))[0]

    def why(self, user_id: str, item_id: str) -> Explanation:
        """Why the user should be shown the item: by its popularity for users whom the model cannot score.

        Raises `DataError` on an unknown item id.
        """
        item = int(self._item_index([item_id])[0])
        users = self.known([user_id])
        return self.explain(users, item) if self.can_score(users)[0] else by_popularity(self.train_, item)

    def _item_index(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        index = self.items.index_of([str(item) for item in item_ids])
        if (index < 0).any():
            unknown = [str(item) for item, i in zip(item_ids, index, strict=True) if i < 0]
            more = f" and {len(unknown) - IDS_NAMED} more" if len(unknown) > IDS_NAMED else ""
            raise DataError(
                f"item {', '.join(unknown[:IDS_NAMED])}{more}",
                rule="every item must be in the trained catalogue",
                fix="Leave unknown items out",
            )
        return index
