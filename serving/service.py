"""All that a running service holds together; one for each application, found by routes in `app.state.service`."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated

import numpy as np
from fastapi import Depends, Request

from serving.answering import Answer, Ask, answer
from serving.depot import Depot
from serving.engine import Engine, ProductionPointer
from serving.metrics import Metrics
from serving.ports import Ports
from serving.problems import Problem
from serving.served import Served
from serving.settings import ServingSettings
from serving.watching import Watching

WARM_REQUESTS = 20


class Service:
    """Settings, ports, metrics, and the engine that follows Production."""

    def __init__(
        self, settings: ServingSettings, ports: Ports, pointer: ProductionPointer | None, metrics: Metrics
    ) -> None:
        self.settings, self.ports, self.metrics = settings, ports, metrics
        self.watching: Watching | None = None
        if pointer is None:
            depot = Depot(settings.bundle_root, settings.model_name)
            depot.prepare()
            pointer = depot
            if settings.follow_registry:
                self.watching = Watching(settings)
        self.engine = Engine(
            settings.model_name, pointer, self.metrics, retry_seconds=settings.retry_seconds, warm=self._warm
        )
        self.threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")

    async def start(self) -> None:
        """Answer from what is on disk as soon as it is loaded; the registry is looked at from then on."""
        await asyncio.to_thread(self.engine.start)
        if self.watching is not None:
            self.watching.start()

    async def stop(self) -> None:
        if self.watching is not None:
            await asyncio.to_thread(self.watching.stop)
        await asyncio.to_thread(self.engine.stop)
        self.threads.shutdown(wait=False, cancel_futures=True)
        for port in self.ports.closing:
            port.close()

    async def answer(self, ask: Ask) -> Answer:
        """The list for one request, from one version. Raises a 503 problem while there is none."""
        served = self.serving()
        if served.slow:
            return await asyncio.get_running_loop().run_in_executor(self.threads, answer, served, ask)
        return answer(served, ask)

    def serving(self) -> Served:
        """The version that answers now: take it once a request. Raises a 503 problem while there is none."""
        served = self.engine.served
        if served is None:
            raise Problem(503, "no-production", self.why_not_ready(), headers={"retry-after": "5"})
        return served

    def degraded(self) -> list[str]:
        """What is done without, in words; empty when all is well."""
        found = []
        failure, look = self.engine.failure, self.engine.look()
        if failure is not None:
            found.append(f"version {failure.version} cannot be served: {failure.reason}")
        if look is not None and look.problem is not None:
            found.append(look.problem)
        if look is not None and look.version is None and look.problem is None:
            found.append("nothing is staged Production; the last good version answers")
        return found

    def why_not_ready(self) -> str:
        """Why nothing is served, and what to do about it."""
        name, failure, look = self.settings.model_name, self.engine.failure, self.engine.look()
        if failure is not None:
            return f"Version {failure.version} of '{name}' cannot be served: {failure.reason}"
        if look is None:
            return f"The registry has not been read yet; '{name}' will be served as soon as it is."
        if look.problem is not None:
            return f"No version of '{name}' is on disk, and none can be fetched: {look.problem}"
        if look.version is None:
            return f"No version of '{name}' is staged Production; promote one (mlflow run . -e promote)."
        return f"Version {look.version} of '{name}' is being fetched."

    def _warm(self, served: Served) -> Served:
        """Ask a new version what it will be asked, before anybody else does; measures whether it is slow."""
        people = [golden.user_id for golden in served.manifest.golden] or [""]
        seconds = []
        for i in range(WARM_REQUESTS):
            began = time.perf_counter()
            answer(served, Ask(people[i % len(people)]))
            seconds.append(time.perf_counter() - began)
        answer(served, Ask("\x00nobody"))
        return replace(served, slow=float(np.median(seconds)) * 1000 > self.settings.slow_model_ms)


def service_of(request: Request) -> Service:
    """The service of the application that got this request."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]
