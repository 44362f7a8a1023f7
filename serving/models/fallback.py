"""Models from the service's own data: what answers while nothing is staged Production.

A background thread takes a snapshot of the database when it changed, and fits what is quickly fitted: graph, content,
popularity. The first promotion replaces them; they also answer requests that choose a strategy the version lacks.
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
"""Who is asked, in this order; popularity follows."""
LOOK_SECONDS = 1.0


class FallbackModels:
    """Keeps `served` (None: there is no data yet) at the state of the database, while `needed` says so."""

    def __init__(self, data: TrainingDataSource, seconds: float, needed: Callable[[], bool]) -> None:
        self.served: LoadedModel | None = None
        self._data, self._seconds, self._needed = data, seconds, needed
        self._version: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="own-models", daemon=True)
        self._wanted = False

    def start(self) -> None:
        self.step()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def want(self) -> None:
        """Somebody asked for one of these models although a version is served: make them, from now on."""
        self._wanted = True

    def step(self) -> None:
        """Make the models anew where they are needed and the data changed. Never raises."""
        if self._needed() or self._wanted:
            self.make()

    def make(self) -> None:
        """Make the models anew where the data changed. Never raises."""
        try:
            version = self._data.version()
            if version != self._version:
                snapshot = self._data.snapshot()
                self.served = serve_snapshot(snapshot)
                self._version = version
        except Exception as error:  # the database is away, or holds something odd: what was made before goes on
            log.warning("own models were not made", extra={"event": "own-models-failed", "error": str(error)})

    def _follow(self) -> None:
        pause = LOOK_SECONDS
        while not self._stop.wait(pause):
            made = self.served
            self.step()
            # while there is nothing to answer with, look often; a rebuild costs, so not after every event
            pause = self._seconds if self.served is not made else LOOK_SECONDS


def serve_snapshot(snapshot: Snapshot) -> LoadedModel | None:
    """Models fitted to a snapshot; None where it holds no item."""
    items = _ids(snapshot.items["item_id"], snapshot.interactions["item_id"])
    if not len(items):
        return None
    users = _ids(snapshot.interactions["user_id"])
    train = Interactions.from_frame(snapshot.interactions, users=users, items=items)
    catalogue = Catalogue.from_frame(snapshot.items, items)
    fitted = [model for name in CHAIN if (model := _fitted(name, train, catalogue)) is not None]
    return LoadedModel.own(f"own/{snapshot.version}", fitted, train, catalogue)


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
