"""Several worker processes: forked from one that has made the application, so that they share its memory.

uvicorn starts each worker as a new interpreter, which imports everything again: about 140 MB that no two workers share.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from socket import socket

import uvicorn
from fastapi import FastAPI
from uvicorn import _subprocess
from uvicorn.supervisors import Multiprocess

PRELOADED = ["serving.preload"]


def run(config: uvicorn.Config, sockets: list[socket]) -> None:
    """Serve with `config.workers` processes until stopped; one that ends is replaced."""
    # read by glibc when the workers' parent starts: their threads share one heap, 11 MB less than a heap each
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    _subprocess.spawn = context  # type: ignore[assignment]  # uvicorn has no setting for the way workers start
    Multiprocess(config, sockets=sockets).run()


def application() -> FastAPI:
    """In a worker: the application that was made before the fork; the worker ends with the process that started it, and
    with the one that it was forked from: one that is killed cannot stop its workers, which would keep the port."""
    from serving.preload import application

    threading.Thread(target=_end_after, args=(os.getppid(),), name="parents", daemon=True).start()
    return application


def _end_after(forked_from: int) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive() and os.getppid() == forked_from:
        parent.join(timeout=1)
    os.kill(os.getpid(), signal.SIGTERM)
