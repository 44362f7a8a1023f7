"""Features of order: how strongly the candidate follows, and resembles, the items that the user liked last."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recstage.models.features import pairs
from recstage.models.features.candidates import LATEST, Candidates
from recstage.models.features.group import Group, Past, ratio, stacked
from recstage.models.features.pairs import PairTable


class SequenceGroup(Group):
    """Features of pairs (one of the last items, candidate).

    Strength is the damped number of steps from the one to the other, over powers of the frequencies of both, as in the
    transitions model; sums give the n-th last item the weight 1 / n.
    """

    name = "sequence"
    features = {
        "sequence_next_1": "strength of direct steps from the last like to the candidate",
        "sequence_next_3": "the same summed over the last three likes",
        "sequence_near_1": "strength of steps up to 3 from the last like",
        "sequence_near_3": "the same summed over the last three likes",
        "sequence_near_10": "the same summed over the last ten likes",
        "sequence_far_1": "strength of steps up to 20 from the last like",
        "sequence_far_2": "strength of steps up to 20 from the last like but one",
        "sequence_far_3": "strength of steps up to 20 from the last like but two",
        "sequence_far_sum_3": "strength of steps up to 20 summed over the last three likes",
        "sequence_far_sum_5": "the same summed over the last five likes",
        "sequence_far_sum_10": "the same summed over the last ten likes",
        "sequence_far_mean_10": "its plain mean over the last ten likes",
        "sequence_far_max_10": "its highest value over the last ten likes",
        "sequence_far_gap": "the sum over ten minus the best of the user's candidates",
        "sequence_far_links": "share of the last ten likes from which any step leads to the candidate",
        "sequence_far_lag": "which of the last ten likes has the strongest steps to the candidate, 1 is the last",
        "sequence_back_1": "strength of steps up to 20 from the candidate to the last like: the other direction",
        "sequence_back_10": "the same summed over the last ten likes",
        "sequence_direction": "sum over ten forwards minus sum over ten backwards: does it come after, or before",
        "sequence_probability_1": "probability that a step up to 20 from the last like leads to the candidate",
        "sequence_probability_10": "mean of that probability over the last ten likes",
        "sequence_lift_1": "log of that probability over the candidate's share of all steps",
        "sequence_cosine_1": "cosine of the audiences of the candidate and the last like",
        "sequence_cosine_3": "mean cosine with the last three likes",
        "sequence_cosine_5": "mean cosine with the last five likes",
        "sequence_cosine_10": "mean cosine with the last ten likes",
        "sequence_cosine_max": "highest cosine with one of the last ten likes",
        "sequence_cosine_gap": "mean cosine over ten minus the best of the user's candidates",
        "sequence_dismissed": "highest cosine with one of the last ten dismissed items",
    }

    table: PairTable

    def learn(self, past: Past) -> None:
        share = (past.rows.item_counts / max(1, past.rows.item_counts.sum())).astype(np.float32)
        self.load({**PairTable.count(past.rows).arrays(), "share": share})

    def load(self, arrays: Mapping[str, NDArray]) -> None:
        super().load(arrays)
        self.table = PairTable.from_arrays(self.arrays)

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        last = candidates.latest[candidates.row]
        known = last >= 0
        measures = self.table.look_up(last, candidates.item)
        following, near, far, back, cosine, probability = (measures[:, :, place] for place in range(pairs.MEASURES))
        weights = (1 / np.arange(1, LATEST + 1)).astype(np.float32)
        far_sum, back_sum = far @ weights, back @ weights
        mean_cosine = _means(cosine, known, (3, 5, 10))
        columns = [
            following[:, 0],
            following[:, :3] @ weights[:3],
            near[:, 0],
            near[:, :3] @ weights[:3],
            near @ weights,
            far[:, 0],
            far[:, 1],
            far[:, 2],
            far[:, :3] @ weights[:3],
            far[:, :5] @ weights[:5],
            far_sum,
            *_means(far, known, (10,)),
            far.max(axis=1),
            far_sum - candidates.best(far_sum),
            ratio((far > 0).sum(axis=1), known.sum(axis=1)),
            np.where(far.any(axis=1), far.argmax(axis=1) + 1, np.nan),
            back[:, 0],
            back_sum,
            far_sum - back_sum,
            probability[:, 0],
            *_means(probability, known, (10,)),
            np.log((probability[:, 0] + 1e-5) / (self.arrays["share"][candidates.item] + 1e-5)),
            cosine[:, 0],
            *mean_cosine,
            cosine.max(axis=1),
            mean_cosine[-1] - candidates.best(mean_cosine[-1]),
            self._dismissed(candidates),
        ]
        return stacked(columns, len(candidates))

    def _dismissed(self, candidates: Candidates) -> NDArray[np.float32]:
        """Highest cosine with the last dismissed items, NaN without any."""
        out = np.full(len(candidates), np.nan, np.float32)
        concerned = (candidates.dismissed[:, 0] >= 0)[candidates.row]
        if concerned.any():
            measures = self.table.look_up(candidates.dismissed[candidates.row[concerned]], candidates.item[concerned])
            out[concerned] = measures[:, :, pairs.COSINE].max(axis=1)
        return out


def _means(values: NDArray[np.float32], known: NDArray[np.bool_], depths: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Mean over the first few known columns, for each depth."""
    return [ratio(values[:, :depth].sum(axis=1), known[:, :depth].sum(axis=1)) for depth in depths]
