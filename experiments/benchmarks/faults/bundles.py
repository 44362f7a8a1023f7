"""Faults 1 to 5: swaps under load, and bundles that are broken, too large or malicious."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil

from experiments.benchmarks.environment import Running
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told

STATE, MANIFEST = "state.npz", "manifest.json"
REFUSED_SECONDS = 30.0
MEMORY_LEFT = 256 * 2**20
"""Bytes of address space that the service may still take while it is offered the large bundle: each thread that it
starts meanwhile reserves 64 MB, and loading that bundle would take twice its size."""
LARGE_BUNDLE = 160 * 2**20
BOMB, SMALL_BOMB = 2**33, 2**28
"""Bytes that the compressed array of the malicious bundle expands to, of the whole table and of its short form."""


def swaps(trials: Trials) -> Outcome:
    """1: promote one version and then the other, again and again, while lists and events come in."""
    moves = trials.of(50, 4)
    with trials.service("swaps-under-load") as service, Traffic(trials, service) as traffic:
        for move in range(moves):
            version = trials.versions[(move + 1) % 2]
            trials.environment.promote(version)
            service.serves(version)
    problems = _failures(traffic)
    return Outcome(
        f"{moves} promotions; lists {told(traffic.reads)}", problems, traffic.lost(trials.database("swaps-under-load"))
    )


def corrupt(trials: Trials) -> Outcome:
    """2: one byte of an array is flipped."""

    def flip(folder: Path) -> None:
        content = bytearray((folder / STATE).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / STATE).write_bytes(content)

    return _offer(trials, "corrupt", {"one byte flipped": flip})


def missing_file(trials: Trials) -> Outcome:
    """3: a file that the manifest lists, or the manifest itself, is not there."""

    def without(name: str) -> Callable[[Path], None]:
        return lambda folder: (folder / name).unlink()

    return _offer(trials, "missing", {f"without {name}": without(name) for name in (STATE, MANIFEST)})


def too_large(trials: Trials) -> Outcome:
    """4: the bundle needs more memory than the service may take."""

    def enlarge(folder: Path) -> None:
        with np.load(folder / STATE) as archive:
            state = dict(archive)
        users, items = len(state["user_factors"]), len(state["item_factors"])
        width = LARGE_BUNDLE // (4 * (users + items))
        state |= {"user_factors": np.ones((users, width), "f4"), "item_factors": np.ones((items, width), "f4")}
        np.savez(folder / STATE, **state)
        _sign(folder)

    def limit(service: Running) -> None:
        process = psutil.Process(service.process.pid)
        most = process.memory_info().vms + MEMORY_LEFT
        process.rlimit(psutil.RLIMIT_AS, (most, most))

    return _offer(trials, "too-large", {f"{LARGE_BUNDLE >> 20} MB, {MEMORY_LEFT >> 20} MB left": enlarge}, before=limit)


def malicious(trials: Trials) -> Outcome:
    """5: a pickle among the arrays, files outside the bundle, a link, a bomb, another class."""
    canary, size = trials.folder / "canary", trials.of(BOMB, SMALL_BOMB)

    def pickled(folder: Path) -> None:
        (folder / STATE).write_bytes(_archive(pickle.dumps(_Touch(str(canary)))))
        _sign(folder)

    def object_array(folder: Path) -> None:
        values = io.BytesIO()
        np.lib.format.write_array(values, np.array([_Touch(str(canary))], object), allow_pickle=True)
        (folder / STATE).write_bytes(_archive(values.getvalue()))
        _sign(folder)

    def traversal(folder: Path) -> None:
        outside = folder.parent / "outside"
        outside.write_text("x")
        _sign(folder, {"../outside": _digest(outside)})

    def absolute(folder: Path) -> None:
        _sign(folder, {"/etc/hostname": _digest(Path("/etc/hostname"))})

    def link(folder: Path) -> None:
        (folder / STATE).unlink()
        (folder / STATE).symlink_to("/etc/passwd")

    def bomb(folder: Path) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
        with (
            zipfile.ZipFile(folder / STATE, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("user_factors.npy", "w", force_zip64=True) as file,
        ):
            file.write(header.getvalue())
            for _ in range(size >> 24):
                file.write(bytes(1 << 24))
        _sign(folder)

    def other_class(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["model"]["target"] = "subprocess:Popen"
        (folder / MANIFEST).write_text(json.dumps(manifest))

    changes = {
        "pickle": pickled,
        "object array": object_array,
        "..": traversal,
        "absolute path": absolute,
        "link": link,
        "bomb": bomb,
        "other class": other_class,
    }
    outcome = _offer(trials, "malicious", changes)
    executed = ("a bundle's code was executed",) if canary.exists() else ()
    return Outcome(outcome.tried, outcome.problems + executed, outcome.lost)


class _Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def _offer(
    trials: Trials,
    name: str,
    changes: Mapping[str, Callable[[Path], None]],
    *,
    before: Callable[[Running], None] = lambda service: None,
) -> Outcome:
    """Promote a version of each altered bundle: it must be refused by name, while the good one goes on serving."""
    problems: list[str] = []
    with trials.service(name, retry_seconds=5) as service, Traffic(trials, service) as traffic:
        before(service)
        largest = service.resident_mb()
        for kind, change in changes.items():
            version = trials.changed_version(change)
            trials.environment.promote(version)
            if not _refused(service, version):
                problems.append(f"{kind}: not refused by name")
            elif service.version() != str(trials.versions[0]):
                problems.append(f"{kind}: version {service.version()} serves")
            largest = max(largest, service.resident_mb())
    problems += _failures(traffic)
    tried = f"{', '.join(changes)}; lists {told(traffic.reads)}; at most {largest:.0f} MB"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


def _refused(service: Running, version: int) -> bool:
    """Whether the service soon says that it cannot serve this version."""
    until = time.monotonic() + REFUSED_SECONDS
    while time.monotonic() < until:
        status, body = service.call("GET", "/api/model")
        failing = json.loads(body).get("failing") if status == 200 else None
        if failing is not None and failing["version"] == str(version):
            return True
        time.sleep(0.05)
    return False


def _failures(traffic: Traffic) -> tuple[str, ...]:
    return (f"{traffic.failed_reads} lists failed",) if traffic.failed_reads else ()


def _archive(array: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("user_factors.npy", array)
    return file.getvalue()


def _sign(folder: Path, more: dict[str, str] | None = None) -> None:
    """Make the manifest list the files as they are now, and `more`."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: _digest(folder / name) for name in manifest["files"]} | (more or {})
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
