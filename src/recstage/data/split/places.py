"""Where each user's validation and test begin, by the method of the split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog
from recstage.data.split.parts import NEVER, Cuts
from recstage.errors import DataError, TooLittleData

BY_TIME = ("temporal", "rolling")


@dataclass(frozen=True)
class Together:
    """What all users decide together, so that some of them can be cut by themselves: `validation_from` and `test_from`,
    the moments of a split by time; `brings_validation`: whether the source itself holds rows out for it."""

    brings_validation: bool = False
    validation_from: int = 0
    test_from: int = 0

    @classmethod
    def of(
        cls, times: NDArray[np.int64], config: SplitConfig, *, brings_validation: bool, time_is_clock: bool
    ) -> Together:
        """From the times of all candidates, which are asked for by a split by time only. Raises `DataError` where they
        are ranks, `TooLittleData` where one side would be empty."""
        if config.method not in BY_TIME:
            return cls(brings_validation)
        check_clock("temporal", time_is_clock)
        times = np.sort(times)
        test_from = moment(times, config.test_fraction) if config.test_from is None else config.test_from
        if not (times < test_from).any():
            raise TooLittleData(
                f"split.test_from = {test_from}",
                rule="no liked pair is earlier: nothing is left to train on",
                fix="Give a later moment, or leave it out",
            )
        return cls(brings_validation, moment(times[times < test_from], config.validation_fraction), test_from)


def cuts_of(log: EventLog, config: SplitConfig, candidates: NDArray[np.int64], together: Together) -> Cuts:
    """Where validation and test begin, by a method that is made out. Events of the very moment of a split by time fall
    after it."""
    if config.method == "given":
        return _given(log, candidates, together)
    if config.method == "k-fold":
        return _as_parted(log)
    if config.method in BY_TIME:
        return Cuts(_events_before(log, together.validation_from), _events_before(log, together.test_from))
    counts = np.bincount(log.user_index[candidates], minlength=len(log.users))
    if config.method == "leave-one-out":
        n_test, n_validation = (counts >= 2).astype(np.int64), (counts >= 3).astype(np.int64)
    elif config.method == "leave-k-out":
        n_test = np.where(counts > config.k, config.k, 0)
        n_validation = np.where(counts - n_test > config.k, config.k, 0) * (n_test > 0)
    else:
        n_test = share(counts, config.test_fraction)
        n_validation = share(counts - n_test, config.validation_fraction)
    return Cuts(
        _place_from_the_end(log, candidates, counts, n_test + n_validation),
        _place_from_the_end(log, candidates, counts, n_test),
    )


def share(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
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


def _given(log: EventLog, candidates: NDArray[np.int64], together: Together) -> Cuts:
    """Test: the rows that the source holds out. Validation: those that it brings for it, else each user's last liked
    item of the others, unless it is the only one."""
    before_test = np.bincount(log.user_index[log.held_out != TEST], minlength=len(log.users))
    if together.brings_validation:
        return _as_parted(log)
    trained = candidates[log.held_out[candidates] == TRAIN]
    counts = np.bincount(log.user_index[trained], minlength=len(log.users))
    return Cuts(_place_from_the_end(log, trained, counts, (counts >= 2).astype(np.int64)), before_test)


def _as_parted(log: EventLog) -> Cuts:
    """Where the events already stand by their parts."""
    users, n = log.user_index, len(log.users)
    return Cuts(*(np.bincount(users[log.held_out < part], minlength=n) for part in (VALIDATION, TEST)))


def check_clock(method: str, time_is_clock: bool) -> None:
    """Raises `DataError` where times are ranks, so that no moment is one for all users."""
    if not time_is_clock:
        raise DataError(
            f"split.method = {method}",
            rule="the data set's times are ranks, which say nothing across users",
            fix="Choose k-fold" if method == "rolling" else "Choose leave-one-out or ratio",
        )


def moment(times: NDArray[np.int64], fraction: float) -> int:
    """The time from which about `fraction` of the sorted times lie, some of them before it."""
    later = times[times > times[0]] if len(times) else times
    if not len(later):
        raise TooLittleData(
            f"{len(times)} liked pairs at one moment",
            rule="a temporal split needs at least three different times",
            fix="Choose leave-one-out or ratio",
        )
    return int(max(times[int(len(times) * (1 - fraction))], later[0]))


def _events_before(log: EventLog, time: int) -> NDArray[np.int64]:
    return np.bincount(log.user_index[log.timestamp < time], minlength=len(log.users))
