"""Cutting a data set into training, validation and test, all over the same id maps.

Every method comes down to two places in each user's events: where validation begins, and where the test begins. Where
nothing says what came first, the events of each user are put in an order drawn by the seed, and "last" means drawn. A
pair belongs to the part in which its first event falls, so that nothing a user already knows can be a test positive;
its weight counts the events inside that part only, so that training never knows of later ones. Dismissals are training
material and nothing else: those that fall after the cut are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog, Rule
from recstage.data.interactions import Interactions
from recstage.data.negatives import NegativeSampler
from recstage.errors import DataError, TooLittleData

NEVER = np.iinfo(np.int64).max


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

    @cached_property
    def train_and_validation(self) -> Interactions:
        """What the final model is fitted on."""
        return self.train.union(self.validation)

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
    if config.method == "leave-k-out" or not log.ordered:
        log = log.shuffled(config.seed)
    positive = np.empty(len(log.first), bool)
    everything = log.aggregate(rule)
    positive[_pair_of(log, everything)] = everything.weight > 0
    candidates = np.sort(log.first[positive])  # the first events of pairs that were liked in the end, in order
    cuts = _cuts(log, config, candidates, time_is_clock)
    split = _with_newcomers(_parts(log, cuts, config.method, rule, positive), config)
    for name, part in (("training", split.train), ("test", split.test)):
        if not (part.weight > 0).any():
            raise TooLittleData(
                f"a {config.method} split of {len(candidates)} liked pairs of {log.indptr.size - 1} users",
                rule=f"leaves no {name} rows",
                fix="Give more data, or choose another split.method",
            )
    negatives = given_negatives
    if negatives is None and config.negatives:
        negatives = _sampled(everything, np.flatnonzero(split.test.lengths + split.validation.lengths), config)
    return Split(config.method, split.train, split.validation, split.test, negatives, split.left_out)


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
    if not log.ordered and config.method in ("temporal", "leave-one-out"):
        raise DataError(
            f"split.method = {config.method}",
            rule="the data set is unordered (no times, or times that are equal within every user): nothing is last",
            fix="Choose ratio or leave-k-out, which draw by split.seed, or leave it at auto",
        )
    return config.method


def _parts(log: EventLog, cuts: Cuts, method: str, rule: Rule, positive: NDArray[np.bool_]) -> Split:
    window = np.full(len(log), TRAIN, np.int8)
    window[log.place >= cuts.validation[log.user_index]] = VALIDATION
    window[log.place >= cuts.test[log.user_index]] = TEST
    home = window[log.first][log.pair]  # the part of each event's pair
    inside = window == home
    train, validation, test = (log.aggregate(rule, inside & (home == part)) for part in (TRAIN, VALIDATION, TEST))
    # liked in that part, and not dismissed since
    liked_validation, liked_test = (
        part.select((part.weight > 0) & positive[_pair_of(log, part)]) for part in (validation, test)
    )
    left_out = {
        "dismissed after the cut": len(validation) + len(test) - len(liked_validation) - len(liked_test),
        "repeats after the cut": int((~inside).sum()),
    }
    return Split(method, train, liked_validation, liked_test, None, left_out)


def _with_newcomers(split: Split, config: SplitConfig) -> Split:
    """Some tested users as if they had just come: a share of them, drawn by the seed, keeps the latest 0 to
    `newcomer_rows` rows (each number as likely) of training and validation. What is tested stays."""
    if not config.newcomers:
        return split
    rng = np.random.default_rng(config.seed)
    tested = np.flatnonzero(split.test.lengths)
    chosen = rng.choice(tested, round(config.newcomers * len(tested)), replace=False)
    kept = np.full(split.train.n_users, NEVER)
    kept[chosen] = rng.integers(0, config.newcomer_rows, len(chosen), endpoint=True)
    validation = _latest(split.validation, kept)
    train = _latest(split.train, kept - validation.lengths)
    dropped = len(split.train) + len(split.validation) - len(train) - len(validation)
    left_out = split.left_out | {"earlier rows of cold-start users": dropped}
    return replace(split, train=train, validation=validation, left_out=left_out)


def _latest(rows: Interactions, n: NDArray[np.int64]) -> Interactions:
    """Each user's last `n[user]` rows."""
    from_the_end = rows.indptr[rows.user_index + 1] - np.arange(len(rows))
    return rows.select(from_the_end <= n[rows.user_index])


def _cuts(log: EventLog, config: SplitConfig, candidates: NDArray[np.int64], time_is_clock: bool) -> Cuts:
    if config.method == "given":
        return _given(log, candidates)
    if config.method == "temporal":
        return _temporal(log, config, candidates, time_is_clock)
    counts = np.bincount(log.user_index[candidates], minlength=len(log.users))
    if config.method == "leave-one-out":
        n_test, n_validation = (counts >= 2).astype(np.int64), (counts >= 3).astype(np.int64)
    elif config.method == "leave-k-out":
        n_test = np.where(counts > config.k, config.k, 0)
        n_validation = np.where(counts - n_test > config.k, config.k, 0) * (n_test > 0)
    else:
        n_test = _share(counts, config.test_fraction)
        n_validation = _share(counts - n_test, config.validation_fraction)
    return Cuts(
        _place_from_the_end(log, candidates, counts, n_test + n_validation),
        _place_from_the_end(log, candidates, counts, n_test),
    )


def _share(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """A fraction of each count, rounded: at least one where there are two, never all."""
    return np.clip(
        np.rint(counts * fraction).astype(np.int64), np.minimum(1, np.maximum(counts - 1, 0)), np.maximum(counts - 1, 0)
    )


def _place_from_the_end(
    log: EventLog, candidates: NDArray[np.int64], counts: NDArray[np.int64], n: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where in each user's events their last `n` candidates begin."""
    ends = np.cumsum(counts)
    some = n > 0
    places = np.full(len(counts), NEVER)
    places[some] = log.place[candidates[ends[some] - n[some]]]
    return places


def _given(log: EventLog, candidates: NDArray[np.int64]) -> Cuts:
    """Test: the rows that the source holds out. Validation: those that it brings for it, else each user's last liked
    item of the others, unless it is the only one."""
    if not (log.held_out == TEST).any():
        raise DataError(
            "split.method = given",
            rule="the source must bring its own test rows",
            fix="Set source.test_path, or choose leave-one-out, temporal, ratio or leave-k-out",
        )
    before_test = np.bincount(log.user_index[log.held_out != TEST], minlength=len(log.users))
    if (log.held_out == VALIDATION).any():
        return Cuts(np.bincount(log.user_index[log.held_out == TRAIN], minlength=len(log.users)), before_test)
    trained = candidates[log.held_out[candidates] == TRAIN]
    counts = np.bincount(log.user_index[trained], minlength=len(log.users))
    return Cuts(_place_from_the_end(log, trained, counts, (counts >= 2).astype(np.int64)), before_test)


def _temporal(log: EventLog, config: SplitConfig, candidates: NDArray[np.int64], time_is_clock: bool) -> Cuts:
    """One moment for all users. Events of that very moment fall after it."""
    if not time_is_clock:
        raise DataError(
            "split.method = temporal",
            rule="the data set's times are ranks, which say nothing across users",
            fix="Choose leave-one-out or ratio",
        )
    times = np.sort(log.timestamp[candidates])
    test_from = _moment(times, config.test_fraction) if config.test_from is None else config.test_from
    if not (times < test_from).any():
        raise TooLittleData(
            f"split.test_from = {test_from}",
            rule="no liked pair is earlier: nothing is left to train on",
            fix="Give a later moment, or leave it out",
        )
    validation_from = _moment(times[times < test_from], config.validation_fraction)
    return Cuts(_events_before(log, validation_from), _events_before(log, test_from))


def _moment(times: NDArray[np.int64], fraction: float) -> int:
    """The time from which about `fraction` of the sorted times lie, some of them before it."""
    later = times[times > times[0]] if len(times) else times
    if not len(later):
        raise TooLittleData(
            f"{len(times)} liked pairs at one moment",
            rule="a temporal split needs at least three different times",
            fix="Choose leave-one-out or ratio",
        )
    return int(max(times[int(len(times) * (1 - fraction))], later[0]))


def _events_before(log: EventLog, moment: int) -> NDArray[np.int64]:
    return np.bincount(log.user_index[log.timestamp < moment], minlength=len(log.users))


def _pair_of(log: EventLog, pairs: Interactions) -> NDArray[np.int64]:
    """The pair number, as `log.pair` counts, of each row of `pairs`."""
    return np.searchsorted(log.pair_keys, pairs.user_index.astype(np.int64) * len(log.items) + pairs.item_index)
