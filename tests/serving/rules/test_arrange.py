"""Lists by the rules, over many rules and models that Hypothesis makes: pins stand at their ranks, caps hold, excluded
items are never there, floors are met, and the same request gives the same list."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from recstage.models.ranking import top_k
from serving.rules.arrange import Arranged, arrange_scores, arrange_stored
from serving.rules.attributes import CatalogueColumns, ItemAttributes
from serving.rules.columns import places
from serving.rules.definitions import Boost, Bury, Cap, Exclude, Floor, Include, Objective, Pin, Rule
from serving.rules.plan import ListPlan, compile_plan
from tests.serving.rules.catalogues import N_ITEMS, NOW, catalogue, interactions

TRAIN = interactions()
ATTRIBUTES = ItemAttributes(CatalogueColumns(catalogue(TRAIN), TRAIN))
FILTERS = ["category=c0", "category=c1", "price<=6", "regions=US", "author!=a2", "item_id=i3|i4", "age_days<=4"]
_FILTER = some.sampled_from(FILTERS)
_WEIGHT = some.floats(0.1, 3)
_ACTION = some.one_of(
    some.builds(lambda text: Exclude(type="exclude", filter=text), _FILTER),
    some.builds(lambda text: Include(type="include", filter=text), some.sampled_from(["category=all", "price>=0"])),
    some.builds(
        lambda name, most: Cap(type="cap", attribute=name, most=most),
        some.sampled_from(["category", "author", "price", "new"]),
        some.integers(1, 4),
    ),
    some.builds(
        lambda item, rank: Pin(type="pin", item_id=f"i{item}", rank=rank),
        some.integers(0, N_ITEMS - 1),
        some.integers(1, 8),
    ),
    some.builds(lambda text, weight: Boost(type="boost", filter=text, weight=weight), _FILTER, _WEIGHT),
    some.builds(lambda text, weight: Bury(type="bury", filter=text, weight=weight), _FILTER, _WEIGHT),
    some.builds(
        lambda name, weight: Objective(type="objective", attribute=name, weight=weight),
        some.sampled_from(["price", "new", "age_days"]),
        some.floats(-3, 3),
    ),
    some.builds(lambda text, share: Floor(type="floor", filter=text, share=share), _FILTER, some.floats(0.1, 0.9)),
)
RULES = some.lists(_ACTION, max_size=7).map(
    lambda actions: [Rule(f"r{place}", action) for place, action in enumerate(actions)]
)
SCORES = some.lists(some.floats(-2, 2, width=32), min_size=N_ITEMS, max_size=N_ITEMS)


def plan_of(*rules: Rule) -> ListPlan:
    return compile_plan(rules, TRAIN.items, ATTRIBUTES, NOW)


def arranged(rules: list[Rule], scores: list[float], limit: int, seen: set[int], *, varied: bool = False) -> Arranged:
    """The list of a model with these scores, for a user who has seen some of the items."""
    plan = plan_of(*rules)
    out = np.zeros(N_ITEMS, bool)
    out[list(seen)] = True
    if plan.excluded is not None:
        out |= plan.excluded

    def backwards(items, found, k):
        return items[::-1][:k], found[::-1][:k]

    return arrange_scores(plan, limit, out, np.array(scores, np.float32), backwards if varied else None)


def ids(found: Arranged) -> list[str]:
    return [str(one) for one in TRAIN.items.id_of(found.items)]


def matches(text: str, item_ids: list[str]) -> int:
    mask = ATTRIBUTES.mask(Rule("x", Exclude(type="exclude", filter=text)).filter, NOW)
    return sum(bool(mask[TRAIN.items.find(one)]) for one in item_ids)


CASE = {
    "rules": RULES,
    "scores": SCORES,
    "limit": some.integers(1, 10),
    "seen": some.sets(some.integers(0, N_ITEMS - 1), max_size=6),
    "varied": some.booleans(),
}


@given(**CASE)
def test_no_rule_is_ever_broken(rules, scores, limit, seen, varied):
    found = arranged(rules, scores, limit, seen, varied=varied)
    listed = ids(found)
    assert len(listed) == len(set(listed)) <= limit
    assert not set(found.items.tolist()) & seen
    for rule in rules:
        match rule.action:
            case Exclude(filter=text):
                assert matches(text, listed) == 0
            case Include(filter=text):
                assert matches(text, listed) == len(listed)
            case Cap(attribute=name, most=most):
                groups = ATTRIBUTES.column(name).groups()
                values = [value for item in found.items.tolist() for value in groups[item]]
                assert all(values.count(value) <= most for value in values)
    for item, rule in found.pinned.items():
        place = found.items.tolist().index(item) + 1
        assert place == rule.action.rank or (place < rule.action.rank and len(listed) < limit)


@given(**CASE)
def test_the_same_request_gives_the_same_list(rules, scores, limit, seen, varied):
    one, other = (arranged(rules, scores, limit, seen, varied=varied) for _ in range(2))
    assert ids(one) == ids(other)
    assert one.scores.tolist() == other.scores.tolist()
    assert [rule.name for rule in one.applied] == [rule.name for rule in other.applied]


@given(scores=SCORES, limit=some.integers(1, 10), seen=CASE["seen"], share=some.floats(0.1, 1), text=_FILTER)
def test_a_floor_is_met_as_far_as_there_are_items(scores, limit, seen, share, text):
    found = arranged([Rule("new", Floor(type="floor", filter=text, share=share))], scores, limit, seen)
    mask = ATTRIBUTES.mask(Rule("x", Exclude(type="exclude", filter=text)).filter, NOW)
    possible = sum(bool(mask[item]) for item in range(N_ITEMS) if item not in seen)
    assert matches(text, ids(found)) >= min(ceil(share * limit - 1e-9), possible, limit)
    assert len(found.items) == min(limit, N_ITEMS - len(seen))


@given(scores=SCORES, limit=some.integers(1, 10), rules=RULES, seen=CASE["seen"])
def test_a_stored_list_gives_what_would_be_computed_or_nothing(scores, limit, rules, seen):
    plan = plan_of(*rules)
    out = np.zeros(N_ITEMS, bool)
    out[list(seen)] = True
    if plan.excluded is not None:
        out |= plan.excluded
    values = np.array(scores, np.float32)
    items, found = top_k(np.where(out, -np.inf, values)[None].astype(np.float32), N_ITEMS)
    kept = items[0] >= 0
    stored = arrange_stored(plan, limit, out, items[0][kept][:8], found[0][kept][:8])
    assume(stored is not None and len(stored.items) == limit)
    assert ids(stored) == ids(arranged(rules, scores, limit, seen))


DESCENDING = [1.0 - 0.05 * int(str(item)[1:]) for item in TRAIN.items.ids]
"""The model prefers i0 to i1, and so on."""


def listed_with(*actions, limit: int = 5, seen: set[int] = frozenset()) -> list[str]:
    rules = [Rule(f"r{place}", action) for place, action in enumerate(actions)]
    return ids(arranged(rules, DESCENDING, limit, {TRAIN.items.find(f"i{item}") for item in seen}))


def test_without_a_rule_the_list_is_that_of_the_model():
    assert listed_with() == ["i0", "i1", "i2", "i3", "i4"]


def test_pins_push_the_others_down():
    pins = [Pin(type="pin", item_id="i9", rank=1), Pin(type="pin", item_id="i1", rank=3)]
    assert listed_with(*pins) == ["i9", "i0", "i1", "i2", "i3"]


def test_an_item_that_two_rules_pin_stands_once_at_the_first_of_their_ranks():
    pins = [Pin(type="pin", item_id="i9", rank=4), Pin(type="pin", item_id="i9", rank=2)]
    assert listed_with(*pins) == ["i0", "i9", "i1", "i2", "i3"]


def test_an_excluded_or_seen_item_wins_over_its_pin():
    pin = Pin(type="pin", item_id="i9", rank=1)
    assert listed_with(pin, Exclude(type="exclude", filter="item_id=i9")) == ["i0", "i1", "i2", "i3", "i4"]
    assert listed_with(pin, seen={9}) == ["i0", "i1", "i2", "i3", "i4"]


def test_a_cap_looks_further_down_the_catalogue_than_the_first_candidates():
    # i0 ... i11 have the authors a0, a1, a2, a3, a0, (unknown), a2, a3, ...: one of each, and the unknown one
    assert listed_with(Cap(type="cap", attribute="author", most=1), limit=5) == ["i0", "i1", "i2", "i3", "i5"]


def test_a_boost_of_the_whole_range_lifts_the_last_above_the_first_and_a_burial_lowers():
    assert listed_with(Boost(type="boost", filter="item_id=i11", weight=1.5))[0] == "i11"
    assert "i0" not in listed_with(Bury(type="bury", filter="item_id=i0", weight=1.5))


def objective(attribute: str, weight: float) -> Objective:
    return Objective(type="objective", attribute=attribute, weight=weight)


def test_objectives_are_weighed_against_relevance_and_each_other():
    # the price rises, and the model's scores fall, from i0 to i11; i5 has no price
    assert listed_with(objective("price", 0.5)) == ["i0", "i1", "i2", "i3", "i4"]
    assert listed_with(objective("price", 3)) == ["i11", "i10", "i9", "i8", "i7"]
    assert listed_with(objective("price", 3), objective("age_days", -3)) == ["i0", "i1", "i2", "i3", "i4"]


def test_places_know_neither_units_nor_outliers_and_the_unknown_stands_in_the_middle():
    found = places(np.array([10.0, np.nan, 1e9, 20.0, 20.0]))
    assert found.tolist() == [-0.5, 0.0, 0.5, 0.0, 0.0]
    assert places(np.full(2, np.nan)).tolist() == [0.0, 0.0]


def test_an_objective_by_a_text_moves_no_item():
    plan = plan_of(Rule("r", objective("author", 1)), Rule("s", objective("colour", 1)))
    assert (plan.shift, plan.misfits) == (None, ("r", "s"))


def test_a_floor_replaces_the_last_items():
    floor = Floor(type="floor", filter="item_id=i10|i11", share=0.4)
    assert listed_with(floor) == ["i0", "i1", "i2", "i10", "i11"]


@pytest.mark.parametrize(
    ("action", "part"),
    [
        (Exclude(type="exclude", filter="item_id=i0"), True),
        (Exclude(type="exclude", filter="item_id=i99"), False),
        (Cap(type="cap", attribute="category", most=3), True),
        (Cap(type="cap", attribute="author", most=4), False),
        (Pin(type="pin", item_id="i99", rank=1), False),
        (Pin(type="pin", item_id="i9", rank=9), False),
        (Boost(type="boost", filter="item_id=i2", weight=0.1), True),
        (Floor(type="floor", filter="item_id=i0", share=0.1), False),
        (Cap(type="cap", attribute="colour", most=4), False),
    ],
)
def test_a_rule_is_told_where_it_had_a_part_in_the_list(action, part):
    found = arranged([Rule("r", action)], DESCENDING, 5, set())
    assert [rule.name for rule in found.applied] == (["r"] if part else [])
