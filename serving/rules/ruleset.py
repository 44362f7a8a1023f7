"""All rules of one moment, with what was posted of the items: one value that a request takes once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from serving.rules.attributes import AGE, NOTHING_POSTED, PostedItems, uses_age
from serving.rules.definitions import Exclude, Include, Rule
from serving.rules.query import references

HOUR_MS = 3_600_000


@dataclass(frozen=True, eq=False)
class RuleSet:
    """The rules that hold, in the order of their names, and the posted items whose attributes they look at.

    `version` of the rules, as the admin API counts it. `valid_until`: when another set holds, milliseconds since 1970,
    None: not before something is changed.
    """

    rules: tuple[Rule, ...] = ()
    posted: PostedItems = NOTHING_POSTED
    version: int = 0
    state: int = 0
    """Never repeats, even after a backup was restored."""
    valid_until: float | None = None
    moment: int = 0
    """Since when this set holds: milliseconds since 1970."""

    @property
    def key(self) -> tuple[int, int, int]:
        """Part of each cache key: differs where anything of it does."""
        return self.state, self.posted.version, self.moment

    @cached_property
    def references(self) -> frozenset[str]:
        """What of the user or the request the rules name: `profile.NAME` and `context.NAME`."""
        return references(rule.filter for rule in self.rules if rule.filter is not None)

    @property
    def arranges(self) -> bool:
        """Whether any rule does more than leave items out: two lists that keep such rules may break them when mixed."""
        return any(not isinstance(rule.action, Exclude | Include) for rule in self.rules)

    @classmethod
    def at(cls, now: int, rules: Sequence[Rule], version: int, state: int, posted: PostedItems) -> RuleSet:
        """The set that holds at `now` (milliseconds since 1970), of all rules that are stored."""
        holding = tuple(sorted((rule for rule in rules if rule.active(now)), key=lambda rule: rule.name))
        moments = [at for rule in rules if rule.enabled for at in (rule.starts_at, rule.ends_at) if at is not None]
        if any(_changes_with_time(rule) for rule in holding):
            moments += [now // HOUR_MS * HOUR_MS, (now // HOUR_MS + 1) * HOUR_MS]
        until = min((at for at in moments if at > now), default=None)
        since = max((at for at in moments if at <= now), default=0)
        return cls(holding, posted, version, state, until, since)


def _changes_with_time(rule: Rule) -> bool:
    by_filter = rule.filter is not None and uses_age(rule.filter)
    return by_filter or getattr(rule.action, "attribute", None) == AGE


NO_RULES = RuleSet()
