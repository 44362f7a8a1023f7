"""Routes each user to the models that serve people with as much history best, and answers whatever fails.

A switching and weighted hybrid in the sense of Burke, "Hybrid Recommender Systems: Survey and Experiments" (2002): the
number of interactions chooses a segment, the segment an ensemble; what an ensemble cannot answer falls down the chain
of the other components, and at last to popularity.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.errors import TooLittleData, valid_names
from recstage.models import base, rank_fusion
from recstage.models.composition import Components, named

logger = logging.getLogger(__name__)

Segment = Literal["cold", "warm", "hot"]
SEGMENTS: tuple[Segment, ...] = ("cold", "warm", "hot")


class HybridParams(base.ModelParams):
    """Hyperparameters of `Hybrid`. In each segment the first model named has the segment's share of the vote, the next
    the same share of what is left, and so on; the last has the rest."""

    components: Components = Field(
        named("content", "graph", "popularity", "als", "two-tower"),
        min_length=1,
        description="models, in the order in which they stand in for others",
    )
    cold: tuple[str, ...] = Field(
        ("content", "graph", "popularity"), min_length=1, description="who speaks to the cold"
    )
    warm: tuple[str, ...] = Field(("als",), min_length=1, description="who speaks to the warm")
    hot: tuple[str, ...] = Field(("two-tower", "als"), min_length=1, description="who speaks to the hot")
    cold_below: int = Field(5, ge=1, description="users with fewer interactions are cold")
    hot_from: int = Field(20, ge=2, description="users with at least so many interactions are hot")
    cold_share: float = Field(0.5, gt=0, le=1, description="share of the vote of the first model for the cold")
    warm_share: float = Field(0.5, gt=0, le=1, description="share of the vote of the first model for the warm")
    hot_share: float = Field(0.5, gt=0, le=1, description="share of the vote of the first model for the hot")
    combine: Literal["rank", "minmax"] = Field(
        "rank", description="a vote: 61 / (60 + place) among unseen items, or the score scaled to 0..1 over them"
    )

    @model_validator(mode="after")
    def _known(self) -> HybridParams:
        names = [component.name for component in self.components]
        for segment in SEGMENTS:
            for name in getattr(self, segment):
                if name not in names:
                    raise ValueError(f"{segment} names '{name}', which is no component. {valid_names(name, names)}")
        if self.hot_from < self.cold_below:
            raise ValueError(f"hot_from = {self.hot_from} is below cold_below = {self.cold_below}")
        return self

    def votes(self, segment: Segment) -> dict[str, float]:
        """Share of the vote of each model of a segment; they add up to 1."""
        names, share = getattr(self, segment), getattr(self, f"{segment}_share")
        return dict(zip(names, rank_fusion.shares(len(names), share), strict=True))


class Hybrid(base.Recommender):
    """Votes of models, each on the scale 0 to 1, by segment. A component that raises, is missing or cannot score a user
    is left out and its share goes to the others. Methods name those that spoke: "hybrid:two-tower+als"."""

    name = "hybrid"
    Params = HybridParams
    folds_in = True

    parts_: dict[str, base.Recommender]

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        self.parts_ = {}
        refused: list[TooLittleData] = []
        for component in self.params.components:
            try:
                self.parts_[component.name] = component.fit(train, fitting)
            except TooLittleData as error:
                logger.warning("hybrid goes without %s: %s", component.name, error)
                refused.append(error)
        if not self.parts_:
            raise refused[0]

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return base.gather(self._answer(users)[0], items)

    def answer(self, users: Users, k: int, excluded: sparse.csr_matrix | None = None) -> base.Ranking:
        """`retrieve`, and what spoke for each user."""
        return self._listed(users, k, excluded, np.arange(self.n_items, dtype=np.int32))

    def retrieve(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        ranking = self.answer(users, k, excluded)
        return ranking.items, ranking.scores

    def rank(
        self,
        users: Users,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: ArrayLike | None = None,
        exclude: ArrayLike = (),
    ) -> base.Ranking:
        pool = np.arange(self.n_items, dtype=np.int32) if candidates is None else np.unique(candidates)
        return self._listed(users, k, self._excluded_items(users, exclude_seen, exclude), pool)

    def _listed(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None, pool: NDArray[np.int32]
    ) -> base.Ranking:
        """Each user's k best of the pool (int32[m], ascending)."""
        items, scores = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
        methods = np.empty(len(users), dtype=object)
        for rows in base.chunks(len(users), self.n_items):
            votes, methods[rows] = self._answer(users.take(np.arange(rows.start, rows.stop)))
            base.mask_excluded(votes, None if excluded is None else excluded[rows])
            columns, scores[rows] = base.top_k(votes[:, pool], k)
            items[rows] = np.where(columns >= 0, pool[columns], -1)
        return base.Ranking(items, scores, methods)

    def explain(self, users: Users, item: int) -> base.Explanation:
        """By the first model that speaks to the user; by popularity where that fails."""
        spoke = self._answer(users)[1][0].partition(":")[2].split("+")[0]
        try:
            said = self.parts_[spoke].explain(users, item)
            return said if said.method == base.POPULARITY else replace(said, method=f"{self.name}:{spoke}")
        except Exception as error:  # whatever a component does, the answer must come
            logger.warning("hybrid explains without %s: %s: %s", spoke, type(error).__name__, error)
            return super().explain(users, item)

    def item_vectors(self) -> NDArray[np.float32] | None:
        vectors = (part.item_vectors() for part in self.parts_.values())
        return next((found for found in vectors if found is not None), None)

    # -- voting --------------------------------------------------------------------------------------

    def segments(self, users: Users) -> NDArray[np.int64]:
        """0, 1, 2: the place of each user's segment in `SEGMENTS`."""
        return np.digitize(users.lengths, [self.params.cold_below, self.params.hot_from])

    def _answer(self, users: Users) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
        """Votes for the whole catalogue, float32[n, n_items], and who gave them."""
        votes = np.zeros((len(users), self.n_items), np.float32)
        methods = np.full(len(users), "", dtype=object)
        unseen = ~users.seen.toarray()
        segment, able = self.segments(users), self.can_score(users)
        for place, name in enumerate(SEGMENTS):
            self._ask(self.params.votes(name), np.flatnonzero(able & (segment == place)), users, unseen, votes, methods)
        for component in self.params.components:
            self._ask({component.name: 1.0}, np.flatnonzero(able & (methods == "")), users, unseen, votes, methods)
        silent = methods == ""
        votes[silent], methods[silent] = self.popularity_, base.POPULARITY
        methods[~silent] = [f"{self.name}:{names}" for names in methods[~silent]]
        return votes, methods

    def _ask(
        self,
        shares: Mapping[str, float],
        rows: NDArray[np.int64],
        users: Users,
        unseen: NDArray[np.bool_],
        votes: NDArray[np.float32],
        methods: NDArray[np.object_],
    ) -> None:
        """Let the named models vote for the users of `rows`; sets their `votes` and `methods` where any spoke."""
        total = np.zeros(len(users), np.float32)
        for name, share in shares.items():
            spoken, scores = self._scores_of_part(name, users, rows)
            if len(spoken):
                scale = rank_fusion.by_rank if self.params.combine == "rank" else rank_fusion.by_range
                votes[spoken] += np.float32(share) * scale(scores, unseen[spoken])
                total[spoken] += share
                methods[spoken] = [f"{method}+{name}" if method else name for method in methods[spoken]]
        spoken = rows[total[rows] > 0]
        votes[spoken] /= total[spoken, None]

    def _scores_of_part(
        self, name: str, users: Users, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Which of the rows a component can score, and its scores of the whole catalogue; none where it fails."""
        nobody = np.empty(0, np.int64), np.empty((0, self.n_items), np.float32)
        part = self.parts_.get(name)
        if part is None or not len(rows):
            return nobody
        try:
            able = rows[part.can_score(users.take(rows))]
            scores = part.score(users.take(able)) if len(able) else nobody[1]
        except Exception as error:  # whatever a component does, the answer must come
            logger.warning("hybrid answers without %s: %s: %s", name, type(error).__name__, error)
            return nobody
        if not np.isfinite(scores).all():
            logger.warning("hybrid answers without %s: scores that are not finite", name)
            return nobody
        return able, scores

    # -- saving --------------------------------------------------------------------------------------

    def parts(self) -> dict[str, base.Recommender]:
        return dict(self.parts_)

    def _load_parts(self, parts: Mapping[str, base.Recommender]) -> None:
        self.parts_ = dict(parts)

    def state(self) -> dict[str, NDArray]:
        return {}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        """All that is learnt is in the parts."""
