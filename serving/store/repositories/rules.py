"""The business rules with all their versions, and the attributes of posted items that they look at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, bindparam, func, insert, select

from recstage.errors import InputError
from serving.rules.attributes import PostedItem, PostedItems
from serving.rules.columns import Value
from serving.rules.definitions import Rule, check_together
from serving.rules.ruleset import NO_RULES, RuleSet
from serving.store.db import change_counters
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import Item, ItemCategory, RuleChange
from serving.store.db.writer import Task
from serving.store.repositories.events import now_ms

log = logging.getLogger("serving.store.rules")
EVER = (1 << 31) - 1
"""A version that is never reached."""


def _last_changes(until: Any) -> Any:
    """The last change of each rule up to a version."""
    last = (
        select(RuleChange.name, func.max(RuleChange.version).label("version"))
        .where(RuleChange.version <= until)
        .group_by(RuleChange.name)
        .subquery()
    )
    return (
        select(RuleChange.name, RuleChange.definition, RuleChange.version, RuleChange.changed_at, RuleChange.changed_by)
        .join(last, (RuleChange.name == last.c.name) & (RuleChange.version == last.c.version))
        .order_by(RuleChange.name)
    )


_RULES = Query("rules", _last_changes(bindparam("until")))
_VERSION = Query("rules_version", select(func.max(RuleChange.version)))
_CHANGES = Query(
    "rule_changes",
    select(
        RuleChange.version,
        RuleChange.name,
        RuleChange.change,
        RuleChange.definition,
        RuleChange.changed_at,
        RuleChange.changed_by,
    )
    .where(RuleChange.version < bindparam("before"))
    .order_by(RuleChange.version.desc(), RuleChange.name)
    .limit(bindparam("limit")),
)
_POSTED = Query(
    "posted_items",
    select(Item.item_id, Item.created_at, Item.attributes, Item.posted_version).where(
        Item.posted_version > bindparam("after")
    ),
)
_POSTED_CATEGORIES = Query(
    "posted_categories",
    select(ItemCategory.item_id, ItemCategory.category)
    .where(ItemCategory.item_id.in_(select(Item.item_id).where(Item.posted_version > bindparam("after"))))
    .order_by(ItemCategory.item_id, ItemCategory.position),
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule, and its last change: in which version, when (milliseconds since 1970), by whom."""

    rule: Rule
    version: int
    changed_at: int
    changed_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the rule as it was from then on; None: deleted."""

    version: int
    name: str
    change: str
    rule: Rule | None
    changed_at: int
    changed_by: str


def stored_rules(reader: Reader, version: int = EVER) -> list[StoredRule]:
    """The rules as of a version (by default now), in the order of their names. Raises `StoreError`."""
    return list(_stored(reader.rows(_RULES, {"until": version})))


def current_version(reader: Reader) -> int:
    """The version of the rules; 0 before the first change. Raises `StoreError`."""
    row = reader.row(_VERSION)
    return 0 if row is None or row[0] is None else int(row[0])


def changes(reader: Reader, before: int, limit: int) -> list[Change]:
    """The changes before a version, newest first. Raises `StoreError`."""
    found = []
    for version, name, change, definition, at, by in reader.rows(_CHANGES, {"before": before, "limit": limit}):
        found.append(Change(version, name, change, _rule(name, definition), at, by))
    return found


class RulesReader:
    """`RuleSource` on the store: reads rules and posted items when their counters moved."""

    def __init__(self, reader: Reader, *, fast: bool) -> None:
        self.fast = fast
        self._reader = reader
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._version = 0
        self._counter: int | None = None
        self._posted = PostedItems()
        self._last = NO_RULES

    def rules(self) -> RuleSet:
        """The rules that hold now. Raises `StoreError`."""
        with self._lock:
            counter = change_counters.read(self._reader, change_counters.RULES)
            posted = change_counters.read(self._reader, change_counters.POSTED)
            if counter != self._counter:
                self._rules = [one.rule for one in stored_rules(self._reader)]
                self._version = current_version(self._reader)
                self._counter = counter
            if posted != self._posted.version:
                self._posted = self._read_posted(posted)
            found = RuleSet.at(now_ms(), self._rules, self._version, counter, self._posted)
            if found.key != self._last.key or found.valid_until != self._last.valid_until:
                self._last = found
            return self._last

    def _read_posted(self, version: int) -> PostedItems:
        """What was posted since the last time; everything where the counter went back: a backup was restored."""
        known = self._posted if self._posted.version < version else PostedItems()
        after = {"after": known.version}
        rows = self._reader.rows(_POSTED, after)  # before their categories: what is posted between is read next time
        categories: dict[str, list[str]] = {}
        for item_id, category in self._reader.rows(_POSTED_CATEGORIES, after):
            categories.setdefault(item_id, []).append(category)
        items = dict(known.items)
        for item_id, created_at, attributes, at in rows:
            items[item_id] = PostedItem(
                created_at / 1000, tuple(categories.get(item_id, ())), _values(from_json(attributes) or {})
            )
            version = max(version, at)
        return PostedItems(items, version)


def _values(attributes: Mapping[str, Any]) -> dict[str, Value]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}


def _stored(rows: Iterable[Sequence[Any]]) -> Iterable[StoredRule]:
    for name, definition, version, at, by in rows:
        rule = _rule(name, definition)
        if rule is not None:
            yield StoredRule(rule, version, at, by)


def _rule(name: str, definition: Any) -> Rule | None:
    """A rule as it was stored; None where it was deleted, or is of a kind that only a newer version knows."""
    stored = from_json(definition)
    if stored is None:
        return None
    try:
        return Rule.from_json(name, stored)
    except (ValidationError, KeyError, TypeError):
        log.warning("a stored rule cannot be read", extra={"event": "rule-unreadable", "rule": name})
        return None


# -- writing ----------------------------------------------------------------------------------------------------------


class RuleExists(InputError):
    """A rule of this name is there already."""


class NoSuchRule(InputError):
    """There is no rule of this name, or no such version."""


class _ChangeRules(Task[int]):
    """Base of all changes; each makes a version, whose number it returns."""

    def __init__(self, by: str, most: int) -> None:
        self.by, self.most = by, most

    def run(self, connection: Connection) -> int:
        now = now_ms()
        change_counters.bump(connection, change_counters.RULES, now)  # first: it makes other processes wait
        change_counters.bump(connection, change_counters.HIDDEN, now)
        rows = connection.execute(_last_changes(EVER)).all()
        current = {one.rule.name: one.rule for one in _stored(rows)}
        newest = connection.execute(select(func.max(RuleChange.version))).scalar() or 0
        changed = self.changed(connection, current)
        after = {**current, **{name: rule for name, (_, rule) in changed.items() if rule is not None}}
        if len(after) > self.most and len(after) > len(current):
            raise InputError(
                f"{len(after)} rules", rule=f"there may be {self.most}", fix="Delete some, or raise max_rules"
            )
        if not changed:
            return int(newest)
        connection.execute(
            insert(RuleChange),
            [
                {
                    "version": newest + 1,
                    "name": name,
                    "change": change,
                    "definition": None if rule is None else rule.to_json(),
                    "changed_at": now,
                    "changed_by": self.by[:128],
                }
                for name, (change, rule) in changed.items()
            ],
        )
        return int(newest) + 1

    def changed(self, connection: Connection, current: Mapping[str, Rule]) -> dict[str, tuple[str, Rule | None]]:
        """What changes, by name: the kind of change, and the rule from now on (None: deleted)."""
        raise NotImplementedError


class CreateRule(_ChangeRules):
    """Add a rule. Raises `RuleExists`, and `InvalidRule` where it cannot hold beside the others."""

    name = "create_rule"

    def __init__(self, rule: Rule, by: str, most: int) -> None:
        super().__init__(by, most)
        self.rule = rule

    def changed(self, connection: Connection, current: Mapping[str, Rule]) -> dict[str, tuple[str, Rule | None]]:
        if self.rule.name in current:
            raise RuleExists(
                f"rule '{self.rule.name}'", rule="there is one of this name", fix="PUT changes it; or take another name"
            )
        check_together(self.rule, current.values())
        return {self.rule.name: ("create", self.rule)}


class ReplaceRule(CreateRule):
    """Change a rule. Raises `NoSuchRule`, and `InvalidRule` as `CreateRule` does."""

    name = "replace_rule"

    def changed(self, connection: Connection, current: Mapping[str, Rule]) -> dict[str, tuple[str, Rule | None]]:
        if self.rule.name not in current:
            raise _no_rule(self.rule.name)
        if current[self.rule.name] == self.rule:
            return {}
        check_together(self.rule, current.values())
        return {self.rule.name: ("update", self.rule)}


class DeleteRule(_ChangeRules):
    """Delete a rule; its history stays. Raises `NoSuchRule`."""

    name = "delete_rule"

    def __init__(self, rule: str, by: str) -> None:
        super().__init__(by, EVER)
        self.rule = rule

    def changed(self, connection: Connection, current: Mapping[str, Rule]) -> dict[str, tuple[str, Rule | None]]:
        if self.rule not in current:
            raise _no_rule(self.rule)
        return {self.rule: ("delete", None)}


class RevertRules(_ChangeRules):
    """Bring back all rules as they were at a version; what has ended since is ended still. Raises `NoSuchRule`."""

    name = "revert_rules"

    def __init__(self, version: int, by: str) -> None:
        super().__init__(by, EVER)
        self.version = version

    def changed(self, connection: Connection, current: Mapping[str, Rule]) -> dict[str, tuple[str, Rule | None]]:
        newest = connection.execute(select(func.max(RuleChange.version))).scalar() or 0
        if not 0 <= self.version <= newest:
            raise NoSuchRule(
                f"version {self.version}",
                rule=f"versions of the rules are 0 to {newest}",
                fix="GET /api/rules/versions",
            )
        then = {one.rule.name: one.rule for one in _stored(connection.execute(_last_changes(self.version)).all())}
        return {
            name: ("revert", then.get(name))
            for name in sorted(current.keys() | then.keys())
            if current.get(name) != then.get(name)
        }


def _no_rule(name: str) -> NoSuchRule:
    return NoSuchRule(f"rule '{name[:80]}'", rule="there is none of this name", fix="GET /api/rules lists them")
