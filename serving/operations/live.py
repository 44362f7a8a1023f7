"""Live figures from the metrics: latency, model used, cache, errors, over the last minutes.

Counters only grow; what happened in a window is the difference of two readings. Readings are taken while the page is
open, at most every few seconds; before the second, the window is the time since the start of the service.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from serving.monitoring.metrics import Metrics

PAUSE_SECONDS = 4.0
WINDOW_SECONDS, KEPT_SECONDS = 300.0, 1800.0
LISTS = "/api/recommendations"
Key = tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """Counters at one moment. `buckets`: requests for lists by upper bound in seconds, cumulative."""

    at: float
    counters: Mapping[Key, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)

    def since(self, earlier: Reading) -> Reading:
        """What happened between the two. A counter that fell (a worker ended) counts from 0."""
        return Reading(
            self.at,
            {key: _grown(value, earlier.counters.get(key, 0.0)) for key, value in self.counters.items()},
            {bound: _grown(value, earlier.buckets.get(bound, 0.0)) for bound, value in self.buckets.items()},
        )

    def by_label(self, name: str) -> dict[str, int]:
        """The counters of a metric by their one label, greatest first."""
        found = {key[1]: round(value) for key, value in self.counters.items() if key[0] == name and value > 0}
        return dict(sorted(found.items(), key=lambda one: -one[1]))


@dataclass(frozen=True)
class LiveFigures:
    """What happened in `seconds`. Latencies are of requests for lists, in milliseconds; None where there were none."""

    seconds: float
    lists: int
    p50: float | None
    p95: float | None
    p99: float | None
    failed: int
    methods: Mapping[str, int]
    fallbacks: Mapping[str, int]
    refused: Mapping[str, int]
    cache_hits: int
    cache_misses: int
    events: int


@dataclass(frozen=True)
class Point:
    """One point of the chart: a time, lists a second, and the p95 in milliseconds."""

    at: float
    rate: float
    p95: float | None


class LiveMetrics:
    """Readings of the last half hour, in this process; the metrics are those of all workers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started = Reading(time.time())
        self._readings: deque[Reading] = deque()
        self._lock = threading.Lock()

    def figures(self) -> tuple[LiveFigures, list[Point]]:
        """The figures of the last five minutes, and a point for each reading; takes milliseconds."""
        with self._lock:
            now = time.time()
            if not self._readings or now - self._readings[-1].at >= PAUSE_SECONDS:
                self._readings.append(reading_of(self._metrics.render().decode(), now))
            while self._readings[0].at < now - KEPT_SECONDS:
                self._readings.popleft()
            readings = list(self._readings)
        newest = readings[-1]
        begin = next((one for one in readings[:-1] if one.at >= now - WINDOW_SECONDS), self._started)
        return _figures(newest.since(begin), newest.at - begin.at), _points(readings)


def reading_of(exposition: str, at: float) -> Reading:
    """The counters that the page shows, from the exposition text of the metrics."""
    counters: defaultdict[Key, float] = defaultdict(float)
    buckets: defaultdict[float, float] = defaultdict(float)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "recstage_request_seconds_bucket" and labels["route"] == LISTS:
                buckets[float(labels["le"])] += sample.value
            elif sample.name == "recstage_request_seconds_count" and labels["status"] >= "500":
                counters["failed", labels["route"]] += sample.value
            elif sample.name in _SHOWN:
                counters[_SHOWN[sample.name][0], labels[_SHOWN[sample.name][1]]] += sample.value
    return Reading(at, dict(counters), dict(buckets))


_SHOWN = {
    "recstage_recommendations_total": ("methods", "method_used"),
    "recstage_fallbacks_total": ("fallbacks", "reason"),
    "recstage_requests_refused_total": ("refused", "reason"),
    "recstage_cache_total": ("cache", "outcome"),
    "recstage_events_total": ("events", "outcome"),
}


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The quantile of a cumulative histogram by linear interpolation, as Prometheus computes it; None of nothing.

    Above the last finite bound it is that bound.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    below_bound, below_count = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if bound == float("inf"):
                return below_bound
            width = count - below_count
            return bound if width <= 0 else below_bound + (bound - below_bound) * (rank - below_count) / width
        below_bound, below_count = bound, count
    return below_bound


def _figures(window: Reading, seconds: float) -> LiveFigures:
    cache = window.by_label("cache")
    methods = window.by_label("methods")
    p50, p95, p99 = (_milliseconds(quantile(window.buckets, share)) for share in (0.5, 0.95, 0.99))
    return LiveFigures(
        seconds=seconds,
        lists=sum(methods.values()),
        p50=p50,
        p95=p95,
        p99=p99,
        failed=sum(window.by_label("failed").values()),
        methods=methods,
        fallbacks=window.by_label("fallbacks"),
        refused=window.by_label("refused"),
        cache_hits=cache.get("hit", 0),
        cache_misses=cache.get("miss", 0),
        events=window.by_label("events").get("stored", 0),
    )


def _points(readings: Sequence[Reading]) -> list[Point]:
    return [_point(before, after) for before, after in pairwise(readings)]


def _point(before: Reading, after: Reading) -> Point:
    window, seconds = after.since(before), after.at - before.at
    return Point(
        after.at, sum(window.by_label("methods").values()) / seconds, _milliseconds(quantile(window.buckets, 0.95))
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _grown(now: float, before: float) -> float:
    return now - before if now >= before else now
