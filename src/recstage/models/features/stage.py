"""Features from stage one: each retriever's score and rank of the candidate, and their agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, stacked
from recstage.models.rank_fusion import OFFSET


class StageGroup(Group):
    """Three features per retriever, and four of all together."""

    name = "stage"
    of_each = {
        "stage_<retriever>_score": "the retriever's own score; NaN where it cannot score the user",
        "stage_<retriever>_gap": "that score minus the best of the user's candidates",
        "stage_<retriever>_rank": "place in the retriever's list, as log(place)",
    }
    of_all = {
        "stage_lists": "number of retrievers that proposed it",
        "stage_best_rank": "best place in any list, as log(place)",
        "stage_mean_rank": "mean of log(place) over the retrievers",
        "stage_fusion": "sum over the lists it is in of 1 / (60 + place), reciprocal rank fusion",
    }

    def __init__(self, retrievers: Sequence[str]) -> None:
        super().__init__()
        each = {
            key.replace("<retriever>", name): text.replace("the retriever", name)
            for name in retrievers
            for key, text in self.of_each.items()
        }
        self.features = {**each, **self.of_all}

    def learn(self, past: Past) -> None:
        self.arrays = {}

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        ranks = np.log(candidates.ranks)
        gaps = candidates.scores - candidates.best(candidates.scores)
        listed = candidates.ranks <= candidates.depth
        columns = [
            column
            for place in range(candidates.scores.shape[1])
            for column in (candidates.scores[:, place], gaps[:, place], ranks[:, place])
        ]
        fusion = np.where(listed, 1 / (OFFSET + candidates.ranks), 0).sum(axis=1)
        return stacked([*columns, listed.sum(axis=1), ranks.min(axis=1), ranks.mean(axis=1), fusion], len(candidates))
