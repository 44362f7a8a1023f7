"""The rules of one kind of list as arrays over the items of one loaded model, compiled once for all requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import IdMap
from serving.rules.attributes import ItemAttributes
from serving.rules.columns import places
from serving.rules.definitions import Boost, Bury, Cap, Exclude, Floor, Include, Objective, Pin, Rule
from serving.rules.query import NOTHING_KNOWN, Filter, InvalidFilter, Known, bound, references


@dataclass(frozen=True, slots=True)
class PlacedPin:
    """An item (its index) at a rank, and the rule that says so."""

    rank: int
    item: int
    rule: Rule


@dataclass(frozen=True, slots=True, eq=False)
class CompiledCaps:
    """All caps at once: each value of each capped attribute has a code, each code a limit.

    `codes`: those of each item. `most`: items of a list that may have a code. `cap_of`: whose limit it is, by its place
    in `rules`.
    """

    codes: Sequence[tuple[int, ...]]
    most: Sequence[int]
    cap_of: Sequence[int]
    rules: Sequence[Rule]

    @classmethod
    def of(cls, caps: Sequence[tuple[Rule, Sequence[tuple[Any, ...]], int]]) -> CompiledCaps:
        """From each cap's rule, values of each item, and limit."""
        code_of: dict[tuple[int, Any], int] = {}
        same: dict[tuple[int, ...], tuple[int, ...]] = {}
        codes = []
        for values in zip(*(groups for _, groups, _ in caps), strict=True):
            found = tuple(
                code_of.setdefault((cap, value), len(code_of)) for cap, some in enumerate(values) for value in some
            )
            codes.append(same.setdefault(found, found))  # one tuple for all items with the same values
        return cls(
            codes, [caps[cap][2] for cap, _ in code_of], [cap for cap, _ in code_of], [rule for rule, _, _ in caps]
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompiledShift:
    """How far a boost (up), a burial (down) or an objective moves each item, in ranges of the candidates' scores:
    float32[n_items]."""

    rule: Rule
    by: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledFloor:
    """At least a share of the items of a mask: bool[n_items]."""

    rule: Rule
    mask: NDArray[np.bool_]
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class ListPlan:
    """What the rules say of one kind of list. `excluded` bool[n_items]: what they leave out (None: nothing), by the
    rules `excluding`. `misfits`: rules that name an attribute this model's items lack; they match no item."""

    excluded: NDArray[np.bool_] | None = None
    excluding: tuple[Rule, ...] = ()
    pins: tuple[PlacedPin, ...] = ()
    caps: CompiledCaps | None = None
    shifts: tuple[CompiledShift, ...] = ()
    shift: NDArray[np.float32] | None = None
    """The sum of all weights for each item: float32[n_items]."""
    floors: tuple[CompiledFloor, ...] = ()
    misfits: tuple[str, ...] = ()

    @property
    def arranges(self) -> bool:
        """Whether anything but leaving items out is to be done."""
        return bool(self.pins or self.caps is not None or self.shifts or self.floors)


def compile_plan(
    rules: Iterable[Rule], items: IdMap, attributes: ItemAttributes, now: float, known: Known = NOTHING_KNOWN
) -> ListPlan:
    """The plan of the rules that hold for one kind of list.

    Args:
        rules: that hold now, for this kind of list.
        items: of the loaded model.
        attributes: of these items.
        now: seconds since 1970, for `age_days`.
        known: of the user and the request, in place of `@profile.NAME` and `@context.NAME`. A rule that names something
            unknown, or whose attribute the value does not fit, does not hold.
    """
    excluded = np.zeros(len(items), bool)
    excluding: list[Rule] = []
    pins: dict[int, PlacedPin] = {}
    caps: list[tuple[Rule, Sequence[tuple[Any, ...]], int]] = []
    shifts: list[CompiledShift] = []
    floors: list[CompiledFloor] = []
    misfits: list[str] = []
    for rule, wanted in _holding(rules, attributes, now, known):
        action = rule.action
        matched = _matched(rule, wanted, attributes, now, misfits)
        match action:
            case Exclude() | Include():
                out = matched if isinstance(action, Exclude) else ~matched
                if out.any():
                    excluded |= out
                    excluding.append(rule)
            case Boost() | Bury() if matched.any():
                weight = action.weight if isinstance(action, Boost) else -action.weight
                shifts.append(CompiledShift(rule, matched * np.float32(weight)))
            case Objective():
                try:
                    values = attributes.column(action.attribute, int(now // 3600)).numbers()
                    shifts.append(CompiledShift(rule, places(values) * np.float32(action.weight)))
                except InvalidFilter:
                    misfits.append(rule.name)
            case Floor() if matched.any():
                floors.append(CompiledFloor(rule, matched, action.share))
            case Cap():
                try:
                    groups = attributes.column(action.attribute, int(now // 3600)).groups()
                    caps.append((rule, groups, action.most))
                except InvalidFilter:
                    misfits.append(rule.name)
            case Pin():
                item = items.find(action.item_id)
                if item >= 0:
                    pins.setdefault(action.rank, PlacedPin(action.rank, item, rule))
    return ListPlan(
        excluded if excluding else None,
        tuple(excluding),
        tuple(pins[rank] for rank in sorted(pins)),
        CompiledCaps.of(caps) if caps else None,
        tuple(shifts),
        np.sum([one.by for one in shifts], axis=0, dtype=np.float32) if shifts else None,
        tuple(floors),
        tuple(misfits),
    )


def _holding(
    rules: Iterable[Rule], attributes: ItemAttributes, now: float, known: Known
) -> Iterator[tuple[Rule, Filter | None]]:
    """Each rule with its filter, which names nothing of the user or the request any more."""
    for rule in rules:
        wanted = rule.filter
        if wanted is not None and (named := references([wanted])):
            if not named <= known.keys():
                continue
            (wanted,) = bound([wanted], known)
            if attributes.knows(wanted) and not _fits(wanted, attributes, now):
                continue
        yield rule, wanted


def _fits(wanted: Filter, attributes: ItemAttributes, now: float) -> bool:
    try:
        attributes.mask(wanted, now)
    except InvalidFilter:
        return False
    return True


def _matched(
    rule: Rule, wanted: Filter | None, attributes: ItemAttributes, now: float, misfits: list[str]
) -> NDArray[np.bool_]:
    """Items that the rule's filter matches, none where it has none: bool[n_items]."""
    nothing = np.zeros(len(attributes), bool)
    if wanted is None:
        return nothing
    try:
        return attributes.mask(wanted, now)
    except InvalidFilter:
        misfits.append(rule.name)
        return nothing
