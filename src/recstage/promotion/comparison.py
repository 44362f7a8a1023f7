"""All versions and the current Production, compared only where they were tested on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd
from mlflow.entities import Run
from tqdm import tqdm

from recstage import tracking
from recstage.config import PromotionConfig
from recstage.errors import ConfigError, RegistryError
from recstage.evaluation.significance import Paired
from recstage.promotion import evidence, gate
from recstage.promotion.gate import Evidence
from recstage.registry import mlflow_client
from recstage.registry.mlflow_client import PRODUCTION, RegisteredModelState, Version
from recstage.registry.production import resolve

SHOWN = (
    *("hit_rate_at_10", "recall_at_20", "mrr_at_10", "coverage_at_10", "gini_at_10", "novelty_at_10"),
    "novelty_share_at_10",
)
SAMPLED = ("sampled_ndcg_at_10", "sampled_hit_rate_at_10")
SECONDS, BYTES, LATENCY = "fit_seconds", "bundle_bytes", "latency_p95_ms"


@dataclass(frozen=True)
class Row:
    """A version, or a training run that is none (`version` None). `interval` is of the primary metric, `difference` its
    paired difference to Production; None where that was not measured on the same rows. `features`: each one's share of
    the gain, of models that have features; `ranked_by`: which parts of a composite rank which users, where it is not
    the composite as a whole."""

    version: int | None
    stage: str
    algorithm: str
    run_id: str
    made_at: datetime
    metrics: Mapping[str, float]
    interval: tuple[float, float] | None
    difference: Paired | None
    gate: str
    features: Mapping[str, float] = field(default_factory=dict)
    ranked_by: str = ""

    @property
    def is_production(self) -> bool:
        return self.stage == PRODUCTION

    @property
    def model(self) -> str:
        return f"{self.algorithm} ({self.ranked_by})" if self.ranked_by else self.algorithm

    @property
    def label(self) -> str:
        return "not registered" if self.version is None else f"version {self.version}"


@dataclass(frozen=True)
class Group:
    """What was tested on the same rows, best first. `production` says where Production is when it is not among them."""

    data: str
    split: str
    fingerprint: str
    metric: str
    rows: tuple[Row, ...]
    production: str

    @property
    def winner(self) -> Row | None:
        """The row that is best by the primary metric."""
        return next((row for row in self.rows if self.metric in row.metrics), None)

    @property
    def verdict(self) -> str:
        """Which model is best, and whether it is shown to be better than Production."""
        best = self.winner
        if best is None:
            return "None of them has figures."
        named = f"Best by {self.metric}: {best.label} ({best.algorithm})"
        if best.is_production:
            return f"{named}, which is Production."
        if best.difference is None:
            return f"{named}."
        found = f"{best.difference.difference:+.4f} [{best.difference.low:+.4f}, {best.difference.high:+.4f}]"
        if best.difference.low > 0:
            return f"{named}, better than Production by {found}."
        return f"{named}. It is not shown to be better than Production: the difference is {found}."


@dataclass(frozen=True)
class Comparison:
    """Groups of comparable models, the group of the newest version first."""

    name: str
    production: int | None
    groups: tuple[Group, ...]


def compare(name: str, config: PromotionConfig, *, unregistered: int = 10) -> Comparison:
    """Read all versions of `name`, and up to `unregistered` of the newest training runs of each group that are no
    version. Raises `RegistryError` where the registered model does not exist or has no versions."""
    model_state, production = mlflow_client.read(name), resolve(name).version
    if not model_state.versions:
        raise RegistryError(
            f"registered model '{name}'", rule="it has no versions to compare", fix="Train with register"
        )
    by_group: dict[tuple[str, str, str], list[Version]] = {}
    for version in sorted(model_state.versions.values(), key=lambda one: -one.number):
        by_group.setdefault(version.group, []).append(version)
    runs = {group: _unregistered(group, model_state, unregistered) for group in by_group}
    total = len(model_state.versions) + sum(map(len, runs.values()))
    with tqdm(total=total, desc="Read runs", disable=None, delay=2, leave=False) as bar:
        groups = [_group(group, [*by_group[group], *runs[group]], production, config, bar) for group in by_group]
    return Comparison(name, None if production is None else production.number, tuple(groups))


def table(comparison: Comparison) -> pd.DataFrame:
    """One row a model, every figure a column."""
    return pd.DataFrame(
        [
            {
                "data": group.data,
                "split": group.split,
                "fingerprint": group.fingerprint,
                "version": row.version,
                "stage": row.stage,
                "algorithm": row.algorithm,
                "ranked_by": row.ranked_by,
                group.metric: row.metrics.get(group.metric),
                f"{group.metric}_low": None if row.interval is None else row.interval[0],
                f"{group.metric}_high": None if row.interval is None else row.interval[1],
                "difference": None if row.difference is None else row.difference.difference,
                "difference_low": None if row.difference is None else row.difference.low,
                "difference_high": None if row.difference is None else row.difference.high,
                "p_value": None if row.difference is None else row.difference.p_value,
                **{key: row.metrics.get(key) for key in (*SHOWN, *SAMPLED, LATENCY, SECONDS, BYTES)},
                "gate": row.gate,
                "run_id": row.run_id,
                "made_at": row.made_at.isoformat(timespec="seconds"),
            }
            for group in comparison.groups
            for row in group.rows
        ]
    )


def as_text(comparison: Comparison) -> str:
    """For a terminal."""
    return "\n".join(line for group in comparison.groups for line in _lines(group))


def _lines(group: Group) -> Iterable[str]:
    yield f"{group.data}, split {group.split}, fingerprint {group.fingerprint}"
    if group.production:
        yield f"  ({group.production})"
    cells = [["", "algorithm", "stage", group.metric, "interval", "to Production", "p", *SHORT.values()]]
    for row in group.rows:
        figures = [written(row.metrics.get(key), key) for key in SHORT]
        cells.append(
            [
                row.label,
                row.model,
                row.stage,
                written(row.metrics.get(group.metric)),
                bounds(row.interval),
                "" if row.difference is None else f"{row.difference.difference:+.4f}",
                "" if row.difference is None else f"{row.difference.p_value:.4f}",
                *figures,
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        # text to the left, numbers to the right
        padded = [
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  " + "  ".join(padded).rstrip()
    yield f"  {group.verdict}"
    yield ""


SHORT = {
    "hit_rate_at_10": "hit rate",
    "recall_at_20": "recall@20",
    "coverage_at_10": "coverage",
    LATENCY: "p95 ms",
    SECONDS: "fit s",
    BYTES: "MB",
}


def written(value: float | None, key: str = "") -> str:
    """A figure in the precision that its kind deserves; empty where there is none."""
    if value is None:
        return ""
    if key == BYTES:
        return f"{value / 1e6:.1f}"
    return f"{value:.1f}" if key in (SECONDS, LATENCY) else f"{value:.4f}"


def bounds(interval: tuple[float, float] | None) -> str:
    """An interval as text."""
    return "" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"


# -- inside -----------------------------------------------------------------------------------------------------------


def _group(
    key: tuple[str, str, str],
    members: list[Version | Run],
    production: Version | None,
    config: PromotionConfig,
    bar: tqdm,
) -> Group:
    champion = None
    if production is not None and production.group == key:
        champion = _of(production)
    rows = []
    for member in members:
        rows.append(_row(member, champion, production, config))
        bar.update()
    rows.sort(key=lambda row: (-row.metrics.get(config.metric, -1.0), -(row.version or 0)))
    return Group(*key, metric=config.metric, rows=tuple(rows), production=_where(production, key, champion))


def _where(production: Version | None, key: tuple[str, str, str], champion: Evidence | None) -> str:
    if production is None:
        return "nothing is Production"
    if production.group != key:
        return f"Production, {production}, was tested on other rows"
    return "" if champion is not None else f"Production, {production}, has lost the figures of its run"


def _row(member: Version | Run, champion: Evidence | None, production: Version | None, config: PromotionConfig) -> Row:
    own = _of(member)
    metrics = {} if own is None else dict(own.metrics)
    low, high = (metrics.get(f"{config.metric}_{side}") for side in ("low", "high"))
    is_champion = isinstance(member, Version) and production is not None and member.number == production.number
    difference = None
    if own is not None and champion is not None and not is_champion:
        difference = gate.compare(own, champion, config)
    if isinstance(member, Version):
        about = (member.number, PRODUCTION if is_champion else member.stage, member.algorithm, member.run_id)
        made_at, verdict = member.created_at, member.tags.get("gate_verdict", "")
    else:
        about = (None, "", member.data.tags.get("model", "unknown"), member.info.run_id)  # type: ignore[assignment]
        made_at, verdict = member.info.start_time, ""
    tags = member.tags if isinstance(member, Version) else member.data.tags
    by = tags.get(tracking.RANKED_BY_TAG, "")
    interval = None if low is None or high is None else (low, high)
    when = datetime.fromtimestamp(made_at / 1000, UTC)
    features = {} if own is None else _features(about[3])
    return Row(*about, when, metrics, interval, difference, verdict, features, by)


def _features(run_id: str) -> dict[str, float]:
    """Shares of the gain, from the table that the run of a model with features has."""
    try:
        rows = tracking.table_of(run_id, tracking.FEATURES)
    except ConfigError:
        return {}
    return dict(zip(rows["feature"].astype(str), rows["gain"].astype(float), strict=True))


def _of(member: Version | Run) -> Evidence | None:
    """A version whose run was deleted is shown without figures: that a run is gone must not hide the others."""
    try:
        return evidence.of_version(member) if isinstance(member, Version) else evidence.of_run(member)
    except (RegistryError, ConfigError):
        return None


def _unregistered(group: tuple[str, str, str], model_state: RegisteredModelState, most: int) -> list[Run]:
    registered = {version.run_id for version in model_state.versions.values()}
    if not most or not all(group):
        return []
    found = [run for run in evidence.runs_of(group, model_state.name) if run.info.run_id not in registered]
    return found[:most]
