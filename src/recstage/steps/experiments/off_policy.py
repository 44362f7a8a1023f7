"""What a version would earn, estimated from the explored lists that others showed, before any user sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recstage import bundle, registry, tracking
from recstage.cli import plain
from recstage.config import ServiceSource, resolve
from recstage.config.steps import OffPolicySettings
from recstage.data.snapshots import experiments
from recstage.data.snapshots.connection import connected
from recstage.errors import DataError, RegistryError
from recstage.experiments.off_policy import Estimate, LoggedSlots, estimates
from recstage.models.base import Recommender
from recstage.registry import Version

STAGING = "Staging"
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OffPolicyResult:
    """`logged`: clicks per list as they were; `estimates`: of the candidate, a row a method. `left_out`: lists of users
    whom the candidate was not trained with."""

    run_id: str
    version: int
    lists: int
    left_out: int
    logged: float
    estimates: list[dict[str, Any]]


def settings_from(arguments: Sequence[str] = ()) -> OffPolicySettings:
    """Settings from the command line."""
    return resolve(OffPolicySettings, {}, arguments, program="off-policy")


def run(settings: OffPolicySettings) -> OffPolicyResult:
    """Raises `DataError` where no list of the time was logged, `RegistryError` where there is no such version, and
    `StoreError` where the database is unavailable. Too little overlap is a result, with its reason."""
    tracking.connect()
    version = _version(settings)
    model = bundle.load(registry.fetch(version)).model
    since = int(time.time() * 1000 - settings.days * DAY_MS)
    with connected(ServiceSource(url=settings.url)) as connection:
        lists = experiments.lists_of(connection, since=since, items=True)
        outcomes = experiments.outcomes_of(connection, since=since)
    lists = lists[(lists["n_items"] > 0) & lists["teams"].isna()]
    known = model.train_.users.index_of(lists["user_id"].to_numpy(object)) >= 0
    if not known.any():
        raise DataError(
            f"the lists of the last {settings.days:g} days",
            rule=f"none was shown to a user whom {version} was trained with",
            fix="Wait for lists, or give more days",
        )
    logged = slots(lists[known], outcomes, model)
    found = estimates(logged)
    with tracking.run(
        f"off-policy {version.name} {version.number}", tags={"stage-of-work": "off-policy"}, system_metrics=False
    ) as active:
        run_id = active.info.run_id
        tracking.log_table(run_id, "off-policy", pd.DataFrame([plain(one) for one in found]))
        figures = {f"{one.method}_{name}": getattr(one, name) for one in found for name in ("value", "low", "high")}
        tracking.log_metrics(run_id, {name: value for name, value in figures.items() if np.isfinite(value)})
    for one in found:
        log.info("%s", in_words(one))
    mean = float(logged.reward.sum() / len(logged.reward))
    return OffPolicyResult(
        run_id, version.number, int(known.sum()), int((~known).sum()), mean, [plain(one) for one in found]
    )


def slots(lists: pd.DataFrame, outcomes: pd.DataFrame, model: Recommender) -> LoggedSlots:
    """The logged lists beside the candidate's for the same users, by their history of training."""
    k = int(lists["n_items"].max())
    numbers: dict[str, int] = {item: place for place, item in enumerate(model.items.ids.tolist())}
    clicked = set(map(tuple, outcomes.loc[outcomes["outcome"] == "click", ["request_id", "item_id"]].to_numpy()))
    n = len(lists)
    items, reward = np.full((n, k), -1, np.int64), np.zeros((n, k))
    propensity = np.ones((n, k))
    columns = zip(lists["request_id"], lists["item_ids"], lists["propensities"], strict=True)
    for row, (request_id, item_ids, chances) in enumerate(columns):
        for slot, (item, chance) in enumerate(zip(item_ids, chances, strict=True)):
            items[row, slot] = numbers.setdefault(item, len(numbers))
            propensity[row, slot] = chance
            reward[row, slot] = (request_id, item) in clicked
    users, index = np.unique(lists["user_id"].to_numpy(str), return_inverse=True)
    histories = model.train_.of(model.train_.users.index_of(users.astype(object)))
    candidate = np.asarray(model.rank(histories, k).items, np.int64)[index]
    return LoggedSlots(items, propensity, reward, candidate, index)


def in_words(one: Estimate) -> str:
    """An estimate as a line."""
    if one.refused:
        return f"{one.method}: refused: {one.refused}"
    return (
        f"{one.method}: {one.value:.4f} {one.of} [{one.low:.4f}, {one.high:.4f}], "
        f"{one.effective:.0f} effective slots, mean weight {one.covered:.2f}"
    )


def _version(settings: OffPolicySettings) -> Version:
    if settings.version != STAGING:
        return registry.version_of(settings.name, settings.version)
    found = registry.staging(settings.name)
    if found is None:
        raise RegistryError(
            f"Staging of {settings.name}", rule="no version is staged Staging", fix="Name a version: --version N"
        )
    return found
