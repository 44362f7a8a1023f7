"""From a log of events to a split: the method, the cuts, the checks, and the candidates of the sampled protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, EventLog, Rule
from recstage.data.interactions import Interactions
from recstage.data.negatives import NegativeSampler
from recstage.data.split import folds
from recstage.data.split.parts import Split, liked_pairs, parts_of, with_newcomers
from recstage.data.split.places import cuts_of
from recstage.errors import DataError, TooLittleData


def cut(
    log: EventLog,
    config: SplitConfig,
    *,
    rule: Rule = "sum",
    time_is_clock: bool = True,
    given_negatives: NDArray[np.int32] | None = None,
) -> Split:
    """The log in three parts. Raises `DataError` where the method does not fit the data, `TooLittleData` where nothing
    is left to train on or to test."""
    config = config.model_copy(update={"method": method_of(log, config)})
    if config.folded:
        log, given_negatives = folds.without_the_sources_test(log), None
    if config.method == "leave-k-out" or not log.ordered:
        log = log.shuffled(config.seed)
    if config.method == "k-fold":
        log = folds.k_fold(log, config, rule)
    elif config.method == "rolling":
        log, config = folds.rolling(log, config, rule, time_is_clock)
    everything, liked = liked_pairs(log, rule)
    candidates = np.sort(log.first[liked])  # the first events of pairs that were liked in the end, in order
    cuts = cuts_of(log, config, candidates, time_is_clock)
    split = with_newcomers(parts_of(log, cuts, config.label, rule, liked), config)
    for name, part in (("training", split.train), ("test", split.test)):
        if not (part.weight > 0).any():
            raise TooLittleData(
                f"a {config.label} split of {len(candidates)} liked pairs of {log.indptr.size - 1} users",
                rule=f"leaves no {name} rows",
                fix="Give more data, or choose another split.method",
            )
    negatives = given_negatives
    if negatives is None and config.negatives:
        negatives = _sampled(everything, np.flatnonzero(split.test.lengths + split.validation.lengths), config)
    return replace(split, negatives=negatives)


def _sampled(everything: Interactions, asked: NDArray[np.int64], config: SplitConfig) -> NDArray[np.int32]:
    """Candidates of the `asked` users among the items that have any event: int32[n_users, n]. Items without one would
    be easy to tell from what is tested, and make figures look better than they are."""
    negatives = np.full((everything.n_users, config.negatives), -1, np.int32)
    with_events = np.flatnonzero(np.bincount(everything.item_index, minlength=everything.n_items))
    sampler = NegativeSampler(everything.all_users.seen[:, with_events])
    drawn = sampler.sample_distinct(asked, config.negatives, np.random.default_rng(config.seed))
    negatives[asked] = np.where(drawn < 0, -1, with_events[drawn])
    return negatives


def method_of(log: EventLog, config: SplitConfig) -> str:
    """The method of a split, with `auto` made out. Raises `DataError` on one that asks for an order where there is
    none."""
    if config.method == "auto":
        return "given" if (log.held_out == TEST).any() else "leave-one-out" if log.ordered else "ratio"
    if not log.ordered and config.method in ("temporal", "leave-one-out", "rolling"):
        raise DataError(
            f"split.method = {config.method}",
            rule="the data set is unordered (no times, or times that are equal within every user): nothing is last",
            fix="Choose k-fold, which draws by split.seed"
            if config.folded
            else "Choose ratio or leave-k-out, which draw by split.seed, or leave it at auto",
        )
    return config.method
