"""What requests about rules hold and what is answered, and the checks of a rule against what is served."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, Field, StrictBool

from serving.api.fields import AnyTime, Body, milliseconds, moment_of, without_control_characters
from serving.rules.definitions import (
    ALL_LISTS,
    NAME_PATTERN,
    RESERVED_NAMES,
    Action,
    Cap,
    InvalidRule,
    Objective,
    Pin,
    Rule,
    Target,
    check_times,
)
from serving.service import Service
from serving.store.repositories.events import now_ms
from serving.store.repositories.items import item_state
from serving.store.repositories.rules import Change, StoredRule
from serving.store.store import Store

State = Literal["active", "scheduled", "ended", "disabled"]


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"The name '{name}' stands for something else in this address; take another")
    return name


RuleName = Annotated[str, Field(pattern=NAME_PATTERN, examples=["no-horror"]), AfterValidator(_not_reserved)]
RuleNameInPath = Annotated[str, Path(pattern=NAME_PATTERN, description="the rule", examples=["no-horror"])]


class RuleContentBody(Body):
    """A rule without its name."""

    action: Action = Field(examples=[{"type": "exclude", "filter": "category=Horror"}])
    target: Target = Field(ALL_LISTS, description="the lists it holds for; all by default")
    starts_at: AnyTime | None = Field(None, description="from when on; null: at once")
    ends_at: AnyTime | None = Field(None, description="until when; null: until it is deleted")
    enabled: StrictBool = Field(True, examples=[True])
    note: Annotated[str, AfterValidator(without_control_characters)] = Field(
        "", max_length=500, description="for other editors", examples=["Halloween is over"]
    )


class NewRuleBody(RuleContentBody):
    """A new rule; its name stays for good, and lists tell it in `rules_applied`."""

    name: RuleName


class RuleBody(BaseModel):
    """A rule as it is."""

    name: str = Field(examples=["no-horror"])
    action: Action
    target: Target
    starts_at: datetime | None = Field(description="null: at once")
    ends_at: datetime | None = Field(description="null: until it is deleted")
    enabled: bool = Field(examples=[True])
    note: str = Field(examples=["Halloween is over"])
    state: State = Field(examples=["active"], description="whether it holds now")
    version: int = Field(examples=[3], description="of all rules, when this one was changed last")
    changed_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])
    changed_by: str = Field(examples=["shop"], description="name of the API key, or token")


class RulesBody(BaseModel):
    """All rules, in the order of their names."""

    version: int = Field(examples=[3], description="of the rules: every change makes one")
    rules: list[RuleBody]


class RulesChangedBody(BaseModel):
    """The change is on disk, and holds for the next list of every worker."""

    version: int = Field(examples=[4], description="of the rules, after the change")


class ChangeOfRuleBody(BaseModel):
    """What one rule became in a version."""

    name: str = Field(examples=["no-horror"])
    change: Literal["create", "update", "delete", "revert"] = Field(examples=["create"])
    rule: RuleContentBody | None = Field(description="null: it was deleted")


class RulesVersionBody(BaseModel):
    """A version of the rules: what changed, when, and by whom."""

    version: int = Field(examples=[3])
    changed_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])
    changed_by: str = Field(examples=["shop"])
    changes: list[ChangeOfRuleBody]


class RulesVersionsBody(BaseModel):
    """A page of versions, newest first."""

    versions: list[RulesVersionBody]
    next: int | None = Field(examples=[None], description="`before` of the next page; null: no more")


# -- from bodies to rules and back ------------------------------------------------------------------------------------


def rule_of(name: str, body: RuleContentBody) -> Rule:
    """The rule of a body."""
    return Rule(
        name,
        body.action,
        body.target,
        None if body.starts_at is None else milliseconds(body.starts_at),
        None if body.ends_at is None else milliseconds(body.ends_at),
        body.enabled,
        body.note,
    )


def body_of(stored: StoredRule) -> RuleBody:
    """A stored rule as it is answered."""
    rule, now = stored.rule, now_ms()
    state: State = "disabled"
    if rule.enabled:
        ended = rule.ends_at is not None and rule.ends_at <= now
        state = "active" if rule.active(now) else ("ended" if ended else "scheduled")
    return RuleBody(
        name=rule.name,
        action=rule.action,
        target=rule.target,
        starts_at=None if rule.starts_at is None else moment_of(rule.starts_at),
        ends_at=None if rule.ends_at is None else moment_of(rule.ends_at),
        enabled=rule.enabled,
        note=rule.note,
        state=state,
        version=stored.version,
        changed_at=moment_of(stored.changed_at),
        changed_by=stored.changed_by,
    )


def change_body_of(change: Change) -> ChangeOfRuleBody:
    """A change as it is answered."""
    rule = change.rule
    content = None
    if rule is not None:
        content = RuleContentBody.model_construct(
            action=rule.action,
            target=rule.target,
            starts_at=None if rule.starts_at is None else moment_of(rule.starts_at),
            ends_at=None if rule.ends_at is None else moment_of(rule.ends_at),
            enabled=rule.enabled,
            note=rule.note,
        )
    return ChangeOfRuleBody(name=change.name, change=change.change, rule=content)


def check_rule(rule: Rule, service: Service, store: Store) -> None:
    """Raise `InvalidRule` or `InvalidFilter` where a rule could not hold: its times, its item, its attributes.

    Items and attributes are those of the served version and of the service's own catalogue.
    """
    check_times(rule.starts_at, rule.ends_at, now_ms())
    served = service.versions.served or service.fallback.served
    if isinstance(rule.action, Pin):
        item_id = rule.action.item_id
        state = item_state(store.reader, item_id)
        trained = served is not None and served.train.items.find(item_id) >= 0
        if not trained and (state is None or state.deleted):
            raise InvalidRule(
                f"a pin of item '{item_id[:80]}'",
                rule="neither the served version nor the catalogue knows it",
                fix="POST it to /api/items, or pin another",
            )
    if served is None:
        return
    attributes = service.rule_engine.attributes(served, store.rules.rules())
    if rule.filter is not None:
        attributes.check(rule.filter)
    if isinstance(rule.action, Cap):
        attributes.column(rule.action.attribute)
    if isinstance(rule.action, Objective):
        attributes.column(rule.action.attribute).numbers()
