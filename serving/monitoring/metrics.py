"""The metrics of the service, for Prometheus. No label ever holds a user id, an item id or a key.

With several workers, `PROMETHEUS_MULTIPROC_DIR` (set by `python -m serving`) makes the `/metrics` of any worker the sum
of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics import MetricWrapperBase

from serving.monitoring.renamed_metrics import WithOldNames

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SHARES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
SCORES = (-1, -0.5, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.5, 2, 5)


class Metrics:
    """All metrics of one application; each test's application has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge, histogram = (self._maker(kind) for kind in (Counter, Gauge, Histogram))
        self.requests = histogram(
            "recstage_request_seconds", "Time to answer a request", ["route", "method", "status"], buckets=SECONDS
        )
        self.refused = counter("recstage_requests_refused_total", "Requests refused before a route", ["reason"])
        self.recommendations = counter(
            "recstage_recommendations_total", "Lists served, by the model used", ["method_used"]
        )
        self.fallbacks = counter("recstage_fallbacks_total", "Lists made without a model or data", ["reason"])
        self.scores = histogram("recstage_best_score", "Score of the first item of a list", buckets=SCORES)
        self.slow = counter("recstage_slow_recommendations_total", "Lists slower than slow_request_ms")
        cache = counter("recstage_cache_total", "Look-ups of cached lists", ["outcome"])
        self.cache_hits, self.cache_misses = cache.labels("hit"), cache.labels("miss")
        self.model = gauge(
            "recstage_model_info",
            "1 for the version that serves",
            ["name", "version", "algorithm"],
            multiprocess_mode="max",
        )
        self.model_age = gauge(
            "recstage_model_age_seconds", "Time since the version was trained", ["name"], multiprocess_mode="max"
        )
        self.trained_until = gauge(
            "recstage_model_trained_until_seconds",
            "Time of the newest interaction the version was trained on",
            ["name"],
            multiprocess_mode="max",
        )
        self.model_swaps = counter("recstage_model_swaps_total", "Attempts to swap a version in", ["name", "outcome"])
        self.swap_seconds = histogram(
            "recstage_model_swap_seconds", "Time to load, verify and warm a version", buckets=SECONDS
        )
        self.swapped_at = gauge(
            "recstage_model_swapped_timestamp_seconds", "When the last swap was", ["name"], multiprocess_mode="max"
        )
        self.registry_age = gauge(
            "recstage_registry_poll_age_seconds",
            "Time since the registry was last polled",
            ["name"],
            multiprocess_mode="max",
        )
        self.conditions = gauge(
            "recstage_condition",
            "1 while something is wrong, by name of the condition",
            ["condition", "model"],
            multiprocess_mode="livemax",
        )
        self.elected = gauge(
            "recstage_elected",
            "1 in the process that does what must be done once, by work",
            ["work"],
            multiprocess_mode="livemax",
        )
        self.replica_lag = gauge(
            "recstage_replica_lag_seconds",
            "How far the read replica is behind; infinite where that is not known",
            multiprocess_mode="livemax",
        )
        self.events = counter("recstage_events_total", "Events received", ["type", "outcome"])
        self.impressions = counter("recstage_impressions_total", "Shown lists, stored or dropped", ["outcome"])
        self.queries = histogram("recstage_query_seconds", "Time of database queries", ["query"], buckets=SECONDS)
        self.slow_queries = counter("recstage_slow_queries_total", "Queries slower than slow_query_ms", ["query"])
        self.rules_applied = counter(
            "recstage_rules_applied_total", "Lists that a business rule had a part in", ["rule"]
        )
        self.rules_version = gauge("recstage_rules_version", "Version of the business rules", multiprocess_mode="max")
        self.rules_misfit = gauge(
            "recstage_rules_misfit",
            "Business rules that name attributes which the served items lack",
            multiprocess_mode="max",
        )
        self.stages = histogram(
            "recstage_list_stage_seconds",
            "Time of a stage of a list: reads, rank, serialize",
            ["stage"],
            buckets=SECONDS,
        )
        self.scoring = histogram(
            "recstage_model_scoring_seconds", "Time a model takes to rank a list or a batch", ["model"], buckets=SECONDS
        )
        self.sources = counter(
            "recstage_list_sources_total",
            "Where lists came from: cache, precomputed, model, fallback, popularity",
            ["source"],
        )
        self.streams = gauge("recstage_streams", "Open streams of lists", multiprocess_mode="livesum")
        self.audiences = counter(
            "recstage_audiences_total",
            "Lists of users for an item, by the model used and where they came from: cache, precomputed, model",
            ["method_used", "source"],
        )
        self.batch_users = histogram(
            "recstage_batch_users",
            "Users of a request for many lists",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        )
        self.experiment_lists = counter(
            "recstage_experiment_lists_total", "Lists served in an experiment", ["experiment", "arm"]
        )
        self.shadow_lists = counter("recstage_shadow_lists_total", "Lists scored by a challenger, unshown", ["outcome"])
        self.shadow_seconds = histogram(
            "recstage_shadow_seconds", "Time of a challenger to score a list, unshown", buckets=SECONDS
        )
        self.shadow_overlap = histogram(
            "recstage_shadow_overlap", "Share of the shown items that the challenger lists too", buckets=SHARES
        )
        self._live_quality(gauge)
        self._children: dict[object, Any] = {}

    def _live_quality(self, gauge: Callable[..., Any]) -> None:
        """What users got and did in the last hour; read from the database, so the same in every worker."""
        newest: dict[str, Any] = {"multiprocess_mode": "mostrecent"}
        self.live_lists = gauge("recstage_live_lists", "Lists of the last hour", ["version", "method_used"], **newest)
        self.live_outcomes = gauge(
            "recstage_live_outcome_share",
            "Share of the lists of the last hour that led to an outcome",
            ["version", "method_used", "outcome"],
            **newest,
        )
        self.live_diversity = gauge("recstage_live_diversity", "1 less the mean similarity within a list", **newest)
        self.live_novelty = gauge("recstage_live_novelty_bits", "Mean self-information of the items shown", **newest)
        self.live_coverage = gauge("recstage_live_coverage", "Share of the catalogue in the newest lists", **newest)
        self.live_users = gauge("recstage_live_users", "Users with an event in the last hour", **newest)
        self.live_sessions = gauge("recstage_live_sessions", "Sessions of the last hour", **newest)
        self.live_session_events = gauge("recstage_live_session_events", "Mean events of a session", **newest)
        self.live_session_seconds = gauge("recstage_live_session_seconds", "Mean length of a session", **newest)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: the path with parameters, as the route declares it.
            method: of HTTP.
            status: of the response.
            seconds: until the response was sent.
        """
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.requests.labels(route, method, str(status))
        child.observe(seconds)

    def count_recommendation(self, method: str) -> None:
        """Count one list, by the model used."""
        child = self._children.get(method)
        if child is None:
            child = self._children[method] = self.recommendations.labels(method)
        child.inc()

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Observe a stage of a list."""
        self._labelled(self.stages, stage).observe(seconds)

    def observe_query(self, name: str, seconds: float) -> None:
        """Observe how long a query of the database took."""
        self._labelled(self.queries, name).observe(seconds)

    def observe_scoring(self, model: str, seconds: float) -> None:
        """Observe how long a model took to rank."""
        self._labelled(self.scoring, model).observe(seconds)

    def count_source(self, source: str) -> None:
        """Count one list, by where it came from."""
        self._labelled(self.sources, source).inc()

    def _labelled(self, metric: Any, label: str) -> Any:
        key = (metric, label)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(label)
        return child

    def count_rules(self, names: tuple[str, ...]) -> None:
        """Count one list for each business rule that had a part in it."""
        children = self._children.get(names)
        if children is None:
            children = self._children[names] = [self.rules_applied.labels(name) for name in names]
        for child in children:
            child.inc()

    def count_experiment(self, experiment: str, arm: str) -> None:
        """Count one list of an experiment."""
        key = (experiment, arm)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.experiment_lists.labels(experiment, arm)
        child.inc()

    def render(self) -> bytes:
        """The exposition text: of all workers where there are several."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(WithOldNames(self.registry))
        all_workers = CollectorRegistry()
        multiprocess.MultiProcessCollector(all_workers)
        return generate_latest(WithOldNames(all_workers))

    def _maker(self, kind: type[MetricWrapperBase]) -> Callable[..., Any]:
        def make(name: str, text: str, labels: list[str] | None = None, **options: Any) -> Any:
            return kind(name, text, labels or [], registry=self.registry, **options)

        return make
