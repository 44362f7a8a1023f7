"""Where each user's validation and test begin, by the method of the split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog
from recstage.data.split.parts import NEVER, Cuts
from recstage.errors import DataError, TooLittleData


def cuts_of(log: EventLog, config: SplitConfig, candidates: NDArray[np.int64], time_is_clock: bool) -> Cuts:
    if config.method == "given":
        return _given(log, candidates)
    if config.method == "k-fold":
        return _as_parted(log)
    if config.method in ("temporal", "rolling"):
        return _temporal(log, config, candidates, time_is_clock)
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
        return _as_parted(log)
    trained = candidates[log.held_out[candidates] == TRAIN]
    counts = np.bincount(log.user_index[trained], minlength=len(log.users))
    return Cuts(_place_from_the_end(log, trained, counts, (counts >= 2).astype(np.int64)), before_test)


def _as_parted(log: EventLog) -> Cuts:
    """Where the events already stand by their parts."""
    users, n = log.user_index, len(log.users)
    return Cuts(*(np.bincount(users[log.held_out < part], minlength=n) for part in (VALIDATION, TEST)))


def _temporal(log: EventLog, config: SplitConfig, candidates: NDArray[np.int64], time_is_clock: bool) -> Cuts:
    """One moment for all users. Events of that very moment fall after it."""
    check_clock("temporal", time_is_clock)
    times = np.sort(log.timestamp[candidates])
    test_from = moment(times, config.test_fraction) if config.test_from is None else config.test_from
    if not (times < test_from).any():
        raise TooLittleData(
            f"split.test_from = {test_from}",
            rule="no liked pair is earlier: nothing is left to train on",
            fix="Give a later moment, or leave it out",
        )
    validation_from = moment(times[times < test_from], config.validation_fraction)
    return Cuts(_events_before(log, validation_from), _events_before(log, test_from))


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
