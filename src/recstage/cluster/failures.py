"""What ended a call on the cluster, in one clear line."""

from __future__ import annotations

import re

from recstage.cluster.connection import needs_ray
from recstage.errors import ExternalToolError, OutOfMemory, RecstageError


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


def told(error: Exception) -> RecstageError | None:
    """The line for an error that users can do something about, other than a loss; None for any other error."""
    if isinstance(error, needs_ray().exceptions.OutOfMemoryError):
        return OutOfMemory(
            "a worker of the Ray cluster",
            rule="it was ended because its node ran out of memory",
            fix="Give the nodes fewer cores (--num-cpus) or more memory",
        )
    missing = re.search(r"No module named '([\w.]+)'", str(error))
    if missing is None:
        return None
    return ExternalToolError(
        "a worker of the Ray cluster",
        rule=f"the module {missing[1]} is not installed there",
        fix="Install the same recstage on every node",
    )
