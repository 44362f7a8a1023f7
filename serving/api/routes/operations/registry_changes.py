"""Promote, roll back and set the share: the gate, the history and the locks are those of the command line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, Field, StrictBool

from serving.api.dependencies import AdminRole, ServiceDep
from serving.api.fields import Body, without_control_characters
from serving.errors import Problem, documented
from serving.operations.operations import Operations
from serving.security.authentication import Principal
from serving.service import Service

router = APIRouter(prefix="/api/operations", tags=["operations"])
VersionNumber = Annotated[str, Field(pattern="^[0-9]{1,9}$", examples=["8"])]
Reason = Annotated[
    str,
    Field(min_length=3, max_length=500, examples=["weekly retraining"], description="why, for the history"),
    AfterValidator(without_control_characters),
]


class PromoteBody(Body):
    """Which version is to be Production, and why."""

    version: VersionNumber
    reason: Reason
    force: StrictBool = Field(False, description="promote even if the gate refuses; that is recorded")


class RollbackBody(Body):
    """Where to go back to, and why."""

    to: VersionNumber | None = Field(None, description="a version; null: what was Production before")
    reason: Reason


class ShareBody(Body):
    """Which users the version in Staging is shown to."""

    share: float = Field(ge=0, le=1, strict=True, examples=[0.1], description="of the users; 0 ends the experiment")
    mode: Literal["split", "shadow", "bandit", "contextual", "interleave"] = Field(
        "split", description="how the two are compared"
    )


class ShareSetBody(BaseModel):
    """The experiment as the service follows it, within two seconds."""

    experiment: str = Field(examples=["recommender-8-vs-7"])
    production: int = Field(examples=[7])
    challenger: int = Field(examples=[8])
    share: float = Field(examples=[0.1])
    mode: str = Field(examples=["split"])


class ChangedBody(BaseModel):
    """Production was changed; every worker follows within two seconds."""

    version: int = Field(examples=[8], description="what is Production now")
    previous: int | None = Field(examples=[7])
    gate: str | None = Field(
        examples=["passed"], description="passed, forced, or unchanged; null: a rollback, which asks no gate"
    )
    checks: list[str] = Field(
        examples=[["passed: ndcg_at_10 +0.012 [0.008, 0.016]"]], description="what the gate found"
    )


@router.post(
    "/promote",
    summary="Promote a version through the gate",
    responses=documented(400, 401, 403, 408, 409, 413, 422, 429, 503),
)
async def promote(body: PromoteBody, request: Request, service: ServiceDep, caller: AdminRole) -> ChangedBody:
    """Make a version Production, if the gate of conf/promotion.yaml allows; a 409 has its reasons under `errors`.

    Takes seconds, in which the service serves as before.
    """
    words = ["promote", body.version, *_about(service, caller, body.reason)]
    if body.force:
        words.append("--force")
    return _changed(await _run(request, service, words))


@router.post(
    "/rollback",
    summary="Roll Production back without the gate",
    responses=documented(400, 401, 403, 408, 409, 413, 422, 429, 503),
)
async def rollback(body: RollbackBody, request: Request, service: ServiceDep, caller: AdminRole) -> ChangedBody:
    """Put back what was Production before, or another version, without asking the gate."""
    words = ["rollback", *_about(service, caller, body.reason)]
    if body.to is not None:
        words.append(f"--to={body.to}")
    return _changed(await _run(request, service, words))


@router.post(
    "/experiment",
    summary="Show the version in Staging to a share",
    responses=documented(400, 401, 403, 408, 409, 413, 422, 429, 503),
)
async def experiment(body: ShareBody, request: Request, service: ServiceDep, _: AdminRole) -> ShareSetBody:
    """Show the version in Staging to a share of the users, or end that with a share of 0.

    What it costs and shows them: docs/feedback-loop.md.
    """
    name = f"--name={service.settings.model_name}"
    result = await _run(request, service, ["experiment", f"--share={body.share:g}", f"--mode={body.mode}", name])
    return ShareSetBody(**{field: result[field] for field in ShareSetBody.model_fields})


def _about(service: Service, caller: Principal, reason: str) -> list[str]:
    who = caller.name if service.settings.guarded else "the operations page"
    return [f"--name={service.settings.model_name}", f"--by={who}", f"--reason={reason}"]


async def _run(request: Request, service: Service, words: list[str]) -> dict[str, Any]:
    if not service.settings.follow_registry:
        raise Problem(409, "no-registry", "This service follows no registry; set RECSTAGE_SERVING_FOLLOW_REGISTRY.")
    shared: Operations = request.app.state.operations
    try:
        return await shared.commands.run(words)
    finally:  # a refusal changes the version's tags
        service.versions.reload()


def _changed(result: dict[str, Any]) -> ChangedBody:
    return ChangedBody(
        version=result["version"],
        previous=result.get("previous"),
        gate=result.get("gate"),
        checks=result.get("checks", []),
    )
