"""The three parts of a data set, and how two places in each user's events make them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog, Rule
from recstage.data.interactions import Interactions
from recstage.data.tables.values.columns import Columns

NEVER = np.iinfo(np.int64).max
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """`train`, `validation` and `test` share id maps and no pair; `validation` is never later than `test`.

    `negatives` int32[n_users, c] holds each user's sampled candidates for the sampled protocol (padded with -1), to be
    ranked against their test items; None where the protocol is not asked for. `left_out` counts what belongs to no
    part."""

    method: str
    train: Interactions
    validation: Interactions
    test: Interactions
    negatives: NDArray[np.int32] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    stored_union: Interactions | None = None
    """`train_and_validation` where it lies ready, mapped from disk."""

    @cached_property
    def train_and_validation(self) -> Interactions:
        """What the final model is fitted on."""
        return self.train.union(self.validation) if self.stored_union is None else self.stored_union

    def with_profiles(self, profiles: Columns) -> Split:
        """The same with attributes of the users."""
        train, validation, test = (
            replace(part, profiles=profiles) for part in (self.train, self.validation, self.test)
        )
        return replace(self, train=train, validation=validation, test=test)

    def transposed(self) -> Split:
        """The same cut with users and items in each other's place, for models that find users for an item. The sampled
        candidates, which are a user's, have no counterpart."""
        train, validation, test = (part.transposed() for part in (self.train, self.validation, self.test))
        return Split(self.method, train, validation, test, None, self.left_out)


@dataclass(frozen=True)
class Cuts:
    """For each user the number of events before validation, and before the test (`NEVER`: they have none)."""

    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def liked_pairs(log: EventLog, rule: Rule) -> tuple[Interactions, NDArray[np.bool_]]:
    """All pairs of the log, and which of them (by their number) were liked in the end."""
    everything = log.aggregate(rule)
    liked = np.empty(len(log.first), bool)
    liked[_pair_of(log, everything)] = everything.weight > 0
    return everything, liked


def parts_of(log: EventLog, cuts: Cuts, method: str, rule: Rule, liked: NDArray[np.bool_]) -> Split:
    """The parts that `cuts` make; `liked` says which pairs were liked in the end."""
    window = np.full(len(log), TRAIN, np.int8)
    window[log.place >= cuts.validation[log.user_index]] = VALIDATION
    window[log.place >= cuts.test[log.user_index]] = TEST
    home = window[log.first][log.pair]  # the part of each event's pair
    inside = window == home
    train, validation, test = (log.aggregate(rule, inside & (home == part)) for part in (TRAIN, VALIDATION, TEST))
    # liked in that part, and not dismissed since
    liked_validation, liked_test = (
        part.select((part.weight > 0) & liked[_pair_of(log, part)]) for part in (validation, test)
    )
    left_out = {
        "dismissed after the cut": len(validation) + len(test) - len(liked_validation) - len(liked_test),
        "repeats after the cut": int((~inside).sum()),
    }
    return Split(method, train, liked_validation, liked_test, None, left_out)


def rows_of_newcomers(tested: NDArray[np.int64], config: SplitConfig) -> NDArray[np.int64] | None:
    """How many of their latest rows each user keeps, so that some tested users are as if they had just come: a share of
    them, drawn by the seed, keeps 0 to `newcomer_rows` (each number as likely). `tested`: test rows of each user."""
    if not config.newcomers:
        return None
    rng = np.random.default_rng(config.seed)
    users = np.flatnonzero(tested)
    chosen = rng.choice(users, round(config.newcomers * len(users)), replace=False)
    kept = np.full(len(tested), NEVER)
    kept[chosen] = rng.integers(0, config.newcomer_rows, len(chosen), endpoint=True)
    return kept


def with_newcomers(split: Split, kept: NDArray[np.int64] | None) -> Split:
    """Each user's latest `kept[user]` rows of training and validation (None: all). What is tested stays."""
    if kept is None:
        return split
    validation = _latest(split.validation, kept)
    train = _latest(split.train, kept - validation.lengths)
    dropped = len(split.train) + len(split.validation) - len(train) - len(validation)
    left_out = split.left_out | {"earlier rows of cold-start users": dropped}
    return replace(split, train=train, validation=validation, left_out=left_out)


def _latest(rows: Interactions, n: NDArray[np.int64]) -> Interactions:
    """Each user's last `n[user]` rows."""
    from_the_end = rows.indptr[rows.user_index + 1] - np.arange(len(rows))
    return rows.select(from_the_end <= n[rows.user_index])


def _pair_of(log: EventLog, pairs: Interactions) -> NDArray[np.int64]:
    """The pair number, as `log.pair` counts, of each row of `pairs`."""
    return np.searchsorted(log.pair_keys, pairs.user_index.astype(np.int64) * len(log.items) + pairs.item_index)
