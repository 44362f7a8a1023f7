"""What ended a call on the cluster, in one clear line."""

from __future__ import annotations

import re
from typing import Any

from recstage.cluster.connection import needs_ray
from recstage.errors import ExternalToolError, OutOfMemory, RecstageError

LOW_ON_MEMORY = "low on memory"
"""In what Ray says of an actor that it has ended; the error has no type for it."""


def is_loss(error: Exception) -> bool:
    """Whether a worker or its node is gone."""
    errors = needs_ray().exceptions
    gone = (
        errors.WorkerCrashedError,
        errors.NodeDiedError,
        errors.ObjectLostError,
        errors.TaskCancelledError,
        errors.TaskUnschedulableError,
    )
    return isinstance(error, gone)


def answer(reference: Any) -> Any:
    """What a call of an actor of ours returns. Raises `OutOfMemory` or `ExternalToolError` where the actor is lost."""
    try:
        return needs_ray().get(reference)
    except Exception as error:
        line = told(error)
        if line is None:
            raise
        raise line from error


def told(error: Exception) -> RecstageError | None:
    """The line for an error that users can do something about, other than a loss; None for any other error."""
    errors = needs_ray().exceptions
    by_memory = isinstance(error, errors.OutOfMemoryError)
    if by_memory or (isinstance(error, errors.RayActorError) and LOW_ON_MEMORY in str(error)):
        return OutOfMemory(
            "a worker of the Ray cluster",
            rule="it was ended because its node ran out of memory",
            fix="Give the nodes fewer cores (--num-cpus) or more memory",
        )
    if isinstance(error, errors.RayActorError):
        return ExternalToolError(
            "the process on this node that takes what the Ray cluster reports",
            rule="it was lost",
            fix="See what ended it in the logs of Ray; the same command resumes",
        )
    missing = re.search(r"No module named '([\w.]+)'", str(error))
    if missing is None:
        return None
    return ExternalToolError(
        "a worker of the Ray cluster",
        rule=f"the module {missing[1]} is not installed there",
        fix="Install the same recstage on every node",
    )
