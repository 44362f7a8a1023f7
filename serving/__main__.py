"""`python -m serving`: read the settings, bind, serve.

python -m serving [--host 127.0.0.1] [--port 8000] [--workers 1] [--any-setting value]
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from recstage.errors import ConfigError, RecstageError
from serving.monitoring import logging as logs
from serving.settings import OLD_VARIABLES, PREFIX, ServingSettings, load, load_evaluation

log = logging.getLogger("serving")


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped; returns the exit status: 2 with one clear line where a setting is wrong."""
    try:
        settings = load(arguments)
        settings.check_binding()
        logs.configure(settings.log_level)
        _serve(settings)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(settings: ServingSettings) -> None:
    # one list is a small matrix product: threads inside it cost more than they gain, and delay other requests
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Arrow's own allocator keeps the memory that reading a bundle frees, and has a thread that no fork takes along
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    check_start(settings)
    if settings.workers == 1:
        _run(settings)
        return
    _export(settings)
    with tempfile.TemporaryDirectory(prefix="recstage-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _run(settings)


def check_start(settings: ServingSettings) -> None:
    """Raise what would keep the application from starting, while it can still be reported in one line."""
    from serving.models.repository import BundleRepository
    from serving.monitoring.metrics import Metrics
    from serving.store.store import Store

    for name in (settings.model_name, settings.reverse_model_name):
        BundleRepository(settings.bundle_root, name).prepare()
    load_evaluation()
    if settings.database_url:
        Store.open(settings, Metrics()).close()


def _run(settings: ServingSettings) -> None:
    import uvicorn

    from serving import workers
    from serving.security.http_protocol import HeaderLimits, LimitedHttpProtocol
    from serving.workers.listening import BACKLOG, listening_for_each

    several = settings.workers > 1
    if several:
        app: object = "serving.workers:application"
    else:
        from serving.app import create_app

        app = create_app(settings, tune_gc=True)
        LimitedHttpProtocol.limits = HeaderLimits.of(settings, app.state.metrics)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=several,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=LimitedHttpProtocol,
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
    sockets = listening_for_each(bound, settings.workers)
    host, port = bound.getsockname()[:2]
    log.info("listening", extra={"event": "listening", "url": f"http://{host}:{port}", "workers": settings.workers})
    if several:
        workers.run(config, sockets)
    else:
        uvicorn.Server(config).run(sockets=sockets[0])


def _export(settings: ServingSettings) -> None:
    """Set the settings as environment variables, for workers that read their own."""
    for name in [name for name in os.environ if name.lower() in OLD_VARIABLES]:
        del os.environ[name]  # it is set under its new name
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
