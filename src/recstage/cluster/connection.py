"""Connecting to Ray: the cluster that RAY_ADDRESS names, else one of this machine's cores."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from recstage.errors import ConfigError, ExternalToolError

ADDRESS_VARIABLE = "RAY_ADDRESS"
LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 5.0
START_ATTEMPTS = 3
OUT_OF_MEMORY_RETRIES = "3"

T = TypeVar("T")
log = logging.getLogger(__name__)


def needs_ray(given: str = "backend = ray", otherwise: str = ", or use backend=local") -> Any:
    """The package `ray`. Raises `ConfigError` where it is not installed: `given` asked for it, `otherwise` does without
    it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning at each start
    os.environ.setdefault("RAY_task_oom_retries", OUT_OF_MEMORY_RETRIES)  # else for ever
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")  # 5 are too short for a busy machine
    try:
        import ray
    except ImportError as error:
        raise ConfigError(given, rule="Ray is not installed", fix=f"pip install 'recstage[ray]'{otherwise}") from error
    return ray


@contextmanager
def session(backend: str = "ray") -> Iterator[None]:
    """Connected inside, where `backend` is `ray`; a session within another one is the same.

    Raises `ConfigError` where Ray is not installed, no cluster answers at RAY_ADDRESS, it asks for another token, or it
    runs another version of Ray or Python.
    """
    if backend != "ray":
        yield
        return
    ray = needs_ray()
    if ray.is_initialized():
        yield
        return
    _connect(ray, os.environ.get(ADDRESS_VARIABLE, ""))
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    with _signals_kept():
        if not address or address == "local":  # without an address Ray would join whatever was started here last
            _start_here(ray, quiet)
        else:
            _join(ray, address, quiet)


def _start_here(ray: Any, quiet: dict[str, Any]) -> None:
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 is for workers beside other programs

    def start() -> None:
        ray.init(address="local", include_dashboard=False, _node_ip_address=LOOPBACK, **quiet)

    started(start, ray.shutdown)


def started(start: Callable[[], T], after_a_failure: Callable[[], object] = lambda: None) -> T:
    """What `start` returns, which starts a node here. Raises `ExternalToolError` where the machine is too busy for it.

    A node ends itself where its agent takes more than 15 seconds to start. No setting lengthens that
    (https://github.com/ray-project/ray/issues/65983), so it is tried again.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            return start()
        except Exception as error:  # Ray raises no type of its own
            if "timed out" not in str(error):
                raise
            after_a_failure()
            if attempt == START_ATTEMPTS:
                raise ExternalToolError(
                    "Ray on this machine",
                    rule=f"it did not start in {START_ATTEMPTS} attempts of half a minute",
                    fix="Try again when the machine is less busy, or use backend=local",
                ) from error
            log.info("Ray did not start in time on this busy machine: it is tried again")
    raise AssertionError("unreachable")


def _join(ray: Any, address: str, quiet: dict[str, Any]) -> None:
    given = f"{ADDRESS_VARIABLE} = {address}"
    _check_answers(address, given)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if any("token" in str(one) for one in (error, error.__cause__)):
            raise ConfigError(
                given,
                rule="the cluster asks for a token, which was not sent or is another one",
                fix="Copy the head node's ~/.ray/auth_token to this machine and set RAY_AUTH_MODE=token",
            ) from error
        if not isinstance(error, RuntimeError):
            raise _no_cluster(given) from error
        if "ersion mismatch" not in str(error):
            raise
        theirs, ours = _versions(str(error))
        raise ConfigError(
            given,
            rule=f"the cluster runs {theirs}, and this is {ours}",
            fix="Install the same versions of Ray and Python here and on every node",
        ) from error


def _check_answers(address: str, given: str) -> None:
    """Ray itself waits for a minute, and says so in twenty lines."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ConfigError(
            given,
            rule="an address is HOST:PORT of the head node, or auto on a node of the cluster",
            fix="Run this on a node of the cluster with RAY_ADDRESS=auto, or by `ray job submit`",
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(given) from error


def _no_cluster(given: str) -> ConfigError:
    return ConfigError(
        given, rule="no Ray cluster answers there", fix="Start one (ray start --head), or unset it to use this machine"
    )


def _versions(message: str) -> tuple[str, str]:
    """The cluster's and our versions, out of Ray's message of several lines."""
    found = [" ".join(part.split()) for part in message.splitlines() if "Ray:" in part or "Python:" in part]
    half = len(found) // 2
    return (", ".join(found[:half]), ", ".join(found[half:])) if half else ("another version", "this one")


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM by one that ends the process at once; ours ends runs first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
