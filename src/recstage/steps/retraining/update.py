"""Between two retrainings: a version takes in what happened since it was trained, without being trained again.

New users and items are served by their own vectors (`Recommender.updated`), in seconds for most models. What comes of
it is a new version with its own figures, judged as a challenger of a retraining is; nothing here promotes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from recstage import bundle, registry, tracking
from recstage.config import DataConfig, EvaluationConfig, SplitConfig, check, model_config_of, read_yaml, resolve, root
from recstage.config.files import with_whole_paths
from recstage.config.steps import DEFAULT, SAME, UpdateSettings
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.errors import RegistryError, TooLittleData
from recstage.models.base import Recommender
from recstage.models.growth import Growth
from recstage.promotion import evidence
from recstage.registry import Version, mlflow_client
from recstage.steps.registry import promote
from recstage.steps.retraining import challengers
from recstage.steps.train import SHOWN, Training, TrainSettings, resolved
from recstage.steps.training_report import name_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpdateResult:
    """`updated_from` is NAME/NUMBER; `rows`, `users` and `items` are new beside what that version was trained on;
    `version` None: nothing had happened. `verdict` of the gate and `outcome` in words, `seconds` of each step."""

    name: str
    updated_from: str
    version: int | None
    outcome: str
    rows: int = 0
    users: int = 0
    items: int = 0
    verdict: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    run_id: str | None = None


def settings_from(arguments: Sequence[str] = ()) -> UpdateSettings:
    """Settings from conf/promotion.yaml and the command line."""
    defaults = {"promotion": read_yaml(root() / "conf" / "promotion.yaml")}
    return resolve(UpdateSettings, defaults, arguments, program="update")


def run(settings: UpdateSettings) -> UpdateResult:
    """Raises `RegistryError` on a version that is not there, `ConfigError` on a model that has to be trained again,
    `DataError` on data whose times are no clock, `StoreError` where another update of the model runs."""
    tracking.connect()
    with mlflow_client.work_lock(settings.name, "update"):
        version = registry.version_of(settings.name, settings.version)
        before = bundle.load(registry.fetch(version))
        began = perf_counter()
        found = later_data(data_of(version, settings.data), before.manifest.trained_until, settings.test_share)
        if found is None:
            return UpdateResult(settings.name, named(version), None, f"nothing happened since {version} was trained")
        config, data = found
        return _updated(settings, version, before.model, config, data, perf_counter() - began)


def named(version: Version) -> str:
    """NAME/NUMBER."""
    return f"{version.name}/{version.number}"


def data_of(version: Version, data: str) -> DataConfig:
    """The data set as it is now: by name, or the one that the version's run logged, of the service's database a fresh
    snapshot. Raises `RegistryError` where the run does not say."""
    if data != SAME:
        config = with_whole_paths(check(DataConfig, dataset.config_of(data), f"conf/data/{data}"))
    else:
        config = evidence.data_config_of(version)
        if config.source.kind == "service":
            config = config.model_copy(update={"source": config.source.model_copy(update={"path": None})})
    return dataset.located(config)


def later_data(config: DataConfig, until: int, test_share: float) -> tuple[DataConfig, Dataset] | None:
    """The data set cut so that the newest `test_share` of the liked pairs since `until` (seconds since 1970) are its
    test rows, and all earlier rows are before; None where there are none. Raises `DataError` where times are no clock.
    """
    split = SplitConfig(**{**config.split.model_dump(), "method": "temporal", "test_from": until + 1, "newcomers": 0})
    config = config.model_copy(update={"split": split})
    try:
        since = np.sort(dataset.load(config).split.test.timestamp)
    except TooLittleData:
        return None
    moment = int(since[int(len(since) * (1 - test_share))])
    if moment <= until + 1:
        return config, dataset.load(config)
    config = config.model_copy(update={"split": split.model_copy(update={"test_from": moment})})
    return config, dataset.load(config)


def _updated(
    settings: UpdateSettings, version: Version, before: Recommender, config: DataConfig, data: Dataset, reading: float
) -> UpdateResult:
    split = data.split.transposed() if before.reverse else data.split
    rows = split.train_and_validation
    growth = Growth.between(before.train_, rows)
    users, items = (growth.new_items, growth.new_users) if before.reverse else (growth.new_users, growth.new_items)
    counts = {"rows": growth.new_pairs, "users": users, "items": items}
    train_settings = _train_settings(settings, version, before, config)
    tags = {"model": version.algorithm, "stage-of-work": "train", registry.UPDATED_FROM: named(version)}
    tags |= {f"updated_{what}": str(n) for what, n in counts.items()}
    with tracking.run(name_of(version.algorithm, data.name), tags=tags) as active:
        run_id = active.info.run_id
        tracking.log_dataset(run_id, data)
        tracking.log_snapshot(run_id, config)
        training = Training(train_settings, data, split, active, root() / "data" / "checkpoints")
        began = perf_counter()
        model = before.updated(
            rows,
            catalogue=None if before.reverse else data.catalogue,
            seed=settings.seed,
            refresh=settings.refresh,
        )
        seconds = {"data": reading, "fit": perf_counter() - began}
        began = perf_counter()
        result = training.test(model)
        seconds["evaluation"] = perf_counter() - began
        tracking.log_config(run_id, resolved(train_settings, model))
        uri = training.log(model, result, seconds)
        tracking.rename(run_id, training.name_with(result))
    made = registry.register(uri, settings.name)
    verdict = _judged(settings, made, version, data, before)
    staged = verdict.startswith("passed") and settings.stage and _staged(settings, made, version)
    if settings.prune:
        registry.prune(settings.name, keep=settings.promotion.keep)
    words = f"version {made.number} takes in {counts['rows']} rows, {users} users and {items} items since {version}"
    outcome = f"{words}; {'it is Staging' if staged else 'it was not staged'}"
    shown = {name: result.metrics[name] for name in SHOWN if name in result.metrics}
    return UpdateResult(
        settings.name, named(version), made.number, outcome, **counts, verdict=verdict, metrics=shown, seconds=seconds,
        run_id=run_id,
    )  # fmt: skip


def _train_settings(
    settings: UpdateSettings, version: Version, before: Recommender, config: DataConfig
) -> TrainSettings:
    model = model_config_of(version.algorithm)
    chosen = {"params": before.params.model_dump(mode="json"), "registered_name": settings.name}
    return TrainSettings.model_construct(
        **{name: one.get_default(call_default_factory=True) for name, one in TrainSettings.model_fields.items()}
        | {
            "data": config,
            "model": model.model_copy(update=chosen),
            "evaluation": check(EvaluationConfig, read_yaml(root() / "conf" / "evaluation.yaml"), "evaluation.yaml"),
            "preset": DEFAULT,
            "seed": settings.seed,
        }
    )


def _judged(settings: UpdateSettings, made: Version, version: Version, data: Dataset, before: Recommender) -> str:
    """The gate's verdict on the update beside the version that it was made of, written onto it."""
    seen = {version.name: int(before.train_.timestamp.max(initial=0))}
    against = challengers.spoilt(data, seen, settings.least_test_users)
    verdict = promote.gate.refuse("data", against) if against else promote.judge(made, version, settings.promotion)
    outcome = "passed" if verdict.passed else "refused"
    promote.write_down(made, verdict, outcome)
    log.info("%s: %s: %s", made, outcome, verdict.summary)
    return f"{outcome}: {verdict.summary}"


def _staged(settings: UpdateSettings, made: Version, version: Version) -> bool:
    reason = settings.reason or f"an update of version {version.number}"
    try:
        registry.set_staging(
            settings.name, made.number, how="update", by=settings.by or registry.author(), reason=reason
        )
    except RegistryError as error:
        log.warning("%s", error)
        return False
    return True
