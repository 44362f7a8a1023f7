"""The operations of one application: live figures, commands, and slow reads that are kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.operations.click_through import ClickThrough, click_through
from serving.operations.drift import Drift, drift_of, events_by_item
from serving.operations.live import LiveMetrics
from serving.operations.registry_commands import RegistryCommands
from serving.store.db.reader import Reader

T = TypeVar("T")
KEPT_SECONDS = 30.0
DAYS = 7
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000


class Kept(Generic[T]):
    """A value that is computed again after half a minute."""

    def __init__(self) -> None:
        self._value: tuple[float, object, T] | None = None

    def get(self, key: object, compute: Callable[[], T]) -> T:
        """The value, computed anew where it is too old or of another key."""
        now = time.monotonic()
        if self._value is None or self._value[1] != key or now - self._value[0] > KEPT_SECONDS:
            self._value = (now, key, compute())
        return self._value[2]


class Operations:
    """What the routes of the operations page share; one for each application."""

    def __init__(self, metrics: Metrics) -> None:
        self.live = LiveMetrics(metrics)
        self.commands = RegistryCommands()
        self._click_through: Kept[list[ClickThrough]] = Kept()
        self._drift: Kept[Drift] = Kept()

    def click_through(self, reader: Reader) -> list[ClickThrough]:
        """Of the last week, by version. Raises `StoreError`."""
        since = int(time.time() * 1000) - DAYS * _DAY_MS
        return self._click_through.get(None, lambda: click_through(reader, since))

    def drift(self, reader: Reader, served: LoadedModel) -> Drift:
        """The events of the last week against the training of the served version. Raises `StoreError`."""
        since = int(time.time() * 1000) // _HOUR_MS - DAYS * 24
        return self._drift.get(served.key, lambda: drift_of(served.train, events_by_item(reader, since)))
