"""Settings of experiments and of the watcher: sections `experiment` and `watch` of `conf/promotion.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recstage.config.base import Schema


class ExperimentConfig(Schema):
    """What an experiment must show, and when its reading may begin."""

    metric: Literal["click_through", "save", "implement", "conversion", "satisfaction"] = "click_through"
    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of a wrong `better` over all looks together")
    effect: float = Field(0.1, gt=0, description="relative difference that the experiment is planned to find")
    power: float = Field(0.8, gt=0.5, lt=1, description="chance to find it within the planned sample")
    least_users: int = Field(100, ge=10, description="users of either version before anything is concluded")
    least_rewards: int = Field(20, ge=5, description="lists of either version with the metric's outcome, likewise")
    most_lists: int = Field(1000, ge=1, description="a user with more lists is taken for a bot and left out")
    guard: tuple[str, ...] = Field(("conversion",), description="metrics that must not be lost, whatever is gained")
    history_days: int = Field(28, ge=0, description="days before the experiment that CUPED looks back on; 0: none")
    metrics_file: str = Field(
        "", description="figures of the last ab-report for Prometheus' node exporter; empty: none"
    )


class WatchConfig(Schema):
    """Guard limits of a fresh Production, against its predecessor; a breach rolls back."""

    hours: float = Field(24.0, gt=0, description="how long after its promotion a Production is watched")
    window_minutes: float = Field(60.0, gt=0, description="lists of the last minutes are judged")
    seconds: float = Field(5.0, gt=0, description="pause between two looks")
    settle_seconds: float = Field(10.0, ge=0, description="younger lists may still be clicked, and do not count as not")
    least_lists: int = Field(200, ge=20, description="lists of the fresh Production before it is judged")
    alpha: float = Field(0.005, gt=0, lt=0.1, description="chance that a look finds a breach where there is none")
    error_share: float = Field(0.02, ge=0, le=1, description="errors beyond the predecessor's share plus this")
    empty_share: float = Field(0.02, ge=0, le=1, description="empty lists, likewise")
    fallback_share: float = Field(0.1, ge=0, le=1, description="lists by popularity in place of the model, likewise")
    latency_ratio: float = Field(3.0, ge=1, description="median time of a list, as a multiple of the predecessor's")
    latency_ms: float = Field(50.0, ge=0, description="and above this")
    engagement_loss: float = Field(0.25, gt=0, le=1, description="relative loss of click-through, beyond chance")
    predecessor_hours: float = Field(168.0, gt=0, description="lists of the predecessor that are compared with")
    webhook: str = Field("", description="called with the reason as JSON on a rollback")
    command: str = Field("", description="run on a rollback, with the reason as JSON on its standard input")
