"""The contract of every recommender, and all that must be equal everywhere.

A model writes `Params`, `_fit`, `score`, `state` and `_load_state`. This base owns masking, candidate and exclusion
lists, top-k and its ties, ids, people the model cannot score (served by popularity), and what saving and loading need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recstage.config import Schema
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions, Users
from recstage.errors import DataError, TooLittleData, valid_names
from recstage.models.explanation import Explanation, by_popularity
from recstage.models.ranking import top_k

POPULARITY = "popularity"
SCORES_AT_ONCE = 1 << 24  # floats of one chunk of scores: 64 MB


class ModelParams(Schema):
    """Base of every model's hyperparameters: the one place of their defaults."""


Report = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch or iteration with its number (from 1) and its metrics; raising in it ends the fit."""


def silent(step: int, metrics: Mapping[str, float]) -> None:
    """A `Report` that keeps nothing."""


@dataclass(frozen=True)
class Fitting:
    """All that a fit may use beside the training rows. `checkpoint` is a folder that the fit may write its progress to
    and resume from; `validation` is for early stopping, and is left out when the best is refitted."""

    seed: int
    validation: Interactions | None
    catalogue: Catalogue
    report: Report
    checkpoint: Path | None


@dataclass(frozen=True)
class Ranking:
    """Ranked items of n users: `items` int32[n, k] (-1: no more), `scores` float32[n, k], `methods`: for each user,
    the name of what spoke: the model ("NAME", of a composite "NAME:PARTS"), or 'popularity' for people it cannot
    score."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    methods: NDArray[np.object_]


@dataclass(frozen=True)
class Recommendations:
    """One user's list in external ids, best first."""

    user_id: str
    item_ids: list[str]
    scores: list[float]
    method: str


class Recommender(ABC):
    """A model that ranks items for users."""

    name: ClassVar[str]
    Params: ClassVar[type[ModelParams]]
    folds_in: ClassVar[bool] = False
    """Whether `score` serves a user whose `index` is -1 from his history alone."""
    reverse: ClassVar[bool] = False
    """Whether it ranks users for items: it is then trained on transposed interactions."""
    minimum_positives: ClassVar[int] = 1
    """Fewest positive interactions that training needs."""

    train_: Interactions
    catalogue_: Catalogue
    fitted_params_: dict[str, Any]
    """Hyperparameters that the fit found by early stopping (`epochs`), to be used when refitting without validation."""

    def __init__(self, params: Any | None = None) -> None:
        self.params: Any = params if params is not None else self.Params()

    # -- what a model writes --------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, train: Interactions, fitting: Fitting) -> None:
        """Learn from `train`; set fitted attributes (their names end in `_`)."""

    @abstractmethod
    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Preference of each user for the whole catalogue (`items` None: float32[n, n_items]), for the same
        candidates (`items` int32[m]: float32[n, m]) or for each his own (int32[n, m]: float32[n, m])."""

    @abstractmethod
    def state(self) -> dict[str, NDArray]:
        """Everything learnt, as plain arrays: no pickled objects."""

    @abstractmethod
    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        """The inverse of `state`; `params`, `train_`, `catalogue_` and parts are in place when it is called."""

    # -- what a model may override --------------------------------------------------------------------------

    def parts(self) -> dict[str, Recommender]:
        """Fitted recommenders that this one is composed of."""
        return {}

    def _load_parts(self, parts: Mapping[str, Recommender]) -> None:  # noqa: B027
        """The inverse of `parts`."""

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        """Who is served by this model itself; the others get popularity. By default: those who liked something, as far
        as training met them or the model folds histories in."""
        known = np.bincount(users.rows[users.weights > 0], minlength=len(users)) > 0
        return known if self.folds_in else known & (users.index >= 0)

    def item_vectors(self) -> NDArray[np.float32] | None:
        """Vectors whose cosine says how alike two items are: float32[n_items, d], or None where there are none."""
        return None

    def retrieve(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Each user's k best items, those that `excluded` (bool[n, n_items]) marks left out: int32[n, k] padded with
        -1, float32[n, k]. Override where an index is faster than scoring everything."""
        parts = chunks(len(users), self.n_items)
        if len(parts) == 1:  # a single request: nothing to cut
            return top_k(mask_excluded(self.score(users), excluded), k)
        items = np.empty((len(users), k), np.int32)
        scores = np.empty((len(users), k), np.float32)
        for rows in parts:
            chunk = self.score(users.take(np.arange(rows.start, rows.stop)))
            items[rows], scores[rows] = top_k(mask_excluded(chunk, None if excluded is None else excluded[rows]), k)
        return items, scores

    @property
    def indexed(self) -> bool:
        """Whether `retrieve` finds the best without scoring everything."""
        return type(self).retrieve is not Recommender.retrieve

    def answer(self, users: Users, k: int, excluded: sparse.csr_matrix | None = None) -> Ranking:
        """`retrieve`, and what spoke for each user: a composite tells which of its parts."""
        items, scores = self.retrieve(users, k, excluded)
        return Ranking(items, scores, np.full(len(users), self.name, dtype=object))

    def explain(self, users: Users, item: int) -> Explanation:
        """Why the one user of `users` should be shown `item`. By default: how many people chose it."""
        return by_popularity(self.train_, item)

    @property
    def early_stopping(self) -> bool:
        """Whether a fit watches validation rows to choose its length (`patience` epochs without a gain)."""
        return getattr(self.params, "patience", 0) > 0

    @property
    def steps_planned(self) -> int | None:
        """How many times a fit will report, for its progress bar; None where that is open."""
        return getattr(self.params, "epochs", None) or getattr(self.params, "iterations", None)

    def feature_importance(self) -> dict[str, float]:
        """Gain of each feature, for models that have features."""
        return {}

    def mean_contributions(self, users: Users) -> dict[str, float]:
        """Mean size of what each feature adds to these users' scores (SHAP), for models that have features."""
        return {}

    # -- what everybody calls -------------------------------------------------------------------------------

    @property
    def n_items(self) -> int:
        return self.train_.n_items

    @property
    def items(self) -> IdMap:
        return self.train_.items

    def fit(
        self,
        train: Interactions,
        *,
        seed: int = 0,
        validation: Interactions | None = None,
        catalogue: Catalogue | None = None,
        report: Report = silent,
        checkpoint: Path | None = None,
    ) -> Self:
        """Learn from scratch. Raises `TooLittleData` below the model's minimum of positive interactions."""
        positives = int((train.weight > 0).sum())
        if positives < self.minimum_positives:
            raise TooLittleData(
                f"{positives} positive interactions",
                rule=f"{self.name} needs at least {self.minimum_positives}",
                fix="Give more data or choose another model",
            )
        self.attach(train, catalogue)
        self.fitted_params_ = {}
        self._fit(train, Fitting(seed, validation, self.catalogue_, report, checkpoint))
        return self

    def attach(self, train: Interactions, catalogue: Catalogue | None = None) -> Self:
        """Set what every fitted recommender carries: the training rows (ids, histories, popularity), the catalogue."""
        self.train_ = train
        self.catalogue_ = catalogue if catalogue is not None else Catalogue.empty(train.items)
        self.popularity_ = (train.item_counts / max(1, train.item_counts.max(initial=0))).astype(np.float32)
        return self

    @classmethod
    def restore(
        cls,
        params: Any,
        state: Mapping[str, NDArray],
        train: Interactions,
        catalogue: Catalogue,
        parts: Mapping[str, Recommender] | None = None,
    ) -> Self:
        """A fitted recommender from what `state()`, `parts()` and the base carry."""
        model = cls(params).attach(train, catalogue)
        model.fitted_params_ = {}
        model._load_parts(parts or {})
        model._load_state(state)
        return model

    def known(self, user_ids: Iterable[str]) -> Users:
        """The given people as training saw them; strangers have index -1 and no history."""
        index = self.train_.users.index_of(list(user_ids))
        met = np.flatnonzero(index >= 0)
        histories = self.train_.of(index[met])
        lengths = np.zeros(len(index), np.int64)
        lengths[met] = histories.lengths
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return Users(index, indptr, histories.items, histories.weights, histories.timestamps, self.n_items)

    def rank(
        self,
        users: Users,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: ArrayLike | None = None,
        exclude: ArrayLike = (),
    ) -> Ranking:
        """The k best items of each user, in indices. `candidates` and `exclude` (int[m]) hold for the whole batch.
        Unavailable items of the catalogue are never ranked."""
        excluded = self._excluded_items(users, exclude_seen, exclude)
        items = np.full((len(users), k), -1, np.int32)
        scores = np.full((len(users), k), -np.inf, np.float32)
        methods = np.full(len(users), POPULARITY, dtype=object)
        able = self.can_score(users)
        methods[able] = self.name
        chosen = None if candidates is None else np.unique(np.asarray(candidates, np.int32))
        if able.any():
            rows = np.flatnonzero(able)
            whom = users if able.all() else users.take(rows)
            mask = excluded if able.all() or excluded is None else excluded[rows]
            if chosen is None:
                items[rows], scores[rows] = self.retrieve(whom, k, mask)
            else:
                items[rows], scores[rows] = _best_of(self.score(whom, chosen), chosen, mask, k)
        if not able.all():
            rows = np.flatnonzero(~able)
            pool = np.arange(self.n_items, dtype=np.int32) if chosen is None else chosen
            for part in chunks(len(rows), len(pool)):
                some = rows[part]
                popular = np.repeat(self.popularity_[None, pool], len(some), axis=0)
                items[some], scores[some] = _best_of(popular, pool, None if excluded is None else excluded[some], k)
        return Ranking(items, scores, methods)

    def recommend_batch(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> list[Recommendations]:
        """`recommend` for many users at once."""
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

    def recommend(
        self,
        user_id: str,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> Recommendations:
        """The user's k best items; a stranger gets the most popular. Raises `DataError` on an unknown item id."""
        return self.recommend_batch([user_id], k, exclude_seen=exclude_seen, candidates=candidates, exclude=exclude)[0]

    def predict(self, user_id: str, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the given items for one user: float32[len(item_ids)]. Raises `DataError` on an unknown item id."""
        return self._scores(self.known([user_id]), self._item_index(item_ids))[0]

    def predict_batch(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Scores of pairs (user_ids[i], item_ids[i]): float32[n]. Raises `DataError` on an unknown item id."""
        items = self._item_index(item_ids)
        if len(user_ids) != len(items):
            raise DataError(
                f"{len(user_ids)} users and {len(items)} items",
                rule="pairs need as many of each",
                fix="Align the two lists",
            )
        return self._scores(self.known(user_ids), items[:, None])[:, 0] if len(items) else np.empty(0, np.float32)

    def scores_of(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """`score` of candidates (int32[m] or int32[n, m]), popularity for the users the model cannot score."""
        return self._scores(users, items)

    def why(self, user_id: str, item_id: str) -> Explanation:
        """`explain` in external ids; strangers hear how popular it is. Raises `DataError` on an unknown item id."""
        item = int(self._item_index([item_id])[0])
        users = self.known([user_id])
        return self.explain(users, item) if self.can_score(users)[0] else by_popularity(self.train_, item)

    # -- inside ---------------------------------------------------------------------------------------------

    def _scores(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        able = self.can_score(users)
        popular = self.popularity_[items]
        out = np.array(np.broadcast_to(popular, (len(users), items.shape[-1])), dtype=np.float32)
        if able.any():
            own = items if items.ndim == 1 else items[able]
            out[able] = self.score(users if able.all() else users.take(able), own)
        return out

    def _item_index(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        index = self.items.index_of([str(item) for item in item_ids])
        if (index < 0).any():
            unknown = [str(item) for item, i in zip(item_ids, index, strict=True) if i < 0]
            few = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise DataError(
                f"item {few}", rule="every item must be in the trained catalogue", fix="Leave unknown items out"
            )
        return index

    def _excluded_items(self, users: Users, exclude_seen: bool, exclude: ArrayLike) -> sparse.csr_matrix | None:
        hidden = np.zeros(self.n_items, bool)
        hidden[np.asarray(exclude, dtype=np.int64)] = True
        hidden |= ~self.catalogue_.available
        if not hidden.any():
            return users.seen if exclude_seen else None
        columns = np.flatnonzero(hidden).astype(np.int32)
        everywhere = sparse.csr_matrix(
            (
                np.ones(len(users) * len(columns), bool),
                np.tile(columns, len(users)),
                np.arange(len(users) + 1) * len(columns),
            ),
            shape=(len(users), self.n_items),
        )
        return (everywhere + users.seen).tocsr() if exclude_seen else everywhere


def chunks(n: int, width: int) -> list[slice]:
    """Slices of n rows that keep rows x width under `SCORES_AT_ONCE`."""
    step = max(1, SCORES_AT_ONCE // max(1, width))
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def mask_excluded(scores: NDArray[np.float32], excluded: sparse.csr_matrix | None) -> NDArray[np.float32]:
    """Set -inf, in place, where `excluded` (same shape) has an entry."""
    if excluded is not None and excluded.nnz:
        rows = np.repeat(np.arange(excluded.shape[0]), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf
    return scores


def gather(scores: NDArray[np.float32], items: NDArray[np.int32] | None) -> NDArray[np.float32]:
    """Columns of whole-catalogue scores as `score` must return them for its `items` argument."""
    if items is None:
        return scores
    return scores[:, items] if items.ndim == 1 else np.take_along_axis(scores, items.astype(np.int64), axis=1)


def _best_of(
    scores: NDArray[np.float32], pool: NDArray[np.int32], excluded: sparse.csr_matrix | None, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Top k of scores over a pool of items (sorted), as item indices."""
    columns, values = top_k(mask_excluded(scores, None if excluded is None else excluded[:, pool]), k)
    return np.where(columns >= 0, pool[columns], -1).astype(np.int32), values


__all__ = [
    "POPULARITY",
    "Explanation",
    "Fitting",
    "ModelParams",
    "Ranking",
    "Recommendations",
    "Recommender",
    "Report",
    "chunks",
    "gather",
    "mask_excluded",
    "silent",
    "top_k",
    "valid_names",
]
