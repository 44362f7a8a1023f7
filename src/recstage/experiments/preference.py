"""What interleaved lists say: which version's items users chose from one and the same list."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from recstage.experiments.comparison import Difference
from recstage.experiments.interleaving import CHALLENGER
from recstage.experiments.outcomes import ENGAGED


def preference(lists: pd.DataFrame, outcomes: pd.DataFrame) -> Difference:
    """Items chosen per list from the challenger less those from Production, with its variance by user.

    Args:
        lists: interleaved lists: request_id, user_id, item_ids and teams (sequences, aligned).
        outcomes: request_id, item_id, outcome.
    """
    chosen = outcomes[outcomes["outcome"].isin(ENGAGED)].groupby("request_id")["item_id"].agg(set)
    wins = np.zeros((len(lists), 2))
    rows: Sequence = list(lists[["request_id", "item_ids", "teams"]].itertuples(index=False))
    for i, (request_id, item_ids, teams) in enumerate(rows):
        for item in chosen.get(request_id, ()):
            if item in item_ids:
                wins[i, int(teams[item_ids.index(item)] == CHALLENGER)] += 1
    frame = pd.DataFrame({"user_id": lists["user_id"].to_numpy(), "lists": 1.0, "gain": wins[:, 1] - wins[:, 0]})
    sums = frame.groupby("user_id").sum()
    n = len(sums)
    if n < 2:
        return Difference(math.nan, math.nan, math.nan, math.inf, n, len(lists))
    rate = float(sums["gain"].sum() / sums["lists"].sum())
    linear = (sums["gain"] - rate * sums["lists"]).to_numpy()
    error = math.sqrt(float(np.var(linear, ddof=1)) / n) / float(sums["lists"].mean())
    means = wins.mean(axis=0)
    return Difference(float(means[0]), float(means[1]), rate, error, n, len(lists))
