"""Synthetic users, items and events, written into the database: something to look at before there are real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from sqlalchemy.engine import URL

from recstage.config import SyntheticSource
from recstage.data.synthetic.population import Habits, Population
from recstage.data.synthetic.texts import described
from serving.store.db.writer import Writer
from serving.store.repositories.events import Event, RecordEvents
from serving.store.repositories.items import IngestItems, NewItem

AT_ONCE = 1000
DAY_MS = 86_400_000
KINDS = {"view": 0.55, "click": 0.3, "save": 0.1, "implement": 0.05}
SECONDS_OF_A_VIEW = 40.0
"""The mean; exponentially distributed."""
ALL_AT_ONCE = Habits(newcomers=0.0, bots=0.0)
T = TypeVar("T")


def generate(url: URL, source: SyntheticSource, *, days: float) -> dict[str, int]:
    """Store `source.items` items with texts and categories, and `source.interactions` events of `source.users` users in
    the last `days`. Users u00000, u00001, ... and items i00000, i00001, ... have the tastes of the generator's world.

    Each event has a key made of seed and sizes, so generating the same again stores none twice. Returns how many items,
    users and events there are in it, and how many events were new. Raises `StoreError`.
    """
    population = Population(source, ALL_AT_ONCE, seed=source.seed)
    items = [f"i{number:05d}" for number in range(source.items)]
    frame = described(population.world, items)
    posted = [
        NewItem(row.item_id, row.title, row.text, tuple(row.categories))  # type: ignore[arg-type]
        for row in frame.itertuples()
    ]
    events = _events(population, items, days)
    writer = Writer(url, busy_timeout=30.0)
    try:
        for some in _batches(posted):
            writer.submit(IngestItems(some)).result()
        stored = sum(writer.submit(RecordEvents(some)).result().count("stored") for some in _batches(events))
    finally:
        writer.close()
    users = len({one.user_id for one in events})
    return {"items": len(posted), "users": users, "events": len(events), "stored": stored}


def _events(population: Population, items: Sequence[str], days: float) -> list[Event]:
    source = population.config
    n, rng = source.interactions, np.random.default_rng([source.seed, 5])
    users, found = population.history(n)
    now = int(time.time() * 1000)
    at = now - np.sort(rng.random(n))[::-1] * days * DAY_MS
    kinds = rng.choice(list(KINDS), n, p=list(KINDS.values())).tolist()
    seconds = np.round(rng.exponential(SECONDS_OF_A_VIEW, n), 1).tolist()
    keys = f"synthetic-{source.seed}-{source.users}-{source.items}-{n}"
    rows: Any = zip(users.tolist(), found.tolist(), kinds, seconds, at.astype(np.int64).tolist(), strict=True)
    return [
        Event(
            f"u{user:05d}",
            items[item],
            kind,
            moment,
            now,
            value=length if kind == "view" else None,
            idempotency_key=f"{keys}-{place}",
        )
        for place, (user, item, kind, length, moment) in enumerate(rows)
    ]


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[begin : begin + AT_ONCE] for begin in range(0, len(values), AT_ONCE))
