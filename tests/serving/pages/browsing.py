"""Services in a thread of the test's process, and what their pages ask for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI

PATIENCE_SECONDS = 60.0


def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS} s"
        time.sleep(0.02)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of an application that serves on the loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the service starts")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


@dataclass
class Observed:
    """What a page asked for and complained about."""

    requests: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Any) -> Observed:
        seen = cls()
        page.on("request", lambda request: seen.requests.append(request))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda message: seen._complaint(message))
        return seen

    def _complaint(self, message: Any) -> None:
        # a status that the page handles is written to the console as well
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def sent_events(self) -> list[Any]:
        """The bodies of requests that carried events."""
        return [one.post_data_json for one in self.requests if one.method == "POST" and "/api/interactions" in one.url]
