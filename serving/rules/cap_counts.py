"""How much room the caps of a list leave, while it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serving.rules.definitions import Rule
from serving.rules.plan import CompiledCaps


class CapCounts:
    """How many items of each capped value are on a list; `passed`: the caps that passed an item over, by place."""

    def __init__(self, caps: CompiledCaps | None) -> None:
        self._caps = caps
        self._held: dict[int, int] = {}
        self._full: set[int] = set()
        self.passed: set[int] = set()

    def state(self) -> tuple[dict[int, int], set[int], set[int]]:
        """What `restore` brings back."""
        return dict(self._held), set(self._full), set(self.passed)

    def restore(self, state: tuple[dict[int, int], set[int], set[int]]) -> None:
        """Be as when `state` was called."""
        held, full, passed = state
        self._held, self._full, self.passed = dict(held), set(full), set(passed)

    def take(self, item: int) -> bool:
        """Count an item where all caps leave room for it."""
        return bool(self.take_all([item], set(), 1))

    def take_all(self, items: Sequence[int], taken: set[int], most: int) -> list[int]:
        """Places of the items that the caps leave room for, at most `most`, without those `taken`; counts them."""
        if self._caps is None:
            return [place for place, item in enumerate(items) if item not in taken][:most]
        kept: list[int] = []
        # this loop passes over dozens of items for each list: a set and tuples of numbers are what is quick here
        codes_of, full, add = self._caps.codes, self._full, self._add
        room, n_caps = full.isdisjoint, len(self._caps.rules)
        for place, item in enumerate(items if most else ()):
            codes = codes_of[item]
            if not room(codes):
                if len(self.passed) < n_caps:
                    self.passed.update(self._caps.cap_of[code] for code in codes if code in full)
            elif item not in taken:
                kept.append(place)
                add(codes)
                if len(kept) == most:
                    break
        return kept

    def applied(self) -> list[Rule]:
        """The caps that passed an item over."""
        return [] if self._caps is None else [self._caps.rules[cap] for cap in self.passed]

    def _add(self, codes: Iterable[int]) -> None:
        held, most = self._held, self._caps.most  # type: ignore[union-attr]
        for code in codes:
            count = held[code] = held.get(code, 0) + 1
            if count >= most[code]:
                self._full.add(code)

    def put(self, item: int) -> None:
        """Count an item, whether or not there is room."""
        if self._caps is not None:
            self._add(self._caps.codes[item])

    def remove(self, item: int) -> None:
        """Count an item no longer."""
        if self._caps is not None:
            for code in self._caps.codes[item]:
                self._held[code] -= 1
                if self._held[code] < self._caps.most[code]:
                    self._full.discard(code)
