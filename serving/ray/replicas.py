"""Replicas of the application on Ray Serve: each follows the registry by itself, as a worker does."""

from __future__ import annotations

import os
from typing import Any

from recstage.cluster import needs_ray
from serving.settings import ServingSettings

NAME = "recstage"
MOST_REQUESTS = 10_000
"""Under way in a replica: above it Ray's proxy would keep them waiting, and the service sheds load itself."""


OF_STORES = ("MLFLOW_", "AWS_", "RECSTAGE_")
"""Beginnings of the variables that say where the registry and its artifacts are, and how to sign in there."""


class Replica:
    """What Ray Serve runs in a process of its own: the application of `serving.app`, with the given settings, and with
    the `variables` of the environment where the service was started: a node has its own."""

    def __init__(self, settings: ServingSettings, variables: dict[str, str]) -> None:
        os.environ.update(variables)
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # as `serving.__main__` says
        self._settings = settings

    def __serve_build_asgi_app__(self) -> Any:  # noqa: PLW3201
        from serving.app import create_app
        from serving.monitoring import logging as logs

        logs.configure(self._settings.log_level)
        return create_app(self._settings)


def start(settings: ServingSettings, replicas: int) -> None:
    """Serve at `settings.host` and `port` of every node, by so many replicas. Needs a `cluster.session`; returns when
    all of them are up."""
    needs_ray()
    from ray import serve

    serve.start(
        proxy_location="EveryNode",
        http_options={
            "host": settings.host,
            "port": settings.port,
            "keep_alive_timeout_s": settings.keep_alive_seconds,
        },
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    deployment = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        max_ongoing_requests=MOST_REQUESTS,
        ray_actor_options={"num_cpus": 1},
        graceful_shutdown_timeout_s=10,
    )(serve.ingress()(Replica))
    variables = {name: value for name, value in os.environ.items() if name.startswith(OF_STORES)}
    serve.run(deployment.bind(settings, variables), name=NAME, route_prefix="/")


def stop() -> None:
    """End the replicas and the proxies."""
    from ray import serve

    serve.shutdown()
