"""What the tests of the store are given: events, the settings of a service, a registry pointer, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from serving.store.db.writer import Writer
from serving.store.repositories.events import Event, RecordEvents, now_ms


def event(user_id: str = "u1", item_id: str = "i1", interaction_type: str = "click", **values: Any) -> Event:
    """An event; `occurred_at` is now by default."""
    now = now_ms()
    return Event(user_id, item_id, interaction_type, values.pop("occurred_at", now), now, **values)


def record(url: URL, *events: Event) -> None:
    """Store events (one by default) and wait until they are on disk."""
    writer = Writer(url)
    writer.submit(RecordEvents(events or [event()])).result()
    writer.close()


def record_users(url: URL, n: int = 3) -> None:
    """Store one event of each of `n` users, under keys: calling it again stores only those of new users."""
    record(url, *(event(f"u{i}", idempotency_key=f"{i}") for i in range(n)))


def wait_until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until a condition holds that a background thread brings about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def settings_for(url: URL, folder: Path, **values: Any) -> ServingSettings:
    """Settings of a service on this database, without a registry."""
    return ServingSettings(
        **{
            "database_url": url.render_as_string(hide_password=False),
            "bundle_dir": folder / "bundles",
            "follow_registry": False,
            **values,
        }
    )


class FixedPointer:
    """A `ProductionPointer` to one version, or to none."""

    def __init__(self, staged: ProductionVersion | None = None) -> None:
        self.staged = staged

    def production(self) -> ProductionVersion | None:
        return self.staged

    def good(self) -> ProductionVersion | None:
        return None

    def mark_good(self, staged: ProductionVersion) -> None:
        pass

    def drop(self, version: str) -> None:
        pass

    def last_poll(self) -> None:
        return None

    def request_poll(self) -> None:
        pass

    def poll_requested_at(self) -> int:
        return 0
