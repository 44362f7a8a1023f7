"""The table of faults: what is tried, the goal beside it, and the command that runs it."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from experiments.benchmarks.faults import bundles, databases, loads, registries, requests, retraining, surroundings
from experiments.benchmarks.faults.fault import Fault, Outcome, Trials
from experiments.benchmarks.report import Goal, Measurement
from recstage.config import root

log = logging.getLogger("experiments.benchmarks.faults")
SERVES = "every list 200, no event lost"
REFUSED = "refused by name, the good one serves, no event lost"
FAULTS: tuple[Fault, ...] = (
    Fault(1, "swap under load", SERVES, bundles.swaps),
    Fault(2, "corrupt bundle", REFUSED, bundles.corrupt),
    Fault(3, "missing file in a bundle", REFUSED, bundles.missing_file),
    Fault(4, "bundle larger than memory allows", REFUSED, bundles.too_large),
    Fault(5, "malicious bundle", f"{REFUSED}, nothing executed", bundles.malicious),
    Fault(6, "registry away, in the middle and at the start", f"{SERVES}, started in 3 s", registries.away),
    Fault(7, "registry wrong or slow", f"{SERVES}, told", registries.wrong),
    Fault(8, "Production deleted", SERVES, registries.production_deleted),
    Fault(9, "registered model deleted", f"{SERVES}, told", registries.registered_model_deleted),
    Fault(10, "two Productions, alias against stage", f"{SERVES}, one version", registries.contradicting),
    Fault(11, "database locked, away, read-only", f"{SERVES}, events 201 or 503", databases.unavailable),
    Fault(12, "disk full", f"{SERVES}, normal once there is room", databases.disk_full),
    Fault(13, "kill -9 of worker, sync process, parent", "restarted, no orphan, no event lost", databases.killed),
    Fault(14, "migration interrupted", "the old schema or the new one, no event lost", databases.migration_interrupted),
    Fault(15, "backup, restore, broken backup", "restored, the broken one refused", databases.backups),
    Fault(16, "overload, three times the load", "200, 429, 503 alone; normal within 5 s", loads.overload),
    Fault(17, "slow callers, idle connections, storms", f"{SERVES}, slow ones ended with 408", loads.slow_callers),
    Fault(18, "wrong bodies", "a problem of 4xx each", requests.bodies),
    Fault(19, "requests made from the schema", "no 5xx", requests.fuzz),
    Fault(20, "every route by every role", "401 without a key, no weaker role may more", requests.roles),
    Fault(21, "odd ids in paths", "no 5xx, nothing of the machine shown", requests.paths),
    Fault(22, "poisoned events", "others' lists do not change", requests.poisoned),
    Fault(23, "Redis flushed, slow, away", SERVES, surroundings.redis),
    Fault(24, "clocks that disagree", f"{SERVES}, each sees the other's events", surroundings.clocks),
    Fault(25, "memory and descriptors over time", f"{SERVES}, memory +3 % at most", loads.over_time),
    Fault(26, "erasure while all else goes on", "gone at once, no job fails", surroundings.erasure),
    Fault(27, "dependencies and secrets", "pinned, unaltered, licensed; no key in a log", surroundings.dependencies),
    Fault(28, "kill -9 of a retraining at each step", "one Production, the next one finishes it", retraining.killed),
)
BESIDE = (25, 28, 19)
"""Faults that take minutes and little of the processor: of a whole table they are tried beside the others."""


def measure(trials: Trials, numbers: Sequence[int] = ()) -> Iterator[Measurement]:
    """Try the faults of these numbers, one after the other, or all of them; the value is the events lost."""
    if numbers:
        yield from _one_by_one(trials, [fault for fault in FAULTS if fault.number in numbers])
        return
    beside = [fault for fault in FAULTS if fault.number in BESIDE]
    with _in_another_process(trials, beside) as process:
        yield from _one_by_one(trials, [fault for fault in FAULTS if fault not in beside])
        printed, _ = process.communicate()
    found = json.loads(printed) if process.returncode in (0, 1) else []
    by_number = {int(one["name"].split()[0]): one for one in found}
    for fault in beside:
        yield _told(fault, by_number.get(fault.number))


@contextmanager
def _in_another_process(trials: Trials, faults: Sequence[Fault]) -> Iterator[subprocess.Popen[str]]:
    """This command for those faults, with a registry, a database and models of its own."""
    numbers = [str(fault.number) for fault in faults]
    words = ["faults", "--faults", *numbers, "--data", trials.environment.data_name, "--seed", str(trials.seed)]
    command = [sys.executable, "-m", "experiments.benchmarks", *words, *(["--quick"] if trials.brief else [])]
    with (trials.folder / "beside.log").open("wb") as log_file:
        process = subprocess.Popen(command, cwd=root(), stdout=subprocess.PIPE, stderr=log_file, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # it then ends the services that it started
                process.wait()


def _told(fault: Fault, found: dict[str, Any] | None) -> Measurement:
    """What the other process measured of a fault; None: it ended before."""
    reached = found is not None and bool(found["reached"])
    value, note = (0, "the process that tried it ended before") if found is None else (found["value"], found["note"])
    return Measurement(f"{fault.number:2} {fault.name}", value, Goal(fault.goal, lambda _: reached), "", note)


def _one_by_one(trials: Trials, faults: Sequence[Fault]) -> Iterator[Measurement]:
    for fault in faults:
        began = time.perf_counter()
        outcome = _try(fault, trials)
        seconds = time.perf_counter() - began
        note = f"{seconds:5.1f} s  {'; '.join(outcome.problems + outcome.late) or outcome.tried}"
        yield Measurement(f"{fault.number:2} {fault.name}", outcome.lost or 0, _goal(fault, outcome), "", note)


def _goal(fault: Fault, outcome: Outcome) -> Goal:
    return Goal(fault.goal, lambda lost: outcome.reached)


def _try(fault: Fault, trials: Trials) -> Outcome:
    try:
        return fault.run(trials)
    except Exception as error:  # a trial that breaks is a row that was missed, not the end of the table
        log.exception("fault %d, %s, could not be tried to its end", fault.number, fault.name)
        return Outcome("not to its end", (f"{type(error).__name__}: {error}"[:200],))
