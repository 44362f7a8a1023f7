"""Promotions and rollbacks from the service: the command `recstage`, in a process of its own.

So the gate, the history and the locks are those of the command line, nothing of them is written twice. The process
costs seconds and some 300 MB, for MLflow and both models; neither is spent by the workers, and the event loop only
waits for the end (docs/decisions/0017).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recstage.config import root
from serving.errors import Problem, without_paths

log = logging.getLogger("serving.operations")
PATIENCE_SECONDS = 600.0
GATE_REFUSED, WRONG_INPUT = 3, 2
_PREFIX = "recstage: "
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit status and what it printed."""

    status: int
    output: str
    errors: str


class RegistryCommands:
    """Runs one command at a time; a second one is refused, not queued: what it was based on is about to change."""

    def __init__(self) -> None:
        self._running = asyncio.Lock()

    async def run(self, words: Sequence[str]) -> dict[str, Any]:
        """The result of `recstage WORDS`.

        Raises a 409 problem with the gate's reasons where it refused, and while another command runs; a 422 problem
        where a version does not exist or the registry cannot do this.
        """
        if self._running.locked():
            raise Problem(409, "busy", "Another change of the registry is under way; try again when it has ended.")
        async with self._running:
            return result_of(await _run([sys.executable, "-m", "recstage", "--json", *words]))


def result_of(ended: Ended) -> dict[str, Any]:
    """What a command printed as its result. Raises the problem that its exit status and its last line describe."""
    if ended.status == 0:
        found: dict[str, Any] = json.loads(ended.output.strip().splitlines()[-1])
        return found
    told = [line for line in ended.errors.splitlines() if line.startswith(_PREFIX)]
    detail = without_paths(told[-1].removeprefix(_PREFIX)) if told else ""
    if ended.status == GATE_REFUSED:
        raise Problem(409, "gate-refused", detail, errors=[{"where": "gate", "rule": one} for one in _reasons(detail)])
    if ended.status == WRONG_INPUT and detail:
        raise Problem(422, "registry-refused", detail)
    log.error("a command failed", extra={"event": "command-failed", "status": ended.status, "error": ended.errors})
    raise Problem(500, "internal", "The command failed; the request id finds its output in the log.")


def _reasons(detail: str) -> list[str]:
    """The gate's reasons in "version 7 ...: the promotion gate refused it: REASON; REASON. Improve it, ..."."""
    reasons = detail.partition("refused it: ")[2].rpartition(". ")[0]
    return [reason.strip() for reason in reasons.split("; ") if reason.strip()]


async def _run(command: Sequence[str]) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=root(),
        env={**os.environ, **_ENVIRONMENT},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    except BaseException:  # too slow, or the service stops
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))
