"""Business rules: list, get, create, change, delete. For admins."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter
from fastapi import Body as JsonBody

from serving.api.dependencies import AdminRole, ServiceDep, StoreDep, not_found, run_read, run_write
from serving.api.routes.rules.bodies import (
    NewRuleBody,
    RuleBody,
    RuleContentBody,
    RuleNameInPath,
    RulesBody,
    RulesChangedBody,
    body_of,
    check_rule,
    rule_of,
)
from serving.errors import Problem, documented
from serving.store.db.writer import Task
from serving.store.repositories.rules import (
    CreateRule,
    DeleteRule,
    NoSuchRule,
    ReplaceRule,
    RuleExists,
    current_version,
    stored_rules,
)
from serving.store.store import Store

router = APIRouter(prefix="/api/rules", tags=["rules"])
T = TypeVar("T")
_EXAMPLES = {
    "exclude": {
        "summary": "Leave items out",
        "value": {"name": "no-horror", "action": {"type": "exclude", "filter": "category=Horror"}},
    },
    "pin": {
        "summary": "An item at the first rank, for cold-start users",
        "value": {
            "name": "editors-choice",
            "action": {"type": "pin", "item_id": "2858", "rank": 1},
            "target": {"lists": ["recommendations"], "segments": ["cold"]},
        },
    },
    "cap": {
        "summary": "At most two of a category",
        "value": {"name": "two-of-each", "action": {"type": "cap", "attribute": "category", "most": 2}},
    },
    "boost": {
        "summary": "Move items up until the end of the year",
        "value": {
            "name": "winter",
            "action": {"type": "boost", "filter": "category=Drama", "weight": 0.3},
            "ends_at": "2099-12-31T23:00:00Z",
        },
    },
}


@router.get("", summary="List all business rules", responses=documented(401, 403, 429, 503))
async def list_rules(store: StoreDep, principal: AdminRole) -> RulesBody:
    """All rules, whether or not they hold now."""
    found = await run_read(stored_rules, store.reader)
    return RulesBody(version=await run_read(current_version, store.reader), rules=[body_of(one) for one in found])


@router.post(
    "",
    summary="Add a business rule",
    status_code=201,
    responses=documented(400, 401, 403, 408, 409, 413, 422, 429, 503),
)
async def create_rule(
    body: Annotated[NewRuleBody, JsonBody(openapi_examples=_EXAMPLES)],
    store: StoreDep,
    service: ServiceDep,
    principal: AdminRole,
) -> RuleBody:
    """Add a rule. Once this responds, it holds for the next list of every worker."""
    rule = rule_of(body.name, body)
    await run_read(check_rule, rule, service, store)
    await write_rules(store, CreateRule(rule, principal.name, service.settings.max_rules))
    return await _answer(store, body.name)


@router.get("/{name}", summary="Read one business rule", responses=documented(401, 403, 404, 422, 429, 503))
async def get_rule(name: RuleNameInPath, store: StoreDep, principal: AdminRole) -> RuleBody:
    """A rule."""
    return await _answer(store, name)


@router.put(
    "/{name}", summary="Replace one business rule", responses=documented(400, 401, 403, 404, 408, 413, 422, 429, 503)
)
async def change_rule(
    name: RuleNameInPath, body: RuleContentBody, store: StoreDep, service: ServiceDep, principal: AdminRole
) -> RuleBody:
    """Change a rule as a whole: what is not given becomes the default."""
    rule = rule_of(name, body)
    await run_read(check_rule, rule, service, store)
    await write_rules(store, ReplaceRule(rule, principal.name, service.settings.max_rules))
    return await _answer(store, name)


@router.delete("/{name}", summary="Delete one business rule", responses=documented(401, 403, 404, 422, 429, 503))
async def delete_rule(name: RuleNameInPath, store: StoreDep, principal: AdminRole) -> RulesChangedBody:
    """Delete a rule; its history stays, and a revert brings it back."""
    return RulesChangedBody(version=await write_rules(store, DeleteRule(name, principal.name)))


async def write_rules(store: Store, task: Task[T]) -> T:
    """The result of a change. Raises a 404 or 409 problem, or `InvalidRule`."""
    try:
        return await run_write(store, task)
    except NoSuchRule as error:
        raise Problem(404, "unknown-rule", str(error)) from error
    except RuleExists as error:
        raise Problem(409, "rule-exists", str(error)) from error


async def _answer(store: Store, name: str) -> RuleBody:
    found = await run_read(stored_rules, store.reader)
    for one in found:
        if one.rule.name == name:
            return body_of(one)
    raise not_found("rule", name)
