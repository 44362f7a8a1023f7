"""Drift of a version's inputs, scores and items: its training snapshot against what the service sees now, as a page."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from recstage import bundle, registry, tracking
from recstage.cli import plain
from recstage.config import ServiceSource, resolve, root
from recstage.config.steps import DriftSettings
from recstage.data.report import shift
from recstage.data.report.page import environment
from recstage.data.report.shift import Shift, of_classes, of_numbers
from recstage.data.schema import ITEM, TYPE, USER, VALUE
from recstage.data.snapshots import extraction, live_window
from recstage.data.snapshots.connection import connected
from recstage.errors import DataError
from recstage.models.base import Recommender
from recstage.registry import Version

PAGE = "drift/report.html"
SLOTS, MOST_USERS, SEED = 10, 2000, 42
BANDS, NEW = 10, "new items"
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DriftResult:
    """`shifted`: the features beyond the line; `rows`: one a feature. The page is `drift/report.html` of the run."""

    run_id: str
    version: int
    snapshot: str
    shifted: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> DriftSettings:
    """Settings from the command line."""
    return resolve(DriftSettings, {}, arguments, program="drift")


def run(settings: DriftSettings) -> DriftResult:
    """Raises `DataError` where the version was not trained on a snapshot that is still there, `RegistryError` and
    `NoProduction` where there is no such version, `StoreError` where the database is unavailable."""
    tracking.connect()
    version = registry.version_of(settings.name, settings.version)
    folder = _snapshot_of(version)
    about = extraction.about(folder)
    model = bundle.load(registry.fetch(version)).model
    now = int(time.time() * 1000)
    since = int(now - settings.days * DAY_MS)
    with connected(ServiceSource(url=settings.url)) as connection:
        after = live_window.events_after(connection, about.until, since)
        lists = live_window.lists_since(connection, str(version.number), since)
        categories = live_window.categories_of(connection)
    then = pq.read_table(folder / extraction.EVENTS, columns=live_window.COLUMNS).to_pandas()
    shifts = compared(then, after, lists, categories, model, settings.days, settings.line)
    notes = _notes(shifts)
    shown = {
        "name": version.name,
        "version": version.number,
        "snapshot": about.digest,
        "until": about.taken_at,
        "days": f"{settings.days:g}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "line": settings.line,
        "least": shift.LEAST_ROWS,
    }
    page = environment().get_template("drift.html").render(shifts=shifts, notes=notes, **shown)
    with tracking.run(
        f"drift {version.name} {version.number}", tags={"stage-of-work": "drift"}, system_metrics=False
    ) as active:
        run_id = active.info.run_id
        rows = [{key: value for key, value in plain(one).items() if key != "bars"} for one in shifts]
        tracking.log_table(run_id, "drift", pd.DataFrame(rows))
        tracking.log_text(run_id, page, PAGE)
        tracking.log_metrics(run_id, _metrics(shifts))
    for one in shifts:
        log.info("%-8s %s: %s", one.verdict, one.feature, _in_words(one))
    return DriftResult(run_id, version.number, about.digest, _shifted(shifts), rows)


def compared(
    then: pd.DataFrame,
    now: pd.DataFrame,
    lists: Sequence[Sequence[tuple[str, float]]],
    categories: Mapping[str, Sequence[str]],
    model: Recommender,
    days: float,
    line: float,
) -> list[Shift]:
    """All features: of the events of the training and since (columns of `live_window.COLUMNS`), and of the lists of
    the model for its users of training against those that were shown. `days`: length of the window since."""
    band_of = bands(then[ITEM].value_counts())
    expected, scores = lists_in_training(model, then)
    recent = then[then["occurred_at"] > then["occurred_at"].max() - days * DAY_MS] if len(then) else then
    shown = [item for one in lists for item, _ in one]
    return [
        of_classes("interaction types", _counts(then[TYPE]), _counts(now[TYPE]), line),
        of_classes("hour of the day (UTC)", _hours(then), _hours(now), line),
        of_numbers("events a user", recent[USER].value_counts(), now[USER].value_counts(), line),
        of_numbers("seconds of a view", _views(then), _views(now), line),
        of_classes("items chosen, by popularity", _banded(then[ITEM], band_of), _banded(now[ITEM], band_of), line),
        of_classes("categories chosen", _labels(then[ITEM], categories), _labels(now[ITEM], categories), line),
        of_numbers("score of the first item", scores[:, :1], [one[0][1] for one in lists if one], line),
        of_numbers("scores of a list", scores, [score for one in lists for _, score in one], line),
        of_classes("items shown, by popularity", _banded(expected, band_of), _banded(shown, band_of), line),
        of_classes("categories shown", _labels(expected, categories), _labels(shown, categories), line),
    ]


def bands(counts: pd.Series) -> dict[str, str]:
    """The band of each item: ten of equal shares of the training's events, the most popular first."""
    ordered = counts.sort_values(ascending=False, kind="stable")
    before = (ordered.cumsum() - ordered).to_numpy()
    total = max(1, int(ordered.sum()))
    place = np.minimum(BANDS - 1, before * BANDS // total).astype(int)
    return {str(item): f"band {band + 1}" for item, band in zip(ordered.index, place.tolist(), strict=True)}


def lists_in_training(model: Recommender, then: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The items and scores (float64[n, k], NaN beyond a shorter list) that the model lists for its users of training,
    drawn by how many events they had: who comes often is shown more lists."""
    users = then[USER].drop_duplicates().to_numpy(object)
    index = model.train_.users.index_of(users)
    users, index = users[index >= 0], index[index >= 0]
    if not len(users):
        return [], np.empty((0, SLOTS))
    events = then[USER].value_counts().reindex(users).to_numpy(np.float64)
    drawn = np.random.default_rng(SEED).choice(index, min(MOST_USERS, 4 * len(index)), p=events / events.sum())
    found = model.rank(model.train_.of(drawn), SLOTS)
    items, scores = np.asarray(found.items), np.asarray(found.scores, np.float64)
    listed = model.items.ids[np.maximum(items, 0)][items >= 0]
    return [str(item) for item in listed], np.where(items >= 0, scores, np.nan)


def _snapshot_of(version: Version) -> Path:
    digest = version.tags.get(tracking.SNAPSHOT_TAG, "")
    folder = root() / "data" / "snapshots" / f"service-{digest}"
    if digest and (folder / extraction.ABOUT).is_file():
        return folder
    if digest:
        rule, fix = f"its snapshot {digest} is not there any more", "Raise keep_snapshots of conf/retraining.yaml"
    else:
        rule = f"it was trained on {version.tags.get('data', 'other data')}, which is no snapshot of the service"
        fix = "Name a version that was trained on the data set service"
    raise DataError(str(version), rule=rule, fix=fix)


def _notes(shifts: Sequence[Shift]) -> list[str]:
    unknown = [one.feature for one in shifts if one.verdict == "unknown"]
    return [f"Too few rows to say anything of: {', '.join(unknown)}."] if unknown else []


def _shifted(shifts: Sequence[Shift]) -> list[str]:
    return [one.feature for one in shifts if one.verdict == "shifted"]


def _metrics(shifts: Sequence[Shift]) -> dict[str, float]:
    slugs = {one.feature: re.sub(r"[^a-z0-9]+", "_", one.feature.lower()).strip("_") for one in shifts}
    known = {f"drift_{slugs[one.feature]}": one.distance for one in shifts if np.isfinite(one.distance)}
    return {**known, "drift_shifted": float(len(_shifted(shifts)))}


def _in_words(one: Shift) -> str:
    if one.verdict == "unknown":
        return f"{one.rows_then} rows then, {one.rows_now} now: too few"
    return f"{one.distance:.3f} ({one.measure}), p {one.p_value:.2g} ({one.test})"


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(map(str, values)))


def _hours(events: pd.DataFrame) -> dict[str, int]:
    hours = events["occurred_at"].to_numpy(np.int64) // 3_600_000 % 24
    return {f"{hour:02}": count for hour, count in sorted(Counter(hours.tolist()).items())}


def _views(events: pd.DataFrame) -> pd.Series:
    return events.loc[events[TYPE] == "view", VALUE]


def _banded(items: Iterable[str], band_of: Mapping[str, str]) -> dict[str, int]:
    return dict(Counter(band_of.get(str(item), NEW) for item in items))


def _labels(items: Iterable[str], categories: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return dict(Counter(label for item in items for label in categories.get(str(item), ())))
