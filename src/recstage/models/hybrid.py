"""Routes each user to the models that rank best for users with as long a history, and skips models that fail.

A switching and weighted hybrid in the sense of Burke, "Hybrid Recommender Systems: Survey and Experiments" (2002): the
number of interactions chooses a segment, the segment an ensemble. If an ensemble cannot score a user, the other
components follow in order, and popularity last. Given validation rows, a fit chooses the ensembles by them
(`recstage.models.composition.selection`): the best single model of a segment, or an ensemble that is clearly better.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.data.segments import SEGMENTS, segments_of
from recstage.errors import DataError, OutOfMemory, valid_names
from recstage.models import base, rank_fusion
from recstage.models.composition import Components, named, updated_parts, without_order
from recstage.models.composition.presets import with_best_preset
from recstage.models.composition.selection import (
    FEWEST_USERS,
    HeldOutUsers,
    best_of,
    best_single,
    in_words,
    single_or_ensemble,
)
from recstage.models.explanation import by_popularity
from recstage.models.ranking import top_k_of

logger = logging.getLogger(__name__)

SHARES = (0.7, 0.5)
"""Weights of the first model that are tried on validation."""
LARGEST_ENSEMBLE = 3
Combine = Literal["rank", "minmax"]
Ensemble = tuple[tuple[str, ...], float]
"""Names of models, and the weight of the first; a single model has the weight 1."""


class HybridParams(base.ModelParams):
    """Hyperparameters of `Hybrid`.

    In each segment the first model has the segment's share of the fused score, the next the same share of what is left,
    and so on; the last has the rest.
    """

    components: Components = Field(
        named("content", "graph", "popularity", "als", "two-tower"),
        min_length=1,
        description="models, in the order in which they replace models that cannot score a user",
    )
    unordered: Components = Field(
        (), description="the components where nothing says what came first; empty: those of `components` that can be"
    )
    select: bool = Field(
        True, description="given validation rows, choose each segment's models and weights by them; false: as named"
    )
    cold: tuple[str, ...] = Field(
        ("content", "graph", "popularity"), min_length=1, description="models used for cold users"
    )
    warm: tuple[str, ...] = Field(("als",), min_length=1, description="models used for warm users")
    hot: tuple[str, ...] = Field(("two-tower", "als"), min_length=1, description="models used for hot users")
    cold_below: int = Field(5, ge=1, description="users with fewer interactions are cold")
    hot_from: int = Field(20, ge=2, description="users with at least so many interactions are hot")
    cold_share: float = Field(0.5, gt=0, le=1, description="weight of the first model used for cold users")
    warm_share: float = Field(0.5, gt=0, le=1, description="weight of the first model used for warm users")
    hot_share: float = Field(0.5, gt=0, le=1, description="weight of the first model used for hot users")
    combine: Combine = Field(
        "rank", description="fused are 61 / (60 + rank) among unseen items, or scores scaled to 0..1 over them"
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

    def without_order(self) -> HybridParams:
        """Without the components that need an order. A segment that named no other uses those that are left."""
        kept = without_order(self.unordered or self.components)
        names = [one.name for one in kept]
        personal = tuple(name for name in names if name != base.POPULARITY) or tuple(names)
        segments = {one: tuple(name for name in getattr(self, one) if name in names) or personal for one in SEGMENTS}
        return self.model_copy(update={"components": kept, "unordered": (), **segments})

    def with_ensembles(self, chosen: Mapping[str, Ensemble], kept: Collection[str]) -> HybridParams:
        """With an ensemble for each segment, the components `kept` alone, and nothing left to be selected."""
        values: dict[str, Any] = {"select": False, "unordered": ()}
        for segment, (names, share) in chosen.items():
            values |= {segment: names, f"{segment}_share": share}
        return self.model_copy(
            update={"components": tuple(one for one in self.components if one.name in kept), **values}
        )

    def weights(self, segment: str) -> dict[str, float]:
        """Weight of each model of a segment ('cold', 'warm', 'hot') in the fused score; they sum to 1."""
        names, share = getattr(self, segment), getattr(self, f"{segment}_share")
        return dict(zip(names, rank_fusion.weights(len(names), share), strict=True))


class Hybrid(base.Recommender):
    """Fuses the scores of models, by segment, each on the scale 0 to 1.

    A component that raises, is missing or cannot score a user is left out and its weight goes to the others. Methods
    name the models used: "hybrid:two-tower+als".
    """

    name = "hybrid"
    Params = HybridParams
    folds_in = True

    parts_: dict[str, base.Recommender]

    @property
    def watches_validation(self) -> bool:
        """Whether a fit chooses the models of each segment by validation rows."""
        return bool(self.params.select)

    @property
    def ranking_note(self) -> str:
        by_segment = {segment: getattr(self.params, segment) for segment in SEGMENTS}
        alone = any(len(names) == 1 for names in by_segment.values())
        return in_words({one: "+".join(names) for one, names in by_segment.items()}) if alone else ""

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        self.parts_ = {}
        held = HeldOutUsers.of_fit(self.name, self.params, train, fitting)
        refused: list[DataError | OutOfMemory] = []
        components = list(self.params.components)
        for place, component in enumerate(components):
            try:
                if held is not None:
                    components[place] = with_best_preset(component, train, fitting, held)
                self.parts_[component.name] = components[place].fit(train, fitting)
            except (DataError, OutOfMemory) as error:
                logger.warning("hybrid is fitted without %s: %s", component.name, error)
                refused.append(error)
        if not self.parts_:
            raise refused[0]
        if held is not None:
            self.params = self.params.model_copy(update={"components": tuple(components)})
            self._select(held)

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """Every part is updated; what ranks each segment stays. Raises `ConfigError` where a part cannot be."""
        self.parts_ = updated_parts(self, before.parts_, fitting)

    # -- choosing the models of each segment ---------------------------------------------------------

    def _select(self, held: HeldOutUsers) -> None:
        """Set the ensembles of the segments, and `fitted_params_` for a fit with validation rows among the others."""
        params: HybridParams = self.params
        gains = {name: held.of_model(part) for name, part in self.parts_.items()}
        everyone = np.arange(len(held))
        if len(gains) > 1:
            self.params = params = params.model_copy(update={"combine": self._best_way(held, gains, everyone)})
        overall = self._best_for(held, gains, everyone, [])
        chosen: dict[str, Ensemble] = {}
        for segment in SEGMENTS:
            rows = np.flatnonzero(held.segment == segment)
            few = len(rows) < FEWEST_USERS
            chosen[segment] = overall if few else self._best_for(held, gains, rows, self._asked(segment))
            names, share = chosen[segment]
            by = f"{'+'.join(names)}, the first {share:.2g}" if len(names) > 1 else names[0]
            logger.info("hybrid: %s users by %s, chosen on %d users", segment, by, len(everyone if few else rows))
        self.params = params.with_ensembles(chosen, self._kept(chosen, gains))
        self.parts_ = {one.name: self.parts_[one.name] for one in self.params.components}
        shares = (f"{segment}_share" for segment in SEGMENTS)
        found = ("components", "unordered", "select", "combine", *SEGMENTS, *shares)
        self.fitted_params_ = {name: getattr(self.params, name) for name in found}

    def _best_way(
        self, held: HeldOutUsers, gains: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]
    ) -> Combine:
        """The way of fusing with the best ensemble, that of the parameters first among equal ones."""
        options = _ensembles(best_single(gains, rows), gains, rows)
        found: dict[Combine, NDArray[np.float64]] = {}
        for way in dict.fromkeys((self.params.combine, *get_args(Combine))):
            self.params = self.params.model_copy(update={"combine": way})
            values = held.of_scores(self._fused_by, options, rows, ~self.catalogue_.available)
            found[way] = values[best_of(values)]
        return best_of(found)

    def _best_for(
        self,
        held: HeldOutUsers,
        gains: Mapping[str, NDArray[np.float64]],
        rows: NDArray[np.int64],
        asked: list[Ensemble],
    ) -> Ensemble:
        """The best for the users at `rows`: a single model, one of `asked`, or an ensemble of their two or three best
        models."""
        single = best_single(gains, rows)
        alone: Ensemble = ((single,), 1.0)
        options = list(dict.fromkeys([*asked, *_ensembles(single, gains, rows)]))
        values = held.of_scores(self._fused_by, options, rows, ~self.catalogue_.available)
        return single_or_ensemble(alone, gains[single][rows], values)

    def _asked(self, segment: str) -> list[Ensemble]:
        """The ensemble of the parameters, if it is one."""
        names = tuple(name for name in getattr(self.params, segment) if name in self.parts_)
        return [(names, float(getattr(self.params, f"{segment}_share")))] if len(names) > 1 else []

    def _fused_by(self, options: Sequence[Ensemble], users: Users) -> dict[Ensemble, NDArray[np.float32]]:
        """The fused scores of each ensemble: float32[n, n_items]."""
        return {
            (names, share): self._ensemble(
                dict(zip(names, rank_fusion.weights(len(names), share), strict=True)), users
            )[1]
            for names, share in options
        }

    def _kept(self, chosen: Mapping[str, Ensemble], gains: Mapping[str, NDArray[np.float64]]) -> set[str]:
        """The components that serve users: the chosen ones, popularity, and, for users whom a segment's models
        cannot score, the best one that folds histories in."""
        kept = {name for names, _ in chosen.values() for name in names}
        if not all(any(self.parts_[name].folds_in for name in names) for names, _ in chosen.values()):
            able = {name: values for name, values in gains.items() if self.parts_[name].folds_in}
            kept |= {max(able, key=lambda name: float(able[name].mean()))} if able else set()
        return kept | ({base.POPULARITY} & self.parts_.keys())

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return base.gather(self._fused(users)[0], items)

    def rank_scored(
        self,
        users: Users,
        k: int,
        excluded: sparse.csr_matrix | None = None,
        candidates: NDArray[np.int32] | None = None,
    ) -> base.Ranking:
        """As the base does, with the parts used for each user as its method."""
        pool = np.arange(self.n_items, dtype=np.int32) if candidates is None else candidates
        ranking = base.Ranking.empty(len(users), k)
        for rows in base.chunks(len(users), self.n_items):
            fused, methods = self._fused(users.take(np.arange(rows.start, rows.stop)))
            mask = None if excluded is None else excluded[rows]
            ranking.put(rows, base.Ranking(*top_k_of(fused[:, pool], pool, mask, k), methods))
        return ranking

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The explanation of the first model used for the user; the item's popularity if that model fails."""
        used = self._fused(users)[1][0].partition(":")[2].split("+")[0]
        try:
            found = self.parts_[used].explain(users, item)
            return found if found.method == base.POPULARITY else replace(found, method=f"{self.name}:{used}")
        except Exception as error:  # whatever a component does, the user gets an explanation
            logger.warning("hybrid explains without %s: %s: %s", used, type(error).__name__, error)
            return by_popularity(self.train_, item)

    def item_vectors(self) -> NDArray[np.float32] | None:
        vectors = (part.item_vectors() for part in self.parts_.values())
        return next((found for found in vectors if found is not None), None)

    # -- fusing --------------------------------------------------------------------------------------

    def segments(self, users: Users) -> NDArray[np.object_]:
        """Each user's segment by the length of their history: object[n] of 'cold', 'warm', 'hot'."""
        return segments_of(users.lengths, self.params.cold_below, self.params.hot_from)

    def _fused(self, users: Users) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
        """Fused scores of the whole catalogue, float32[n, n_items], and the method of each user, object[n].

        First each segment's ensemble, then the components in order for users whom no model has scored yet, then
        popularity for those still left.
        """
        fused = np.zeros((len(users), self.n_items), np.float32)
        methods = np.full(len(users), base.POPULARITY, dtype=object)
        segment, waiting = self.segments(users), self.can_score(users)
        ensembles = [(self.params.weights(name), segment == name) for name in SEGMENTS]
        fallbacks = [({component.name: 1.0}, np.ones(len(users), bool)) for component in self.params.components]
        for weights, chosen in (*ensembles, *fallbacks):
            rows = np.flatnonzero(waiting & chosen)
            if not len(rows):
                continue
            scored, scores, names = self._ensemble(weights, users.take(rows))
            done = rows[scored]
            fused[done] = scores[scored]
            methods[done] = [f"{self.name}:{used}" for used in names[scored]]
            waiting[done] = False
        fused[methods == base.POPULARITY] = self.popularity_
        return fused, methods

    def _ensemble(
        self, weights: Mapping[str, float], users: Users
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.object_]]:
        """Weighted mean of the named models' scores, for users whom any of them can score.

        Returns bool[n] (whether any could), float32[n, n_items] and the names of the models used, "A+B": object[n].
        """
        fuse = rank_fusion.by_rank if self.params.combine == "rank" else rank_fusion.by_range
        unseen = ~users.seen.toarray()
        fused = np.zeros((len(users), self.n_items), np.float32)
        total = np.zeros(len(users), np.float32)
        names = np.full(len(users), "", dtype=object)
        for name, weight in weights.items():
            rows, scores = self._scores_of_part(name, users)
            if len(rows):
                fused[rows] += np.float32(weight) * fuse(scores, unseen[rows])
                total[rows] += weight
                names[rows] = [f"{used}+{name}" if used else name for used in names[rows]]
        scored = total > 0
        fused[scored] /= total[scored, None]  # weights of models that were left out go to the others
        return scored, fused, names

    def _scores_of_part(self, name: str, users: Users) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The users (rows) whom a component can score, and their scores of the whole catalogue; none if it fails."""
        none = np.empty(0, np.int64), np.empty((0, self.n_items), np.float32)
        part = self.parts_.get(name)
        if part is None:
            return none
        try:
            rows = np.flatnonzero(part.can_score(users))
            scores = part.score(users.take(rows)) if len(rows) else none[1]
        except Exception as error:  # whatever a component does, the user gets a list
            logger.warning("hybrid ranks without %s: %s: %s", name, type(error).__name__, error)
            return none
        if not np.isfinite(scores).all():
            logger.warning("hybrid ranks without %s: scores that are not finite", name)
            return none
        return rows, scores

    # -- saving --------------------------------------------------------------------------------------

    def parts(self) -> dict[str, base.Recommender]:
        return dict(self.parts_)

    def _load_parts(self, parts: Mapping[str, base.Recommender]) -> None:
        self.parts_ = dict(parts)

    def state(self) -> dict[str, NDArray]:
        return {}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        """All fitted values are in the parts."""


def _ensembles(single: str, gains: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]) -> list[Ensemble]:
    """The single model with the one or two next best for the users at `rows`."""
    best = sorted(gains, key=lambda name: (name != single, -float(gains[name][rows].mean())))[:LARGEST_ENSEMBLE]
    return [(tuple(best[:n]), share) for n in range(2, len(best) + 1) for share in SHARES]
