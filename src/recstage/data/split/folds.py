"""One fold of a cross-validation: which events are its test, and which it must not know.

Test rows that the source itself brings belong to no fold: a cross-validation is for choosing, and they stay unseen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog, Rule
from recstage.data.split.parts import liked_pairs
from recstage.data.split.places import check_clock, moment, share
from recstage.errors import TooLittleData

FOLDS, VALIDATED = 31, 32
"""Streams of randomness."""


def without_the_sources_test(log: EventLog) -> EventLog:
    """The events of training and validation, in one part."""
    kept = log.select(log.held_out != TEST)
    if not (kept.held_out == VALIDATION).any():
        return kept
    columns = (kept.user_index, kept.item_index, kept.weight, kept.negative, kept.timestamp)
    return EventLog.build(kept.users, kept.items, *columns, np.zeros(len(kept), bool), kept.ordered)


def k_fold(log: EventLog, config: SplitConfig, rule: Rule) -> EventLog:
    """The log with a fold of each user's liked pairs held out for the test, and a share of the others for validation.

    Each user's pairs are dealt out to the folds in an order drawn by `config.seed`, so that every pair is tested in one
    fold; a user's only pair always stays in training. Dismissals are training rows in every fold.
    """
    liked = np.flatnonzero(liked_pairs(log, rule)[1])
    user = log.user_index[log.first[liked]]
    n_users = len(log.users)
    random = np.random.default_rng((config.seed, FOLDS))
    first = random.integers(config.folds, size=n_users)  # else the users with few pairs would fill the first folds
    fold = (_place(user, random) + first[user]) % config.folds + 1
    tested = (fold == config.fold) & (np.bincount(user, minlength=n_users)[user] > 1)
    others = np.flatnonzero(~tested)
    place = _place(user[others], np.random.default_rng((config.seed, VALIDATED, config.fold)))
    wanted = share(np.bincount(user[others], minlength=n_users), config.validation_fraction)
    part = np.full(len(log.first), TRAIN, np.int8)
    part[liked[tested]] = TEST
    part[liked[others[place < wanted[user[others]]]]] = VALIDATION
    return log.parted(part[log.pair])


def _place(user: NDArray[np.int32], random: np.random.Generator) -> NDArray[np.int64]:
    """The place of each row among its user's others, from 0, in an order drawn at random."""
    order = np.lexsort((random.random(len(user)), user))
    counts = np.bincount(user)
    place = np.empty(len(user), np.int64)
    place[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place


def rolling(log: EventLog, config: SplitConfig, rule: Rule, time_is_clock: bool) -> tuple[EventLog, SplitConfig]:
    """The events before the end of a fold's window, and the configuration whose test begins with the window.

    The last `test_fraction` of the liked pairs (or those from `test_from` on) is cut into windows of as many pairs
    each, one a fold; a fold is trained on all that came before its window. Raises `DataError` where times are ranks,
    `TooLittleData` where nothing is left for the windows.
    """
    check_clock(config.method, time_is_clock)
    times = np.sort(log.timestamp[log.first[liked_pairs(log, rule)[1]]])
    tested = config.test_fraction if config.test_from is None else float(np.mean(times >= config.test_from))
    if not tested:
        raise TooLittleData(
            f"split.test_from = {config.test_from}",
            rule="no liked pair is later: no window has anything to test",
            fix="Give an earlier moment, or leave it out",
        )
    begins = [moment(times, tested * left / config.folds) for left in range(config.folds, 0, -1)]
    if config.fold < config.folds:
        log = log.select(log.timestamp < begins[config.fold])
    return log, config.model_copy(update={"test_from": begins[config.fold - 1]})
