"""Read the experiment on live users: figures of both versions, plots, and a verdict that they carry as tags."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recstage import bundle, registry, tracking
from recstage.config import ServiceSource, read_yaml, resolve, root
from recstage.config.steps import AbReportSettings
from recstage.data.segments import segments_of
from recstage.data.snapshots import experiments
from recstage.data.snapshots.connection import connected
from recstage.errors import DataError, RecstageError, valid_names
from recstage.experiments import outcomes, reading
from recstage.experiments.assignment import ADAPTIVE, MODE, experiment_of
from recstage.experiments.outcomes import ARMS, INTERLEAVED
from recstage.experiments.preference import preference
from recstage.experiments.reading import Measured, Reading
from recstage.plots import live_figures
from recstage.registry import Version, mlflow_client
from recstage.steps.notification import write_metrics_file

VERDICT, SUMMARY, REPORT = "experiment.verdict", "experiment.summary", "experiment.report"
LOOKS = 20
METRICS_TEXT = """\
# HELP recstage_experiment_ratio_p_value Of the split at the last ab-report; below 0.01 it is not the intended one.
# TYPE recstage_experiment_ratio_p_value gauge
recstage_experiment_ratio_p_value{{experiment="{experiment}"}} {p_value:g}
# HELP recstage_experiment_evidence Share of the planned evidence that is there.
# TYPE recstage_experiment_evidence gauge
recstage_experiment_evidence{{experiment="{experiment}"}} {evidence:g}
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AbReportResult:
    """`verdict`: better, not-better, undecided or invalid; `summary` explains it in one sentence. `rows`: one a
    metric and segment."""

    run_id: str
    experiment: str
    production: str
    challenger: str
    verdict: str
    summary: str
    detectable: float
    days: float
    days_needed: float
    left_out: dict[str, int]
    rows: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class _Logged:
    """What the database knows of one experiment. `versions`: of Production and of the challenger."""

    name: str
    versions: tuple[str, str]
    adaptive: bool
    lists: pd.DataFrame
    outcomes: pd.DataFrame
    before: pd.Series | None


def settings_from(arguments: Sequence[str] = ()) -> AbReportSettings:
    """Settings from conf/promotion.yaml and the command line."""
    defaults = {"promotion": read_yaml(root() / "conf" / "promotion.yaml")}
    return resolve(AbReportSettings, defaults, arguments, program="ab-report")


def run(settings: AbReportSettings, *, nested: bool = False) -> AbReportResult:
    """Raises `DataError` where there is no such experiment in the service's database, `StoreError` where that is
    unavailable."""
    tracking.connect()
    found = logged(settings)
    segments = _segments(settings, found)
    seen = _read(found, settings, segments)
    with tracking.run(
        f"ab-report {found.name}", tags={"stage-of-work": "ab-report"}, nested=nested, system_metrics=False
    ) as active:
        run_id = active.info.run_id
        rows = pd.DataFrame([_row(one) for one in seen.measured])
        tracking.log_table(run_id, "ab-report", rows)
        tracking.log_text(run_id, as_text(found.name, found.versions, seen), "ab-report.txt")
        tracking.log_metrics(run_id, _metrics(seen))
        tracking.log_figures(run_id, _figures(found, seen, settings))
    _tag(settings.name, found.versions, seen, run_id)
    figures = METRICS_TEXT.format(experiment=_escaped(found.name), p_value=seen.ratio.p_value, evidence=seen.evidence)
    write_metrics_file(settings.promotion.experiment.metrics_file, figures)
    for line in as_text(found.name, found.versions, seen).splitlines():
        log.info("%s", line)
    return AbReportResult(
        run_id,
        found.name,
        *found.versions,
        seen.verdict,
        seen.summary,
        seen.detectable,
        seen.days,
        seen.days_needed,
        dict(seen.left_out),
        [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
    )


def logged(settings: AbReportSettings) -> _Logged:
    """The lists of the experiment and what came of them."""
    source = ServiceSource(url=settings.url)
    production, challenger = registry.resolve(settings.name).version, registry.staging(settings.name)
    with connected(source) as connection:
        known = experiments.experiments_of(connection)
        name = settings.experiment or _current(settings.name, production, challenger) or (known[0] if known else "")
        if name not in known:
            raise DataError(
                f"experiment '{name}'" if name else "the service's database",
                rule="no list of such an experiment was shown" if name else "no list of any experiment was shown",
                fix=valid_names(name, known) if known else "Stage a challenger and give it a share (-e experiment)",
            )
        lists = experiments.lists_of(connection, experiment=name, items=True)
        came_of_them = experiments.outcomes_of(connection, experiment=name)
        before = _before(connection, settings, lists)
    versions = _versions(lists, production, challenger)
    staged = challenger is not None and str(challenger.number) == versions[1]
    adaptive = challenger is not None and staged and challenger.tags.get(MODE) in ADAPTIVE
    return _Logged(name, versions, adaptive or _changes_within_users(lists), lists, came_of_them, before)


def _current(name: str, production: Version | None, challenger: Version | None) -> str:
    if production is None or challenger is None:
        return ""
    return experiment_of(challenger.tags, name, str(production.number), str(challenger.number)).name


def _versions(lists: pd.DataFrame, production: Version | None, challenger: Version | None) -> tuple[str, str]:
    """The two versions: as the lists name them, else (interleaved lists name only Production) as the registry does."""
    found = []
    for arm, staged in zip(ARMS, (production, challenger), strict=True):
        shown = lists.loc[lists["arm"] == arm, "version"].dropna()
        found.append(str(shown.iloc[-1]) if len(shown) else "none" if staged is None else str(staged.number))
    return found[0], found[1]


def _changes_within_users(lists: pd.DataFrame) -> bool:
    """Whether most users with several lists saw both versions, as only a bandit shows them."""
    own = lists[lists["arm"].isin(ARMS)].groupby("user_id")["arm"].agg(["nunique", "size"])
    several = own[own["size"] >= 4]
    return len(several) > 0 and float((several["nunique"] > 1).mean()) > 0.5


def _before(connection: Any, settings: AbReportSettings, lists: pd.DataFrame) -> pd.Series | None:
    """Each user's rate of the metric before the experiment began, for CUPED."""
    config = settings.promotion.experiment
    if not config.history_days or lists.empty:
        return None
    until = int(lists["shown_at"].min())
    since = until - config.history_days * reading.DAY_MS
    earlier = experiments.lists_of(connection, since=since, until=until)
    if earlier.empty:
        return None
    frame = outcomes.per_list(earlier, experiments.outcomes_of(connection, since=since, until=until))
    return frame.groupby("user_id")[config.metric].mean()


def _segments(settings: AbReportSettings, found: _Logged) -> pd.Series | None:
    """Cold, warm and hot users, by what Production was trained on; None where its bundle cannot be read."""
    try:
        version = registry.version_of(settings.name, found.versions[0])
        train = bundle.load(registry.fetch(version)).model.train_
    except RecstageError as error:
        log.warning("no segments: %s", error)
        return None
    users = found.lists["user_id"].astype(str).unique()
    index = train.users.index_of(users.astype(object))
    counts = np.where(index >= 0, train.lengths[np.maximum(index, 0)], 0)
    names = segments_of(counts, settings.evaluation.cold_below, settings.evaluation.hot_from)
    return pd.Series(names, index=users)


def _read(found: _Logged, settings: AbReportSettings, segments: pd.Series | None) -> Reading:
    config, lists = settings.promotion.experiment, found.lists
    interleaved = lists[lists["arm"] == INTERLEAVED]
    if len(interleaved) > (lists["arm"].isin(ARMS)).sum():
        drafted = interleaved[interleaved["teams"].notna()]  # rules, or a model out of time, leave Production's list
        left_out = {"lists that were Production's alone": len(interleaved) - len(drafted)}
        return reading.read_preference(preference(drafted, found.outcomes), drafted, config, left_out)
    return reading.read(lists, found.outcomes, config, segments=segments, before=found.before, adaptive=found.adaptive)


def _figures(found: _Logged, seen: Reading, settings: AbReportSettings) -> dict[str, Figure]:
    if not seen.measured:
        return {}
    config, ends = settings.promotion.experiment, found.lists["shown_at"].quantile(np.linspace(0, 1, LOOKS + 1)[1:])
    looks = []
    for end in ends.unique():
        part = found.lists[found.lists["shown_at"] <= end]
        at = _read(
            _Logged(found.name, found.versions, found.adaptive, part, found.outcomes, found.before), settings, None
        )
        main = at.measured[0] if at.measured else None
        chosen = at.of(config.metric) or main
        if chosen is not None and np.isfinite(chosen.low):
            looks.append((len(part), chosen.difference.difference, chosen.low, chosen.high))
    figures = {"ab-report-metrics": live_figures.differences(seen.measured)}
    if looks:
        figures["ab-report-looks"] = live_figures.confidence_sequence(looks, config.metric)
    return figures


def _row(one: Measured) -> dict[str, Any]:
    found = one.difference
    return {
        "metric": one.metric,
        "segment": one.segment,
        "production": found.production,
        "challenger": found.challenger,
        "difference": found.difference,
        "relative": found.relative,
        "low": one.low,
        "high": one.high,
        "p_value": one.p_value,
        "users": found.users,
        "lists": found.lists,
        "variance_kept": found.variance_kept,
    }


def _metrics(seen: Reading) -> dict[str, float]:
    figures = {"evidence": seen.evidence, "detectable": seen.detectable, "ratio_p_value": seen.ratio.p_value}
    for one in seen.measured:
        if one.segment == "all":
            figures |= {
                f"{one.metric}_production": one.difference.production,
                f"{one.metric}_challenger": one.difference.challenger,
            }
            figures |= {f"{one.metric}_low": one.low, f"{one.metric}_high": one.high}
    return {name: float(value) for name, value in figures.items() if np.isfinite(value)}


def as_text(name: str, versions: tuple[str, str], seen: Reading) -> str:
    """The reading for a terminal."""
    lines = [
        f"{name}: version {versions[1]} against version {versions[0]}: {seen.verdict}",
        seen.summary,
        str(seen.ratio),
    ]
    for one in seen.measured:
        place = "" if one.segment == "all" else f"{one.segment}: "
        lines.append(f"  {place}{reading.in_words(one)}")
    if np.isfinite(seen.detectable):
        lines.append(f"least difference that as much evidence finds: {seen.detectable:.1%}")
    if np.isfinite(seen.days_needed):
        lines.append(
            f"{reading.in_time(seen.days)} so far, {reading.in_time(seen.days_needed)} more to the planned sample"
        )
    lines += [f"left out: {number} {what}" for what, number in seen.left_out.items()]
    return "\n".join(lines)


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _tag(name: str, versions: tuple[str, str], seen: Reading, run_id: str) -> None:
    """The verdict on both versions; one that is gone from the registry has none."""
    existing = {str(version.number) for version in registry.versions(name)} if mlflow_client.exists(name) else set()
    for version in versions:
        if version in existing:
            tags = {VERDICT: seen.verdict, SUMMARY: seen.summary, REPORT: run_id}
            if version == versions[0]:  # whose verdict it is not: the report alone says what it was compared with
                tags = {f"experiment.against.{key.partition('.')[2]}": value for key, value in tags.items()}
            mlflow_client.tag_version(name, int(version), tags)
