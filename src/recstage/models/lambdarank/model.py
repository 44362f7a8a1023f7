"""A second stage: gradient-boosted trees that rank the candidates of several retrievers by LambdaRank.

Burges, "From RankNet to LambdaRank to LambdaMART: An Overview" (2010), in LightGBM's implementation. The retrievers and
the features are fitted to the rows before the labels; then, with the trees fixed, to all rows. Given validation rows, a
fit compares the trees with the best retriever alone, segment by segment, and ranks by what is better there
(`recstage.models.composition.selection`).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.data.segments import SEGMENTS, segments_of
from recstage.data.tables.values.columns import Columns
from recstage.models import base, rank_fusion
from recstage.models.composition import updated_parts
from recstage.models.composition.selection import FEWEST_USERS, HeldOutUsers, best_single, in_words, single_or_ensemble
from recstage.models.features import Candidates, FeatureTable
from recstage.models.lambdarank.by_profile import PROFILE, ranked_by_profile, scores_by_profile
from recstage.models.lambdarank.candidate_features import FittedStage, feature_table, iter_candidate_features
from recstage.models.lambdarank.explanations import PLAIN_WORDS, explanation_of
from recstage.models.lambdarank.params import BOTH, TREES, LambdaRankParams
from recstage.models.lambdarank.training import Training
from recstage.models.lambdarank.trees import Trees
from recstage.models.moment import CONTEXT_KEY, PROFILE_KEY

log = logging.getLogger(__name__)
BELOW = 1.5
"""Subtracted from the fused scores (at most 1) of items that are no candidates: they rank below every candidate."""
FIRST_WEIGHT = 0.5
"""Weight of the first retriever in those fused scores; the next has half of what is left, and so on."""


class LambdaRank(base.Recommender):
    """Gradient-boosted trees (LightGBM's LambdaRank) order the candidates that several retrievers propose.

    Candidates have scores from 0; all other items follow with scores below 0, by rank fusion of the retrievers. Items
    that a user has seen are never candidates.
    """

    name = "lambdarank"
    Params = LambdaRankParams
    folds_in = True
    minimum_positives = 100
    retrievers_: dict[str, base.Recommender]
    table_: FeatureTable
    trees_: Trees

    @property
    def early_stopping(self) -> bool:
        """False: a fit holds out rows of its own to choose its length."""
        return False

    @property
    def watches_validation(self) -> bool:
        """Whether a fit chooses by validation rows what ranks each segment."""
        return bool(self.params.select)

    @property
    def steps_planned(self) -> int:
        return self.params.num_boost_round

    @property
    def step_name(self) -> str:
        return "boosting round"

    @property
    def curve_note(self) -> str:
        drawn = self.params.negatives
        if drawn is None:
            return "the trees have learned from the training rows"
        return (
            f"training: rows that the trees learned from, among {drawn} drawn candidates; validation: other users, "
            "among all candidates"
        )

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        held_out_users = HeldOutUsers.of_fit(self.name, self.params, train, fitting)
        training = self.training(train, fitting)
        if held_out_users is not None:
            training.choose_presets(held_out_users)
        if fitting.backend == "ray":
            log.info("%s: its trees are trained in this process: Ray's LightGBM trainer knows no groups", self.name)
        pasts = training.pasts()
        stage = pasts[0].stage
        text, rounds = training.boosted(training.examples(pasts), stage.table.names)
        if training.params.evaluate_only:
            stage = replace(stage, retrievers={name: _serving(one, self) for name, one in stage.retrievers.items()})
        else:
            stage = training.stage(train)
        self.params = training.params
        self.fitted_params_ = {"num_boost_round": rounds}
        self.use(stage, text)
        if held_out_users is not None:
            self._select(held_out_users)

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """Retrievers are updated and features counted anew; the trees stay. Raises `ConfigError` where a retriever
        cannot be updated."""
        retrievers = updated_parts(self, before.retrievers_, fitting)
        features = self.training(self.train_, fitting).features_of(self.train_, list(retrievers))
        self.use(FittedStage(retrievers, features), before.trees_.text)

    def training(self, train: Interactions, fitting: base.Fitting) -> Training:
        """A training with these params."""
        return Training(self.params, train, fitting, self._excluded)

    def use(self, stage: FittedStage, text: str) -> Self:
        """Rank by these retrievers, features and trees (LightGBM's text) from now on."""
        self.retrievers_, self.table_, self.trees_ = stage.retrievers, stage.table, Trees(text)
        return self

    def _select(self, held: HeldOutUsers) -> None:
        """Set what ranks each segment, and `fitted_params_` for a fit with validation rows among the others."""
        self.params = self.params.model_copy(update={f"{one}_by": TREES for one in SEGMENTS})
        gains = {name: held.of_model(retriever) for name, retriever in self.retrievers_.items()}
        trees = held.of_model(self)
        everyone, chosen = np.arange(len(held)), {}
        for segment in SEGMENTS:
            rows = np.flatnonzero(held.segment == segment)
            rows = everyone if len(rows) < FEWEST_USERS else rows
            single = best_single(gains, rows)
            both = held.of_scores(self._scores_by, [BOTH + single], rows, ~self.catalogue_.available)
            chosen[f"{segment}_by"] = single_or_ensemble(single, gains[single][rows], {TREES: trees[rows], **both})
            log.info("lambdarank: %s users by %s, chosen on %d users", segment, chosen[f"{segment}_by"], len(rows))
        self.params = self.params.model_copy(update=chosen)
        self.fitted_params_ = {**chosen, "retrievers": self.params.retrievers, "unordered": (), "select": False}

    @property
    def ranking_note(self) -> str:
        by_segment = {segment: self.params.ranked_by(segment) for segment in SEGMENTS}
        return "" if set(by_segment.values()) == {TREES} else in_words(by_segment)

    @property
    def request_keys(self) -> frozenset[str]:
        own = {f"{PROFILE_KEY}{name}" for name in self.params.user_attributes}
        own |= {f"{CONTEXT_KEY}{name}" for name in self.params.context}
        return super().request_keys | own

    def unlearned(self, given: Columns) -> list[str]:
        return [*super().unlearned(given), *self.table_.unlearned(given)]

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        """Also users without a history of whom an attribute is known (`by_profile`)."""
        return super().can_score(users) | ranked_by_profile(self.table_, users)

    # -- ranking ----------------------------------------------------------------------------------------

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        out = np.empty((len(users), self.n_items if items is None else items.shape[-1]), np.float32)
        for name, rows in self._ways(users):
            own = items[rows] if items is not None and items.ndim == 2 else items
            out[rows] = self._score_by(name, users if len(rows) == len(users) else users.take(rows), own)
        return out

    def _ways(self, users: Users) -> list[tuple[str, NDArray[np.int64]]]:
        """What ranks which users (rows): by segment, or by the profile alone."""
        names = np.array([self.params.ranked_by(segment) for segment in SEGMENTS], dtype=object)
        new = ranked_by_profile(self.table_, users)
        if len(set(names)) == 1 and not new.any():
            return [(names[0], np.arange(len(users)))]
        segment = segments_of(users.lengths, self.params.cold_below, self.params.hot_from)
        way = names[np.array([SEGMENTS.index(one) for one in segment], np.int64)]
        way[new] = PROFILE
        return [(name, np.flatnonzero(way == name)) for name in dict.fromkeys(way)]

    def _score_by(self, name: str, users: Users, items: NDArray[np.int32] | None) -> NDArray[np.float32]:
        """`score` by the trees, by a retriever, or by the ranks of both with equal weights."""
        asked = np.arange(self.n_items, dtype=np.int32) if items is None else items
        if name == TREES:
            return self._score_by_trees(users, asked)
        if name == PROFILE:
            return base.gather(scores_by_profile(self.table_, users, self.train_), items)
        if not name.startswith(BOTH):
            return self.retrievers_[name].scores_of(users, asked)
        unseen, everything = ~users.seen.toarray(), np.arange(self.n_items, dtype=np.int32)
        alone = self.retrievers_[name.removeprefix(BOTH)].scores_of(users, everything)
        fused = rank_fusion.by_rank(self._score_by_trees(users, everything), unseen)
        fused += rank_fusion.by_rank(alone, unseen)
        return base.gather(np.divide(fused, 2, out=fused), items)

    def _scores_by(self, names: Sequence[str], users: Users) -> dict[str, NDArray[np.float32]]:
        return {name: self._score_by(name, users, None) for name in names}

    def _score_by_trees(self, users: Users, asked: NDArray[np.int32]) -> NDArray[np.float32]:
        out = np.empty((len(users), asked.shape[-1]), np.float32)
        wide = np.broadcast_to(asked, out.shape)
        for rows, candidates, values in self._ranked(users):
            order = self._below(candidates)
            order[candidates.row, candidates.item] = values
            out[rows] = base.gather(order, wide[rows])
        return out

    def retrieve(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        ways = self._ways(users)
        if len(ways) == 1:
            return self._retrieve_by(ways[0][0], users, k, excluded)
        items = np.empty((len(users), k), np.int32)
        scores = np.empty((len(users), k), np.float32)
        for name, rows in ways:
            mask = None if excluded is None else excluded[rows]
            items[rows], scores[rows] = self._retrieve_by(name, users.take(rows), k, mask)
        return items, scores

    def _retrieve_by(
        self, name: str, users: Users, k: int, excluded: sparse.csr_matrix | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if name != TREES:
            return super().retrieve(users, k, excluded)
        items = np.full((len(users), k), -1, np.int32)
        scores = np.full((len(users), k), -np.inf, np.float32)
        for rows, candidates, values in self._ranked(users):
            if excluded is not None and len(candidates):
                values[np.asarray(excluded[rows][candidates.row, candidates.item]).ravel()] = -np.inf
            items[rows], scores[rows] = _best(candidates, values, k)
        short = np.flatnonzero((items < 0).any(axis=1))
        if len(short):  # fewer candidates than k: the other items follow
            some = None if excluded is None else excluded[short]
            items[short], scores[short] = super().retrieve(users.take(short), k, some)
        return items, scores

    def _ranked(self, users: Users) -> Iterator[tuple[slice, Candidates, NDArray[np.float32]]]:
        """Candidates of the users, some rows at a time, with the score of each pair."""
        for rows, candidates, values in self._candidate_features(users):
            yield rows, candidates, self.trees_.scores(values)

    def _candidate_features(self, users: Users) -> Iterator[tuple[slice, Candidates, NDArray[np.float32]]]:
        return iter_candidate_features(self.retrievers_, self.table_, users, self.params.candidates, self._excluded)

    def _excluded(self, users: Users) -> sparse.csr_matrix | None:
        """Items that are no candidates: those that a user has seen, and unavailable ones."""
        return self._excluded_items(users, True, ())

    def _below(self, candidates: Candidates) -> NDArray[np.float32]:
        """Scores of all items as if none were a candidate: fused ranks, below 0. float32[n, n_items]."""
        unseen = ~candidates.users.seen.toarray()
        fused = np.full(unseen.shape, -BELOW, np.float32)
        all_items = np.arange(self.n_items, dtype=np.int32)
        weights = rank_fusion.weights(len(self.retrievers_), FIRST_WEIGHT)
        for weight, retriever, whole in zip(weights, self.retrievers_.values(), candidates.whole, strict=True):
            if whole is None:
                scores = retriever.scores_of(candidates.users, all_items)
            else:  # NaN: users whom the retriever cannot score
                scores = np.where(np.isnan(whole), retriever.popularity_, whole)
            fused += np.float32(weight) * rank_fusion.by_rank(scores, unseen)
        return fused

    # -- explaining -------------------------------------------------------------------------------------

    def explain(self, users: Users, item: int) -> base.Explanation:
        """What each feature adds to the score of the trees, and in words what the first retriever says, which names
        items; those that are no candidates are explained by it alone, and those of users whom a retriever alone ranks
        by that one."""
        name = self._ways(users)[0][0]
        if name in self.retrievers_:
            return self.retrievers_[name].explain(users, item)
        if name == PROFILE:
            score = float(scores_by_profile(self.table_, users, self.train_)[0, item])
            return base.Explanation(self.name, score, f"Reasons for it: {PLAIN_WORDS[PROFILE]}.", ())
        first = next(iter(self.retrievers_.values()))
        for _, candidates, values in self._candidate_features(users):
            place = np.flatnonzero(candidates.item == item)
            if len(place):
                found = explanation_of(self.table_, self.trees_.contributions(values[place])[0], self.name)
                more = first.explain(users, item).text if first.can_score(users)[0] else ""
                return replace(found, text=f"{found.text} {more}".strip())
        return first.explain(users, item)

    def feature_importance(self) -> dict[str, float]:
        """Gain of each feature in training, highest first."""
        return dict(sorted(zip(self.table_.names, self.trees_.gains(), strict=True), key=lambda pair: -pair[1]))

    def mean_contributions(self, users: Users) -> dict[str, float]:
        """Mean absolute contribution of each feature to the scores of these users' candidates, highest first."""
        total, n = np.zeros(len(self.table_.names)), 0
        for _, candidates, values in self._candidate_features(users):
            total += np.abs(self.trees_.contributions(values)[:, :-1]).sum(axis=0)
            n += len(candidates)
        means = (total / max(1, n)).tolist()
        return dict(sorted(zip(self.table_.names, means, strict=True), key=lambda pair: -pair[1]))

    # -- saving -----------------------------------------------------------------------------------------

    def first_stages(self) -> dict[str, base.Recommender]:
        return dict(self.retrievers_)

    def parts(self) -> dict[str, base.Recommender]:
        return dict(self.retrievers_)

    def _load_parts(self, parts: Mapping[str, base.Recommender]) -> None:
        self.retrievers_ = {retriever.name: parts[retriever.name] for retriever in self.params.retrievers}

    def state(self) -> dict[str, NDArray]:
        return {"booster": np.frombuffer(self.trees_.text.encode(), np.uint8), **self.table_.state()}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        table = feature_table(self.params, list(self.retrievers_))
        table.load(state)
        self.use(FittedStage(self.retrievers_, table), state["booster"].tobytes().decode())


def _serving(retriever: base.Recommender, by: base.Recommender) -> base.Recommender:
    """The retriever as it is, with the training rows of another model: their histories, and what they have seen."""
    return copy.copy(retriever).attach(by.train_, by.catalogue_)


def _best(candidates: Candidates, values: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each user's k best candidates."""
    n = len(candidates.users)
    width = int(np.diff(candidates.indptr).max(initial=0))
    if not width:
        return np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    place = np.arange(len(candidates)) - candidates.indptr[candidates.row]
    items = np.full((n, width), -1, np.int32)
    scores = np.full((n, width), -np.inf, np.float32)
    items[candidates.row, place], scores[candidates.row, place] = candidates.item, values
    columns, best = base.top_k(scores, k)
    return np.where(columns >= 0, np.take_along_axis(items, np.maximum(columns, 0), axis=1), -1), best


__all__ = ["FittedStage", "LambdaRank"]
