"""Hyperparameters of LambdaRank."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from recstage.data.segments import SEGMENTS
from recstage.errors import valid_names
from recstage.models import base
from recstage.models.composition import Components, named, without_order
from recstage.models.features import GROUPS, OF_ORDER, GroupName

TREES = "trees"
BOTH = "trees+"
"""Before the name of a retriever: the ranks of the trees and of the retriever, fused."""


class LambdaRankParams(base.ModelParams):
    """Hyperparameters of `LambdaRank`."""

    retrievers: Components = Field(
        named("transitions", "als", "knn", "graph"),
        min_length=1,
        description="stage-one models; items that none proposes are ranked by fusion, the first with weight 0.5",
    )
    unordered: Components = Field(
        (), description="the retrievers where nothing says what came first; empty: those of `retrievers` that can be"
    )
    select: bool = Field(
        True, description="given validation rows, choose by them what ranks each segment's users; false: as named"
    )
    cold_by: str = Field(TREES, description="what ranks cold users: trees, a retriever's name, or both: trees+NAME")
    warm_by: str = Field(TREES, description="what ranks warm users")
    hot_by: str = Field(TREES, description="what ranks hot users")
    cold_below: int = Field(5, ge=1, description="users with fewer interactions are cold")
    hot_from: int = Field(20, ge=2, description="users with at least so many interactions are hot")
    candidates: int = Field(100, ge=1, description="best items taken from each retriever")
    groups: tuple[GroupName, ...] = Field(GROUPS, min_length=1, description="groups of features")
    user_attributes: tuple[str, ...] = Field(
        (), description="attributes of users that are features, by name (age, role): of the data set, or of the request"
    )
    context: tuple[str, ...] = Field(
        (), description="what is known of a request that is a feature: device, page, ..., and hour or weekday"
    )
    holdout: Literal["auto", "last", "time"] = Field(
        "auto", description="labels: each user's last rows, all rows after a moment, or as the timestamps allow"
    )
    labels_per_user: int = Field(3, ge=1, description="last rows of each user that become labels")
    page: int = Field(
        1,
        ge=1,
        description="last rows of a history that may share one moment: a label is any of them; 1: none do",
    )
    holdout_share: float = Field(0.1, gt=0, lt=1, description="share of the rows after the moment")
    min_interactions: int = Field(3, ge=1, description="rows before the labels that a user needs to have any")
    lookback_days: float | None = Field(
        None, gt=0, description="rows older than this are used for neither features nor labels (retrievers use all)"
    )
    negatives: int | None = Field(50, ge=1, description="candidates without a label kept in each training group")
    dismissal_gain: float = Field(
        0.5,
        ge=0,
        description="gain of an untouched item over a dismissed one; a positive of grade 1 is 1 above untouched",
    )
    validation_split: float = Field(
        0.15, ge=0, lt=1, description="share of users whose labels are held out to stop the training"
    )
    folds: int = Field(
        5,
        ge=1,
        description="with few labels: so many boosters, each stopped by another part of the users, added; 1: one",
    )
    windows: int = Field(
        3, ge=1, description="with few labels, held out in time: at most so many periods have labels; 1: the last"
    )
    num_boost_round: int = Field(300, ge=1, description="maximum number of trees")
    patience: int = Field(50, ge=0, description="rounds without a gain in validation NDCG@10 that end it; 0: never")
    learning_rate: float = Field(0.08, gt=0, le=1, description="of each round of boosting")
    num_leaves: int = Field(15, ge=2, description="leaves of a tree")
    min_data_in_leaf: int = Field(50, ge=1, description="candidates in a leaf")
    feature_fraction: float = Field(0.5, gt=0, le=1, description="share of the features that a tree may use")
    lambda_l2: float = Field(10.0, ge=0, description="regularisation of the leaves")
    truncation: int = Field(20, ge=1, description="pairs count if one of the two items ranks so high")
    evaluate_only: bool = Field(
        False, description="end once NDCG is reported: retrievers are not refitted with the labels (to compare params)"
    )

    @model_validator(mode="after")
    def _known(self) -> LambdaRankParams:
        names = {one.name for one in (*self.retrievers, *self.unordered)}
        for segment in SEGMENTS:
            name = self.ranked_by(segment)
            if name != TREES and name.removeprefix(BOTH) not in names:
                raise ValueError(f"{segment}_by = {name} is no retriever. {valid_names(name, [TREES, *sorted(names)])}")
        if self.hot_from < self.cold_below:
            raise ValueError(f"hot_from = {self.hot_from} is below cold_below = {self.cold_below}")
        return self

    def ranked_by(self, segment: str) -> str:
        """What ranks users of a segment ('cold', 'warm', 'hot'): `TREES`, a retriever, or `BOTH` with a retriever."""
        return str(getattr(self, f"{segment}_by"))

    def with_retrievers(self, retrievers: Components) -> LambdaRankParams:
        """With these retrievers; what another one would have ranked, the trees rank."""
        names = {one.name for one in retrievers}
        gone = [one for one in SEGMENTS if self.ranked_by(one).removeprefix(BOTH) not in {TREES, *names}]
        trees = {f"{segment}_by": TREES for segment in gone}
        return self.model_copy(update={"retrievers": retrievers, "unordered": (), **trees})

    def without_order(self) -> LambdaRankParams:
        """Without the retrievers and the features that read an order."""
        groups = tuple(group for group in self.groups if group not in OF_ORDER) or ("stage",)
        kept = without_order(self.unordered or self.retrievers)
        return self.with_retrievers(kept).model_copy(update={"groups": groups})
