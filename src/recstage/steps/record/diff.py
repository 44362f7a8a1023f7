"""Two versions side by side: parameters, data, metrics, and lists of the same users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from recstage import bundle, markdown, registry, tracking
from recstage.config import resolve
from recstage.config.steps import DiffSettings
from recstage.errors import ConfigError, RecstageError
from recstage.models.base import Recommender
from recstage.promotion import evidence
from recstage.registry import Version
from recstage.steps.record.lineage import LineageResult, of_version

PAGE = "diff.html"
DATA = ("data", "split", "fingerprint", "snapshot", "users", "items", "interactions", "git-commit")


@dataclass(frozen=True)
class SideBySide:
    """One user's lists by both versions, best first, and the share of items that are in both."""

    user_id: str
    first: list[str]
    second: list[str]
    overlap: float


@dataclass(frozen=True)
class DiffResult:
    """`parameters` and `data` that differ, by name as (first, second), None where one has none; `metrics` of both runs
    as (first, second, second less first); `comparable`: whether both were tested on the same rows. `lists`: of users
    that both know; `run_id` holds all of it as a page."""

    run_id: str
    name: str
    first: int
    second: int
    comparable: bool
    parameters: dict[str, tuple[Any, Any]]
    data: dict[str, tuple[Any, Any]]
    metrics: dict[str, tuple[float | None, float | None, float | None]]
    lists: list[SideBySide] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> DiffSettings:
    """Settings from the command line."""
    return resolve(DiffSettings, {}, arguments, program="diff")


def run(settings: DiffSettings) -> DiffResult:
    """Raises `RegistryError` on an unknown version, `ConfigError` where both are the same."""
    tracking.connect()
    one, other = (registry.version_of(settings.name, number) for number in (settings.first, settings.second))
    if one.number == other.number:
        raise ConfigError(
            f"diff of version {one.number} and itself", rule="two versions are compared", fix="Name another"
        )
    name = f"diff {settings.name} {one.number} {other.number}"
    with tracking.run(name, tags={"stage-of-work": "diff"}, system_metrics=False) as active:
        found = _diff(active.info.run_id, one, other, settings)
        page = _environment().get_template(PAGE).render(found=found, first=one, second=other)
        tracking.log_text(active.info.run_id, page, PAGE)
    return found


def _diff(run_id: str, one: Version, other: Version, settings: DiffSettings) -> DiffResult:
    first, second = of_version(one), of_version(other)
    parameters = _changed(
        {"model": one.algorithm, **first.parameters, **first.parents},
        {"model": other.algorithm, **second.parameters, **second.parents},
    )
    data = _changed(_data_of(first), _data_of(second))
    missing = [f"version {side.version}: {why}" for side in (first, second) for why in side.missing]
    lists: list[SideBySide] = []
    try:
        ours, theirs = (bundle.load(registry.fetch(version)).model for version in (one, other))
        lists = side_by_side(ours, theirs, settings.users, settings.items)
    except RecstageError as error:
        missing.append(f"lists: {error.given}: {error.rule}")
    return DiffResult(
        run_id,
        settings.name,
        one.number,
        other.number,
        one.group == other.group,
        parameters,
        data,
        _metrics(one, other),
        lists,
        missing,
    )


def side_by_side(one: Recommender, other: Recommender, users: int, items: int) -> list[SideBySide]:
    """Lists of users that both models know, spread over those with few and those with many interactions."""
    known = one.train_.users.ids[other.train_.users.index_of(one.train_.users.ids) >= 0]
    if not len(known):
        return []
    by_activity = sorted(known.tolist(), key=lambda user: (one.train_.lengths[one.train_.users.find(user)], user))
    step = max(1, len(by_activity) // users)
    chosen = by_activity[::step][:users]
    found = []
    for user, ours, theirs in zip(
        chosen, one.recommend_batch(chosen, items), other.recommend_batch(chosen, items), strict=True
    ):
        common = len(set(ours.item_ids) & set(theirs.item_ids))
        longest = max(len(ours.item_ids), len(theirs.item_ids), 1)
        found.append(SideBySide(user, list(ours.item_ids), list(theirs.item_ids), common / longest))
    return found


def _data_of(side: LineageResult) -> dict[str, Any]:
    return {key: value for key, value in (side.data | side.code).items() if key in DATA}


def _changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = dict.fromkeys([*first, *second])
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def _metrics(one: Version, other: Version) -> dict[str, tuple[float | None, float | None, float | None]]:
    first, second = evidence.metrics_of(one), evidence.metrics_of(other)
    names = [name for name in sorted({*first, *second}) if not name.endswith(("_low", "_high"))]
    found = {}
    for name in names:
        a, b = first.get(name), second.get(name)
        found[name] = (a, b, None if a is None or b is None else b - a)
    return found


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("recstage.promotion"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    found.filters["words"] = markdown.words
    return found
