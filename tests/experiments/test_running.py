"""What the benchmarks see of a running service."""

import socket
import threading
from types import SimpleNamespace

import psutil
import pytest

from experiments.benchmarks import environment

SERVER, FORKSERVER = 10, 11
IN_A_FOLDER_OF_THAT_NAME = ["python", "-m", "serving.models.registry_sync", "/tmp/scale-workers"]


def _process(pid, parent, command, status=psutil.STATUS_RUNNING):
    return SimpleNamespace(pid=pid, ppid=lambda: parent, cmdline=lambda: command, status=lambda: status)


@pytest.mark.parametrize(("kind", "expected"), [("worker", [12, 13]), ("forkserver", [11]), ("registry_sync", [15])])
def test_processes_of_a_service_are_told_apart_by_who_started_them(monkeypatch, kind, expected):
    family = [
        _process(FORKSERVER, SERVER, ["python", "-c", "forkserver"]),
        _process(12, FORKSERVER, ["python", "-c", "forkserver"]),
        _process(13, FORKSERVER, ["python", "-c", "forkserver"]),
        _process(14, FORKSERVER, ["python", "-c", "forkserver"], psutil.STATUS_ZOMBIE),
        _process(15, 12, IN_A_FOLDER_OF_THAT_NAME),
    ]
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(children=lambda recursive: family))
    running = environment.Running(SimpleNamespace(pid=SERVER), port=1)
    assert [one.pid for one in running.children(kind)] == expected


def test_an_answer_that_breaks_off_is_none() -> None:
    """A worker that is killed while it answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1200\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        running = environment.Running(SimpleNamespace(pid=SERVER), port=server.getsockname()[1])
        assert running.call("GET", "/api/recommendations") == (0, b"")
        thread.join()
