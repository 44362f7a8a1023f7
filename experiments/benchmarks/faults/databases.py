"""Faults 11 to 15: the service's database and disk, killed processes, interrupted migrations, backups."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from experiments.benchmarks.fault_injection import Unavailable
from experiments.benchmarks.faults.fault import NO_SHEDDING, Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told
from recstage.errors import StoreError
from serving.store.admin import backup, migrate
from serving.store.admin.revision import newest
from serving.store.db.connection import parse_url

FIRST_REVISION = "0001"
DISK_BYTES = 32 * 2**20
"""Of a small disk, beside what its bundles take."""


def unavailable(trials: Trials) -> Outcome:
    """11: the database is locked, is not there, and cannot be written."""
    seconds = trials.of(10, 2)
    problems: list[str] = []
    lost, tried = 0, []
    for kind, fault in (("locked", _locked), ("away", Unavailable)):
        name = f"database-{kind}"
        path = trials.database(name)
        with trials.service(name) as service, Traffic(trials, service) as traffic:
            time.sleep(0.5)
            with fault(path):
                time.sleep(seconds)
            before = len(traffic.acknowledged)
            if not _until(lambda: len(traffic.acknowledged) > before):  # noqa: B023
                problems.append(f"{kind}: no event was taken afterwards")
        lost += traffic.lost(path)
        if traffic.failed_reads:
            problems.append(f"{kind}: {traffic.failed_reads} lists failed")
        if set(traffic.writes) - {201, 503}:
            problems.append(f"{kind}: events were answered {told(traffic.writes)}")
        tried.append(f"{kind} for {seconds} s (events {told(traffic.writes)})")
    read_only = _read_only(trials)
    return Outcome("; ".join((*tried, read_only.tried)), (*problems, *read_only.problems), lost + (read_only.lost or 0))


def _read_only(trials: Trials) -> Outcome:
    """The service is started on a disk that is mounted read-only, and again once it can be written."""
    name, problems = "database-read-only", []
    with small_disk(trials.folder / "read-only-disk", DISK_BYTES) as disk:
        path = disk / "service.db"
        url = f"sqlite:///{path}"
        with trials.service(name, database_url=url) as service, Traffic(trials, service) as before:
            time.sleep(0.5)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        try:
            with trials.environment.service(name, database_url=url, **NO_SHEDDING) as service:
                service.serves(trials.versions[0])
                with Traffic(trials, service) as during:
                    time.sleep(trials.of(5, 1))
            if during.failed_reads or during.writes[201]:
                problems.append(f"read-only: lists {told(during.reads)}, events {told(during.writes)}")
            found = f"events {told(during.writes)}"
        except RuntimeError:
            found = "does not start: " + trials.log(name).strip().splitlines()[-1][:120]
            if "Traceback" in trials.log(name):
                problems.append("read-only: a traceback at the start")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with trials.service(name, database_url=url) as service, Traffic(trials, service) as after:
            time.sleep(0.5)
        lost = before.lost(path) + after.lost(path)
    return Outcome(f"read-only ({found})", tuple(problems), lost)


def disk_full(trials: Trials) -> Outcome:
    """12: the disk of database, bundles and log is full, then has room again."""
    name, seconds, problems = "disk-full", trials.of(10, 2), []
    bundle = sum(file.stat().st_size for file in trials.environment.bundle_folder(trials.versions[1]).rglob("*"))
    with small_disk(trials.folder / "full-disk", DISK_BYTES + 4 * bundle) as disk:
        path = disk / "service.db"
        with trials.service(name, database_url=f"sqlite:///{path}", bundle_dir=disk / "bundles") as service:
            with Traffic(trials, service) as traffic:
                time.sleep(0.5)
                _fill(disk / "filler")
                trials.environment.promote(trials.versions[1])  # its bundle has no room
                time.sleep(seconds)
                (disk / "filler").unlink()
                before = len(traffic.acknowledged)
                _until(lambda: len(traffic.acknowledged) > before)
                service.until(lambda: service.version() == str(trials.versions[1]), pause=0.1)
            if len(traffic.acknowledged) == before:
                problems.append("no event was taken afterwards")
            lost = traffic.lost(path)
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    if not traffic.writes[503]:
        problems.append("no event was refused")
    tried = f"full for {seconds} s; events {told(traffic.writes)}; the bundle waiting meanwhile was served afterwards"
    return Outcome(tried, tuple(problems), lost)


def killed(trials: Trials) -> Outcome:
    """13: kill -9 of a worker, of the process that workers are forked from and of the one that follows the registry; of
    the parent."""
    name, problems = "killed", []
    rounds = trials.of(10, 1)
    with trials.service(name, workers=2) as service, Traffic(trials, service) as traffic:
        for _ in range(rounds):
            for kind in ("worker", "forkserver", "registry_sync"):
                if not _until(lambda: bool(service.children(kind))):  # noqa: B023
                    problems.append(f"no process {kind}")
                    continue
                victims = service.children(kind)
                victims[0].kill()
                _until(lambda: victims[0].pid not in {one.pid for one in service.children(kind)})  # noqa: B023
                _until(lambda: len(service.children(kind)) == len(victims))  # noqa: B023
        trials.environment.promote(trials.versions[1])
        service.serves(trials.versions[1])
        acknowledged = len(traffic.acknowledged)
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.kill()
        _, alive = psutil.wait_procs(family, timeout=30)
    for process in alive:
        problems.append(f"process {process.pid} outlived its parent")
        process.kill()
    with trials.environment.service(name, **NO_SHEDDING) as service:
        service.serves(trials.versions[1])
    refused = traffic.reads_other_than({200, 503, 0})  # 503: by a worker that has just started
    if refused:
        problems.append(f"lists {told(traffic.reads)}")
    tried = f"{3 * rounds + 1} kills, {acknowledged} events acknowledged; lists {told(traffic.reads)}"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


def migration_interrupted(trials: Trials) -> Outcome:
    """14: the upgrade of an old database is killed again and again, then run to its end."""
    kills, rows = trials.of(20, 3), trials.of(50_000, 2_000)
    draw, problems = random.Random(trials.seed), []
    path = trials.folder / "migration.db"
    url = parse_url(f"sqlite:///{path}")
    migrate.upgrade(url, FIRST_REVISION)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO users (user_id, created_at, history_version) VALUES ('u', 1, 1)")
        connection.executemany(
            "INSERT INTO items (item_id, created_at, updated_at) VALUES (?, 1, 1)", ((f"i{n}",) for n in range(100))
        )
        _insert_events(connection, rows)
    stopped = 0
    for _ in range(kills):
        kept = trials.folder / "before-kill.db"
        shutil.copy(path, kept)
        stopped += _upgrade_killed(path, draw.uniform(0.3, 3.0))
        try:
            found = backup.verify(url)
        except StoreError as error:
            problems.append(str(error))
            break
        if found.rows["user_interactions"] != rows:
            problems.append(f"{rows - found.rows['user_interactions']} events gone after a kill")
        if found.revision == newest():
            _remove(path)
            shutil.copy(kept, path)  # it was faster: try again from the old one
    migrate.upgrade(url)
    found = backup.verify(url)
    lost = rows - found.rows["user_interactions"]
    return Outcome(f"{stopped} of {kills} killed before their end, {rows} events in it", tuple(problems), lost)


def backups(trials: Trials) -> Outcome:
    """15: back up while events come in, restore, and refuse a backup that is broken."""
    name, problems = "backups", []
    kept = trials.folder / "backup-of-the-trial.db"
    url = parse_url(f"sqlite:///{trials.database(name)}")
    with trials.service(name) as service:
        with Traffic(trials, service) as traffic:
            time.sleep(trials.of(5, 1))
            acknowledged = set(traffic.acknowledged)
            backup.back_up(url, kept)
            time.sleep(trials.of(5, 1))
        broken = trials.folder / "broken-backup.db"
        broken.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
        rows = backup.verify(url).rows
        try:
            backup.restore(url, broken)
            problems.append("a backup cut in half was restored")
        except StoreError:
            if backup.verify(url).rows != rows:
                problems.append("the refused backup changed the database")
        backup.restore(url, kept)
        with closing(sqlite3.connect(trials.database(name))) as connection:
            rows_back = connection.execute("SELECT idempotency_key FROM user_interactions")
            lost = len(acknowledged - {key for (key,) in rows_back})
        with Traffic(trials, service) as after:
            time.sleep(0.5)
    if not after.writes[201] or after.failed_reads:
        problems.append(f"after the restore: events {told(after.writes)}, lists {told(after.reads)}")
    tried = f"{len(acknowledged)} events before the backup; a broken one refused; restored under the running service"
    return Outcome(tried, tuple(problems), lost + after.lost(trials.database(name)))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system in memory of `size` bytes, mounted at `folder`. Raises `PermissionError` where this account may not
    mount."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"a file system cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _insert_events(connection: sqlite3.Connection, rows: int) -> None:
    columns = "user_id, item_id, interaction_type, occurred_at, received_at, idempotency_key"
    connection.executemany(
        f"INSERT INTO user_interactions ({columns}) VALUES ('u', ?, 'view', ?, ?, ?)",
        ((f"i{n % 100}", 1_000_000 + n, 1_000_000 + n, f"k{n}") for n in range(rows)),
    )


def _upgrade_killed(path: Path, seconds: float) -> bool:
    """Start the upgrade and kill it after so many seconds; whether it was still running."""
    command = [sys.executable, "-m", "serving.store", "upgrade", "--no-backup", "--url", f"sqlite:///{path}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
