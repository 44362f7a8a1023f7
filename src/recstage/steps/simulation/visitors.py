"""The simulated population against a running service, over HTTP: its past, its visits, and what comes of them.

A visit asks for one list, as the storefront does, and posts what the user did with it. Lists are asked for at once,
a batch at a time, and the answers are taken in the order of the requests: the draws depend on the seed and on the
lists alone, not on which answer came first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from recstage.data.synthetic.population import Population
from recstage.data.synthetic.texts import described
from recstage.errors import ExternalToolError, StoreError

SLOTS = 10
AT_ONCE, CONNECTIONS, WRITE_BATCH = 250, 16, 500
SAVES, IMPLEMENTS = 0.3, 0.1
"""Shares of the clicked items that are saved, and implemented."""
FINDS = 0.3
"""Share of the visits in which a user also finds an item by themselves, without a list."""
PAST_DAYS = 30
TIMEOUT = httpx.Timeout(20.0)
BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before what a busy service refused is sent again."""


@dataclass
class Arm:
    """The lists that humans got of one version. `expected`: the sum of the true chances that a list is clicked."""

    lists: int = 0
    clicked: int = 0
    expected: float = 0.0

    @property
    def rate(self) -> float:
        """Share of lists with a click; NaN without lists."""
        return self.clicked / self.lists if self.lists else math.nan

    @property
    def true_rate(self) -> float:
        """The true chance of a click on a list, averaged over the lists that were shown; NaN without lists."""
        return self.expected / self.lists if self.lists else math.nan


@dataclass
class Visits:
    """What came of some visits. `statuses`: answers that were no list, by status (0: no answer). `arms`: by version."""

    lists: int = 0
    events: int = 0
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    arms: dict[str, Arm] = field(default_factory=dict)

    @property
    def per_minute(self) -> float:
        """Lists a minute."""
        return 60 * self.lists / self.seconds if self.seconds else 0.0


class Visitors:
    """The users of a population as clients of a service."""

    def __init__(self, population: Population, url: str, key: str = "") -> None:
        """`url` of the service; `key`: an API key with role `service`, where the service is guarded."""
        self.population, self.url = population, url.rstrip("/")
        self._headers = {"X-API-Key": key} if key else {}
        config = population.config
        self.users = [f"u{number:05d}" for number in range(config.users)]
        self.items = [f"i{number:05d}" for number in range(config.items)]
        self._number = {item: number for number, item in enumerate(self.items)}

    # -- the past -----------------------------------------------------------------------------------------------------

    def post_catalogue(self) -> int:
        """Post every item with title, text and categories; returns how many."""
        frame = described(self.population.world, self.items)
        bodies = [
            {"item_id": row.item_id, "title": row.title, "text": row.text, "categories": list(row.categories)}  # type: ignore[arg-type]
            for row in frame.itertuples()
        ]
        with self._client() as client:
            for batch in _batches(bodies):
                self._posted(client, "/api/items", {"items": batch})
        return len(bodies)

    def post_history(self, events: int, *, days: float = PAST_DAYS) -> int:
        """Post events of the last `days`, found by the users themselves; returns how many the service stored.

        Each has a key of its own, so the same history posted again is not stored twice.
        """
        users, items = self.population.history(events)
        rng = np.random.default_rng([self.population.config.seed, 4])
        begin = datetime.now(UTC) - timedelta(days=days)
        at = [begin + timedelta(days=days * moment) for moment in np.sort(rng.random(events)) * 0.999]
        kinds = rng.choice(["click", "save", "implement"], events, p=[0.75, 0.2, 0.05])
        bodies = [
            {
                "user_id": self.users[user],
                "item_id": self.items[item],
                "interaction_type": kind,
                "occurred_at": moment.isoformat(),
                "idempotency_key": f"past-{self.population.config.seed}-{place}",
            }
            for place, (user, item, kind, moment) in enumerate(
                zip(users.tolist(), items.tolist(), kinds.tolist(), at, strict=True)
            )
        ]
        with self._client() as client:
            return sum(
                int(self._posted(client, "/api/interactions", {"events": batch})["stored"])
                for batch in _batches(bodies)
            )

    # -- visits -------------------------------------------------------------------------------------------------------

    def visit(self, lists: int, moment: float) -> Visits:
        """`lists` visits at a moment in [0, 1] of the population's time. A list that is refused is counted, not tried
        again. Raises `StoreError` where nothing answers."""
        with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own under way in this one
            return thread.submit(asyncio.run, self._visit(lists, moment)).result()

    async def _visit(self, lists: int, moment: float) -> Visits:
        found, began = Visits(), time.perf_counter()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(
            base_url=self.url, headers=self._headers, limits=limits, timeout=TIMEOUT, trust_env=False
        ) as client:
            while found.lists + sum(found.statuses.values()) < lists:
                number = min(AT_ONCE, lists - found.lists - sum(found.statuses.values()))
                users = self.population.visitors(number, moment)
                answers = await asyncio.gather(*(self._list(client, self.users[user]) for user in users.tolist()))
                events = self._outcomes(users, answers, moment, found)
                for batch in _batches(events):
                    answer = await self._sent(client, {"events": batch})
                    found.events += int(self._taken(answer)["stored"])
        found.seconds = time.perf_counter() - began
        if not found.lists:
            raise StoreError(
                f"the service at {self.url}",
                rule=f"it gave no list; statuses {found.statuses}",
                fix="Start it (make serve), and see its log",
            )
        return found

    async def _sent(self, client: httpx.AsyncClient, body: object) -> httpx.Response:
        """The answer to events; a busy service is asked again, as the tracker and the client do."""
        for pause in (*PAUSES, None):
            try:
                answer = await client.post("/api/interactions", json=body)
            except httpx.TransportError as error:
                raise self._silent(error) from error
            if answer.status_code not in BUSY or pause is None:
                break
            await asyncio.sleep(pause)
        return answer

    async def _list(self, client: httpx.AsyncClient, user_id: str) -> tuple[int, dict[str, Any]]:
        try:
            answer = await client.get("/api/recommendations", params={"user_id": user_id, "limit": SLOTS})
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json() if answer.status_code == httpx.codes.OK else {}

    def _outcomes(
        self,
        users: NDArray[np.int64],
        answers: Sequence[tuple[int, dict[str, Any]]],
        moment: float,
        found: Visits,
    ) -> list[dict[str, Any]]:
        """Events of a batch of lists; counts them in `found`."""
        shown = np.full((len(users), SLOTS), -1)
        for row, (status, body) in enumerate(answers):
            if status != httpx.codes.OK:
                found.statuses[status] = found.statuses.get(status, 0) + 1
            for rank, item in enumerate(body.get("items", [])[:SLOTS]):
                shown[row, rank] = self._number.get(str(item["item_id"]), -1)
        expected = 1 - np.prod(1 - self.population.chances(users, shown, moment), axis=1)
        clicked = self.population.clicks(users, shown, moment)
        further = self.population.rng.random((*clicked.shape, 2)) < (SAVES, IMPLEMENTS)
        for row, (status, body) in enumerate(answers):
            if status == httpx.codes.OK:
                found.lists += 1
                if not self.population.bot[users[row]]:
                    arm = found.arms.setdefault(str(body["model_version"]), Arm())
                    arm.lists += 1
                    arm.clicked += bool(clicked[row].any())
                    arm.expected += float(expected[row])
        events = []
        for row, rank in zip(*(places.tolist() for places in np.nonzero(clicked)), strict=True):
            kinds = [
                "click",
                *(kind for kind, does in zip(("save", "implement"), further[row, rank], strict=True) if does),
            ]
            common = {
                "user_id": self.users[users[row]],
                "item_id": self.items[shown[row, rank]],
                "request_id": answers[row][1]["request_id"],
            }
            events += [{**common, "interaction_type": kind} for kind in kinds]
        served = np.array([status == httpx.codes.OK for status, _ in answers])
        found_by = users[served & (self.population.rng.random(len(users)) < FINDS)]
        for user, item in zip(found_by.tolist(), self.population.found(found_by, moment).tolist(), strict=True):
            if item >= 0:
                events.append({"user_id": self.users[user], "item_id": self.items[item], "interaction_type": "click"})
        return events

    # -- inside -------------------------------------------------------------------------------------------------------

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self._headers, timeout=TIMEOUT, trust_env=False)

    def _posted(self, client: httpx.Client, path: str, body: object) -> dict[str, Any]:
        for pause in (*PAUSES, None):
            try:
                answer = client.post(path, json=body)
            except httpx.TransportError as error:
                raise self._silent(error) from error
            if answer.status_code not in BUSY or pause is None:
                break
            time.sleep(pause)
        return self._taken(answer)

    def _silent(self, error: Exception) -> StoreError:
        return StoreError(
            f"the service at {self.url}", rule=f"it does not answer ({error})", fix="Start it: make serve"
        )

    def _taken(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_success:
            return dict(answer.json())
        raise ExternalToolError(
            f"the service at {self.url}",
            rule=f"it refused {answer.request.method} {answer.request.url.path} with {answer.status_code}: "
            f"{' '.join(answer.text.split())[:300]}",
            fix="A guarded service needs --key of role admin",
        )


def _batches(bodies: Sequence[dict[str, Any]]) -> list[Sequence[dict[str, Any]]]:
    return [bodies[begin : begin + WRITE_BATCH] for begin in range(0, len(bodies), WRITE_BATCH)]
