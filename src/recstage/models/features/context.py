"""Features of the moment: the session so far, by the user's latest interactions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Users
from recstage.models.features.candidates import Candidates
from recstage.models.features.group import CLOCK_FROM, DAY, Group, Past, stacked

PAUSE = 1800
"""Seconds without an interaction that end a session."""
SESSION = 100
"""A session is counted up to so many interactions."""
SEGMENT_BOUNDS = (5, 20)
"""Fixed, whatever conf/evaluation.yaml says: trees were trained with this meaning of the feature."""


class ContextGroup(Group):
    """The moment is that of the user's last interaction: it is known offline and online alike."""

    name = "context"
    features = {
        "context_candidates": "number of the user's candidates, as log(n)",
        "context_segment": "0: fewer than 5 interactions (cold), 1: fewer than 20 (warm), 2: hot",
        "context_hour": "hour of the day (UTC) of the user's last interaction; clock only",
        "context_weekday": "day of the week of the user's last interaction, Monday is 0; clock only",
        "context_pause": "seconds between the last two interactions, as log(1 + s); clock only",
        "context_session": "interactions since the last pause of 30 minutes, as log(1 + n); clock only",
    }

    def learn(self, past: Past) -> None:
        self.arrays = {"clock": np.array([past.now is not None])}

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        users, row = candidates.users, candidates.row
        counts = np.log(np.maximum(np.diff(candidates.indptr), 1))
        segment = np.digitize(users.lengths, SEGMENT_BOUNDS)
        clock = np.full((4, len(users)), np.nan)
        if self.arrays["clock"][0]:
            self._read_clock(users, clock)
        return stacked([values[row] for values in (counts, segment, *clock)], len(candidates))

    @staticmethod
    def _read_clock(users: Users, out: NDArray[np.float64]) -> None:
        """Hour, weekday, pause and session of each user into float64[4, n]."""
        filled = np.flatnonzero(users.lengths > 0)
        end = users.indptr[1:][filled] - 1
        last = users.timestamps[end]
        timed = last >= CLOCK_FROM
        out[0, filled[timed]] = (last[timed] % DAY) // 3600
        out[1, filled[timed]] = (last[timed] // DAY + 3) % 7
        steps = end[:, None] - np.arange(SESSION)
        inside = steps > users.indptr[:-1][filled][:, None]
        this, before = (
            np.maximum(steps, 0),
            np.maximum(steps - 1, 0),
        )  # `inside` marks the positions that have one before
        gaps = np.where(inside, users.timestamps[this] - users.timestamps[before], np.iinfo(np.int64).max)
        together = np.cumprod(gaps <= PAUSE, axis=1).sum(axis=1) + 1
        out[3, filled[timed]] = np.log1p(together[timed])
        paired = timed & inside[:, 0]
        out[2, filled[paired]] = np.log1p(np.maximum(gaps[paired, 0], 0))
