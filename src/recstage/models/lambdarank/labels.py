"""Labels of the second stage: interactions that lie after everything that candidates and features are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions, Users
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.models.moment import first_of_each

FEWEST_GROUPS = 30
"""A cut in time is used if it leaves at least so many users with rows on both sides."""


@dataclass(frozen=True, eq=False)
class Step:
    """Users with their histories up to a moment, and what each did next.

    That is pairs of `row` (position in `users`) and `item` with a `weight` (<= 0: dismissed), sorted by row and item.
    `grown`: the histories hold rows that are not part of the past.
    """

    users: Users
    grown: bool
    row: NDArray[np.int64]
    item: NDArray[np.int32]
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Holdout:
    """`past` are the rows that retrievers and features may learn from; no row of any step is among them. `in_time`: all
    labels are later than it."""

    past: Interactions
    steps: list[Step]
    in_time: bool = False

    @property
    def groups(self) -> int:
        """Users and steps with labels."""
        return sum(len(step.users) for step in self.steps)


def hold_out(
    rows: Interactions, params: LambdaRankParams, *, is_clock: bool, since: float | None = None, seed: int = 0
) -> Holdout:
    """Labels out of the training rows, by `params.holdout`.

    - `last`: each user's last `labels_per_user` rows, one step each; every step's history is longer by the one before:
      the protocol of leave-one-out. If the order of the last `page` rows is not reliable, a label is any of them, drawn
      at random, and the others stay in the history.
    - `time`: all rows after the moment that leaves `holdout_share` of them: the protocol of a split in time; no label
      is then older than any row of the past.
    - `auto`: `time` if timestamps are a clock (`is_clock`) and enough users are active on both sides, else `last`.

    Of rows without an order, each user's are shuffled first: the last ones are then drawn at random.

    At least `min_interactions` rows stay before the labels of a user, so that a short history gives fewer or none;
    rows older than `since` give none.
    """
    if params.holdout != "last" and is_clock:
        cut = _in_time(rows, params, since)
        if params.holdout == "time" or len(cut.steps[0].users) >= FEWEST_GROUPS:
            return cut
    return _last(rows if rows.ordered else rows.shuffled(seed), params, since, seed)


def earlier(held: Holdout, params: LambdaRankParams, *, enough: int, since: float | None = None) -> Iterator[Holdout]:
    """The periods before that of `held`, the latest first, each with the rows before it as its past.

    Only while all together have fewer than `enough` groups, `params.windows` of them at most with that of `held`, and
    none where labels are not held out in time.
    """
    groups = held.groups
    for _ in range(params.windows - 1 if held.in_time else 0):
        if groups >= enough or not len(held.past):
            return
        held = _in_time(held.past, params, since)
        if len(held.steps[0].users) < FEWEST_GROUPS:
            return
        groups += held.groups
        yield held


def _in_time(rows: Interactions, params: LambdaRankParams, since: float | None) -> Holdout:
    moment = np.quantile(rows.timestamp, 1 - params.holdout_share, method="higher")
    later = rows.timestamp >= max(moment, moment if since is None else since)
    past = rows.select(~later)
    able = (past.lengths >= params.min_interactions) & (np.bincount(rows.user_index[later], minlength=rows.n_users) > 0)
    return Holdout(past, [_step(past, rows.select(later), np.flatnonzero(able), grown=False)], in_time=True)


def _last(rows: Interactions, params: LambdaRankParams, since: float | None, seed: int) -> Holdout:
    labels_per_user, page = params.labels_per_user, params.page
    held = labels_per_user + page - 1
    left = rows.indptr[rows.user_index + 1] - 1 - np.arange(len(rows))  # rows of the same user that follow
    most = np.clip(rows.lengths - params.min_interactions, 0, held)
    most = np.where(most >= page, most, 0)[rows.user_index]  # a short history gives fewer labels, each of a whole page
    labelled = left < most
    if since is not None:
        labelled &= rows.timestamp >= since
    dismissed = labelled & (rows.weight <= 0)
    steps = []
    random = np.random.default_rng(seed)
    for place in reversed(range(labels_per_user)):
        drawn = place + random.integers(0, page, rows.n_users)[rows.user_index]
        target = labelled & (left == drawn) & (place + page <= most)
        history = rows.select((~labelled | (left >= place)) & ~target)
        then = rows.select(target | (dismissed & (left < place)))
        grown = place < labels_per_user - 1 or page > 1
        steps.append(_step(history, then, np.unique(rows.user_index[target]), grown=grown))
    return Holdout(rows.select(~labelled), steps)


def _step(history: Interactions, then: Interactions, users: NDArray[np.int64], *, grown: bool) -> Step:
    row_of = np.full(history.n_users, -1, np.int64)
    row_of[users] = np.arange(len(users))
    row = row_of[then.user_index]
    given = first_of_each(then, row, len(users))
    kept = np.flatnonzero(row >= 0)
    kept = kept[np.lexsort((then.item_index[kept], row[kept]))]
    return Step(replace(history.of(users), given=given), grown, row[kept], then.item_index[kept], then.weight[kept])
