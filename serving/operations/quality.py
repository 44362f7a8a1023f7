"""What users get now and make of it: outcomes, diversity, novelty and coverage of the newest lists; sessions.

Read from the database by a thread, every half minute, and at most so many rows: no request pays for it. Click-through
and the other outcomes are shares of lists, by version and by the model used, so that a version stands beside its own
fallbacks and beside the version before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, case, distinct, func, literal, or_, select, union, union_all

from recstage.errors import StoreError
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import RecommendationFeedback, RecommendationImpression, UserInteraction

WINDOW_MS = 3_600_000
SESSION_GAP_MS = 30 * 60_000
"""A pause that ends a session, as web analytics count it."""
MOST_LISTS, MOST_EVENTS, MOST_PARSED = 20_000, 50_000, 500
CONVERSION = "conversion"
CONVERSIONS = ("save", "implement")
NO_VERSION = "none"

Shown, Feedback, Interaction = RecommendationImpression, RecommendationFeedback, UserInteraction
log = logging.getLogger("serving.operations.quality")


@dataclass(frozen=True)
class Sessions:
    """Events of the window by session: a user's events without a pause of half an hour. `seconds`: of all of them."""

    users: int = 0
    sessions: int = 0
    events: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Quality:
    """`lists` by (version, method); `outcomes` by (version, method, outcome): lists that led to it. `diversity`,
    `novelty` (bits) and `coverage` of the version that serves; None where there are no lists."""

    lists: dict[tuple[str, str], int]
    outcomes: dict[tuple[str, str, str], int]
    sessions: Sessions
    diversity: float | None = None
    novelty: float | None = None
    coverage: float | None = None


def _newest() -> Any:
    return (
        select(Shown.request_id, Shown.model_version, Shown.method)
        .where(Shown.shown_at >= bindparam("since"))
        .order_by(Shown.shown_at.desc())
        .limit(MOST_LISTS)
    )


def _lists() -> Any:
    shown = _newest().subquery()
    return select(shown.c.model_version, shown.c.method, func.count()).group_by(shown.c.model_version, shown.c.method)


def _outcomes() -> Any:
    shown = _newest().subquery()
    named = [(Feedback.request_id, Feedback.outcome), (Interaction.request_id, Interaction.interaction_type)]
    parts = [select(request, kind.label("kind")).join(shown, shown.c.request_id == request) for request, kind in named]
    each = union(*parts).subquery()
    converted = or_(*(each.c.kind == one for one in CONVERSIONS))
    every = union_all(
        select(each.c.request_id, each.c.kind.label("kind")),
        select(each.c.request_id, literal(CONVERSION).label("kind")).where(converted),
    ).subquery()
    about = _newest().subquery()
    return (
        select(about.c.model_version, about.c.method, every.c.kind, func.count(distinct(every.c.request_id)))
        .join(about, about.c.request_id == every.c.request_id)
        .group_by(about.c.model_version, about.c.method, every.c.kind)
    )


def _sessions() -> Any:
    newest = (
        select(Interaction.user_id, Interaction.occurred_at)
        .where(Interaction.occurred_at >= bindparam("since"))
        .order_by(Interaction.occurred_at.desc())
        .limit(MOST_EVENTS)
        .subquery()
    )
    before = func.lag(newest.c.occurred_at).over(partition_by=newest.c.user_id, order_by=newest.c.occurred_at)
    pauses = select(newest.c.user_id, (newest.c.occurred_at - before).label("pause")).subquery()
    new = case((pauses.c.pause.is_(None), 1), (pauses.c.pause > SESSION_GAP_MS, 1), else_=0)
    within = case((pauses.c.pause <= SESSION_GAP_MS, pauses.c.pause), else_=0)
    return select(func.count(distinct(pauses.c.user_id)), func.sum(new), func.count(), func.sum(within))


LISTS, OUTCOMES = Query("live_lists", _lists()), Query("live_outcomes", _outcomes())
SESSIONS = Query("live_sessions", _sessions())
ITEMS = Query(
    "live_items",
    select(Shown.items)
    .where(Shown.shown_at >= bindparam("since"), Shown.model_version == bindparam("version"))
    .order_by(Shown.shown_at.desc())
    .limit(MOST_PARSED),
)


def quality(reader: Reader, served: LoadedModel | None, since: int) -> Quality:
    """Of the lists shown and the events that happened since a time (milliseconds since 1970). Raises `StoreError`."""
    parameters = {"since": since}
    lists = {(_named(version), method): int(n) for version, method, n in reader.rows(LISTS, parameters)}
    outcomes = {
        (_named(version), method, kind): int(n) for version, method, kind, n in reader.rows(OUTCOMES, parameters)
    }
    users, sessions, events, milliseconds = reader.rows(SESSIONS, parameters)[0]
    found = Sessions(int(users), int(sessions or 0), int(events), float(milliseconds or 0) / 1000)
    if served is None or served.version is None:
        return Quality(lists, outcomes, found)
    rows = reader.rows(ITEMS, {**parameters, "version": served.version})
    return Quality(lists, outcomes, found, *_of_items(served, [from_json(items) for (items,) in rows]))


def _of_items(served: LoadedModel, shown: list[list[Any]]) -> tuple[float | None, float | None, float | None]:
    """Diversity, novelty and coverage of lists; items that the version does not know are left out."""
    train = served.train
    lists = [index[index >= 0] for one in shown if len(index := train.items.index_of([item for item, *_ in one]))]
    lists = [one for one in lists if len(one)]
    if not lists:
        return None, None, None
    users = max(1, int(np.count_nonzero(train.lengths)))
    information = np.log2(users / np.maximum(train.item_counts, 1))
    varied = [_varied(served.item_similarity.vectors[one]) for one in lists if len(one) > 1]
    return (
        float(np.mean(varied)) if varied else None,
        float(np.mean([information[one].mean() for one in lists])),
        len(np.unique(np.concatenate(lists))) / train.n_items,
    )


def _varied(vectors: NDArray[np.float32]) -> float:
    """1 less the mean cosine of all pairs, from float32[n, d] with rows of length one or zero."""
    n, total = len(vectors), vectors.sum(axis=0)
    pairs = float(total @ total) - float(np.einsum("ij,ij->", vectors, vectors))
    return 1 - pairs / (n * (n - 1))


def _named(version: str | None) -> str:
    return version or NO_VERSION


@dataclass
class QualityMonitor:
    """Keeps the gauges up to date while the service runs."""

    reader: Reader
    served: Callable[[], LoadedModel | None]
    metrics: Metrics
    seconds: float
    elected: Callable[[], bool] = lambda: True
    """Whether this process is the one that reads: of several hosts one does, and the others show nothing."""
    _seen: set[tuple[str, ...]] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="quality", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def refresh(self) -> None:
        """Read once. While the database is unavailable the gauges stay."""
        since = int(time.time() * 1000) - WINDOW_MS
        try:
            found = quality(self.reader, self.served(), since)
        except StoreError as error:
            log.warning("live quality is not read", extra={"event": "degraded", "what": "quality", "error": str(error)})
            return
        self._show(found)

    def _show(self, found: Quality) -> None:
        metrics = self.metrics
        values: dict[tuple[str, ...], float] = {}
        for (version, method), number in found.lists.items():
            values["lists", version, method] = number
        for (version, method, kind), number in found.outcomes.items():
            total = found.lists.get((version, method), 0)
            values["outcomes", version, method, kind] = number / total if total else 0.0
        for key in self._seen - values.keys():  # what was shown no longer is
            values[key] = 0.0
        self._seen |= values.keys()
        for (which, *labels), value in values.items():
            (metrics.live_lists if which == "lists" else metrics.live_outcomes).labels(*labels).set(value)
        for gauge, figure in (
            (metrics.live_diversity, found.diversity),
            (metrics.live_novelty, found.novelty),
            (metrics.live_coverage, found.coverage),
        ):
            gauge.set(float("nan") if figure is None else figure)
        sessions = found.sessions
        metrics.live_users.set(sessions.users)
        metrics.live_sessions.set(sessions.sessions)
        metrics.live_session_events.set(sessions.events / sessions.sessions if sessions.sessions else 0.0)
        metrics.live_session_seconds.set(sessions.seconds / sessions.sessions if sessions.sessions else 0.0)

    def _run(self) -> None:
        reading = False
        while not self._stopped.is_set():
            try:
                if self.elected():
                    self.refresh()
                    reading = True
                elif reading:
                    self._show(Quality({}, {}, Sessions()))
                    reading = False
            except Exception:  # the thread must survive
                log.exception("live quality failed", extra={"event": "quality-failed"})
            self._stopped.wait(self.seconds)
