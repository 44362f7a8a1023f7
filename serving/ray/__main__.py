"""`python -m serving.ray`: the service as replicas on the cluster at RAY_ADDRESS, else on this machine's cores.

python -m serving.ray [--replicas 2] [--host 127.0.0.1] [--port 8000] [--any-setting value]
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from recstage import cluster
from recstage.errors import ConfigError, RecstageError
from serving.__main__ import check_start
from serving.monitoring import logging as logs
from serving.settings import ServingSettings, load

log = logging.getLogger("serving")


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped; returns the exit status: 2 with one clear line where a setting is wrong."""
    try:
        replicas, rest = _replicas(arguments)
        settings = load(rest)
        settings.check_binding()
        _check(settings)
        logs.configure(settings.log_level)
        _serve(settings, replicas)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _replicas(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """The option `--replicas`, and the others."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--replicas", default="2")
    found, rest = parser.parse_known_args(list(arguments))
    if not found.replicas.isdecimal() or int(found.replicas) < 1:
        raise ConfigError(f"--replicas {found.replicas}", rule="there is one replica at least", fix="Give 1 or more")
    return int(found.replicas), rest


def _check(settings: ServingSettings) -> None:
    """Raises `ConfigError` on what each replica would otherwise say, at length."""
    if settings.workers != 1:
        raise ConfigError(
            f"workers = {settings.workers}", rule="a replica is one process", fix="Give --replicas in its place"
        )
    cluster.needs_ray("python -m serving.ray", ", or use python -m serving")
    check_start(settings)
    try:
        with socket.create_server((settings.host, settings.port)):
            pass
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port}",
            rule="the address cannot be bound",
            fix="Choose another --port or --host",
        ) from error


def _serve(settings: ServingSettings, replicas: int) -> None:
    from serving.ray.replicas import start, stop

    stopped = threading.Event()
    with cluster.session():
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, lambda *_: stopped.set())
        try:
            start(settings, replicas)
            url = f"http://{settings.host}:{settings.port}"
            log.info("listening", extra={"event": "listening", "url": url, "replicas": replicas})
            while not stopped.wait(timeout=1):
                pass
        finally:
            stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
