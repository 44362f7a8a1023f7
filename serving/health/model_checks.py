"""The conditions of one registered model: its registry, its staged version, and what serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serving.health.conditions import ActiveCondition, Condition
from serving.models.fallback import FallbackModels
from serving.models.repository import PollResult
from serving.models.version_manager import VersionManager

_ABOUT = {
    "registry": Condition.REGISTRY_UNAVAILABLE,
    "version": Condition.VERSION_UNFETCHABLE,
    "disk": Condition.BUNDLES_NOT_WRITABLE,
}


def of_registry(versions: VersionManager[Any]) -> Iterator[ActiveCondition]:
    """What is wrong with the polls of a model, and with the version that they found."""
    name, failure, poll = versions.name, versions.failure, versions.last_poll()
    if failure is not None:
        detail = f"version {failure.version}, tried {failure.tries} times: {failure.reason}"
        yield ActiveCondition(Condition.VERSION_UNLOADABLE, name, detail)
    if poll is not None:
        yield from _of_poll(name, poll, known=versions.served is not None)
    if versions.not_writable is not None:
        yield ActiveCondition(Condition.BUNDLES_NOT_WRITABLE, name, versions.not_writable)
    overdue = versions.poll_overdue()
    if overdue is not None:
        yield ActiveCondition(Condition.REGISTRY_STALE, name, overdue)


def _of_poll(name: str, poll: PollResult, *, known: bool) -> Iterator[ActiveCondition]:
    if poll.problem is not None:
        which = f"version {poll.version}: " if poll.about == "version" else ""
        yield ActiveCondition(_ABOUT[poll.about], name, which + poll.problem)
    if poll.conflict:
        yield ActiveCondition(Condition.STAGE_ALIAS_CONFLICT, name, poll.conflict)
    if poll.absent and known:
        yield ActiveCondition(Condition.MODEL_UNREGISTERED, name)


def of_serving(versions: VersionManager, fallback: FallbackModels) -> Iterator[ActiveCondition]:
    """Why no version of a model serves, and what does; nothing is said of a registry that could not be read."""
    if versions.served is not None or versions.awaits_first_poll:
        return
    poll = versions.last_poll()
    answers = _answers(versions, fallback)
    if poll is not None and poll.version is not None:
        yield ActiveCondition(Condition.VERSION_MISSING, versions.name, f"version {poll.version}; {answers}")
    elif poll is None or poll.problem is None or poll.about != "registry":
        yield ActiveCondition(Condition.NOTHING_STAGED, versions.name, answers)


def _answers(versions: VersionManager[Any], fallback: FallbackModels) -> str:
    if fallback.served is not None:
        return "the service answers from its own data"
    if versions.last_popularity is not None:
        return "the service answers from what was popular in the last version"
    return "there is no data to make a list from either"
