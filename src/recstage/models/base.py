"""The contract of every recommender.

A model writes `Params`, `_fit`, `score`, `state` and `_load_state`. The base adds masking, candidates and exclusions,
top-k with its ties, popularity for users whom the model cannot score, and what saving and loading need.

Three steps lead from a model to a list, each in terms of the one before; a model overrides the lowest that differs:

    score        float32[n, m]    preferences, for users the model can score
    retrieve     the k best       all scores and `top_k`; overridden where an index is faster
    rank_scored  a `Ranking`      `retrieve`, or the scores of given candidates, with the model used for each user;
                                  overridden by composites, whose parts differ from user to user
    rank         a `Ranking`      never overridden: builds the mask of excluded items, and ranks users whom the model
                                  cannot score by popularity

`recommend`, `recommend_batch`, `predict` and `why` are the same in external ids (`recstage.models.external_ids`).
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.data.tables.values.columns import Columns
from recstage.errors import ConfigError, NoOrder, TooLittleData
from recstage.models import memory
from recstage.models.explanation import Explanation, by_nearest, by_popularity
from recstage.models.external_ids import ExternalIdMethods
from recstage.models.ranking import (
    SCORES_AT_ONCE,
    chunks,
    exclusion_mask,
    gather,
    mask_excluded,
    top_k,
    top_k_of,
)
from recstage.models.types import POPULARITY, Fitting, ModelParams, Ranking, Recommendations, Report, silent

log = logging.getLogger(__name__)


class Recommender(ExternalIdMethods):
    """A model that ranks items for users."""

    name: ClassVar[str]
    Params: ClassVar[type[ModelParams]]
    folds_in: ClassVar[bool] = False
    """Whether `score` serves a user whose `index` is -1 from their history alone."""
    warm_starts: ClassVar[bool] = False
    """Whether a fit can begin with the values of an older model of the same class (`Fitting.start`)."""
    distils: ClassVar[bool] = False
    """Whether a fit can learn from the scores of a larger model of the same class (`Fitting.teacher`)."""
    reverse: ClassVar[bool] = False
    """Whether it ranks users for items: it is then trained on transposed interactions."""
    needs_order: ClassVar[bool] = False
    """Whether it learns from what came before what, so that rows without an order are of no use to it."""
    quick_fit: ClassVar[bool] = False
    """Whether a fit takes seconds, so that an update (`updated`) is another fit with the same parameters."""
    fits_on_spark: ClassVar[bool] = False
    """Whether a fit with `backend = spark` runs there."""
    minimum_positives: ClassVar[int] = 1
    """Fewest positive interactions that training needs."""

    train_: Interactions
    catalogue_: Catalogue
    fitted_params_: dict[str, Any]
    """Hyperparameters that the fit found by validation rows (`epochs`, chosen models), to be used when refitting with
    them among the training rows."""

    larger_: Recommender | None = None
    """The fitted model that this one is a smaller form of: its teacher, or itself before it was pruned. Not saved."""

    def __init__(self, params: Any | None = None) -> None:
        self.params: Any = params if params is not None else self.Params()

    # -- what a model writes --------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, train: Interactions, fitting: Fitting) -> None:
        """Learn from `train`; set fitted attributes (their names end in `_`)."""

    @abstractmethod
    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Each user's preference for items, for users whom `can_score` marks.

        `items` None: the whole catalogue, float32[n, n_items]; int32[m]: the same candidates for all users,
        float32[n, m]; int32[n, m]: candidates of each user, float32[n, m].
        """

    @abstractmethod
    def state(self) -> dict[str, NDArray]:
        """All fitted values as plain arrays: no pickled objects."""

    @abstractmethod
    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        """The inverse of `state`; `params`, `train_`, `catalogue_` and parts are in place when it is called."""

    # -- what a model may override --------------------------------------------------------------------------

    def _update(self, before: Self, fitting: Fitting) -> None:
        """Set fitted attributes for `train_` from those of `before`, which was fitted to earlier rows with other users
        and items, in any order. By default: a fit, where that is quick; other models raise `ConfigError`."""
        if not self.quick_fit:
            raise ConfigError(
                f"an update of {self.name}",
                rule="what it has learnt of a user or an item comes from its whole training alone",
                fix="Train it again (recstage train, recstage retrain)",
            )
        self._fit(self.train_, fitting)

    def parts(self) -> dict[str, Recommender]:
        """Fitted recommenders that this one is composed of."""
        return {}

    def first_stages(self) -> dict[str, Recommender]:
        """The recommenders whose candidates a second stage orders anew; none of other models."""
        return {}

    def _load_parts(self, parts: Mapping[str, Recommender]) -> None:  # noqa: B027
        """The inverse of `parts`."""

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        """Users whom the model itself can score, bool[n]; the others are ranked by popularity.

        By default: users who liked something, if training saw them or the model folds histories in.
        """
        if len(users) == 1:
            known = np.array([len(users.weights) > 0 and users.weights.max() > 0])
        else:
            known = np.bincount(users.rows[users.weights > 0], minlength=len(users)) > 0
        return known if self.folds_in else known & (users.index >= 0)

    def item_vectors(self) -> NDArray[np.float32] | None:
        """Vectors whose cosine is the similarity of two items: float32[n_items, d]; None: the model has none."""
        return None

    def retrieve(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Each user's k best items: int32[n, k] padded with -1, float32[n, k] padded with -inf.

        `excluded` bool[n, n_items] marks items left out. Override where an index is faster than scoring everything.
        """
        parts = chunks(len(users), self.n_items)
        if len(parts) == 1:  # a single request needs no copies of rows
            return top_k(mask_excluded(self.score(users), excluded), k)
        items = np.empty((len(users), k), np.int32)
        scores = np.empty((len(users), k), np.float32)
        for rows in parts:
            chunk = self.score(users.take(np.arange(rows.start, rows.stop)))
            items[rows], scores[rows] = top_k(mask_excluded(chunk, None if excluded is None else excluded[rows]), k)
        return items, scores

    @property
    def indexed(self) -> bool:
        """Whether `retrieve` finds the best items without scoring everything."""
        return type(self).retrieve is not Recommender.retrieve

    @property
    def index_recall(self) -> float | None:
        """Share of the exact 100 best items that the index finds, measured when the model was fitted; of a composite
        the least of its parts; None: nothing is approximate."""
        found = [recall for part in self.parts().values() if (recall := part.index_recall) is not None]
        return min(found, default=None)

    def rank_scored(
        self,
        users: Users,
        k: int,
        excluded: sparse.csr_matrix | None = None,
        candidates: NDArray[np.int32] | None = None,
    ) -> Ranking:
        """The k best items of each user, all of whom `can_score` marks, and the model used for each.

        `excluded` bool[n, n_items] marks items left out; `candidates` int32[m], ascending, are the only items ranked.
        """
        if candidates is None:
            items, scores = self.retrieve(users, k, excluded)
        else:
            items, scores = top_k_of(self.score(users, candidates), candidates, excluded, k)
        return Ranking(items, scores, np.full(len(users), self.name, dtype=object))

    def explain(self, users: Users, item: int) -> Explanation:
        """Why the one user of `users` should be shown `item`. By default: what of the history is nearest to it by the
        model's own vectors, or, where the model has none, how many users chose it."""
        vectors, liked = self.item_vectors(), users.items[users.weights > 0]
        if vectors is None or not len(liked):
            return by_popularity(self.train_, item)
        score = float(self.scores_of(users, np.array([item], np.int32))[0, 0])
        return by_nearest(self.name, score, self.train_, self.catalogue_, item, liked, vectors)

    @property
    def request_keys(self) -> frozenset[str]:
        """What of a request its scores depend on besides the history: keys of `Users.given`. By default its parts'."""
        return frozenset(key for part in self.parts().values() for key in part.request_keys)

    def unlearned(self, given: Columns) -> list[str]:
        """Keys of `given` (one value each), among `request_keys`, whose value training has not met. By default what
        none of its parts has."""
        return [key for part in self.parts().values() for key in part.unlearned(given)]

    @property
    def probabilities(self) -> bool:
        """Whether `score` is the probability that the user takes the item, among what training showed the model."""
        return False

    @property
    def early_stopping(self) -> bool:
        """Whether a fit watches validation rows to choose its length (`patience` epochs without a gain)."""
        return getattr(self.params, "patience", 0) > 0

    @property
    def watches_validation(self) -> bool:
        """Whether a fit reads validation rows: for its length, or to choose among models. What it found is in
        `fitted_params_`, and the model is then fitted again with them on all rows."""
        return self.early_stopping

    @property
    def steps_planned(self) -> int | None:
        """How many times a fit will report, for its progress bar; None if that is open."""
        return getattr(self.params, "epochs", None) or getattr(self.params, "iterations", None)

    @property
    def step_name(self) -> str:
        """What a step of the fit is called."""
        return "iteration" if hasattr(self.params, "iterations") else "epoch"

    @property
    def ranking_note(self) -> str:
        """Which of its parts ranks which users, where that is not the model as a whole; else nothing."""
        return ""

    @property
    def curve_note(self) -> str:
        """What a reader of the learning curve has to know of it: one sentence, or nothing."""
        return ""

    def feature_importance(self) -> dict[str, float]:
        """Gain of each feature, for models that have features."""
        return {}

    def mean_contributions(self, users: Users) -> dict[str, float]:
        """Mean absolute contribution (SHAP) of each feature to these users' scores, for models that have features."""
        return {}

    # -- fitting and loading --------------------------------------------------------------------------------

    @property
    def n_items(self) -> int:
        """Number of items of the trained catalogue."""
        return self.train_.n_items

    def fit(
        self,
        train: Interactions,
        *,
        seed: int = 0,
        validation: Interactions | None = None,
        catalogue: Catalogue | None = None,
        report: Report = silent,
        checkpoint: Path | None = None,
        start: Recommender | None = None,
        teacher: Recommender | None = None,
        backend: str = "local",
        seconds: float = 0.0,
        shared: Any = None,
    ) -> Self:
        """Learn from scratch, or, where the model `warm_starts`, from what `start` had learnt; parameters as in
        `Fitting`. A `start` of another class is ignored, and so is a `teacher` of a model that does not learn from one.

        Where `train` is not ordered, parameters that read an order are off (`ModelParams.without_order`).

        Raises `TooLittleData` if `train` has fewer positive interactions than the model needs, `NoOrder` if the model
        needs an order that `train` has not, `ConfigError` if it is no model for the `backend`, `OutOfMemory`.
        """
        if backend == "spark" and not self.fits_on_spark:
            raise ConfigError(f"backend = spark for {self.name}", rule="Spark fits als", fix="Use backend=local")
        if not train.ordered:
            self._forget_order()
        positives = int((train.weight > 0).sum())
        if positives < self.minimum_positives:
            raise TooLittleData(
                f"{positives} positive interactions",
                rule=f"{self.name} needs at least {self.minimum_positives}",
                fix="Give more data or choose another model",
            )
        self.attach(train, catalogue)
        self.fitted_params_ = {}
        with memory.told_by_setting(self.name, self.params):
            begin = start if self.warm_starts and type(start) is type(self) else None
            teaches = teacher if self.distils and type(teacher) is type(self) else None
            given = Fitting(
                seed,
                validation,
                self.catalogue_,
                report,
                checkpoint,
                begin,
                teaches,
                backend=backend,
                seconds=seconds,
                shared=shared,
            )
            self._fit(train, given)
        return self

    def updated(
        self, train: Interactions, *, catalogue: Catalogue | None = None, seed: int = 0, refresh: bool = True
    ) -> Self:
        """This model for `train`, rows with users and items that it may not know, without what takes long of a fit; the
        model itself stays as it is. `refresh`: what changed is learnt anew, too, and not only what is new.

        Raises `ConfigError` where the model has to be trained again.
        """
        model = type(self)(self.params).attach(train, catalogue)
        model.fitted_params_ = dict(self.fitted_params_)
        model._update(self, Fitting(seed, None, model.catalogue_, silent, None, refresh=refresh))
        return model

    def _forget_order(self) -> None:
        if self.needs_order:
            raise NoOrder(
                f"{self.name} on unordered data",
                rule="it learns from what follows what, and nothing here says what came first",
                fix="Train a model that needs no order, such as als, ease, slim, spectral or knn, or give real times",
            )
        before, self.params = self.params, self.params.without_order()
        off = [name for name in type(before).model_fields if getattr(before, name) != getattr(self.params, name)]
        if off:
            log.info("%s: unordered data, so that what reads an order is off in %s", self.name, ", ".join(off))

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
        """A fitted recommender from its `state()` and `parts()`, the training rows and the catalogue."""
        model = cls(params).attach(train, catalogue)
        model.fitted_params_ = {}
        model._load_parts(parts or {})
        model._load_state(state)
        return model

    # -- ranking and scoring of any users -------------------------------------------------------------------

    def rank(
        self,
        users: Users,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: ArrayLike | None = None,
        exclude: ArrayLike = (),
    ) -> Ranking:
        """The k best items of each user, as indices; by popularity for users whom the model cannot score.

        `candidates` and `exclude` (int[m]) hold for all users of the batch; `exclude_seen` leaves out the items of each
        user's history. Unavailable items of the catalogue are never ranked.
        """
        excluded = self._excluded_items(users, exclude_seen, exclude)
        pool = None if candidates is None else np.unique(np.asarray(candidates, np.int32))
        able = self.can_score(users)
        if able.all() and len(users):  # a single request needs no copies of rows
            return self.rank_scored(users, k, excluded, pool)
        ranking = Ranking.empty(len(users), k)
        for rows, ranked in ((np.flatnonzero(able), self.rank_scored), (np.flatnonzero(~able), self._rank_popular)):
            if len(rows):
                mask = None if excluded is None else excluded[rows]
                ranking.put(rows, ranked(users.take(rows), k, mask, pool))
        return ranking

    def scores_of(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """`score` of candidates (int32[m] or int32[n, m]); popularity for users whom the model cannot score."""
        able = self.can_score(users)
        popular = self.popularity_[items]
        out = np.array(np.broadcast_to(popular, (len(users), items.shape[-1])), dtype=np.float32)
        if able.any():
            own = items if items.ndim == 1 else items[able]
            out[able] = self.score(users if able.all() else users.take(able), own)
        return out

    def _rank_popular(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None, candidates: NDArray[np.int32] | None
    ) -> Ranking:
        pool = np.arange(self.n_items, dtype=np.int32) if candidates is None else candidates
        ranking = Ranking.empty(len(users), k)
        ranking.methods[:] = POPULARITY
        for rows in chunks(len(users), len(pool)):
            scores = np.repeat(self.popularity_[None, pool], rows.stop - rows.start, axis=0)
            mask = None if excluded is None else excluded[rows]
            ranking.items[rows], ranking.scores[rows] = top_k_of(scores, pool, mask, k)
        return ranking

    def _excluded_items(self, users: Users, exclude_seen: bool, exclude: ArrayLike) -> sparse.csr_matrix | None:
        """Unavailable items, those of `exclude`, and each user's seen ones: bool[n, n_items], None: no item."""
        hidden = ~self.catalogue_.available
        hidden[np.asarray(exclude, dtype=np.int64)] = True
        return exclusion_mask(hidden, len(users), users.seen if exclude_seen else None)


__all__ = [
    "POPULARITY",
    "SCORES_AT_ONCE",
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
]
