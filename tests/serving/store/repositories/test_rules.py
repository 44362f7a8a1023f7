"""Business rules in the database: every change is a version, and every process sees it with its next read."""

from __future__ import annotations

import pytest

from recstage.errors import InputError
from serving.rules.definitions import Exclude, InvalidRule, Pin, Rule
from serving.store.repositories.events import now_ms
from serving.store.repositories.items import ChangeItem, DeleteItem, IngestItems, NewItem
from serving.store.repositories.rules import (
    CreateRule,
    DeleteRule,
    NoSuchRule,
    ReplaceRule,
    RevertRules,
    RuleExists,
    changes,
    current_version,
    stored_rules,
)

OUT = Rule("out", Exclude(type="exclude", filter="price<=3"), note="cheap")
FIRST = Rule("first", Pin(type="pin", item_id="i1", rank=1), ends_at=4_000_000_000_000)


def names(store) -> list[str]:
    return [rule.name for rule in store.rules.rules().rules]


def test_a_rule_is_read_as_it_was_created(store, do):
    assert do(CreateRule(OUT, "shop", 5)) == 1
    assert do(CreateRule(FIRST, "shop", 5)) == 2
    one, other = stored_rules(store.reader)
    assert (one.rule, one.version, one.changed_by) == (FIRST, 2, "shop")
    assert (other.rule, other.version) == (OUT, 1)
    assert store.rules.rules().rules == (FIRST, OUT)


def test_other_processes_see_a_change_with_their_next_read_and_the_hidden_items_move_with_it(open_store):
    one, other = open_store(), open_store()
    before, hidden = other.rules.rules(), other.hidden_items.hidden()
    one.writer.submit(CreateRule(OUT, "shop", 5)).result()
    after = other.rules.rules()
    assert [rule.name for rule in after.rules] == ["out"]
    assert after.key != before.key
    assert other.hidden_items.hidden().version != hidden.version
    assert other.rules.rules() is after  # nothing changed: the same set


def test_a_change_that_fails_makes_no_version(store, do):
    do(CreateRule(FIRST, "shop", 2))
    for task, kind in (
        (CreateRule(FIRST, "shop", 2), RuleExists),
        (ReplaceRule(OUT, "shop", 2), NoSuchRule),
        (DeleteRule("out", "shop"), NoSuchRule),
        (RevertRules(7, "shop"), NoSuchRule),
        (CreateRule(Rule("x", Pin(type="pin", item_id="i2", rank=1)), "shop", 2), InvalidRule),
    ):
        with pytest.raises(kind):
            do(task)
    do(CreateRule(OUT, "shop", 2))
    with pytest.raises(InputError, match="there may be 2"):
        do(CreateRule(Rule("more", OUT.action), "shop", 2))
    assert current_version(store.reader) == 2


def test_what_was_is_kept_and_brought_back(store, do):
    do(CreateRule(OUT, "ann", 5))
    do(ReplaceRule(Rule("out", OUT.action, enabled=False), "bob", 5))
    assert do(ReplaceRule(Rule("out", OUT.action, enabled=False), "bob", 5)) == 2  # nothing changed: no version
    do(DeleteRule("out", "eve"))
    assert names(store) == []
    assert [(one.version, one.change, one.changed_by) for one in changes(store.reader, 99, 10)] == [
        (3, "delete", "eve"),
        (2, "update", "bob"),
        (1, "create", "ann"),
    ]
    assert [one.rule for one in stored_rules(store.reader, 1)] == [OUT]
    assert do(RevertRules(1, "ann")) == 4
    assert store.rules.rules().rules == (OUT,)
    assert do(RevertRules(0, "ann")) == 5
    assert names(store) == []


def test_a_rule_that_has_not_begun_or_has_ended_is_not_in_the_set_and_the_set_says_until_when_it_holds(store, do):
    now = now_ms()
    do(CreateRule(Rule("later", OUT.action, starts_at=now + 3_600_000), "shop", 5))
    do(CreateRule(Rule("past", OUT.action, ends_at=now - 1), "shop", 5))
    do(CreateRule(Rule("now", OUT.action, ends_at=now + 7_200_000), "shop", 5))
    found = store.rules.rules()
    assert [rule.name for rule in found.rules] == ["now"]
    assert found.valid_until == now + 3_600_000


def test_attributes_and_categories_of_posted_items_are_read_as_they_change(open_store):
    one, other = open_store(), open_store()

    def posted(item_id: str):
        found = other.rules.rules().posted.items.get(item_id)
        return None if found is None else (found.categories, dict(found.attributes))

    def write(task) -> None:
        one.writer.submit(task).result()

    write(IngestItems([NewItem("film", categories=("Drama",), attributes={"price": 3.0})]))
    write(IngestItems([NewItem("bare", "A title")]))
    assert posted("film") == (("Drama",), {"price": 3.0})
    assert posted("bare") is None
    write(ChangeItem("film", {"attributes": {"price": 4.0, "regions": ("DE",)}}))
    assert posted("film") == (("Drama",), {"price": 4.0, "regions": ("DE",)})
    write(ChangeItem("film", {"title": "Another"}))
    write(IngestItems([NewItem("other", attributes={"sale": True})]))
    assert posted("film") == (("Drama",), {"price": 4.0, "regions": ("DE",)})
    assert posted("other") == ((), {"sale": True})
    write(DeleteItem("film"))
    assert posted("film") == ((), {})


def test_a_rule_of_a_kind_that_only_newer_code_knows_is_left_out(store, do, caplog):
    do(CreateRule(OUT, "shop", 5))
    with store.writer._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE rule_changes SET definition = "
            '\'{"action": {"type": "teleport"}, "target": {}, "starts_at": null, "ends_at": null, '
            '"enabled": true, "note": ""}\''
        )
    do(CreateRule(FIRST, "shop", 5))
    assert names(store) == ["first"]
    assert "a stored rule cannot be read" in caplog.text
