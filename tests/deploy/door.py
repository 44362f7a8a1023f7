"""A door before a server on the loopback: open, shut (connections are refused), or slow (nothing comes through)."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

State = Literal["open", "shut", "slow"]


class Door:
    """Listens on a port of its own and passes bytes on to `port`, as `state` says."""

    def __init__(self, port: int) -> None:
        self._to, self.state = port, "open"
        self._opened = threading.Event()
        self._opened.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def be(self, state: State) -> None:
        """Change how connections are met; `slow` holds back those that are open, too."""
        self.state = state
        (self._opened.clear if state == "slow" else self._opened.set)()

    def close(self) -> None:
        self._opened.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                if self.state == "shut":
                    caller.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((caller, server), (server, caller)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(65536):
                self._opened.wait()
                other.sendall(data)
