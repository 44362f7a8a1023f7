"""Fallback models, fitted on the service's own data: served while no version is Production.

A background thread takes a snapshot of the database when it has changed, and fits the models that are fitted quickly:
graph, content, popularity. They also serve requests for a strategy that the Production version lacks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from recstage import models
from recstage.config import model_config_of, names_in
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import RecstageError
from recstage.models.base import Recommender
from serving.interfaces import Snapshot, TrainingDataSource
from serving.models.loaded_model import LoadedModel

log = logging.getLogger("serving.models.fallback")
CHAIN = ("graph", "content")
"""Fallback order; popularity follows."""
POLL_SECONDS = 1.0


class FallbackModels:
    """Keeps `served` (None: there is no data yet) up to date with the database while `needed()` is true."""

    def __init__(self, data: TrainingDataSource, seconds: float, needed: Callable[[], bool]) -> None:
        """Fit on snapshots of `data`, at most once in `seconds`."""
        self.served: LoadedModel | None = None
        self._data, self._seconds, self._needed = data, seconds, needed
        self._version: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="fallback-models", daemon=True)
        self._requested = False

    def start(self) -> None:
        self.step()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def request(self) -> None:
        """Fit the models from now on, although a version is served: a request named one of them."""
        self._requested = True

    def step(self) -> None:
        """Fit the models again where they are needed and the data has changed. Never raises."""
        if self._needed() or self._requested:
            self.fit()

    def fit(self) -> None:
        """Fit the models again where the data has changed. Never raises."""
        try:
            version = self._data.version()
            if version != self._version:
                self.served = fit_snapshot(self._data.snapshot())
                self._version = version
        except Exception as error:  # the database is unavailable or holds bad data: the earlier models stay
            log.warning("fallback models were not fitted", extra={"event": "own-models-failed", "error": str(error)})

    def _follow(self) -> None:
        pause = POLL_SECONDS
        while not self._stop.wait(pause):
            before = self.served
            self.step()
            # without a model, poll often; fitting is expensive, so not after each event
            pause = self._seconds if self.served is not before else POLL_SECONDS


def fit_snapshot(snapshot: Snapshot) -> LoadedModel | None:
    """Models fitted on a snapshot; None where it holds no item."""
    items = _ids(snapshot.items["item_id"], snapshot.interactions["item_id"])
    if not len(items):
        return None
    users = _ids(snapshot.interactions["user_id"])
    train = Interactions.from_frame(snapshot.interactions, users=users, items=items)
    catalogue = Catalogue.from_frame(snapshot.items, items)
    fitted = [model for name in CHAIN if (model := _fitted(name, train, catalogue)) is not None]
    return LoadedModel.fallback(f"fallback/{snapshot.version}", fitted, train, catalogue)


def _fitted(name: str, train: Interactions, catalogue: Catalogue) -> Recommender | None:
    if name not in names_in("model"):
        return None
    try:
        return models.build(model_config_of(name)).fit(train, catalogue=catalogue)
    except RecstageError:  # too little data for this one
        return None


def _ids(*columns: object) -> IdMap:
    found = {str(value) for column in columns for value in column}  # type: ignore[attr-defined]
    return IdMap(np.array(sorted(found), dtype=object))
