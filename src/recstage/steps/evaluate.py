"""Measure a registered version again, on the data it was tested on or on another data set, and log that as a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recstage import batch, bundle, cluster, registry, tracking
from recstage.config import DataConfig, EvaluationConfig, check, read_yaml, resolve, root, with_whole_paths
from recstage.config.steps import SAME, EvaluateSettings
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.errors import ConfigError
from recstage.evaluation.protocol import Evaluation, evaluate
from recstage.evaluation.trade_off import best_lambda, trade_off
from recstage.models.base import Recommender
from recstage.promotion import evidence
from recstage.registry import Version


@dataclass(frozen=True)
class EvaluateResult:
    """`data` and `fingerprint` are those of the rows it was measured on."""

    run_id: str
    name: str
    version: int
    data: str
    fingerprint: str
    metrics: dict[str, float]
    diversity: float | None = None
    """With `trade_off`: the lambda found on validation rows, for the setting `diversity` of the service."""


def settings_from(arguments: Sequence[str] = ()) -> EvaluateSettings:
    """Settings from conf/evaluation.yaml and the command line."""
    defaults = {"evaluation": read_yaml(root() / "conf" / "evaluation.yaml")}
    return resolve(EvaluateSettings, defaults, arguments, program="evaluate")


def run(settings: EvaluateSettings) -> EvaluateResult:
    """Raises `RegistryError` on an unknown version, `DataError` where what it was trained on is gone or has changed."""
    with cluster.session(settings.backend):
        return _run(settings)


def _run(settings: EvaluateSettings) -> EvaluateResult:
    tracking.connect()
    version = registry.version_of(settings.name, settings.version)
    tags = {"model": version.algorithm, "stage-of-work": "evaluate", "version": str(version.number)}
    with tracking.run(f"evaluate {settings.name} {version.number}", tags=tags) as active:
        data = _data_of(version, settings)
        tracking.log_dataset(active.info.run_id, data)
        tracking.log_config(active.info.run_id, settings.model_dump(mode="json"))
        folder = registry.fetch(version)
        model = bundle.load(folder).model
        each = batch.each_by(settings.backend, folder)
        result = measure(model, data, settings.evaluation, settings.seed, each)
        tracking.log_evaluation(active.info.run_id, result)
        chosen = _log_trade_off(active.info.run_id, model, data, settings) if settings.trade_off else None
    return EvaluateResult(
        active.info.run_id, settings.name, int(version.number), data.name, data.fingerprint, result.metrics, chosen
    )


def _log_trade_off(run_id: str, model: Recommender, data: Dataset, settings: EvaluateSettings) -> float:
    """The lambda found on validation rows, and what it costs on test rows: `trade_off_validation.csv`, `trade_off.csv`
    and its plot. Raises `ConfigError` for a model of users for an item: its lists show no items.

    The version has learned the validation rows too, so its like is fitted to the training rows alone.
    """
    from recstage.plots import figures  # loads matplotlib

    if model.reverse:
        raise ConfigError(
            "trade_off = true", rule=f"{model.name} ranks users, not items", fix="Choose a model that ranks items"
        )
    split = data.split
    if not len(split.validation):
        raise ConfigError(
            "trade_off = true", rule="the lambda is found on validation rows, and the split has none", fix="Set one"
        )
    like = type(model)(model.params).fit(
        split.train,
        seed=settings.seed,
        validation=split.validation if model.watches_validation else None,
        catalogue=data.catalogue,
    )
    found, curve = (
        trade_off(fitted, rows, config=settings.evaluation, catalogue=data.catalogue, seed=settings.seed)
        for fitted, rows in ((like, split.validation), (model, split.test))
    )
    chosen = best_lambda(found, settings.max_loss)
    tracking.log_table(run_id, "trade_off_validation", found)
    tracking.log_table(run_id, "trade_off", curve)
    tracking.log_figures(run_id, {"mmr_trade_off": figures.mmr_trade_off(curve)})
    row = curve[curve["lambda"] == chosen]
    costs = {"ndcg_at_10": "trade_off_ndcg_at_10", "diversity_at_10": "trade_off_diversity_at_10"}
    tested = {name: float(row[column].item()) for column, name in costs.items()}
    tracking.log_metrics(run_id, {"trade_off_lambda": chosen, **tested})
    return chosen


def _data_of(version: Version, settings: EvaluateSettings) -> Dataset:
    """What is asked for; `same`: by the configuration that the version's run logged, where the fingerprint agrees."""
    if settings.data == SAME:
        return evidence.dataset_of(version)
    config = check(DataConfig, dataset.config_of(settings.data), settings.data)
    return dataset.load(with_whole_paths(config))


def measure(
    model: Recommender, data: Dataset, config: EvaluationConfig, seed: int, each: cluster.Each = cluster.here
) -> Evaluation:
    """Test metrics of a fitted model on a data set that need not be the one it was trained on: users and items are
    matched by id, items that the model does not know count as missed."""
    split = data.split.transposed() if model.reverse else data.split
    return evaluate(model, split.test, config=config, negatives=split.negatives, seed=seed, each=each)
