"""PostgreSQL servers of a test's own, on the loopback: a primary, and a replica that follows it by streaming."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ACCOUNT = "recstage"
INSTALLED = Path("/usr/lib/postgresql")


def programs() -> Path:
    """The folder of the newest server that is installed; skips where there is none, or no account to run it."""
    found = sorted(INSTALLED.glob("*/bin"), key=lambda path: float(path.parent.name)) if INSTALLED.is_dir() else []
    if not found:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses to be root, and there is no account postgres")
    return found[-1]


class Server:
    """One server; `name` is its folder. It trusts everyone on the loopback, and does not wait for its disk."""

    def __init__(self, folder: Path, name: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.folder, self.data = folder, folder / name

    def url(self, database: str = "recstage") -> str:
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/{database}"

    def run(self, *words: str | Path) -> None:
        """One of PostgreSQL's programs, as an account that is not root."""
        program, *arguments = map(str, words)
        command = [str(programs() / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # output into a file: what pg_ctl starts would keep a pipe open
        with (self.folder / "programs.log").open("a") as log:
            done = subprocess.run(command, cwd="/", stdout=log, stderr=log, check=False, timeout=120)
        assert done.returncode == 0, (self.folder / "programs.log").read_text()[-2000:]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = self.folder / f"{self.data.name}.log"
        self.run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "100", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "100", "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def execute(self, statement: str) -> list[tuple]:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


@contextmanager
def primary(*databases: str) -> Iterator[Server]:
    """A server with these databases, stopped and removed afterwards."""
    programs()
    folder = Path(tempfile.mkdtemp(prefix="recstage-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Server(folder, "primary")
    try:
        server.run("initdb", "-D", server.data, "-A", "trust", "-E", "UTF8", "-U", ACCOUNT, "--no-sync")
        server.start()
        for name in databases:
            server.execute(f"CREATE DATABASE {name}")
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replica(of: Server) -> Iterator[Server]:
    """A streaming replica of a server, made by pg_basebackup; stopped afterwards."""
    server = Server(of.folder, "replica")
    backup = ("-h", "127.0.0.1", "-p", str(of.port), "-U", ACCOUNT, "-D", server.data, "-R", "-c", "fast", "--no-sync")
    server.run("pg_basebackup", *backup)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
