"""From a log of events to a split: the method, the cuts, the checks, and the candidates of the sampled protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, VALIDATION, EventLog, Rule
from recstage.data.interactions import Interactions
from recstage.data.negatives import NegativeSampler
from recstage.data.split import folds
from recstage.data.split.parts import PARTS, Split, liked_pairs, parts_of, rows_of_newcomers, with_newcomers
from recstage.data.split.places import Together, cuts_of
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
    method = method_of(config, ordered=log.ordered, brings_test=bool((log.held_out == TEST).any()))
    config = config.model_copy(update={"method": method})
    if config.folded:
        log, given_negatives = folds.without_the_sources_test(log), None
    if is_drawn(config, log.ordered):
        log = log.shuffled(config.seed)
    if config.method == "k-fold":
        log = folds.k_fold(log, config, rule)
    elif config.method == "rolling":
        log, config = folds.rolling(log, config, rule, time_is_clock)
    everything, liked = liked_pairs(log, rule)
    candidates = candidates_of(log, liked)
    together = Together.of(
        log.timestamp[candidates],
        config,
        brings_validation=bool((log.held_out == VALIDATION).any()),
        time_is_clock=time_is_clock,
    )
    split = parts_of(log, cuts_of(log, config, candidates, together), config.label, rule, liked)
    split = with_newcomers(split, rows_of_newcomers(split.test.lengths, config))
    positive = {name: int((getattr(split, name).weight > 0).sum()) for name in PARTS}
    refuse_nothing_liked(positive, config.label, len(candidates), len(log.users))
    negatives = given_negatives
    if negatives is None and config.negatives:
        negatives = _sampled(everything, np.flatnonzero(split.test.lengths + split.validation.lengths), config)
    return replace(split, negatives=negatives)


def is_drawn(config: SplitConfig, ordered: bool) -> bool:
    """Whether each user's items are put in an order drawn by the seed."""
    return config.method == "leave-k-out" or not ordered


def candidates_of(log: EventLog, liked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first events of pairs that were liked in the end, in order."""
    return np.sort(log.first[liked])


def refuse_nothing_liked(positive: Mapping[str, int], label: str, liked: int, users: int) -> None:
    """Raises `TooLittleData` where training or test has no liked row. `positive`: liked rows of each part."""
    for name, part in (("training", "train"), ("test", "test")):
        if not positive[part]:
            raise TooLittleData(
                f"a {label} split of {liked} liked pairs of {users} users",
                rule=f"leaves no {name} rows",
                fix="Give more data, or choose another split.method",
            )


def _sampled(everything: Interactions, asked: NDArray[np.int64], config: SplitConfig) -> NDArray[np.int32]:
    """Candidates of the `asked` users among the items that have any event: int32[n_users, n]. Items without one would
    be easy to tell from what is tested, and make figures look better than they are."""
    negatives = np.full((everything.n_users, config.negatives), -1, np.int32)
    with_events = np.flatnonzero(np.bincount(everything.item_index, minlength=everything.n_items))
    sampler = NegativeSampler(everything.all_users.seen[:, with_events])
    drawn = sampler.sample_distinct(asked, config.negatives, np.random.default_rng(config.seed))
    negatives[asked] = np.where(drawn < 0, -1, with_events[drawn])
    return negatives


def method_of(config: SplitConfig, *, ordered: bool, brings_test: bool) -> str:
    """The method of a split, with `auto` made out; `brings_test`: whether the source holds rows out. Raises `DataError`
    on one that asks for an order where there is none, or for rows that the source does not bring."""
    if config.method == "auto":
        return "given" if brings_test else "leave-one-out" if ordered else "ratio"
    if config.method == "given" and not brings_test:
        raise DataError(
            "split.method = given",
            rule="the source must bring its own test rows",
            fix="Set source.test_path, or choose leave-one-out, temporal, ratio or leave-k-out",
        )
    if not ordered and config.method in ("temporal", "leave-one-out", "rolling"):
        raise DataError(
            f"split.method = {config.method}",
            rule="the data set is unordered (no times, or times that are equal within every user): nothing is last",
            fix="Choose k-fold, which draws by split.seed"
            if config.folded
            else "Choose ratio or leave-k-out, which draw by split.seed, or leave it at auto",
        )
    return config.method
