"""Every event in order, as arrays: what stands between the raw tables and pairs.

Splits cut the log, not the pairs, so that a weight in training never counts an event from after the cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import IdMap, Interactions
from recstage.data.tables.values.columns import NO_COLUMNS, Columns, no_columns, taken

Rule = Literal["sum", "max", "last"]
TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class EventLog:
    """Events sorted by (user, held out, time), equal times in the order of the source.

    Aligned arrays: `user_index` int32[n], `item_index` int32[n], `weight` float32[n], `negative` bool[n] (the event
    says no), `timestamp` int64[n], `held_out` int8[n] (`TRAIN`, or `VALIDATION` or `TEST` for rows that the source
    itself brings for these). `ordered` is false where times say nothing. `context`: what each event said of its moment.
    """

    users: IdMap
    items: IdMap
    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    weight: NDArray[np.float32]
    negative: NDArray[np.bool_]
    timestamp: NDArray[np.int64]
    held_out: NDArray[np.int8]
    ordered: bool = True
    context: Columns = field(default_factory=no_columns)

    @classmethod
    def build(
        cls,
        users: IdMap,
        items: IdMap,
        user_index: NDArray[np.int32],
        item_index: NDArray[np.int32],
        weight: NDArray[np.float32],
        negative: NDArray[np.bool_],
        timestamp: NDArray[np.int64],
        held_out: NDArray[np.integer] | NDArray[np.bool_],
        ordered: bool = True,
        context: Columns = NO_COLUMNS,
    ) -> EventLog:
        """Sorts rows that come in the order of the source. `held_out` true: `TEST`."""
        part = np.where(held_out, TEST, TRAIN).astype(np.int8) if held_out.dtype == bool else held_out.astype(np.int8)
        order = np.lexsort((timestamp, part, user_index))
        columns = (user_index, item_index, weight, negative, timestamp, part)
        sorted_columns = [values[order] for values in columns]
        return cls(users, items, *sorted_columns, ordered, taken(context, order))  # type: ignore[call-arg, arg-type]

    def parted(self, held_out: NDArray[np.int8]) -> EventLog:
        """The same events, held out as `held_out` int8[n] says."""
        order = np.lexsort((np.arange(len(self)), held_out, self.user_index))
        return replace(self._ordered(order), held_out=held_out[order])

    def select(self, events: NDArray[np.bool_]) -> EventLog:
        """Some of the events, over the same id maps."""
        return self._ordered(np.flatnonzero(events))

    def shuffled(self, seed: int) -> EventLog:
        """The same events with each user's items in an order drawn by `seed`, which depends on the ids and not on the
        order of the source; the events of one pair stay together and in order."""
        return self.in_order_of(np.random.default_rng(seed).permutation(len(self.pair_keys)))

    def in_order_of(self, places: NDArray[np.int64]) -> EventLog:
        """The same events with each user's items in the order of `places` (int64[n_pairs], one of each pair)."""
        rank = places[self.pair]
        return self._ordered(np.lexsort((np.arange(len(self)), rank, self.held_out, self.user_index)))

    def _ordered(self, places: NDArray[np.int64]) -> EventLog:
        """The events at these places, in this order."""
        columns = (self.user_index, self.item_index, self.weight, self.negative, self.timestamp, self.held_out)
        events = [values[places] for values in columns]
        return EventLog(self.users, self.items, *events, self.ordered, taken(self.context, places))  # type: ignore[call-arg, arg-type]

    @cached_property
    def ties(self) -> float:
        """Share of events that another event of the same user has the same time as."""
        return self.tied / len(self) if len(self) else 0.0

    @property
    def tied(self) -> int:
        """How many events another event of the same user has the same time as."""
        same = (np.diff(self.user_index) == 0) & (np.diff(self.timestamp) == 0)
        return int((np.append(same, False) | np.append(False, same)).sum()) if len(self) else 0

    def __len__(self) -> int:
        return len(self.user_index)

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Offsets of each user's events: int64[n_users + 1]."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.user_index, minlength=len(self.users)))])

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """How many events of the same user came before: int64[n]."""
        return np.arange(len(self)) - self.indptr[self.user_index]

    @property
    def pair(self) -> NDArray[np.int64]:
        """Number of each event's (user, item) pair, from 0, in the order of (user, item): int64[n]."""
        return self._pairs[2]

    @property
    def first(self) -> NDArray[np.int64]:
        """The event that opens each pair: int64[n_pairs]."""
        return self._pairs[1]

    @property
    def pair_keys(self) -> NDArray[np.int64]:
        """user_index * n_items + item_index of each pair, ascending: int64[n_pairs]."""
        return self._pairs[0]

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        keys = self.user_index.astype(np.int64) * len(self.items) + self.item_index
        order = _stable_order(keys)
        opens = np.diff(keys[order], prepend=-1) != 0
        pair = np.empty(len(keys), np.int64)
        pair[order] = np.cumsum(opens) - 1
        first = order[opens]
        return keys[first], first, pair

    def aggregate(self, rule: Rule, events: NDArray[np.bool_] | None = None) -> Interactions:
        """One row a pair, of the chosen events (all by default).

        The last word counts: a pair whose last event says no is dismissed, with that event's weight or zero, whichever
        is lower; an event after a dismissal wins the pair back, and only events since then count. Their weights are
        summed, or the greatest or the last is taken, by `rule`. A pair's time and context are its last event's.
        """
        chosen = np.arange(len(self)) if events is None else np.flatnonzero(events)
        pair = self.pair[chosen]
        order = _stable_order(pair)
        chosen, pair = chosen[order], pair[order]
        if not len(chosen):
            return self._interactions(chosen, np.empty(0, np.float32))
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        ends = np.append(starts[1:], len(pair)) - 1
        position = np.arange(len(pair))
        last_no = np.maximum.reduceat(np.where(self.negative[chosen], position, -1), starts)
        dismissed = last_no == ends
        counts = position > np.repeat(last_no, ends - starts + 1)
        weight = _combine(self.weight[chosen].astype(np.float64), counts, starts, ends, rule)
        weight = np.where(dismissed, np.minimum(self.weight[chosen[ends]], 0), weight)
        return self._interactions(chosen[ends], weight.astype(np.float32))

    def _interactions(self, last: NDArray[np.int64], weight: NDArray[np.float32]) -> Interactions:
        order = _stable_order(last)  # events are in order of time, equal times in the order of the source: keep that
        last, weight = last[order], weight[order]
        return Interactions.of_pairs(
            self.users,
            self.items,
            self.user_index[last],
            self.item_index[last],
            weight,
            self.timestamp[last],
            ordered=self.ordered,
            context=taken(self.context, last),
        )


def _combine(
    weight: NDArray[np.float64],
    counts: NDArray[np.bool_],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    rule: Rule,
) -> NDArray[np.float64]:
    if rule == "sum":
        return np.add.reduceat(np.where(counts, weight, 0), starts)
    if rule == "max":
        return np.maximum.reduceat(np.where(counts, weight, -np.inf), starts)
    return weight[ends]


def _stable_order(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """What sorts keys (none below zero), equal ones as they come. Key and place are sorted as one number where both fit
    into it: several times as fast as sorting the places by their keys."""
    bits = len(keys).bit_length()
    if not len(keys) or int(keys.max()) >> (63 - bits):
        return np.argsort(keys, kind="stable")
    together = np.sort((keys << bits) | np.arange(len(keys)))
    return together & ((1 << bits) - 1)
