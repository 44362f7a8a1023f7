"""The rules of one moment: which hold, until when, and whether lists that keep them may be mixed."""

from __future__ import annotations

import pytest

from serving.rules.attributes import PostedItems
from serving.rules.definitions import Boost, Cap, Exclude, Floor, Include, Pin, Rule
from serving.rules.ruleset import HOUR_MS, NO_RULES, RuleSet

OUT = Exclude(type="exclude", filter="price<=3")


@pytest.mark.parametrize(
    ("action", "arranges"),
    [
        (OUT, False),
        (Include(type="include", filter="price<=3"), False),
        (Cap(type="cap", attribute="category", most=2), True),
        (Pin(type="pin", item_id="i1", rank=1), True),
        (Boost(type="boost", filter="price<=3", weight=1), True),
        (Floor(type="floor", share=0.1), True),
    ],
)
def test_rules_that_only_leave_items_out_let_lists_be_mixed(action, arranges):
    assert RuleSet((Rule("r", action),)).arranges is arranges
    assert not NO_RULES.arranges


def test_a_set_holds_until_the_next_rule_begins_or_ends():
    rules = [Rule("a", OUT, starts_at=100, ends_at=300), Rule("b", OUT, ends_at=200), Rule("c", OUT, enabled=False)]
    found = {now: RuleSet.at(now, rules, 1, 7, PostedItems()) for now in (50, 100, 150, 200, 300)}
    assert {now: [rule.name for rule in one.rules] for now, one in found.items()} == {
        50: ["b"],
        100: ["a", "b"],
        150: ["a", "b"],
        200: ["a"],
        300: [],
    }
    assert {now: one.valid_until for now, one in found.items()} == {50: 100, 100: 200, 150: 200, 200: 300, 300: None}
    assert found[100].key == found[150].key
    assert len({one.key for one in found.values()}) == 4


def test_a_rule_that_looks_at_ages_makes_a_set_hold_for_an_hour_at_most():
    now = 5 * HOUR_MS + 7
    found = RuleSet.at(now, [Rule("new", Floor(type="floor", share=0.1))], 1, 7, PostedItems())
    assert (found.moment, found.valid_until) == (5 * HOUR_MS, 6 * HOUR_MS)
