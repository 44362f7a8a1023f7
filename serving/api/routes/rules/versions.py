"""The versions of the business rules: history, the rules as they were, and revert. For admins."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Path, Query

from serving.api.dependencies import AdminRole, StoreDep, run_read
from serving.api.fields import moment_of
from serving.api.routes.rules.bodies import (
    RulesBody,
    RulesChangedBody,
    RulesVersionBody,
    RulesVersionsBody,
    body_of,
    change_body_of,
)
from serving.api.routes.rules.rules import write_rules
from serving.errors import Problem, documented
from serving.store.repositories.rules import EVER, RevertRules, changes, current_version, stored_rules

router = APIRouter(prefix="/api/rules/versions", tags=["rules"])
Version = Annotated[int, Path(ge=0, le=EVER, description="of the rules; 0: before the first one", examples=[3])]
MAX_CHANGES = 5000
"""Changes that a page may hold: a revert changes several rules in one version."""


@router.get("", summary="List the changes of the rules", responses=documented(401, 403, 422, 429, 503))
async def rule_versions(
    store: StoreDep,
    principal: AdminRole,
    limit: Annotated[int, Query(ge=1, le=200, description="versions of a page")] = 50,
    before: Annotated[int, Query(ge=1, le=EVER, description="`next` of a page")] = EVER,
) -> RulesVersionsBody:
    """Who changed what and when, newest first."""
    found = await run_read(changes, store.reader, before, MAX_CHANGES)
    versions = [
        RulesVersionBody(
            version=version,
            changed_at=moment_of(members[0].changed_at),
            changed_by=members[0].changed_by,
            changes=[change_body_of(one) for one in members],
        )
        for version, members in ((key, list(group)) for key, group in groupby(found, lambda one: one.version))
    ]
    page = versions[:limit]
    more = len(versions) > limit or len(found) == MAX_CHANGES
    return RulesVersionsBody(versions=page, next=page[-1].version if more else None)


@router.get("/{version}", summary="Read the rules as of a version", responses=documented(401, 403, 404, 422, 429, 503))
async def rules_of_version(version: Version, store: StoreDep, principal: AdminRole) -> RulesBody:
    """The rules as they were at a version."""
    newest = await run_read(current_version, store.reader)
    if version > newest:
        raise Problem(404, "unknown-version", f"There is no version {version} of the rules; the newest is {newest}.")
    found = await run_read(stored_rules, store.reader, version)
    return RulesBody(version=version, rules=[body_of(one) for one in found])


@router.post(
    "/{version}/revert", summary="Bring back the rules of a version", responses=documented(401, 403, 404, 422, 429, 503)
)
async def revert_rules(version: Version, store: StoreDep, principal: AdminRole) -> RulesChangedBody:
    """Bring back all rules as they were at a version, as a new version; nothing is lost."""
    return RulesChangedBody(version=await write_rules(store, RevertRules(version, principal.name)))
