"""`python -m serving`: read the settings, bind, serve.

python -m serving [--host 127.0.0.1] [--port 8000] [--workers 1] [--any-setting value]
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from recstage.errors import ConfigError, RecstageError
from serving.settings import OLD_VARIABLES, PREFIX, ServingSettings, load

log = logging.getLogger("serving")
BACKLOG = 2048
ACCEPTED_A_TURN = 16
"""New connections that a turn of the event loop takes in. uvloop's loop takes one for each listening socket (libuv
1.45: https://github.com/libuv/libuv/pull/3696); where turns are long, the others would wait for seconds, unseen."""


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit status: 2 with one clear line where a setting is wrong."""
    try:
        settings = load(arguments)
        settings.check_binding()
        _serve(settings)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(settings: ServingSettings) -> None:
    # one list is a small product of matrices: threads inside it cost more than they bring, and hold up other requests
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    _look_ahead(settings)
    if settings.workers == 1:
        _run(settings)
        return
    _pass_on(settings)
    with tempfile.TemporaryDirectory(prefix="recstage-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _run(settings)


def _look_ahead(settings: ServingSettings) -> None:
    """Find out what would keep the application from starting, while there is a terminal to say it on in one line."""
    from serving.models.repository import BundleRepository
    from serving.monitoring.metrics import Metrics
    from serving.store.store import Store

    for name in (settings.model_name, settings.reverse_model_name):
        BundleRepository(settings.bundle_root, name).prepare()
    if settings.database_url:
        Store.open(settings, Metrics()).close()


def _run(settings: ServingSettings) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from serving.monitoring import logging as logs

    logs.configure(settings.log_level)
    several = settings.workers > 1
    if several:
        app: object = "serving.app:from_environment"
    else:
        from serving.app import create_app

        app = create_app(settings, tune_gc=True)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=several,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=10,
    )
    try:
        bound = config.bind_socket()
    except SystemExit as error:  # uvicorn has logged why
        raise ConfigError(
            f"{settings.host}:{settings.port}",
            rule="the address cannot be bound",
            fix="Choose another --port or --host",
        ) from error
    bound.listen(BACKLOG)  # whoever comes while the service still starts waits instead of being turned away
    host, port = bound.getsockname()[:2]
    log.info("listening", extra={"event": "listening", "url": f"http://{host}:{port}", "workers": settings.workers})
    if several:
        Multiprocess(config, sockets=listening(bound)).run()
    else:
        uvicorn.Server(config).run(sockets=listening(bound))


def listening(first: socket.socket) -> list[socket.socket]:
    """The listening socket so many times that all callers who come at once are soon let in."""
    return [first, *(first.dup() for _ in range(ACCEPTED_A_TURN - 1))]


def _pass_on(settings: ServingSettings) -> None:
    """Settings as environment variables, for workers that read theirs anew."""
    for name in [name for name in os.environ if name.lower() in OLD_VARIABLES]:
        del os.environ[name]  # it comes by its new name
    for name, value in settings.model_dump(mode="python", exclude_unset=True).items():
        if value is not None:
            plain = _plain(value)
            os.environ[f"{PREFIX}{name.upper()}"] = (
                plain if isinstance(plain, str) else json.dumps(plain, default=_plain)
            )


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
