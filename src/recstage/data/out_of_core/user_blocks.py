"""The sorted log in blocks of users, each cut as a log of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import EventLog, Rule
from recstage.data.interactions import IdMap
from recstage.data.out_of_core.sorted_log import SortedLog
from recstage.data.split import Split
from recstage.data.split.cutting import candidates_of
from recstage.data.split.parts import liked_pairs, parts_of, with_newcomers
from recstage.data.split.places import Together, cuts_of

BLOCK_EVENTS = 500_000
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class UserBlocks:
    """Blocks of some `BLOCK_EVENTS` events of whole users. `user_of` and `item_of` turn codes into indices; `threads`
    blocks are worked on at once."""

    log: SortedLog
    user_of: NDArray[np.int32]
    item_of: NDArray[np.int32]
    n_items: int
    ordered: bool
    threads: int

    @property
    def per_user(self) -> NDArray[np.int64]:
        """Events of each user."""
        return self.log.per_user[self.log.per_user > 0]

    def each(self, work: Callable[[int, EventLog], Result]) -> Iterator[Result]:
        """`work(first user, events of the block)` of every block, in their order."""
        ends = np.cumsum(self.per_user)
        bounds, first = [], 0
        while first < len(ends):
            begin = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, begin + BLOCK_EVENTS, side="right")))
            bounds.append((first, last, begin, int(ends[last - 1])))
            first = last
        with ThreadPoolExecutor(self.threads) as pool:
            running: list[Future[Result]] = []
            for first, last, begin, end in bounds:
                running.append(
                    pool.submit(lambda a, b, c, d: work(a, self._block(a, b, c, d)), first, last, begin, end)
                )
                if len(running) > self.threads:
                    yield running.pop(0).result()
            for one in running:
                yield one.result()

    def _block(self, first: int, last: int, begin: int, end: int) -> EventLog:
        def column(name: str) -> NDArray:
            return np.array(self.log.column(name)[begin:end])

        return EventLog(
            IdMap.of_size(last - first),
            IdMap.of_size(self.n_items),
            self.user_of[column("user")] - np.int32(first),
            self.item_of[column("item")],
            column("weight"),
            column("negative"),
            np.floor(column("time")).astype(np.int64),
            column("part") if self.log.has_held_out else np.zeros(end - begin, np.int8),
            self.ordered,
        )


@dataclass(frozen=True, eq=False)
class Cutting:
    """How every block is cut: `drawn` int64[n_pairs] is the place of each pair in the order drawn by the seed, pairs
    counted through all blocks, with `first_pair` of each block by its first user; `kept` rows of cold-start users."""

    config: SplitConfig
    rule: Rule
    drawn: NDArray[np.int64] | None = None
    first_pair: dict[int, int] | None = None
    together: Together = field(default_factory=Together)
    kept: NDArray[np.int64] | None = None

    def in_order(self, first: int, log: EventLog) -> EventLog:
        """The block in the order in which it is cut."""
        if self.drawn is None or self.first_pair is None:
            return log
        begin = self.first_pair[first]
        return log.in_order_of(self.drawn[begin : begin + len(log.first)])

    def times_of_candidates(self, first: int, log: EventLog) -> NDArray[np.int64]:
        """Of the first event of each pair of the block that was liked in the end."""
        return log.timestamp[candidates_of(log, liked_pairs(log, self.rule)[1])]

    def cut(self, first: int, log: EventLog) -> tuple[EventLog, int, Split]:
        """The block (in order), how many of its pairs were liked, and its parts."""
        log = self.in_order(first, log)
        liked = liked_pairs(log, self.rule)[1]
        candidates = candidates_of(log, liked)
        cuts = cuts_of(log, self.config, candidates, self.together)
        split = parts_of(log, cuts, self.config.label, self.rule, liked)
        kept = None if self.kept is None else self.kept[first : first + len(log.users)]
        return log, len(candidates), with_newcomers(split, kept)
