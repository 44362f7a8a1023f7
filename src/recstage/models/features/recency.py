"""Features of time: the usual place of an item in histories and, if time is a clock, its current trend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.models.features.candidates import Candidates
from recstage.models.features.group import DAY, Group, Past, ratio, stacked

WINDOWS = (7, 30, 90)
TAIL = 0.1
UNKNOWN = -1
"""Value of `now` if timestamps are ranks."""


class RecencyGroup(Group):
    """Places in histories need only an order; ages and trends need a clock, and are NaN without one."""

    name = "recency"
    features = {
        "recency_position": "mean place in the histories it is liked in, as mean log(1 + place), minus that of all",
        "recency_position_spread": "standard deviation of log(1 + place)",
        "recency_position_gap": "log(1 + length of the user's history) minus recency_position",
        "recency_tail_share": "share of its likes that are in the last tenth of a history",
        "recency_head_share": "share of its likes that are in the first tenth of a history",
        "recency_week": "likes in the 7 days before training ended, as log(1 + n); clock only",
        "recency_month": "likes in the last 30 days; clock only",
        "recency_quarter": "likes in the last 90 days; clock only",
        "recency_trend": "log of its share of all likes in the last 30 days over its share of all time; clock only",
        "recency_age": "days since its first like, as log(1 + days); clock only",
        "recency_idle": "days since its latest like, as log(1 + days); clock only",
        "recency_user_idle": "days from the user's last interaction to the end of training; clock only",
        "recency_user_pace": "mean days between the user's interactions, as log(1 + days); clock only",
    }

    def learn(self, past: Past) -> None:
        now = past.now
        table = np.concatenate([self._places(past), self._trends(past, now)], axis=1)
        self.arrays = {"table": table, "now": np.array([UNKNOWN if now is None else now], np.int64)}

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        table, now = self.arrays["table"], int(self.arrays["now"][0])
        users, row = candidates.users, candidates.row
        length = np.log1p(np.bincount(users.rows[users.weights > 0], minlength=len(users))).astype(np.float32)
        own = table[candidates.item]
        out = np.empty((len(candidates), len(self.features)), np.float32)
        out[:, :2], out[:, 2], out[:, 3:11] = own[:, :2], length[row] - own[:, 0], own[:, 2:]
        out[:, 11:] = np.nan
        filled = users.lengths > 0
        if now != UNKNOWN and filled.any():
            whole = np.full((len(users), 2), np.nan, np.float32)
            first = users.timestamps[users.indptr[:-1][filled]]
            last = users.timestamps[users.indptr[1:][filled] - 1]
            whole[filled, 0] = np.log1p(np.maximum(now - last, 0) / DAY)
            whole[filled, 1] = np.log1p((last - first) / DAY / users.lengths[filled])
            out[:, 11:] = whole[row]
        return out

    @staticmethod
    def _places(past: Past) -> NDArray[np.float32]:
        """Mean place, its spread, share in the tail and in the head of histories: float32[n_items, 4]."""
        rows, n = past.rows, past.rows.n_items
        liked = rows.weight > 0
        place = (np.arange(len(rows)) - rows.indptr[rows.user_index])[liked]
        length = rows.lengths[rows.user_index[liked]]
        item, log_place = rows.item_index[liked], np.log1p(place)
        log_place -= (
            log_place.mean() if len(log_place) else 0
        )  # all places grow with the data: only differences are stable
        mean = ratio(np.bincount(item, log_place, n), rows.item_counts)
        square = ratio(np.bincount(item, log_place**2, n), rows.item_counts)
        tail = ratio(np.bincount(item, place >= (1 - TAIL) * length, n), rows.item_counts)
        head = ratio(np.bincount(item, place < TAIL * length, n), rows.item_counts)
        return stacked([mean, np.sqrt(np.maximum(square - mean**2, 0)), tail, head], n)

    @staticmethod
    def _trends(past: Past, now: int | None) -> NDArray[np.float32]:
        """Likes in each window, trend, age, idleness: float32[n_items, 6], NaN without a clock."""
        rows, n = past.rows, past.rows.n_items
        if now is None:
            return np.full((n, len(WINDOWS) + 3), np.nan, np.float32)
        liked = rows.weight > 0
        item, age = rows.item_index[liked], (now - rows.timestamp[liked]) / DAY
        recent = [np.bincount(item[age <= days], minlength=n) for days in WINDOWS]
        month = recent[1]
        share = (month + 1) / (month.sum() + n)
        overall = (rows.item_counts + 1) / (rows.item_counts.sum() + n)
        oldest, newest = np.full(n, np.nan), np.full(n, np.nan)
        np.fmax.at(oldest, item, age)
        np.fmin.at(newest, item, age)
        counts = [np.log1p(count) for count in recent]
        return stacked([*counts, np.log(share / overall), np.log1p(oldest), np.log1p(newest)], n)
