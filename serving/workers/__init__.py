"""Several worker processes: forked from one that has made the application, so that they share its memory.

uvicorn starts each worker as a new interpreter, which imports everything again: about 140 MB that no two workers share.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from socket import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn import _subprocess
from uvicorn.supervisors import Multiprocess

PRELOADED = ["serving.workers.preload"]


def run(config: uvicorn.Config, sockets: Sequence[list[socket]]) -> None:
    """Serve with a process for each list of listening sockets until stopped; one that ends is replaced."""
    # read by glibc when the workers' parent starts: their threads share one heap, 11 MB less than a heap each
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    # uvicorn has no setting for the way workers start
    _subprocess.spawn = _WithOwnSockets(sockets)  # type: ignore[assignment]
    Multiprocess(config, sockets=sockets[0]).run()


class _WithOwnSockets:
    """What uvicorn starts workers by: the fork server, and each worker gets the sockets that no other one has. A worker
    that starts beside all others, to replace one of them, listens to the sockets of all."""

    def __init__(self, sockets: Sequence[list[socket]]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._sockets = sockets
        self._workers: list[BaseProcess | None] = [None] * len(sockets)

    def Process(self, target: Callable[..., None], kwargs: dict[str, Any]) -> BaseProcess:  # noqa: N802
        free = [place for place, worker in enumerate(self._workers) if worker is None or worker.exitcode is not None]
        own = self._sockets[free[0]] if free else [one for sockets in self._sockets for one in sockets]
        process = self._context.Process(target=target, kwargs={**kwargs, "sockets": own})
        if free:
            self._workers[free[0]] = process
        return process


def application() -> FastAPI:
    """In a worker: the application that was made before the fork; the worker ends with the process that started it, and
    with the one that it was forked from: one that is killed cannot stop its workers, which would keep the port."""
    from serving.workers.preload import application

    threading.Thread(target=_end_after, args=(os.getppid(),), name="parents", daemon=True).start()
    return application


def _end_after(forked_from: int) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive() and os.getppid() == forked_from:
        parent.join(timeout=1)
    os.kill(os.getpid(), signal.SIGTERM)
