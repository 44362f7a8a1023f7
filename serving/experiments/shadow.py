"""Shadow mode: the challenger scores what was just served, off the request path, and no user sees it.

One thread works through a short queue; what does not fit is dropped and counted, so that a slow challenger costs no
request anything but processor time.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from serving.interfaces import HiddenItems, History
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.recommend.ranking import recommend
from serving.recommend.request import RecommendationRequest

log = logging.getLogger("serving.experiments.shadow")


class Shadow:
    """Scores lists with a challenger and compares them with what was shown."""

    def __init__(self, metrics: Metrics, most_waiting: int) -> None:
        """`most_waiting`: lists that may wait; more are dropped and counted."""
        self._metrics, self._room = metrics, threading.BoundedSemaphore(most_waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")

    def submit(
        self,
        challenger: LoadedModel,
        request: RecommendationRequest,
        history: History,
        hidden: HiddenItems,
        shown: tuple[str, ...],
    ) -> bool:
        """Queue one list; False where it was dropped. Never blocks and never raises."""
        if not self._room.acquire(blocking=False):
            self._metrics.shadow_lists.labels("dropped").inc()
            return False
        try:
            self._thread.submit(self._score, challenger, request, history, hidden, shown)
        except RuntimeError:  # the service is stopping
            self._room.release()
            return False
        return True

    def stop(self) -> None:
        """Drop what waits."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _score(
        self,
        challenger: LoadedModel,
        request: RecommendationRequest,
        history: History,
        hidden: HiddenItems,
        shown: tuple[str, ...],
    ) -> None:
        started = time.perf_counter()
        try:
            ranked = recommend(challenger, request, history, hidden)
            ids = {challenger.item_ids[item] for item in ranked.items.tolist()}
        except Exception:  # whatever a challenger raises, users see Production
            self._metrics.shadow_lists.labels("failed").inc()
            log.exception(
                "the challenger failed in the shadow", extra={"event": "shadow-failed", "version": challenger.version}
            )
            return
        finally:
            self._room.release()
        self._metrics.shadow_lists.labels("scored" if ids else "empty").inc()
        self._metrics.shadow_seconds.observe(time.perf_counter() - started)
        self._metrics.shadow_overlap.observe(len(ids & set(shown)) / max(1, len(shown)))
